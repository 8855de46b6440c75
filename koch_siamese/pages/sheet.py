"""Finds the sheet of paper in a picture and rectifies its perspective."""

import dataclasses

import numpy as np
from PIL import Image

from koch_siamese.images import WHITE, resize

SMALL_SIDE = 256  # pixels; enough to see a sheet
STROKE = 15  # of these pixels; no stroke is wider
MIN_AREA, MAX_AREA = 0.12, 0.97  # of the picture
MIN_LIKENESS = 0.92  # intersection over union of sheet and quadrilateral
MIN_CONTRAST = 0.12  # of paper and desk, relative to the lighter
MIN_SEEN = 0.85  # of a sheet's edge, along which there is contrast
BORDER = 2.5  # pixels; a sheet closer to the picture's edge is cut off
MARGIN = 0.008  # of a sheet's sides, cut away because its edge shows there


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A sheet of paper in a picture.

    Attributes:
        corners: float `[4, 2]`, x and y in pixels of the picture, clockwise
            from the upper left.
    """

    corners: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the rectified sheet in pixels."""
        sides = np.linalg.norm(
            self.corners - np.roll(self.corners, -1, axis=0), axis=1
        )
        width, height = sides[::2].max(), sides[1::2].max()
        return max(1, round(width)), max(1, round(height))

    @property
    def matrix(self) -> np.ndarray:
        """Maps points of the rectified sheet to the picture, float `[3, 3]`."""
        width, height = self.size
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]])
        return fit_perspective(flat.astype(float), self.corners)


def find_sheet(picture: np.ndarray) -> Sheet | None:
    """Finds a sheet of paper that lies on something else.

    Args:
        picture: uint8 or float32 `[height, width]` or `[height, width, 3]`.

    Returns:
        None if paper fills the picture, or more than one edge of the sheet is
        not visible.
    """
    height, width = picture.shape[:2]
    scale = min(1, SMALL_SIDE / max(height, width))
    size = max(8, round(scale * width)), max(8, round(scale * height))
    bands = picture.reshape(height, width, -1).astype(np.float32)
    small = np.stack(
        [
            np.asarray(resize(Image.fromarray(bands[..., i]), size))
            for i in range(bands.shape[2])
        ],
        axis=2,
    )
    corners = _find_corners(_fill_strokes(small))
    if corners is None:
        return None
    center = corners.mean(0)
    corners = center + (1 - 2 * MARGIN) * (corners - center)
    return Sheet(corners * [width / size[0], height / size[1]])


def _fill_strokes(small):
    """Removes ink, whether it is darker or lighter than its paper."""
    from scipy import ndimage

    shape, margin = (STROKE, STROKE, 1), STROKE
    small = ndimage.gaussian_filter(small, (1, 1, 0))
    # Padding keeps a narrow strip of desk at the border, which is no stroke.
    wide = np.pad(small, [(margin, margin)] * 2 + [(0, 0)], mode="edge")
    wide = ndimage.grey_opening(ndimage.grey_closing(wide, shape), shape)
    return wide[margin:-margin, margin:-margin]


def _find_corners(small):
    """Finds the corners of the largest sheet; None if there is none."""
    from skimage import filters

    gray = small.mean(2)
    bands = [gray]
    if small.shape[2] == 3:
        # Warm against cold: a brown desk may be as light as the paper.
        bands.append(128 + small[..., 0] - small[..., 2])
    found = [
        _fit_corners(mask, small)
        for band in bands
        if np.ptp(band) >= 10
        for threshold in (filters.threshold_otsu(band), *_split_in_three(band))
        for mask in (band > threshold, band <= threshold)
    ]
    largest = max(filter(None, found), key=lambda x: x[1], default=None)
    return largest and largest[0]


def _split_in_three(band):
    from skimage import filters

    try:
        return filters.threshold_multiotsu(band, 3, nbins=64)
    except ValueError:  # fewer values than classes
        return ()


def _fit_corners(mask, small):
    """Corners and area of the largest part of a mask, if it is a sheet."""
    from scipy import ndimage
    from skimage.draw import polygon2mask

    mask = ndimage.binary_opening(mask, np.ones((5, 5)))
    labels, num = ndimage.label(mask)
    if not num:
        return None
    areas = np.bincount(labels.ravel())[1:]
    mask = ndimage.binary_fill_holes(labels == 1 + areas.argmax())
    area = mask.mean()
    if not MIN_AREA <= area <= MAX_AREA:
        return None
    corners = _fit_quadrilateral(mask)
    if corners is None:
        return None
    inside = polygon2mask(mask.shape, corners[:, ::-1] - 0.5)
    likeness = (inside & mask).sum() / (inside | mask).sum()
    if likeness < MIN_LIKENESS or not _has_edges(corners, small):
        return None
    return corners, area


def _fit_quadrilateral(mask):
    from scipy import ndimage, spatial

    edge = mask & ~ndimage.binary_erosion(mask)
    y, x = np.nonzero(edge)
    points = np.stack([x, y], 1) + 0.5
    try:
        hull = points[spatial.ConvexHull(points).vertices]
    except spatial.QhullError:
        return None
    while len(hull) > 4:
        before, after = np.roll(hull, 1, 0), np.roll(hull, -1, 0)
        areas = np.abs(_cross(hull - before, after - before))
        hull = np.delete(hull, areas.argmin(), axis=0)
    if len(hull) < 4:
        return None
    return _start_upper_left(_refine(hull, points))


def _cross(first, second):
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _refine(corners, points):
    """Fits a line to each side, and intersects neighboring lines."""
    lines = []
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        along = end - start
        length = np.linalg.norm(along)
        if length < 4:
            return corners
        along = along / length
        normal = np.array([-along[1], along[0]])
        position = (points - start) @ along / length
        near = np.abs((points - start) @ normal) < max(2, 0.03 * length)
        own = points[near & (position > 0.08) & (position < 0.92)]
        if len(own) < 5:
            return corners
        _, _, axes = np.linalg.svd(own - own.mean(0), full_matrices=False)
        normal = axes[1]
        lines.append(np.r_[normal, np.median(own @ normal)])
    refined = []
    for first, second in zip(np.roll(lines, 1, 0), lines, strict=True):
        matrix = np.array([first[:2], second[:2]])
        if abs(np.linalg.det(matrix)) < 0.3:
            return corners
        refined.append(np.linalg.solve(matrix, [first[2], second[2]]))
    refined = np.array(refined)
    far = np.abs(refined - corners).max()
    return refined if far < 0.1 * np.ptp(corners, axis=0).max() else corners


def _start_upper_left(corners):
    if np.sum(_cross(corners, np.roll(corners, -1, 0))) < 0:
        corners = corners[::-1]
    return np.roll(corners, -corners.sum(1).argmin(), axis=0)


def _has_edges(corners, small):
    """Whether there is contrast along all sides, of which one may be hidden."""
    height, width = small.shape[:2]
    center = corners.mean(0)
    num_seen = 0
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        points = start + np.linspace(0.05, 0.95, 40)[:, None] * (end - start)
        normal = np.array([end[1] - start[1], start[0] - end[0]])
        normal = normal / np.linalg.norm(normal)
        if (center - start) @ normal < 0:
            normal = -normal
        inside, outside = (points + s * normal for s in (4, -4))
        gap = np.minimum(outside, [width, height] - outside).min(1)
        is_seen = gap > -4 + BORDER
        if is_seen.mean() < 0.5:
            continue
        num_seen += 1
        inner, outer = (_sample(small, x[is_seen]) for x in (inside, outside))
        contrast = np.abs(inner - outer).max(1) / np.maximum(
            inner.max(1), outer.max(1)
        ).clip(1)
        if np.mean(contrast > MIN_CONTRAST) < MIN_SEEN:
            return False
    return num_seen >= 3


def _sample(small, points):
    height, width = small.shape[:2]
    x = points[:, 0].astype(int).clip(0, width - 1)
    y = points[:, 1].astype(int).clip(0, height - 1)
    return small[y, x]


def fit_perspective(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The matrix `[3, 3]` that maps four points `[4, 2]` to four others."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [
            [x, y, 1, 0, 0, 0, -u * x, -u * y],
            [0, 0, 0, x, y, 1, -v * x, -v * y],
        ]
    values = np.linalg.solve(np.array(rows, float), target.ravel())
    return np.append(values, 1).reshape(3, 3)


def map_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Maps points `[num, 2]` by a perspective matrix."""
    mapped = np.c_[points, np.ones(len(points))] @ matrix.T
    return mapped[:, :2] / mapped[:, 2:]


def warp(
    image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], fill: float
) -> np.ndarray:
    """Warps an image by a perspective matrix.

    Args:
        image: float32 or uint8 `[height, width]`.
        matrix: float `[3, 3]`, maps points of the result to the image.
        size: width and height of the result.
        fill: the value outside the image.
    """
    warped = Image.fromarray(image).transform(
        size,
        Image.Transform.PERSPECTIVE,
        (matrix / matrix[2, 2]).ravel()[:8],
        Image.Resampling.BICUBIC,
        fillcolor=fill,
    )
    return np.asarray(warped).clip(0, WHITE)  # bicubic overshoots at edges
