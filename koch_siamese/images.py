"""Images: their kinds, their usual size, and fitting to a square.

Images are uint8 `[height, width, channels]`: drawings have one channel, 0 = ink
and 255 = white; photos have three, red, green and blue. An image is fitted to a
square without changing its aspect ratio: it is padded with white, then resized
bilinearly with antialiasing. There is one function for each use, because
Pillow, Keras, TensorFlow's pipelines and portable exports resize by different
code.
"""

import os
from typing import BinaryIO

import numpy as np
from PIL import Image

WHITE = 255  # gray value of paper
IMAGE_SIZE = 105  # side of Omniglot's drawings in pixels
CHANNELS = {"drawing": 1, "photo": 3}  # of each kind of image

# An image as users pass it: a path, a file's bytes, an open file, or pixels.
ImageLike = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray
BYTES = bytes | bytearray | memoryview


def pad_to_square(image: np.ndarray, side: int) -> np.ndarray:
    """Centers an image on a white square.

    Args:
        image: uint8 `[height, width]` or `[height, width, channels]`.
        side: side of the square in pixels.
    """
    missing = np.array([side, side]) - image.shape[:2]
    before = missing // 2
    margins = list(zip(before, missing - before, strict=True))
    margins += [(0, 0)] * (image.ndim - 2)
    return np.pad(image, margins, constant_values=WHITE)


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resizes a Pillow image to (width, height), antialiased."""
    return image.resize(size, Image.Resampling.BILINEAR)


def limit_size(
    image: Image.Image,
    max_side: int,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """Reduces a Pillow image if its longer side exceeds `max_side`."""
    scale = min(1, max_side / max(image.size))
    size = [max(1, round(scale * side)) for side in image.size]
    return image.resize(size, resample)


def fit_to_square(
    image: np.ndarray, size: int, side: int | None = None
) -> np.ndarray:
    """Fits an image to a square with Pillow.

    Args:
        image: uint8 `[height, width]` or `[height, width, channels]`, with 1
            or 3 channels.
        size: side of the result in pixels.
        side: side of the square that the image is centered on first; by
            default the image's longer side.

    Returns:
        uint8 `[size, size]`, with channels if `image` has them.
    """
    square = pad_to_square(image, side or max(image.shape[:2]))
    if square.shape[2:] == (1,):  # which Pillow does not support
        return fit_to_square(square[..., 0], size)[..., np.newaxis]
    return np.asarray(resize(Image.fromarray(square), (size, size)))


def fit_ink_to_square(ink, size: int):
    """Fits ink to a square with Keras, within a model.

    Args:
        ink: float `[batch, height, width, channels]`, 0 = white, the value of
            the padding.
        size: side of the result in pixels.

    Returns:
        float `[batch, size, size, channels]`.
    """
    from keras import ops

    return ops.image.resize(
        ink,
        (size, size),
        antialias=True,
        pad_to_aspect_ratio=True,
        data_format="channels_last",
    )


def fit_in_pipeline(image, size: int, fill_value: float | None = None):
    """Fits an image to a square within a tf.data pipeline.

    Args:
        image: uint8 `[height, width, channels]`.
        size: side of the result in pixels.
        fill_value: the value of the padding; by default that of the first
            corner, for images in which the value of white is not known yet.

    Returns:
        uint8 `[size, size, channels]`.
    """
    import tensorflow as tf

    if fill_value is None:
        fill_value = tf.cast(image[0, 0], tf.float32)
    # The padding is 0, so the fill value is shifted to 0 and back.
    fitted = tf.image.resize_with_pad(
        tf.cast(image, tf.float32) - fill_value, size, size, antialias=True
    )
    return tf.cast(tf.round(fitted + fill_value), tf.uint8)


def fit_by_products(images, size: int):
    """Fits images to a square in operations that ONNX and LiteRT support.

    These do not include antialiased resizing; two matrix products do the same.

    Args:
        images: `[batch, height, width, channels]`, 255 = white; the number of
            channels is known.
        size: side of the result in pixels.

    Returns:
        float32 `[batch, size, size, channels]`, on the scale of `images`.
    """
    import tensorflow as tf

    height, width = tf.shape(images)[1], tf.shape(images)[2]
    longest = tf.maximum(height, width)
    rows = _compute_weights(height, longest, size)
    columns = _compute_weights(width, longest, size)

    def fit(channel):
        ink = tf.matmul(rows, WHITE - tf.cast(channel, tf.float32))
        return WHITE - tf.matmul(ink, columns, transpose_b=True)

    fitted = tf.stack([fit(x) for x in tf.unstack(images, axis=-1)], axis=-1)
    return tf.reshape(fitted, (-1, size, size, images.shape[-1]))


def _compute_weights(num, longest, size):
    """Computes the weight of each of `num` pixels in each of `size`.

    The weights form a triangle around each center, whose width grows with the
    reduction of the image.
    """
    import tensorflow as tf

    margin = (longest - num) // 2
    padded = num + 2 * margin
    step = tf.cast(padded, tf.float32) / size
    centers = (tf.range(size, dtype=tf.float32) + 0.5) * step
    positions = tf.cast(tf.range(padded), tf.float32) + 0.5
    distance = tf.abs(positions - centers[:, tf.newaxis])
    weights = tf.nn.relu(1 - distance / tf.maximum(step, 1.0))
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return weights[:, margin : margin + num]
