"""Tests pictures of groups of symbols."""

import numpy as np
from PIL import ImageColor

import koch_siamese
from koch_siamese.reporting import page_figures
from koch_siamese.reporting.page_figures import CELL, FAINT, SAME, WRONG

# The number of pixels of a frame of width 2 around a cell.
FRAME = (CELL + 1) ** 2 - (CELL - 3) ** 2
BLANK = np.full((105, 105), 255, np.uint8)


def count(picture, color):
    """Counts the pixels of a color."""
    color = np.array(ImageColor.getrgb(color))
    return int((np.asarray(picture) == color).all(axis=-1).sum())


def test_frames_of_groups_show_how_certain_members_are():
    num_shown = page_figures.DRAWINGS_OF_GROUP
    # Group a just fits, b has one member too many, and c has a single one.
    groups = {
        "a": num_shown * [BLANK],
        "b": (num_shown + 1) * [BLANK],
        "c": [BLANK],
    }
    picture = koch_siamese.draw_groups(groups)
    assert count(picture, SAME) == 3 * FRAME
    assert count(picture, WRONG) == FRAME
    # The division is rounded down, as some pixels of text have the same gray.
    assert count(picture, FAINT) // FRAME == 2 * num_shown - 3


def test_number_of_drawn_groups_is_limited():
    most = {str(i): [BLANK] for i in range(page_figures.MAX_GROUPS)}
    picture = koch_siamese.draw_groups(most)
    more = koch_siamese.draw_groups(most | {"one more": [BLANK]})
    assert more.height == picture.height
    assert count(more, SAME) == count(picture, SAME) == len(most) * FRAME
