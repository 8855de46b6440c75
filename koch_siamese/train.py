r"""Trains a siamese network and evaluates its best epoch.

    python -m koch_siamese.train
    python -m koch_siamese.train --flagfile=experiments/omniglot_fast.flags

Without flags it trains the quickstart (experiments/quickstart.flags). The same
command resumes a training that was interrupted.
"""

import sys

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import check_folder
from koch_siamese.errors import InputError
from koch_siamese.runs.flagfiles import define_flags, find_flagfiles, read_flags
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.settings import (
    find_without_effect,
    freezes_random_weights,
)

WORKDIR = define_path("workdir", "runs/quickstart", "The directory of the run.")

define_flags()


def main():
    """Trains and evaluates with the flags."""
    if not WORKDIR.value:
        raise InputError(
            "--workdir is empty: expected the directory of the run."
        )
    settings = read_flags()
    if freezes_random_weights(settings):
        cli.note(
            f"--trainable_from={settings.trainable_from} freezes layers of the "
            "backbone at random weights, so that it learns little: give "
            "--backbone_weights=imagenet or a file."
        )
    for given, other in find_without_effect(settings):
        cli.note(f"{given} has no effect with {other}.")
    check_folder(settings.dataset, cli.DATA_DIR.value)
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
        print("This worker has finished; the first worker evaluates the model.")
        return
    if results:
        print(format_results(results))
    print(format_thresholds(Run(WORKDIR.value).read_thresholds()))
    print(f"The model, results and figures are in {WORKDIR.value}")


if __name__ == "__main__":
    cli.run(main, "interrupted; run the same command again to resume.")
