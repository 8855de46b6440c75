"""Which drawings go together: the paper's pairs, and groups for all pairs.

Sampling decides indices in NumPy; tf.data then moves pixels. A batch is a pure
function of (seed, step): the same on any device, in a first or a resumed run.
"""

import dataclasses

import numpy as np

from koch_siamese.characters import Characters
from koch_siamese.distortions import AffineRanges, sample_affine_matrices
from koch_siamese.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class CharacterIndex:
    """Where each character's drawings and each alphabet's characters stand.

    Built once, so that sampling a batch takes the same time for any number of
    characters. Characters and alphabets are renumbered from 0 without gaps.

    Attributes:
        drawings: int `[num_drawings]`, drawings sorted by character.
        first_drawing, num_drawings: int `[num_characters]`, the character's
            slice of `drawings`. Characters stand in order of their alphabet.
        alphabet: int `[num_characters]`, each character's alphabet.
        first_character, num_characters: int `[num_alphabets]`, the alphabet's
            slice of characters.
    """

    drawings: np.ndarray
    first_drawing: np.ndarray
    num_drawings: np.ndarray
    alphabet: np.ndarray
    first_character: np.ndarray
    num_characters: np.ndarray

    @classmethod
    def from_labels(
        cls, character: np.ndarray, alphabet: np.ndarray
    ) -> "CharacterIndex":
        """Indexes drawings by their labels, both int `[num_drawings]`."""
        drawings = np.lexsort((character, alphabet))
        _, first_drawing, num_drawings = _runs(character[drawings])
        alphabet, first_character, num_characters = _runs(
            alphabet[drawings[first_drawing]]
        )
        return cls(
            drawings,
            first_drawing,
            num_drawings,
            alphabet,
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
    """The run number of each of the grouped values; runs' starts, lengths."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    lengths = np.diff(np.r_[starts, len(values)])
    return np.repeat(np.arange(len(starts)), lengths), starts, lengths


def _another(value, count, rng):
    """Uniform in `[0, count)`, never `value`; `count` is at least 2."""
    offset = rng.integers(count - 1, size=value.shape)
    return (value + 1 + offset) % count


def sample_pairs(
    index: CharacterIndex,
    num_pairs: int,
    rng: np.random.Generator,
    within_alphabet: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

    Returns:
        first, second: int64 `[num_pairs]`, indices of drawings.
        same: float32 `[num_pairs]`, 1 = same character, 0 = different.
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
    neighbour = start + _another(character - start, np.maximum(count, 2), rng)
    anyone = _another(character, len(index.num_drawings), rng)
    stays = (rng.random(num_pairs) < within_alphabet) & (count > 1)
    other = np.where(same, character, np.where(stays, neighbour, anyone))

    first = rng.integers(index.num_drawings[character])
    second = np.where(
        same,
        _another(first, index.num_drawings[character], rng),
        rng.integers(index.num_drawings[other]),
    )
    return (
        index.drawings[index.first_drawing[character] + first],
        index.drawings[index.first_drawing[other] + second],
        same.astype(np.float32),
    )


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
        characters = _sample_neighbours(index, num_characters, rng)
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


def _sample_neighbours(index, num_characters, rng):
    """Distinct characters of one alphabet after the other, until enough."""
    characters = np.empty(0, np.int64)
    for alphabet in rng.permutation(len(index.num_characters)):
        start = index.first_character[alphabet]
        members = start + rng.permutation(index.num_characters[alphabet])
        characters = np.concatenate([characters, members])
        if len(characters) >= num_characters:
            break
    return characters[:num_characters]


def make_pairs(
    characters: Characters,
    *,
    batch_size: int,
    seed: int,
    ranges: AffineRanges,
    within_alphabet: float = 1.0,
    first_step: int = 0,
):
    """An endless tf.data.Dataset of batches of distorted pairs.

    Args:
        characters: drawings to sample from.
        batch_size: pairs in a batch.
        seed: together with the step it decides a batch.
        ranges: distortions, drawn for each drawing of a pair on its own.
        within_alphabet: see `sample_pairs`.
        first_step: the step to begin with, when a training goes on.

    Returns:
        A dataset of `(inputs, same)`: `inputs` has `first` and `second`, uint8
        `[batch, height, width, 1]`, and `first_matrices` and
        `second_matrices`, float32 `[batch, 2, 3]`; `same` is float32
        `[batch]`.
    """
    index = _index(characters, 2, 2)

    def sample(rng):
        first, second, same = sample_pairs(
            index, batch_size, rng, within_alphabet
        )
        matrices = sample_affine_matrices(ranges, 2 * batch_size, rng)
        return np.concatenate([first, second]), matrices, same

    def arrange(images, matrices, same):
        inputs = {
            "first": images[:batch_size],
            "second": images[batch_size:],
            "first_matrices": matrices[:batch_size],
            "second_matrices": matrices[batch_size:],
        }
        return inputs, same

    return _make_batches(characters.images, sample, seed, first_step).map(
        arrange
    )


def make_groups(
    characters: Characters,
    *,
    num_characters: int,
    num_drawings: int,
    seed: int,
    ranges: AffineRanges,
    within_alphabet: float = 1.0,
    first_step: int = 0,
):
    """An endless tf.data.Dataset of groups of distorted drawings.

    Arguments are those of `sample_group` and `make_pairs`.

    Returns:
        A dataset of `(inputs, character)`: `inputs` has `images`, uint8
        `[batch, height, width, 1]`, and `matrices`, float32 `[batch, 2, 3]`;
        `character` is int32 `[batch]`, with `batch = num_characters *
        num_drawings`.
    """
    index = _index(characters, num_characters, num_drawings)

    def sample(rng):
        drawings, character = sample_group(
            index, num_characters, num_drawings, rng, within_alphabet
        )
        matrices = sample_affine_matrices(ranges, len(drawings), rng)
        return drawings, matrices, character

    def arrange(images, matrices, character):
        return {"images": images, "matrices": matrices}, character

    return _make_batches(characters.images, sample, seed, first_step).map(
        arrange
    )


def _index(characters, num_characters, num_drawings):
    index = CharacterIndex.from_labels(
        characters.character, characters.alphabet
    )
    index.require(num_characters, num_drawings)
    return index


def _make_batches(images, sample, seed, first_step):
    """Endless (images, matrices, labels), a pure function of (seed, step).

    `sample(rng)` returns drawings, matrices and labels, all of fixed shapes.
    """
    import tensorflow as tf

    def sample_step(step):
        drawings, matrices, labels = sample(np.random.default_rng([seed, step]))
        return drawings.astype(np.int64), matrices, labels

    example = sample_step(0)
    dtypes = [tf.as_dtype(array.dtype) for array in example]
    pixels = tf.constant(images[..., np.newaxis])

    def make_batch(step):
        arrays = tf.numpy_function(sample_step, [step], dtypes, stateful=False)
        for array, like in zip(arrays, example, strict=True):
            array.set_shape(like.shape)
        drawings, matrices, labels = arrays
        return tf.gather(pixels, drawings), matrices, labels

    return tf.data.Dataset.range(first_step, np.iinfo(np.int64).max).map(
        make_batch, num_parallel_calls=2
    )
