"""Removes the surroundings of a drawing: lines, a form's cell, the desk."""

import numpy as np

from koch_siamese.images import WHITE
from koch_siamese.pages.rulings import Ruling, erase_rulings, find_rulings
from koch_siamese.pages.sheet import find_sheet, warp

GRID = 150  # cells along the longer side of the grid that is searched for lines
MIN_SIDE = 32  # pixels; in smaller images, lines resemble strokes
MAX_WIDTH = 0.045  # of a printed line, in shorter sides of the image
MIN_LENGTH = 0.3  # of a line, in shorter sides of the image
NEAR_BORDER = 0.02  # of the shorter side; a line that ends closer is cut off
MIN_CLEAR = 0.8  # of a cell's side that no ink touches
# An underline extends beyond the symbol and is thinner than its strokes.
MIN_OVERHANG, MAX_THICKNESS = 0.03, 0.8
MIN_THICKNESS = 1.4  # of a thick printed line, in strokes
MAX_BEND = 0.6  # of a straight line, in pixels
MIN_PRINTED = 0.6  # length of a thick printed line, of the image's side
# Parts of a symbol; a texture has more. An image of a program may be all dots.
MAX_PARTS, MAX_PARTS_IF_CLEAN = 16, 100
MAX_BORDER = 0.045  # largest fraction of the border that a symbol touches
MIN_INK = 0.002  # of the image; with less, there is no symbol beside the lines


def rectify_sheet(gray: np.ndarray) -> np.ndarray:
    """Rectifies the sheet of paper in an image, if there is one.

    Args:
        gray: float32 `[height, width]`.

    Returns:
        float32 `[height, width]`.
    """
    sheet = find_sheet(gray) if min(gray.shape) >= MIN_SIDE else None
    if sheet is None:
        return gray
    return warp(gray, sheet.matrix, sheet.size, WHITE)


def erase_lines(drawing: np.ndarray) -> np.ndarray:
    """Erases ruled and squared lines, a form's cell, and an underline.

    Args:
        drawing: uint8 `[height, width]`, 0 = ink, with one symbol.

    Returns:
        uint8; the drawing itself if there is none of these.
    """
    side = min(drawing.shape)
    if side < MIN_SIDE:
        return drawing
    rulings = find_rulings(drawing, MIN_LENGTH * side, GRID)
    rulings = [x for x in rulings if x.thickness <= MAX_WIDTH * side]
    chosen = [x for x in rulings if _reaches_border(x, drawing.shape)]
    rest = [x for x in rulings if x not in chosen]
    if chosen:
        erased = erase_rulings(drawing, chosen)
        # A single line may be a stroke.
        if len(chosen) > 1 or _is_printed(chosen[0], drawing, erased):
            drawing = erased
        else:
            rest = rulings
    cell = _find_cell(rest)
    if cell:
        inner = _cut_to_cell(drawing, cell)
        if np.mean(inner < WHITE // 2) > MIN_INK:
            return inner
    for ruling in rest:
        if not ruling.is_level:
            continue
        erased = erase_rulings(drawing, [ruling])
        if _is_below(ruling, erased) and _is_printed(ruling, drawing, erased):
            return erased
    return drawing


def _reaches_border(ruling: Ruling, shape) -> bool:
    """Whether both ends are at the image's border."""
    height, width = shape if ruling.is_level else shape[::-1]
    edge = NEAR_BORDER * min(height, width) + 1
    middles = (ruling.low + ruling.high) / 2
    gaps = ruling.start, width - ruling.stop
    across = middles[:3].mean(), middles[-3:].mean()
    at_side = [gap <= edge for gap in gaps]
    at_corner = [not edge < x < height - edge for x in across]
    return all(at_side) or (
        any(at_side) and all(np.logical_or(at_side, at_corner))
    )


def _find_cell(rulings):
    """The four outermost lines, if they meet in corners; otherwise None."""
    rulings = sorted(rulings, key=lambda x: x.position)
    level = [x for x in rulings if x.is_level]
    upright = [x for x in rulings if not x.is_level]
    if len(level) < 2 or len(upright) < 2:
        return None
    lines = level[0], level[-1], upright[0], upright[-1]
    top, bottom, left, right = lines
    reach = 1.5 * max(x.thickness for x in lines) + 2
    reach += 0.02 * (right.position - left.position)
    meets = (
        abs(line.start - first.position) <= reach
        and abs(line.stop - last.position) <= reach
        for line, first, last in (
            (top, left, right),
            (bottom, left, right),
            (left, top, bottom),
            (right, top, bottom),
        )
    )
    is_clear = all(x.is_free.mean() >= MIN_CLEAR for x in lines)
    return lines if is_clear and all(meets) else None


def _cut_to_cell(drawing, cell):
    top, bottom, left, right = cell
    drawing = erase_rulings(drawing, list(cell))
    inner = np.full_like(drawing, WHITE)
    window = (
        slice(int(np.median(top.high)), int(np.median(bottom.low))),
        slice(int(np.median(left.high)), int(np.median(right.low))),
    )
    inner[window] = drawing[window]
    return inner


def _is_below(ruling, erased):
    """Whether a line is below the rest of the ink, and longer."""
    is_ink = erased < WHITE // 2
    if is_ink.mean() < MIN_INK:
        return False
    columns = np.flatnonzero(is_ink.any(axis=0))
    above = is_ink[: int(ruling.position)].sum() / is_ink.sum()
    overhang = MIN_OVERHANG * erased.shape[1]
    return (
        above >= 0.97
        and columns[0] - ruling.start >= overhang
        and ruling.stop - columns[-1] >= overhang
    )


def _is_printed(ruling, drawing, erased):
    """Whether a line is thinner than strokes; or thicker, long and straight.

    `erased` is the drawing without the line.
    """
    is_ink = erased < WHITE // 2
    stroke = _measure_stroke(is_ink) if is_ink.any() else np.inf
    is_straight = _is_straight(ruling)
    if ruling.thickness <= MAX_THICKNESS * stroke:
        # An image of a program has no noise that could bend a line.
        return is_straight or not _is_black_and_white(drawing)
    side = drawing.shape[1] if ruling.is_level else drawing.shape[0]
    return (
        is_straight
        and ruling.thickness >= MIN_THICKNESS * stroke
        and ruling.length >= MIN_PRINTED * side
    )


def _is_straight(ruling):
    middles = (ruling.low + ruling.high)[ruling.is_free] / 2
    along = np.flatnonzero(ruling.is_free)
    bend = np.abs(middles - np.polyval(np.polyfit(along, middles, 1), along))
    sizes = (ruling.high - ruling.low)[ruling.is_free]
    return bend.max() <= MAX_BEND and np.ptp(sizes) <= 1


def _is_black_and_white(drawing):
    return np.isin(drawing, (0, WHITE)).all()


def _measure_stroke(is_ink):
    """The width of strokes in pixels: twice the way from middle to paper."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(is_ink, 1))
    is_middle = (depth > 0) & (depth == ndimage.maximum_filter(depth, 3))
    return 2 * float(depth[is_middle].mean()) - 0.5


def explain_no_symbol(drawing: np.ndarray, was_clean: bool) -> str:
    """Explains why a drawing is not a symbol; empty if it may be one.

    Args:
        drawing: uint8 `[height, width]`, 0 = ink, with ink in it.
        was_clean: whether the image was black on white and nothing was erased;
            then its ink may touch the border.
    """
    from scipy import ndimage

    is_ink = drawing < WHITE // 2
    _, num_parts = ndimage.label(is_ink, np.ones((3, 3)))
    if num_parts > (MAX_PARTS_IF_CLEAN if was_clean else MAX_PARTS):
        return f"{num_parts} separate spots"
    if is_ink.all():
        return "no paper"
    border = (is_ink[0], is_ink[-1], is_ink[:, 0], is_ink[:, -1])
    share = np.concatenate(border).mean()
    if not was_clean and share > MAX_BORDER:
        return "shapes cut off by the border"
    return ""
