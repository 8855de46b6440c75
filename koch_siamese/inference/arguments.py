"""What users give to a recognizer: images, pages and names, as lists."""

import math
import numbers
import os
from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from koch_siamese.data.characters import Characters
from koch_siamese.data.image_arrays import take
from koch_siamese.data.image_errors import make_image_error
from koch_siamese.data.image_files import check_dtype, is_single_image
from koch_siamese.data.image_folder import make_characters
from koch_siamese.data.image_paths import list_images, normalize_name
from koch_siamese.data.page_files import Page, PageFile, is_pdf, list_pages
from koch_siamese.errors import InputError
from koch_siamese.images import BYTES
from koch_siamese.inference.transcription import FoundPage
from koch_siamese.paths import expand_home

MIN_CALIBRATION_CHARACTERS = 3
MIN_SIDE = 8  # pixels; a shorter last axis of an array seems to be channels


def normalize_names(names: Iterable[object]) -> list[str]:
    """Normalizes names as those of files are; numbers become text.

    Raises:
        InputError: it is a text instead of a list of names, or a name is empty.
    """
    if isinstance(names, str):
        raise InputError(
            f"names is {names!r}: expected a list of names; for a single one, "
            f"[{names!r}]."
        )
    normalized = [normalize_name(str(name)) for name in names]
    if not all(map(str.strip, normalized)):
        raise InputError(
            "The name of a character is empty: expected a text that says what "
            "the image shows."
        )
    return normalized


def list_given_images(images) -> tuple[list, bool]:
    """Lists one or more images; also returns whether it is a single one.

    Args:
        images: as in `Recognizer.classify`.

    Raises:
        InputError: it is an empty path, an array that is neither an image nor
            several, or a list of lists.
    """
    if isinstance(images, str | os.PathLike):
        path = expand_home(images)
        # Unlike Path.is_dir, this is false for a name that is too long.
        if os.path.isdir(path):  # noqa: PTH112
            return list_images(path), False
        return [path], True
    if hasattr(images, "__array__") and not isinstance(images, Image.Image):
        images = np.asarray(images)  # a tensor of any framework
        if is_single_image(images):
            return [images], True
        _check_several(images)
        return list(images), False
    is_one = isinstance(images, BYTES) or hasattr(images, "read")
    if is_one or not isinstance(images, Iterable):
        return [images], True
    images = list(images)
    if any(isinstance(x, list | tuple) for x in images):
        raise InputError(
            "Got a list of lists: expected a list of paths, arrays or other "
            "images; make an array of numbers by numpy.array(image, 'uint8')."
        )
    return [
        expand_home(x) if isinstance(x, str | os.PathLike) else x
        for x in images
    ], False


def _check_several(array):
    """Checks an array of several images, unless it has none, or paths."""
    if array.ndim and (array.dtype.kind in "OSU" or not array.size):
        return
    check_dtype(array)
    if not (
        array.ndim in (3, 4)
        and is_single_image(array[0])
        and min(array.shape[1:3]) >= MIN_SIDE
    ):
        raise make_image_error(
            array,
            "is neither an image nor several",
            "[height, width] or [height, width, channels] with 1, 3 or 4 "
            f"channels, or several of these, of at least {MIN_SIDE} pixels a "
            "side, along a first axis",
            "move the channels last, or enlarge the images",
        )


def list_labelled(labelled: Mapping) -> tuple[list[str], list, list[str]]:
    """Lists labeled images.

    Args:
        labelled: names with one or more images each.

    Returns:
        The name of each image, the images, and what errors call them.

    Raises:
        InputError: it is something else, or there are no images.
    """
    if not isinstance(labelled, Mapping):
        raise InputError(
            f"Got a value of type {type(labelled).__name__}: expected a "
            "folder, a table (CSV), or a dict from names to images."
        )
    if not labelled:
        raise InputError("There are no labeled images: give some.")
    names, images, labels = [], [], []
    for name, given in labelled.items():
        given, _ = list_given_images(given)
        if not given:
            raise InputError(f"There is no image of {name!r}: give some.")
        names += normalize_names([name] * len(given))
        images += given
        labels += [f"Image {i + 1} of {name!r}" for i in range(len(given))]
    return names, images, labels


def list_given_pages(pages) -> tuple[list, bool]:
    """Lists one or more pages; also returns whether it is a single one.

    Args:
        pages: as in `Recognizer.transcribe`.
    """
    if isinstance(pages, Page | PageFile | FoundPage):
        return [pages], True
    if isinstance(pages, str | os.PathLike):
        path = expand_home(pages)
        if os.path.isdir(path):  # noqa: PTH112
            return list_pages(path), False
        if os.path.isfile(path):  # noqa: PTH113
            pages = list_pages(path)
            return pages, len(pages) == 1 and not is_pdf(path)
    pages, is_single = list_given_images(pages)
    if is_single:
        return pages, True
    # A path in a list may have several pages, too.
    parts = [
        list_pages(x) if isinstance(x, os.PathLike) else [x] for x in pages
    ]
    return [page for part in parts for page in part], False


def check_number(name: str, number: float | None):
    """Checks that an argument is a number, which may be infinite, or None.

    Raises:
        InputError: it is something else.
    """
    is_number = (
        isinstance(number, numbers.Real)
        and not isinstance(number, bool)
        and not math.isnan(number)
    )
    if number is not None and not is_number:
        raise InputError(f"{name} is {number!r}: expected a number.")


def group_by_name(names: list[str], drawings: np.ndarray) -> Characters:
    """Groups drawings by name, as the characters of one alphabet.

    Args:
        names: the character of each drawing.
        drawings: uint8 `[num, height, width, channels]`.

    Raises:
        InputError: there are too few for a calibration.
    """
    order = np.argsort(names, kind="stable")
    labels = [("", names[i]) for i in order]
    characters, _ = make_characters(labels, take(drawings, order))
    counts = np.bincount(characters.character)
    if len(counts) < MIN_CALIBRATION_CHARACTERS or counts.min() < 2:
        raise InputError(
            f"There are {len(counts)} characters, each with {counts.min()} or "
            f"more images: expected at least {MIN_CALIBRATION_CHARACTERS} "
            "characters, each with 2 or more; add some."
        )
    return characters
