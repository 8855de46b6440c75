"""Warps images by given matrices, on the device of the model.

Nothing here is random: `sampling.distortions` samples the matrices.
"""

import keras
import numpy as np
from keras import ops

from koch_siamese.backend import compile_with_xla
from koch_siamese.images import WHITE
from koch_siamese.sampling.distortions import WAVES

# The value outside of an image, or None for that of its nearest pixel.
Fill = float | None


def warp(images, matrices, fill_value: Fill = float(WHITE)):
    """Warps images by affine matrices with bilinear interpolation.

    Args:
        images: `[batch, height, width, channels]`, any number type; each side
            has at least two pixels.
        matrices: float32 `[batch, 2, columns]`, see `sample_affine_matrices`.
        fill_value: the value outside of an image, or None for that of its
            nearest pixel.

    Returns:
        float32 `[batch, height, width, channels]`.
    """

    def take(flat, indices):
        return ops.take_along_axis(flat, ops.expand_dims(indices, -1), 1)

    return _warp(images, matrices, fill_value, take)


def warp_in_all_ways(images, matrices, fill_value: Fill = float(WHITE)):
    """Warps every image by every matrix, as `warp` does.

    Args:
        images, fill_value: as in `warp`.
        matrices: float32 `[num, 2, columns]`, see `sample_affine_matrices`.

    Returns:
        float32 `[batch * num, height, width, channels]`; the results of an
        image are adjacent.
    """

    def take(flat, indices):
        return ops.take(flat, indices, 1)

    return _warp(images, matrices, fill_value, take)


def _warp(images, matrices, fill_value, take):
    """Interpolates between pixels that `take` reads from flat images."""
    height, width, channels = images.shape[1:]
    flat = ops.reshape(images, (-1, height * width, channels))
    x, y = _source_coordinates(matrices, height, width)
    if fill_value is None:
        x, y = ops.clip(x, 0, width - 1), ops.clip(y, 0, height - 1)
        fill_value = 0.0
    left = ops.clip(ops.floor(x), 0, width - 2)
    top = ops.clip(ops.floor(y), 0, height - 2)
    corner = ops.cast(top * width + left, "int32")

    def at(offset):
        # Relative to the fill value, so that the outside is 0.
        return ops.cast(take(flat, corner + offset), "float32") - fill_value

    # A pixel has no weight beyond a distance of one pixel. So the image needs
    # no frame of the fill value, which XLA would compute four times.
    def share(distance):
        return ops.expand_dims(ops.maximum(1.0 - ops.abs(distance), 0.0), -1)

    left_share, right_share = share(x - left), share(x - left - 1.0)
    upper = left_share * at(0) + right_share * at(1)
    lower = left_share * at(width) + right_share * at(width + 1)
    warped = share(y - top) * upper + share(y - top - 1.0) * lower + fill_value
    return ops.reshape(warped, (-1, height, width, channels))


def _source_coordinates(matrices, height, width):
    """Column and row of each pixel's source, `[batch, height * width]`."""
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    x, y = column - (width - 1) / 2, row - (height - 1) / 2
    shapes = [np.ones_like(x)]
    if matrices.shape[-1] > 3:
        shapes += [
            np.cos(np.pi * across * (column + 0.5) / width)
            * np.cos(np.pi * down * (row + 0.5) / height)
            for across, down in WAVES
        ]

    def source(axis, side):
        # Pixels, not sides, so that the identity is exact; a sum of products,
        # because some devices round matrix products.
        terms = np.stack([x, y, *(side * shape for shape in shapes)])
        terms = terms.reshape(len(terms), -1).astype(np.float32)
        coefficients = ops.expand_dims(matrices[:, axis], -1)
        return ops.sum(coefficients * terms, axis=1) + (side - 1) / 2

    return source(0, width), source(1, height)


@keras.saving.register_keras_serializable(package="koch_siamese")
class AffineWarp(keras.layers.Layer):
    """Distorts images by given affine matrices, compiled by XLA.

    Keras' Random* layers do not compile under XLA; this gather does, on every
    device, whether or not the training step is compiled.

    Args:
        fill_value: the value outside of an image, by default white, or None
            for that of its nearest pixel.

    Call arguments:
        images: `[batch, height, width, channels]`, with known height and width.
        matrices: float32 `[batch, 2, columns]`, see `sample_affine_matrices`.

    Output shape: float32 `[batch, height, width, channels]`.
    """

    def __init__(self, fill_value: Fill = float(WHITE), **kwargs):
        """Makes the layer; it has no weights."""
        super().__init__(**kwargs)
        self.fill_value = fill_value
        self._warp = compile_with_xla(warp)

    def call(self, images, matrices):
        """Warps each image by its matrix."""
        return self._warp(images, matrices, self.fill_value)

    def compute_output_shape(self, images_shape, matrices_shape):
        """Returns the shape of the images."""
        return images_shape

    def get_config(self):
        """Returns the config of the layer."""
        return super().get_config() | {"fill_value": self.fill_value}
