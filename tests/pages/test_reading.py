"""Tests that the symbols of small pages are found at their places."""

import sys

import numpy as np
import pytest

pytest.importorskip("skimage")

from PIL import Image, ImageDraw

from koch_siamese.errors import InputError
from koch_siamese.pages.reading import find_ink, find_symbols


def make_page(boxes, size=(400, 200), width=4):
    """Draws hollow boxes on white, uint8."""
    image = Image.new("L", size, 255)
    pen = ImageDraw.Draw(image)
    for left, top, right, bottom in boxes:
        pen.rectangle((left, top, right - 1, bottom - 1), None, 0, width)
    return np.asarray(image)


GRID = [
    (x, y, x + 30, y + 36) for y in (30, 100) for x in (40, 110, 180, 250, 320)
]


def get_boxes(lines):
    return [[symbol.box for symbol in line] for line in lines]


def test_lines_are_read_from_left_to_right():
    expected = [GRID[:5], GRID[5:]]
    assert get_boxes(find_symbols(make_page(GRID))) == expected


def test_right_to_left_reverses_each_line():
    expected = [GRID[:5][::-1], GRID[5:][::-1]]
    assert get_boxes(find_symbols(make_page(GRID), "rtl")) == expected


def test_columns_are_read_from_the_right():
    boxes = [
        (x, y, x + 30, y + 36) for x in (130, 40) for y in (30, 100, 170, 240)
    ]
    page = make_page(boxes, size=(200, 320))
    expected = [boxes[:4], boxes[4:]]
    assert get_boxes(find_symbols(page, "ttb")) == expected


def test_unknown_direction_is_refused():
    with pytest.raises(InputError, match="expected one of ltr, rtl, ttb"):
        find_symbols(make_page(GRID), "up")


def test_dot_above_a_square_belongs_to_it():
    page = make_page([(40, 50, 80, 90), (140, 50, 180, 90)]).copy()
    page[36:44, 56:64] = 0
    lines = get_boxes(find_symbols(page))
    assert lines == [[(40, 36, 80, 90), (140, 50, 180, 90)]]


def test_symbols_that_touch_by_a_stroke_are_split():
    page = make_page(GRID).copy()
    page[46:50, 70:110] = 0
    first, second = find_symbols(page)[0][:2]
    assert first.box[0] == 40 and second.box[2] == 140
    assert 70 <= first.box[2] == second.box[0] <= 110


def test_drawing_has_only_the_ink_of_its_symbol():
    page = make_page([(40, 50, 80, 90), (140, 50, 180, 90)])
    first, second = find_symbols(page)[0]
    np.testing.assert_array_equal(first.drawing, second.drawing)
    rows, columns = np.nonzero(first.drawing < 128)
    assert np.ptp(rows) == np.ptp(columns)
    ink = (first.drawing < 128).sum() / (np.ptp(rows) + 1) ** 2
    assert ink == pytest.approx(1 - 32**2 / 40**2, abs=0.02)
    assert first.drawing[0].min() == 255


def test_drawing_is_black_on_white():
    symbols = find_symbols(make_page(GRID, width=2))[0]
    assert len(symbols) == 5
    for symbol in symbols:
        gray = (symbol.drawing > 32) & (symbol.drawing < 253)
        assert gray.sum() < (symbol.drawing <= 32).sum()


def test_ruled_line_through_strokes_is_not_ink():
    page = make_page(GRID).copy()
    page[120:122] = 0
    assert get_boxes(find_symbols(page)) == [GRID[:5], GRID[5:]]


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("noise", [0, 3])
def test_blank_page_has_no_lines(level, noise):
    values = np.random.default_rng(0).normal(level, noise, (200, 300))
    assert find_symbols(values.clip(0, 255).astype(np.uint8)) == []


def test_light_ink_on_dark_is_the_same_as_its_negative():
    page = make_page(GRID)
    assert get_boxes(find_symbols(255 - page)) == get_boxes(find_symbols(page))


def test_colors_are_the_same_as_gray():
    page = make_page(GRID)
    colors = np.repeat(page[..., np.newaxis], 3, axis=2)
    assert get_boxes(find_symbols(colors)) == get_boxes(find_symbols(page))


def test_lines_of_a_tilted_page_are_found():
    wide = np.pad(make_page(GRID), 60, constant_values=255)
    image = Image.fromarray(255 - wide).rotate(8, Image.Resampling.BICUBIC)
    lines = find_symbols(255 - np.asarray(image))
    assert [len(x) for x in lines] == [5, 5]
    lefts = [symbol.box[0] for symbol in lines[0]]
    assert lefts == sorted(lefts)


def test_boxes_on_a_desk_are_in_pixels_of_the_picture():
    page = make_page(GRID)
    desk = np.full((360, 560), 60, np.uint8)
    desk[80:280, 80:480] = page
    boxes = get_boxes(find_symbols(desk))
    moved = [[tuple(v + 80 for v in box) for box in GRID[:5]]]
    moved += [[tuple(v + 80 for v in box) for box in GRID[5:]]]
    np.testing.assert_allclose(boxes, moved, atol=2)


def test_without_the_extra_a_page_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r"pip install 'koch-siamese\[pages\]"):
        find_symbols(make_page(GRID))


def test_ink_is_found_without_printed_lines():
    page = make_page([(40, 50, 80, 90)]).copy()
    page[120:123] = 0
    ink = find_ink(page) == 0
    assert ink[52, 45:75].all() and not ink[100:].any()
