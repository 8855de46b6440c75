"""Metrics of verification, with intervals by resampling. NumPy only."""

from collections.abc import Callable, Sequence

import numpy as np

from koch_siamese.evaluation.metrics import (
    MIN_CLASSES,
    NUM_RESAMPLES,
    RankedPairs,
    compute_auc,
    compute_equal_error_rate,
    compute_tar_at_far,
    rank_pairs,
)

FALSE_ACCEPT_RATES = (0.01, 0.001)


def measure_verification(
    scores: np.ndarray,
    same: np.ndarray,
    classes: np.ndarray | None = None,
) -> dict[str, object]:
    """Measures how well scores separate same pairs from different ones.

    Args:
        scores: float `[num_pairs]`, higher is more alike.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.
        classes: int `[2, num_pairs]`, the classes of a pair's two images, for
            the intervals; without them, the intervals are None.

    Returns:
        `roc_auc` and `equal_error_rate`, within 0..1, and their 95 % intervals
        `roc_auc_ci95` and `equal_error_rate_ci95`; `tar_at_far`, a dict of
        `tar` and `ci95` by false accept rate, `"0.01"` and `"0.001"`;
        and `num_different_pairs`. `tar` and `ci95` are None if the rate is
        below one different pair; with fewer than `MIN_CLASSES` classes, all
        intervals are None.

    Raises:
        ScoreError: a score is NaN.
    """
    num_different = int((np.asarray(same) == 0).sum())

    def measure(*roc):
        return [
            compute_auc(*roc),
            compute_equal_error_rate(*roc),
            *(compute_tar_at_far(*roc, rate) for rate in FALSE_ACCEPT_RATES),
        ]

    ranked = rank_pairs(scores, same)
    everything = np.ones(len(scores), int)
    values = measure(*ranked.compute_roc(everything))
    intervals = [None] * len(values)
    if classes is not None and len(np.unique(classes)) >= MIN_CLASSES:
        intervals = bootstrap_classes(ranked, classes, measure)
    tars = {}
    for rate, tar, ci95 in zip(
        FALSE_ACCEPT_RATES, values[2:], intervals[2:], strict=True
    ):
        if num_different < min_different_pairs(rate):
            tar, ci95 = None, None
        tars[str(rate)] = {"tar": tar, "ci95": ci95}
    return {
        "roc_auc": values[0],
        "roc_auc_ci95": intervals[0],
        "equal_error_rate": values[1],
        "equal_error_rate_ci95": intervals[1],
        "tar_at_far": tars,
        "num_different_pairs": num_different,
    }


def min_different_pairs(false_accept_rate: float) -> int:
    """The number of different pairs that a rate needs to accept one of them."""
    return round(1 / false_accept_rate)


def bootstrap_classes(
    pairs: RankedPairs,
    classes: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], Sequence[float]],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> list[list[float]]:
    """Computes 95 % intervals by a bootstrap over classes.

    Pairs that share a class are not independent, so classes are drawn with
    replacement, as many as there are. A pair within a class counts as often as
    the class was drawn; a pair of two classes counts by the product of their
    numbers of draws. This is the vertex bootstrap of Fogliato, Patil and Perona
    2024, *Confidence Intervals for Error Rates in 1:1 Matching Tasks*, after
    Snijders and Borgatti 1999. Because of the product, intervals tend to be too
    wide (Owen 2007, *The Pigeonhole Bootstrap*). Their ends are the 2.5 % and
    97.5 % quantiles over the resamples. If all resamples measure 0, or all
    measure 1, the interval has no width.

    In simulations with class effects (150 data sets each), the intervals
    contained the true value in 93 to 97 % (ROC AUC), 93 to 99 % (EER) and 96 to
    100 % (TAR at a FAR of 1 %) of the cases. If only one or two different pairs
    reach a FAR, the intervals of TAR contain it in no more than 77 to 85 %:
    provide five or more.

    Args:
        pairs: ranked pairs, same and different ones.
        classes: int `[2, num_pairs]`, the classes of a pair's two images, in
            the order of the scores before ranking.
        measure: computes metrics from a ROC, see `metrics.compute_roc`.
        num_resamples: how often classes are drawn. Resamples without same pairs
            or without different ones are skipped.
        seed: the random seed.

    Returns:
        The lower and upper end for each metric.
    """
    pairs = pairs.drop_intermediate()
    resamples = _weigh_resamples(classes[:, pairs.order], num_resamples, seed)
    rocs = map(pairs.compute_roc, resamples)
    values = [measure(*roc) for roc in rocs if roc]
    return np.quantile(values, (0.025, 0.975), axis=0).T.tolist()


def bootstrap_accuracy_of_pairs(
    correct: np.ndarray,
    same: np.ndarray,
    classes: np.ndarray,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> list[float] | None:
    """Computes the 95 % interval of an accuracy; see `bootstrap_classes`.

    Same and different pairs keep their shares of all pairs in each resample.

    Args:
        correct: `[num_pairs]`, 1 = classified correctly, 0 = not.
        same: `[num_pairs]`, 1 = same, 0 = different; both occur.
        classes: int `[2, num_pairs]`, the classes of a pair's two images.
        num_resamples, seed: see `bootstrap_classes`.

    Returns:
        The lower and upper end, within 0..1; None with fewer than
        `MIN_CLASSES` classes.
    """
    if len(np.unique(classes)) < MIN_CLASSES:
        return None
    kinds = [np.flatnonzero(same), np.flatnonzero(np.logical_not(same))]
    accuracies = []
    for weights in _weigh_resamples(classes, num_resamples, seed):
        if all(weights[kind].any() for kind in kinds):
            accuracies.append(
                sum(
                    len(kind) * np.average(correct[kind], weights=weights[kind])
                    for kind in kinds
                )
                / len(correct)
            )
    return np.quantile(accuracies, (0.025, 0.975)).tolist()


def _weigh_resamples(classes, num_resamples, seed):
    """Yields the weight of each pair, int, for each resample of classes."""
    known, classes = np.unique(classes, return_inverse=True)
    first, second = classes.reshape(2, -1)
    # A pair within a class counts only by its first image: the second one gets
    # an extra class that is drawn once.
    second = np.where(first == second, len(known), second)
    rng = np.random.default_rng(seed)
    for _ in range(num_resamples):
        drawn = rng.integers(len(known), size=len(known))
        counts = np.bincount(np.r_[drawn, len(known)])
        yield counts[first] * counts[second]
