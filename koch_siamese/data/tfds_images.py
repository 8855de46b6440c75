"""Reads data sets of TFDS: any of images and labels, such as MNIST."""

import numpy as np

from koch_siamese.data.characters import Characters, number_images
from koch_siamese.data.image_arrays import CHUNK, allocate_images, take
from koch_siamese.errors import InputError
from koch_siamese.images import IMAGE_SIZE, WHITE, fit_in_pipeline


def load_labelled(builder, split: str, photo_size: int = 0) -> Characters:
    """Loads a split, with its labels as characters of one alphabet.

    Images are multiplied by 255 if no value of the split is above 1. Drawings
    are converted to gray, fitted to a square if they differ in size, and
    inverted if they are light on dark, as in MNIST. Their drawers are unknown:
    `drawer` numbers the images of a label, so that the query and supports of a
    trial are different images.

    Args:
        builder: a prepared builder of images and labels.
        split: a split of the builder.
        photo_size: the side of photos in pixels, or 0 to read drawings.

    Raises:
        InputError: there is no such split.
    """
    if split not in builder.info.splits:
        raise InputError(
            f"{builder.name} has no split {split}: it has "
            f"{', '.join(builder.info.splits)}."
        )
    return _make_characters(builder, split, photo_size)


def load_all(
    builder, photo_size: int = 0
) -> tuple[Characters, tuple[str, ...]]:
    """Loads all splits as one, to train with a split by class.

    Images without a label, which some data sets have, are left out.

    Args:
        builder, photo_size: see `load_labelled`.

    Returns:
        The characters, and the names of the labels, indexed by `character`.
    """
    characters = _make_characters(
        builder, "+".join(builder.info.splits), photo_size
    )
    return characters, tuple(builder.info.features["label"].names)


def _make_characters(builder, split, photo_size):
    examples = _read(builder, split, photo_size)
    labels = examples["label"]
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    images, labels = take(examples["image"], order), labels[order]
    return Characters(
        images=images if photo_size else invert_if_dark(images),
        character=labels.astype(np.int32),
        number=(labels + 1).astype(np.int32),
        alphabet=np.zeros(len(labels), np.int32),
        drawer=number_images(labels),
        alphabet_names=(builder.name,),
    )


def invert_if_dark(images: np.ndarray) -> np.ndarray:
    """Inverts all images, in place, if most pixels at their edges are dark.

    Args:
        images: uint8 `[num, height, width, channels]`.
    """
    edges = (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1])
    dark = sum((images[edge] < WHITE / 2).sum() for edge in edges)
    num, height, width, channels = images.shape
    num_values = 2 * num * (height + width) * channels
    if 2 * dark > num_values:
        for start in range(0, num, CHUNK):
            chunk = slice(start, start + CHUNK)
            images[chunk] = WHITE - images[chunk]
    return images


def _read(builder, split, photo_size):
    """Reads `image` `[num, height, width, channels]` and `label` `[num]`."""
    import tensorflow as tf

    height, width, channels = builder.info.features["image"].shape
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    scale = WHITE if _is_binary(dataset) else 1

    def convert(example):
        image = example["image"] * scale
        if photo_size and channels == 1:
            image = tf.image.grayscale_to_rgb(image)
        if channels == 3 and not photo_size:
            image = tf.image.rgb_to_grayscale(image)
        image = image[..., : 3 if photo_size else 1]
        if photo_size:
            image = fit_in_pipeline(image, photo_size, float(WHITE))
        elif height is None or width is None:
            image = fit_in_pipeline(image, IMAGE_SIZE)
        return {"image": image, "label": example["label"]}

    return _collect(builder, split, dataset.map(convert, tf.data.AUTOTUNE))


def _is_binary(dataset):
    """Tells whether no value of any image is above 1."""
    import tensorflow as tf

    others = dataset.filter(lambda example: tf.reduce_max(example["image"]) > 1)
    return not list(others.take(1))


def read_examples(builder, split: str) -> dict[str, np.ndarray]:
    """Reads one split of a prepared TFDS builder into memory, in file order.

    Args:
        builder: a prepared `tfds.core.DatasetBuilder` with an `image` feature.
        split: the name of a split.

    Returns:
        An array for each feature; `image` is uint8 `[num, height, width, 1]`.

    Raises:
        InputError: there are no examples.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    @tf.autograph.experimental.do_not_convert
    def decode(example):
        gray = tf.io.decode_png(example["image"], channels=1)
        return example | {"image": gray}

    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        # One file after the other, as drawers are recovered from the order.
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    return _collect(builder, split, dataset.map(decode, tf.data.AUTOTUNE))


def _collect(builder, split, dataset):
    """Reads the examples of a split into one array for each feature."""
    num_examples = builder.info.splits[split].num_examples
    batches, images, start = [], None, 0
    for batch in dataset.batch(1024).prefetch(2).as_numpy_iterator():
        pixels = batch.pop("image")
        if images is None:
            images = allocate_images((num_examples, *pixels.shape[1:]))
        images[start : start + len(pixels)] = pixels
        start += len(pixels)
        batches.append(batch)
    if images is None:
        raise InputError(f"The split {split!r} of {builder.name} is empty.")
    labels = {
        key: np.concatenate([batch[key] for batch in batches])
        for key in batches[0]
    }
    return labels | {"image": images}
