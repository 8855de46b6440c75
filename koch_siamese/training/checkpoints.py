"""How far a training is: judged, kept and stored after each epoch."""

import json
import math
import time
from pathlib import Path

import keras

from koch_siamese.data.characters import Characters
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import DivergedError, InputError, NanScoreError
from koch_siamese.evaluation.scoring import SiameseScorer, evaluate_trials
from koch_siamese.models import views
from koch_siamese.runs.directory import Run
from koch_siamese.runs.results import write_text
from koch_siamese.runs.settings import Settings
from koch_siamese.sampling.trials import Trials
from koch_siamese.training import kept_models


def new_state() -> dict:
    """The state of a training that has not begun."""
    return {
        "epoch": 0,  # epochs trained so far
        "best_epoch": 0,
        "best_accuracy": -1.0,
        "history": {"loss": [], "accuracy": [], "seconds": []},
    }


def load_state(
    settings: Settings, run: Run, source: DataSource
) -> tuple[tuple[Path, dict] | None, dict]:
    """The newest checkpoint, if there is one, and the state to go on from.

    Raises:
        InputError: the run is on a folder of images that has changed since.
    """
    checkpoint = run.load_checkpoint()
    state = checkpoint[1] if checkpoint else new_state()
    if settings.dataset == "folder":
        found = source.load("all").compute_fingerprint()
        # What is split otherwise would be tested on what it was trained on.
        if state.setdefault("images", found) != found:
            raise InputError(
                f"The images in --data_dir={source.data_dir} are not those "
                f"that --workdir={run.path} has been trained on: put them back "
                "as they were, or give another --workdir."
            )
    return checkpoint, state


def is_finished(settings: Settings, state: dict) -> bool:
    """Whether epochs, patience or minutes are at their end."""
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
        siamese: of `kept_models.build_validated`.
        validation, trials: see `training.make_validation`.
    """

    def __init__(
        self,
        run: Run,
        state: dict,
        settings: Settings,
        siamese: keras.Model,
        validation: Characters,
        trials: Trials,
    ):
        """Keeps what each epoch's end needs."""
        super().__init__()
        self._run, self._state, self._settings = run, state, settings
        self._siamese = siamese
        self._kept = kept_models.build_kept(settings, siamese)
        self._validation, self._trials = validation, trials

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Validates, keeps, stores; stops when patience is at its end.

        Raises:
            DivergedError: the loss, or a score, is not finite.
            InputError: the epoch cannot be stored.
        """
        if not math.isfinite(logs["loss"]):
            raise self._diverged(f"The loss became {logs['loss']}", epoch)
        siamese = self._siamese
        kept_models.update_validated(self._settings, self.model, siamese)
        if self._kept is not siamese:
            views.update_head(self._kept, siamese)
        try:
            result = evaluate_trials(
                SiameseScorer(self._kept), self._validation.images, self._trials
            )
        except NanScoreError as error:  # of the epoch's last update
            raise self._diverged("Scores became NaN", epoch) from error
        logs["one_shot_accuracy"] = result["accuracy"]
        state = self._state
        state["epoch"] = epoch + 1
        is_best = result["accuracy"] > state["best_accuracy"]
        if is_best:
            state["best_accuracy"] = result["accuracy"]
            state["best_epoch"] = epoch + 1
        history = state["history"]
        history["loss"].append(logs["loss"])
        history["accuracy"].append(result["accuracy"])
        history["seconds"].append(time.perf_counter() - self._start)
        try:
            self._store(is_best)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"Epoch {epoch + 1} could not be stored in {self._run.path}: "
                f"{error}. Make room for it; the same command then goes on "
                f"after epoch {epoch}."
            ) from error
        if is_finished(self._settings, state):
            self.model.stop_training = True

    def _diverged(self, what, epoch):
        return DivergedError(
            f"{what} in epoch {epoch + 1}: try lower rates than "
            f"{_learning_rates(self._settings)} in a new --workdir."
        )

    def _store(self, is_best):
        """Writes all files of an epoch; the checkpoint last, as it counts."""
        run, state = self._run, self._state
        if is_best:
            run.save_model(self._kept.save)
        write_text(run.history, json.dumps(state["history"], indent=2) + "\n")
        run.save_checkpoint(state["epoch"], state, self.model.save)


def _learning_rates(settings):
    """The flag that says how fast the training learns, as given."""
    if settings.optimizer == "layerwise_sgd":
        rates = ",".join(map(str, settings.layer_learning_rates))
        return f"--layer_learning_rates={rates}"
    return f"--learning_rate={settings.learning_rate}"
