from pathlib import Path

import pytest
from conftest import make_characters
from drawing import assert_names, draw, save

from koch_siamese.data import omniglot
from koch_siamese.data.sources import (
    DataSource,
    load_characters,
    select_effective,
)
from koch_siamese.errors import InputError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder; relative paths are in another, empty one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path
    assert list(Path().iterdir()) == []


def test_home_is_expanded_and_addresses_are_kept(home):
    source = DataSource("mnist", data_dir=Path("~/a"), manual_dir="~/b")
    assert source.data_dir == str(home / "a")
    assert source.manual_dir == str(home / "b")
    for address in ("gs://bucket/a", "a/~", None):
        assert DataSource("mnist", data_dir=address).data_dir == address


def test_nothing_is_written_among_images_at_home(home):
    for folder in ("photos", "downloads"):
        save(draw(), home / folder / "1.png")
        with pytest.raises(InputError, match=r"has images, such as 1\.png"):
            load_characters("glyphs/tiny", "test", data_dir=f"~/{folder}")
        assert [x.name for x in (home / folder).iterdir()] == ["1.png"]


def test_packed_omniglot_at_home_is_found(home):
    characters = make_characters(side=omniglot.IMAGE_SIZE)
    omniglot.pack_characters({"train": characters}, f"~/{omniglot.PACKED}")
    loaded = load_characters("omniglot", "training", data_dir="~")
    assert loaded.character.tolist() == characters.character.tolist()
    path = home / omniglot.PACKED
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="make it again by experiments/pack"):
        load_characters("omniglot", "training", data_dir="~")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split_by": "groups"}, ["'groups'", "expected one of class, group"]),
        ({"background": "xyz"}, ["'xyz'", "original, small1, small2, koch"]),
        ({"test_groups": ["g0"]}, ["no effect", "give split_by='group'"]),
        ({"test_groups": "g0"}, ["'g0'", "expected a list or a tuple of str"]),
        ({"crop": "no"}, ["'no'", "expected a value of type bool"]),
        ({"data_dir": 3}, ["3", "expected a value of type str | None"]),
        (
            {"dataset": "glyphs", "split_by": "group"},
            ["no effect on glyphs, only on folder"],
        ),
        ({"background": "koch"}, ["no effect on folder, only on omniglot"]),
        ({"photo_size": 32, "crop": True}, ["no effect on photos"]),
        ({"dataset": "omniglot", "crop": True}, ["no effect on omniglot"]),
    ],
)
def test_wrong_options_are_refused(options, words):
    options = {"dataset": "folder", "split": "test"} | options
    with pytest.raises(InputError) as error:
        load_characters(**options)
    assert_names(error, list(options)[-1], *words)


@pytest.mark.parametrize(
    ("dataset", "kept"),
    [
        ("omniglot", {"background": "koch"}),
        ("folder", {"crop": True}),
        ("glyphs", {}),
    ],
)
def test_options_of_a_training_are_kept_where_they_have_an_effect(
    dataset, kept
):
    options = {"background": "koch", "crop": True}
    assert select_effective(dataset, **options) == kept
    DataSource(dataset, **kept)


def test_groups_may_be_a_list(tmp_path):
    for name in ("g0/a", "g1/b"):
        save(draw(), tmp_path / name / "1.png")
    options = {"data_dir": tmp_path, "split_by": "group"}
    characters = load_characters(
        "folder", "test", test_groups=["g1"], **options
    )
    assert len(characters) == 1
    with pytest.raises(InputError, match="no group 'g2': expected some of 'g0"):
        load_characters("folder", "test", test_groups=["g2"], **options)
    with pytest.raises(
        InputError,
        match=r"No group is left for the validation.* --split_by=class\.$",
    ):
        load_characters("folder", "validation", test_groups=["g1"], **options)
