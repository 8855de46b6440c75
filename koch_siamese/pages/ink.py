"""Separates the ink of a page from its paper in any light.

SciPy is imported inside functions, because it would slow down the start of
every command.
"""

import numpy as np
from PIL import Image

from koch_siamese.images import WHITE

# Least contrast of ink: of the paper's brightness; of the noise's deviation.
MIN_CONTRAST, NOISE_CONTRAST = 0.1, 6.0
MAX_STROKE = 1 / 24  # width of a stroke, of the page's shorter side


def compute_gray(page: np.ndarray) -> np.ndarray:
    """Converts a page to gray, float32 `[height, width]`, 0 to 255.

    Yellow hardly differs from white in gray, but is black in the blue channel:
    a color channel is used instead if its contrast is much higher.

    Args:
        page: uint8 `[height, width]` or `[height, width, channels]`.
    """
    if page.ndim == 2:
        return page.astype(np.float32)
    image = Image.fromarray(page[..., :3])
    gray = np.asarray(image.convert("L"), np.float32)
    bands = [page[..., i] for i in range(3)]
    band = max(bands, key=_compute_contrast)
    if _compute_contrast(band) > 2 * _compute_contrast(gray):
        return band.astype(np.float32)
    return gray


def _compute_contrast(values):
    low, high = np.percentile(values[::3, ::3], [0.5, 99.5])
    return high - low


def is_ink_light(gray: np.ndarray) -> bool:
    """Whether ink is lighter than its paper, as on a blackboard.

    Args:
        gray: float32 `[height, width]`.
    """
    from scipy import ndimage

    step = max(1, max(gray.shape) // 500)
    small = ndimage.uniform_filter(gray, step)[::step, ::step]
    gaps = small - ndimage.gaussian_filter(small, min(small.shape) / 20)
    # Ink differs much from its surroundings, paper near ink only a little.
    return bool(np.sum(gaps.astype(float) ** 3) > 0)


def normalize_lighting(gray: np.ndarray) -> np.ndarray:
    """Divides by the brightness of the paper, on both sides of a shadow's edge.

    The paper below strokes is found by a morphological closing, which keeps
    straight edges in place.

    Args:
        gray: float32 `[height, width]`, ink darker than paper.

    Returns:
        float32 `[height, width]`: paper is about 1, ink is darker.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(gray, max(0.7, min(gray.shape) / 2000))
    size = 2 * round(min(gray.shape) * MAX_STROKE / 2) + 3
    paper = ndimage.grey_closing(smooth, (size, size), mode="nearest")
    paper = ndimage.uniform_filter(paper, 5)
    return smooth / np.maximum(paper, 1)


def blacken(normalized: np.ndarray) -> np.ndarray:
    """Makes ink black and paper white.

    Args:
        normalized: float32 `[height, width]`, see `normalize_lighting`.

    Returns:
        uint8 `[height, width]`, 0 = ink; all white if no ink stands out from
        the noise.
    """
    sample = normalized[::2, ::2]
    paper = np.median(sample)
    noise = 1.48 * np.median(np.abs(sample - paper))
    is_dark = sample < paper - max(0.5 * MIN_CONTRAST, 4 * noise)
    if is_dark.sum() < 10:
        return np.full(normalized.shape, WHITE, np.uint8)
    contrast = paper - np.percentile(sample[is_dark], 10)
    if contrast < max(MIN_CONTRAST, NOISE_CONTRAST * noise):
        return np.full(normalized.shape, WHITE, np.uint8)
    white, black = paper - 0.3 * contrast, paper - 0.75 * contrast
    scaled = WHITE * (normalized - black) / (white - black)
    return scaled.clip(0, WHITE).round().astype(np.uint8)


def measure_stroke_width(is_ink: np.ndarray) -> float:
    """The mean width of strokes in pixels, by the area and outline of the ink.

    Args:
        is_ink: bool `[height, width]`.
    """
    edges = sum(np.count_nonzero(np.diff(is_ink, axis=a)) for a in (0, 1))
    # Pixel steps along a slope are 4 / pi times longer than it, on average.
    return 2 * is_ink.sum() / max(1, edges * np.pi / 4)
