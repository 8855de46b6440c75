"""Recognizes images of characters, given one or more examples of each."""

import functools
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from koch_siamese.data.page_files import Page, PageFile, load_page
from koch_siamese.errors import InputError, warn
from koch_siamese.evaluation.calibration import FEW_CHARACTERS, calibrate
from koch_siamese.evaluation.scoring import (
    DRAWINGS_AT_ONCE,
    EmbeddedDrawings,
    iterate_chunks,
)
from koch_siamese.extras import explain_installation, is_installed
from koch_siamese.images import ImageLike
from koch_siamese.inference import storage
from koch_siamese.inference.arguments import (
    check_number,
    group_by_name,
    list_given_images,
    list_given_pages,
    normalize_names,
)
from koch_siamese.inference.assignment import (
    can_score_together,
    score_together,
)
from koch_siamese.inference.gallery import (
    Answer,
    Gallery,
    Verdict,
    answer_query,
    judge_pair,
    score_characters,
    score_nearest_characters,
)
from koch_siamese.inference.grouping import (
    MAX_DRAWINGS,
    group_by_scores,
    score_all_pairs,
)
from koch_siamese.inference.index import (
    MIN_DRAWINGS,
    GalleryIndex,
)
from koch_siamese.inference.reader import Labelled, Reader
from koch_siamese.inference.reports import CalibrationReport, Evaluation
from koch_siamese.inference.transcription import (
    FoundPage,
    Transcription,
    find_on_page,
    make_transcription,
)
from koch_siamese.models.loading import load_model
from koch_siamese.models.packaged import PACKAGED, PRETRAINED
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import (
    compute_fingerprint,
    get_head,
    get_thresholds,
    require_siamese,
)
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.paths import expand_home

MAX_CALIBRATION_WAYS = 200  # candidates that a threshold is fitted for
TOP_K = 5


class Recognizer:
    """Recognizes images of characters, given one or more examples of each.

    ```python
    recognizer = Recognizer.pretrained().add("known/")
    answer = recognizer.classify("photograph.jpg")
    print(answer.name or "none of these", answer.best)
    ```

    An image is a path, the bytes of a file, an open binary file, a Pillow
    image, or an array, uint8 `[height, width]` or `[height, width, channels]`
    with 0 = black and 255 = white. Several images are a list, an array with one
    more dimension (`[3, height, width]` is three images), or a folder. Drawings
    on light or dark paper, scanned or photographed, are cleaned, and cropped to
    their ink if the model was trained that way. A model of photos sees them in
    color, without any cleaning.

    With more than 100,000 examples, an index proposes those to compare (extra
    `index`). It is stored with the examples and grows with them.

    Methods may be called from several threads.
    """

    def __init__(
        self,
        model: keras.Model | str | os.PathLike = PRETRAINED,
        *,
        crop: bool | None = None,
    ):
        """Makes a recognizer that knows no character yet.

        Args:
            model: a siamese model, its file (`model.keras` of a training), or
                a model of the package: `pretrained`, or `pretrained_large`,
                which is slower and slightly more accurate.
            crop: whether to crop images to their ink; by default as in the
                training of the model. Photos cannot be cropped.

        Raises:
            InputError: the file does not exist or is not a siamese model, or
                `crop` is given for a model of photos.
        """
        self._model_name = None
        if isinstance(model, keras.Model):
            require_siamese(model)
        else:
            self._model_name = str(model) if str(model) in PACKAGED else None
            model = load_model(model)
        self._model = model
        self._scorer = SiameseScorer(model)
        self._fingerprint = compute_fingerprint(model)
        self._thresholds = get_thresholds(model)
        self._reader = Reader.for_model(model, crop)
        empty = np.empty((0, self._scorer.dim), np.float32)
        self._gallery = Gallery((), empty)
        self._index = None  # of a large gallery, made on first use
        self._path = None  # that it was loaded from or first saved to
        # Changes since then, to repeat on what other processes have written.
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
    def crop(self) -> bool:
        """Whether images are cropped to their ink."""
        return self._reader.crop

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the known characters, sorted."""
        return self._gallery.characters

    @property
    def num_images(self) -> int:
        """The number of examples of all known characters."""
        return len(self._gallery.names)

    @property
    def thresholds(self) -> Thresholds | None:
        """The scores from which a pair is the same and a query gets a name.

        None if the model has none and `calibrate` has not been called. Can be
        set, such as to `dataclasses.replace(recognizer.thresholds, same=5.0)`.
        """
        return self._thresholds

    @thresholds.setter
    def thresholds(self, thresholds: Thresholds | None):
        if not isinstance(thresholds, Thresholds | None):
            raise InputError(
                f"thresholds is {thresholds!r}: expected Thresholds or None, "
                "such as dataclasses.replace(recognizer.thresholds, same=5.0)."
            )
        with self._lock:
            self._thresholds = thresholds
            self._has_new_thresholds = True

    def __repr__(self):
        """Shows the numbers of known characters and images."""
        return (
            f"Recognizer({len(self.names)} characters, {self.num_images} "
            "images)"
        )

    def copy(self) -> "Recognizer":
        """Copies the recognizer.

        Later changes to one of the two do not affect the other. A copy takes
        little time and memory, as the model is shared, and the index of a large
        gallery is until one of the two adds examples.
        """
        with self._lock:
            twin = object.__new__(type(self))
            # The lock is also shared, because it guards the model.
            twin.__dict__.update(self.__dict__)
            twin._path, twin._changes = None, []
            if self._index is not None:
                twin._index = self._index.copy()
            return twin

    __copy__ = copy

    def __deepcopy__(self, memo):
        """Makes a `copy`."""
        return self.copy()

    def __reduce__(self):
        """Refuses to be pickled."""
        raise InputError(
            "A recognizer cannot be pickled: save it to a folder by save, and "
            "open that by Recognizer.load."
        )

    def read(self, image: ImageLike) -> np.ndarray:
        """Reads an image as the model sees it.

        The result is for `score_examples`; an array of several is for
        `add_drawings`, `classify_drawings`, `embed_drawings`, `group_drawings`
        and `verify_drawings`. Other methods would clean and crop it again.

        Returns:
            uint8: a drawing `[105, 105]`, 0 = ink, 255 = white; or a photo
            `[size, size, 3]`, RGB, in the input size of the model.

        Raises:
            InputError: it cannot be read, or is a drawing without ink.
        """
        return self._drop_gray_channel(self._reader.read(image))

    def _drop_gray_channel(self, images):
        return images if self._reader.photo_size else images[..., 0]

    def read_labelled(self, examples: Labelled) -> tuple[list[str], np.ndarray]:
        """Reads labeled images as the model sees them; see `add`.

        Returns:
            The name of each image, and the images, uint8 `[num, 105, 105]`, or
            photos `[num, size, size, 3]`, as `read` returns them. Those of a
            folder are sorted by name and path.

        Raises:
            InputError: there are no images, or one cannot be read.
        """
        names, images = self._reader.read_labelled(examples)
        return names, self._drop_gray_channel(images)

    def add(self, examples: Labelled, *, replace: bool = False) -> "Recognizer":
        """Adds examples of characters.

        Args:
            examples: a folder with an image (`ka.png`) or a folder of images
                (`ka/1.png`) for each character; a table of images, a `.csv`
                file with the columns `path` and `label`; or a dict from names
                to one or more images.
            replace: whether these examples replace those of names that are
                already known; by default they are added to them.

        Returns:
            The recognizer.

        Raises:
            InputError: an image cannot be read; nothing is added then.
        """
        names, drawings = self.read_labelled(examples)
        return self.add_drawings(names, drawings, replace=replace)

    def add_drawings(
        self, names: Sequence[str], drawings: np.ndarray, *, replace=False
    ) -> "Recognizer":
        """Adds examples that have been read; see `read` and `add`.

        Args:
            names: the character of each drawing, `[num]`.
            drawings: uint8 `[num, 105, 105]`, or photos `[num, size, size,
                3]`.
            replace: as in `add`.

        Raises:
            InputError: the numbers of names and drawings differ.
        """
        names = tuple(normalize_names(names))
        drawings = self._reader.check(drawings)
        if len(names) != len(drawings):
            raise InputError(
                f"There are {len(names)} names and {len(drawings)} drawings: "
                "expected a name for each drawing."
            )
        embeddings = self.embed_drawings(drawings)
        self._change(lambda gallery: gallery.add(names, embeddings, replace))
        return self

    def remove(self, names: str | Iterable[str]) -> "Recognizer":
        """Removes characters.

        Raises:
            InputError: one of them is not known; none is removed then.
        """
        is_one = isinstance(names, str) or not isinstance(names, Iterable)
        names = set(normalize_names([names] if is_one else names))
        self._gallery.without(names)
        # When `save` repeats this, another process may have removed some.
        self._change(lambda x: x.without(names & set(x.names)))
        return self

    def _change(self, change):
        with self._lock:
            self._gallery = change(self._gallery)
            if self._path:
                self._changes.append(change)

    def embed(self, images: ImageLike | Iterable[ImageLike]) -> np.ndarray:
        """Embeds images.

        Returns:
            float32 `[num_images, dim]`, or `[dim]` for a single image.
        """
        images, is_single = list_given_images(images)
        embeddings = self.embed_drawings(self._reader.read_all(images))
        return embeddings[0] if is_single else embeddings

    def embed_drawings(self, drawings: np.ndarray) -> np.ndarray:
        """Embeds drawings that have been read; see `read` and `embed`.

        Args:
            drawings: uint8, as in `add_drawings`.

        Returns:
            float32 `[num, dim]`.

        Raises:
            InputError: they have another shape or dtype.
        """
        drawings = self._reader.check(drawings)
        if not len(drawings):
            return np.empty((0, self._scorer.dim), np.float32)
        with self._lock:
            return self._scorer.embed(drawings)

    def classify(
        self,
        images: ImageLike | Iterable[ImageLike],
        top_k: int = TOP_K,
        threshold: float | None = None,
    ) -> Answer | list[Answer]:
        """Classifies each image as one of the known characters, or none.

        Args:
            images: one image or several. Of a folder, all images are taken,
                also those in its subfolders, sorted by path.
            top_k: the largest number of candidates in an answer.
            threshold: the score from which the best candidate is named; by
                default that of `thresholds` for the number of characters.

        Returns:
            An answer for one image, a list of answers for several, in their
            order.

        Raises:
            InputError: no character is known, or an image cannot be read; to
                skip it, see the guide of `inference`.
        """
        images, is_single = list_given_images(images)
        answers = self.classify_drawings(
            self._reader.read_all(images), top_k, threshold
        )
        return answers[0] if is_single else answers

    def classify_drawings(
        self,
        drawings: np.ndarray,
        top_k: int = TOP_K,
        threshold: float | None = None,
    ) -> list[Answer]:
        """Classifies drawings that have been read; see `read` and `classify`.

        Args:
            drawings: uint8, as in `add_drawings`.
            top_k, threshold: as in `classify`.
        """
        if not isinstance(top_k, int | np.integer) or top_k < 1:
            raise InputError(
                f"top_k is {top_k!r}: expected a whole number, 1 or more."
            )
        check_number("threshold", threshold)
        gallery = self._require_known()
        embeddings = self.embed_drawings(drawings)
        with self._lock:
            answer = self._prepare_answers(gallery, top_k, threshold)
            index = self._get_index(gallery)
            scored = self._score(gallery, index, embeddings, top_k)
            return [answer(names, scores) for names, scores in scored]

    def _require_known(self):
        """The known characters: a snapshot, as other threads may add some."""
        gallery = self._gallery
        if not gallery.names:
            raise InputError(
                "There are no characters to choose among: add some."
            )
        return gallery

    def _prepare_answers(self, gallery, top_k, threshold):
        """Prepares `answer_query` for the names and scores of each query."""
        thresholds = self.thresholds
        if threshold is None and thresholds:
            threshold = thresholds.for_ways(len(gallery.characters))
        return functools.partial(
            answer_query,
            thresholds=thresholds,
            threshold=threshold,
            top_k=top_k,
        )

    def _score(self, gallery, index, embeddings, top_k):
        """Yields names and scores of all characters, or those of an index."""
        given = self._scorer, gallery, embeddings
        if index:
            return score_nearest_characters(*given, index, top_k)
        _warn_if_large(gallery)
        return score_characters(*given)

    def score_examples(
        self, drawing: np.ndarray, names: Sequence[str]
    ) -> list[np.ndarray]:
        """Scores a drawing against each example of some characters.

        Args:
            drawing: uint8, as returned by `read`.
            names: the names of known characters.

        Returns:
            For each character, float32 `[num_examples]`: logits, in the order
            in which its examples were added. Their mean is the character's
            score.

        Raises:
            InputError: a character is not known.
        """
        gallery, names = self._gallery, normalize_names(names)
        for name in names:
            if name not in gallery.characters:
                raise InputError(f"{name!r} is not known: add an example.")
        query = self.embed_drawings(drawing[np.newaxis])
        examples = gallery.find_drawings(map(gallery.characters.index, names))
        with self._lock:
            return [
                self._scorer.score(query, gallery.embeddings[rows])
                for rows in examples
            ]

    def _get_index(self, gallery):
        """Updates and returns the index of a large gallery; or None."""
        if len(gallery.names) <= MIN_DRAWINGS or not is_installed("faiss"):
            return None
        if self._index is None:
            self._index = GalleryIndex(get_head(self._model).distance_weights)
        self._index.update(gallery.embeddings)
        return self._index

    def transcribe(
        self,
        pages: ImageLike | Page | PageFile | FoundPage | Iterable[ImageLike],
        direction: str = "ltr",
        threshold: float | None = None,
    ) -> Transcription | list[Transcription]:
        """Reads pages: finds their symbols and recognizes them.

        Symbols are cropped to their ink, as examples must be. Those of a page
        are recognized together: symbols that look alike get the same name, and
        others different names, as far as possible (see `assignment`). Those
        that look like a confirmed one get its name. They are recognized one by
        one if there are more than 3,000 or very many known characters, with an
        index, or without thresholds. Needs the extra `pages`.

        Args:
            pages: one or more images of pages. A PDF, a TIFF of several pages
                or a folder counts as several. Or a page whose symbols were
                found by `find_on_page`.
            direction: `ltr` or `rtl` for lines that are read from the left or
                from the right; `ttb` for columns, the right one first.
            threshold: as in `classify`.

        Returns:
            A `Transcription` for one page, a list of them for several. It has
            no lines if no clean symbol was found on the page.

        Raises:
            InputError: no character is known, a page cannot be read, the model
                was trained on photos, or `crop` is False.
        """
        self.require_drawings()
        self._require_known()
        check_number("threshold", threshold)
        pages, is_single = list_given_pages(pages)
        read = [self._transcribe(x, direction, threshold) for x in pages]
        return read[0] if is_single else read

    def require_drawings(self):
        """Checks that examples are drawings cropped to their ink, as on pages.

        Raises:
            InputError: the model was trained on photos, or `crop` is False.
        """
        if self._reader.photo_size:
            raise InputError(
                "The model was trained on photos: expected one of drawings, "
                "such as pretrained, to read a page."
            )
        if not self.crop:
            raise InputError(
                "Pages need examples cropped to their ink, and these are whole "
                "images: give --crop (crop=True in Python)."
            )

    def _transcribe(self, page, direction, threshold):
        if not isinstance(page, FoundPage):
            page = page if isinstance(page, Page) else load_page(page)
            page = find_on_page(page, direction)
        answers = self._classify_page(page, threshold)
        return make_transcription(page, answers, self.names)

    def _classify_page(self, found, threshold):
        """Classifies the symbols of a page together, or alone if need be."""
        gallery = self._require_known()
        embeddings = self.embed_drawings(found.drawings)
        with self._lock:
            thresholds = self.thresholds
            answer = self._prepare_answers(gallery, TOP_K, threshold)
            index = self._get_index(gallery)
            scored = self._score(gallery, index, embeddings, TOP_K)
            if index or not can_score_together(
                self._scorer, embeddings, len(gallery.characters), thresholds
            ):
                return [answer(names, scores) for names, scores in scored]
            alone = np.stack([scores for _, scores in scored])
            pair_scores = score_all_pairs(self._scorer, embeddings)
        # Without the lock, as it does not need the model.
        confirmed = gallery.find_characters(found.confirmed)
        together = score_together(alone, pair_scores, thresholds, confirmed)
        return [
            answer(gallery.characters, scores, best=best)
            for scores, best in zip(*together, strict=True)
        ]

    def group_drawings(
        self, drawings: np.ndarray, cut: float | None = None
    ) -> list[np.ndarray]:
        """Groups similar drawings without any examples.

        Args:
            drawings: uint8, as in `add_drawings`, at most 20,000.
            cut: the lowest score of a pair within a group; a higher one makes
                more groups. Chosen automatically by default, see
                `group_by_scores`.

        Returns:
            Indices of the drawings of each group, the largest group first, and
            the clearest drawing of each group first.

        Raises:
            InputError: there are too many drawings, or the extra `pages` is
                missing.
        """
        check_number("cut", cut)
        drawings = self._reader.check(drawings)
        if len(drawings) > MAX_DRAWINGS:
            raise InputError(
                f"There are {len(drawings)} symbols: expected at most "
                f"{MAX_DRAWINGS}; take fewer pages."
            )
        chunks = iterate_chunks(len(drawings), DRAWINGS_AT_ONCE, "Embedding")
        parts = [self.embed_drawings(drawings[chunk]) for chunk in chunks]
        if not parts:
            return []
        with self._lock:
            scores = score_all_pairs(self._scorer, np.concatenate(parts))
        lowest = self.thresholds and self.thresholds.same
        return group_by_scores(scores, len(drawings), lowest, cut)

    def verify(
        self,
        first: ImageLike | Iterable[ImageLike],
        second: ImageLike | Iterable[ImageLike],
        threshold: float | None = None,
    ) -> Verdict | list[Verdict]:
        """Decides whether two images show the same character.

        Args:
            first, second: one image each, or the same number of images each.
            threshold: the score from which they count as the same; by default
                that of `thresholds`.

        Returns:
            A verdict for single images, a list of verdicts for several.

        Raises:
            InputError: an image cannot be read, or `first` and `second` differ
                in number.
        """
        first, is_single = list_given_images(first)
        second, _ = list_given_images(second)
        _require_twins(first, second)
        labels = [
            f"`{name}`" if is_single else f"Image {number} of `{name}`"
            for name in ("first", "second")
            for number in range(1, len(first) + 1)
        ]
        drawings = self._reader.read_all([*first, *second], labels)
        verdicts = self.verify_drawings(
            drawings[: len(first)], drawings[len(first) :], threshold
        )
        return verdicts[0] if is_single else verdicts

    def verify_drawings(
        self,
        first: np.ndarray,
        second: np.ndarray,
        threshold: float | None = None,
    ) -> list[Verdict]:
        """Compares drawings that have been read; see `read` and `verify`.

        Args:
            first, second: uint8, as in `add_drawings`, the same number of each.
            threshold: as in `verify`.
        """
        _require_twins(first, second)
        check_number("threshold", threshold)
        num = len(first)
        drawings = np.concatenate(
            [self._reader.check(first), self._reader.check(second)]
        )
        embeddings = self.embed_drawings(drawings)
        with self._lock:
            scores = self._scorer.score(embeddings[:num], embeddings[num:])
        return [
            judge_pair(float(score), self.thresholds, threshold)
            for score in scores
        ]

    def calibrate(self, labelled: Labelled, *, seed: int = 0):
        """Fits the thresholds to labeled images like those to recognize.

        Nothing is trained. The thresholds are stored by `save`. They are fitted
        for as many candidates as there are other characters, at most 200, and
        extrapolated to 20.

        Args:
            labelled: images as in `add`, two or more of each of three or more
                characters; the more, the better. The model should not have been
                trained on them.
            seed: the random seed of the pairs and trials that are scored.

        Returns:
            A `CalibrationReport` of the error rates at these thresholds. A
            warning says if there are too few characters to rely on them.

        Raises:
            InputError: there are too few characters or images.
        """
        names, images = self._reader.read_labelled(labelled)
        characters = group_by_name(names, images)
        with self._lock:
            calibration = calibrate(
                EmbeddedDrawings(self._scorer, characters.images),
                characters,
                ways=min(MAX_CALIBRATION_WAYS, characters.num_characters - 1),
                seed=seed,
            )
            self.thresholds = calibration.thresholds
        if characters.num_characters < FEW_CHARACTERS:
            warn(
                f"The thresholds were fitted to {characters.num_characters} "
                "characters, too few to rely on, above all for unknown ones: "
                f"calibrate with {FEW_CHARACTERS} or more."
            )
        return CalibrationReport.from_calibration(calibration, len(names))

    def evaluate(
        self, labelled: Labelled, threshold: float | None = None
    ) -> Evaluation:
        """Measures how well labeled images are recognized.

        Args:
            labelled: images as in `add`, but other ones than the examples.
                Characters that are not known count as strangers.
            threshold: as in `classify`.

        Returns:
            How many images are named correctly, incorrectly, or not at all. If
            no name is known, there is a `DataWarning`.
        """
        names, drawings = self.read_labelled(labelled)
        with self._lock:  # so that no other thread changes the characters
            answers = self.classify_drawings(drawings, 2, threshold)
            known = set(self.names)
        if known.isdisjoint(names):
            warn(
                "No label is the name of a known character (the first label "
                f"is {names[0]!r}): all images count as strangers. In a "
                "folder, an image is named after its own folder, or its file."
            )
        return Evaluation.from_answers(names, answers, known)

    def save(self, path: str | os.PathLike, *, if_exists: str = "fail"):
        """Saves the recognizer to a self-contained folder.

        Saving to the location it was loaded from or first saved to applies only
        the changes made since then, so that characters added there by other
        processes are kept. This recognizer then knows them, too. Saving
        elsewhere makes a copy.

        Args:
            path: a folder, or a file that ends in `.npz`, which stores only the
                known characters.
            if_exists: what to do if `path` has another recognizer: `fail`,
                `replace` it, or `merge`, which adds the characters to it and
                replaces those of the same name.

        Raises:
            InputError: `path` has another recognizer, one of another model or
                `crop`, or other files; it ends in the suffix of another kind of
                file; it is an `.npz` file, but the thresholds are not the
                model's own; or it cannot be written.
        """
        if if_exists not in ("fail", "merge", "replace"):
            raise InputError(
                f"if_exists is {if_exists!r}: expected fail, merge or replace."
            )
        path = expand_home(path).resolve()
        storage.refuse_other_files(path)
        own = get_thresholds(self._model)
        if storage.is_gallery(path) and self._thresholds != own:
            raise InputError(
                f"{path} cannot hold thresholds, and these are not the model's "
                "own: save to a folder."
            )
        # In this order, so that others can use the model while this waits for
        # another process.
        with storage.lock(path), self._lock:
            is_own = self._path in (None, path)
            saved = self
            if storage.is_stored(path) and if_exists != "replace":
                if path != self._path and if_exists == "fail":
                    raise InputError(
                        f"{path} exists already: load it to add to it, or give "
                        "if_exists='merge' or 'replace', or another path."
                    )
                # What is saved elsewhere does not change this recognizer.
                saved = self if is_own else self.copy()
                saved._merge(path)
            index = None
            if not storage.is_gallery(path):
                index = saved._get_index(saved._gallery)
            storage.write(path, saved._to_stored(), self._model, index)
            if is_own:
                self._path, self._changes = path, []
                self._has_new_thresholds = False

    def _merge(self, path):
        """Merges with the recognizer stored at `path`.

        If this one was loaded from there or saved to it, only the changes since
        then are applied; otherwise all characters are added.
        """
        stored = storage.read(path)
        stored.require_origin(path, self._fingerprint, self.crop)
        gallery = stored.gallery
        if path == self._path:
            for change in self._changes:
                gallery = change(gallery)
        else:
            own = self._gallery
            gallery = gallery.add(own.names, own.embeddings, replace=True)
        self._gallery = gallery
        if stored.model and not self._has_new_thresholds:
            self._thresholds = stored.thresholds

    def _to_stored(self):
        return storage.Stored(
            self._gallery,
            self._fingerprint,
            self.crop,
            self._model_name,
            self._thresholds,
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        model: keras.Model | str | os.PathLike | None = None,
        *,
        crop: bool | None = None,
    ) -> "Recognizer":
        """Loads a saved recognizer.

        Args:
            path: a folder, or an `.npz` file.
            model: the model that embedded an `.npz` file, by default
                `pretrained`. A folder has its own. For what the model
                `pretrained` of a version before 0.2 embedded, this takes
                `pretrained_large`, which is the same.
            crop: if given, the recognizer must have been made with it.

        Raises:
            InputError: it cannot be read, or was made with another model or
                another `crop`.
        """
        if str(path) in PACKAGED and not Path(path).exists():
            raise InputError(
                f"{path} is a model, not a saved recognizer: use "
                f"Recognizer({str(path)!r})."
            )
        path = expand_home(path).resolve()
        stored = storage.read(path)
        recognizer = cls(stored.choose_model(model))
        crop = stored.crop if crop is None else crop
        stored.require_origin(path, recognizer._fingerprint, crop)
        recognizer._reader = Reader.for_model(recognizer.model, crop)
        recognizer._gallery = stored.gallery
        recognizer._index = storage.read_index(
            stored, get_head(recognizer.model).distance_weights
        )
        if stored.model:
            recognizer._thresholds = stored.thresholds
        recognizer._path = path
        return recognizer


def _warn_if_large(gallery):
    if len(gallery.names) > MIN_DRAWINGS:
        warn(
            f"{len(gallery.names)} images are compared one by one: "
            f"{explain_installation('faiss')} for a faster search."
        )


def _require_twins(first, second):
    if len(first) != len(second):
        raise InputError(
            f"`first` has {len(first)} images and `second` has {len(second)}: "
            "they must have the same number."
        )
