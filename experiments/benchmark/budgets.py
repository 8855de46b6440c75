"""Time to accuracy: trainings with a wall-clock budget fixed beforehand."""

import json
import subprocess
import sys
from collections.abc import Sequence

from experiments.benchmark.measuring import ROOT, make_environment
from experiments.benchmark.options import Options
from koch_siamese.errors import InputError
from koch_siamese.runs.directory import Run
from koch_siamese.runs.provenance import describe_origin

RECIPE = ROOT / "experiments" / "compact.flags"

# By minutes: as many steps as fill nine tenths of them on 2 CPU cores, lest the
# last epoch ends after them.
BUDGETS = {
    2: {"steps_per_epoch": 500, "epochs": 3},
    8: {"epochs": 7},
    20: {"epochs": 17},
}

QUICK_FLAGS = (
    "--dataset=glyphs/tiny",
    "--image_size=16",
    "--filters=8,8",
    "--group_characters=8",
    "--steps_per_epoch=5",
    "--epochs=2",
    "--validation_trials=20",
    "--num_trials=20",
    "--protocols=within_alphabet",
    "--ways=5",
)


def measure_budgets(
    options: Options, seeds: Sequence[int], workdir: str, *, quick: bool
) -> dict[str, list[dict[str, float]]]:
    """Trains each budget with each seed, in turns; accuracies in %.

    Runs are kept in `workdir`, so that an interrupted measurement goes on.

    Returns:
        Of `ours` a round for each seed, with `accuracy_MINUTES` and the
        minutes that the training took.
    """
    if options.dataset != "omniglot" and not quick:
        raise InputError(
            "time_to_accuracy is of Omniglot's official trials: give "
            "--data_dir, a folder where Omniglot is prepared."
        )
    # Runs of another commit are not taken for this one's.
    commit = "quick" if quick else str(describe_origin()["commit"])
    rounds = []
    for seed in seeds:
        values = {}
        for minutes, settings in BUDGETS.items():
            run = Run(f"{workdir}/{commit}/{minutes}min_seed{seed}")
            flags = {"max_minutes": 0.05 if quick else minutes}
            flags |= {"seed": seed, "workdir": run.path}
            flags |= {} if quick else settings
            if options.data_dir:
                flags["data_dir"] = options.data_dir
            recipe = QUICK_FLAGS if quick else (f"--flagfile={RECIPE}",)
            _train(recipe, flags, options.threads)
            protocol = "within_alphabet" if quick else "lake"
            path = run.results / f"{protocol}.json"
            result = json.loads(path.read_text())
            values[f"accuracy_{minutes}"] = 100 * result["accuracy"]
            seconds = result["training_seconds"]
            values[f"minutes of the budget of {minutes}"] = seconds / 60
        rounds.append(values)
    return {"ours": rounds}


def _train(recipe, flags, threads):
    subprocess.run(
        [
            *(sys.executable, "-m", "koch_siamese.train"),
            *recipe,
            *(f"--{name}={value}" for name, value in flags.items()),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env=make_environment(threads),
    )
