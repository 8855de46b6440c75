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
from koch_siamese.runs.flagfiles import define_flags, find_flagfiles
from koch_siamese.runs.path_flags import define_path

WORKDIR = define_path("workdir", "runs/quickstart", "The directory of the run.")

define_flags()


def main():
    """Trains and evaluates with the flags."""
    settings = cli.read_training_flags()
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
        may_prepare=cli.may_prepare(),
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
