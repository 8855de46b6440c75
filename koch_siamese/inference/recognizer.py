"""The object that a user holds: knows characters, and recognizes images."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.data.image_files import (
    CHANNELS,
    ImageError,
    ImageLike,
    list_images,
    normalize_name,
    raise_complaints,
    read_drawing,
)
from koch_siamese.data.image_folder import load_folder, make_characters
from koch_siamese.errors import InputError
from koch_siamese.evaluation.calibration import calibrate
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.evaluation.scoring import EmbeddedDrawings
from koch_siamese.images import IMAGE_SIZE
from koch_siamese.inference import storage
from koch_siamese.inference.gallery import (
    Answer,
    Gallery,
    Verdict,
    answer_queries,
    judge_pair,
    score_characters,
)
from koch_siamese.models.loading import PRETRAINED, load_model
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import (
    compute_fingerprint,
    get_crop,
    get_thresholds,
)

# Labelled images: a folder, or the images of each name.
Labelled = str | os.PathLike | Mapping[str, ImageLike | Sequence[ImageLike]]

CALIBRATION_WAYS = 20
MIN_CALIBRATION_CHARACTERS = 3


@dataclasses.dataclass(frozen=True)
class CalibrationReport:
    """What thresholds promise, and on how much that rests.

    All shares are within 0..1, measured on the images that the thresholds were
    fitted to.

    Attributes:
        num_images, num_characters: what they were fitted to. With fewer than
            20 characters do not rely on them.
        same: the threshold of `verify`.
        accuracy: of all pairs of the images, half of them the same, the share
            that it classifies correctly.
        false_accepts, false_rejects: the shares of different pairs that count
            as the same, and of same pairs that count as different.
        ways: the number of candidates that the following holds for.
        none_of_these: the threshold of `classify` for so many.
        strangers_named: the share of queries of absent characters that get a
            name.
        right_where_present: the share of the others that get the right one.
    """

    num_images: int
    num_characters: int
    same: float
    accuracy: float
    false_accepts: float
    false_rejects: float
    ways: int
    none_of_these: float
    strangers_named: float
    right_where_present: float


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image that did not get its name.

    Attributes:
        name: the character that it shows.
        answer: what was said of it; of a stranger, any name is a mistake.
    """

    name: str
    answer: Answer


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How well labelled images are recognized.

    Attributes:
        num_images: of known characters.
        accuracy: the share of them whose best candidate is right, whether it
            is named or not.
        ci95: its Wilson interval.
        num_right, num_wrong, num_withheld: images of known characters that get
            the right name, a wrong one, or none.
        num_strangers, num_strangers_named: images of characters that are not
            known, and those of them that get a name.
        mistakes: those that are not right, in the order of the images.
    """

    num_images: int
    accuracy: float | None
    ci95: tuple[float, float] | None
    num_right: int
    num_wrong: int
    num_withheld: int
    num_strangers: int
    num_strangers_named: int
    mistakes: tuple[Mistake, ...]


class Recognizer:
    """Recognizes images of characters, given one or more examples of each.

    ```python
    recognizer = Recognizer.pretrained().add("known/")
    answer = recognizer.classify("photograph.jpg")
    print(answer.name or "none of these", answer.best)
    ```

    Wherever an image is expected, it is a path, the bytes of a file, an open
    binary file, a Pillow image, or an array, uint8 `[height, width]` or
    `[height, width, channels]` with 0 = black and 255 = white. Several are a
    list, an array with one more dimension, or a folder. An image on light or
    dark paper, scanned or photographed, is cleaned, and cut to its ink if the
    model was trained so.

    Methods may be called from several threads.

    Attributes:
        thresholds: from which scores a pair is the same and a query is one of
            the candidates, a `Thresholds`; None if the model has none and
            `calibrate` has not been called.
        crop: whether images are cut to their ink.
    """

    def __init__(
        self,
        model: keras.Model | str | os.PathLike = PRETRAINED,
        *,
        crop: bool | None = None,
    ):
        """Makes a recognizer that knows no character yet.

        Args:
            model: a siamese model, the file of one (`model.keras` of a
                training), or `pretrained`.
            crop: whether images are cut to their ink; by default as the model
                was trained.

        Raises:
            InputError: there is no such file, or it is no siamese model.
        """
        self._model_name = None
        if not isinstance(model, keras.Model):
            self._model_name = PRETRAINED if str(model) == PRETRAINED else None
            model = load_model(Path(model).expanduser())
        self._model = model
        self._scorer = SiameseScorer(model)
        self._fingerprint = compute_fingerprint(model)
        self.thresholds = get_thresholds(model)
        self.crop = get_crop(model) if crop is None else crop
        empty = np.empty((0, self._scorer.dim), np.float32)
        self._gallery = Gallery((), empty)
        self._place = None  # where it was loaded from or saved to
        # What has changed since: done again to what others wrote meanwhile.
        self._changes: list[Callable[[Gallery], Gallery]] = []
        self._has_new_thresholds = False
        self._lock = threading.RLock()

    @classmethod
    def pretrained(cls) -> "Recognizer":
        """Makes a recognizer with the model that comes with the package."""
        return cls(PRETRAINED)

    @property
    def model(self) -> keras.Model:
        """The siamese model."""
        return self._model

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the known characters, sorted."""
        return self._gallery.characters

    @property
    def num_images(self) -> int:
        """How many images the known characters have in all."""
        return len(self._gallery.names)

    def __repr__(self):
        """Says how much it knows."""
        return (
            f"Recognizer({len(self.names)} characters, {self.num_images} "
            "images)"
        )

    def read(self, image: ImageLike) -> np.ndarray:
        """Reads an image as the model sees it.

        Returns:
            uint8 `[105, 105]`, 0 = ink, 255 = white.

        Raises:
            InputError: it cannot be read, or shows no ink.
        """
        return read_drawing(image, self.crop)

    def add(self, examples: Labelled, *, replace: bool = False) -> "Recognizer":
        """Adds examples of characters.

        Args:
            examples: a folder with an image (`ka.png`) or a folder of images
                (`ka/1.png`) for each character; or a dict from names to one
                or more images.
            replace: whether the examples of a name that is known already are
                replaced. They are added to by default.

        Returns:
            The recognizer.

        Raises:
            InputError: an image cannot be read; nothing is added then.
        """
        names, drawings = self._read_labelled(examples)
        return self.add_drawings(names, drawings, replace=replace)

    def add_drawings(
        self, names: Sequence[str], drawings: np.ndarray, *, replace=False
    ) -> "Recognizer":
        """Adds examples that have been read; see `read` and `add`.

        Args:
            names: the character of each, `[num]`.
            drawings: uint8 `[num, 105, 105]`.
            replace: as in `add`.
        """
        names = tuple(map(normalize_name, names))
        embeddings = self._embed(drawings)
        self._change(lambda gallery: gallery.add(names, embeddings, replace))
        return self

    def remove(self, names: str | Iterable[str]) -> "Recognizer":
        """Removes characters.

        Raises:
            InputError: one of them is not known; none is removed then.
        """
        names = {names} if isinstance(names, str) else set(names)
        names = set(map(normalize_name, names))
        self._gallery.without(names)
        # Again, on what others wrote, some of them may be gone already.
        self._change(lambda x: x.without(names & set(x.names)))
        return self

    def _change(self, change):
        with self._lock:
            self._gallery = change(self._gallery)
            self._changes.append(change)

    def embed(self, images: ImageLike | Iterable[ImageLike]) -> np.ndarray:
        """Embeds images.

        Returns:
            float32 `[num_images, dim]`, or `[dim]` for a single image.
        """
        images, is_single = _list(images)
        embeddings = self._embed(self._read_all(images))
        return embeddings[0] if is_single else embeddings

    def classify(
        self,
        images: ImageLike | Iterable[ImageLike],
        top_k: int = 5,
        threshold: float | None = None,
    ) -> Answer | list[Answer]:
        """Says which known character images show.

        Args:
            images: one image or several.
            top_k: candidates of an answer, at most.
            threshold: the score from which the best candidate is named; by
                default that of `thresholds` for so many characters.

        Returns:
            An answer for one image, a list of answers for several.

        Raises:
            InputError: no character is known, or an image cannot be read.
        """
        images, is_single = _list(images)
        answers = self.classify_drawings(
            self._read_all(images), top_k, threshold
        )
        return answers[0] if is_single else answers

    def classify_drawings(
        self,
        drawings: np.ndarray,
        top_k: int = 5,
        threshold: float | None = None,
    ) -> list[Answer]:
        """Classifies drawings that have been read; see `read` and `classify`.

        Args:
            drawings: uint8 `[num, 105, 105]`.
            top_k, threshold: as in `classify`.
        """
        if top_k < 1:
            raise InputError(f"top_k is {top_k}: expected 1 or more.")
        gallery = self._gallery  # as it is now, whatever another thread adds
        if not gallery.names:
            raise InputError(
                "There are no characters to choose among: add some."
            )
        embeddings = self._embed(drawings)
        with self._lock:
            scores = score_characters(self._scorer, gallery, embeddings)
        return answer_queries(
            scores,
            gallery.characters,
            self.thresholds,
            top_k=top_k,
            threshold=threshold,
        )

    def verify(
        self,
        first: ImageLike | Iterable[ImageLike],
        second: ImageLike | Iterable[ImageLike],
        threshold: float | None = None,
    ) -> Verdict | list[Verdict]:
        """Says whether two images show the same character.

        Args:
            first, second: an image each, or as many images each.
            threshold: the score from which they count as the same; by default
                that of `thresholds`.

        Returns:
            A verdict, or a list of verdicts.

        Raises:
            InputError: an image cannot be read, or there are not as many of
                `first` as of `second`.
        """
        (first, is_single), (second, _) = _list(first), _list(second)
        if len(first) != len(second):
            raise InputError(
                f"There are {len(first)} first images and {len(second)} second "
                "ones: expected as many."
            )
        embeddings = self._embed(self._read_all([*first, *second]))
        with self._lock:
            scores = self._scorer.score(
                embeddings[: len(first)], embeddings[len(first) :]
            )
        verdicts = [
            judge_pair(float(score), self.thresholds, threshold)
            for score in scores
        ]
        return verdicts[0] if is_single else verdicts

    def calibrate(self, labelled: Labelled, *, seed: int = 0):
        """Fits thresholds to images like those that are to be recognized.

        Nothing is trained. The thresholds are stored by `save`.

        Args:
            labelled: as the examples of `add`: two or more images of each of
                three or more characters; the more, the better. They should not
                be those that the model was trained on.
            seed: decides which pairs and trials are looked at.

        Returns:
            A `CalibrationReport`: what the thresholds promise.

        Raises:
            InputError: there are too few characters or images.
        """
        names, drawings = self._read_labelled(labelled)
        characters = _group(names, drawings)
        with self._lock:
            calibration = calibrate(
                EmbeddedDrawings(self._scorer, characters.images),
                characters,
                ways=min(CALIBRATION_WAYS, characters.num_characters - 1),
                seed=seed,
            )
            self.thresholds = calibration.thresholds
            self._has_new_thresholds = True
        same = calibration.report["same"]
        absent = calibration.report["none_of_these"]
        return CalibrationReport(
            num_images=len(names),
            num_characters=characters.num_characters,
            same=same["logit"],
            accuracy=same["accuracy"],
            false_accepts=same["false_accepts"],
            false_rejects=same["false_rejects"],
            ways=absent["ways"],
            none_of_these=absent["logit"],
            strangers_named=absent["false_accepts"],
            right_where_present=absent["right_where_present"],
        )

    def evaluate(
        self, labelled: Labelled, threshold: float | None = None
    ) -> Evaluation:
        """Measures how well labelled images are recognized.

        Args:
            labelled: as the examples of `add`, but other images. Those of
                characters that are not known are strangers.
            threshold: as in `classify`.
        """
        names, drawings = self._read_labelled(labelled)
        answers = self.classify_drawings(drawings, 2, threshold)
        known = set(self.names)
        pairs = list(zip(names, answers, strict=True))
        of_known = [(x, answer) for x, answer in pairs if x in known]
        strangers = [answer for x, answer in pairs if x not in known]
        num_best = sum(answer.best.name == x for x, answer in of_known)
        num_right = sum(answer.name == x for x, answer in of_known)
        num_withheld = sum(answer.name is None for _, answer in of_known)
        num = len(of_known)
        return Evaluation(
            num_images=num,
            accuracy=num_best / num if num else None,
            ci95=tuple(wilson_interval(num_best, num)) if num else None,
            num_right=num_right,
            num_wrong=num - num_right - num_withheld,
            num_withheld=num_withheld,
            num_strangers=len(strangers),
            num_strangers_named=sum(x.name is not None for x in strangers),
            mistakes=tuple(
                Mistake(name, answer)
                for name, answer in pairs
                if answer.name != (name if name in known else None)
            ),
        )

    def save(self, path: str | os.PathLike, *, if_exists: str = "fail"):
        """Saves the recognizer into a folder that needs nothing else.

        Where it was loaded from or saved to before, it writes its changes
        alone: what another process has added there meanwhile stays, and is
        known to this recognizer afterwards.

        Args:
            path: the folder; or a file that ends in `.npz`, which takes the
                known characters alone.
            if_exists: what to do about another recognizer that is there:
                `fail`; `replace` it; or `merge`, which adds to its characters,
                in place of those of the same name.

        Raises:
            InputError: there is another recognizer, or one of another model or
                with another `crop`; or nothing can be written.
            ValueError: `if_exists` is unknown.
        """
        if if_exists not in ("fail", "merge", "replace"):
            raise ValueError(f"if_exists is {if_exists!r}.")
        path = Path(path).expanduser().absolute()
        with self._lock, storage.lock(path):
            if storage.is_stored(path) and if_exists != "replace":
                if path != self._place and if_exists == "fail":
                    raise InputError(
                        f"{path} holds another recognizer: load it to add to "
                        "it, or give if_exists='merge' or 'replace', or "
                        "another path."
                    )
                self._merge(path)
            storage.write(path, self._to_stored(), self._model)
            self._place, self._changes = path, []
            self._has_new_thresholds = False

    def _merge(self, path):
        """Does what has changed to what is stored."""
        stored = storage.read(path)
        self._require_own(stored, path)
        gallery = stored.gallery
        for change in self._changes:
            gallery = change(gallery)
        self._gallery = gallery
        if stored.thresholds and not self._has_new_thresholds:
            self.thresholds = stored.thresholds

    def _to_stored(self):
        return storage.Stored(
            self._gallery,
            self._fingerprint,
            self.crop,
            self._model_name,
            self.thresholds,
        )

    def _require_own(self, stored, path):
        if stored.fingerprint != self._fingerprint:
            raise InputError(
                f"The gallery {path} was made by another model: use that "
                "model, or make a new gallery."
            )
        if stored.crop != self.crop:
            made, got = "--crop", "--nocrop"
            if self.crop:
                made, got = got, made
            raise InputError(
                f"The gallery {path} was made with {made}; got {got}: give "
                f"{made}, or make a new gallery."
            )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        model: keras.Model | str | os.PathLike | None = None,
        *,
        crop: bool | None = None,
    ) -> "Recognizer":
        """Loads what `save` wrote.

        Args:
            path: a folder, or an `.npz` file.
            model: of an `.npz` file, the model that embedded it; by default
                `pretrained`. A folder has its own.
            crop: None, or what the recognizer must have been made with.

        Raises:
            InputError: it cannot be read, or was made by another model or with
                another `crop`.
        """
        path = Path(path).expanduser().absolute()
        stored = storage.read(path)
        recognizer = cls(
            model or stored.model or PRETRAINED,
            crop=stored.crop if crop is None else crop,
        )
        recognizer._require_own(stored, path)
        recognizer._gallery = stored.gallery
        if stored.model:
            recognizer.thresholds = stored.thresholds
        recognizer._place = path
        return recognizer

    def _embed(self, drawings):
        if not len(drawings):
            return np.empty((0, self._scorer.dim), np.float32)
        with self._lock:
            return self._scorer.embed(drawings)

    def _read_all(self, images):
        drawings = np.empty((len(images), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
        errors = []
        for place, image in enumerate(images):
            try:
                drawings[place] = self.read(image)
            except ImageError as error:
                has_name = len(images) == 1 or isinstance(image, Path)
                errors.append(error if has_name else error.numbered(place + 1))
        raise_complaints(errors, len(images))
        return drawings

    def _read_labelled(self, labelled):
        """The name and the drawing of each image."""
        if not isinstance(labelled, Mapping):
            folder = Path(labelled).expanduser()
            characters, names = load_folder(folder, self.crop)
            return [names[i] for i in characters.character], characters.images
        names, images = [], []
        for name, given in labelled.items():
            given, _ = _list(given)
            if not given:
                raise InputError(f"There is no image of {name!r}: give some.")
            names += [normalize_name(str(name))] * len(given)
            images += given
        return names, self._read_all(images)


def _list(images) -> tuple[list, bool]:
    """One image or several as a list, and whether it is one."""
    if isinstance(images, str | os.PathLike):
        path = Path(images).expanduser()
        return (list_images(path), False) if path.is_dir() else ([path], True)
    if isinstance(images, np.ndarray):
        is_single = images.ndim == 2 or (
            images.ndim == 3 and images.shape[2] in CHANNELS
        )
        return ([images], True) if is_single else (list(images), False)
    is_one = isinstance(images, bytes) or hasattr(images, "read")
    if is_one or not isinstance(images, Iterable):
        return [images], True
    return [
        Path(x).expanduser() if isinstance(x, str | os.PathLike) else x
        for x in images
    ], False


def _group(names, drawings) -> Characters:
    """The characters of one alphabet.

    Raises:
        InputError: they do not suffice for a calibration.
    """
    order = np.argsort(names, kind="stable")
    labels = [("", names[i]) for i in order]
    characters, _ = make_characters(labels, np.asarray(drawings)[order])
    counts = np.bincount(characters.character)
    if len(counts) < MIN_CALIBRATION_CHARACTERS or counts.min() < 2:
        raise InputError(
            f"There are {len(counts)} characters, with {counts.min()} to "
            f"{counts.max()} images each: expected at least "
            f"{MIN_CALIBRATION_CHARACTERS} characters with 2 images or more; "
            "add some."
        )
    return characters
