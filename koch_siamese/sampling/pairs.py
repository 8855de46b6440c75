"""Samples the paper's pairs, and groups for all pairs, from labels."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from koch_siamese.errors import InputError

MANY_ALPHABETS = 1000  # with more, a group does not shuffle all of them


class Pairs(NamedTuple):
    """Pairs of drawings.

    Attributes:
        first, second: int64 `[num_pairs]`, indices of drawings.
        same: float32 `[num_pairs]`, 1 = same character, 0 = different.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class CharacterIndex:
    """Index of each character's drawings and each alphabet's characters.

    Built once, so that sampling a batch takes the same time for any number of
    characters. Characters and alphabets are renumbered from 0 without gaps.

    Attributes:
        drawings: int `[num_drawings]`, drawings sorted by character.
        first_drawing, num_drawings: int `[num_characters]`, the character's
            slice of `drawings`. Characters are sorted by alphabet.
        first_character, num_characters: int `[num_alphabets]`, the alphabet's
            slice of characters.
    """

    drawings: np.ndarray
    first_drawing: np.ndarray
    num_drawings: np.ndarray
    first_character: np.ndarray
    num_characters: np.ndarray

    @classmethod
    def from_labels(
        cls, character: np.ndarray, alphabet: np.ndarray
    ) -> "CharacterIndex":
        """Indexes drawings by their labels, both int `[num_drawings]`.

        Raises:
            InputError: there are no drawings.
        """
        if not len(character):
            raise InputError(
                "There are no drawings: expected two or more characters, with "
                "two or more drawings of each."
            )
        drawings = np.lexsort((character, alphabet))
        characters = _runs(character[drawings])
        alphabets = _runs(alphabet[drawings[characters[0]]])
        return cls(drawings, *characters, *alphabets)

    def require(self, num_characters: int, num_drawings: int):
        """Checks that a batch can be sampled.

        Raises:
            InputError: there are fewer characters than `num_characters`, or a
                character has fewer drawings than `num_drawings`.
        """
        if len(self.num_drawings) < num_characters:
            raise InputError(
                f"There are {len(self.num_drawings)} characters: expected at "
                f"least {num_characters}; add some, or ask for fewer."
            )
        if self.num_drawings.min() < num_drawings:
            raise InputError(
                f"A character has {self.num_drawings.min()} drawings: expected "
                f"at least {num_drawings} of each; add some, or ask for fewer."
            )

    def sample_drawings(
        self, character: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Samples a drawing of each character, int of any shape."""
        offset = rng.integers(self.num_drawings[character])
        return self.drawings[self.first_drawing[character] + offset]


def _runs(values: np.ndarray):
    """Starts and lengths of the runs of equal values."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    lengths = np.diff(np.r_[starts, len(values)])
    return starts, lengths


def _another(value, count, rng):
    """Samples uniformly in `[0, count)` without `value`; `count` >= 2."""
    offset = rng.integers(count - 1, size=value.shape)
    return (value + 1 + offset) % count


def sample_pairs(
    index: CharacterIndex,
    num_pairs: int,
    rng: np.random.Generator,
    within_alphabet: float = 1.0,
) -> Pairs:
    """Samples the paper's pairs (section 4.1).

    Even entries are two distinct drawings of the same character; odd ones are
    drawings of different characters. Alphabets have equal shares of both kinds
    (up to one pair).

    Args:
        index: the drawings; each character has at least two.
        num_pairs: number of pairs.
        rng: the source of randomness.
        within_alphabet: the probability in 0..1 that a different pair is within
            one alphabet; otherwise its second character is any other one.
    """
    pair = np.arange(num_pairs)
    same = pair % 2 == 0
    num_alphabets = len(index.num_characters)
    alphabets = rng.choice(
        num_alphabets, min(num_alphabets, num_pairs), replace=False
    )
    alphabet = alphabets[pair // 2 % len(alphabets)]
    start = index.first_character[alphabet]
    count = index.num_characters[alphabet]
    character = start + rng.integers(count)
    neighbor = start + _another(character - start, np.maximum(count, 2), rng)
    anyone = _another(character, len(index.num_drawings), rng)
    stays = (rng.random(num_pairs) < within_alphabet) & (count > 1)
    other = np.where(same, character, np.where(stays, neighbor, anyone))

    first = rng.integers(index.num_drawings[character])
    second = np.where(
        same,
        _another(first, index.num_drawings[character], rng),
        rng.integers(index.num_drawings[other]),
    )
    return Pairs(
        index.drawings[index.first_drawing[character] + first],
        index.drawings[index.first_drawing[other] + second],
        same.astype(np.float32),
    )


def sample_verification_pairs(
    character: np.ndarray,
    alphabet: np.ndarray,
    num_pairs: int,
    seed: int,
    within_alphabet: float = 1.0,
) -> Pairs:
    """Samples test pairs, half same and half different (section 4.2).

    Every alphabet has an equal share.

    Args:
        character, alphabet: int `[num_drawings]`, the labels of drawings.
        num_pairs: number of pairs.
        seed: random seed.
        within_alphabet: see `sample_pairs`.

    Raises:
        InputError: there are fewer than two characters, or fewer than two
            drawings of one.
    """
    index = CharacterIndex.from_labels(character, alphabet)
    index.require(2, 2)
    rng = np.random.default_rng(seed)
    return sample_pairs(index, num_pairs, rng, within_alphabet)


@dataclasses.dataclass(frozen=True, eq=False)
class PairSet:
    """A fixed training set of pairs and their copies (section 4.1).

    Each epoch takes all of it once, in a new order; a remainder smaller than a
    batch is skipped in that epoch.

    Attributes:
        pairs: the pairs.
        num_copies: distorted copies of each pair, besides the undistorted pair.
        seed: determines the orders.
    """

    pairs: Pairs
    num_copies: int
    seed: int

    def __len__(self) -> int:
        """Number of pairs, copies included."""
        return len(self.pairs.same) * (1 + self.num_copies)

    def require(self, batch_size: int):
        """Checks that a batch can be taken.

        Raises:
            InputError: the set is smaller than a batch.
        """
        if len(self) < batch_size:
            raise InputError(
                f"A set of {len(self.pairs.same)} pairs and {self.num_copies} "
                f"copies is smaller than a batch of {batch_size}: ask for more "
                "pairs."
            )

    def take(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the pairs of a training step.

        Args:
            step: counted from the first epoch on.
            batch_size: pairs in a step, at most the size of the set.

        Returns:
            pair: int64 `[batch_size]`, indices of the pairs.
            copy: int64 `[batch_size]`, indices of the copies; 0 is the
                undistorted pair.
        """
        epoch, step = divmod(step, len(self) // batch_size)
        items = _shuffle(len(self), self.seed, epoch)
        items = items[step * batch_size : (step + 1) * batch_size]
        copy, pair = np.divmod(items, len(self.pairs.same))
        return pair, copy


@functools.lru_cache(maxsize=2)
def _shuffle(num, seed, epoch):
    """The order of an epoch, cached because each of its steps needs it."""
    return np.random.default_rng([seed, epoch]).permutation(num)


def sample_group(
    index: CharacterIndex,
    num_characters: int,
    num_drawings: int,
    rng: np.random.Generator,
    within_alphabet: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Samples a group of characters; all of its drawings will be compared.

    Args:
        index: the drawings, at least `num_drawings` of each character.
        num_characters: number of different characters.
        num_drawings: number of distinct drawings of each.
        rng: the source of randomness.
        within_alphabet: the probability in 0..1 that the group is from one
            alphabet (or more, if it has too few characters); otherwise it is
            from all characters.

    Returns:
        drawings: int64 `[num_characters * num_drawings]`, indices.
        character: int32 `[num_characters * num_drawings]`, the character of
            each drawing.
    """
    if rng.random() < within_alphabet:
        characters = _sample_neighbors(index, num_characters, rng)
    else:
        characters = rng.choice(
            len(index.num_drawings), num_characters, replace=False
        )
    available = index.num_drawings[characters, np.newaxis]
    keys = rng.random((num_characters, available.max()))
    keys[np.arange(available.max()) >= available] = np.inf
    chosen = np.argsort(keys, axis=1)[:, :num_drawings]
    drawings = index.drawings[
        index.first_drawing[characters, np.newaxis] + chosen
    ]
    return (
        drawings.ravel(),
        np.repeat(characters, num_drawings).astype(np.int32),
    )


def _sample_neighbors(index, num_characters, rng):
    """Samples distinct characters from as many alphabets as necessary."""
    characters = np.empty(0, np.int64)
    for alphabet in _sample_alphabets(index, num_characters, rng):
        start = index.first_character[alphabet]
        members = start + rng.permutation(index.num_characters[alphabet])
        characters = np.concatenate([characters, members])
        if len(characters) >= num_characters:
            break
    return characters[:num_characters]


def _sample_alphabets(index, num, rng):
    """Samples distinct alphabets: all, or at most `num` if there are many."""
    num_alphabets = len(index.num_characters)
    if num_alphabets <= MANY_ALPHABETS:
        return rng.permutation(num_alphabets)
    return rng.choice(num_alphabets, min(num, num_alphabets), replace=False)
