"""Ranges of distortions, and random matrices within them.

Matrices are sampled in the input pipeline, or once for the views of a model;
`models.warp` applies them.
"""

import dataclasses
import functools

import numpy as np

# Of the image by 0, 90, 180 and 270 degrees, `[4, 2, 2]`.
QUARTER_TURNS = np.array(
    [
        [[1.0, 0.0], [0.0, 1.0]],
        [[0.0, -1.0], [1.0, 0.0]],
        [[-1.0, 0.0], [0.0, -1.0]],
        [[0.0, 1.0], [-1.0, 0.0]],
    ]
)


@dataclasses.dataclass(frozen=True)
class AffineRanges:
    """Ranges of a random distortion; each component is sampled uniformly.

    Attributes:
        rotation_degrees: rotation within plus and minus this angle.
        shear: horizontal and vertical shear within plus and minus this slope.
        scale: lowest and highest horizontal and vertical factor.
        translation: horizontal and vertical shift within plus and minus this
            fraction of the image's side.
        probability: of applying a component, for each one separately.
        wave: standard deviation, as a fraction of the image's side, of the
            longest of the smooth waves that bend the image; see `WAVES`.
        quarter_turns: whether to turn the image by 0, 90, 180 or 270 degrees.
        mirror: the probability of mirroring the image left to right.
    """

    rotation_degrees: float = 0.0
    shear: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translation: float = 0.0
    probability: float = 1.0
    wave: float = 0.0
    quarter_turns: bool = False
    mirror: float = 0.0


# For each cosine that bends the image, its number of half waves across and
# down. Shorter waves are weaker.
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
    # Handwriting differs in more than affine ways.
    "elastic": AffineRanges(
        10.0, 0.3, (0.8, 1.2), 2 / 105, probability=0.5, wave=0.03
    ),
    # So strong that it may make another character.
    "metamorphic": AffineRanges(
        0.0, 0.3, (0.7, 1.3), probability=0.75, wave=0.04
    ),
    # As in the tutorial's listing: always a rotation, and nothing else.
    "rotation": AffineRanges(rotation_degrees=15.0),
    "photo": AffineRanges(
        10.0, 0.1, (0.8, 1.25), 0.08, probability=0.5, mirror=0.5
    ),
    # One of the eight symmetries of a square.
    "turned": AffineRanges(quarter_turns=True, mirror=0.5),
}


def sample_affine_matrices(
    ranges: AffineRanges, num: int, rng: np.random.Generator
) -> np.ndarray:
    """Samples the matrices of `num` affine distortions (section 4.1).

    A matrix maps a point of the distorted image to the point of the original
    whose gray value it takes. Coordinates are relative to the image's center,
    in sides of the image, x to the right and y downwards, so that a matrix fits
    every image size. If the ranges have waves, a matrix has another column for
    each of `WAVES`: the map is no longer affine, but still smooth.

    Returns:
        float32 `[num, 2, 3]` or `[num, 2, 3 + len(WAVES)]`; the rows give x
        and y from (x, y, 1) and the waves at (x, y).
    """
    draw = functools.partial(sample_or_keep, rng, num, ranges.probability)

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
    matrices = np.concatenate(columns, axis=-1)
    if ranges.quarter_turns or ranges.mirror:
        matrices = _sample_symmetries(ranges, num, rng) @ matrices
    return matrices.astype(np.float32)


def sample_or_keep(
    rng: np.random.Generator,
    num: int,
    probability: float,
    low: float,
    high: float,
    neutral: float,
) -> np.ndarray:
    """Samples a component of `num` distortions.

    Returns:
        float64 `[num]`: with this probability a value between `low` and `high`,
        otherwise `neutral`, which changes nothing.
    """
    values = rng.uniform(low, high, num)
    return np.where(rng.random(num) < probability, values, neutral)


def _sample_waves(ranges, num, rng):
    """Columns of `WAVES`, `[num, 2, len(WAVES)]`; an image has all or none."""
    strength = ranges.wave / np.linalg.norm(WAVES, axis=1)
    applied = rng.random((num, 1, 1)) < ranges.probability
    return applied * strength * rng.normal(size=(num, 2, len(WAVES)))


def _sample_symmetries(ranges, num, rng):
    """Samples symmetries of a square as exact matrices, `[num, 2, 2]`."""
    quarters = rng.integers(4, size=num) if ranges.quarter_turns else 0
    sign = np.where(rng.random(num) < ranges.mirror, -1.0, 1.0)
    signs = np.stack([sign, np.ones(num)], axis=-1)
    return QUARTER_TURNS[quarters] * signs[:, np.newaxis]


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Composes distortions: first `first`, then `second`.

    This is exact for affine ones; waves of `first` bend along the image after
    `second`, not along the image before it.

    Args:
        first, second: `[num, 2, columns]`, see `sample_affine_matrices`.

    Returns:
        float32 `[num, 2, columns]`, with the larger number of columns.
    """
    # Points are mapped in reverse, from the last image to the original.
    composed = np.zeros(max(first.shape, second.shape), np.float32)
    composed[..., : first.shape[-1]] = first
    composed[..., :2] = 0.0
    composed[..., : second.shape[-1]] += first[..., :2] @ second
    return composed


def _stack_2x2(a, b, c, d):
    return np.stack([a, b, c, d], axis=-1).reshape(-1, 2, 2)
