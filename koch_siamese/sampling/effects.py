"""Random effects on photos: changes of color, blur, and covered parts.

They are sampled in the input pipeline; `models.photo_effects` applies them.
"""

import dataclasses
import functools

import numpy as np

from koch_siamese.sampling.distortions import sample_or_keep

# Shares of red, green and blue in the gray value of a color (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114])
MIDDLE = 0.5  # the value of 0..1 that contrast does not change


@dataclasses.dataclass(frozen=True)
class EffectRanges:
    """Ranges of random effects on photos; each is sampled uniformly.

    Attributes:
        brightness: added, within plus and minus this part of the full scale.
        contrast, saturation: lowest and highest factor; 1 has no effect.
        hue_degrees: rotation of the colors about gray, within plus and minus
            this angle.
        blur: the largest standard deviation, as a fraction of the image's side.
        erasing: the longest side of a covered rectangle, as a fraction of the
            image's side.
        probability: of applying an effect, for each one separately.
    """

    brightness: float = 0.0
    contrast: tuple[float, float] = (1.0, 1.0)
    saturation: tuple[float, float] = (1.0, 1.0)
    hue_degrees: float = 0.0
    blur: float = 0.0
    erasing: float = 0.0
    probability: float = 1.0


EFFECTS = {
    "none": EffectRanges(),
    "light": EffectRanges(0.1, (0.8, 1.25), (0.7, 1.4), 10.0, probability=0.5),
    "photo": EffectRanges(
        0.2, (0.7, 1.4), (0.5, 1.5), 20.0, 0.015, 0.3, probability=0.5
    ),
    # So strong that it makes another thing.
    "recolor": EffectRanges(saturation=(0.5, 1.5), hue_degrees=180.0),
}


def sample_effects(
    ranges: EffectRanges, num: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Samples the effects on `num` photos.

    Returns:
        colors: float32 `[num, 3, 4]`; the rows give red, green and blue from
            (red, green, blue, 1), on a scale of 0..1.
        blurs: float32 `[num]`, standard deviations in sides of the image.
        boxes: float32 `[num, 4]`, the left, upper, right and lower edge of the
            covered rectangle, in sides of the image; it may be empty.
    """
    draw = functools.partial(sample_or_keep, rng, num, ranges.probability)
    brightness = draw(-ranges.brightness, ranges.brightness, 0.0)
    contrast = draw(*ranges.contrast, 1.0)
    saturation = draw(*ranges.saturation, 1.0)
    hue = np.deg2rad(draw(-ranges.hue_degrees, ranges.hue_degrees, 0.0))
    linear = _turn_hue(hue) @ _saturate(saturation)
    linear *= contrast[:, np.newaxis, np.newaxis]
    offset = np.repeat(brightness + MIDDLE * (1 - contrast), 3)
    colors = np.concatenate([linear, offset.reshape(num, 3, 1)], axis=-1)
    blurs = draw(0.0, ranges.blur, 0.0)
    sides = rng.uniform(0.0, ranges.erasing, (num, 2))
    sides *= rng.random((num, 1)) < ranges.probability
    corners = rng.uniform(size=(num, 2)) * (1 - sides)
    boxes = np.concatenate([corners, corners + sides], axis=-1)
    return {
        "colors": colors.astype(np.float32),
        "blurs": blurs.astype(np.float32),
        "boxes": boxes.astype(np.float32),
    }


def _saturate(factor):
    """Matrices that mix colors with their gray value."""
    gray = np.tile(LUMA, (3, 1))
    factor = factor[:, np.newaxis, np.newaxis]
    return gray + factor * (np.eye(3) - gray)


def _turn_hue(angle):
    """Rotations of RGB about the axis of gray values (Rodrigues' formula)."""
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.cross(np.eye(3), axis)
    cos, sin = (f(angle)[:, np.newaxis, np.newaxis] for f in (np.cos, np.sin))
    return cos * np.eye(3) + sin * cross + (1 - cos) * np.outer(axis, axis)


def compose_colors(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Composes changes of color: first `first`, then `second`.

    Args:
        first, second: `[num, 3, 4]`, see `sample_effects`.
    """
    composed = second[..., :3] @ first
    composed[..., 3] += second[..., 3]
    return composed
