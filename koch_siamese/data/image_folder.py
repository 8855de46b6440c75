"""Loads and splits a folder of images."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from koch_siamese.data.characters import SPLITS, Characters
from koch_siamese.data.image_arrays import make_images
from koch_siamese.data.image_files import complaint, list_images, read_drawing
from koch_siamese.errors import InputError
from koch_siamese.images import IMAGE_SIZE

MIN_CHARACTERS = 10  # fewer would leave one to validate or to test on
SPLIT_SEED = 0
MAX_SILENT_IMAGES = 200  # more are read with a progress bar


def load_folder(
    path: str | Path, crop: bool = False
) -> tuple[Characters, tuple[str, ...]]:
    """Loads a folder of images: the characters of one or of several alphabets.

    How deep the images lie decides the layout: `alphabet/character/*.png`,
    `character/*.png`, or `character.png` with one drawing of each.

    Args:
        path: the folder.
        crop: see `read_drawing`.

    Returns:
        The characters, and the name of each: its folder's or file's, after
        `alphabet/` where there are alphabets. `character` indexes the names,
        in sorted order; `drawer` counts a character's files. Without
        alphabets, one that is named like the folder.

    Raises:
        InputError: there are no images, one of them cannot be read, or layouts
            are mixed.
    """
    files = list_images(path)
    labels = _read_labels(Path(path), files)
    names = sorted(set(labels))
    alphabets = sorted({alphabet for alphabet, _ in names})
    rank = {alphabet: place for place, alphabet in enumerate(alphabets)}
    index = {name: place for place, name in enumerate(names)}
    character = np.array([index[label] for label in labels])
    order = np.argsort(character, kind="stable")
    character = character[order]
    # None: shown on a terminal alone.
    is_quiet = True if len(order) <= MAX_SILENT_IMAGES else None
    progress = tqdm(order, "Reading images", disable=is_quiet)
    alphabet = np.array([rank[name] for name, _ in names])
    number = np.arange(len(names)) - np.searchsorted(alphabet, alphabet) + 1
    place = np.arange(len(files)) - np.searchsorted(character, character)
    images = make_images((len(order), IMAGE_SIZE, IMAGE_SIZE))
    for image, file in zip(images, progress, strict=True):
        image[:] = read_drawing(files[file], crop)
    characters = Characters(
        images=images,
        character=character.astype(np.int32),
        number=number[character].astype(np.int32),
        alphabet=alphabet[character].astype(np.int32),
        drawer=(place + 1).astype(np.int32),
        alphabet_names=tuple(alphabets),
    )
    is_layered = len(files[0].relative_to(path).parts) == 3
    return characters, tuple(
        f"{alphabet}/{name}" if is_layered else name for alphabet, name in names
    )


def _read_labels(root, files):
    """The alphabet and the character that each file's path tells."""
    if root.is_file():
        return [(root.resolve().parent.name, root.stem)]
    inner = [file.relative_to(root).parts for file in files]
    depths = {len(parts): parts for parts in reversed(inner)}
    if len(depths) > 1 or max(depths) > 3:
        found = ", ".join(repr(str(Path(*depths[d]))) for d in sorted(depths))
        raise complaint(
            root,
            f"has images at {found}",
            "one layout: character.png, character/*.png or "
            "alphabet/character/*.png",
            "move the files that differ",
        )
    if len(inner[0]) == 3:
        return [parts[:2] for parts in inner]
    folder = root.resolve().name
    if len(inner[0]) == 2:
        return [(folder, parts[0]) for parts in inner]
    return [(folder, file.stem) for file in files]


def split_characters(characters: Characters, split: str) -> Characters:
    """The part of the characters that serves to train, choose or test.

    Three in five characters train, one validates, one tests: of all, and give
    or take one of each alphabet. The parts share no character, and are the same
    whatever the seed of a training: no model is tested on what another one, or
    the one it began from, was trained on.

    Args:
        characters: any drawings.
        split: `training`, `validation` or `test`.

    Returns:
        Characters with their labels kept.

    Raises:
        InputError: there are fewer than MIN_CHARACTERS characters, or only one
            drawing of some.
        ValueError: `split` is not one of the three.
    """
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; use one of {SPLITS}.")
    known, first, counts = np.unique(
        characters.character, return_index=True, return_counts=True
    )
    _check_splittable(characters, first, counts)
    rng = np.random.default_rng(SPLIT_SEED)
    # Neighbors of one alphabet, in any order, take the five turns.
    order = np.lexsort((rng.random(len(known)), characters.alphabet[first]))
    turns = rng.permutation([0, 0, 0, 1, 2])
    part = turns[np.arange(len(known)) % len(turns)]
    chosen = known[order[part == SPLITS.index(split)]]
    return characters.select(np.isin(characters.character, chosen))


def _check_splittable(characters, first, counts):
    if len(counts) < MIN_CHARACTERS:
        raise InputError(
            f"There are {len(counts)} characters: expected at least "
            f"{MIN_CHARACTERS} to train, validate and test on; add some."
        )
    if counts.min() < 2:
        drawing = first[counts.argmin()]
        name = characters.alphabet_names[characters.alphabet[drawing]]
        raise InputError(
            f"Character {characters.number[drawing]} of alphabet {name!r} has "
            "1 drawing: expected at least 2 of each; add some or remove it."
        )
