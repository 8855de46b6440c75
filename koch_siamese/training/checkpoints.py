"""Checkpoints: validates and stores a training after each epoch."""

import contextlib
import json
import math
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from koch_siamese.data.characters import are_same_images
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import (
    DivergedError,
    InputError,
    ScoreError,
    shorten,
    warn,
)
from koch_siamese.models import views
from koch_siamese.models.layers import list_layers
from koch_siamese.runs.directory import Run, find_best_epoch
from koch_siamese.runs.results import read_json, replace_text, replacing
from koch_siamese.runs.settings import Settings, format_flag
from koch_siamese.training import builders
from koch_siamese.training.data import Validation

NUM_CHECKPOINTS = 2  # kept for a run
TRAINER, BEST = "trainer.keras", "best.keras"  # files of a checkpoint


def save_checkpoint(
    run: Run,
    state: dict,
    save_model: Callable,
    save_best: Callable | None = None,
):
    """Writes a checkpoint into a folder, completely or not at all.

    The previous one is kept, with its best model, in case this one gets
    damaged.

    Args:
        run: where to write.
        state: values that JSON can hold; `epoch` is the epochs trained so far.
        save_model: called with the path of the `.keras` file to write.
        save_best: likewise, for the model of the best epoch if it is this one;
            it becomes the run's model together with the checkpoint.
    """
    folder = run.checkpoints / f"epoch_{state['epoch']:04d}"
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_model(partial / TRAINER)
    if save_best:
        save_best(partial / BEST)
        for previous in run.list_checkpoints()[-1:]:
            with (
                contextlib.suppress(FileNotFoundError),  # the user removed it
                replacing(previous / BEST) as kept,
            ):
                shutil.copyfile(run.model, kept)
    (partial / "state.json").write_text(json.dumps(state))
    partial.replace(folder)
    _move_best(run, folder)
    for older in run.list_checkpoints()[:-NUM_CHECKPOINTS]:
        shutil.rmtree(older)


def _move_best(run, folder):
    """Makes the best model of a checkpoint the run's, unless it is already."""
    if (folder / BEST).exists():
        (folder / BEST).replace(run.model)


def load_checkpoint(run: Run) -> tuple[Path, dict] | None:
    """Finds the newest checkpoint that is not damaged; deletes newer ones.

    The run's model is then that of the best epoch until this checkpoint.

    Returns:
        The path of its `.keras` file and its state; None if there are no
        checkpoints.

    Raises:
        InputError: all checkpoints are damaged, or one cannot be read now.
    """
    folders = run.list_checkpoints()
    for folder in reversed(folders):
        try:
            state = _read_state(folder)
        except Exception as error:  # zipfile raises many kinds
            if _may_be_temporary(error):
                raise InputError(
                    f"{folder} cannot be read: {shorten(error)}. Make it "
                    "readable, and run the command again."
                ) from error
            print(f"{folder} is damaged ({error}): not used.")
        else:
            _move_best(run, folder)
            for damaged in folders[folders.index(folder) + 1 :]:
                shutil.rmtree(damaged)
            return folder / TRAINER, state
    if folders:
        raise InputError(
            f"All checkpoints of {run.path} are damaged: delete that "
            "directory, or give another --workdir."
        )
    return None


def _may_be_temporary(error):
    """Whether an error, such as missing permission, may be temporary."""
    is_damage = isinstance(error, FileNotFoundError)
    return isinstance(error, OSError | MemoryError) and not is_damage


def _read_state(folder):
    """Reads the state of a checkpoint, and checks its model file."""
    state = json.loads((folder / "state.json").read_text())
    with zipfile.ZipFile(folder / TRAINER) as model:
        broken = model.testzip()
    if broken:
        raise ValueError(f"{broken} of {TRAINER} has another checksum")
    return state


def load_state(
    settings: Settings, run: Run, source: DataSource
) -> tuple[Path | None, dict]:
    """Loads the state to resume from.

    Returns:
        The path of the newest checkpoint's `.keras` file, if there is one; and
        the state: `epoch`, the epochs trained so far; `best_epoch` and
        `best_accuracy`; `history`.

    Raises:
        InputError: the run's folder of images has changed since; or the run has
            not finished, and its checkpoints were deleted.
    """
    path, state = load_checkpoint(run) or (None, _read_history(run))
    is_alone = path is None and run.model.exists()
    if is_alone and not is_finished(settings, state):
        raise InputError(
            f"--workdir={run.path} has a trained model but no checkpoints, "
            "without which its training cannot be resumed: give another "
            "--workdir."
        )
    if settings.dataset == "folder":
        known = state.get("images")
        if is_alone:
            known = run.read_fingerprint()
        if is_alone and known is None:
            warn(
                f"{run.path} has no checkpoints, so it is unknown whether the "
                f"images in {source.data_dir} are those that it was trained on."
            )
        found = source.compute_fingerprint()
        # A different split would test a model on its training images.
        if not are_same_images([known or "", found]):
            raise InputError(
                f"The images in --data_dir={source.data_dir} are not those "
                f"that --workdir={run.path} was trained on: restore them, or "
                "give another --workdir."
            )
        state["images"] = found  # in place of that of an earlier version
    return path, state


def _read_history(run):
    """Reads the state of a run without checkpoints from its history."""
    history = {"loss": [], "accuracy": [], "seconds": []}
    if run.model.exists() and run.history.exists():
        history = read_json(run.history)
    return {
        "epoch": len(history["accuracy"]),
        "best_epoch": find_best_epoch(history),
        "best_accuracy": max(history["accuracy"], default=-1.0),
        "history": history,
    }


def is_finished(settings: Settings, state: dict) -> bool:
    """Whether epochs, patience or minutes have run out."""
    stale = state["epoch"] - state["best_epoch"]
    minutes = sum(state["history"]["seconds"]) / 60
    return (
        state["epoch"] >= settings.epochs
        or stale >= settings.patience
        or 0 < settings.max_minutes <= minutes
    )


class CheckpointCallback(keras.callbacks.Callback):
    """Validates after each epoch, and stores the best model and a checkpoint.

    A checkpoint has weights, optimizer, best accuracy, patience and history.

    Args:
        run: where to write.
        state: after the last epoch; changed in place.
        settings: of the training.
        siamese: the model to validate, from `builders.build_evaluation_model`.
        validation: what to validate on.
    """

    def __init__(
        self,
        run: Run,
        state: dict,
        settings: Settings,
        siamese: keras.Model,
        validation: Validation,
    ):
        """Makes the callback, and the final model to store."""
        super().__init__()
        self._run, self._state, self._settings = run, state, settings
        self._siamese, self._validation = siamese, validation
        self._final = builders.build_final_model(settings, siamese)

    def on_epoch_begin(self, epoch, logs=None):
        """Starts to time the epoch; makes its Dropout repeatable."""
        _reseed(self.model, self._settings.seed, epoch)
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Validates and stores; stops the training when it is finished.

        Raises:
            DivergedError: the loss, or a score, is not finite.
            InputError: the epoch cannot be stored.
        """
        if not math.isfinite(logs["loss"]):
            raise self._diverged_error(f"The loss became {logs['loss']}", epoch)
        logs["one_shot_accuracy"] = self._validate(epoch)
        is_best = self._update_state(epoch, logs)
        try:
            self._store(is_best)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"Epoch {epoch + 1} could not be stored in {self._run.path}: "
                f"{error}. Make room for it; the same command then resumes "
                f"after epoch {epoch}."
            ) from error
        if is_finished(self._settings, self._state):
            self.model.stop_training = True

    def _validate(self, epoch):
        """Computes the current one-shot accuracy of the final model."""
        siamese = self._siamese
        builders.update_evaluation_model(self._settings, self.model, siamese)
        if self._final is not siamese:
            views.update_head(self._final, siamese)
        has_features = self._validation.features is not None
        try:
            return self._validation.measure(
                self.model if has_features else self._final
            )
        except ScoreError as error:  # from the epoch's last update
            what = "Scores became infinite or NaN"
            raise self._diverged_error(what, epoch) from error

    def _update_state(self, epoch, logs):
        """Adds the epoch; returns whether it is the best one so far."""
        state, accuracy = self._state, logs["one_shot_accuracy"]
        state["epoch"] = epoch + 1
        is_best = accuracy > state["best_accuracy"]
        if is_best:
            state["best_accuracy"], state["best_epoch"] = accuracy, epoch + 1
        history = state["history"]
        history["loss"].append(logs["loss"])
        history["accuracy"].append(accuracy)
        history["seconds"].append(time.perf_counter() - self._start)
        return is_best

    def _store(self, is_best):
        """Writes an epoch's files, the checkpoint last: it completes them."""
        run, state = self._run, self._state
        replace_text(run.history, json.dumps(state["history"], indent=2) + "\n")
        save_checkpoint(
            run,
            state,
            self.model.save,
            self._final.save if is_best else None,
        )

    def _diverged_error(self, what, epoch):
        is_layerwise = self._settings.optimizer == "layerwise_sgd"
        name = "layer_learning_rates" if is_layerwise else "learning_rate"
        rates = format_flag(self._settings, name)
        return DivergedError(
            f"{what} in epoch {epoch + 1}: try lower rates than {rates} in a "
            "new --workdir."
        )


def _reseed(model, seed, epoch):
    """Seeds layers such as Dropout by the epoch, so that a run can be resumed.

    Keras does not save the states of their random generators.
    """
    generators = [
        layer.seed_generator
        for layer in list_layers(model)
        if getattr(layer, "seed_generator", None)
    ]
    for index, generator in enumerate(generators):
        words = np.random.SeedSequence([seed, epoch, index]).generate_state(2)
        generator.state.assign(words)
