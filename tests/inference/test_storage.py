import dataclasses
import json

import numpy as np
import pytest
from conftest import TINY_MODEL

from koch_siamese.errors import InputError
from koch_siamese.inference import storage
from koch_siamese.inference.gallery import Gallery
from koch_siamese.inference.storage import Stored
from koch_siamese.models.loading import load_model
from koch_siamese.models.siamese import get_crop, get_thresholds
from koch_siamese.models.thresholds import Thresholds

NAMES = ("か\u3099", "two words", "line\nbreak")
STORED = Stored(
    Gallery(NAMES, np.arange(6, dtype=np.float32).reshape(3, 2)),
    "f" * 64,
    False,
    None,
    Thresholds(1.5, (0.5, 1.0), 2.0),
)


@pytest.fixture(scope="module")
def model():
    return load_model(TINY_MODEL)


def test_a_saved_recognizer_has_a_model_with_its_thresholds(tmp_path, model):
    storage.write(tmp_path / "mine", STORED, model)
    loaded = storage.load_model_of(tmp_path / "mine")
    assert get_thresholds(loaded) == STORED.thresholds
    assert not get_crop(loaded)
    plain = storage.load_model_of(TINY_MODEL)
    assert get_thresholds(plain) == get_thresholds(model) != STORED.thresholds
    assert get_crop(plain)


def test_gallery_file_is_the_same_after_writing_and_reading(tmp_path, model):
    path = tmp_path / "gallery.npz"
    storage.write(path, STORED, model)
    read = storage.read(path)
    # Names are composed: か and its voicing mark become one code point.
    assert read.gallery.names == ("\u304c", *NAMES[1:])
    np.testing.assert_array_equal(
        read.gallery.embeddings, STORED.gallery.embeddings
    )
    assert (read.fingerprint, read.crop) == (STORED.fingerprint, False)
    assert (read.model, read.thresholds) == (None, None)
    assert [x.name for x in tmp_path.iterdir()] == ["gallery.npz"]


def test_folder_is_the_same_after_writing_and_reading(tmp_path, model):
    path = tmp_path / "known"
    storage.write(path, STORED, model)
    read = storage.read(path)
    assert read.gallery.names[1:] == NAMES[1:]
    assert isinstance(read.gallery.embeddings, np.memmap)
    np.testing.assert_array_equal(
        read.gallery.embeddings, STORED.gallery.embeddings
    )
    assert (read.thresholds, read.crop) == (STORED.thresholds, False)
    load_model(read.model)
    # A replaced file is deleted, but can be read while it is open.
    smaller = Gallery(("a",), np.ones((1, 2), np.float32))
    storage.write(path, dataclasses.replace(STORED, gallery=smaller), model)
    assert read.gallery.embeddings[2, 1] == 5
    assert storage.read(path).gallery.names == ("a",)
    named = dataclasses.replace(STORED, model="pretrained", thresholds=None)
    storage.write(path, named, model)
    read = storage.read(path)
    assert (read.model, read.thresholds) == ("pretrained", None)
    assert len(list(path.iterdir())) == 2


def test_leftovers_of_killed_writes_are_removed(tmp_path, model):
    path = tmp_path / "known"
    stored = dataclasses.replace(STORED, model="pretrained")
    embeddings, index = "embeddings_0123456789ab.npy", "index_0123456789ab"
    leftovers = (
        embeddings,
        f"{index}.npy",
        f"{index}.faiss",
        "model_0123456789ab.keras",
        f".{embeddings}.12.partial",
        ".model_0123456789ab.keras.12.keras",
        ".recognizer.json.12.partial",
    )
    others = (
        "embeddings_0123456789AB.npy",
        f"{embeddings}.bak",
        f".{embeddings}.mine.partial",
        "recognizer.json.12.partial",
        "model.keras",
    )
    path.mkdir()
    # The first write was killed. Then others put files there, too.
    for names, num in ((leftovers, 2), (leftovers + others, 2 + len(others))):
        for name in names:
            (path / name).touch()
        storage.write(path, stored, model)
        assert len(list(path.iterdir())) == num
    assert storage.read(path).gallery.names[1:] == NAMES[1:]

    others = {".b.npz.12.partial", "a.npz.12.partial", ".a.npz.x.partial"}
    for name in (*others, ".a.npz.12.partial"):
        (tmp_path / name).touch()
    storage.write(tmp_path / "a.npz", STORED, model)
    names = {x.name for x in tmp_path.iterdir()}
    assert names == {"known", "a.npz", *others}


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", b"\x80\x04N.", b"PK\x03\x04" + b"\0" * 50],
    ids=["empty", "text", "pickle", "torn zip"],
)
def test_files_that_are_not_galleries_are_refused(tmp_path, content):
    path = tmp_path / "gallery.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a stored recognizer"):
        storage.read(path)


def test_gallery_with_pickles_or_odd_arrays_is_refused(tmp_path):
    path = tmp_path / "gallery.npz"
    fields = {
        "names": np.array(["a"]),
        "embeddings": np.zeros((1, 2), np.float32),
        "fingerprint": np.array("m"),
        "crop": np.array(True),
    }
    for change in (
        {"names": np.array([["a"], {}], object)},
        {"embeddings": np.zeros((2, 2), np.float32)},
        {"embeddings": np.zeros((1, 2))},
        {"embeddings": np.full((1, 2), np.nan, np.float32)},
    ):
        np.savez(path, **fields | change)
        with pytest.raises(InputError, match="not a stored recognizer"):
            storage.read(path)
    np.savez(path, **fields)
    assert storage.read(path).gallery.names == ("a",)


@pytest.mark.parametrize(
    "change",
    [
        {"embeddings": "../other.npy"},
        {"names": ["a"]},
        {"thresholds": {"same": 1}},
        {"model": "sub/model.keras"},
    ],
)
def test_folder_with_an_odd_index_is_refused(tmp_path, model, change):
    storage.write(tmp_path, STORED, model)
    index = tmp_path / "recognizer.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    with pytest.raises(InputError, match="not a stored recognizer"):
        storage.read(tmp_path)


def test_newer_format_is_refused(tmp_path, model):
    storage.write(tmp_path, STORED, model)
    index = tmp_path / "recognizer.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 2}))
    with pytest.raises(InputError, match="by a newer version of koch_siamese"):
        storage.read(tmp_path)


def test_missing_files_are_reported(tmp_path, model):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        storage.read(tmp_path / "none")
    storage.write(tmp_path, STORED, model)
    next(tmp_path.glob("*.npy")).unlink()
    with pytest.raises(InputError, match="cannot be read: No such file"):
        storage.read(tmp_path)


@pytest.mark.parametrize("name", ["a.npz", "folder"])
def test_path_that_is_not_a_folder_is_refused(tmp_path, model, name):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / name
    with pytest.raises(InputError, match=rf"{name} cannot be written: "):
        storage.write(path, STORED, model)
    with (
        pytest.raises(InputError, match=rf"{name} cannot be written: "),
        storage.lock(path),
    ):
        pass
