"""A run's directory: its files, and which training it belongs to."""

import contextlib
import os
import re
import shlex
import shutil
import tempfile
import typing
from collections.abc import Iterator
from pathlib import Path

import filelock

from koch_siamese.data.characters import needs_split
from koch_siamese.data.image_paths import find_images
from koch_siamese.errors import InputError
from koch_siamese.paths import expand_home
from koch_siamese.runs.flagfiles import (
    format_flags,
    parse_flags,
    read_flagfile,
)
from koch_siamese.runs.results import (
    read_json,
    read_text,
    replace_text,
    replacing,
    write_result,
)
from koch_siamese.runs.settings import (
    ONLY_EVALUATION,
    Settings,
    find_changed,
    format_flag,
    list_ineffective,
    list_stopping_settings,
)

if typing.TYPE_CHECKING:
    import keras

# What a result has of the origin of its training, which is that of the file
# with the thresholds.
TRAINING_ORIGIN = ("machine", "commit", "backend", "keras", "date")


class Run:
    """A training's directory, `--workdir`; see `koch_siamese.runs`.

    Attributes:
        path: the directory; a leading `~` is expanded.
        model: `model.keras`, the best epoch.
        flags: `train.flags`, the settings and the flagfile they are from.
        history: `history.json`, loss and accuracy of each epoch.
        results: folder of result files.
        thresholds: `results/thresholds.json`, written when a training ends.
        figures: folder of figures.
        tensorboard: folder of TensorBoard's files.
        checkpoints: folder of the states from which a training resumes.
    """

    def __init__(self, path: str | os.PathLike):
        """Names the files; creates none."""
        self.path = expand_home(path)
        self.model = self.path / "model.keras"
        self.flags = self.path / "train.flags"
        self.history = self.path / "history.json"
        self.results = self.path / "results"
        self.thresholds = self.results / "thresholds.json"
        self.figures = self.path / "figures"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"

    def require_own(self, images: str | None):
        """Checks that a training will not write among a user's images.

        Args:
            images: the folder of images to train on, if there is one.

        Raises:
            InputError: the directory is in that folder, or holds images but no
                run.
        """
        path = self.path.resolve()
        if images and Path(images).resolve() in (path, *path.parents):
            raise InputError(
                f"--workdir={self.path} is in --data_dir={images}, and a run "
                "would write figures among its images: give a directory "
                "outside of it."
            )
        image = next(find_images(self.path), None)
        if image and not self.flags.exists():
            raise InputError(
                f"--workdir={self.path} has images, such as {image.name}, and "
                "no run: a run needs a folder of its own."
            )

    def claim(self, settings: Settings, flagfile: str | None = None):
        """Creates the directory, or checks that it belongs to this training.

        A training that has not finished an epoch may be started again with
        other settings, for example after a mistake. Otherwise only the number
        of epochs, patience and minutes may change, and only if that does not
        change its steps. A run whose checkpoints were deleted is not changed.

        Args:
            settings: of the training.
            flagfile: the one that they are from; the first one given is kept.

        Raises:
            InputError: the directory holds a training with other settings, or
                cannot be written to.
        """
        text = format_flags(settings)
        kept = self.read_flagfile_name()
        checkpoints, resumes = self.list_checkpoints(), self._is_trained()
        if resumes:
            self.require_same(settings)
            is_same = self.read_settings() == settings
            if not checkpoints or (is_same and (kept or not flagfile)):
                return
        is_named = flagfile and expand_home(flagfile) == self.flags
        if not (is_named or (resumes and kept)):
            kept = flagfile
        if kept:
            text = f"# {kept}\n{text}"
        try:
            for folder in (self.results, self.figures, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
            replace_text(self.flags, text)
        except OSError as error:
            raise self._not_writable(error) from error

    def require_same(self, settings: Settings):
        """Checks that a run, if it has been trained, is of these settings.

        Those that end a training may differ, and those without effect.

        Raises:
            InputError: it was trained with other settings.
        """
        if not self._is_trained():
            return
        # Flags that are newer than the run have their default values.
        before = self.read_settings()
        free = {
            *list_stopping_settings(settings),
            *list_ineffective(before),
            *list_ineffective(settings),
        }
        changed = [x for x in find_changed(settings, before) if x not in free]
        if changed:
            was, now = (
                " ".join(format_flag(x, name) for name in changed)
                for x in (before, settings)
            )
            raise InputError(
                f"--workdir={self.path} holds a run with {was}; asked for "
                f"{now}. {self._advise(settings, changed)}"
            )

    def _is_trained(self):
        """Whether an epoch or more has been trained."""
        has_model = self.list_checkpoints() or self.model.exists()
        return bool(self.flags.exists() and has_model)

    def _advise(self, settings, changed):
        """Advises a user who asks for other settings than the run has."""
        if changed == ["epochs"]:
            return (
                "Its learning rate falls to 0 by its end: to train the model "
                f"further, give another --workdir and --init={self.model}."
            )
        is_finished = self.thresholds.exists()
        if is_finished and {*changed} <= {*ONLY_EVALUATION}:
            return (
                "Only its evaluation would differ: for another one, run python "
                f"-m koch_siamese.evaluate --workdir={self.path} with "
                "--protocol, --num_trials or --shots."
            )
        if changed == ["ways"] and needs_split(settings.dataset):
            return (
                "Without --ways, it is lowered to the number of classes: is "
                "--data_dir that of the run? If not, give another --workdir."
            )
        return "Give another --workdir, or delete that one."

    def _not_writable(self, error):
        return InputError(
            f"--workdir={self.path} cannot be written to: {error}."
        )

    def read_settings(self) -> Settings:
        """Reads the settings of the training.

        Raises:
            InputError: the directory holds no run.
        """
        if not self.flags.is_file():
            raise InputError(
                f"--workdir={self.path} holds no run: it has no "
                f"{self.flags.name}, which koch_siamese.train writes."
            )
        return parse_flags(read_text(self.flags))

    def read_flagfile_name(self) -> str | None:
        """Reads the name of the flagfile of the training, if it had one."""
        if not self.flags.is_file():
            return None
        first = read_text(self.flags).partition("\n")[0]
        return first[2:] if first.startswith("# ") else None

    def read_thresholds(self) -> dict:
        """Reads the thresholds of the best model, and their error rates."""
        return read_json(self.thresholds)

    def describe_training(self) -> dict[str, object]:
        """Describes the training, for the results of its model.

        See `koch_siamese.runs`; what is unknown is None.
        """
        history, made = {"accuracy": [], "seconds": []}, {}
        if self.history.exists():
            history = read_json(self.history)
        if self.thresholds.exists():  # written at the end
            made = self.read_thresholds()
        settings = self.read_settings()
        return {
            "flagfile": self.read_flagfile_name(),
            "training_flags": self._list_flags(settings),
            "training_seed": settings.seed,
            "training_epochs": len(history["seconds"]) or None,
            "training_best_epoch": find_best_epoch(history) or None,
            "training_planned_epochs": settings.epochs,
            "training_seconds": sum(history["seconds"]) or None,
            **{f"training_{name}": made.get(name) for name in TRAINING_ORIGIN},
        }

    def _list_flags(self, settings):
        """Lists the flags of the training besides its flagfile, as a text."""
        flagfile, expected = self.read_flagfile_name(), Settings()
        if flagfile:
            try:
                expected, _ = read_flagfile(*flagfile.split(","))
            except InputError:  # it has moved, or is of another version
                return None
        changed = find_changed(settings, expected)
        return shlex.join(format_flag(settings, name) for name in changed)

    def is_current(self, result: dict) -> bool:
        """Whether a result is of the model after all epochs so far."""
        return _is_of(self.describe_training(), result)

    def save_model(self, model: "keras.Model"):
        """Stores the best model, completely or not at all."""
        with replacing(self.model, suffix=".keras") as partial:
            model.save(partial)

    def write_result(self, name: str, result: dict) -> Path:
        """Writes `results/{name}.json`, with the origin of the numbers."""
        path = self.results / f"{name}.json"
        write_result(path, result)
        return path

    def read_results(self) -> list[dict]:
        """Reads the results of the run's own model, in order of file names.

        Left out are results of `evaluate --model` in the same folder, and of
        the run's model at an earlier epoch.
        """
        made = self.describe_training()
        results = map(read_json, sorted(self.results.glob("*.json")))
        return [x for x in results if "protocol" in x and _is_of(made, x)]

    def read_fingerprint(self) -> str | None:
        """Reads the fingerprint of the folder that was trained on, if stored.

        See `DataSource.compute_fingerprint`.
        """
        for folder in reversed(self.list_checkpoints()):
            with contextlib.suppress(OSError, ValueError):
                state = read_json(folder / "state.json")
                return state.get("images")
        if self.thresholds.exists():  # checkpoints may be deleted at the end
            return self.read_thresholds().get("data_fingerprint")
        return None

    def list_checkpoints(self) -> list[Path]:
        """Lists the folders of checkpoints, oldest first."""
        folders = {
            int(match[1]): folder
            for folder in self.checkpoints.glob("epoch_*")
            if (match := re.fullmatch(r"epoch_(\d+)", folder.name))
        }
        # By number, because names from epoch 10,000 on are not in order.
        return [folders[number] for number in sorted(folders)]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Prevents other processes from training in the directory meanwhile.

        Raises:
            InputError: another process is training there.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.checkpoints / "lock", timeout=0)
            lock.acquire()
        except filelock.Timeout as error:
            raise InputError(
                f"--workdir={self.path} is in use: another process trains "
                "there. Wait for it, or give another --workdir."
            ) from error
        except OSError as error:
            raise self._not_writable(error) from error
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def copy(self) -> Iterator["Run"]:
        """Makes a temporary copy, for a worker that must not write here."""
        with tempfile.TemporaryDirectory() as folder:
            other = Run(folder)
            if self.checkpoints.exists():
                shutil.copytree(self.checkpoints, other.checkpoints)
            for file in (self.model, self.history):
                if file.exists():
                    shutil.copy(file, other.path)
            yield other


def _is_of(made, result):
    """Whether a result is of a training; see `Run.describe_training`."""
    keys = ("training_seed", "training_epochs", "training_seconds")
    return all(result.get(key) == made[key] for key in keys)


def find_best_epoch(history: dict[str, list[float]]) -> int:
    """Finds the first epoch with the best validation accuracy.

    Args:
        history: that of `history.json`.

    Returns:
        The epoch, counted from 1; 0 if there are none.
    """
    accuracy = history["accuracy"]
    return accuracy.index(max(accuracy)) + 1 if accuracy else 0


def find_run(model: str | os.PathLike) -> Run | None:
    """Finds the run of a model: of its directory, or of its `model.keras`."""
    path = expand_home(model)
    run = Run(path if path.is_dir() else path.parent)
    is_own = path in (run.path, run.model) and run.flags.is_file()
    return run if is_own else None
