r"""Makes the model `pretrained` from `pretrained_large`.

    python -m experiments.pretrained --data_dir=D --output=FILE.keras

It averages three of the nine views, which takes little more than a third of the
time for many drawings. The three are those that name most queries correctly, on
trials of the validation alphabets with ten candidates and 5 % false accepts.
Its weights are stored in half precision. Its thresholds are then fitted on the
same alphabets.
"""

import itertools
import json
from pathlib import Path

import numpy as np
from absl import flags

from experiments.smaller_models import (
    keep_views,
    round_weights,
    save_in_half_precision,
)
from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.errors import InputError
from koch_siamese.evaluation import calibration
from koch_siamese.evaluation.scoring import EmbeddedDrawings
from koch_siamese.models import siamese, views
from koch_siamese.models.loading import load_model
from koch_siamese.models.packaged import PRETRAINED_LARGE
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.runs.path_flags import define_path

OUTPUT = define_path("output", None, "The file of the model.")
NUM_VIEWS = 3
WAYS = 10  # as experiments/practical.py
MAX_WAYS = 20  # of the thresholds, as in best.flags
SEED = 0


def choose_views(model, characters) -> tuple[int, ...]:
    """Chooses the views that together name most queries correctly."""
    _, trials = calibration.sample_calibration(characters, ways=WAYS, seed=SEED)
    scores = [
        _embed(keep_views(model, [view]), characters).score_trials(trials)
        for view in range(views.count_views(model))
    ]

    def measure(chosen):
        mean = np.mean([scores[view] for view in chosen], axis=0)
        absent, present = calibration.split_by_presence(mean, trials.answer)
        thresholds = calibration.compute_absence_thresholds(
            absent, calibration.FALSE_ACCEPTS
        )
        report = calibration.measure_absence(
            absent, present, Thresholds(0.0, thresholds)
        )
        return report["right_where_present"]

    possible = itertools.combinations(range(len(scores)), NUM_VIEWS)
    best, chosen = max((measure(chosen), chosen) for chosen in possible)
    print(
        f"Views {chosen}: {best:.1%} named correctly; all views: "
        f"{measure(range(len(scores))):.1%}"
    )
    return chosen


def _embed(model, characters):
    return EmbeddedDrawings(SiameseScorer(model), characters.images)


def main():
    """Chooses the views, fits the thresholds, and stores the model."""
    path = Path(OUTPUT.value)
    if path.suffix != ".keras" or not path.parent.is_dir():
        raise InputError(
            f"--output={path}: expected a file *.keras in an existing folder."
        )
    import_tensorflow()
    large = load_model(PRETRAINED_LARGE)
    characters = load_characters(
        "omniglot", "validation", data_dir=cli.DATA_DIR.value
    )
    model = keep_views(large, choose_views(large, characters))
    round_weights(model)
    fitted = calibration.calibrate(
        _embed(model, characters), characters, ways=MAX_WAYS, seed=SEED
    )
    siamese.set_thresholds(model, fitted.thresholds)
    save_in_half_precision(model, path)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    print(json.dumps(fitted.report, indent=2))


if __name__ == "__main__":
    flags.mark_flag_as_required("output")
    cli.run(main)
