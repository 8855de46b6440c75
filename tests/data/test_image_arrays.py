import os

import numpy as np
import pytest
from conftest import make_characters

from koch_siamese.data import image_arrays
from koch_siamese.data.image_arrays import allocate_images, join, take
from koch_siamese.errors import InputError

IMAGES = np.arange(40, dtype=np.uint8).reshape(10, 2, 2)


@pytest.fixture
def files():
    """Keeps every array in a file."""
    image_arrays.limit_memory(0)
    yield
    image_arrays.limit_memory(1024)


def test_memory_limit_is_exact():
    image_arrays.limit_memory(1)
    try:
        assert type(allocate_images((1024, 32, 32))) is np.ndarray
        assert isinstance(allocate_images((1025, 32, 32)), np.memmap)
    finally:
        image_arrays.limit_memory(1024)


@pytest.mark.parametrize("chunk", [1, 3, 4096])
def test_files_hold_the_same_values_as_memory(files, chunk, monkeypatch):
    monkeypatch.setattr(image_arrays, "CHUNK", chunk)
    which = np.array([7, 0, 7, 9])
    for chosen in (which, IMAGES[:, 0, 0] > 20, np.zeros(10, bool)):
        taken = take(IMAGES, chosen)
        np.testing.assert_array_equal(taken, IMAGES[chosen])
    joined = join([IMAGES, IMAGES[:3], IMAGES[:, ::-1]])
    expected = np.concatenate([IMAGES, IMAGES[:3], IMAGES[:, ::-1]])
    np.testing.assert_array_equal(joined, expected)


def test_features_of_images_keep_their_values(files):
    features = np.float32([[0.25, -3.0], [1e-9, 700.0]])
    which = np.array([1, 0, 1])
    np.testing.assert_array_equal(take(features, which), features[which])
    np.testing.assert_array_equal(join([features, features])[2:], features)


def test_full_disk_is_reported(files, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(InputError, match=r"No space left.*TMPDIR"):
        allocate_images((4, 2, 2))


def test_characters_are_the_same_in_files(files):
    in_files = make_characters(side=12).with_quarter_turns().resized(9)
    assert isinstance(in_files.images, np.memmap)
    image_arrays.limit_memory(1024)
    in_memory = make_characters(side=12).with_quarter_turns().resized(9)
    np.testing.assert_array_equal(in_files.images, in_memory.images)
