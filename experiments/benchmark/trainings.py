"""Whole trainings: to a target accuracy, and within budgets of minutes."""

import dataclasses
import tempfile

import keras

from experiments.benchmark.options import Options
from koch_siamese import cli
from koch_siamese.data.sources import DataSource
from koch_siamese.runs.directory import Run
from koch_siamese.runs.results import provenance
from koch_siamese.runs.settings import Settings
from koch_siamese.training.loop import train, train_and_evaluate

QUICK = {"filters": (8, 8), "image_size": 16, "max_minutes": 0.1}

# By minutes: as many steps as fill nine tenths of them on 2 CPU cores, lest the
# last epoch ends after them.
BUDGETS = {
    2: {"steps_per_epoch": 500, "epochs": 3},
    8: {"epochs": 7},
    20: {"epochs": 17},
}


def learn(options: Options):
    """Seconds of training and validation to the target accuracy.

    Ours learns from groups; otherwise from pairs. Both have the same network,
    drawings in a step and rates.
    """
    characters, drawings = options.group
    settings = Settings(
        dataset=options.dataset,
        mirror_images=True,
        quarter_turns=True,
        sampling="groups" if options.side == "ours" else "pairs",
        group_characters=characters,
        group_drawings=drawings,
        batch_size=characters * drawings // 2,
        schedule="constant",
        steps_per_epoch=50,
        epochs=10_000,
        patience=10_000,
        max_minutes=30.0,
        seed=options.seed,
    )
    if options.quick:
        settings = dataclasses.replace(settings, **QUICK)
    source = DataSource(options.dataset, data_dir=options.data_dir)

    def stop_at_target(epoch, logs):
        if logs["one_shot_accuracy"] >= options.target:
            callback.model.stop_training = True

    callback = keras.callbacks.LambdaCallback(on_epoch_end=stop_at_target)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        run.claim(settings)
        state = train(settings, run, source, callbacks=[callback])
    values = {
        "learning": sum(state["history"]["seconds"]),
        "reached": float(state["best_accuracy"] >= options.target),
        "best validation accuracy": state["best_accuracy"],
    }
    yield values, []


def train_in_minutes(options: Options):
    """Accuracy in % after budgets of minutes that were fixed beforehand.

    Runs are kept in `workdir`, so that an interrupted measurement goes on.
    """
    recipe = "tests/tiny" if options.quick else "experiments/compact"
    recipe, _ = cli.read_flagfile(f"{recipe}.flags")
    # Runs of another commit are not taken for this one's.
    commit = "quick" if options.quick else provenance()["commit"]
    values = {}
    for minutes, steps in BUDGETS.items():
        settings = dataclasses.replace(
            recipe,
            seed=options.seed,
            max_minutes=minutes,
            **{} if options.quick else steps,
        )
        run = f"{options.workdir}/{commit}/{minutes}min_seed{options.seed}"
        (result,) = train_and_evaluate(settings, run, data_dir=options.data_dir)
        values[f"accuracy_{minutes}"] = 100 * result["accuracy"]
        seconds = result["training_seconds"]
        values[f"minutes of the budget of {minutes}"] = seconds / 60
    yield values, []
