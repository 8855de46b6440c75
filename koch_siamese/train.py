r"""Trains a siamese network and evaluates its best epoch.

    python -m koch_siamese.train
    python -m koch_siamese.train --flagfile=experiments/omniglot_fast.flags

Without flags it is the quickstart, experiments/quickstart.flags. A training
that was interrupted resumes when the same command is given again.
"""

import sys

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.runs.flagfiles import define_flags, find_flagfiles, read_flags
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.settings import freezes_random_weights

WORKDIR = define_path("workdir", "runs/quickstart", "The run's directory.")

define_flags()


def main():
    """Trains and evaluates by the flags."""
    if not WORKDIR.value:
        raise InputError("--workdir is empty: expected the run's directory.")
    settings = read_flags()
    if freezes_random_weights(settings):
        cli.note(
            f"--trainable_from={settings.trainable_from} leaves layers of the "
            "backbone at random weights, with which it learns little: give "
            "--backbone_weights=imagenet or a file."
        )
    import_tensorflow()
    from koch_siamese.reporting.text import format_results, format_thresholds
    from koch_siamese.runs.directory import Run
    from koch_siamese.training.loop import train_and_evaluate

    results = train_and_evaluate(
        settings,
        WORKDIR.value,
        data_dir=cli.DATA_DIR.value,
        manual_dir=cli.MANUAL_DIR.value,
        flagfile=find_flagfiles(sys.argv),
        may_prepare=flags.FLAGS["dataset"].present > 0,
        may_lower_ways=not flags.FLAGS["ways"].present,
    )
    if results is None:
        print("This worker is done; the first one evaluates.")
        return
    if results:
        print(format_results(results))
    print(format_thresholds(Run(WORKDIR.value).read_thresholds()))
    print(f"Model, results and figures are in {WORKDIR.value}")


if __name__ == "__main__":
    cli.run(main, "interrupted; give the same command again to resume.")
