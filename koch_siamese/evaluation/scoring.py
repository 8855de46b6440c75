"""Scores pairs and trials, and measures accuracy; embeds each drawing once.

NumPy only: a `Scorer` embeds and scores.
"""

import math
import time
import typing
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from koch_siamese.data.image_arrays import allocate_images, take
from koch_siamese.errors import InputError
from koch_siamese.evaluation.metrics import (
    bootstrap_accuracy,
    compute_class_accuracies,
    compute_credit,
    wilson_interval,
)
from koch_siamese.evaluation.verification import (
    bootstrap_accuracy_of_pairs,
    measure_verification,
)
from koch_siamese.sampling.pairs import Pairs
from koch_siamese.sampling.trials import Trials

NUMBERS_AT_ONCE = 1 << 24  # bounds the memory for differences of embeddings
# Whole batches of `SiameseScorer`, with 1, 3 or 9 views.
DRAWINGS_AT_ONCE = 2688
# Of images to embed; pixels of a baseline, in float32, take four times as much.
BYTES_AT_ONCE = 1 << 27
SECONDS_WITHOUT_BAR = 2


class Scorer(typing.Protocol):
    """A scorer to evaluate: a trained model (`SiameseScorer`) or a baseline.

    It may have an attribute `same_threshold`, the score from which a pair
    counts as the same. Without it, or if it is None, the threshold is chosen on
    validation pairs. It may also have `batch_size`, the number of images that
    `embed` computes at once.
    """

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeds uint8 images, see `Characters`, as `[num, dim]`."""

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Scores pairs of embeddings `[num, dim]`; higher is more alike."""


class EmbeddedDrawings:
    """Drawings whose embeddings are computed on first use and kept.

    The last scores are also kept, because a result, its predictions and its
    classes use the same ones.
    """

    def __init__(self, scorer: Scorer, images: np.ndarray):
        """Prepares the drawings without embedding them.

        Args:
            scorer: a model or baseline.
            images: uint8 `[num_drawings, height, width, channels]`.
        """
        self.scorer = scorer
        self._images = images
        self._row = np.full(len(images), -1)
        self._embeddings = None
        self._last = None  # the last pairs and their scores

    def score_pairs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Scores pairs of drawings.

        Args:
            first, second: int `[num_pairs]`, indices of drawings.

        Returns:
            float64 `[num_pairs]`.
        """
        pairs = np.stack([first, second])
        if self._last is None or not np.array_equal(self._last[0], pairs):
            self._last = pairs, self._score(first, second)
        return self._last[1].copy()

    def _score(self, first, second):
        self._embed(np.r_[first, second])
        first, second = self._row[first], self._row[second]
        scores = np.empty(len(first))
        num = max(1, NUMBERS_AT_ONCE // self._embeddings[0].size)
        for chunk in iterate_chunks(len(first), num, "Scoring pairs"):
            part = self.scorer.score(
                self._embeddings[first[chunk]], self._embeddings[second[chunk]]
            )
            _require_one_each(part, len(first[chunk]))
            scores[chunk] = part
        return scores

    def score_trials(self, trials: Trials) -> np.ndarray:
        """Scores each candidate of each trial.

        Returns:
            float64 `[num_trials, ways]`: the mean over a candidate's shots.
        """
        query = np.repeat(trials.query, trials.ways * trials.shots)
        scores = self.score_pairs(query, trials.support.ravel())
        return scores.reshape(trials.support.shape).mean(axis=-1)

    def _embed(self, drawings):
        missing = np.unique(drawings[self._row[drawings] < 0])
        if not len(missing):
            return
        num_known = 0 if self._embeddings is None else len(self._embeddings)
        rows = num_known + np.arange(len(missing))
        embeddings = None
        num = self._count_at_once()
        for chunk in iterate_chunks(len(missing), num, "Embedding"):
            part = self.scorer.embed(take(self._images, missing[chunk]))
            if embeddings is None:
                # In a file if they are too large, such as pixels of photos.
                shape = (num_known + len(missing), *part.shape[1:])
                embeddings = allocate_images(shape, part.dtype)
                if num_known:
                    embeddings[:num_known] = self._embeddings
            embeddings[rows[chunk]] = part
            del part  # before the next ones, which may be as large
        # Last, in case that embedding is interrupted.
        self._embeddings = embeddings
        self._row[missing] = rows

    def _count_at_once(self):
        """Counts the images to embed at once: of large ones, whole batches."""
        num = BYTES_AT_ONCE // self._images[0].nbytes
        if num >= DRAWINGS_AT_ONCE:
            return DRAWINGS_AT_ONCE
        batch_size = getattr(self.scorer, "batch_size", 1)
        return max(1, num // batch_size) * batch_size


def _require_one_each(scores, num):
    if np.shape(scores) != (num,):
        raise InputError(
            f"The scorer's score returned the shape {tuple(np.shape(scores))} "
            f"for {num} pairs: expected a number for each, ({num},)."
        )


def iterate_chunks(num: int, size: int, description: str) -> Iterator[slice]:
    """Yields slices of `size` up to `num`; shows a progress bar if slow."""
    with tqdm(
        total=num,
        desc=description,
        delay=SECONDS_WITHOUT_BAR,
        leave=False,
        disable=None,  # disabled without a terminal
    ) as bar:
        for start in range(0, num, size):
            yield slice(start, start + size)
            bar.update(min(size, num - start))


def evaluate_trials(
    drawings: EmbeddedDrawings,
    trials: Trials,
    character: np.ndarray | None = None,
) -> dict[str, object]:
    """Measures the accuracy on trials.

    Args:
        drawings: the drawings of the trials.
        trials: trials over these drawings.
        character: int `[num_drawings]`, the class of each drawing, for the
            interval over classes.

    Returns:
        `accuracy` and `ci95` (Wilson's interval, for other trials of these
        classes) within 0..1; `classes_ci95`, see `metrics.bootstrap_accuracy`,
        or None without classes; `num_trials`, `ways`, `shots`, and the
        `seconds` that it took.

    Raises:
        ScoreError: a score is NaN.
    """
    start = time.perf_counter()
    credit = compute_credit(drawings.score_trials(trials), trials.answer)
    interval = None
    if character is not None:
        interval = bootstrap_accuracy(credit, character[trials.query])
    # An exact sum, as shared credits are not exact in binary.
    return {
        **_measure_accuracy(math.fsum(credit), len(trials)),
        "classes_ci95": interval,
        "num_trials": len(trials),
        "ways": trials.ways,
        "shots": trials.shots,
        "seconds": _seconds_since(start),
    }


def evaluate_pairs(
    drawings: EmbeddedDrawings,
    pairs: Pairs,
    threshold: float,
    character: np.ndarray | None = None,
) -> dict[str, object]:
    """Measures verification: the fraction of pairs classified correctly.

    Section 4.2, table 1.

    Args:
        drawings: the drawings of the pairs.
        pairs: same and different pairs.
        threshold: the score from which a pair counts as the same.
        character: int `[num_drawings]`, the class of each drawing, for
            intervals over classes.

    Returns:
        `accuracy` at the threshold and its `ci95` (Wilson's interval, for other
        pairs of these classes) within 0..1; `classes_ci95`, see
        `bootstrap_accuracy_of_pairs`, or None without classes; what
        `measure_verification` returns, `threshold`, `num_trials` (pairs),
        `ways` and `shots` (None), and the `seconds` that it took.

    Raises:
        ScoreError: a score is NaN.
    """
    start = time.perf_counter()
    scores = drawings.score_pairs(pairs.first, pairs.second)
    correct = _is_correct(scores, pairs, threshold)
    classes = interval = None
    if character is not None:
        classes = character[np.stack([pairs.first, pairs.second])]
        interval = bootstrap_accuracy_of_pairs(correct, pairs.same, classes)
    measured = measure_verification(scores, pairs.same, classes)
    return {
        **_measure_accuracy(int(correct.sum()), len(scores)),
        "classes_ci95": interval,
        **measured,
        "threshold": threshold,
        "num_trials": len(scores),
        "ways": None,
        "shots": None,
        "seconds": _seconds_since(start),
    }


def evaluate_trial_classes(
    drawings: EmbeddedDrawings, trials: Trials, character: np.ndarray
) -> list[dict[str, object]]:
    """Measures the accuracy for each class of queries.

    Args:
        drawings: the drawings of the trials.
        trials: trials over these drawings.
        character: int `[num_drawings]`, the class of each drawing.

    Returns:
        See `metrics.compute_class_accuracies`.

    Raises:
        ScoreError: a score is NaN.
    """
    credit = compute_credit(drawings.score_trials(trials), trials.answer)
    return compute_class_accuracies(character[trials.query], credit)


def evaluate_pair_classes(
    drawings: EmbeddedDrawings,
    pairs: Pairs,
    threshold: float,
    character: np.ndarray,
) -> list[dict[str, object]]:
    """Measures the fraction of each class's pairs that is classified correctly.

    See `evaluate_pairs` for the arguments.

    Returns:
        See `metrics.compute_class_accuracies`; `num_trials` are pairs, and a
        pair of two classes counts for both.
    """
    scores = drawings.score_pairs(pairs.first, pairs.second)
    correct = _is_correct(scores, pairs, threshold)
    first, second = character[pairs.first], character[pairs.second]
    differs = first != second
    return compute_class_accuracies(
        np.r_[first, second[differs]], np.r_[correct, correct[differs]]
    )


def _is_correct(scores, pairs, threshold):
    return (scores >= threshold) == pairs.same.astype(bool)


def _measure_accuracy(correct, num):
    return {"accuracy": correct / num, "ci95": wilson_interval(correct, num)}


def _seconds_since(start):
    return round(time.perf_counter() - start, 3)
