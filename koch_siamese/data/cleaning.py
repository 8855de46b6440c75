"""Cleans scans and photographs of drawings to black ink on white.

SciPy is imported inside functions, because it would slow down the start of
every command.
"""

import numpy as np
from PIL import Image, ImageFilter

from koch_siamese.images import (
    IMAGE_SIZE,
    WHITE,
    fit_to_square,
    limit_size,
    resize,
)
from koch_siamese.pages.ink import is_ink_light, measure_stroke_width

# Medians over Omniglot's 19,280 training drawings: the longer side of the ink's
# box as a fraction of the image; and twice the ink's area over its outline.
INK_SHARE, STROKE_WIDTH = 0.65, 5.5
MAX_THINNING = 2  # pixels of a stroke's width; more would break thin parts

LIGHTING_SIDE, LIGHTING_REACH = 64, 9  # strokes are narrower than the reach
SPECK_SIDE, SPECK_AREA = 128, 0.2  # area in squared stroke widths
EVEN = 0.08  # deviation from the lighting
MAX_OFF = 0.3  # fraction of pixels that deviate more
MIN_INK = 0.3 * WHITE  # least darkness of ink
# Least contrast of ink: of the paper's brightness; of the noise's deviation.
MIN_CONTRAST, NOISE_CONTRAST = 0.12, 8.0


def clean(gray: np.ndarray) -> tuple[np.ndarray, bool]:
    """Makes ink black and paper white in any light.

    Args:
        gray: float32 `[height, width]`, within 0..255.

    Returns:
        The drawing, uint8 `[height, width]`; and whether it was already black
        and white, so that it is unchanged or only inverted.
    """
    # A shortcut for most drawings, as fitting the light takes most of the time.
    # There is more paper than ink, even if a drawing fills its image, except in
    # very bold black drawings with a white border.
    negative = WHITE - gray
    if is_black_on_white(gray):
        return gray.round().astype(np.uint8), True
    if is_black_on_white(negative):
        drawing = gray if _has_white_border(gray) else negative
        return drawing.round().astype(np.uint8), True
    small = np.asarray(limit_size(Image.fromarray(gray), LIGHTING_SIDE))
    lighting = _fit_lighting(small)
    if _has_shadow_edge(small, lighting):
        gray = negative if is_ink_light(gray) else gray
        return _drop_border(_stretch(gray / _fill_ink(gray))), False
    if not _is_paper_light(small - lighting):
        gray, small, lighting = negative, WHITE - small, WHITE - lighting
    return _stretch(gray / _estimate_paper(small, lighting, gray.shape)), False


def is_black_on_white(gray: np.ndarray) -> bool:
    """Tells whether an image, float32, is mostly white, and black elsewhere."""
    is_white, is_black = gray >= WHITE - 2, gray <= 32
    num_between = gray.size - is_white.sum() - is_black.sum()
    return 2 * is_white.sum() > gray.size and num_between <= is_black.sum()


def _fit_lighting(gray):
    # A quadratic surface follows light and shade, but not strokes.
    y, x = np.meshgrid(
        *(np.linspace(-1, 1, side) for side in gray.shape), indexing="ij"
    )
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y])
    terms, values = terms.reshape(6, -1), gray.ravel()
    is_paper = np.ones(gray.size, bool)
    for _ in range(6):
        known = terms[:, is_paper]
        # In an image of one row or column, terms would be undetermined.
        products = known @ known.T + 1e-6 * np.eye(6)
        surface = np.linalg.solve(products, known @ values[is_paper]) @ terms
        gaps = np.abs(values - surface)
        is_paper = gaps <= 2.25 * np.median(gaps) + 1
    return surface.reshape(gray.shape).astype(np.float32)


def _has_white_border(gray):
    return np.mean(_border(gray) >= WHITE - 2) > 0.9


def _is_paper_light(gaps):
    return np.median(_border(gaps)) >= (gaps.min() + gaps.max()) / 2


def _border(values):
    edge = max(1, min(values.shape) // 16)
    return values[_is_border(values.shape, edge)]


def _is_border(shape, edge):
    is_border = np.ones(shape, bool)
    is_border[edge:-edge, edge:-edge] = False
    return is_border


def _has_shadow_edge(gray, lighting):
    """Whether a shadow has a hard edge: more than ink is off the surface."""
    is_off = np.abs(gray - lighting) > EVEN * lighting
    return is_off.mean() > MAX_OFF


def _fill_ink(gray):
    """Estimates the paper below the ink, on both sides of a shadow's edge."""
    from scipy import ndimage

    # A closing fills dark narrow parts, and keeps straight edges in place.
    smooth = ndimage.gaussian_filter(gray, max(0.7, min(gray.shape) / 400))
    size = 2 * round(LIGHTING_REACH * max(gray.shape) / LIGHTING_SIDE) + 1
    return np.maximum(ndimage.grey_closing(smooth, size, mode="nearest"), 1)


def _drop_border(drawing):
    """Erases parts at the border, where shadows end, except the largest."""
    from scipy import ndimage

    parts, _ = ndimage.label(drawing < WHITE, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    is_dropped = np.zeros(len(areas), bool)
    is_dropped[parts[_is_border(parts.shape, 2)]] = True
    is_dropped[[0, areas.argmax()]] = False
    return np.where(is_dropped[parts], np.uint8(WHITE), drawing)


def _estimate_paper(gray, lighting, shape):
    from scipy import ndimage

    lighting = np.maximum(lighting, 1)
    # A closing, which fills dark narrow parts, shows what the surface missed.
    size = 2 * LIGHTING_REACH + 1
    filled = ndimage.grey_closing(gray / lighting, size, mode="nearest")
    filled = Image.fromarray((150 * filled).clip(0, 255).astype(np.uint8))
    filled = filled.filter(ImageFilter.GaussianBlur(LIGHTING_REACH / 3))
    paper = Image.fromarray(lighting * np.asarray(filled) / np.float32(150))
    return np.maximum(np.asarray(resize(paper, shape[::-1])), 1)


def _stretch(flat) -> np.ndarray:
    """Maps paper to 255, ink to 0; all paper if no ink exceeds the noise."""
    levels = Image.fromarray((200 * flat).clip(0, 255).astype(np.uint8))
    blur = max(0.7, min(flat.shape) / 400)
    smooth = np.asarray(levels.filter(ImageFilter.GaussianBlur(blur)))
    smooth = smooth / np.float32(200)
    paper = np.median(smooth[::3, ::3])
    # Differences over a few pixels measure the noise in any light.
    noise = np.median(np.abs(smooth - np.roll(smooth, 5, axis=1))[::3, ::3])
    contrast = paper - smooth.min()
    if contrast < max(MIN_CONTRAST, NOISE_CONTRAST * noise):
        return np.full(flat.shape, WHITE, np.uint8)
    ink = np.median(smooth[smooth < paper - contrast / 2])
    black = ink + 0.2 * (paper - ink)
    white = paper - max(0.25 * (paper - ink), 3 * noise)
    white = max(white, black + 0.1 * (paper - ink))
    scaled = WHITE * (smooth - black) / (white - black)
    return scaled.clip(0, WHITE).round().astype(np.uint8)


def thicken_hairlines(drawing: np.ndarray) -> np.ndarray:
    """Thickens strokes, uint8, that would fade away at `IMAGE_SIZE`."""
    wanted = max(drawing.shape) / IMAGE_SIZE
    width = measure_stroke_width(drawing <= WHITE // 2)
    if 2 * width >= wanted:
        return drawing
    return _thicken(drawing, wanted - width)


def _thicken(drawing, growth):
    """Makes strokes wider by `growth` pixels, or up to two more."""
    from scipy import ndimage

    reach = int(np.ceil(growth / 2))
    return ndimage.minimum_filter(drawing, 2 * reach + 1, mode="nearest")


def erase_specks(drawing: np.ndarray) -> np.ndarray:
    """Erases parts, uint8, that are too small or too pale for a stroke."""
    from scipy import ndimage

    ink = WHITE - drawing.astype(np.float32)
    is_ink = _reduce(ink) > MIN_INK
    min_area = max(4, SPECK_AREA * measure_stroke_width(is_ink) ** 2)
    # Averaged over strokes only, because paper would make thin ones pale.
    is_stroke = ink > MIN_INK
    blackness = _reduce(ink * is_stroke) / _reduce(is_stroke).clip(1e-6)
    parts, num_parts = ndimage.label(is_ink, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())
    medians = ndimage.median(blackness, parts, np.arange(num_parts + 1))
    # The remains of a shadow are large, but gray.
    is_stroke_part = (areas >= min_area) & (medians > WHITE / 2)
    is_stroke_part[0] = False  # the background
    is_kept = is_stroke_part[parts]
    near = ndimage.binary_dilation(is_kept, np.ones((3, 3)))
    near = Image.fromarray(near[1:-1, 1:-1])
    near = near.resize(drawing.shape[::-1], Image.Resampling.NEAREST)
    return np.where(near, drawing, np.uint8(WHITE))


def _reduce(values):
    """Averages over the cells of a grid of SPECK_SIDE; adds a zero frame."""
    image = Image.fromarray(values.astype(np.float32))
    return np.pad(limit_size(image, SPECK_SIDE, Image.Resampling.BOX), 1)


def crop_to_ink(drawing: np.ndarray) -> np.ndarray:
    """Crops to the ink, in the usual size and stroke width of Omniglot.

    Args:
        drawing: uint8 `[height, width]` with ink in it.

    Returns:
        uint8 `[IMAGE_SIZE, IMAGE_SIZE]`.
    """
    is_ink = drawing <= WHITE // 2
    rows, columns = (np.flatnonzero(is_ink.any(axis=axis)) for axis in (1, 0))
    ink = drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    length = max(ink.shape)
    ink = np.pad(ink, 1, constant_values=WHITE)  # gives all strokes two edges
    width = measure_stroke_width(ink <= WHITE // 2)
    wanted = INK_SHARE * IMAGE_SIZE
    # Growing and thinning change the length as well.
    scale = (wanted - STROKE_WIDTH) / max(1, length - width)
    scale = min(scale, (wanted + MAX_THINNING) / length)
    if width * scale < 1:
        # Hairlines would turn gray and break where they fall between pixels.
        growth = 1 / scale - width
        ink = np.pad(ink, int(np.ceil(growth)), constant_values=WHITE)
        ink = _thicken(ink, growth)
    # Twice the size, so that a stroke can grow half a pixel on each side.
    side = max(round(IMAGE_SIZE / scale), *ink.shape)  # of a dot, the padding
    large = fit_to_square(ink, 2 * IMAGE_SIZE, side)
    large = (3.0 * large - WHITE).clip(0, WHITE).astype(np.uint8)  # sharper
    growth = round(STROKE_WIDTH - measure_stroke_width(large <= WHITE // 2) / 2)
    growth = max(growth, -MAX_THINNING)
    large = Image.fromarray(large)
    if growth:
        rank = ImageFilter.MinFilter if growth > 0 else ImageFilter.MaxFilter
        large = large.filter(rank(2 * abs(growth) + 1))
    return np.asarray(large.reduce(2))
