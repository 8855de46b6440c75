"""Finishes a training: thresholds of the best model, and figures."""

import keras
from matplotlib.figure import Figure

from koch_siamese.evaluation.calibration import calibrate
from koch_siamese.evaluation.metrics import compute_roc
from koch_siamese.evaluation.scoring import EmbeddedDrawings
from koch_siamese.models.loading import load_model
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import get_filters, set_thresholds
from koch_siamese.reporting import charts, figures
from koch_siamese.runs.directory import Run
from koch_siamese.training.data import Validation


def finalize(
    run: Run,
    validation: Validation,
    *,
    ways: int,
    seed: int,
    closed_set: bool = False,
    fingerprint: str | None = None,
) -> keras.Model:
    """Fits and stores the thresholds of a run's best model; draws its figures.

    Args:
        run: has the model; results and figures are written to it.
        validation: that of the training.
        ways: largest number of candidates in trials without the query's
            character.
        seed: random seed of pairs and trials.
        closed_set: whether other drawings of these characters were used for
            training.
        fingerprint: of the folder that was trained on, see
            `DataSource.compute_fingerprint`.

    Returns:
        The stored model.
    """
    model = load_model(run.model)
    characters = validation.characters
    drawings = EmbeddedDrawings(SiameseScorer(model), characters.images)
    calibration = calibrate(drawings, characters, ways=ways, seed=seed)
    set_thresholds(model, calibration.thresholds)
    run.save_model(model)
    pairs, scores = calibration.pairs, calibration.scores
    same = calibration.report["same"]
    pictures = {
        "scores": charts.draw_score_histogram(
            scores, pairs.same, calibration.thresholds.same
        ),
        "roc": charts.draw_roc(
            *compute_roc(scores, pairs.same),
            at_threshold=(same["false_accepts"], 1 - same["false_rejects"]),
        ),
        "worst_pairs": figures.draw_worst_pairs(
            characters.images, pairs, scores
        ),
        **draw_figures(model, drawings, validation),
    }
    for name, figure in pictures.items():
        figures.save_figure(
            figure, run.figures / f"{name}.png", run.tensorboard
        )
    run.write_result(
        "thresholds",
        calibration.report
        | {"seed": seed, "model": str(run.model), "closed_set": closed_set}
        | ({"data_fingerprint": fingerprint} if fingerprint else {}),
    )
    return model


def draw_figures(
    model: keras.Model,
    drawings: EmbeddedDrawings,
    validation: Validation,
) -> dict[str, Figure]:
    """Draws trials, the most frequent confusions, and the first filters."""
    characters, trials = validation.characters, validation.trials
    scores, images = drawings.score_trials(trials), characters.images
    pictures = {
        "trials": figures.draw_trials(images, trials, scores),
        "hardest_trials": figures.draw_hardest_trials(images, trials, scores),
        "confusions": figures.draw_confusions(
            images, characters.character, trials, scores
        ),
    }
    filters = get_filters(model)
    if filters is not None:
        pictures["filters"] = figures.draw_filters(filters)
    return pictures
