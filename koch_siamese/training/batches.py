"""Endless streams of distorted pairs, and of groups.

A sampler chooses drawings and distortions with NumPy; tf.data moves the pixels.
A batch is a pure function of (seed, step): it is the same on any device, and in
a resumed run.
"""

import itertools
import weakref
from collections.abc import Callable, Sequence

import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.errors import InputError, warn
from koch_siamese.models.photo_effects import change_photos
from koch_siamese.models.warp import Fill, warp
from koch_siamese.runs.settings import Settings, has_effects
from koch_siamese.sampling.distortions import DISTORTIONS, AffineRanges
from koch_siamese.sampling.effects import EFFECTS
from koch_siamese.training import chunks, features
from koch_siamese.training.samplers import (
    Sampler,
    build_group_sampler,
    build_pair_sampler,
)

NUM_EXAMPLES = 24  # pairs in a figure


def make_batches(
    settings: Settings,
    training: Characters,
    first_step: int = 0,
    stored: np.ndarray | None = None,
):
    """Makes the endless batches of a training.

    Groups are smaller than the settings if there are fewer characters, or fewer
    drawings of one; see `warn_of_small_classes`.

    Args:
        settings: of the training.
        training: the characters to train on.
        first_step: the step to begin with.
        stored: the features of their images, if the model is trained on
            features; see `features.compute_features`.

    Returns:
        A tf.data.Dataset; with several steps per call, a generator of chunks,
        see `chunks.make_chunks`.
    """
    sampler = build_sampler(settings, training)
    to_inputs = TO_INPUTS[settings.sampling]
    if settings.steps_per_call > 1:
        return chunks.make_chunks(
            sampler, to_inputs, first_step, settings.steps_per_call
        )
    images = training.images
    if stored is not None:
        images, sampler = stored, features.without_distortion(sampler)
    stream = make_dataset(images, sampler, to_inputs, first_step)
    return stream.prefetch(4)


def iterate_batches(settings: Settings, training: Characters):
    """Yields the endless batches of a training as NumPy arrays."""
    sampler = build_sampler(settings, training)
    for step in itertools.count():
        drawings, distortion, labels = sampler(step)
        images = training.images[drawings]
        yield TO_INPUTS[settings.sampling](images, distortion, labels)


def build_sampler(settings: Settings, training: Characters) -> Sampler:
    """Builds the sampler of a training's batches."""
    arguments = {
        "seed": settings.seed,
        "ranges": DISTORTIONS[settings.distortion],
        "within_alphabet": settings.within_alphabet,
        "effects": EFFECTS[settings.effects] if has_effects(settings) else None,
    }
    if settings.sampling == "pairs":
        return build_pair_sampler(
            training,
            batch_size=settings.batch_size,
            num_pairs=settings.num_pairs,
            num_copies=settings.num_copies,
            **arguments,
        )
    counts = np.unique(training.character, return_counts=True)[1]
    return build_group_sampler(
        training,
        num_characters=min(settings.group_characters, len(counts)),
        num_drawings=min(settings.group_drawings, counts.min()),
        character_ranges=DISTORTIONS[settings.character_distortion],
        character_effects=EFFECTS[settings.character_effects],
        **arguments,
    )


def warn_of_small_classes(
    settings: Settings,
    training: Characters,
    names: Sequence[str] | None = None,
):
    """Warns if classes have too few images for groups of the settings' size.

    Only if most have enough: then a few make all groups smaller.

    Args:
        settings: of the training.
        training: the characters to train on.
        names: the names of the characters, for the message.
    """
    known, first, counts = np.unique(
        training.character, return_index=True, return_counts=True
    )
    asked, least = settings.group_drawings, counts.min()
    is_exception = least < asked <= np.median(counts)
    if settings.sampling != "groups" or not is_exception:
        return
    smallest = counts.argmin()
    name = (
        names[known[smallest]]
        if names
        else training.describe_character(first[smallest])
    )
    warn(
        f"{np.sum(counts < asked)} of {len(counts)} training classes have "
        f"fewer than --group_drawings={asked} images, such as {name!r} with "
        f"{least}, so batches have {least} images of each class. Add images, "
        f"remove these classes, or give --group_drawings={least}."
    )


def example_pairs(settings: Settings, training: Characters, fill_value: Fill):
    """Distorts some pairs of the first batch, as the network sees them.

    Args:
        settings: of the training.
        training: the characters to train on.
        fill_value: of the distortion, see `AffineWarp`.

    Returns:
        first, second: float32 `[num_pairs, height, width, channels]`, at most
            `NUM_EXAMPLES` of them.
        same: `[num_pairs]`, 1 or true = same character, 0 = different.
    """
    drawings, distortion, labels = build_sampler(settings, training)(0)
    matrices = distortion.pop("matrices")
    images = warp(training.images[drawings], matrices, fill_value)
    if distortion:
        images = change_photos(images, **distortion)
    images = np.array(images)
    if settings.sampling == "pairs":
        first, second = np.split(images, 2)
        chosen = slice(NUM_EXAMPLES)
        return first[chosen], second[chosen], labels[chosen]
    # Neighbors in a group: same pairs within a character, different ones
    # where it changes. As many of each kind, although different pairs are
    # rarer.
    same = labels[:-1] == labels[1:]
    chosen = np.sort(
        np.r_[
            np.flatnonzero(~same)[: NUM_EXAMPLES // 2],
            np.flatnonzero(same)[: NUM_EXAMPLES // 2],
        ]
    )
    return images[chosen], images[chosen + 1], same[chosen]


def make_pairs(
    characters: Characters,
    *,
    batch_size: int = 64,
    distortion: str | AffineRanges = "none",
    within_alphabet: float = 1.0,
    seed: int = 0,
):
    """Makes an endless tf.data.Dataset of pairs for `fit`.

    Half of the pairs of a batch show the same character, half of them two
    different characters.

    ```python
    characters = koch_siamese.load_characters("glyphs", "training")
    pairs = koch_siamese.make_pairs(characters, distortion="paper")
    model.fit(pairs, steps_per_epoch=300, shuffle=False)
    ```

    Args:
        characters: drawings to sample from, of `load_characters` or
            `load_folder`.
        batch_size: pairs in a batch, two or more.
        distortion: how to distort each drawing: `none`, `paper`, `strong`,
            `elastic`, `metamorphic`, `rotation`, `photo` or `turned`, as
            `--distortion` in `python -m koch_siamese.train --help`; or
            `AffineRanges`, see `koch_siamese.sampling.distortions`.
        within_alphabet: the fraction, within 0..1, of different pairs that are
            of one alphabet; the others are of any two characters.
        seed: determines all pairs and distortions.

    Returns:
        A dataset of `({"first": images, "second": images}, same)`: images are
        float32 `[batch, height, width, channels]`, 0 = ink, 255 = white;
        `same` is float32 `[batch]`, 1 = same character, 0 = different. White on
        black, as MNIST is, must be inverted: `255 - images`. Compile a siamese
        model with `BinaryCrossentropy(from_logits=True)` and
        `BinaryAccuracy(threshold=0)`.

    Raises:
        InputError: an argument is out of its range, or there are fewer than
            two characters, or fewer than two drawings of one.
    """
    _check_arguments(characters, within_alphabet)
    if batch_size < 2:
        raise InputError(
            f"batch_size is {batch_size}: expected at least 2, a same pair and "
            "a different one."
        )
    sampler = build_pair_sampler(
        characters,
        batch_size=batch_size,
        seed=seed,
        ranges=_get_ranges(distortion),
        within_alphabet=within_alphabet,
    )
    pairs = make_dataset(characters.images, sampler, _distort_pairs)
    return pairs.prefetch(2)


def make_groups(
    characters: Characters,
    *,
    num_characters: int = 40,
    num_drawings: int = 4,
    distortion: str | AffineRanges = "none",
    within_alphabet: float = 0.75,
    seed: int = 0,
):
    """Makes an endless tf.data.Dataset of groups for `fit`.

    A group has several drawings each of several characters. `AllPairsLoss`
    compares each drawing with all others; `koch_siamese.models` has a model for
    that.

    ```python
    characters = koch_siamese.load_characters("glyphs", "training")
    groups = koch_siamese.make_groups(characters, distortion="paper")
    model.fit(groups, steps_per_epoch=300, shuffle=False)
    ```

    Args:
        characters, distortion, seed: as in `make_pairs`.
        num_characters: different characters in a group, two or more.
        num_drawings: drawings of each, two or more.
        within_alphabet: the probability, within 0..1, that a group is from one
            alphabet, or from as few as have enough characters; otherwise it is
            from all characters.

    Returns:
        A dataset of `(images, character)`: images are float32 `[num_characters
        * num_drawings, height, width, channels]`, 0 = ink, 255 = white;
        `character` is int32 `[num_characters * num_drawings]`, equal for
        drawings of the same character.

    Raises:
        InputError: an argument is out of its range, or there are fewer
            characters, or fewer drawings of one.
    """
    _check_arguments(characters, within_alphabet)
    numbers = {"num_characters": num_characters, "num_drawings": num_drawings}
    for name, number in numbers.items():
        if number < 2:
            raise InputError(f"{name} is {number}: expected at least 2.")
    sampler = build_group_sampler(
        characters,
        **numbers,
        seed=seed,
        ranges=_get_ranges(distortion),
        within_alphabet=within_alphabet,
    )
    groups = make_dataset(characters.images, sampler, _distort_group)
    return groups.prefetch(2)


def _check_arguments(characters, within_alphabet):
    """Checks the arguments that pairs and groups have in common."""
    if not isinstance(characters, Characters):
        raise InputError(
            f"characters is a value of type {type(characters).__name__}: "
            "expected Characters, as load_characters returns them; load_folder "
            "returns characters and names: pass the first."
        )
    if not 0 <= within_alphabet <= 1:
        raise InputError(
            f"within_alphabet is {within_alphabet}: expected 0 to 1."
        )


def _get_ranges(distortion):
    """Returns the ranges of a distortion that may be given by name."""
    if isinstance(distortion, AffineRanges):
        return distortion
    if distortion not in DISTORTIONS:
        raise InputError(
            f"distortion is {distortion!r}: expected AffineRanges, or one of "
            f"{', '.join(DISTORTIONS)}."
        )
    return DISTORTIONS[distortion]


def _distort_pairs(images, distortion, same):
    """Distorts the pairs of a batch; see `to_pair_inputs`."""
    import tensorflow as tf

    first, second = tf.split(_distort(images, distortion), 2)
    return {"first": first, "second": second}, same


def _distort_group(images, distortion, character):
    """Distorts the drawings of a group."""
    return _distort(images, distortion), character


def _distort(images, distortion):
    """Distorts images in NumPy, because Keras may compute with JAX."""
    import tensorflow as tf

    warped = tf.numpy_function(
        lambda *arrays: np.asarray(warp(*arrays)),
        [images, distortion["matrices"]],
        tf.float32,
        stateful=False,
    )
    return tf.ensure_shape(warped, images.shape)


def to_pair_inputs(images, distortion, same):
    """Makes the inputs of the training model from a batch of pairs.

    Args:
        images: `[2 * batch, ...]`, images, or indices of drawings.
        distortion, same: as in `samplers.Batch`.

    Returns:
        inputs: a dict of `first`, `second`, `first_matrices`,
            `second_matrices`, and so on.
        same: unchanged.
    """
    half = same.shape[0]
    inputs = {"first": images[:half], "second": images[half:]}
    for name, values in distortion.items():
        inputs[f"first_{name}"] = values[:half]
        inputs[f"second_{name}"] = values[half:]
    return inputs, same


def to_group_inputs(images, distortion, character):
    """Makes the inputs of the training model from a group of drawings."""
    return {"images": images, **distortion}, character


TO_INPUTS = {"pairs": to_pair_inputs, "groups": to_group_inputs}


def make_dataset(
    images: np.ndarray,
    sample: Sampler,
    to_inputs: Callable,
    first_step: int = 0,
):
    """Makes an endless tf.data.Dataset of the batches of a sampler.

    Args:
        images: `[num_drawings, ...]`, uint8 images or float32 features.
        sample: from `build_pair_sampler` or `build_group_sampler`.
        to_inputs: makes the inputs and labels of the training model, such as
            `to_pair_inputs` or `to_group_inputs`.
        first_step: the step to begin with, for a training that is resumed.

    Returns:
        A dataset of the results of `to_inputs`.
    """
    import tensorflow as tf

    # TensorFlow never frees a Python function. This one must not hold the
    # images, which would stay in memory until the process ends.
    held = weakref.ref(images)

    def sample_step(step):
        drawings, distortion, labels = sample(step)
        # Indexed here: a tensor of all drawings would be a second copy.
        return held()[drawings], distortion, labels

    example = sample_step(0)
    dtypes = tf.nest.map_structure(lambda x: tf.as_dtype(x.dtype), example)

    # There are no branches or loops to convert, which would take half a second.
    plain = tf.autograph.experimental.do_not_convert

    @plain
    def make_batch(step):
        arrays = tf.numpy_function(
            lambda x: tf.nest.flatten(sample_step(x)),
            [step],
            tf.nest.flatten(dtypes),
            stateful=False,
        )
        for array, like in zip(arrays, tf.nest.flatten(example), strict=True):
            array.set_shape(like.shape)
        return tf.nest.pack_sequence_as(example, arrays)

    # Several workers share each batch.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    # There is nothing to tune, and the end of an iterator waits for the tuner,
    # which sleeps for up to the time that it has run, at most a minute.
    options.autotune.enabled = False
    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    # Datasets and iterators that are made from `steps` hold it.
    steps.images = images
    batches = steps.map(make_batch, num_parallel_calls=2)
    return batches.with_options(options).map(plain(to_inputs))
