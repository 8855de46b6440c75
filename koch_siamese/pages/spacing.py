"""Decides which gaps of a line are within a symbol, and which between words."""

from collections.abc import Sequence

import numpy as np

USUAL_GAP = 0.12  # largest gap within a symbol, in sizes of a symbol
GAPS = np.arange(-0.1, 0.46, 0.02)  # those tried, in sizes
MIN_GAPS = 12  # with fewer, regularity cannot be measured
# Prior knowledge from many scripts, of gaps within symbols: their mean, in
# sizes, and their fraction of all gaps.
MEAN_INNER_GAP, INNER_SHARE = 0.08, 0.1
PRIOR = 20  # the weight of that share, in gaps
MAX_WIDTH, WIDTH_COST = 1.3, 8.0  # in sizes; cost of twice that width
TRUST = 100.0  # weight of the usual gap against others
MIN_SPREAD = 0.03  # of gaps between symbols, in sizes
# How much wider a gap between words is than the usual one, in sizes and in
# usual deviations from it.
MIN_WORD_GAP, MIN_WORD_DEVIATIONS = 0.2, 4.0


def choose_gap(lines: Sequence[np.ndarray], size: float) -> float:
    """Chooses the largest gap within a symbol so that symbols are regular.

    If symbols are joined or split by mistake, both the steps from one symbol to
    the next and the gaps between them become less regular. `USUAL_GAP` is
    preferred unless another one is more regular.

    Args:
        lines: for each line, the left and right ends of its parts in order,
            float `[num, 2]`.
        size: the usual size of a symbol.

    Returns:
        A gap in pixels.
    """
    if sum(len(x) - 1 for x in lines) < MIN_GAPS:
        return USUAL_GAP * size
    costs = [
        _compute_cost(lines, gap * size, size) + TRUST * (gap - USUAL_GAP) ** 2
        for gap in GAPS
    ]
    return float(GAPS[int(np.argmin(costs))] * size)


def find_word_starts(
    lines: Sequence[np.ndarray], size: float
) -> list[np.ndarray]:
    """Finds the symbols that start a word, as the gap before them is wide.

    In a font of equal widths, or handwriting in squares, the steps from one
    symbol to the next are more regular than the gaps, and are compared instead.

    Args:
        lines: for each line, the ends of its symbols in reading order, float
            `[num, 2]`, increasing.
        size: the usual size of a symbol.

    Returns:
        For each line, bool `[num]`; the first symbol always starts a word.
    """
    gaps = [(x[1:, 0] - x[:-1, 1]) / size for x in lines]
    steps = [np.diff(x.mean(1)) / size for x in lines]
    usual_gap, gap_spread = _measure_middle(gaps)
    usual_step, step_spread = _measure_middle(steps)
    excess, spread = [x - usual_gap for x in gaps], gap_spread
    if step_spread < gap_spread:
        excess, spread = [x - usual_step for x in steps], step_spread
    least = max(MIN_WORD_GAP, MIN_WORD_DEVIATIONS * spread)
    return [
        np.r_[True, (more > least) & (gap > usual_gap)]
        for more, gap in zip(excess, gaps, strict=True)
    ]


def _measure_middle(parts):
    """The median of all values, and their median distance from it."""
    values = np.concatenate([[], *parts])
    if not len(values):
        return 0.0, 0.0
    middle = np.median(values)
    return middle, np.median(np.abs(values - middle))


def _compute_cost(lines, max_gap, size):
    """The negative log-likelihood of all gaps if this one separates symbols."""
    inner, gaps, steps, widths = [], [], [], []
    for ends in lines:
        between = ends[1:, 0] - ends[:-1, 1]
        is_inner = between <= max_gap
        starts = np.r_[True, ~is_inner]
        left = ends[starts, 0]
        right = ends[np.r_[starts[1:], True], 1]
        inner.append(between[is_inner])
        gaps.append(left[1:] - right[:-1])
        steps.append(np.diff((left + right) / 2))
        is_joined = np.bincount(np.cumsum(starts) - 1) > 1
        widths.append((right - left)[is_joined])
    inner, gaps, steps, widths = (
        np.concatenate(x) / size for x in (inner, gaps, steps, widths)
    )
    if len(gaps) < 2:
        return np.inf
    cost = np.sum(np.log(MEAN_INNER_GAP) + inner.clip(0) / MEAN_INNER_GAP)
    share = (len(inner) + PRIOR * INNER_SHARE) / (
        len(inner) + len(gaps) + PRIOR
    )
    cost -= len(inner) * np.log(share) + len(gaps) * np.log(1 - share)
    cost += WIDTH_COST * np.sum((widths / MAX_WIDTH - 1).clip(0))
    return cost + len(gaps) * min(_spread(gaps), _spread(steps))


def _spread(values):
    """The mean cost of values under Laplace's distribution."""
    far = np.abs(values - np.median(values))
    # Gaps between words say nothing about the others.
    scale = np.minimum(far, 4 * np.median(far) + MIN_SPREAD).mean()
    scale = max(scale, MIN_SPREAD)
    return np.log(2 * scale) + np.minimum(far / scale, 6).mean()
