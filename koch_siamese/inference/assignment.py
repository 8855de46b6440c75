"""Recognizes the symbols of a page together.

Symbols that look alike are one character, and others are different ones. That
helps with characters that resemble each other: two symbols may both be nearest
to the example of one character, but only one of them can be that character.
"""

import numpy as np

from koch_siamese.errors import warn
from koch_siamese.inference.grouping import group_by_scores
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.thresholds import Thresholds

# What it costs, in log odds, that a second group of symbols has the same
# character: a group may have been split. Twice as much gives fewer errors on
# pages of one hand, but more if each symbol of a page is by another person.
REPEAT_COST = 1.5
FEW_SYMBOLS = 20  # with fewer, silhouettes are unreliable
MAX_SYMBOLS = 3_000  # the scores of all pairs take seconds
MAX_SCORES = 1 << 23  # of symbols and characters; with copies, 0.3 GB


def can_score_together(
    scorer: SiameseScorer,
    embeddings: np.ndarray,
    num_characters: int,
    thresholds: Thresholds | None,
) -> bool:
    """Tells whether `score_together` suits the symbols of a page.

    Warns if there are too many.

    Args:
        scorer: the model that embedded them.
        embeddings: of the symbols, float32 `[num_symbols, dim]`.
        num_characters: the number of known characters.
        thresholds: of the model, or None if it has none.
    """
    num = len(embeddings)
    if num < 2 or not thresholds:
        return False
    equal = scorer.score(embeddings[:1], embeddings[:1])[0]
    if equal < _compute_lowest_cut(thresholds, num_characters):
        return False  # the model is too weak: not even equal symbols are alike
    if num > MAX_SYMBOLS or num * num_characters > MAX_SCORES:
        warn(
            f"{num} symbols and {num_characters} known characters are too many "
            "to recognize the symbols together: each is recognized alone, with "
            "more errors."
        )
        return False
    return True


def _compute_lowest_cut(thresholds, num_characters):
    """The score that pairs of a group reach at least.

    It is the one from which a symbol is named among as many characters, and at
    least `same`.
    """
    return max(thresholds.same, thresholds.for_ways(num_characters))


def score_together(
    scores: np.ndarray,
    pair_scores: np.ndarray,
    thresholds: Thresholds,
    confirmed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores the symbols of a page in groups, and assigns a character to each.

    Groups are those of `group_by_scores`. A group with a symbol that a person
    has confirmed is assigned its character.

    Args:
        scores: float `[num_symbols, num_characters]`, of each symbol alone.
        pair_scores: float `[num_symbols * (num_symbols - 1) / 2]`, see
            `grouping.score_all_pairs`.
        thresholds: of the model.
        confirmed: int `[num_symbols]`, the index of the confirmed character of
            each symbol, or -1; by default none is confirmed.

    Returns:
        scores: float64 `[num_symbols, num_characters]`, the means of groups.
        assigned: int64 `[num_symbols]`, the index of a character for each; see
            `assign_characters`. Another one may score higher, if it is assigned
            to other symbols.

    Raises:
        InputError: the extra `pages` is missing.
    """
    num_symbols, num_characters = scores.shape
    if confirmed is None:
        confirmed = np.full(num_symbols, -1)
    lowest = _compute_lowest_cut(thresholds, num_characters)
    pair_scores = _separate(confirmed, pair_scores, lowest)
    # Without any pair that reaches it, each symbol is a group.
    is_plain = num_symbols < FEW_SYMBOLS or pair_scores.max() < lowest
    cut = lowest if is_plain else None
    groups = group_by_scores(pair_scores, num_symbols, lowest, cut)
    group = np.empty(num_symbols, int)
    for number, members in enumerate(groups):
        group[members] = number
    means = np.stack([scores[members].mean(axis=0) for members in groups])
    assigned = assign_characters(
        means,
        REPEAT_COST / thresholds.slope,
        np.array([confirmed[members].max() for members in groups]),
    )
    return means[group], assigned[group]


def _separate(confirmed, pair_scores, lowest):
    """Lowers the scores of pairs that were confirmed to be different."""
    if len(np.unique(confirmed[confirmed >= 0])) < 2:
        return pair_scores
    first, second = confirmed[np.array(np.triu_indices(len(confirmed), 1))]
    differ = (first >= 0) & (second >= 0) & (first != second)
    return np.where(differ, min(pair_scores.min(), lowest - 1), pair_scores)


def assign_characters(
    scores: np.ndarray,
    repeat_cost: float,
    confirmed: np.ndarray | None = None,
) -> np.ndarray:
    """Assigns a character to each group of symbols.

    The sum of their scores is the highest possible, less `repeat_cost` for
    each group whose character another group has already. Confirmed characters
    are kept, at no cost.

    Args:
        scores: float `[num_groups, num_characters]`.
        repeat_cost: as a score; 0 assigns to each group its best character.
        confirmed: int `[num_groups]`, the index of the confirmed character of
            each group, or -1; by default none is confirmed.

    Returns:
        int64 `[num_groups]`, indices of characters.
    """
    from scipy.optimize import linear_sum_assignment

    num_groups, num_characters = scores.shape
    assigned = np.full(num_groups, -1)
    if confirmed is not None:
        assigned[:] = confirmed
    free = np.flatnonzero(assigned < 0)
    own = scores[free]  # of a character that no other group has
    own[:, assigned[assigned >= 0]] = -np.inf
    # A group has a character for itself, or shares its best one, at the cost.
    shared = np.full((len(free), len(free)), -np.inf)
    np.fill_diagonal(shared, scores[free].max(axis=1) - repeat_cost)
    _, column = linear_sum_assignment(
        np.concatenate([own, shared], axis=1), maximize=True
    )
    best = scores[free].argmax(axis=1)
    assigned[free] = np.where(column < num_characters, column, best)
    return assigned
