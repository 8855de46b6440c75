"""Groups similar drawings when no character is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from koch_siamese import extras
from koch_siamese.data.image_files import write_drawing
from koch_siamese.evaluation.scoring import iterate_chunks
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.runs.results import writing

MAX_DRAWINGS = 20_000  # the scores of all pairs take gigabytes
ROWS_AT_ONCE = 64
NUM_CUTS = 25
MIN_SILHOUETTE = 0.25  # below it, groups are not distinct: the lowest cut holds


def score_all_pairs(
    scorer: SiameseScorer, embeddings: np.ndarray
) -> np.ndarray:
    """Scores every pair of embeddings; shows a progress bar if it takes long.

    Args:
        scorer: the model that embedded them.
        embeddings: float32 `[num, dim]`.

    Returns:
        float64 `[num * (num - 1) / 2]`, in the order of
        `numpy.triu_indices(num, 1)`.
    """
    num = len(embeddings)
    scores, start = np.empty(num * (num - 1) // 2), 0
    for chunk in iterate_chunks(num, ROWS_AT_ONCE, "Comparing symbols"):
        rest = embeddings[chunk.start :]
        table = scorer.score_table(embeddings[chunk], rest)
        for i, row in enumerate(table, 1):
            part = row[i:]
            scores[start : start + len(part)] = part
            start += len(part)
    return scores


def group_by_scores(
    scores: np.ndarray,
    num: int,
    lowest: float | None = None,
    cut: float | None = None,
) -> list[np.ndarray]:
    """Groups drawings by complete linkage.

    The two most similar groups are joined repeatedly, as long as their least
    similar pair of drawings reaches the cut.

    The cut is chosen without labels, as no score suits all pages: prints of a
    font are nearly equal, and one hand varies less than several. `NUM_CUTS`
    scores are tried, from `lowest` to the highest score. The one with the best
    silhouette (Rousseeuw 1987) is chosen: the mean over all drawings of how
    much nearer they are to their own group than to the next one. If the lowest
    cut leaves one group, it stays one.

    Args:
        scores: float `[num * (num - 1) / 2]`, see `score_all_pairs`.
        num: the number of drawings.
        lowest: the lowest cut, such as the model's threshold of `same`; by
            default the median score.
        cut: the score to cut at, instead of choosing one.

    Returns:
        Indices of the drawings of each group, int64, the largest group first.
        Within a group, they are sorted by their mean score with the others: the
        clearest drawing is first, the least certain one last.

    Raises:
        InputError: the extra `pages` is missing.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    if num < 2:
        return [np.arange(num)] if num else []
    highest = scores.max()
    distances = highest - scores
    tree = hierarchy.linkage(distances, "complete")
    square = squareform(distances)
    if cut is None:
        lowest = np.median(scores) if lowest is None else lowest
        cuts = np.linspace(min(lowest, highest), highest, NUM_CUTS)
        label = _choose_labels(tree, square, highest - cuts)
    else:
        label = hierarchy.fcluster(tree, highest - cut, "distance")
    groups = [np.flatnonzero(label == x) for x in np.unique(label)]
    groups.sort(key=lambda members: (-len(members), members[0]))
    return [_sort_by_likeness(square, members) for members in groups]


def _choose_labels(tree, square, heights):
    """The group of each drawing at the height with the best silhouette."""
    from scipy.cluster import hierarchy

    extras.require("sklearn", "Grouping")
    from sklearn.metrics import silhouette_score

    labels = [hierarchy.fcluster(tree, x, "distance") for x in heights]
    best, best_label = MIN_SILHOUETTE, labels[0]
    if len(np.unique(labels[0])) == 1:
        return labels[0]
    for label in labels:
        if 1 < len(np.unique(label)) < len(label):
            silhouette = silhouette_score(square, label, metric="precomputed")
            if silhouette > best:
                best, best_label = silhouette, label
    return best_label


def _sort_by_likeness(distances, members):
    """Sorts members, those most similar to the others first."""
    total = distances[np.ix_(members, members)].sum(axis=1)
    return members[np.argsort(total, kind="stable")]


def write_groups(
    folder: Path,
    groups: Sequence[Sequence[int]],
    drawings: np.ndarray,
    names: Sequence[str],
) -> Mapping[str, Sequence[np.ndarray]]:
    """Writes groups as folders of images, for a person to name.

    Args:
        folder: a new folder.
        groups: indices of the drawings of each group, the clearest first.
        drawings: uint8 `[num, height, width]`.
        names: a part of each file name; see `transcription.name_symbol`.

    Returns:
        The drawings of each group, keyed by the name of its folder.

    Raises:
        InputError: they cannot be written.
    """
    digits = max(3, len(str(len(groups))))
    named = {
        f"group_{number:0{digits}}": members
        for number, members in enumerate(groups, 1)
    }
    with writing(folder):
        for name, members in named.items():
            (folder / name).mkdir(parents=True)
            rank_digits = len(str(len(members)))
            for rank, member in enumerate(members, 1):
                file = f"{rank:0{rank_digits}}_{names[member]}.png"
                write_drawing(folder / name / file, drawings[member])
    return {
        name: [drawings[i] for i in members] for name, members in named.items()
    }
