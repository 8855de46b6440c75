"""Training: the one callable behind the command line, notebooks and tests."""

import json
import math
import os
import sys
import time

import keras
import numpy as np

from koch_siamese import figures, networks, recipes
from koch_siamese.characters import Characters
from koch_siamese.datasets import DataSource
from koch_siamese.errors import InputError
from koch_siamese.inspection import inspect
from koch_siamese.protocols import evaluate_with_baseline, make_trials
from koch_siamese.runs import RunDirectory, write_text
from koch_siamese.scoring import SiameseScorer, evaluate_trials
from koch_siamese.settings import Settings

# Section 4.2 validates on four drawers; embedding all 20 after each epoch
# would cost a CPU more than it tells.
NUM_VALIDATION_DRAWERS = 4


def train_and_evaluate(
    settings: Settings,
    workdir: str | os.PathLike,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    flagfile: str | None = None,
) -> list[dict]:
    """Trains a siamese network, keeps its best epoch and evaluates that.

    A training that was interrupted goes on from its last epoch; of one that is
    finished the results are returned.

    Args:
        settings: what to train.
        workdir: the run's directory.
        data_dir, manual_dir: see `datasets.DataSource`.
        flagfile: the name of the recipe, for the result files.

    Returns:
        A result for each of `settings.protocols`, see
        `protocols.evaluate_with_baseline`.

    Raises:
        InputError: settings, data and run directory do not fit together, or
            the loss is no longer a number.
    """
    run = RunDirectory(workdir)
    run.claim(settings)
    source = DataSource(
        settings.dataset,
        settings.background,
        data_dir,
        manual_dir,
        settings.crop,
        split_seed=settings.seed,
    )
    seconds = _train(settings, run, source)
    return [
        _evaluate(settings, run, protocol, source, seconds, flagfile)
        for protocol in settings.protocols
    ]


def _evaluate(settings, run, protocol, source, seconds, flagfile):
    """The result of one protocol, measured unless that has been done."""
    path = run.results / f"{protocol}.json"
    if not (path.exists() and _answers(path, settings)):
        model = networks.load_model(run.model)
        result = evaluate_with_baseline(
            SiameseScorer(model),
            protocol,
            source,
            num_trials=settings.num_trials,
            ways=settings.ways,
            shots=settings.shots,
            seed=settings.seed,
        )
        result |= {
            "model": str(run.model),
            "flagfile": flagfile,
            "training_seconds": seconds,
        }
        run.write_result(protocol, result)
    return json.loads(path.read_text())


def _answers(path, settings):
    """Whether a result is of these settings, not of a later evaluation."""
    result = json.loads(path.read_text())
    if result["protocol"] == "lake":
        return True
    asked = {"dataset": settings.dataset, "split": "test"}
    asked |= {"num_trials": settings.num_trials, "seed": settings.seed}
    if result["protocol"] != "verification":
        asked |= {"ways": settings.ways, "shots": settings.shots}
    return all(result[name] == value for name, value in asked.items())


def _train(settings, run, source) -> float:
    """Trains up to the end, from wherever it stands; returns seconds."""
    checkpoint = run.load_checkpoint()
    state = checkpoint[1] if checkpoint else _new_state()
    # The thresholds are the last file that is written here.
    if _is_finished(settings, state) and run.thresholds.exists():
        return sum(state["history"]["seconds"])

    keras.utils.set_random_seed(settings.seed)
    training, validation = _load_characters(settings, source)
    _check_protocols(settings, source)
    batches = recipes.make_batches(
        settings, training, state["epoch"] * settings.steps_per_epoch
    )
    siamese, trainer = _build_or_load(settings, checkpoint)
    callback = RunState(run, state, settings, siamese, validation)
    if not _is_finished(settings, state):
        figures.save_figure(
            figures.draw_pairs(*recipes.example_pairs(*next(iter(batches)))),
            run.figures / "pairs.png",
            run.tensorboard,
        )
        trainer.fit(
            batches,
            epochs=settings.epochs,
            initial_epoch=state["epoch"],
            shuffle=False,  # the batches are; Keras would warn
            steps_per_epoch=settings.steps_per_epoch,
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[
                callback,
                keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
                keras.callbacks.TerminateOnNaN(),
            ],
        )
    figures.save_figure(
        figures.draw_learning_curves(state["history"]),
        run.figures / "learning_curves.png",
    )
    inspect(
        run,
        callback.validation,
        callback.trials,
        ways=settings.ways,
        seed=settings.seed,
    )
    return sum(state["history"]["seconds"])


def _load_characters(settings, source):
    """The characters to train on, ready for batches, and to validate on."""
    training = source.load("training").resized(settings.image_size)
    if settings.quarter_turns:
        training = training.with_quarter_turns()
    if settings.mirror_images:
        training = training.with_mirror_images()
    return training, source.load("validation")


def _check_protocols(settings, source):
    """Tells before the training what the evaluation would fail by."""
    for protocol in {"within_alphabet", "cross_alphabet"}.intersection(
        settings.protocols
    ):
        make_trials(
            protocol,
            source.load("test"),
            num_trials=1,
            ways=settings.ways,
            shots=settings.shots,
        )


def _build_or_load(settings, checkpoint):
    """The siamese model and its trainer, new or as of the last epoch."""
    if not checkpoint:
        siamese = recipes.build_model(settings)
        return siamese, recipes.build_trainer(settings, siamese)
    path, state = checkpoint
    print(f"Going on after epoch {state['epoch']} of {settings.epochs}.")
    trainer = keras.models.load_model(path)
    siamese = networks.build_siamese(
        networks.get_embedding(trainer), networks.get_head(trainer)
    )
    return siamese, trainer


def _new_state():
    return {
        "epoch": 0,  # epochs trained so far
        "best_epoch": 0,
        "best_accuracy": -1.0,
        "history": {"loss": [], "accuracy": [], "seconds": []},
    }


def _is_finished(settings, state):
    stale = state["epoch"] - state["best_epoch"]
    minutes = sum(state["history"]["seconds"]) / 60
    return (
        state["epoch"] >= settings.epochs
        or stale >= settings.patience
        or 0 < settings.max_minutes <= minutes
    )


class RunState(keras.callbacks.Callback):
    """Validates each epoch, keeps the best, and stores what a restart needs.

    Weights, optimizer, best accuracy, patience and history are one state,
    written after each epoch.

    Args:
        run: where to write.
        state: as of the last epoch; changed in place.
        settings: of the training.
        siamese: the model whose weights are trained.
        validation: characters for one-shot trials within alphabets.
    """

    def __init__(
        self,
        run: RunDirectory,
        state: dict,
        settings: Settings,
        siamese: keras.Model,
        validation: Characters,
    ):
        """Draws the validation trials, the same for every epoch."""
        super().__init__()
        self._run, self._state, self._settings = run, state, settings
        self._siamese = siamese
        drawers = np.unique(validation.drawer)[:NUM_VALIDATION_DRAWERS]
        self.validation = validation.of_drawers(drawers)
        self.trials = make_trials(
            "within_alphabet",
            self.validation,
            num_trials=settings.validation_trials,
            ways=settings.ways,
            seed=settings.seed,
        )

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Validates, keeps, stores; stops when patience is at its end.

        Raises:
            InputError: the loss is not finite.
        """
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"The loss became {logs['loss']} in epoch {epoch + 1}: try a "
                f"lower --learning_rate than {self._settings.learning_rate} in "
                "a new --workdir."
            )
        result = evaluate_trials(
            SiameseScorer(self._siamese), self.validation.images, self.trials
        )
        logs["one_shot_accuracy"] = result["accuracy"]
        state = self._state
        state["epoch"] = epoch + 1
        if result["accuracy"] > state["best_accuracy"]:
            state["best_accuracy"] = result["accuracy"]
            state["best_epoch"] = epoch + 1
            self._run.save_model(self._siamese.save)
        history = state["history"]
        history["loss"].append(logs["loss"])
        history["accuracy"].append(result["accuracy"])
        history["seconds"].append(time.perf_counter() - self._start)
        self._run.save_checkpoint(epoch + 1, state, self.model.save)
        write_text(self._run.history, json.dumps(history, indent=2) + "\n")
        if _is_finished(self._settings, state):
            self.model.stop_training = True
