"""Loads and splits a folder of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from koch_siamese.data.characters import SPLITS, Characters
from koch_siamese.data.image_arrays import make_images
from koch_siamese.data.image_files import (
    MAX_LISTED,
    ImageError,
    complaint,
    get_shape,
    list_images,
    normalize_name,
    raise_complaints,
    read_image,
    require_path,
)
from koch_siamese.errors import InputError

MIN_CHARACTERS = 10  # fewer would leave one to validate or to test on
SPLIT_SEED = 0
MAX_SILENT_IMAGES = 200  # more are read with a progress bar
# Names of folders that hold parts of one data set, not alphabets.
SPLIT_NAMES = {
    *("train", "training", "val", "valid", "validation", "dev"),
    *("test", "testing", "eval", "evaluation"),
}


def load_folder(
    path: str | Path, crop: bool = False, photo_size: int = 0
) -> tuple[Characters, tuple[str, ...]]:
    """Loads a folder of images: the characters of one or of several alphabets.

    How deep the images lie decides the layout: `alphabet/character/*.png`,
    `character/*.png`, or `character.png` with one drawing of each.

    Args:
        path: the folder.
        crop: see `read_drawing`.
        photo_size: side in pixels at which images are read as photos; 0: as
            drawings.

    Returns:
        The characters, and the name of each: its folder's or file's, after
        `alphabet/` where there are alphabets, in Unicode's composed form.
        `character` indexes the names, in sorted order; `drawer` counts a
        character's files. Without alphabets, one that is named like the folder.

    Raises:
        InputError: there are no images, some of them cannot be read, layouts
            are mixed, or the folders are splits of one data set.
    """
    path = require_path(path)
    files = list_images(path)
    labels = _read_labels(path, files)
    order = sorted(range(len(files)), key=labels.__getitem__)
    images = _read_images([files[i] for i in order], crop, photo_size)
    characters, names = make_characters([labels[i] for i in order], images)
    if len(files[0].relative_to(path).parts) < 3:
        names = tuple(name.partition("/")[2] for name in names)
    return characters, names


def _read_images(files, crop, photo_size):
    images = make_images((len(files), *get_shape(photo_size)))
    # None: shown on a terminal alone.
    is_quiet = True if len(files) <= MAX_SILENT_IMAGES else None
    errors = []
    for image, file in zip(
        images, tqdm(files, "Reading images", disable=is_quiet), strict=True
    ):
        try:
            image[:] = read_image(file, crop, photo_size)
        except ImageError as error:
            errors.append(error)
    raise_complaints(errors, len(files))
    return images


def make_characters(
    labels: Sequence[tuple[str, str]], images: np.ndarray
) -> tuple[Characters, tuple[str, ...]]:
    """Makes characters of labelled images.

    Args:
        labels: the alphabet and the character of each image, sorted.
        images: uint8 `[num, height, width, channels]`.

    Returns:
        As `load_folder`, names being `alphabet/character`.
    """
    names = sorted(set(labels))
    alphabets = sorted({alphabet for alphabet, _ in names})
    index = {name: place for place, name in enumerate(names)}
    character = np.array([index[label] for label in labels])
    rank = {alphabet: place for place, alphabet in enumerate(alphabets)}
    alphabet = np.array([rank[name] for name, _ in names])
    number = np.arange(len(names)) - np.searchsorted(alphabet, alphabet) + 1
    place = np.arange(len(labels)) - np.searchsorted(character, character)
    characters = Characters(
        images=images,
        character=character.astype(np.int32),
        number=number[character].astype(np.int32),
        alphabet=alphabet[character].astype(np.int32),
        drawer=(place + 1).astype(np.int32),
        alphabet_names=tuple(alphabets),
    )
    return characters, tuple("/".join(name) for name in names)


def _read_labels(root, files):
    """The alphabet and the character that each file's path tells."""
    if root.is_file():
        labels = [(root.resolve().parent.name, root.stem)]
    else:
        labels = _read_layout(root, files)
    return [tuple(map(normalize_name, label)) for label in labels]


def _read_layout(root, files):
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
        labels = [parts[:2] for parts in inner]
        _check_alphabets(root, set(labels))
        return labels
    folder = root.resolve().name
    if len(inner[0]) == 2:
        return [(folder, parts[0]) for parts in inner]
    return [(folder, file.stem) for file in files]


def _check_alphabets(root, names):
    """Refuses parts of one data set as alphabets."""
    parts = {}
    for alphabet, name in sorted(names):
        if alphabet.casefold() in SPLIT_NAMES:
            parts.setdefault(alphabet, set()).add(name)
    if len(parts) < 2:
        return
    shared = set.intersection(*parts.values())
    if shared:
        found = ", ".join(map(repr, parts))
        raise complaint(
            root,
            f"has the folders {found} with {len(shared)} names in common, "
            f"such as {min(shared)!r}, which look like parts of one data set",
            "alphabets, whose characters differ",
            f"give one part, such as {str(root / min(parts))!r}, or rename "
            "the folders",
        )


def split_characters(
    characters: Characters, split: str, names: Sequence[str] = ()
) -> Characters:
    """The part of the characters that serves to train, choose or test.

    Three in five characters train, one validates, one tests: of all, and give
    or take one of each alphabet. The parts share no character, and are the same
    whatever the seed of a training: no model is tested on what another one, or
    the one it began from, was trained on.

    Args:
        characters: any drawings.
        split: `training`, `validation` or `test`.
        names: of the characters, for messages.

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
    _check_splittable([names[x] if names else str(x) for x in known], counts)
    rng = np.random.default_rng(SPLIT_SEED)
    # Neighbors of one alphabet, in any order, take the five turns.
    order = np.lexsort((rng.random(len(known)), characters.alphabet[first]))
    turns = rng.permutation([0, 0, 0, 1, 2])
    part = turns[np.arange(len(known)) % len(turns)]
    chosen = known[order[part == SPLITS.index(split)]]
    return characters.select(np.isin(characters.character, chosen))


def split_groups(
    characters: Characters,
    split: str,
    parts: Mapping[str, Sequence[str]],
) -> Characters:
    """The groups that serve to train, choose or test: whole alphabets.

    Args:
        characters: of several groups.
        split: `training`, `validation` or `test`.
        parts: the names of the groups of each split. Those that no split has
            train, or if there are some to train on, test. Without any names
            three groups in five train, one validates, one tests, and the same
            ones whatever the seed of a training.

    Raises:
        InputError: there is no such group, one is in two splits, or none is
            left.
    """
    known = characters.alphabet_names
    given = [name for part in parts.values() for name in part]
    for name in given:
        if name not in known:
            raise InputError(
                f"There is no group {name!r}: expected some of "
                f"{', '.join(map(repr, known))}."
            )
        if given.count(name) > 1:
            raise InputError(
                f"The group {name!r} is named twice: expected each in one of "
                "--training_groups, --validation_groups and --test_groups."
            )
    rest = tuple(name for name in known if name not in given)
    if not given:
        turns = np.random.default_rng(SPLIT_SEED).permutation(len(known))
        part = np.array([1, 2, 0, 0, 0])[turns % 5]
        chosen = tuple(np.array(known)[part == SPLITS.index(split)])
    elif split == "training" or (split == "test" and parts["training"]):
        chosen = parts[split] or rest
    else:
        chosen = parts[split]
    if not chosen:
        raise InputError(
            f"No group is left for the {split} split: there are "
            f"{', '.join(map(repr, known))}. Name some as --{split}_groups, or "
            "add folders."
        )
    return characters.of_alphabets(chosen)


def _check_splittable(names, counts):
    small = [name for name, num in zip(names, counts, strict=True) if num < 2]
    problems = []
    if len(counts) < MIN_CHARACTERS:
        problems.append(
            f"There are {len(counts)} characters: expected at least "
            f"{MIN_CHARACTERS} to train, validate and test on; add some."
        )
    if small:
        listed = ", ".join(map(repr, small[:MAX_LISTED]))
        more = len(small) - MAX_LISTED
        rest = f" and {more} more" if more > 0 else ""
        problems.append(
            f"Of {len(small)} of {len(counts)} characters there is only 1 "
            f"drawing ({listed}{rest}): expected at least 2 of each; add some, "
            "or remove these characters."
        )
    if problems:
        raise InputError(" ".join(problems))
