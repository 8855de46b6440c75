"""The paper's affine distortions: random matrices, and the warp for XLA.

Matrices are drawn in the input pipeline, or once for the views of a model; the
warp has no randomness and runs where the model runs.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from koch_siamese.backend import compile_with_xla
from koch_siamese.data.characters import PAPER


@dataclasses.dataclass(frozen=True)
class AffineRanges:
    """How far a drawing may be distorted; each component is drawn uniformly.

    Attributes:
        rotation_degrees: rotation within plus and minus this angle.
        shear: horizontal and vertical shear within plus and minus this slope.
        scale: lowest and highest horizontal and vertical factor.
        translation: horizontal and vertical shift within plus and minus this
            share of the image's side.
        probability: that a component is applied, each on its own.
        wave: standard deviation, as a share of the image's side, of the
            longest of the smooth waves that bend the image; see `WAVES`.
    """

    rotation_degrees: float = 0.0
    shear: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translation: float = 0.0
    probability: float = 1.0
    wave: float = 0.0


# Half waves across and down the image of each term that bends it: cosines, of
# which short ones are the weaker.
WAVES = tuple(
    (across, down)
    for across in range(4)
    for down in range(4)
    if 1 <= across**2 + down**2 <= 9
)

DISTORTIONS = {
    "none": AffineRanges(),
    # Section 4.1: 2 pixels of 105.
    "paper": AffineRanges(10.0, 0.3, (0.8, 1.2), 2 / 105, probability=0.5),
    "strong": AffineRanges(15.0, 0.3, (0.7, 1.2), 0.06, probability=0.8),
    # Hands differ in more than affine ways.
    "elastic": AffineRanges(
        10.0, 0.3, (0.8, 1.2), 2 / 105, probability=0.5, wave=0.03
    ),
    # So far that another character may come of it.
    "metamorphic": AffineRanges(
        0.0, 0.3, (0.7, 1.3), probability=0.75, wave=0.04
    ),
    # The tutorial's listing: rotation alone, always.
    "rotation": AffineRanges(rotation_degrees=15.0),
}


def sample_affine_matrices(
    ranges: AffineRanges, num: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws the matrices of `num` affine distortions (section 4.1).

    A matrix maps a place of the distorted image to the place of the original
    whose grey value it takes. Places are measured from the image's centre in
    sides of the image, x to the right and y downwards, so that one matrix fits
    every image size. Where the ranges have waves, a matrix has a column more
    for each of `WAVES`: the map is no longer affine, but as smooth as they are.

    Returns:
        float32 `[num, 2, 3]` or `[num, 2, 3 + len(WAVES)]`; the rows give x
        and y from (x, y, 1) and the waves at (x, y).
    """

    def draw(low, high, neutral):
        values = rng.uniform(low, high, num)
        applied = rng.random(num) < ranges.probability
        return np.where(applied, values, neutral)

    def draw_within(limit):
        return draw(-limit, limit, 0.0)

    angle = np.deg2rad(draw_within(ranges.rotation_degrees))
    shear_x, shear_y = draw_within(ranges.shear), draw_within(ranges.shear)
    scale_x, scale_y = draw(*ranges.scale, 1.0), draw(*ranges.scale, 1.0)
    shift_x = draw_within(ranges.translation)
    shift_y = draw_within(ranges.translation)

    cos, sin, one = np.cos(angle), np.sin(angle), np.ones(num)
    linear = (
        _stack_2x2(cos, -sin, sin, cos)
        @ _stack_2x2(one, shear_x, shear_y, one)
        @ _stack_2x2(1 / scale_x, 0 * one, 0 * one, 1 / scale_y)
    )
    shift = np.stack([shift_x, shift_y], axis=-1)[..., np.newaxis]
    columns = [linear, -linear @ shift]
    if ranges.wave:
        columns.append(_sample_waves(ranges, num, rng))
    return np.concatenate(columns, axis=-1).astype(np.float32)


def _sample_waves(ranges, num, rng):
    """Columns of `WAVES`, `[num, 2, len(WAVES)]`; all of an image, or none."""
    strength = ranges.wave / np.linalg.norm(WAVES, axis=1)
    applied = rng.random((num, 1, 1)) < ranges.probability
    return applied * strength * rng.normal(size=(num, 2, len(WAVES)))


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The distortions by `first`, and of what comes of it by `second`.

    Exact for affine ones; waves of `first` bend along the image that `second`
    leaves, not the one that it is given.

    Args:
        first, second: `[num, 2, columns]`, see `sample_affine_matrices`.

    Returns:
        float32 `[num, 2, columns]`, the more columns of the two.
    """
    # A place goes the other way: from the last image to the original.
    composed = np.zeros(max(first.shape, second.shape), np.float32)
    composed[..., : first.shape[-1]] = first
    composed[..., :2] = 0.0
    composed[..., : second.shape[-1]] += first[..., :2] @ second
    return composed


def _stack_2x2(a, b, c, d):
    return np.stack([a, b, c, d], axis=-1).reshape(-1, 2, 2)


def warp(images, matrices, fill_value=float(PAPER)):
    """Warps images by affine matrices with bilinear interpolation.

    Args:
        images: `[batch, height, width, 1]`, any number type; each side has at
            least two pixels.
        matrices: float32 `[batch, 2, columns]`, see `sample_affine_matrices`.
        fill_value: the grey value outside of an image.

    Returns:
        float32 `[batch, height, width, 1]`.
    """
    return _warp(images, matrices, fill_value, ops.take_along_axis)


def warp_in_all_ways(images, matrices, fill_value=float(PAPER)):
    """Warps every image by every matrix, as `warp` does.

    Args:
        images: `[batch, height, width, 1]`, any number type; each side has at
            least two pixels.
        matrices: float32 `[num, 2, columns]`, see `sample_affine_matrices`.
        fill_value: the grey value outside of an image.

    Returns:
        float32 `[batch * num, height, width, 1]`; those of an image are
        neighbours.
    """
    return _warp(images, matrices, fill_value, ops.take)


def _warp(images, matrices, fill_value, take):
    """Interpolates between what `take` finds at places in flat images."""
    height, width = images.shape[1:3]
    flat = ops.reshape(images, (-1, height * width))
    x, y = _source_places(matrices, height, width)
    left = ops.clip(ops.floor(x), 0, width - 2)
    top = ops.clip(ops.floor(y), 0, height - 2)
    corner = ops.cast(top * width + left, "int32")

    def at(offset):
        # Relative to the fill, which is what lies outside.
        return ops.cast(take(flat, corner + offset, 1), "float32") - fill_value

    # A pixel counts within one pixel of its place: outside of the image, none
    # does. So it needs no frame of fill, which XLA would compute four times.
    def share(distance):
        return ops.maximum(1.0 - ops.abs(distance), 0.0)

    left_share, right_share = share(x - left), share(x - left - 1.0)
    upper = left_share * at(0) + right_share * at(1)
    lower = left_share * at(width) + right_share * at(width + 1)
    warped = share(y - top) * upper + share(y - top - 1.0) * lower + fill_value
    return ops.reshape(warped, (-1, height, width, 1))


def _source_places(matrices, height, width):
    """Column and row, `[batch, height * width]`, where each pixel is from."""
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    x, y = column - (width - 1) / 2, row - (height - 1) / 2
    shapes = [np.ones_like(x)]
    if matrices.shape[-1] > 3:
        shapes += [
            np.cos(np.pi * across * (column + 0.5) / width)
            * np.cos(np.pi * down * (row + 0.5) / height)
            for across, down in WAVES
        ]

    def place(axis, side):
        # Pixels, not sides, so that the identity is exact; a sum of products,
        # as a matrix product would be rounded on some devices.
        terms = np.stack([x, y, *(side * shape for shape in shapes)])
        terms = terms.reshape(len(terms), -1).astype(np.float32)
        coefficients = ops.expand_dims(matrices[:, axis], -1)
        return ops.sum(coefficients * terms, axis=1) + (side - 1) / 2

    return place(0, width), place(1, height)


@keras.saving.register_keras_serializable(package="koch_siamese")
class AffineWarp(keras.layers.Layer):
    """Distorts images by given affine matrices, compiled by XLA.

    Stock Random* layers do not compile under XLA; this gather does, on every
    device, whether or not the step around it is compiled.

    Args:
        fill_value: the grey value outside of an image, by default paper.

    Call arguments:
        images: `[batch, height, width, 1]`, a known height and width.
        matrices: float32 `[batch, 2, columns]`, see `sample_affine_matrices`.

    Output shape: float32 `[batch, height, width, 1]`.
    """

    def __init__(self, fill_value: float = float(PAPER), **kwargs):
        """Makes the layer; it has no weights."""
        super().__init__(**kwargs)
        self.fill_value = fill_value
        self._warp = compile_with_xla(warp)

    def call(self, images, matrices):
        """Warps each image by its matrix."""
        return self._warp(images, matrices, self.fill_value)

    def compute_output_shape(self, images_shape, matrices_shape):
        """The images keep their shape."""
        return images_shape

    def get_config(self):
        """What the layer is rebuilt from."""
        return super().get_config() | {"fill_value": self.fill_value}
