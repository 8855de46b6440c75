r"""Searches the paper's ranges for the best hyperparameters (section 3.2).

    python -m koch_siamese.search --flagfile=experiments/mnist_35px.flags \
        --workdir=runs/search --num_runs=12 --max_minutes=2

Each run trains with the flags of `train`, except for what is searched: the
learning rate, momentum and L2 of each layer. The first run uses the flags as
given, moved into the ranges if they are outside. Runs are ranked by their best
one-shot validation accuracy; one that lags behind is stopped early. The same
command resumes an interrupted search, and several processes with the same
--storage search together. Needs the extra search.
"""

from pathlib import Path

from absl import flags

from koch_siamese import cli, extras
from koch_siamese.backend import import_tensorflow
from koch_siamese.runs.flagfiles import define_flags
from koch_siamese.runs.path_flags import define_path

WORKDIR = define_path(
    "workdir", "runs/search", "The directory of the search and its runs."
)
NUM_RUNS = flags.DEFINE_integer(
    "num_runs",
    20,
    "Total number of runs, those of earlier calls included.",
    lower_bound=1,
)
STORAGE = flags.DEFINE_string(
    "storage",
    None,
    "Address of an Optuna storage. Default: search.db in --workdir.",
)
MIN_EPOCHS = flags.DEFINE_integer(
    "min_epochs",
    1,
    "Epochs before a run may be stopped early; good runs may start slowly.",
    lower_bound=1,
)
SEARCH_NETWORK = flags.DEFINE_bool(
    "search_network",
    False,
    "Also search filters, kernel sizes and units.",
)
define_flags()


def main():
    """Searches, and prints the runs and where the best settings are."""
    settings = cli.read_training_flags()
    extras.require("optuna", "The search")
    import_tensorflow()
    from koch_siamese.backend import make_deterministic
    from koch_siamese.reporting.text import format_runs
    from koch_siamese.training.data import lower_ways, make_source
    from koch_siamese.tuning.space import require_searchable
    from koch_siamese.tuning.study import Search

    require_searchable(settings, SEARCH_NETWORK.value)
    if settings.deterministic:
        make_deterministic()
    workdir = Path(WORKDIR.value)
    source = make_source(
        settings,
        cli.DATA_DIR.value,
        cli.MANUAL_DIR.value,
        cli.may_prepare(),
    )
    if not flags.FLAGS["ways"].present:
        settings = lower_ways(settings, source)
    search = Search(
        settings,
        workdir,
        source,
        search_network=SEARCH_NETWORK.value,
        storage=STORAGE.value,
        min_epochs=MIN_EPOCHS.value,
    )
    search.run(NUM_RUNS.value)
    print(format_runs(search.describe_runs()))
    print(f"The settings of the best run are in {workdir / 'best.flags'}")


if __name__ == "__main__":
    cli.run(main, "interrupted; run the same command again to resume.")
