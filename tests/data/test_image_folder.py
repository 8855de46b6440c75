import shutil

import numpy as np
import pytest
from drawing import assert_names, draw, save
from PIL import Image

from koch_siamese.data import image_folder
from koch_siamese.data.image_folder import load_folder
from koch_siamese.data.sources import DataSource, load_characters
from koch_siamese.errors import DataWarning, InputError

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


def test_numbered_images_of_a_character_get_a_warning(tmp_path):
    for name in ("an_1", "an_2", "ka (1)", "c0"):
        save(draw(), tmp_path / f"{name}.png")
    with pytest.warns(DataWarning, match="'an_1' and 'an_2', which count as"):
        _, names = load_folder(tmp_path)
    assert len(names) == 4


@pytest.mark.parametrize(
    ("file", "empty"),
    [("A/1.png", "'B', 'C'"), ("x/A/1.png", "'B', 'C', 'x/D'")],
)
def test_folders_without_images_get_a_warning(file, empty, tmp_path):
    save(draw(), tmp_path / file)
    for name in ("B", "C/E", "x/D", "x/A/notes", ".git/x"):
        (tmp_path / name).mkdir(parents=True)
    if file == "A/1.png":
        shutil.rmtree(tmp_path / "x")
    with pytest.warns(DataWarning, match="folders without images") as warned:
        load_folder(tmp_path)
    assert str(warned[0].message).endswith(f"without images: {empty}.")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("names", [("c_1", "c_2"), ("c0", "c1"), ("a_1", "b")])
def test_numbers_that_name_characters_get_no_warning(names, tmp_path):
    for name in names:
        save(draw(), tmp_path / f"{name}.png")
    load_folder(tmp_path)


@pytest.mark.parametrize(
    "found", [["a.png", "b/1.png"], ["a/1.png", "b/c/1.png"], ["a/b/c/1.png"]]
)
def test_mixed_layouts_are_an_error(found, tmp_path):
    for name in found:
        save(draw(), tmp_path / name)
    with pytest.raises(InputError) as error:
        load_folder(tmp_path)
    assert_names(error, *found, "alphabet/character/*.png")


def test_names_are_compared_in_composed_form(tmp_path):
    decomposed, composed = "e\u0301", "\u00e9"
    save(draw(), tmp_path / decomposed / "1.png")
    save(draw(), tmp_path / composed / "2.png")
    characters, names = load_folder(tmp_path)
    assert names == (composed,)
    assert characters.drawer.tolist() == [1, 2]


def test_all_bad_files_are_reported_together(tmp_path):
    for number in range(24):
        save(draw(), tmp_path / "good" / f"{number}.png")
        if number < 22:
            bad = tmp_path / "bad" / f"{number:02}.png"
            bad.parent.mkdir(exist_ok=True)
            bad.write_bytes(b"no image")
    with pytest.raises(InputError) as error:
        load_folder(tmp_path)
    assert_names(error, "22 of 46 images", "bad/00.png", "bad/19.png")
    assert_names(error, "and 2 more. Expected an image of", "or remove it.")
    assert "bad/20.png" not in str(error.value)


@pytest.mark.parametrize("parts", [("train", "test"), ("Training", "val")])
def test_split_folders_are_not_alphabets(parts, tmp_path):
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
    # A new source sees files that were added later.
    save(draw(), tmp_path / "j" / "3.png")
    assert len(DataSource("folder", data_dir=str(tmp_path)).load("all")) == 21


def save_photos(root, names, num=2):
    """Saves photos of a single color each; returns the folder."""
    for place, name in enumerate(names):
        for number in range(num):
            photo = Image.new("RGB", (12, 9), (20 * place, 40 * number, 200))
            save(photo, root / name / f"{number}.jpg")
    return root


def load(folder, split, **options):
    source = DataSource("folder", data_dir=str(folder), photo_size=8, **options)
    return source.load(split)


def test_photos_in_folders_of_classes_and_of_groups(tmp_path):
    classes = [f"c{number}" for number in range(10)]
    flat = load(save_photos(tmp_path / "flat", classes), "all")
    assert flat.images.shape == (20, 8, 8, 3)
    assert flat.alphabet_names == ("flat",)
    names = [f"{group}/{name}" for group in "ab" for name in classes[:3]]
    groups = load(save_photos(tmp_path / "groups", names), "all")
    assert groups.alphabet.tolist() == [0] * 6 + [1] * 6
    assert groups.alphabet_names == ("a", "b")


def test_one_image_of_each_class_cannot_be_trained_on(tmp_path):
    for number in range(10):
        save(draw(), tmp_path / f"c{number}.png")
    with pytest.raises(InputError) as error:
        DataSource("folder", data_dir=str(tmp_path)).load("training")
    assert_names(error, "Each of 10 classes has only 1 image", "c0/1.png")
    assert "train" not in str(error.value)


def test_closed_set_is_trained_and_tested_on_the_same_classes(tmp_path):
    save_photos(tmp_path / "train", ["ka", "ma"], num=10)
    save_photos(tmp_path / "Test", ["ka", "ma"], num=3)
    source = DataSource("folder", data_dir=str(tmp_path), photo_size=8)
    sizes = {x: len(source.load(x)) for x in ("training", "validation", "test")}
    assert sizes == {"training": 16, "validation": 4, "test": 6}
    assert source.load_names() == ("ka", "ma")
    for split in ("validation", "test", "all"):
        assert source.is_closed(split)
    test = source.load("test")
    assert test.character.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.drawer.tolist() == [1, 2, 3] * 2
    assert source.load("validation").drawer.tolist() == [1, 2] * 2
    files = source.load_files("test")
    assert files == [f"Test/{x}/{i}.jpg" for x in ("ka", "ma") for i in "012"]
    assert len(source.load_files("all")) == 26
    # A folder for validation replaces the images taken from training.
    save_photos(tmp_path / "val", ["ka", "ma"], num=2)
    sizes = [len(load(tmp_path, x)) for x in ("training", "validation")]
    assert sizes == [20, 4]
    with pytest.raises(InputError, match="--split_by=group has no effect"):
        load(tmp_path, "test", split_by="group")


def test_files_of_groups_and_of_a_table_are_named_in_order(tmp_path):
    save_photos(tmp_path / "set", [f"{x}/c{i}" for x in "abc" for i in "01"])
    options = {"split_by": "group", "test_groups": ("c", "a")}
    source = DataSource(
        "folder", data_dir=str(tmp_path / "set"), photo_size=8, **options
    )
    names = [f"{x}/c{i}/{j}.jpg" for x in "ac" for i in "01" for j in "01"]
    assert source.load_files("test") == names
    reds = source.load("test").images[:, 4, 4, 0]
    np.testing.assert_allclose(
        reds, np.repeat([0, 20, 80, 100], 2), atol=5
    )  # as `save_photos` colors the classes of `a` and `c`
    table = tmp_path / "set" / "a" / "images.csv"
    outside = tmp_path / "set" / "b" / "c0" / "0.jpg"
    table.write_text(f"path,label\n{outside},x\nc0/1.jpg,ka\n")
    source = DataSource("folder", data_dir=str(table), photo_size=8)
    assert source.load_files("all") == ["c0/1.jpg", outside.as_posix()]
    assert DataSource("glyphs").load_files("test") is None


def test_given_splits_of_distinct_classes_are_kept(tmp_path):
    save_photos(tmp_path / "train", [f"c{number}" for number in range(15)])
    save_photos(tmp_path / "test", ["x", "y"])
    source = DataSource("folder", data_dir=str(tmp_path), photo_size=8)
    numbers = [
        source.load(x).num_characters
        for x in ("training", "validation", "test")
    ]
    assert numbers == [12, 3, 2]
    assert not any(map(source.is_closed, ("validation", "test", "all")))


def test_splits_with_some_classes_in_common_are_refused(tmp_path):
    save_photos(tmp_path / "train", ["ka", "ma"])
    save_photos(tmp_path / "test", ["ka", "nu"])
    with pytest.raises(InputError) as error:
        load(tmp_path, "training")
    assert_names(error, "1 classes that are trained on", "'ka'", "'nu'")


def test_changed_splits_change_the_fingerprint(tmp_path):
    table = tmp_path / "images.csv"
    save_photos(tmp_path, ["ka", "ma"])
    rows = ["ka/0.jpg,ka", "ka/1.jpg,ka", "ma/0.jpg,ma", "ma/1.jpg,ma"]
    found = set()
    for splits in (["train"] * 4, ["train", "train", "test", "test"]):
        lines = [f"{row},{x}" for row, x in zip(rows, splits, strict=True)]
        table.write_text("path,label,split\n" + "\n".join(lines))
        source = DataSource("folder", data_dir=str(table), photo_size=8)
        found.add(source.compute_fingerprint())
    assert len(found) == 2


def test_warnings_point_to_the_callers_line(tmp_path):
    for name in "abcd":
        for side in range(60, 70):
            save(draw(side=side), tmp_path / name / f"{side}.png")
    with pytest.warns(DataWarning, match="only 4 classes") as warned:
        load_characters("folder", "training", data_dir=str(tmp_path))
    assert warned[0].filename == __file__
