"""Lines of a page: its tilt, and the line of each part of the ink."""

import numpy as np

MAX_TILT = 12.0  # degrees
ANGLE_POINTS = 20_000  # of ink, enough to measure the tilt


def measure_tilt(is_ink: np.ndarray, size: float) -> float:
    """Measures the tilt of the lines in degrees, clockwise.

    At the right angle, rows have either much ink or none.

    Args:
        is_ink: bool `[height, width]`.
        size: the usual size of a symbol.
    """
    y, x = np.nonzero(is_ink)
    step = max(1, len(x) // ANGLE_POINTS)
    x, y = x[::step], y[::step]
    unit = max(1.0, size / 12)

    def sharpness(angle):
        slope = np.tan(np.deg2rad(angle))
        rows = (y - slope * x) / unit
        profile = np.bincount((rows - rows.min()).astype(int))
        return float(np.sum(profile.astype(float) ** 2))

    coarse = np.arange(-MAX_TILT, MAX_TILT + 0.1, 0.5)
    best = max(coarse, key=sharpness)
    return float(max(best + np.arange(-0.5, 0.51, 0.1), key=sharpness))


def assign_lines(boxes: np.ndarray, size: float) -> np.ndarray:
    """Assigns each part to a line, numbered from the top.

    Args:
        boxes: float `[num, 4]`, left, top, right, bottom.
        size: the usual size of a symbol.

    Returns:
        int `[num]`.
    """
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    is_large = (boxes[:, 2:] - boxes[:, :2]).max(1) > 0.5 * size
    peaks = _find_peaks(boxes[is_large], size)
    large = np.abs(centers[is_large, 1, None] - peaks).argmin(1)
    curves = np.array([[0.0, 0.0, peak] for peak in peaks])
    for _ in range(4):
        for number in range(len(peaks)):
            own = centers[is_large][large == number]
            curves[number] = _fit(own, curves[number], size)
        heights = np.array([np.polyval(c, centers[:, 0]) for c in curves])
        large = np.abs(heights[:, is_large] - centers[is_large, 1]).argmin(0)
    lines = np.abs(heights - centers[:, 1]).argmin(0)
    lines[is_large] = large
    for number in np.flatnonzero(~is_large):
        lines[number] = _follow_neighbor(
            boxes[number], boxes[is_large], large, lines[number], size
        )
    order = np.argsort(heights.mean(1), kind="stable")
    return np.argsort(order)[lines]


def _find_peaks(boxes, size):
    from scipy import ndimage, signal

    profile = np.zeros(int(boxes[:, 3].max() + 2 * size))
    for left, top, right, bottom in boxes:
        middle, reach = (top + bottom) / 2, 0.3 * (bottom - top) + 1
        low, high = int(middle - reach), int(middle + reach) + 1
        profile[max(0, low) : high] += right - left
    profile = ndimage.gaussian_filter1d(profile, size / 6)
    peaks, _ = signal.find_peaks(
        profile, distance=max(1, 0.7 * size), prominence=0.15 * profile.max()
    )
    return peaks if len(peaks) else np.array([profile.argmax()])


def _fit(points, curve, size):
    """Fits a line through the centers of its parts; a parabola to many."""
    if len(points) < 2:
        return curve
    degree = 0 if len(points) < 4 else 1 if len(points) < 8 else 2
    fitted = np.polyfit(points[:, 0], points[:, 1], degree)
    return np.r_[np.zeros(2 - degree), fitted]


def _follow_neighbor(box, boxes, lines, nearest_line, size):
    """The line of the large part that is nearest to a small one."""
    gaps = np.maximum(boxes[:, :2] - box[2:], box[:2] - boxes[:, 2:]).clip(0)
    distances = np.hypot(gaps[:, 0], gaps[:, 1])
    nearest = distances.argmin()
    if distances[nearest] < 0.35 * size:
        return lines[nearest]
    return nearest_line
