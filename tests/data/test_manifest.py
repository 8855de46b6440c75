import numpy as np
import pytest
from drawing import assert_names, draw, save
from PIL import Image

from koch_siamese.data import image_arrays
from koch_siamese.data.image_folder import load_folder, load_images
from koch_siamese.data.manifest import read_manifest
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import DataWarning, InputError


@pytest.fixture
def folder(tmp_path):
    """A folder with six photos, which the tables of the tests list."""
    for number in range(6):
        photo = Image.new("RGB", (8, 8), (number, 100, 200))
        save(photo, tmp_path / "photos" / f"{number}.png")
    return tmp_path


def write(folder, text, **options):
    table = folder / "table.csv"
    table.write_text(text, **{"encoding": "utf-8"} | options)
    return table


def test_columns_in_any_order_and_absolute_paths_are_read(folder):
    absolute = folder / "photos" / "0.png"
    table = write(
        folder,
        "Label, drawer,path,group\n"
        f'"ka, big",Ann,{absolute},B\n'
        "ka,Bob,photos/1.png,A\n"
        "\n"
        "ka,Ann,photos\\2.png,A\n"
        "ma,Bob,./photos/3.png,A\n",
    )
    images = load_images(table, photo_size=8)
    assert images.names == ("A/ka", "A/ma", "B/ka, big")
    characters = images.characters
    assert characters.alphabet_names == ("A", "B")
    assert characters.character.tolist() == [0, 0, 1, 2]
    assert characters.number.tolist() == [1, 1, 2, 1]
    # Drawers are numbered in each group. In A, Bob drew the most characters.
    assert characters.drawer.tolist() == [1, 2, 1, 1]
    assert characters.images[:, 0, 0, 0].tolist() == [1, 2, 3, 0]
    assert (images.splits, images.has_drawers) == (None, True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_names_are_composed_and_any_separator_is_read(
    folder, encoding, delimiter
):
    rows = [
        ("path", "label", "group"),
        ("photos/1.png", "e\u0301", ""),
        ("photos/0.png", "\u00e9", ""),
    ]
    text = "\r\n".join(map(delimiter.join, rows))
    characters, names = load_folder(
        write(folder, text, encoding=encoding), photo_size=8
    )
    assert names == ("\u00e9",)
    assert characters.alphabet_names == ("table",)
    # Images are sorted by path, not by line.
    assert characters.images[:, 0, 0, 0].tolist() == [0, 1]
    assert characters.drawer.tolist() == [1, 2]


def test_table_may_end_in_tsv(folder):
    table = folder / "table.tsv"
    table.write_text("path\tlabel\nphotos/1.png\tka\n")
    assert load_images(table, photo_size=8).names == ("ka",)


def test_usual_names_of_splits_are_understood(folder):
    splits = ("train", "Training", "val", "VALIDATION", "test", "dev")
    rows = [f"photos/{i}.png,c{i},{x}" for i, x in enumerate(splits)]
    table = write(folder, "path,label,split\n" + "\n".join(rows))
    images = load_images(table, photo_size=8)
    assert images.splits.tolist() == [0, 0, 1, 1, 2, 1]
    source = DataSource("folder", data_dir=str(table), photo_size=8)
    loaded = [len(source.load(x)) for x in ("training", "validation", "test")]
    assert loaded == [2, 3, 1]
    # Support examples come from all splits.
    assert len(load_folder(table, photo_size=8)[0]) == 6


def test_split_without_images_is_refused(folder):
    table = write(folder, "path,label,split\nphotos/0.png,ka,test")
    source = DataSource("folder", data_dir=str(table), photo_size=8)
    assert len(source.load("test")) == 1
    with pytest.raises(InputError, match="no images for the training split"):
        source.load("training")


def test_other_columns_are_ignored_with_a_warning(folder):
    table = write(folder, "path,label,width,Split\nphotos/0.png,ka,8,\n")
    with pytest.warns(
        DataWarning, match=r"columns that are ignored: 'width'\."
    ):
        listed = read_manifest(table)
    assert listed.splits is None


ROW = "photos/0.png,ka"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["has no images", "path,label"]),
        ("a;b\n1;2", ["lacks the column path and label: it has 'a', 'b'"]),
        ("path,class\nx,y", ["lacks the column label", "'class'", "rename"]),
        ("path,label,path\na,b,c", ["has the column path twice"]),
        ("path,label\n\n", ["has no images", "add a line for each image"]),
        (f"path,label\n{ROW},x\n", ["has 3 values in line 2", "quotes"]),
        ("path,label\nphotos/0.png\n", ["has 1 values in line 2"]),
        ("path,label\nphotos/0.png, \n", ["has no label in line 2"]),
        (f"path,label,group\n{ROW},\nb,ma,A", ["has no group in line 2"]),
        (
            f"path,label\n{ROW}\n\nphotos/../{ROW}\n",
            ["'photos/../photos/0.png' in the lines 2 and 4", "each image"],
        ),
        (
            f"path,label,split\n{ROW},tests",
            ["the split 'tests' in line 2", "train, val or test"],
        ),
        (
            "path,label\nx.png,ka\n",
            ["line 2 is not there: expected a file, absolute or relative to "],
        ),
        (
            f"path,label\nx.png,ka\n{ROW}\ny\0.png,ka\n",
            ["2 of 3 images", "'x.png' of line 2", "of line 4 is not there"],
        ),
        (f'path,label\n"{ROW}\n', ["cannot be read as a table"]),
    ],
)
def test_mistakes_get_one_line(folder, text, parts):
    table = write(folder, text)
    with pytest.raises(InputError) as error:
        load_images(table, photo_size=8)
    assert_names(error, *parts)


def test_other_encodings_are_refused(folder):
    for encoding in ("utf-16", "latin-1"):
        table = write(folder, "path,label\nä.png,ka", encoding=encoding)
        with pytest.raises(InputError) as error:
            read_manifest(table)
        assert_names(error, "cannot be read as a table", "save it as CSV UTF-8")


def test_photos_beyond_the_memory_limit_are_kept_in_a_file(folder):
    rows = "\n".join(f"photos/{i}.png,c{i % 2}" for i in range(6))
    image_arrays.limit_memory(0)
    try:
        images = load_images(write(folder, f"path,label\n{rows}"), photo_size=8)
        chosen = images.characters.select(np.arange(2))
    finally:
        image_arrays.limit_memory(1024)
    assert isinstance(images.characters.images, np.memmap)
    assert isinstance(chosen.images, np.memmap)
    assert images.characters.images.shape == (6, 8, 8, 3)


def test_drawings_are_read_as_drawings(tmp_path):
    save(draw(), tmp_path / "1.png")
    characters, names = load_folder(write(tmp_path, "path,label\n1.png,ka"))
    assert (names, characters.images.shape) == (("ka",), (1, 105, 105, 1))


def test_table_is_not_a_tfds_folder(folder):
    table = write(folder, f"path,label\n{ROW}")
    with pytest.raises(InputError, match=r"is a file: .*--dataset=folder"):
        DataSource("glyphs", data_dir=str(table)).load("test")
