"""Arrays of images, kept in memory or, if they are too large, in a file."""

import math
import os
import tempfile

import numpy as np

from koch_siamese.errors import InputError

CHUNK = 4096  # images copied at once

_max_megabytes = 1024


def limit_memory(megabytes: int):
    """Sets the largest size of an array of images that is kept in memory."""
    global _max_megabytes
    _max_megabytes = megabytes


def allocate_images(shape: tuple[int, ...], dtype=np.uint8) -> np.ndarray:
    """Allocates images `[num, height, width, channels]`, or their features.

    An array above the limit is mapped from a file. The system keeps its used
    parts in memory, as far as they fit. The file is in `$TMPDIR`, has no name,
    and is deleted with the array.

    Raises:
        InputError: there is no room for the file.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= _max_megabytes << 20:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            # Allocated now, as a later write to a full disk is a bus error.
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
    """Selects images, or their features, by indices or a mask."""
    if which.dtype == bool:
        which = np.flatnonzero(which)
    taken = allocate_images((len(which), *images.shape[1:]), images.dtype)
    for start in range(0, len(which), CHUNK):
        chunk = slice(start, start + CHUNK)
        taken[chunk] = images[which[chunk]]
    return taken


def join(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenates arrays of images of the same size."""
    num = sum(map(len, parts))
    joined = allocate_images((num, *parts[0].shape[1:]), parts[0].dtype)
    return np.concatenate(parts, out=joined)
