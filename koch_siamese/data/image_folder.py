"""Loads a user's images from a folder or a table (CSV)."""

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from koch_siamese.data.characters import SPLITS, Characters, number_images
from koch_siamese.data.image_arrays import allocate_images
from koch_siamese.data.image_errors import ImageError, raise_image_errors
from koch_siamese.data.image_files import get_shape, read_image
from koch_siamese.data.image_paths import (
    is_table,
    normalize_name,
    require_path,
)
from koch_siamese.data.labelled_files import LabelledFiles, list_folder
from koch_siamese.data.manifest import read_manifest
from koch_siamese.errors import DataWarning

MAX_SILENT_IMAGES = 200  # more are read with a progress bar


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """A user's labeled images.

    Attributes:
        characters: the images with their labels.
        names: the name of each character, indexed by `characters.character`.
        splits: int8 `[num_images]`, the index in `SPLITS` of each image; None
            if no splits are given.
        has_drawers: whether drawers are given. If not, `drawer` numbers the
            images of a character.
        files: the path of each image; empty if they are not in files.
    """

    characters: Characters
    names: tuple[str, ...]
    splits: np.ndarray | None = None
    has_drawers: bool = False
    files: tuple[Path, ...] = ()


def load_folder(
    path: str | Path, crop: bool = False, photo_size: int = 0
) -> tuple[Characters, tuple[str, ...]]:
    """Loads a folder of images as characters of one or more alphabets.

    The depth of the images decides the layout: `alphabet/character/*.png`,
    `character/*.png`, or `character.png` with one drawing of each.

    Args:
        path: the folder; or a table of images, see `manifest.read_manifest`,
            whose splits are ignored here.
        crop: see `read_drawing`.
        photo_size: the side of photos in pixels, or 0 to read drawings.

    Returns:
        The characters and their sorted names, indexed by `character`. A name is
        that of the folder or file, after `alphabet/` if there are alphabets, in
        Unicode's composed form. `drawer` numbers the files of a character.
        Without alphabets, there is one, named after the folder.

    Raises:
        InputError: there are no images, some of them cannot be read, layouts
            are mixed, the folders are splits of one data set, or the table is
            wrong.
    """
    images = _load(_list_files(path, may_split=False), crop, photo_size)
    return images.characters, images.names


def load_images(
    path: str | Path, crop: bool = False, photo_size: int = 0
) -> ImageSet:
    """Loads a folder or a table of images with its own splits, if any.

    Folders named `train` and `test`, with or without one such as `val`, are
    splits of one data set.

    Args:
        path, crop, photo_size: see `load_folder`.

    Raises:
        InputError: see `load_folder`.
    """
    return _load(_list_files(path, may_split=True), crop, photo_size)


def check_files(path: str | Path, may_split: bool = False) -> list[Path]:
    """Checks the files of a folder or a table of images, but reads no image.

    Args:
        path: see `load_folder`.
        may_split: whether to check what `load_images` reads.

    Returns:
        The image files.

    Raises:
        InputError: see `load_folder`.
    """
    return _list_quietly(path, may_split).files


def has_splits(path: str | Path) -> bool:
    """Tells whether a folder or a table of images has splits of its own.

    Raises:
        InputError: see `load_folder`.
    """
    return _list_quietly(path, may_split=True).splits is not None


def _list_quietly(path, may_split):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # shown on reading
        return _list_files(path, may_split)


def _list_files(path, may_split):
    path = require_path(path)
    if is_table(path) and path.is_file():
        return read_manifest(path)
    return list_folder(path, may_split)


def _load(listed: LabelledFiles, crop, photo_size) -> ImageSet:
    """Reads the images, sorted by class and path."""
    labels = [tuple(map(normalize_name, label)) for label in listed.labels]
    files = listed.files
    order = sorted(range(len(files)), key=lambda i: (labels[i], files[i].parts))
    files = tuple(files[i] for i in order)
    images = _read_images(files, crop, photo_size)
    characters, names = make_characters([labels[i] for i in order], images)
    if not listed.has_groups:
        names = tuple(name.partition("/")[2] for name in names)
    if listed.drawers is not None:
        drawer = number_drawers(
            characters.alphabet,
            characters.character,
            np.array([listed.drawers[i] for i in order]),
        )
        characters = dataclasses.replace(characters, drawer=drawer)
    splits = listed.splits and np.array(
        [SPLITS.index(listed.splits[i]) for i in order], np.int8
    )
    has_drawers = listed.drawers is not None
    return ImageSet(characters, names, splits, has_drawers, files)


def show_progress(
    files: Sequence, what: str = "images", num_silent: int | None = None
) -> Iterable:
    """Shows a progress bar on a terminal while many files are read.

    Args:
        files: the files, or images.
        what: what they are.
        num_silent: the number without a bar, by default `MAX_SILENT_IMAGES`.
    """
    if num_silent is None:
        num_silent = MAX_SILENT_IMAGES
    # None: only shown on a terminal.
    is_quiet = True if len(files) <= num_silent else None
    return tqdm(files, f"Reading {what}", disable=is_quiet)


def _read_images(files, crop, photo_size):
    images = allocate_images((len(files), *get_shape(photo_size)))
    errors = []
    for image, file in zip(images, show_progress(files), strict=True):
        try:
            image[:] = read_image(file, crop, photo_size)
        except ImageError as error:
            errors.append(error)
    raise_image_errors(errors, len(files))
    return images


def make_characters(
    labels: Sequence[tuple[str, str]], images: np.ndarray
) -> tuple[Characters, tuple[str, ...]]:
    """Makes `Characters` from labeled images.

    Args:
        labels: the alphabet and the character of each image, sorted.
        images: uint8 `[num, height, width, channels]`.

    Returns:
        See `load_folder`; all names are `alphabet/character`.
    """
    names = sorted(set(labels))
    alphabets = sorted({alphabet for alphabet, _ in names})
    index = {name: i for i, name in enumerate(names)}
    character = np.array([index[label] for label in labels])
    rank = {alphabet: i for i, alphabet in enumerate(alphabets)}
    alphabet = np.array([rank[name] for name, _ in names])
    characters = Characters(
        images=images,
        character=character.astype(np.int32),
        number=number_images(alphabet)[character],
        alphabet=alphabet[character].astype(np.int32),
        drawer=number_images(character),
        alphabet_names=tuple(alphabets),
    )
    return characters, tuple("/".join(name) for name in names)


def number_drawers(
    alphabet: np.ndarray, character: np.ndarray, drawer: np.ndarray
) -> np.ndarray:
    """Numbers the drawers of each alphabet from 1.

    Those who drew the most characters come first, as a trial needs drawers who
    drew all of its alphabet.

    Args:
        alphabet, character: int `[num_images]`.
        drawer: `[num_images]`, the name of the person or session.

    Returns:
        int32 `[num_images]`.
    """
    numbers = np.empty(len(drawer), np.int32)
    for index in np.unique(alphabet):
        own = np.flatnonzero(alphabet == index)
        names, which = np.unique(drawer[own], return_inverse=True)
        pairs = np.unique(np.c_[which, character[own]], axis=0)
        drawn = np.bincount(pairs[:, 0], minlength=len(names))
        rank = np.empty(len(names), np.int32)
        rank[np.argsort(-drawn, kind="stable")] = np.arange(1, len(names) + 1)
        numbers[own] = rank[which]
    return numbers
