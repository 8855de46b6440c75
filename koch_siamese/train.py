r"""Trains a siamese network and evaluates its best epoch.

    python -m koch_siamese.train
    python -m koch_siamese.train --flagfile=experiments/omniglot_fast.flags

Without any flag it is the quickstart, experiments/quickstart.flags. A training
that was interrupted goes on when the same command is given again.
"""

import sys

from absl import flags

from koch_siamese import cli
from koch_siamese.errors import InputError

WORKDIR = flags.DEFINE_string(
    "workdir", "runs/quickstart", "The run's directory."
)

cli.define_settings_flags()


def _flagfiles():
    """The flagfiles of the command line, for the result files."""
    found = []
    for place, argument in enumerate(sys.argv):
        name, _, value = argument.partition("=")
        if name in ("--flagfile", "-flagfile"):
            found.append(value or sys.argv[place + 1])
    return found


def main():
    """Trains and evaluates by the flags."""
    if not WORKDIR.value:
        raise InputError("--workdir is empty: expected the run's directory.")
    settings = cli.read_settings()
    cli.import_tensorflow()
    from koch_siamese.evaluation.protocols import format_results
    from koch_siamese.runs.directory import Run
    from koch_siamese.training.finalize import format_thresholds
    from koch_siamese.training.loop import train_and_evaluate

    results = train_and_evaluate(
        settings,
        WORKDIR.value,
        data_dir=cli.DATA_DIR.value,
        manual_dir=cli.MANUAL_DIR.value,
        flagfile=",".join(_flagfiles()) or None,
    )
    if results is None:
        print("This worker is done; the first one evaluates.")
        return
    if results:
        print(format_results(results))
    print(format_thresholds(Run(WORKDIR.value).read_thresholds()))
    print(f"Model, results and figures are in {WORKDIR.value}")


if __name__ == "__main__":
    cli.run(main, "interrupted; give the same command again, and it goes on.")
