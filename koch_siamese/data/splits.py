"""Splits a user's classes into those to train, to validate and to test on.

A split of images is int8 `[num_images]`, the place in `SPLITS` of each; there
are three ways to one: by class, by whole groups of classes, or as it is given.
A set whose tests show classes that it trains on, in other images, is closed.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from koch_siamese.data.characters import SPLITS, Characters
from koch_siamese.data.image_files import MAX_LISTED, DataWarning
from koch_siamese.errors import InputError

MIN_CHARACTERS = 4  # two to train on, two to test on
MIN_TURNS = 10  # fewer would leave one to validate or to test on
MIN_VALIDATED = 6  # fewer leave none to validate on alone
SPLIT_SEED = 0
TRAINING, VALIDATION, TEST = range(len(SPLITS))


def split_characters(
    characters: Characters, split: str, names: Sequence[str] = ()
) -> Characters:
    """The part of the characters that serves to train, choose or test.

    Args:
        characters: any drawings.
        split: `training`, `validation` or `test`.
        names: of the characters, for messages.

    Returns:
        Characters with their labels kept, split as `assign_splits` says.

    Raises:
        InputError: there are too few, see `assign_splits`.
        ValueError: `split` is not one of the three.
    """
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; use one of {SPLITS}.")
    parts = assign_splits(characters, names)
    return characters.select(parts == SPLITS.index(split))


def assign_splits(
    characters: Characters, names: Sequence[str] = ()
) -> np.ndarray:
    """Splits by class: the splits share no character.

    Three in five characters train, one validates, one tests: of all, and give
    or take one of each alphabet. They are the same whatever the seed of a
    training: no model is tested on what another one, or the one it began from,
    was trained on.

    Of fewer than MIN_TURNS characters two validate and two test, each two of
    one alphabet. Fewer than MIN_VALIDATED are validated on images that are
    kept apart from those that train. Of many small alphabets, no two of one of
    which would validate, pairs of one alphabet do, and test.

    Args:
        characters: any drawings.
        names: of the characters, for messages.

    Returns:
        int8 `[num_drawings]`, the place in `SPLITS` of each.

    Raises:
        InputError: there are fewer than MIN_CHARACTERS characters, or only one
            drawing of some.
    """
    known, first, counts = np.unique(
        characters.character, return_index=True, return_counts=True
    )
    _check_splittable([names[x] if names else str(x) for x in known], counts)
    alphabet = characters.alphabet[first]
    rng = np.random.default_rng(SPLIT_SEED)
    # Neighbors of one alphabet, in any order, take the five turns.
    order = np.lexsort((rng.random(len(known)), alphabet))
    turns = rng.permutation([TRAINING] * 3 + [VALIDATION, TEST])
    of_known = np.empty(len(known), np.int8)
    of_known[order] = turns[np.arange(len(known)) % len(turns)]
    validated = np.bincount(alphabet[of_known == VALIDATION], minlength=1)
    if len(known) < MIN_TURNS or validated.max() < 2:
        of_known = _assign_pairs(order, alphabet)
    parts = of_known[np.searchsorted(known, characters.character)]
    if len(known) < MIN_VALIDATED:
        warnings.warn(
            DataWarning(
                f"There are only {len(known)} classes: two are for testing, "
                "and a fifth of the images of the others is for validation, "
                "instead of other classes."
            ),
            stacklevel=2,
        )
        keep_images_apart(parts, characters.character)
    return parts


def _assign_pairs(order, alphabet):
    """The split of each character, where two of one alphabet go together."""
    parts = np.full(len(order), TRAINING, np.int8)
    turns = (TEST, VALIDATION) * max(1, round(len(order) / 10))
    for part in turns if len(order) >= MIN_VALIDATED else (TEST,):
        left = order[parts[order] == TRAINING]
        names, counts = np.unique(alphabet[left], return_counts=True)
        largest = names[np.argmax(counts)]
        parts[left[alphabet[left] == largest][:2]] = part
    return parts


def keep_images_apart(parts: np.ndarray, character: np.ndarray):
    """Moves images of each training class to validation, in place.

    A fifth of a class, but two at least where it has four or more: a trial
    needs two. The last ones in order.

    Args:
        parts: int8 `[num_images]`, see `assign_splits`.
        character: int `[num_images]`, the class of each.

    Raises:
        InputError: a class has fewer than four images to train on.
    """
    training = np.flatnonzero(parts == TRAINING)
    order = training[np.argsort(character[training], kind="stable")]
    _, counts = np.unique(character[order], return_counts=True)
    if counts.min() < 4:
        raise InputError(
            f"A class has only {counts.min()} training images, of which some "
            "are needed for validation: expected at least 4; add some, or give "
            "images to validate on."
        )
    borders = np.cumsum(counts)
    for border, count in zip(borders, counts, strict=True):
        num = max(2, round(count / 5))
        parts[order[border - num : border]] = VALIDATION


def complete_splits(
    parts: np.ndarray, characters: Characters, names: Sequence[str]
) -> np.ndarray:
    """Checks splits that were given, and adds images to validate on.

    Where none validate, a fifth of the training classes does; in a closed set,
    or of fewer than MIN_TURNS training classes, a fifth of the images of each.

    Args:
        parts: int8 `[num_images]`, see `assign_splits`.
        characters: the images.
        names: of the characters.

    Returns:
        The same with validation, if there is anything to train on.

    Raises:
        InputError: some, but not all classes of a split are trained on.
    """
    parts, character = parts.copy(), characters.character
    for split in (VALIDATION, TEST):
        _check_shared(parts, character, names, split)
    _check_tested(parts, character, names)
    training = np.unique(character[parts == TRAINING])
    if not len(training) or (parts == VALIDATION).any():
        return parts
    if is_closed(parts, character, "test") or len(training) < MIN_TURNS:
        keep_images_apart(parts, character)
        return parts
    rng = np.random.default_rng(SPLIT_SEED)
    of_training = np.isin(character, training)
    known, first = np.unique(character[of_training], return_index=True)
    alphabet = characters.alphabet[of_training][first]
    order = np.lexsort((rng.random(len(known)), alphabet))
    chosen = known[order[rng.integers(5) :: 5]]
    parts[of_training & np.isin(character, chosen)] = VALIDATION
    return parts


def _check_shared(parts, character, names, split):
    """Refuses a split that is partly of other classes than training."""
    training, own = (
        np.unique(character[parts == part]) for part in (TRAINING, split)
    )
    shared = np.intersect1d(own, training)
    if not len(training) or len(shared) in (0, len(own)):
        return
    other = np.setdiff1d(own, training)[0]
    raise InputError(
        f"The {SPLITS[split]} split has {len(shared)} classes that are trained "
        f"on, such as {names[shared[0]]!r}, and {len(own) - len(shared)} that "
        f"are not, such as {names[other]!r}: expected all of its classes to be "
        "trained on (a closed set), or none; move images, or remove some."
    )


def _check_tested(parts, character, names):
    """Refuses new classes to test on by which a model would be chosen."""
    shared = np.intersect1d(
        character[parts == VALIDATION], character[parts == TEST]
    )
    if len(shared) and not is_closed(parts, character, "test"):
        raise InputError(
            f"{len(shared)} classes are in the validation and in the test "
            f"split, such as {names[shared[0]]!r}: expected each in one of "
            "them, as no choice may be made on the test classes."
        )


def is_closed(parts: np.ndarray, character: np.ndarray, split: str) -> bool:
    """Whether a split shows classes that are trained on, in other images.

    Args:
        parts: int8 `[num_images]`, see `assign_splits`.
        character: int `[num_images]`, the class of each.
        split: `training`, `validation`, `test`, or `all`.
    """
    if split not in SPLITS[1:]:
        return any(is_closed(parts, character, x) for x in SPLITS[1:])
    own = character[parts == SPLITS.index(split)]
    return bool(np.isin(own, character[parts == TRAINING]).any())


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
    if counts.max() == 1:
        raise InputError(
            f"Each of {len(counts)} classes has only 1 image, such as "
            f"{names[0]!r}: expected at least 2 of each to train on, in a "
            f"folder for each class, such as {names[0]}/1.png."
        )
    small = [name for name, num in zip(names, counts, strict=True) if num < 2]
    problems = []
    if len(counts) < MIN_CHARACTERS:
        problems.append(
            f"There are {len(counts)} characters: expected at least "
            f"{MIN_CHARACTERS}, so that some can be kept for tests; add some, "
            "or, to recognize just these, give images to train and to test on "
            "as train/NAME and test/NAME."
        )
    if small:
        listed = ", ".join(map(repr, small[:MAX_LISTED]))
        more = len(small) - MAX_LISTED
        rest = f" and {more} more" if more > 0 else ""
        problems.append(
            f"{len(small)} of {len(counts)} characters have only 1 drawing "
            f"({listed}{rest}): expected at least 2 of each; add some, or "
            "remove these characters."
        )
    if problems:
        raise InputError(" ".join(problems))
