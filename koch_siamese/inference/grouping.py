"""Groups drawings by likeness, where no character is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from koch_siamese.errors import InputError
from koch_siamese.evaluation.scoring import iterate_chunks
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.thresholds import Thresholds

MAX_DRAWINGS = 20_000  # all pairs of them take 1.6 GB, and twice that to join
ROWS_AT_ONCE = 64


def score_all_pairs(
    scorer: SiameseScorer, embeddings: np.ndarray
) -> np.ndarray:
    """Scores every pair of embeddings; shows a bar if that takes long.

    Args:
        scorer: the model that embedded them.
        embeddings: float32 `[num, dim]`.

    Returns:
        float64 `[num * (num - 1) / 2]`, in the order of
        `numpy.triu_indices(num, 1)`.
    """
    num = len(embeddings)
    rows = [np.empty(0)]
    for chunk in iterate_chunks(num, ROWS_AT_ONCE, "Comparing symbols"):
        rest = embeddings[chunk.start :]
        table = scorer.score_table(embeddings[chunk], rest)
        rows += [row[i + 1 :] for i, row in enumerate(table)]
    return np.concatenate(rows)


def choose_cut(thresholds: Thresholds) -> float:
    """The mean score from which two groups are one."""
    return thresholds.same


def group_by_scores(
    scores: np.ndarray, num: int, cut: float
) -> list[np.ndarray]:
    """Groups drawings by average linkage.

    The two groups that are most alike are joined, again and again, as long as
    the mean score of their pairs reaches the cut.

    Args:
        scores: float `[num * (num - 1) / 2]`, see `score_all_pairs`.
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


def write_groups(
    folder: Path,
    groups: Sequence[Sequence[int]],
    drawings: np.ndarray,
    places: Sequence[str],
) -> Mapping[str, Sequence[np.ndarray]]:
    """Writes groups as folders of images, which a person can name.

    Args:
        folder: a new one.
        groups: indices of drawings, the clearest of each first.
        drawings: uint8 `[num, height, width]`.
        places: where each is found, a part of its file's name.

    Returns:
        The drawings of each group by the name of its folder.

    Raises:
        InputError: they cannot be written.
    """
    digits = max(3, len(str(len(groups))))
    named = {
        f"group_{number:0{digits}}": members
        for number, members in enumerate(groups, 1)
    }
    try:
        for name, members in named.items():
            (folder / name).mkdir(parents=True)
            rank_digits = len(str(len(members)))
            for rank, member in enumerate(members, 1):
                file = f"{rank:0{rank_digits}}_{places[member]}.png"
                Image.fromarray(drawings[member]).save(folder / name / file)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error}.") from error
    return {
        name: [drawings[i] for i in members] for name, members in named.items()
    }
