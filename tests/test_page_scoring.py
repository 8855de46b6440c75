"""Metrics of pages, compared with values computed by hand."""

import numpy as np
import pytest

from experiments.page_scoring import compute_overlaps, count_errors


def test_overlaps_are_intersection_over_union():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    overlaps = compute_overlaps(boxes, boxes[:2])
    # The first two share 50 of 150 pixels.
    np.testing.assert_allclose(overlaps, [[1, 1 / 3], [1 / 3, 1], [0, 0]])


@pytest.mark.parametrize(
    ("found", "truth", "errors"),
    [
        ("abc", "abc", 0),
        ("abc", "axc", 1),  # one is wrong
        ("ac", "abc", 1),  # one is missing
        ("abbc", "abc", 1),  # one too many
        ("", "abc", 3),
        ("bca", "abc", 2),
    ],
)
def test_errors_are_the_edit_distance(found, truth, errors):
    assert count_errors(found, truth) == errors
    assert count_errors(truth, found) == errors
