"""Finds and erases printed lines of ruled or squared paper, tables, forms."""

import dataclasses

import numpy as np

from koch_siamese.images import WHITE

MAX_ANGLE, ANGLE_STEP = 10.0, 0.5  # degrees from level or upright
MAX_GAP = 4  # longest break in a line, in cells of the grid
MIN_COVERED = 0.85  # of a line, after such breaks are closed
MIN_FREE = 0.35  # of a line that nothing crosses
MAX_BEND = 0.6  # mean distance from a parabola, in pixels
MAX_RULINGS = 150


@dataclasses.dataclass(frozen=True, eq=False)
class Ruling:
    """A printed line.

    Attributes:
        is_level: whether it is horizontal rather than vertical.
        start, stop: its ends in pixels, along its direction.
        low, high: int `[stop - start]`, its edges across its direction; high
            is exclusive.
        is_free: bool `[stop - start]`, where nothing crosses it.
        thickness: in pixels.
    """

    is_level: bool
    start: int
    stop: int
    low: np.ndarray
    high: np.ndarray
    is_free: np.ndarray
    thickness: float

    @property
    def length(self) -> int:
        """In pixels."""
        return self.stop - self.start

    @property
    def position(self) -> float:
        """Its median position across its direction, in pixels."""
        return float(np.median(self.low + self.high) / 2)


def find_rulings(
    drawing: np.ndarray, min_length: float, grid_side: int
) -> list[Ruling]:
    """Finds thin straight lines that are horizontal or vertical.

    Args:
        drawing: uint8 `[height, width]`, 0 = ink.
        min_length: in pixels.
        grid_side: cells along the longer side of the grid that is searched.
    """
    is_ink = drawing < 0.7 * WHITE
    factor = max(1, -(-max(drawing.shape) // grid_side))
    level = _find_along_rows(is_ink, min_length, factor)
    upright = _find_along_rows(is_ink.T, min_length, factor)
    return [
        *level,
        *(dataclasses.replace(x, is_level=False) for x in upright),
    ]


def _find_along_rows(is_ink, min_length, factor):
    """Finds lines along the rows."""
    grid = _pool(is_ink, factor)
    height, width = grid.shape
    if width * factor < min_length:
        return
    y, x = np.nonzero(grid)
    slopes = np.tan(
        np.deg2rad(np.arange(-MAX_ANGLE, MAX_ANGLE + 0.1, ANGLE_STEP))
    )
    margin = int(np.abs(slopes).max() * width) + 2

    def vote(x, y):
        rows = np.rint(y - slopes[:, None] * (x - width / 2)).astype(int)
        rows += margin + np.arange(len(slopes))[:, None] * (height + 2 * margin)
        return np.bincount(
            rows.ravel(), minlength=len(slopes) * (height + 2 * margin)
        ).reshape(len(slopes), -1)

    votes = vote(x, y)
    least = 0.75 * min_length / factor
    for _ in range(MAX_RULINGS):
        best = votes.argmax()
        angle, row = np.unravel_index(best, votes.shape)
        if votes[angle, row] < least:
            return
        middle = row - margin + slopes[angle] * (x - width / 2)
        is_near = np.abs(y - middle) <= 1.5
        for start, stop in _find_runs(x[is_near], width, min_length / factor):
            columns = np.arange(
                start * factor, min(stop * factor, is_ink.shape[1])
            )
            across = (
                row
                - margin
                + slopes[angle] * ((columns + 0.5) / factor - 0.5 - width / 2)
            )
            ruling = _trace(is_ink, columns, (across + 0.5) * factor, factor)
            if ruling:
                yield ruling
        votes -= vote(x[is_near], y[is_near])
        x, y = x[~is_near], y[~is_near]


def _pool(is_ink, factor):
    height, width = (-(-side // factor) * factor for side in is_ink.shape)
    wide = np.zeros((height, width), bool)
    wide[: is_ink.shape[0], : is_ink.shape[1]] = is_ink
    return wide.reshape(height // factor, factor, -1, factor).any((1, 3))


def _find_runs(x, width, min_length):
    """Starts and stops of long runs without long breaks."""
    from scipy import ndimage

    there = np.zeros(width, bool)
    there[x] = True
    if there.sum() < MIN_COVERED * min_length:
        return
    closed = np.pad(there, MAX_GAP)
    closed = ndimage.binary_closing(closed, np.ones(MAX_GAP + 1))
    closed = closed[MAX_GAP:-MAX_GAP]
    labels, _ = ndimage.label(closed)
    for (run,) in ndimage.find_objects(labels):
        if run.stop - run.start < min_length:
            continue
        if there[run].mean() >= MIN_COVERED:
            yield run.start, run.stop


def _trace(is_ink, columns, across, factor):
    """Follows a line in full resolution; None if it turns out to be none."""
    # Twice: the grid of angles places the ends off by more than a line's width.
    for is_last in (False, True):
        rows, low, high, found = _look_along(is_ink, columns, across, factor)
        if found.mean() < 0.5:
            return None
        sizes = high - low
        thickness = np.median(sizes[found])
        is_free = found & (sizes <= 1.5 * thickness + 1)
        middles = rows + (low + high) / 2
        if is_free.mean() < (MIN_FREE if is_last else 0.2):
            return None
        curve = np.polyfit(columns[is_free], middles[is_free], 2)
        across = np.polyval(curve, columns)
    gaps = np.abs(across - middles)
    if (
        found.mean() < MIN_COVERED - 0.1
        or thickness > 2 * factor + 8
        or gaps[is_free].mean() > max(MAX_BEND, 0.15 * thickness)
    ):
        return None
    is_free &= gaps <= thickness / 2 + 2
    return Ruling(
        True,
        int(columns[0]),
        int(columns[-1]) + 1,
        rows + low,
        rows + high,
        is_free,
        float(thickness),
    )


def _look_along(is_ink, columns, across, factor):
    """Finds the run of ink nearest to a line in each column.

    Returns the first row that is searched, the start and stop of the run from
    there on, and whether the run is near, each for all columns.
    """
    reach = 2 * factor + 8
    steps = np.arange(-reach, reach + 1)
    rows = np.rint(across - 0.5).astype(int) + steps[:, None]
    inside = (rows >= 0) & (rows < is_ink.shape[0])
    band = is_ink[rows.clip(0, is_ink.shape[0] - 1), columns] & inside
    near = np.where(band, np.abs(steps)[:, None], 2 * reach)
    low, high = _grow(band, near.argmin(0))
    return rows[0], low, high, near.min(0) <= factor + 1


def _grow(band, first):
    """The run of ink around a row of each column; empty on paper."""
    rows = np.arange(len(band))[:, None]
    low = np.where(~band & (rows < first), rows + 1, 0).max(0)
    high = np.where(~band & (rows >= first), rows, len(band)).min(0)
    return np.minimum(low, high), high


def erase_rulings(drawing: np.ndarray, rulings: list[Ruling]) -> np.ndarray:
    """Erases lines, except where a stroke crosses them.

    Args:
        drawing: uint8 `[height, width]`, 0 = ink.
        rulings: those to erase, at least one.
    """
    from scipy import ndimage

    erased = drawing.copy()
    on_line = np.zeros(drawing.shape, bool)
    for ruling in rulings:
        target = erased if ruling.is_level else erased.T
        touched = on_line if ruling.is_level else on_line.T
        columns = np.arange(ruling.start, ruling.stop)[ruling.is_free]
        low = ruling.low[ruling.is_free] - 1
        high = ruling.high[ruling.is_free] + 1
        for step in range(int((high - low).max())):
            rows = low + step
            own = (rows < high) & (rows >= 0) & (rows < target.shape[0])
            target[rows[own], columns[own]] = WHITE
            touched[rows[own], columns[own]] = True
    # Crumbs left beside a line, which are no larger than it is thick.
    widest = max(x.thickness for x in rulings)
    labels, _ = ndimage.label(erased < 0.7 * WHITE, np.ones((3, 3)))
    near = ndimage.binary_dilation(on_line, np.ones((3, 3)))
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        sides = [part.stop - part.start for part in window]
        if max(sides) <= 2 * widest + 4:
            own = labels[window] == number
            if near[window][own].any():
                erased[window][own] = WHITE
    return erased
