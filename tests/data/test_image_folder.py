import numpy as np
import pytest
from conftest import make_characters
from drawing import assert_names, draw, save

from koch_siamese.data import image_folder
from koch_siamese.data.image_folder import (
    load_folder,
    split_characters,
    split_groups,
)
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError

ODD = ("b c", "ж", "new\nline")


def test_folder_of_one_alphabet(tmp_path):
    for name in ODD:
        for file in ("2.png", "1.png"):
            save(draw(), tmp_path / "mine" / name / file)
    characters, names = load_folder(tmp_path / "mine")
    assert names == tuple(sorted(ODD))
    assert characters.alphabet_names == ("mine",)
    assert characters.character.tolist() == [0, 0, 1, 1, 2, 2]
    assert characters.number.tolist() == [1, 1, 2, 2, 3, 3]
    assert characters.drawer.tolist() == [1, 2] * 3
    assert characters.images.shape == (6, 105, 105, 1)


def test_folder_of_alphabets(tmp_path):
    for name in ("A/x", "A/y", "B/x"):
        for file in ("1.png", "2.png"):
            save(draw(), tmp_path / name / file)
    characters, names = load_folder(tmp_path, crop=True)
    assert names == ("A/x", "A/y", "B/x")
    assert characters.alphabet_names == ("A", "B")
    assert characters.alphabet.tolist() == [0, 0, 0, 0, 1, 1]
    assert characters.number.tolist() == [1, 1, 2, 2, 1, 1]
    assert characters.character.tolist() == [0, 0, 1, 1, 2, 2]


def test_flat_folder_has_one_drawing_of_each(tmp_path):
    for name in ODD:
        save(draw(), tmp_path / f"{name}.png")
    characters, names = load_folder(tmp_path)
    assert names == tuple(sorted(ODD))
    assert characters.drawer.tolist() == [1, 1, 1]
    assert characters.number.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "found", [["a.png", "b/1.png"], ["a/1.png", "b/c/1.png"], ["a/b/c/1.png"]]
)
def test_mixed_layouts_are_an_error(found, tmp_path):
    for name in found:
        save(draw(), tmp_path / name)
    with pytest.raises(InputError) as error:
        load_folder(tmp_path)
    assert_names(error, *found, "alphabet/character/*.png")


def test_names_are_composed_and_compared_so(tmp_path):
    decomposed, composed = "e\u0301", "\u00e9"
    save(draw(), tmp_path / decomposed / "1.png")
    save(draw(), tmp_path / composed / "2.png")
    characters, names = load_folder(tmp_path)
    assert names == (composed,)
    assert characters.drawer.tolist() == [1, 2]


def test_all_bad_files_are_told_at_once(tmp_path):
    for number in range(24):
        save(draw(), tmp_path / "good" / f"{number}.png")
        if number < 22:
            bad = tmp_path / "bad" / f"{number:02}.png"
            bad.parent.mkdir(exist_ok=True)
            bad.write_bytes(b"no image")
    with pytest.raises(InputError) as error:
        load_folder(tmp_path)
    assert_names(error, "22 of 46 images", "bad/00.png", "bad/19.png")
    assert_names(error, "and 2 more. Fix or remove them.")
    assert "bad/20.png" not in str(error.value)


@pytest.mark.parametrize("parts", [("train", "test"), ("Training", "val")])
def test_parts_of_one_data_set_are_no_alphabets(parts, tmp_path):
    for part in parts:
        for name in ("ka", "ma"):
            save(draw(), tmp_path / part / name / "1.png")
    with pytest.raises(InputError) as error:
        load_folder(tmp_path)
    assert_names(error, *parts, "2 names in common", "'ka'", "give one part")
    assert load_folder(tmp_path / parts[0])[1] == ("ka", "ma")


def test_alphabets_may_have_names_in_common(tmp_path):
    for name in ("Latin/a", "Greek/a", "test/a"):
        save(draw(), tmp_path / name / "1.png")
    assert load_folder(tmp_path)[1] == ("Greek/a", "Latin/a", "test/a")


def test_split_is_complete_disjoint_and_keeps_shares():
    characters = make_characters((10, 20, 5), num_drawers=2)
    parts = {
        split: split_characters(characters, split)
        for split in ("training", "validation", "test")
    }
    ids = [set(part.character.tolist()) for part in parts.values()]
    assert [len(part) for part in ids] == [21, 7, 7]
    assert set.union(*ids) == set(range(35))
    for part, share in zip(parts.values(), (3, 1, 1), strict=True):
        counts = np.bincount(part.alphabet) // 2
        assert counts.tolist() == [2 * share, 4 * share, share]
    again = split_characters(characters, "test")
    np.testing.assert_array_equal(again.images, parts["test"].images)


def test_small_alphabets_still_give_all_three_splits():
    characters = make_characters((2,) * 5, num_drawers=2)
    sizes = [
        split_characters(characters, split).num_characters
        for split in ("training", "validation", "test")
    ]
    assert sizes == [6, 2, 2]


def test_split_needs_characters_and_drawings():
    split_characters(make_characters((10,), num_drawers=2), "test")
    with pytest.raises(InputError, match="9 characters") as error:
        split_characters(make_characters((9,), num_drawers=2), "test")
    assert_names(error, "at least 10")
    characters = make_characters((10,), num_drawers=2)
    left = characters.select(~np.isin(np.arange(20), [7, 12]))
    with pytest.raises(
        InputError, match=r"Of 2 of 10 characters .* 1 drawing \('d', 'g'\)"
    ):
        split_characters(left, "test", tuple("abcdefghij"))
    few = characters.select(np.arange(8))
    with pytest.raises(InputError, match="There are 4 characters: expected"):
        split_characters(few, "test")
    with pytest.raises(ValueError, match="'train'"):
        split_characters(characters, "train")


def test_folder_is_read_once_for_all_splits(tmp_path, monkeypatch):
    read = []

    def read_image(file, crop, photo_size):
        read.append((file.name, crop))
        return np.full((105, 105, 1), len(read), np.uint8)

    monkeypatch.setattr(image_folder, "read_image", read_image)
    for name in "abcdefghij":
        for file in ("1.png", "2.png"):
            save(draw(), tmp_path / name / file)
    source = DataSource("folder", data_dir=str(tmp_path), crop=True)
    splits = [source.load(x) for x in ("training", "validation", "test")]
    assert [len(split) for split in splits] == [12, 4, 4]
    assert sorted(read) == [("1.png", True)] * 10 + [("2.png", True)] * 10
    assert len(np.unique(np.concatenate([x.images for x in splits]))) == 20
    with pytest.raises(InputError, match=r"--data_dir=.* has images, such"):
        DataSource("glyphs", data_dir=str(tmp_path)).load("test")
    # Another source sees what has been added.
    save(draw(), tmp_path / "j" / "3.png")
    assert len(DataSource("folder", data_dir=str(tmp_path)).load("all")) == 21


def test_whole_groups_train_validate_and_test():
    characters = make_characters((3, 2, 4, 2, 2, 3))
    no_names = {"training": (), "validation": (), "test": ()}

    def split(**names):
        parts = no_names | names
        return {
            part: sorted(
                characters.alphabet_names[alphabet]
                for alphabet in set(
                    split_groups(characters, part, parts).alphabet
                )
            )
            for part in parts
        }

    # Without names: all of them, each in one part.
    parts = split()
    names = [name for part in parts.values() for name in part]
    assert sorted(names) == list(characters.alphabet_names)
    assert parts == split()
    # Those that are not named train, or else test.
    assert split(validation=("a1",), test=("a4", "a2")) == {
        "training": ["a0", "a3", "a5"],
        "validation": ["a1"],
        "test": ["a2", "a4"],
    }
    assert split(training=("a3", "a0"), validation=("a1",)) == {
        "training": ["a0", "a3"],
        "validation": ["a1"],
        "test": ["a2", "a4", "a5"],
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"test": ("b",)}, "no group 'b': expected some of 'a0', 'a1', 'a2'"),
        ({"test": ("a0",), "validation": ("a0",)}, "'a0' is named twice"),
        ({"validation": ("a0",)}, "No group is left for the test split"),
    ],
)
def test_groups_that_do_not_suffice_are_told(characters, names, message):
    parts = {"training": (), "validation": (), "test": ()} | names
    with pytest.raises(InputError, match=message):
        split_groups(characters, "test", parts)
