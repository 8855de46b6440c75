"""Tests single drawings on lines, in cells, in shadows and on a desk."""

import sys

import numpy as np
import pytest

pytest.importorskip("skimage")

from PIL import Image, ImageDraw

from koch_siamese.data.image_files import read_drawing
from koch_siamese.errors import DataWarning, InputError
from koch_siamese.pages import surroundings


def draw_letter():
    """Draws an X with strokes of 12 pixels in the middle of 300 x 300."""
    image = Image.new("L", (300, 300), 255)
    pen = ImageDraw.Draw(image)
    pen.line((110, 100, 190, 190), 0, 12)
    pen.line((190, 100, 110, 190), 0, 12)
    return image


def read(image):
    return read_drawing(np.asarray(image), crop=True) < 128


def compare(image):
    """Computes the intersection over union with the ink of the clean letter."""
    found, letter = read(image), read(draw_letter())
    return (found & letter).sum() / (found | letter).sum()


def test_clean_drawing_is_not_changed():
    drawing = np.asarray(draw_letter())
    assert surroundings.erase_lines(drawing) is drawing


def test_form_cell_is_not_ink():
    image = draw_letter()
    ImageDraw.Draw(image).rectangle((70, 70, 230, 230), outline=0, width=3)
    assert compare(image) > 0.95


def test_underline_is_not_ink():
    image = draw_letter()
    ImageDraw.Draw(image).line((60, 205, 240, 205), 0, 3)
    assert compare(image) > 0.95


@pytest.mark.parametrize("is_squared", [False, True])
def test_ruled_and_squared_lines_are_not_ink(is_squared):
    image = draw_letter()
    pen = ImageDraw.Draw(image)
    for place in range(20, 300, 60):
        pen.line((0, place, 300, place), 0, 2)
        if is_squared:
            pen.line((place, 0, place, 300), 0, 2)
    assert compare(image) > 0.75


@pytest.mark.parametrize("step", [(1, 0), (0, 1), (1, 1), (-1, 2)])
def test_hard_edge_of_a_shadow_is_not_ink(step):
    y, x = np.mgrid[-150:150, -150:150]
    light = np.where(step[0] * x + step[1] * y > 20, 1, 0.4)
    gray = 60 + 180 / 255 * np.asarray(draw_letter())
    assert compare((gray * light).astype(np.uint8)) > 0.75


def test_desk_around_the_paper_is_not_ink():
    desk = Image.new("L", (500, 480), 70)
    desk.paste(draw_letter(), (90, 110))
    assert compare(desk) > 0.75


def test_line_through_a_letter_leaves_its_strokes_whole():
    image = draw_letter()
    ImageDraw.Draw(image).line((0, 125, 300, 125), 0, 2)
    erased = surroundings.erase_lines(np.asarray(image))
    assert (erased[125, :100] == 255).all()
    letter = np.asarray(draw_letter()) < 128
    assert (erased[letter] < 128).mean() > 0.99


def test_wide_stroke_is_not_an_underline():
    image = draw_letter()
    ImageDraw.Draw(image).line((60, 205, 240, 205), 0, 12)
    drawing = np.asarray(image)
    assert surroundings.erase_lines(drawing) is drawing


def test_noise_is_not_a_symbol():
    is_ink = np.random.default_rng(0).random((200, 200)) < 0.03
    noise = np.kron(np.where(is_ink, 0, 255), np.ones((4, 4)))
    with pytest.raises(InputError, match="no clean symbol found, but"):
        read(noise.astype(np.uint8))


def test_ruled_paper_is_blank():
    image = Image.new("L", (300, 300), 255)
    for place in range(20, 300, 60):
        ImageDraw.Draw(image).line((0, place, 300, place), 0, 2)
    with pytest.raises(InputError, match="no clean symbol found"):
        read(image)


def test_without_the_extra_lines_are_ink(monkeypatch):
    image = draw_letter()
    ImageDraw.Draw(image).line((60, 205, 240, 205), 0, 3)
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert compare(image) < 0.8


def test_without_the_extra_a_desk_around_the_paper_gets_a_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    read(draw_letter())
    desk = Image.new("L", (500, 480), 70)
    desk.paste(draw_letter(), (90, 110))
    with pytest.warns(DataWarning, match="with the extra pages: pip install"):
        assert compare(desk) < 0.5


def draw_dots(num, color=0):
    """Draws `num` dots in rows of ten."""
    image = Image.new("L", (300, 300), 255)
    for number in range(num):
        x, y = 30 + 24 * (number % 10), 30 + 24 * (number // 10)
        ImageDraw.Draw(image).ellipse((x, y, x + 8, y + 8), color)
    return image


def test_clean_drawings_may_have_many_dots():
    assert read(draw_dots(40)).min() == 0
    with pytest.raises(InputError, match="101 separate spots"):
        read(draw_dots(101))


def test_a_photograph_of_many_dots_is_a_texture():
    noise = np.random.default_rng(0).normal(0, 3, (300, 300))
    image = (np.asarray(draw_dots(40, 60)) - 30 + noise).clip(0, 255)
    with pytest.raises(InputError, match="40 separate spots"):
        read(image.astype(np.uint8))
