"""Symbols of a page: connected parts of ink that belong together."""

import dataclasses

import numpy as np

from koch_siamese.pages.ink import measure_stroke_width

# Two symbols that touch: their least width, in usual widths; the greatest
# thickness of the bridge, in strokes; the least fraction of the width of each.
MIN_WIDTH, MAX_BRIDGE, MIN_HALF = 1.55, 1.5, 0.3


@dataclasses.dataclass(frozen=True)
class Symbol:
    """A symbol of a page.

    Attributes:
        box: left, top, right and bottom in pixels of the upright page; right
            and bottom are exclusive.
        drawing: uint8 `[height, width]`, 0 = ink, 255 = white: the ink of this
            symbol alone, cleaned, enlarged if it is small, with a margin.
    """

    box: tuple[int, int, int, int]
    drawing: np.ndarray


@dataclasses.dataclass(frozen=True)
class Part:
    """A connected part of the ink.

    Attributes:
        labels: the numbers of its pixels in the labeled image.
        box: left, top, right, bottom, float `[4]`, on the rectified sheet.
        area: pixels of ink.
    """

    labels: tuple[int, ...]
    box: np.ndarray
    area: int

    @property
    def width(self) -> float:
        """The width of its box."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """The height of its box."""
        return self.box[3] - self.box[1]

    def join(self, other: "Part") -> "Part":
        """Joins two parts."""
        box = np.r_[
            np.minimum(self.box[:2], other.box[:2]),
            np.maximum(self.box[2:], other.box[2:]),
        ]
        return Part(self.labels + other.labels, box, self.area + other.area)


def find_parts(labels: np.ndarray) -> list[Part]:
    """The connected parts of ink.

    Args:
        labels: int `[height, width]`, 0 = paper.
    """
    from scipy import ndimage

    areas = np.bincount(labels.ravel())
    parts = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        box = [columns.start, rows.start, columns.stop, rows.stop]
        parts.append(Part((number,), np.array(box, float), int(areas[number])))
    return parts


def split_touching(
    lines: list[list[Part]], labels: np.ndarray, size: float
) -> list[list[Part]]:
    """Splits symbols that are as wide as two and joined by one thin stroke.

    Args:
        lines: the symbols of each line.
        labels: int `[height, width]`; the right half gets a new number.
        size: the usual size of a symbol.
    """
    usual = np.percentile([x.width for line in lines for x in line], 75)
    widest = MIN_WIDTH * max(usual, 0.75 * size)
    return [
        [
            half
            for part in line
            for half in (
                _split(part, labels) if part.width > widest else [part]
            )
        ]
        for line in lines
    ]


def _split(part, labels):
    """Both halves, or the part alone where it cannot be cut."""
    left, top, right, bottom = part.box.astype(int)
    window = labels[top:bottom, left:right]
    is_own = np.isin(window, part.labels)
    stroke = measure_stroke_width(is_own)
    ink = is_own.sum(0)
    starts = np.diff(np.pad(is_own, ((1, 0), (0, 0))).astype(int), axis=0) == 1
    can = (starts.sum(0) <= 1) & (ink <= MAX_BRIDGE * stroke)
    reach = round(MIN_HALF * (right - left))
    can[:reach] = can[len(can) - reach :] = False
    if not can.any():
        return [part]
    # The thinnest place; of several, the one nearest to the middle.
    off_middle = np.abs(np.arange(len(ink)) - len(ink) / 2) / len(ink)
    cut = int(np.where(can, ink + 2 * stroke * off_middle, np.inf).argmin())
    number = int(labels.max()) + 1
    window[:, cut:][is_own[:, cut:]] = number
    halves = is_own[:, :cut], is_own[:, cut:]
    numbers, starts = (part.labels, (number,)), (left, left + cut)
    return [
        _measure_part(number, half, start, top)
        for number, half, start in zip(numbers, halves, starts, strict=True)
        if half.any()
    ]


def _measure_part(labels, is_own, left, top):
    rows, columns = (np.flatnonzero(is_own.any(axis=a)) for a in (1, 0))
    box = [
        left + columns[0],
        top + rows[0],
        left + columns[-1] + 1,
        top + rows[-1] + 1,
    ]
    return Part(labels, np.array(box, float), int(is_own.sum()))


def measure_size(parts: list[Part]) -> float:
    """The usual size of a symbol, in pixels: that of its larger parts."""
    return _weighted_median([max(x.width, x.height) for x in parts])


def measure_height(lines: list[list[Part]], gap: float) -> float:
    """The usual height of symbols, in pixels; see `join_near`."""
    joined = [x for line in lines for x in join_near(line, gap)]
    return _weighted_median([x.height for x in joined])


def _weighted_median(sizes):
    """The median of sizes, each weighted by itself."""
    sizes = np.sort(sizes)
    total = np.cumsum(sizes)
    return float(sizes[np.searchsorted(total, total[-1] / 2)])


def join_overlapping(parts: list[Part]) -> list[Part]:
    """Joins parts of one line that are above each other.

    Args:
        parts: of one line.
    """
    joined = []
    for part in sorted(parts, key=lambda x: x.box[0]):
        while joined and _overlap(joined[-1], part):
            part = joined.pop().join(part)
        joined.append(part)
    return joined


def _overlap(first, second):
    shared = min(first.box[2], second.box[2]) - max(first.box[0], second.box[0])
    narrower = min(first.width, second.width)
    return shared > 0.4 * narrower


def join_near(parts: list[Part], max_gap: float) -> list[Part]:
    """Joins neighboring parts of one line, given from left to right."""
    joined = []
    for part in parts:
        if joined and part.box[0] - joined[-1].box[2] <= max_gap:
            part = joined.pop().join(part)
        joined.append(part)
    return joined
