"""Scores of pages: overlaps of boxes, and the edit distance of symbols."""

import numpy as np

MIN_OVERLAP = 0.7  # least intersection over union of a correct box


def compute_overlaps(first, second):
    """Computes intersections over unions, `[num_first, num_second]`."""
    first, second = first[:, None].astype(float), second[None].astype(float)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod((high - low).clip(0), axis=-1)
    areas = [np.prod(x[..., 2:] - x[..., :2], axis=-1) for x in (first, second)]
    return shared / (areas[0] + areas[1] - shared)


def count_errors(found, truth):
    """Computes the edit distance of two sequences."""
    before = np.arange(len(truth) + 1)
    for place, symbol in enumerate(found, 1):
        now = [place]
        for other, wanted in enumerate(truth, 1):
            now.append(
                min(
                    before[other] + 1,
                    now[-1] + 1,
                    before[other - 1] + (symbol != wanted),
                )
            )
        before = np.array(now)
    return int(before[-1])
