"""Arrays of many images: in memory, or in a file if they are too many."""

import math
import os
import tempfile

import numpy as np

from koch_siamese.errors import InputError

CHUNK = 4096  # images that are moved at once

_max_megabytes = 1024


def limit_memory(megabytes: int):
    """Sets from which size on an array of images is a file of its own."""
    global _max_megabytes
    _max_megabytes = megabytes


def make_images(shape: tuple[int, ...], dtype=np.uint8) -> np.ndarray:
    """Room for images `[num, height, width, channels]`, or their features.

    More than the limit is mapped from a file, of which the system keeps in
    memory what is used and fits. The file is nameless, in `$TMPDIR`, and goes
    with the array.

    Raises:
        InputError: there is no room for the file.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= _max_megabytes << 20:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            # All of it now: a write to a full disk later would be a bus error.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        raise InputError(
            f"{size >> 20} MB of images do not fit into a file in "
            f"{tempfile.gettempdir()} ({error}): set TMPDIR to a folder with "
            "more room, or raise --max_image_megabytes."
        ) from error


def take(images: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The images, or their features, at `which`: indices, or a mask."""
    if which.dtype == bool:
        which = np.flatnonzero(which)
    taken = make_images((len(which), *images.shape[1:]), images.dtype)
    for start in range(0, len(which), CHUNK):
        chunk = slice(start, start + CHUNK)
        taken[chunk] = images[which[chunk]]
    return taken


def join(parts: list[np.ndarray]) -> np.ndarray:
    """One array of several, which have images of one size."""
    num = sum(map(len, parts))
    joined = make_images((num, *parts[0].shape[1:]), parts[0].dtype)
    place = 0
    for part in parts:
        for start in range(0, len(part), CHUNK):
            chunk = part[start : start + CHUNK]
            joined[place : place + len(chunk)] = chunk
            place += len(chunk)
    return joined
