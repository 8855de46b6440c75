"""Stored recognizers: a self-contained folder, or a gallery in one file.

A folder has `recognizer.json`, which names the other files, `embeddings_*.npy`
and, unless the model is the package's own, `model_*.keras`. The JSON file is
written last and atomically, so that readers find either the old or the new
state. A gallery, an `.npz` file, has only the known characters. A save removes
what a save that was killed has left.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import filelock
import numpy as np

from koch_siamese.data.image_paths import get_suffixes, normalize_name
from koch_siamese.errors import InputError, warn
from koch_siamese.extras import is_installed
from koch_siamese.inference.gallery import Gallery
from koch_siamese.inference.index import GalleryIndex
from koch_siamese.models.packaged import (
    PACKAGED,
    PRETRAINED,
    PRETRAINED_LARGE,
)
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.runs.results import replacing, writing
from koch_siamese.version import __version__

if typing.TYPE_CHECKING:
    import keras

INDEX = "recognizer.json"
FORMAT = 1
OTHER_SUFFIXES = (".csv", ".h5", ".json", ".keras", ".npy", ".pkl", ".zip")
# The files of a folder, and the temporary ones of a save that was killed.
_FILE = r"(embeddings|index|model)_[0-9a-f]{12}\.(npy|faiss|keras)"
_OWN_FILE = rf"{_FILE}|\.({_FILE}|{re.escape(INDEX)})\.\d+\.(partial|keras)"
MAX_READS = 10
# Of `pretrained_large`, and of its earlier file in full precision, which
# versions before 0.2 called `pretrained`. Their scores differ by up to 0.02.
LARGE_FINGERPRINT = (
    "b8b863e7b306ebed98393594981e89892ee0e2bf35e15f747488919bb2707b2d"
)
EARLIER_FINGERPRINT = (
    "6a4942ff3127e09c51995d2b17f372efef1c746ebc7784122f0ac50c670aa5b4"
)
HINT = "Give another gallery, or make one with --support or Recognizer.save."


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """The content of a stored recognizer.

    Attributes:
        gallery: the known characters.
        fingerprint: of the model that embedded them, see
            `siamese.compute_fingerprint`.
        crop: whether images were cropped to their ink.
        model: the file of the model, or its name; None for a gallery.
        thresholds: None for a gallery, or for a model that has none.
        index: the index file of a large gallery; its positions are in an
            `.npy` file beside it.
    """

    gallery: Gallery
    fingerprint: str
    crop: bool
    model: str | None = None
    thresholds: Thresholds | None = None
    index: Path | None = None

    def choose_model(
        self, given: "keras.Model | str | os.PathLike | None" = None
    ) -> "keras.Model | str | os.PathLike":
        """Chooses the given model, or its own, or `pretrained`.

        The model `pretrained` of a version before 0.2 is `pretrained_large`.
        """
        model = given or self.model or PRETRAINED
        is_large = _update_fingerprint(self.fingerprint) == LARGE_FINGERPRINT
        if str(model) == PRETRAINED and is_large:
            return PRETRAINED_LARGE
        return model

    def require_origin(self, path: Path, fingerprint: str, crop: bool):
        """Checks that its images were cropped and embedded in the same way.

        Args:
            path: where it is stored.
            fingerprint, crop: see the attributes.

        Raises:
            InputError: its model, or its `crop`, is another one.
        """
        own, given = map(_update_fingerprint, (self.fingerprint, fingerprint))
        if own != given:
            raise InputError(
                f"The gallery {path} was made by another model: use that "
                "model, or make a new gallery."
            )
        if self.crop != crop:
            raise InputError(
                f"The gallery {path} was made with crop={self.crop}; got "
                f"crop={crop}: give the same, or make a new gallery."
            )


def _update_fingerprint(fingerprint):
    """Replaces the fingerprint of the earlier `pretrained_large`."""
    is_earlier = fingerprint == EARLIER_FINGERPRINT
    return LARGE_FINGERPRINT if is_earlier else fingerprint


def is_gallery(path: Path) -> bool:
    """Tells whether a path is that of a gallery in one file."""
    return path.is_file() or (path.suffix == ".npz" and not path.is_dir())


def is_folder(path: Path) -> bool:
    """Tells whether a path is the folder of a recognizer."""
    return (path / INDEX).is_file()


def is_stored(path: Path) -> bool:
    """Tells whether a path has something to read or to overwrite."""
    return path.is_file() or is_folder(path)


def refuse_other_files(path: Path):
    """Refuses to write to what is, or is named like, another kind of file.

    Raises:
        InputError: it is one.
    """
    suffix = path.suffix.lower()
    if path.is_file() and not _has_gallery(path):
        raise InputError(
            f"{path} exists already and is not a gallery: give a new path."
        )
    if suffix in (*OTHER_SUFFIXES, *get_suffixes()) and not path.exists():
        raise InputError(
            f"{path} ends in {suffix}: expected a folder, or a file that ends "
            "in .npz."
        )


def _has_gallery(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return "fingerprint" in file
    except Exception:  # NumPy raises anything for other files
        return False


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keeps other processes from writing a stored recognizer.

    Raises:
        InputError: nothing can be written there.
    """
    file_lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    with writing(path):
        file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()


def read(path: Path) -> Stored:
    """Reads a stored recognizer; nothing in its files is executed.

    Raises:
        InputError: it cannot be read, or is not a stored recognizer.
    """
    try:
        if is_gallery(path):
            return _read_gallery(path)
        return _read_between_writes(path)
    except InputError:
        raise
    except OSError as error:
        if path.is_dir() and not is_folder(path):
            raise _refuse_folder(path) from error
        raise InputError(
            f"The gallery {path} cannot be read: {error.strerror or error}. "
            f"{HINT}"
        ) from error
    except Exception as error:  # NumPy and JSON raise anything for other files
        raise InputError(
            f"{path} is not a stored recognizer: expected a folder with "
            f"{INDEX}, or an .npz file of koch_siamese.classify. {HINT}"
        ) from error


def _refuse_folder(path):
    if (path / "model.keras").is_file():
        return InputError(
            f"{path} is a training, not a saved recognizer: use "
            f"Recognizer({str(path)!r}), or --workdir."
        )
    return InputError(
        f"{path} is not a saved recognizer (it has no {INDEX}): if it is a "
        f"folder of images, use Recognizer.pretrained().add({str(path)!r}), or "
        "--support."
    )


def load_model_of(path: str | os.PathLike) -> "keras.Model":
    """Loads the model of a saved recognizer, with its thresholds and `crop`.

    Args:
        path: the folder of a recognizer; of other models, see `load_model`.

    Raises:
        InputError: it cannot be loaded.
    """
    from koch_siamese.models.loading import load_model
    from koch_siamese.models.siamese import set_crop, set_thresholds

    if not is_folder(Path(path)):
        return load_model(path)
    stored = read(Path(path))
    model = load_model(stored.choose_model())
    set_thresholds(model, stored.thresholds)
    set_crop(model, stored.crop)
    return model


def read_index(
    stored: Stored, distance_weights: np.ndarray | None
) -> GalleryIndex | None:
    """Reads the index of a large gallery, if it has one.

    Args:
        stored: the stored recognizer.
        distance_weights: of the model's head.
    """
    if stored.index is None or not is_installed("faiss"):
        return None
    try:
        return GalleryIndex.read(
            distance_weights,
            stored.index,
            np.load(stored.index.with_suffix(".npy"), allow_pickle=False),
            stored.gallery.embeddings,
        )
    except (OSError, ValueError, RuntimeError) as error:
        warn(
            f"The index {str(stored.index)!r} is damaged ({error}): it is "
            "built again when it is needed."
        )
        return None


def write(
    path: Path,
    stored: Stored,
    model: "keras.Model",
    index: GalleryIndex | None = None,
):
    """Writes a recognizer, and replaces an existing one atomically.

    It removes temporary files of other writes: hold `lock`.

    Args:
        path: a folder, or a file that ends in `.npz`, which stores only the
            known characters; see `refuse_other_files`.
        stored: the content; its `model` is a name, or None to store `model`.
        model: stored in the folder if it has no name.
        index: the index of a large gallery, stored in the folder.

    Raises:
        InputError: it cannot be written, or the folder has other files.
    """
    _check(stored.gallery.embeddings, stored.gallery.names)
    with writing(path):
        if is_gallery(path):
            _write_gallery(path, stored)
        else:
            _write_folder(path, stored, model, index)


def _check(embeddings, names):
    shape, dtype = embeddings.shape, embeddings.dtype
    if len(shape) != 2 or shape[0] != len(names) or dtype != np.float32:
        raise ValueError(f"embeddings are {dtype} of the shape {shape}")


def _read_gallery(path):
    with (
        path.open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        names = _normalize(file["names"].tolist())
        embeddings = file["embeddings"]
        _check(embeddings, names)
        if not np.isfinite(embeddings).all():
            raise ValueError("embeddings are not finite")
        return Stored(
            Gallery(names, embeddings),
            str(file["fingerprint"]),
            bool(file["crop"]),
        )


def _normalize(names):
    return tuple(map(normalize_name, names))


def _write_gallery(path, stored):
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            names=np.array(stored.gallery.names, str),
            embeddings=stored.gallery.embeddings,
            fingerprint=np.array(stored.fingerprint),
            crop=np.array(stored.crop),
        )
    _remove_leftovers(path.parent, rf"\.{re.escape(path.name)}\.\d+\.partial")


def _read_between_writes(path):
    """Reads a folder; retries if a writer has just removed one of its files."""
    for _ in range(MAX_READS - 1):
        with contextlib.suppress(FileNotFoundError):
            return _read_folder(path)
    return _read_folder(path)


def _read_folder(path):
    index = json.loads((path / INDEX).read_text(encoding="utf-8"))
    if index["format"] > FORMAT:
        raise InputError(
            f"{path} was written by a newer version of koch_siamese (format "
            f"{index['format']}): upgrade to read it."
        )
    thresholds = index["thresholds"]
    model = index["model"]
    if model not in PACKAGED:
        model = str(_inside(path, model))
    embeddings = np.load(
        _inside(path, index["embeddings"]), mmap_mode="r", allow_pickle=False
    )
    names = _normalize(index["names"])
    _check(embeddings, names)
    return Stored(
        Gallery(names, embeddings),
        str(index["fingerprint"]),
        bool(index["crop"]),
        model,
        thresholds and Thresholds(**thresholds),
        _inside(path, index["index"][0]) if index.get("index") else None,
    )


def _inside(folder, name):
    """The path of a file in the folder; an index may name no others."""
    if Path(name).name != name:
        raise ValueError(f"it names {name!r}")
    return folder / name


def _write_folder(path, stored, model, gallery_index):
    path.mkdir(parents=True, exist_ok=True)
    _refuse_folder_of_others(path)
    gallery = stored.gallery
    content = np.ascontiguousarray(gallery.embeddings)
    digest = hashlib.sha256(repr(content.shape).encode())
    digest.update(content)
    embeddings = path / f"embeddings_{digest.hexdigest()[:12]}.npy"
    with replacing(embeddings) as partial, partial.open("wb") as file:
        np.save(file, content)
    name = stored.model
    if name is None:
        name = f"model_{stored.fingerprint[:12]}.keras"
        with replacing(path / name, ".keras") as partial:
            model.save(partial)
    index_files = []
    if gallery_index:
        digest.update(np.ascontiguousarray(gallery_index.positions))
        index_files = _write_index(path, gallery_index, digest.hexdigest()[:12])
    thresholds = stored.thresholds
    index = {
        "format": FORMAT,
        "version": __version__,
        "model": name,
        "fingerprint": stored.fingerprint,
        "crop": stored.crop,
        "thresholds": thresholds and dataclasses.asdict(thresholds),
        "embeddings": embeddings.name,
        "index": index_files,
        "names": gallery.names,
    }
    with replacing(path / INDEX) as partial:
        partial.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    _remove_leftovers(path, _OWN_FILE, {name, embeddings.name, *index_files})


def _write_index(path, index, digest):
    """Writes the two files of an index, and returns their names."""
    graph = path / f"index_{digest}.faiss"
    positions = graph.with_suffix(".npy")
    if index.file != graph:
        with replacing(graph) as partial:
            index.write(partial)
        if index.file and index.file.parent == path:  # the old one is deleted
            index.file = graph
    with replacing(positions) as partial, partial.open("wb") as file:
        np.save(file, index.positions)
    return [graph.name, positions.name]


def _refuse_folder_of_others(path):
    """Refuses to write to a folder that is in use for something else.

    Raises:
        InputError: it is.
    """
    if is_folder(path):
        return
    others = [
        x.name
        for x in path.iterdir()
        if not x.name.startswith(".") and not re.fullmatch(_OWN_FILE, x.name)
    ]
    if others:
        raise InputError(
            f"{path} has other files, such as {min(others)}, and is not a "
            "saved recognizer: give a new folder."
        )


def _remove_leftovers(folder, pattern, kept=()):
    """Removes what earlier saves have left: replaced and temporary files."""
    for file in folder.glob("*"):  # no error if it cannot be listed
        if re.fullmatch(pattern, file.name) and file.name not in kept:
            with contextlib.suppress(OSError):  # another process has it open
                file.unlink()
