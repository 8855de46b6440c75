"""What a trained model can and cannot do on validation characters.

The thresholds that are stored with it, and the pictures of a run.
"""

import keras
import numpy as np
from matplotlib.figure import Figure

from koch_siamese.data.characters import Characters
from koch_siamese.evaluation.calibration import (
    Thresholds,
    compute_absence_thresholds,
    compute_probability,
    compute_same_threshold,
    compute_slope,
)
from koch_siamese.evaluation.metrics import compute_roc
from koch_siamese.evaluation.protocols import make_trials, score_random_pairs
from koch_siamese.evaluation.scoring import Scorer, SiameseScorer, score_trials
from koch_siamese.models import loading
from koch_siamese.models.siamese import get_filters, set_thresholds
from koch_siamese.reporting import charts, figures
from koch_siamese.runs.directory import Run
from koch_siamese.sampling.pairs import CharacterIndex
from koch_siamese.sampling.trials import Trials

NUM_PAIRS = 10_000  # section 4.2
NUM_ABSENT_TRIALS = 5_000
FALSE_ACCEPTS = 0.05
MIN_WAYS = 20  # though alphabets to validate on may have fewer characters
FEW_CHARACTERS = 20


def inspect(
    run: Run,
    validation: Characters,
    trials: Trials,
    *,
    ways: int,
    seed: int,
):
    """Stores thresholds with a run's best model, and draws its pictures.

    Args:
        run: where the model is, and where results and pictures go.
        validation: characters that took no part in training.
        trials: one-shot trials over them, to be shown.
        ways: candidates at most when the query's character is absent.
        seed: decides pairs and trials.
    """
    model = loading.load_model(run.model)
    scorer = SiameseScorer(model)
    scores, same = score_random_pairs(scorer, validation, NUM_PAIRS, seed)
    absent, present = _score_absent_and_present(scorer, validation, ways, seed)
    threshold = compute_same_threshold(scores, same)
    thresholds = Thresholds(
        threshold,
        compute_absence_thresholds(absent, FALSE_ACCEPTS, MIN_WAYS),
        compute_slope(scores, same, threshold),
    )
    set_thresholds(model, thresholds)
    run.save_model(model.save)
    pictures = {
        "scores": charts.draw_score_histogram(scores, same, thresholds.same),
        "roc": charts.draw_roc(*compute_roc(scores, same)),
        **draw_pictures(model, validation, trials),
    }
    for name, figure in pictures.items():
        figures.save_figure(
            figure, run.figures / f"{name}.png", run.tensorboard
        )
    run.write_result(
        "thresholds",
        {
            "same": measure_same(scores, same, thresholds),
            "none_of_these": measure_absence(absent, present, thresholds),
            "num_characters": validation.num_characters,
            "seed": seed,
            "model": str(run.model),
        },
    )


def draw_pictures(
    model: keras.Model, validation: Characters, trials: Trials
) -> dict[str, Figure]:
    """Draws trials, what is taken for what, and the first filters."""
    scores = score_trials(SiameseScorer(model), validation.images, trials)
    pictures = {
        "trials": figures.draw_trials(validation.images, trials, scores),
        "hardest_trials": figures.draw_hardest_trials(
            validation.images, trials, scores
        ),
        "confusions": figures.draw_confusions(
            validation.images, validation.character, trials, scores
        ),
    }
    filters = get_filters(model)
    if filters is not None:
        pictures["filters"] = figures.draw_filters(filters)
    return pictures


def _score_absent_and_present(scorer: Scorer, characters, ways, seed):
    """Scores of trials without the query's character, and with it.

    Returns:
        absent: `[num_trials, ways]`, other characters of the alphabet.
        present: likewise; the right one comes first, in place of the last.
    """
    index = CharacterIndex.from_labels(
        characters.character, characters.alphabet
    )
    trials = make_trials(
        "within_alphabet",
        characters,
        num_trials=NUM_ABSENT_TRIALS,
        ways=min(ways + 1, index.num_characters.max()),
        seed=seed,
    )
    scores = score_trials(scorer, characters.images, trials)
    answer = np.arange(trials.ways) == trials.answer[:, np.newaxis]
    absent = scores[~answer].reshape(len(trials), -1)
    return absent, np.c_[scores[answer], absent[:, :-1]]


def measure_same(scores, same, thresholds: Thresholds) -> dict[str, float]:
    """How the `same` threshold does on pairs, shares within 0..1."""
    accepted, same = scores >= thresholds.same, same.astype(bool)
    return {
        "logit": thresholds.same,
        "slope": thresholds.slope,
        "calibration_error": _measure_calibration(scores, same, thresholds),
        "accuracy": float((accepted == same).mean()),
        "false_accepts": float(accepted[~same].mean()),
        "false_rejects": float(1 - accepted[same].mean()),
        "num_pairs": len(scores),
    }


def _measure_calibration(scores, same, thresholds) -> float:
    """How far probabilities are from shares, on average over ten bins."""
    probability = compute_probability(scores, thresholds)
    bins = np.minimum((10 * probability).astype(int), 9)
    gaps = np.bincount(bins, probability - same, minlength=10)
    return float(np.abs(gaps).sum() / len(scores))


def measure_absence(
    absent, present, thresholds: Thresholds
) -> dict[str, float]:
    """How `none_of_these` does on trials, shares within 0..1."""
    ways = absent.shape[1]
    threshold = thresholds.for_ways(ways)
    best = present.max(axis=1)
    right = (present[:, 0] == best) & (best >= threshold)
    return {
        "ways": ways,
        "logit": threshold,
        "false_accepts": float((absent.max(axis=1) >= threshold).mean()),
        "right_where_present": float(right.mean()),
        "num_trials": len(absent),
    }


def format_thresholds(report: dict) -> str:
    """Lines on the thresholds of a run, from its result file."""
    same, absent = report["same"], report["none_of_these"]
    num_characters = report.get("num_characters", FEW_CHARACTERS)
    warning = (
        f"\nBoth are of {num_characters} validation characters alone: too few "
        "to rely on, above all on none of these."
    )
    return (
        f"same: from a score of {same['logit']:.2f}; "
        f"{same['accuracy']:.1%} of {same['num_pairs']} validation pairs are "
        "told rightly\n"
        f"none of these: below {absent['logit']:.2f} of {absent['ways']} "
        f"candidates; {absent['false_accepts']:.1%} of absent characters are "
        f"taken for one, {absent['right_where_present']:.1%} of present ones "
        "are named rightly"
        + (warning if num_characters < FEW_CHARACTERS else "")
    )
