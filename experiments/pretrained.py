r"""Makes the models of the package from a training of `best.flags`.

    python -m experiments.pretrained --model=runs/best_seed0 --data_dir=D \
        --output=DIR

`pretrained_large` is the model of the training. `pretrained` averages three of
its nine views, which takes little more than a third of the time for many
drawings. The three are those that name most queries correctly, on trials of the
validation alphabets with ten candidates and 5 % false accepts; its thresholds
are then fitted on the same alphabets. The weights of both are stored in half
precision.
"""

import itertools
import json

import numpy as np

from experiments.smaller_models import (
    keep_views,
    round_weights,
    save_in_half_precision,
)
from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.evaluation import calibration
from koch_siamese.evaluation.scoring import EmbeddedDrawings
from koch_siamese.models import siamese, views
from koch_siamese.models.loading import load_model
from koch_siamese.models.packaged import PRETRAINED, PRETRAINED_LARGE
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.runs.path_flags import define_path

MODEL = define_path(
    "model", PRETRAINED_LARGE, "The directory of the training, or its model."
)
OUTPUT = define_path("output", None, "A new folder for both models.")
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
    """Stores the model, and the one with fewer views and its thresholds."""
    output = cli.require_new_folder(OUTPUT.value)
    import_tensorflow()
    large = load_model(MODEL.value)
    siamese.set_dataset(large, "omniglot")  # old trainings do not store it
    characters = load_characters(
        "omniglot", "validation", data_dir=cli.DATA_DIR.value
    )
    small = keep_views(large, choose_views(large, characters))
    for model in (small, large):
        round_weights(model)
    fitted = calibration.calibrate(
        _embed(small, characters), characters, ways=MAX_WAYS, seed=SEED
    )
    siamese.set_thresholds(small, fitted.thresholds)
    print(json.dumps(fitted.report, indent=2))
    output.mkdir(parents=True, exist_ok=True)
    for name, model in ((PRETRAINED, small), (PRETRAINED_LARGE, large)):
        path = output / f"{name}.keras"
        save_in_half_precision(model, path)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    cli.run(main)
