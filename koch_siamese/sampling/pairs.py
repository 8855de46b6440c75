"""Which drawings go together: the paper's pairs, and groups for all pairs.

Index arrays out of label arrays, in NumPy only; `batches` makes tensors of
them.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from koch_siamese.errors import InputError

MANY_ALPHABETS = 1000  # of which a group does not shuffle all


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
    """Where each character's drawings and each alphabet's characters stand.

    Built once, so that sampling a batch takes the same time for any number of
    characters. Characters and alphabets are renumbered from 0 without gaps.

    Attributes:
        drawings: int `[num_drawings]`, drawings sorted by character.
        first_drawing, num_drawings: int `[num_characters]`, the character's
            slice of `drawings`. Characters stand in order of their alphabet.
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
        """Indexes drawings by their labels, both int `[num_drawings]`."""
        drawings = np.lexsort((character, alphabet))
        first_drawing, num_drawings = _runs(character[drawings])
        first_character, num_characters = _runs(
            alphabet[drawings[first_drawing]]
        )
        return cls(
            drawings,
            first_drawing,
            num_drawings,
            first_character,
            num_characters,
        )

    def require(self, num_characters: int, num_drawings: int):
        """Checks that a batch can be drawn.

        Raises:
            InputError: there are fewer characters than `num_characters`, or a
                character has fewer drawings than `num_drawings`.
        """
        if len(self.num_drawings) < num_characters:
            raise InputError(
                f"{num_characters} different characters are needed for a "
                f"batch; the training set has {len(self.num_drawings)}."
            )
        if self.num_drawings.min() < num_drawings:
            raise InputError(
                f"{num_drawings} drawings of each character are needed for a "
                "batch; the training set has a character with "
                f"{self.num_drawings.min()}."
            )


def _runs(values: np.ndarray):
    """Starts and lengths of the runs of equal values."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    lengths = np.diff(np.r_[starts, len(values)])
    return starts, lengths


def _another(value, count, rng):
    """Uniform in `[0, count)`, never `value`; `count` is at least 2."""
    offset = rng.integers(count - 1, size=value.shape)
    return (value + 1 + offset) % count


def sample_pairs(
    index: CharacterIndex,
    num_pairs: int,
    rng: np.random.Generator,
    within_alphabet: float = 1.0,
) -> Pairs:
    """Draws the paper's pairs (section 4.1).

    Even entries are pairs of the same character, two distinct drawings of it;
    odd ones of different characters. Alphabets have equal shares of both kinds
    (within one pair).

    Args:
        index: the drawings; each character has at least two.
        num_pairs: how many pairs.
        rng: decides everything.
        within_alphabet: the probability in 0..1 that a different pair stays
            within an alphabet; else its second character is any other one.
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
    """Draws pairs to test on, half same and half different (section 4.2).

    Every alphabet has an equal share.

    Args:
        character, alphabet: int `[num_drawings]`, the labels of drawings.
        num_pairs: how many pairs.
        seed: decides everything.
        within_alphabet: see `sample_pairs`.

    Raises:
        InputError: there is one character, or one drawing of some character.
    """
    index = CharacterIndex.from_labels(character, alphabet)
    index.require(2, 2)
    rng = np.random.default_rng(seed)
    return sample_pairs(index, num_pairs, rng, within_alphabet)


@dataclasses.dataclass(frozen=True, eq=False)
class PairSet:
    """A training set of so many pairs and their copies (section 4.1).

    An epoch goes once through all of it, in an order of its own; what does not
    fill a batch is skipped in that epoch.

    Attributes:
        first, second: int64 `[num_pairs]`, indices of drawings.
        same: float32 `[num_pairs]`, 1 = same character, 0 = different.
        num_copies: distorted copies of each pair, beside the pair as it is.
        seed: decides the orders.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    num_copies: int
    seed: int

    def __len__(self) -> int:
        """Number of pairs, copies included."""
        return len(self.same) * (1 + self.num_copies)

    def require(self, batch_size: int):
        """Checks that a batch can be drawn.

        Raises:
            InputError: the set is smaller.
        """
        if len(self) < batch_size:
            raise InputError(
                f"A set of {len(self.same)} pairs and {self.num_copies} copies "
                f"is less than a batch of {batch_size}: ask for more pairs."
            )

    def take(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """What a step of training sees.

        Args:
            step: counted from the first epoch on.
            batch_size: pairs in a step, at most as many as there are.

        Returns:
            pair: int64 `[batch_size]`, indices of the pairs.
            copy: int64 `[batch_size]`, from 0, the pair as it is.
        """
        epoch, step = divmod(step, len(self) // batch_size)
        items = _shuffle(len(self), self.seed, epoch)
        items = items[step * batch_size : (step + 1) * batch_size]
        return items % len(self.same), items // len(self.same)


@functools.lru_cache(maxsize=2)
def _shuffle(num, seed, epoch):
    """An order for an epoch; kept, as every step of the epoch asks for it."""
    return np.random.default_rng([seed, epoch]).permutation(num)


def sample_group(
    index: CharacterIndex,
    num_characters: int,
    num_drawings: int,
    rng: np.random.Generator,
    within_alphabet: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws a group of characters whose drawings are compared all with all.

    Args:
        index: the drawings, `num_drawings` of each character or more.
        num_characters: how many different characters.
        num_drawings: how many distinct drawings of each.
        rng: decides everything.
        within_alphabet: the probability in 0..1 that the group is drawn within
            one alphabet (or as few as have enough characters); else out of all
            characters.

    Returns:
        drawings: int64 `[num_characters * num_drawings]`.
        character: int32, likewise: equal numbers for equal characters.
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
    """Distinct characters of one alphabet after the other, until enough."""
    characters = np.empty(0, np.int64)
    for alphabet in _sample_alphabets(index, num_characters, rng):
        start = index.first_character[alphabet]
        members = start + rng.permutation(index.num_characters[alphabet])
        characters = np.concatenate([characters, members])
        if len(characters) >= num_characters:
            break
    return characters[:num_characters]


def _sample_alphabets(index, num, rng):
    """Distinct alphabets in random order: all, or of many at most `num`."""
    num_alphabets = len(index.num_characters)
    if num_alphabets <= MANY_ALPHABETS:
        return rng.permutation(num_alphabets)
    return rng.choice(num_alphabets, min(num, num_alphabets), replace=False)
