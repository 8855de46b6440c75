"""What users give to a recognizer: images, pages and names, as lists."""

import os
from collections.abc import Iterable

import numpy as np
from PIL import Image

from koch_siamese.data.characters import Characters
from koch_siamese.data.image_arrays import take
from koch_siamese.data.image_files import ARRAY_CHANNELS
from koch_siamese.data.image_folder import make_characters
from koch_siamese.data.image_paths import list_images, normalize_name
from koch_siamese.data.page_files import Page, PageFile, is_pdf, list_pages
from koch_siamese.errors import InputError
from koch_siamese.images import BYTES
from koch_siamese.inference.transcription import FoundPage
from koch_siamese.paths import expand_home

MIN_CALIBRATION_CHARACTERS = 3


def normalize_names(names: Iterable[object]) -> list[str]:
    """Normalizes names as those of files are; numbers become text."""
    return [normalize_name(str(name)) for name in names]


def list_given_images(images) -> tuple[list, bool]:
    """Lists one or more images; also returns whether it is a single one.

    Args:
        images: as in `Recognizer.classify`.
    """
    if isinstance(images, str | os.PathLike):
        path = expand_home(images)
        if _is_folder(path):
            return list_images(path), False
        return [path], True
    if hasattr(images, "__array__") and not isinstance(images, Image.Image):
        images = np.asarray(images)  # a tensor of any framework
        is_single = images.ndim == 2 or (
            images.ndim == 3 and images.shape[2] in ARRAY_CHANNELS
        )
        return ([images], True) if is_single else (list(images), False)
    is_one = isinstance(images, BYTES) or hasattr(images, "read")
    if is_one or not isinstance(images, Iterable):
        return [images], True
    return [
        expand_home(x) if isinstance(x, str | os.PathLike) else x
        for x in images
    ], False


def list_given_pages(pages) -> tuple[list, bool]:
    """Lists one or more pages; also returns whether it is a single one.

    Args:
        pages: as in `Recognizer.transcribe`.
    """
    if isinstance(pages, Page | PageFile | FoundPage):
        return [pages], True
    if isinstance(pages, str | os.PathLike):
        path = expand_home(pages)
        if _is_folder(path):
            return list_pages(path), False
        if _is_file(path):
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


def _is_folder(path):
    try:
        return path.is_dir()
    except OSError:  # for example, the name is too long
        return False


def _is_file(path):
    try:
        return path.is_file()
    except OSError:  # for example, the name is too long
        return False


def group_by_name(names: list[str], drawings: np.ndarray) -> Characters:
    """Groups drawings by name, as the characters of one alphabet.

    Args:
        names: the character of each drawing.
        drawings: uint8 `[num, height, width, channels]`.

    Raises:
        InputError: there are too few for a calibration.
    """
    if not names:
        raise InputError("There are no labelled images: give some.")
    order = np.argsort(names, kind="stable")
    labels = [("", names[i]) for i in order]
    characters, _ = make_characters(labels, take(drawings, order))
    counts = np.bincount(characters.character)
    if len(counts) < MIN_CALIBRATION_CHARACTERS or counts.min() < 2:
        raise InputError(
            f"There are {len(counts)} characters, with {counts.min()} to "
            f"{counts.max()} images each: expected at least "
            f"{MIN_CALIBRATION_CHARACTERS} characters with 2 images or more; "
            "add some."
        )
    return characters
