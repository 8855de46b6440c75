"""Splits a user's classes into those to train, to validate and to test on.

A split is int8 `[num_images]`, the index in `SPLITS` of each image. It is made
by class or by whole groups of classes, or it is given. A data set is closed if
it is tested on other images of its training classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from koch_siamese.data.characters import SPLITS, Characters, number_images
from koch_siamese.data.image_errors import join_names
from koch_siamese.errors import InputError, warn
from koch_siamese.sampling.trials import number_drawers

MIN_CHARACTERS = 4  # two to train on, two to test on
MIN_TURNS = 10  # with fewer, only one would be left to validate or to test on
MIN_VALIDATED = 6  # with fewer, none would be left to validate on
SPLIT_SEED = 0
TRAINING, VALIDATION, TEST = range(len(SPLITS))


def assign_splits(
    characters: Characters, names: Sequence[str] = ()
) -> np.ndarray:
    """Splits by class, so that the splits share no character.

    Three in five characters are for training, one is for validation and one for
    testing, overall and, give or take one, in each alphabet. The split does not
    depend on the seed of a training, so that no model is tested on characters
    that another one, such as the one it started from, was trained on.

    With fewer than MIN_TURNS characters, two are for validation and two for
    testing, each two of one alphabet. With fewer than MIN_VALIDATED, validation
    uses separate images of the training characters. If alphabets are so small
    that no two characters for validation, or for testing, would share one,
    pairs of one alphabet are chosen for both.

    Args:
        characters: any drawings.
        names: the names of the characters, for messages.

    Returns:
        int8 `[num_drawings]`, the index in `SPLITS` of each drawing.

    Raises:
        InputError: there are fewer than MIN_CHARACTERS characters, or only one
            drawing of some.
    """
    known, first, counts = np.unique(
        characters.character, return_index=True, return_counts=True
    )
    _check_splittable(_list_names(known, names), counts)
    alphabet = characters.alphabet[first]
    rng = np.random.default_rng(SPLIT_SEED)
    # The characters, shuffled within each alphabet, take five turns.
    order = np.lexsort((rng.random(len(known)), alphabet))
    turns = rng.permutation([TRAINING] * 3 + [VALIDATION, TEST])
    of_known = np.empty(len(known), np.int8)
    of_known[order] = turns[np.arange(len(known)) % len(turns)]
    most = min(
        _count_most(alphabet[of_known == part]) for part in (VALIDATION, TEST)
    )
    if len(known) < MIN_TURNS or most < 2:
        turns = (TEST, VALIDATION) if len(known) >= MIN_VALIDATED else (TEST,)
        of_known = _assign_pairs(order, alphabet, turns)
    parts = of_known[np.searchsorted(known, characters.character)]
    if len(known) < MIN_VALIDATED:
        warn(
            f"There are only {len(known)} classes: two are for testing, "
            "and a fifth of the images of the others is for validation, "
            "instead of other classes."
        )
        keep_images_apart(parts, characters.character, names)
    return parts


def _count_most(alphabet):
    """Counts the characters in the alphabet that has most of them."""
    return np.bincount(alphabet, minlength=1).max()


def _assign_pairs(order, alphabet, turns):
    """Assigns each character to a split, in pairs of one alphabet.

    A fifth of the characters are for each split in `turns`.
    """
    parts = np.full(len(order), TRAINING, np.int8)
    for part in turns * max(1, round(len(order) / 10)):
        left = order[parts[order] == TRAINING]
        names, counts = np.unique(alphabet[left], return_counts=True)
        largest = names[np.argmax(counts)]
        parts[left[alphabet[left] == largest][:2]] = part
    return parts


def keep_images_apart(
    parts: np.ndarray,
    character: np.ndarray,
    names: Sequence[str] = (),
):
    """Moves images of each training class to validation, in place.

    They are the last fifth of each class, but at least two, because a trial
    needs two.

    Args:
        parts: int8 `[num_images]`, see `assign_splits`.
        character: int `[num_images]`, the class of each.
        names: the names of the classes, for the message.

    Raises:
        InputError: a class has fewer than four images to train on.
    """
    training = np.flatnonzero(parts == TRAINING)
    order = training[np.argsort(character[training], kind="stable")]
    classes, counts = np.unique(character[order], return_counts=True)
    if counts.min() < 4:
        (name,) = _list_names([classes[counts.argmin()]], names)
        raise InputError(
            f"The class {name!r} has only {counts.min()} training images, of "
            "which some are needed for validation: expected at least 4; add "
            "some, or give images to validate on."
        )
    borders = np.cumsum(counts)
    for border, count in zip(borders, counts, strict=True):
        num = max(2, round(count / 5))
        parts[order[border - num : border]] = VALIDATION


def complete_splits(
    parts: np.ndarray, characters: Characters, names: Sequence[str]
) -> np.ndarray:
    """Checks given splits, and adds validation images if there are none.

    These are a fifth of the training classes, in pairs of one group if groups
    are so small that no two of them would share one. In a closed set, or with
    fewer than MIN_TURNS training classes, they are a fifth of the images of
    each.

    Args:
        parts: int8 `[num_images]`, see `assign_splits`.
        characters: the images.
        names: the names of the characters.

    Returns:
        The splits, with validation images if there are training images.

    Raises:
        InputError: some, but not all classes of a split are trained on; or new
            test classes are also validation classes.
    """
    parts, character = parts.copy(), characters.character
    for split in (VALIDATION, TEST):
        _check_shared(parts, character, names, split)
    _check_tested(parts, character, names)
    is_training = parts == TRAINING
    training, first = np.unique(character[is_training], return_index=True)
    if not len(training) or (parts == VALIDATION).any():
        return parts
    if is_closed(parts, character, "test") or len(training) < MIN_TURNS:
        keep_images_apart(parts, character, names)
        return parts
    rng = np.random.default_rng(SPLIT_SEED)
    alphabet = characters.alphabet[is_training][first]
    order = np.lexsort((rng.random(len(training)), alphabet))
    chosen = order[rng.integers(5) :: 5]
    if _count_most(alphabet[chosen]) < 2:
        pairs = _assign_pairs(order, alphabet, (VALIDATION,))
        chosen = np.flatnonzero(pairs == VALIDATION)
    parts[is_training & np.isin(character, training[chosen])] = VALIDATION
    return parts


def _check_shared(parts, character, names, split):
    """Refuses a split that has both training classes and others."""
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
    """Refuses new test classes that are also used for validation."""
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
    """Tells whether a split shows other images of training classes.

    Args:
        parts: int8 `[num_images]`, see `assign_splits`.
        character: int `[num_images]`, the class of each.
        split: `training`, `validation`, `test`, or `all`.
    """
    if split not in SPLITS[1:]:
        return any(is_closed(parts, character, x) for x in SPLITS[1:])
    own = character[parts == SPLITS.index(split)]
    return bool(np.isin(own, character[parts == TRAINING]).any())


def take_first(characters: Characters, num: int) -> Characters:
    """Selects the first `num` drawings of each character.

    Drawers take turns, as each may have several drawings of a character.
    """
    character, drawer = characters.character, characters.drawer
    turn = number_images(number_drawers(character, drawer))
    order = np.lexsort((drawer, turn, character))
    first = order[number_images(character[order]) <= num]
    return characters.select(np.sort(first))


class MissingGroupError(InputError):
    """A group that was named does not exist, or none is left for a split."""


def assign_groups(
    characters: Characters, groups: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Splits by groups (whole alphabets).

    If no training groups are named, the remaining ones are for training;
    otherwise, if no test groups are named, they are for testing. Without any
    names, three groups in five are for training, one is for validation and one
    for testing, regardless of the training's seed.

    Args:
        characters: drawings of several groups.
        groups: the names of the groups of each split.

    Returns:
        int8 `[num_drawings]`, the index in `SPLITS` of each drawing; -1 for
        those in no split.

    Raises:
        MissingGroupError: a group does not exist.
        InputError: a group is named twice.
    """
    known = characters.alphabet_names
    given = [name for names in groups.values() for name in names]
    for name in given:
        if name not in known:
            raise MissingGroupError(
                f"There is no group {name!r}: expected some of "
                f"{', '.join(map(repr, known))}."
            )
        if given.count(name) > 1:
            raise InputError(
                f"The group {name!r} is named twice: expected each in one of "
                "--training_groups, --validation_groups and --test_groups."
            )
    if not given:
        turns = np.random.default_rng(SPLIT_SEED).permutation(len(known))
        of_group = np.array([1, 2, 0, 0, 0], np.int8)[turns % 5]
        return of_group[characters.alphabet]
    unnamed = [x for x in ("training", "test") if not groups[x]]
    rest = SPLITS.index(unnamed[0]) if unnamed else -1
    parts = {name: SPLITS.index(x) for x in groups for name in groups[x]}
    of_group = np.array([parts.get(name, rest) for name in known], np.int8)
    return of_group[characters.alphabet]


def _check_splittable(names, counts):
    if counts.max() == 1:
        raise InputError(
            f"Each of {len(counts)} classes has only 1 image, such as "
            f"{names[0]!r}: expected at least 2 of each, in a folder for each "
            f"class, such as {names[0]}/1.png."
        )
    problems = []
    if len(counts) < MIN_CHARACTERS:
        problems.append(
            f"There are {len(counts)} characters: expected at least "
            f"{MIN_CHARACTERS}, so that some can be kept for tests; add some, "
            "or, to recognize just these, give images to train and to test on "
            "as train/NAME and test/NAME."
        )
    if counts.min() < 2:
        problems.append(_describe_single(names, counts))
    if problems:
        raise InputError(" ".join(problems))


def require_pairs(characters: Characters, names: Sequence[str] | None = None):
    """Checks that same and different pairs can be made of drawings.

    Args:
        characters: the drawings of a split.
        names: the names of the characters, for the message.

    Raises:
        InputError: there are fewer than two characters, or only one drawing of
            some.
    """
    known, counts = np.unique(characters.character, return_counts=True)
    listed = _list_names(known, names)
    if len(known) < 2:
        raise InputError(
            f"There is only 1 character, {listed[0]!r}: expected at least 2; "
            "add some."
        )
    if counts.min() < 2:
        raise InputError(_describe_single(listed, counts))


def _list_names(known, names):
    return [names[x] if names else str(x) for x in known]


def _describe_single(names, counts):
    """Describes the characters that have only one drawing."""
    small = [name for name, num in zip(names, counts, strict=True) if num < 2]
    return (
        f"{len(small)} of {len(counts)} characters have only 1 drawing "
        f"({join_names(small)}): expected at least 2 of each; add some, or "
        "remove these characters."
    )
