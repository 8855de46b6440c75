"""Recolors, blurs and covers photos on the device of the model.

Nothing here is random: `sampling.effects` draws the numbers.
"""

import math

import keras
from keras import ops

from koch_siamese.backend import compile_with_xla
from koch_siamese.images import WHITE
from koch_siamese.sampling.effects import EFFECTS

MAX_BLUR = max(ranges.blur for ranges in EFFECTS.values())
MIN_REACH = 3  # of the blur, in pixels to either side
COVER = WHITE / 2  # the gray value of a covered part
MIN_STDDEV = 1e-3  # in pixels; it blurs nothing


def change_photos(images, colors, blurs, boxes):
    """Changes the colors of photos, blurs them, and covers a part of each.

    Args:
        images: float32 `[batch, height, width, 3]`, in 0..255.
        colors, blurs, boxes: see `sampling.effects.sample_effects`.

    Returns:
        float32 `[batch, height, width, 3]`, in 0..255.
    """
    images = _recolor(images, colors)
    images = _blur(images, blurs)
    return _cover(images, boxes)


def _recolor(images, colors):
    linear = ops.transpose(colors[:, :, :3], (0, 2, 1))
    shape = ops.shape(images)
    flat = ops.reshape(images, (-1, images.shape[1] * images.shape[2], 3))
    flat = ops.matmul(flat, linear) + WHITE * ops.expand_dims(colors[..., 3], 1)
    return ops.reshape(ops.clip(flat, 0.0, float(WHITE)), shape)


def _blur(images, blurs):
    """Applies a Gaussian blur along each axis, mirrored at the edges."""
    for axis in (1, 2):
        side = images.shape[axis]
        stddev = ops.maximum(blurs * side, MIN_STDDEV)
        reach = max(MIN_REACH, math.ceil(3 * MAX_BLUR * side))
        margins = [(0, 0)] * 4
        margins[axis] = (reach, reach)
        padded = ops.pad(images, margins, mode="symmetric")
        blurred, total = 0.0, 0.0
        for offset in range(-reach, reach + 1):
            weight = ops.exp(-0.5 * ops.square(offset / stddev))
            begin = offset + reach
            part = slice(begin, begin + side)
            shifted = padded[:, part] if axis == 1 else padded[:, :, part]
            blurred += ops.reshape(weight, (-1, 1, 1, 1)) * shifted
            total += weight
        images = blurred / ops.reshape(total, (-1, 1, 1, 1))
    return images


def _cover(images, boxes):
    height, width = images.shape[1:3]
    x = (ops.arange(width, dtype="float32") + 0.5) / width
    y = (ops.arange(height, dtype="float32") + 0.5) / height
    left, top, right, bottom = (boxes[:, i : i + 1] for i in range(4))
    across = ops.logical_and(x >= left, x < right)
    down = ops.logical_and(y >= top, y < bottom)
    is_covered = ops.logical_and(
        ops.expand_dims(down, 2), ops.expand_dims(across, 1)
    )
    return ops.where(ops.expand_dims(is_covered, -1), COVER, images)


@keras.saving.register_keras_serializable(package="koch_siamese")
class PhotoEffects(keras.layers.Layer):
    """Applies `change_photos` to photos, compiled by XLA.

    Call arguments are those of `change_photos`.

    Output shape: float32 `[batch, height, width, 3]`.
    """

    def __init__(self, **kwargs):
        """Makes the layer; it has no weights."""
        super().__init__(**kwargs)
        self._change = compile_with_xla(change_photos)

    def call(self, images, colors, blurs, boxes):
        """Changes each photo by its numbers."""
        return self._change(images, colors, blurs, boxes)

    def compute_output_shape(self, images_shape, *_, **__):
        """Returns the shape of the photos."""
        return images_shape
