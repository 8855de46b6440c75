"""Finds the symbols of a page, in reading order."""

import numpy as np
from PIL import Image

from koch_siamese import extras
from koch_siamese.errors import InputError
from koch_siamese.images import WHITE
from koch_siamese.pages.ink import (
    blacken,
    compute_gray,
    is_ink_light,
    normalize_lighting,
)
from koch_siamese.pages.lines import assign_lines, measure_tilt
from koch_siamese.pages.rulings import erase_rulings, find_rulings
from koch_siamese.pages.sheet import (
    find_sheet,
    map_points,
    warp,
)
from koch_siamese.pages.spacing import USUAL_GAP, choose_gap
from koch_siamese.pages.symbols import (
    Symbol,
    find_parts,
    join_near,
    join_overlapping,
    measure_height,
    measure_size,
    split_touching,
)

DIRECTIONS = ("ltr", "rtl", "ttb")
MIN_PARTS_OF_TILT = 6  # with fewer, the tilt cannot be measured
MIN_TILT = 0.3  # degrees; less is not corrected
# The shortest printed line, in longer sides of the page and in symbol sizes.
MIN_RULING, MIN_RULING_SIZES = 0.12, 3.0
MAX_FEW = 4  # symbols; with no more, the largest decides
MIN_RULING_SIZES_OF_FEW = 1.2
MAX_SYMBOL = 0.6  # of the page's longer side
MIN_ASPECT = 0.25  # shorter by longer side; a line has less
RULING_GRID = 800  # cells along the page's longer side
DRAWING_SIDE, STEEPNESS = 128, 2.0  # in pixels; of the edges of strokes
MIN_SIZE = 0.15  # of a symbol, in usual sizes


def find_symbols(
    page: np.ndarray, direction: str = "ltr"
) -> list[list[Symbol]]:
    """Finds the symbols of a page.

    Args:
        page: uint8 `[height, width]` or `[height, width, 3]`, upright.
        direction: how it is read: `ltr` and `rtl` in lines from the top, from
            left to right or from right to left; `ttb` in columns from the
            right, from top to bottom.

    Returns:
        The lines in reading order, each with its symbols in reading order. No
        lines if no clean symbol was found.

    Raises:
        InputError: there is no such direction, or the extra `pages` is missing.
    """
    extras.require("skimage", "Reading pages")
    if direction not in DIRECTIONS:
        raise InputError(
            f"direction is {direction!r}: expected one of "
            f"{', '.join(DIRECTIONS)}."
        )
    if direction == "ttb":
        # Turned by a quarter, the right column is the first line.
        lines = _find_lines(np.rot90(page))
        width = page.shape[1]
        return [[_turn_back(x, width) for x in line] for line in lines]
    lines = _find_lines(page)
    return [x[::-1] for x in lines] if direction == "rtl" else lines


def _turn_back(symbol, width):
    left, top, right, bottom = symbol.box
    box = (width - bottom, left, width - top, right)
    return Symbol(box, np.rot90(symbol.drawing, -1))


def find_ink(page: np.ndarray) -> np.ndarray:
    """Finds the ink in which symbols are searched.

    Args:
        page: as in `find_symbols`.

    Returns:
        uint8 `[height, width]`, 0 = ink: the rectified sheet without printed
        lines.
    """
    drawing, _ = _extract_ink(page)
    return drawing


def _find_lines(page):
    drawing, matrix = _extract_ink(page)
    parts, labels = _find_clean_parts(drawing)
    if not parts:
        return []
    size = measure_size(parts)
    if len(parts) >= MIN_PARTS_OF_TILT:
        angle = measure_tilt(drawing < WHITE // 2, size)
        if abs(angle) > MIN_TILT:
            drawing, turn = _turn(drawing, angle)
            matrix = matrix @ turn
            parts, labels = _find_clean_parts(drawing)
            if not parts:  # specks that turning has blurred
                return []
            size = measure_size(parts)
    boxes = np.array([x.box for x in parts])
    numbers = assign_lines(boxes, size)
    lines = [
        join_overlapping(
            [x for x, n in zip(parts, numbers, strict=True) if n == number]
        )
        for number in range(numbers.max() + 1)
    ]
    ends = [np.array([x.box[[0, 2]] for x in line]) for line in lines if line]
    size = max(size, measure_height(lines, USUAL_GAP * size))
    max_gap = choose_gap(ends, size)
    lines = [join_near(line, max_gap) for line in lines]
    lines = split_touching(lines, labels, size)
    lines = [
        [
            _cut_out(x, drawing, labels, matrix)
            for x in line
            if max(x.width, x.height) > MIN_SIZE * size
        ]
        for line in lines
    ]
    return [line for line in lines if line]


def _erase_rulings(drawing):
    """Erases the lines of ruled and squared paper, of tables and forms."""
    min_length = _measure_shortest_ruling(drawing)
    rulings = find_rulings(drawing, min_length, RULING_GRID)
    return erase_rulings(drawing, rulings) if rulings else drawing


def _measure_shortest_ruling(drawing):
    """The least length of a printed line in pixels.

    It is above the length of any stroke. Pages with few symbols may have large
    ones, with long strokes.
    """
    side = max(drawing.shape)
    parts, _ = _find_clean_parts(drawing)
    lengths = np.array([max(x.width, x.height) for x in parts])
    small = lengths[lengths < 0.1 * side]
    if len(small) > MAX_FEW:
        size = MIN_RULING_SIZES * np.median(small)
    else:
        size = MIN_RULING_SIZES_OF_FEW * max(
            (
                length
                for part, length in zip(parts, lengths, strict=True)
                if length < MAX_SYMBOL * side and _may_be_symbol(part, parts)
            ),
            default=0,
        )
    return max(MIN_RULING * side, size)


def _may_be_symbol(part, parts):
    """Whether a part is neither a line nor a frame around another part."""
    if min(part.width, part.height) < MIN_ASPECT * max(part.width, part.height):
        return False
    left, top, right, bottom = part.box
    return not any(
        left < x.box[0]
        and top < x.box[1]
        and right > x.box[2]
        and bottom > x.box[3]
        for x in parts
    )


def _find_clean_parts(drawing):
    """Finds connected parts of ink, without specks; also labels all pixels."""
    from scipy import ndimage

    labels, num = ndimage.label(drawing < WHITE // 2, np.ones((3, 3)))
    if not num:
        return [], labels
    parts = find_parts(labels)
    min_area = max(4, (measure_size(parts) / 25) ** 2)
    return [x for x in parts if x.area >= min_area], labels


def _extract_ink(page):
    """Returns the result of `find_ink`, and the matrix from it to the page."""
    sheet = find_sheet(page)
    gray, matrix = compute_gray(page), np.eye(3)
    if sheet:
        matrix = sheet.matrix
        gray = warp(gray, matrix, sheet.size, WHITE)
    if is_ink_light(gray):
        gray = WHITE - gray
    return _erase_rulings(blacken(normalize_lighting(gray))), matrix


def _turn(drawing, angle):
    """Levels the lines; also returns the matrix back."""
    height, width = drawing.shape
    turn = np.deg2rad(angle)
    cos, sin = np.cos(turn), np.sin(turn)
    back = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    turned = corners @ back[:2, :2]
    low, high = turned.min(0), turned.max(0)
    back[:2, 2] = back[:2, :2] @ low
    size = tuple(int(np.ceil(x)) for x in high - low)
    return warp(drawing, back, size, WHITE), back


def _cut_out(part, drawing, labels, matrix):
    from scipy import ndimage

    left, top, right, bottom = part.box.astype(int)
    top, left = max(0, top - 2), max(0, left - 2)
    window = slice(top, bottom + 2), slice(left, right + 2)
    is_own = np.isin(labels[window], part.labels)
    rows, columns = np.nonzero(is_own)
    points = np.stack([left + columns, top + rows], 1) + 0.5
    points = map_points(matrix, points)
    low, high = np.floor(points.min(0)), np.floor(points.max(0)) + 1
    near = ndimage.binary_dilation(is_own, np.ones((3, 3)))
    own = np.where(near, drawing[window], WHITE).astype(np.uint8)
    box = tuple(int(x) for x in np.r_[low, high])
    return Symbol(box, _enlarge(own))


def _enlarge(drawing):
    """Enlarges a small drawing with smooth strokes, and adds a margin."""
    scale = max(1, DRAWING_SIDE / max(drawing.shape))
    size = [max(1, round(scale * side)) for side in drawing.shape[::-1]]
    large = Image.fromarray(drawing).resize(size, Image.Resampling.BICUBIC)
    steep = STEEPNESS * scale
    large = steep * (np.asarray(large, np.float32) - WHITE / 2) + WHITE / 2
    large = large.clip(0, WHITE).astype(np.uint8)
    return np.pad(large, max(large.shape) // 5, constant_values=WHITE)
