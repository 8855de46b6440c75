"""Recognizes the symbols of a page together.

Symbols that look alike are one character, and others are different ones. That
decides between characters that resemble each other: the drawing of one may be
nearest to the example of the other, but both symbols cannot be the same one.
"""

import numpy as np

from koch_siamese.inference.grouping import group_by_scores
from koch_siamese.models.thresholds import Thresholds

# The cost, in log odds, of a character for a second group of symbols, twice as
# much for a third, and so on: a group may have been split. Chosen on pages of
# validation alphabets.
REPEAT_COST = 3.0
FEW_SYMBOLS = 20  # of fewer, silhouettes say little
MAX_SYMBOLS = 5_000  # the scores of all pairs take seconds
MAX_SCORES = 1 << 25  # of symbols and characters; they take 0.3 GB


def score_together(
    scores: np.ndarray, pair_scores: np.ndarray, thresholds: Thresholds
) -> tuple[np.ndarray, np.ndarray]:
    """Scores the symbols of a page in groups, and assigns a character to each.

    Groups are those of `group_by_scores`. The lowest cut is the score from
    which a symbol is named among as many characters.

    Args:
        scores: float `[num_symbols, num_characters]`, of each symbol alone.
        pair_scores: float `[num_symbols * (num_symbols - 1) / 2]`, see
            `grouping.score_all_pairs`.
        thresholds: of the model.

    Returns:
        scores: float64 `[num_symbols, num_characters]`, the means of groups.
        assigned: int64 `[num_symbols]`, the index of a character for each; see
            `assign_characters`. Another one may score higher, if it is assigned
            to other symbols.

    Raises:
        InputError: the extra `pages` is missing.
    """
    num_symbols, num_characters = scores.shape
    lowest = thresholds.for_ways(num_characters)
    # Without any pair that reaches it, each symbol is a group.
    is_plain = num_symbols < FEW_SYMBOLS or pair_scores.max() < lowest
    cut = lowest if is_plain else None
    groups = group_by_scores(pair_scores, num_symbols, lowest, cut)
    group = np.empty(num_symbols, int)
    for number, members in enumerate(groups):
        group[members] = number
    means = np.stack([scores[members].mean(axis=0) for members in groups])
    assigned = assign_characters(means, REPEAT_COST / thresholds.slope)
    return means[group], assigned[group]


def assign_characters(scores: np.ndarray, repeat_cost: float) -> np.ndarray:
    """Assigns a character to each group of symbols.

    The sum of their scores is the highest possible, less `repeat_cost` for the
    second group of a character, twice as much for the third, and so on.

    Args:
        scores: float `[num_groups, num_characters]`.
        repeat_cost: as a score; 0 assigns to each group its best character.

    Returns:
        int64 `[num_groups]`, indices of characters.
    """
    from scipy.optimize import linear_sum_assignment

    num_groups, num_characters = scores.shape
    # Enough for all groups, and two more for a character that was split.
    num_repeats = -(-num_groups // num_characters) + 2
    costs = repeat_cost * np.repeat(np.arange(num_repeats), num_characters)
    _, column = linear_sum_assignment(
        np.tile(scores, num_repeats) - costs, maximize=True
    )
    return column % num_characters
