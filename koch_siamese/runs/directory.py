"""A run's directory: its files and its checkpoints."""

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from koch_siamese.data.image_files import find_images
from koch_siamese.errors import InputError
from koch_siamese.runs.results import write_result, write_text
from koch_siamese.runs.settings import Settings

try:
    import fcntl
except ImportError:  # not on Windows, where runs are not locked
    fcntl = None

NUM_CHECKPOINTS = 2  # kept of a run


class Run:
    """Where a training keeps its files; see the README for the layout."""

    def __init__(self, path: str | os.PathLike):
        """Names the files; makes none."""
        self.path = Path(path)
        self.model = self.path / "model.keras"
        self.flags = self.path / "train.flags"
        self.history = self.path / "history.json"
        self.results = self.path / "results"
        self.thresholds = self.results / "thresholds.json"
        self.figures = self.path / "figures"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"

    def require_own(self, images: str | None = None):
        """Checks that a training would not write among a user's images.

        Args:
            images: the folder of images to train on, if it is on one.

        Raises:
            InputError: the directory is in that folder, or holds no run but
                images.
        """
        place = self.path.resolve()
        if images and Path(images).resolve() in (place, *place.parents):
            raise InputError(
                f"--workdir={self.path} is in --data_dir={images}, among whose "
                "images a run would write figures: give one outside of it."
            )
        image = next(find_images(self.path), None)
        if image and not self.flags.exists():
            raise InputError(
                f"--workdir={self.path} has images, such as {image.name}, and "
                "no run: a run needs a folder of its own."
            )

    def claim(self, settings: Settings, flagfile: str | None = None):
        """Makes the directory for a training, or finds it made for the same.

        A training that never finished an epoch has no say: it may be started
        again with other settings, such as after a mistake.

        Args:
            settings: of the training.
            flagfile: the recipe that they are from; the first one given stays.

        Raises:
            InputError: it holds a training with other settings, or cannot be
                written to.
        """
        text = settings.to_flags()
        recipe = self.read_recipe()
        if self.flags.exists() and self._checkpoints():
            self._require_same(settings)
            if recipe or not flagfile:
                return
        if not flagfile or Path(flagfile) != self.flags:
            recipe = flagfile
        if recipe:
            text = f"# {recipe}\n{text}"
        try:
            for folder in (self.results, self.figures, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
            write_text(self.flags, text)
        except OSError as error:
            raise InputError(
                f"--workdir={self.path} cannot be written to: {error}."
            ) from error

    def _require_same(self, settings):
        # Flags that came later than the run have their defaults there.
        before = self.read_settings().to_flags().splitlines()
        asked = settings.to_flags().splitlines()
        pairs = zip(before, asked, strict=True)
        changed = [(was, now) for was, now in pairs if was != now]
        if changed:
            was, now = (" ".join(lines) for lines in zip(*changed, strict=True))
            raise InputError(
                f"--workdir={self.path} holds a run with {was}; asked for "
                f"{now}. Give another --workdir, or delete that one."
            )

    def read_settings(self) -> Settings:
        """The settings of the training that the directory was made for."""
        if not self.flags.is_file():
            raise InputError(
                f"--workdir={self.path} holds no run: {self.flags.name} of "
                "koch_siamese.train is not there."
            )
        return Settings.from_flags(self.flags.read_text())

    def read_recipe(self) -> str | None:
        """The flagfile that the training was called with, if it was."""
        if not self.flags.is_file():
            return None
        first = self.flags.read_text().partition("\n")[0]
        return first[2:] if first.startswith("# ") else None

    def origin(self) -> dict[str, object]:
        """What a result of the run's model carries: which training it is of."""
        seconds, made = None, {}
        if self.history.exists():
            seconds = json.loads(self.history.read_text())["seconds"]
        if self.thresholds.exists():  # written where the training ended
            made = self.read_thresholds()
        return {
            "flagfile": self.read_recipe(),
            "training_seed": self.read_settings().seed,
            "training_epochs": len(seconds) if seconds else None,
            "training_seconds": sum(seconds) if seconds else None,
            "training_machine": made.get("machine"),
            "training_commit": made.get("commit"),
        }

    def save_model(self, save: Callable):
        """Stores the best model, by `save(path)`: whole or not at all."""
        partial = self.model.with_name("partial." + self.model.name)
        save(partial)
        partial.replace(self.model)

    @contextlib.contextmanager
    def lock(self):
        """Keeps other processes from training in the directory meanwhile.

        Raises:
            InputError: one does already.
        """
        with self._open_lock() as file:
            if fcntl:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise InputError(
                        f"--workdir={self.path} is in use: another process "
                        "trains there. Wait for it, or give another --workdir."
                    ) from error
            yield

    def _open_lock(self):
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            return (self.checkpoints / "lock").open("a")
        except OSError as error:
            raise InputError(
                f"--workdir={self.path} cannot be written to: {error}."
            ) from error

    @contextlib.contextmanager
    def copy(self):
        """A passing copy of the run, for who must not write in it."""
        with tempfile.TemporaryDirectory() as folder:
            other = Run(folder)
            if self.checkpoints.exists():
                shutil.copytree(self.checkpoints, other.checkpoints)
            yield other

    def save_checkpoint(self, epoch: int, state: dict, save_model: Callable):
        """Stores the state after an epoch, in a folder that appears whole.

        The one before is kept, in case this one gets damaged.

        Args:
            epoch: epochs trained so far.
            state: what JSON can hold.
            save_model: called with the path of the `.keras` file to write.
        """
        folder = self.checkpoints / f"epoch_{epoch:04d}"
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_model(partial / "trainer.keras")
        (partial / "state.json").write_text(json.dumps(state))
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
        for older in self._checkpoints()[:-NUM_CHECKPOINTS]:
            shutil.rmtree(older)

    def load_checkpoint(self) -> tuple[Path, dict] | None:
        """The newest sound checkpoint: its `.keras` file and its state.

        Raises:
            InputError: there are some, but all are damaged.
        """
        folders = self._checkpoints()
        for folder in reversed(folders):
            try:
                return folder / "trainer.keras", _read_checkpoint(folder)
            except Exception as error:  # zipfile has many, for broken files
                print(f"{folder} is damaged ({error}): left out.")
        if folders:
            raise InputError(
                f"All checkpoints of {self.path} are damaged: delete that "
                "directory, or give another --workdir."
            )
        return None

    def _checkpoints(self):
        folders = [
            folder
            for folder in self.checkpoints.glob("epoch_*")
            if folder.suffix != ".partial"
        ]
        # By number: of ten thousand epochs the names are not in order.
        return sorted(folders, key=lambda x: int(x.name.partition("_")[2]))

    def read_thresholds(self) -> dict:
        """What `inspection.inspect` measured of the best model."""
        return json.loads(self.thresholds.read_text())

    def write_result(self, name: str, result: dict) -> Path:
        """Writes `results/{name}.json`, with where the numbers are from."""
        path = self.results / f"{name}.json"
        write_result(path, result)
        return path


def _read_checkpoint(folder):
    """The state in a checkpoint, whose model must be whole, too."""
    state = json.loads((folder / "state.json").read_text())
    with zipfile.ZipFile(folder / "trainer.keras") as model:
        broken = model.testzip()
    if broken:
        raise ValueError(f"{broken} of trainer.keras has another checksum")
    return state
