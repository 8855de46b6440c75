import sys

import numpy as np
import pytest
from drawing import assert_names, draw, save

from koch_siamese.data import image_paths
from koch_siamese.data.image_files import read_drawing
from koch_siamese.data.image_paths import SkippedFilesWarning, list_images
from koch_siamese.errors import InputError


def test_heic_needs_an_extra(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    path = save(draw(), tmp_path / "a.heic", format="HEIF", quality=-1)
    np.testing.assert_array_equal(read_drawing(path), np.asarray(draw()))
    save(draw(), tmp_path / "b.png")
    assert [x.name for x in list_images(tmp_path)] == ["a.heic", "b.png"]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    image_paths.get_formats.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'koch-siamese\[heic\]'"):
        read_drawing(path)
    with pytest.warns(
        SkippedFilesWarning, match=r"1 \.heic\. HEIC images need"
    ):
        assert [x.name for x in list_images(tmp_path)] == ["b.png"]
    image_paths.get_formats.cache_clear()


def test_errors_for_pdfs_point_to_transcribe(tmp_path):
    save(draw(), tmp_path / "a.png")
    path = tmp_path / "page.pdf"
    path.touch()
    reader = r"use koch_siamese\.transcribe \(Recognizer\.transcribe\)"
    for read in (list_images, read_drawing):
        with pytest.raises(InputError, match=rf"is a PDF: .*{reader}"):
            read(path)
    with pytest.warns(SkippedFilesWarning, match=rf"1 \.pdf\. .*{reader}"):
        assert [x.name for x in list_images(tmp_path)] == ["a.png"]
    assert list_images(path, others=(".pdf",)) == [path]


def test_what_is_not_an_image_or_a_folder_is_refused(tmp_path):
    (tmp_path / "t.TSV").touch()
    for path, part in (
        (tmp_path / "t.TSV", "is a table: expected an image or a folder"),
        ("/dev/null", "is neither a file nor a folder: expected an image"),
        (tmp_path / "*.png", "does not exist: .*; give the folder, not a patt"),
    ):
        with pytest.raises(InputError, match=part):
            list_images(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the broken link
def test_links_are_followed_but_not_in_circles(tmp_path):
    known = tmp_path / "known"
    save(draw(), tmp_path / "elsewhere/ka/1.png")
    save(draw(), known / "ma/1.png")
    (known / "ka").symlink_to(tmp_path / "elsewhere/ka")
    (known / "ma/all").symlink_to(known)
    (known / "gone").symlink_to(tmp_path / "nowhere")
    found = [file.relative_to(known).as_posix() for file in list_images(known)]
    assert found == ["ka/1.png", "ma/1.png"]


def test_unreadable_folder_is_reported(tmp_path, monkeypatch):
    save(draw(), tmp_path / "a" / "1.png")

    def walk(root, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "b")))

    monkeypatch.setattr("os.walk", walk)
    with pytest.raises(InputError) as error:
        list_images(tmp_path)
    assert_names(error, "b' cannot be read (Permission denied)")


def test_images_are_listed_by_name_without_hidden_files(tmp_path):
    names = ["b/2.PNG", "a/1.jpeg", "c.gif"]
    hidden = [".d/1.png", "b/.1.png", "notes.txt", "b/png"]
    for name in names + hidden:
        save(draw(), tmp_path / name, format="png")
    (tmp_path / "folder.png").mkdir()
    with pytest.warns(SkippedFilesWarning) as warned:
        found = [file.relative_to(tmp_path) for file in list_images(tmp_path)]
    assert warned[0].message.counts == {"": 1, ".txt": 1}
    assert [file.as_posix() for file in found] == sorted(names)
    assert list_images(tmp_path / "c.gif") == [tmp_path / "c.gif"]
    for path in (tmp_path / "folder.png", tmp_path / "mis\nsing"):
        with pytest.raises(InputError) as error:
            list_images(path)
        assert_names(error, "expected")
