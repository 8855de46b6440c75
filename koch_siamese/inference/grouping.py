"""Groups drawings by likeness, where no character is known."""


import numpy as np

from koch_siamese.models.thresholds import Thresholds

MAX_DRAWINGS = 20_000  # beyond it, all pairs take gigabytes


def choose_cut(thresholds: Thresholds | None, num: int) -> float:
    """The mean score from which two groups are one."""
    return thresholds.same


def group_by_scores(
    scores: np.ndarray, num: int, cut: float
) -> list[np.ndarray]:
    """Groups drawings by average linkage.

    The two groups that are most alike are joined, again and again, as long as
    the mean score of their pairs reaches the cut.

    Args:
        scores: float `[num * (num - 1) / 2]`, of every pair, in the order of
            `numpy.triu_indices(num, 1)`.
        num: of drawings.
        cut: the mean score from which two groups are one.

    Returns:
        Indices of the drawings of each group, int64, the largest group first;
        in each the drawing first whose mean score with the others is highest,
        which is the clearest, and the least certain one last.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    if num < 2:
        return [np.arange(num)] if num else []
    highest = scores.max()
    tree = hierarchy.linkage(highest - scores, "average")
    label = hierarchy.fcluster(tree, highest - cut, "distance")
    groups = [np.flatnonzero(label == x) for x in np.unique(label)]
    groups.sort(key=lambda members: (-len(members), members[0]))
    square = squareform(scores)
    return [_sort_by_likeness(square, members) for members in groups]


def _sort_by_likeness(scores, members):
    """The members, those most like the others first."""
    likeness = scores[np.ix_(members, members)].sum(axis=1)
    return members[np.argsort(-likeness, kind="stable")]
