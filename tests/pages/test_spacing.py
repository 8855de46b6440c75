"""Tests for koch_siamese.pages.spacing."""

import numpy as np
import pytest

from koch_siamese.pages.spacing import find_word_starts


def make_ends(widths, gaps):
    """The ends of symbols of these widths, with these gaps between them."""
    rights = np.cumsum(np.add(widths, [0, *gaps]))
    return np.stack([rights - widths, rights], 1).astype(float)


@pytest.mark.parametrize(
    ("wide", "is_start"), [(4.9, False), (5.1, True), (0, False)]
)
def test_word_starts_after_a_gap_wider_by_a_fifth_of_a_symbol(wide, is_start):
    # The usual gap is 3; a fifth of the size is 2.
    line = make_ends([10, 4, 10, 6, 10], [3, 3, wide, 3])
    (starts,) = find_word_starts([line], size=10)
    assert starts.tolist() == [True, False, False, is_start, False]


@pytest.mark.parametrize(("wide", "is_start"), [(15, False), (17, True)])
def test_irregular_gaps_need_a_wider_one(wide, is_start):
    # The gaps have the median 4 and usually differ from it by 3, so that one
    # of more than 4 + 4 * 3 is wide.
    gaps = [1, 7, 4, 1, 7, 4, 1, 7, wide]
    line = make_ends([10, 6, 14, 9, 11, 5, 10, 14, 6, 10], gaps)
    (starts,) = find_word_starts([line], size=10)
    assert starts.tolist() == [True] + [False] * 8 + [is_start]


def test_steps_are_compared_in_a_font_of_equal_widths():
    # In cells of 10, the gap between narrow letters is 8, and that between wide
    # ones 1, so that the space of 11 is not unusual. The steps are 10, but 20
    # at the space. They are 13 around a very wide letter, which has no gap.
    centers = np.r_[0:50:10, 60:110:10, 113, 126, 136.0]
    widths = np.array([9, 9, 2, 2, 9, 9, 2, 2, 9, 9, 15, 9, 9])
    line = np.stack([centers - widths / 2, centers + widths / 2], 1)
    (starts,) = find_word_starts([line], size=9)
    assert np.flatnonzero(starts).tolist() == [0, 5]


def test_lines_of_one_symbol_and_pages_without_lines():
    assert find_word_starts([], size=10) == []
    one, two = find_word_starts(
        [make_ends([9], []), make_ends([9, 9], [99])], 9
    )
    assert (one.tolist(), two.tolist()) == ([True], [True, False])
