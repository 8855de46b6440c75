"""Endless tf.data streams of distorted pairs, and of groups.

NumPy decides which drawings and which distortions; tf.data moves the pixels. A
batch is a pure function of (seed, step): the same on any device, in a first or
a resumed run.
"""

import dataclasses
import functools
import weakref

import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.sampling.distortions import (
    DISTORTIONS,
    AffineRanges,
    compose,
    sample_affine_matrices,
)
from koch_siamese.sampling.pairs import (
    CharacterIndex,
    PairSet,
    sample_group,
    sample_pairs,
)


def make_pairs(
    characters: Characters,
    *,
    batch_size: int,
    seed: int,
    ranges: AffineRanges,
    within_alphabet: float = 1.0,
    num_pairs: int = 0,
    num_copies: int = 0,
    first_step: int = 0,
):
    """An endless tf.data.Dataset of batches of distorted pairs.

    Args:
        characters: drawings to sample from.
        batch_size: pairs in a batch.
        seed: together with the step it decides a batch.
        ranges: distortions, drawn for each drawing of a pair on its own.
        within_alphabet: see `sample_pairs`.
        num_pairs: size of a fixed set of pairs, which are not distorted; 0 for
            new pairs without end, which are.
        num_copies: distorted copies of each pair of a fixed set, always the
            same ones (section 4.1 has 8); 48 bytes of memory for each, more
            if `ranges` has waves.
        first_step: the step to begin with, when a training is resumed.

    Returns:
        A dataset of `(inputs, same)`: `inputs` has `first` and `second`, uint8
        `[batch, height, width, 1]`, and `first_matrices` and
        `second_matrices`, float32 `[batch, 2, columns]`; `same` is float32
        `[batch]`.

    Raises:
        InputError: characters do not suffice, or a set not for a batch.
    """
    index = _build_index(characters, 2, 2)

    if num_pairs:
        pairs = sample_pairs(
            index, num_pairs, np.random.default_rng(seed), within_alphabet
        )
        pair_set = PairSet(*pairs, num_copies, seed)
        pair_set.require(batch_size)

    def sample(step):
        if num_pairs:
            return _take_pairs(pair_set, step, batch_size, ranges)
        rng = np.random.default_rng([seed, step])
        first, second, same = sample_pairs(
            index, batch_size, rng, within_alphabet
        )
        matrices = sample_affine_matrices(ranges, 2 * batch_size, rng)
        return np.concatenate([first, second]), matrices, same

    batches = _make_batches(characters.images, sample, first_step)
    return batches.map(_part_twins)


def _part_twins(images, matrices, same):
    """Names the first and the second half of a batch."""
    half = same.shape[0]
    inputs = {
        "first": images[:half],
        "second": images[half:],
        "first_matrices": matrices[:half],
        "second_matrices": matrices[half:],
    }
    return inputs, same


def _take_pairs(pair_set, step, batch_size, ranges):
    """A batch of a fixed set; a copy's distortion is a function of the copy."""
    pair, copy = pair_set.take(step, batch_size)
    matrices = _sample_copies(
        ranges, len(pair_set.same), pair_set.num_copies, pair_set.seed
    )[copy, pair]
    return (
        np.concatenate([pair_set.first[pair], pair_set.second[pair]]),
        np.concatenate([matrices[:, 0], matrices[:, 1]]),
        pair_set.same[pair],
    )


@functools.lru_cache(maxsize=2)
def _sample_copies(ranges, num_pairs, num_copies, seed):
    """Matrices `[1 + num_copies, num_pairs, 2, 2, columns]` of a fixed set.

    The first are the pairs as they are. Drawn at once and kept, as every step
    asks for some: one by one, those of a batch of 128 took 6 ms.
    """
    rng = np.random.default_rng([seed, num_pairs, num_copies])
    copies = [
        sample_affine_matrices(ranges, 2 * num_pairs, rng)
        for _ in range(1 + num_copies)
    ]
    copies[0][:] = np.eye(2, copies[0].shape[-1])
    return np.reshape(copies, (1 + num_copies, num_pairs, 2, 2, -1))


def make_groups(
    characters: Characters,
    *,
    num_characters: int,
    num_drawings: int,
    seed: int,
    ranges: AffineRanges,
    character_ranges: AffineRanges = DISTORTIONS["none"],
    within_alphabet: float = 1.0,
    first_step: int = 0,
):
    """An endless tf.data.Dataset of groups of distorted drawings.

    Arguments are those of `sample_group` and `make_pairs`, but for

    Args:
        character_ranges: further distortions, of which all drawings of a
            character in a group have the same: together another character.

    Returns:
        A dataset of `(inputs, character)`: `inputs` has `images`, uint8
        `[batch, height, width, 1]`, and `matrices`, float32 `[batch, 2,
        columns]`; `character` is int32 `[batch]`, with a batch of
        `num_characters * num_drawings`.
    """
    index = _build_index(characters, num_characters, num_drawings)

    def sample(step):
        rng = np.random.default_rng([seed, step])
        drawings, character = sample_group(
            index, num_characters, num_drawings, rng, within_alphabet
        )
        matrices = sample_affine_matrices(ranges, len(drawings), rng)
        shared = sample_affine_matrices(character_ranges, num_characters, rng)
        matrices = compose(np.repeat(shared, num_drawings, 0), matrices)
        return drawings, matrices, character

    def arrange(images, matrices, character):
        return {"images": images, "matrices": matrices}, character

    return _make_batches(characters.images, sample, first_step).map(arrange)


def _build_index(characters, num_characters, num_drawings):
    index = CharacterIndex.from_labels(
        characters.character, characters.alphabet
    )
    index.require(num_characters, num_drawings)
    return index


def _make_batches(images, sample, first_step):
    """Endless (images, matrices, labels), a pure function of the step.

    `sample(step)` returns drawings, matrices and labels, all of fixed shapes.
    """
    import tensorflow as tf

    # TensorFlow never lets go of a Python function: this one must not hold
    # the images, which would stay as long as the process.
    holder = _Images(images)
    held = weakref.ref(holder)
    del images

    def sample_step(step):
        drawings, matrices, labels = sample(step)
        # Taken here: as a tensor all drawings would be in memory once more.
        return held().images[drawings][..., np.newaxis], matrices, labels

    example = sample_step(0)
    dtypes = [tf.as_dtype(array.dtype) for array in example]

    def make_batch(step):
        arrays = tf.numpy_function(sample_step, [step], dtypes, stateful=False)
        for array, like in zip(arrays, example, strict=True):
            array.set_shape(like.shape)
        return tuple(arrays)

    # Several workers share each batch.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    # There is nothing to tune, and the end of an iterator waits for the tuner,
    # which sleeps up to as long as it has been at work, or a minute.
    options.autotune.enabled = False
    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    # What is made of a dataset holds it, as does an iterator.
    steps.images = holder
    return steps.map(make_batch, num_parallel_calls=2).with_options(options)


@dataclasses.dataclass(frozen=True, eq=False)
class _Images:
    """Images that a weak reference can be made to."""

    images: np.ndarray
