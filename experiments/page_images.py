"""Makes pages of drawings in lines, clean or photographed, for `pages.py`.

A page is laid out flat: drawings of varying size, spacing and height, in lines
that are not quite straight. Then it is tilted. A photographed page is also seen
from the side, on a desk or filling the picture, unevenly lit, sometimes with
the edge of a shadow, blurred, noisy, and compressed as a JPEG.
"""

import dataclasses
import io

import numpy as np
from PIL import Image, ImageFilter

from experiments.photographs import light
from koch_siamese.pages.sheet import fit_perspective, map_points

CELL = 105  # side of a drawing
MARGIN = 1.2  # around the lines, in sides of a symbol


@dataclasses.dataclass(frozen=True)
class Page:
    """A page and its symbols.

    Attributes:
        image: uint8 `[height, width, 3]`.
        boxes: int `[num, 4]`, left, top, right, bottom of each symbol's ink.
        line: int `[num]`, the line of each, from the top.
        drawing: int `[num]`, the index of each symbol's drawing.
    """

    image: np.ndarray
    boxes: np.ndarray
    line: np.ndarray
    drawing: np.ndarray


def make_page(
    drawings: np.ndarray, kind: str, rng: np.random.Generator
) -> Page:
    """Makes a page of 60 to 200 symbols in 3 to 8 lines.

    Args:
        drawings: uint8 `[num, CELL, CELL]`, those to choose from.
        kind: `clean` or `photographed`.
        rng: the source of randomness.
    """
    sheet, points, line, chosen = _lay_out(drawings, rng)
    if kind == "clean":
        matrix, size = _tilt(sheet.size, rng)
        ink = _warp(sheet, matrix, size)
        image = np.repeat(255 - np.asarray(ink)[..., None], 3, axis=2)
    else:
        matrix, size = _look_from_the_side(sheet.size, rng)
        image = _photograph(sheet, matrix, size, rng)
    boxes = np.array([_bound(map_points(matrix, x)) for x in points])
    return Page(image, boxes, line, chosen)


def _lay_out(drawings, rng):
    """Lays out a flat sheet, ink as 255; also returns each symbol's points."""
    num_lines = int(rng.integers(3, 9))
    shortest = -(-60 // num_lines)
    longest = min(25, 200 // num_lines)
    side = float(rng.uniform(50, 90))  # pixels of a drawing's whole cell
    pitch = rng.uniform(1.35, 2.0) * side * rng.uniform(0.75, 1.0)
    is_grid = rng.random() < 0.5  # whole cells side by side, or ink and gaps
    gap = rng.uniform(0.8, 1.15) if is_grid else rng.uniform(0.15, 0.5)
    wave = rng.uniform(0, 0.12) * side
    size_spread, jitter = rng.uniform(0, 0.15), rng.uniform(0, 0.06) * side
    placed, line, chosen, y = [], [], [], MARGIN * side
    for number in range(num_lines):
        num = int(rng.integers(shortest, longest + 1))
        phase, length = rng.uniform(0, 2 * np.pi), rng.uniform(500, 1500)
        slope = np.tan(np.deg2rad(rng.uniform(-0.7, 0.7)))
        x = (MARGIN + rng.uniform(0, 0.5)) * side
        for _ in range(num):
            which = int(rng.integers(len(drawings)))
            scale = side / CELL * np.exp(rng.normal(0, size_spread))
            ink = _resize_ink(drawings[which], scale)
            left, _, right, _ = ink.getbbox()
            bend = wave * np.sin(phase + 2 * np.pi * x / length)
            top = y + slope * x + bend + rng.normal(0, jitter)
            top += (side - ink.height) / 2
            if is_grid:
                place = (round(x), round(top))
                x += gap * side * rng.uniform(0.95, 1.05)
            else:
                place = (round(x - left), round(top))
                x += right - left + gap * side * rng.uniform(0.6, 1.4)
            placed.append((ink, place))
            line.append(number)
            chosen.append(which)
        y += pitch * rng.uniform(0.95, 1.05)
    width = max(p[0] + i.width for i, p in placed) + MARGIN * side
    sheet = Image.new("L", (round(width), round(y + MARGIN * side)), 0)
    points = []
    for ink, place in placed:
        sheet.paste(255, place, ink)
        rows, columns = np.nonzero(np.asarray(ink) > 127)
        points.append(np.stack([columns, rows], 1) + place)
    return sheet, points, np.array(line), np.array(chosen)


def _resize_ink(drawing, scale):
    ink = Image.fromarray(255 - drawing)
    side = max(8, round(scale * CELL))
    return ink.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3)


def _tilt(size, rng):
    """Samples a rotation; returns its matrix and the size of the result."""
    angle = np.deg2rad(np.clip(rng.normal(0, 3), -10, 10))
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    corners = _corners(size) @ turn.T
    low, high = corners.min(0), corners.max(0)
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, -low
    return matrix, tuple(int(x) for x in np.ceil(high - low))


def _look_from_the_side(size, rng):
    """Samples a perspective of a tilted sheet, with or without a desk."""
    matrix, (width, height) = _tilt(size, rng)
    corners = map_points(matrix, _corners(size))
    corners += rng.uniform(-0.04, 0.04, (4, 2)) * [width, height]
    if rng.random() < 0.5:
        # The desk is seen on all sides of the sheet.
        corners -= corners.min(0)
        space = rng.uniform(0.03, 0.15, 2) * [width, height]
        whole = corners.max(0) + 2 * space
        corners += space
    else:
        # Paper fills the picture, also outside of the sheet.
        whole = np.array([width, height])
    return fit_perspective(_corners(size), corners), tuple(
        int(x) for x in whole
    )


def _corners(size):
    width, height = size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], float)


def _bound(points):
    low, high = points.min(0), points.max(0)
    return np.floor(np.r_[low, high + 1]).astype(int)


def _warp(image, matrix, size):
    inverse = np.linalg.inv(matrix)
    return image.transform(
        size,
        Image.Transform.PERSPECTIVE,
        (inverse / inverse[2, 2]).ravel()[:8],
        Image.Resampling.BICUBIC,
    )


def _photograph(sheet, matrix, size, rng):
    ink = _warp(sheet, matrix, size)
    covered = _warp(Image.new("L", sheet.size, 255), matrix, size)
    scale = max(size) / 1500
    ink = ink.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1) * scale))
    ink = np.asarray(ink)[..., None] / 255
    paper = rng.uniform(150, 235) * rng.uniform(0.93, 1.07, size=3)
    color = rng.uniform(20, 90) * rng.uniform(0.6, 1.5, size=3)
    image = paper * (1 - ink) + color * ink
    corners = map_points(matrix, _corners(sheet.size))
    is_on_desk = (corners.min() >= 0) and (corners.max(0) <= size).all()
    if is_on_desk:
        is_paper = np.asarray(covered)[..., None] / 255
        desk = _desk(size, rng)
        image = image * is_paper + desk * (1 - is_paper)
    image *= light(*size, rng)[..., None]
    image += rng.normal(0, rng.uniform(2, 9), image.shape)
    file = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(rng.integers(50, 95))
    )
    return np.asarray(Image.open(file))


def _desk(size, rng):
    """Makes a desk: darker than paper, brown or gray, with a grain."""
    width, height = size
    color = rng.uniform(30, 110) * np.array([1.0, 1.0, 1.0])
    color *= rng.uniform([0.9, 0.75, 0.5], [1.3, 1.0, 0.95])
    grain = rng.normal(0, 1, (height // 6 + 2, width // 60 + 2))
    grain = Image.fromarray(grain.astype(np.float32))
    grain = np.asarray(grain.resize(size, Image.Resampling.BICUBIC))
    return color * (1 + rng.uniform(0, 0.2) * grain[..., None])
