"""A session of the demo: a visitor's examples, with their pictures."""

import dataclasses
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from koch_siamese.data.image_paths import normalize_name
from koch_siamese.data.page_files import Page, list_pages, load_page
from koch_siamese.errors import InputError
from koch_siamese.images import ImageLike
from koch_siamese.inference.gallery import Answer, Verdict
from koch_siamese.inference.recognizer import Recognizer
from koch_siamese.inference.transcription import Transcription
from koch_siamese.models.siamese import get_photo_size

MAX_ADDED = 500  # examples that a visitor may add: about 10 MB
MAX_NAME_LENGTH = 100
MAX_PAGES = 10  # of a PDF
TOP_K = 5  # candidates in an answer


class Session:
    """A visitor's own recognizer, and pictures of its examples.

    All sessions share one model, and start with the same examples. Methods may
    be called from several threads.

    Attributes:
        pictures: the examples of each name that has any, as returned by `read`,
            in the order in which they were added. The first ones may be
            missing, as a stored recognizer has none.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        pictures: Mapping[str, Sequence[np.ndarray]] | None = None,
        num_added: int = 0,
    ):
        """Makes a session.

        Args:
            recognizer: a recognizer that nobody else uses.
            pictures: see the attribute.
            num_added: the number of examples that the visitor has added.
        """
        self._recognizer = recognizer
        self.pictures = dict(pictures or {})
        self._num_added = num_added
        self._lock = threading.Lock()

    @classmethod
    def start(cls, recognizer: Recognizer, support: str | None = None):
        """Makes the session that all others start from.

        Args:
            recognizer: a recognizer, which may already know characters.
            support: a folder or a table of examples to add; see
                `Recognizer.add`.

        Raises:
            InputError: the examples cannot be read.
        """
        pictures = {}
        if support:
            names, drawings = recognizer.read_labelled(support)
            recognizer.add_drawings(names, drawings)
            for name, drawing in zip(names, drawings, strict=True):
                pictures.setdefault(name, []).append(drawing)
        return cls(recognizer, pictures)

    def __deepcopy__(self, memo):
        """Makes a visitor's session: Gradio copies the first one for each."""
        with self._lock:
            return Session(
                self._recognizer.copy(), self.pictures, self._num_added
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The known names, sorted."""
        return self._recognizer.names

    @property
    def num_examples(self) -> int:
        """The number of examples of all names."""
        return self._recognizer.num_images

    def read(self, image: ImageLike) -> np.ndarray:
        """Reads an image as the model sees it; see `Recognizer.read`."""
        return self._recognizer.read(image)

    def add(self, image: ImageLike, name: str):
        """Adds an example.

        Raises:
            InputError: there is no name, or it is too long; the image cannot be
                read; or the visitor has added too many examples.
        """
        name = _check_name(name)
        drawing = self.read(image)
        with self._lock:
            if self._num_added >= MAX_ADDED:
                raise InputError(
                    f"You have added {MAX_ADDED} examples, and there can be no "
                    "more: remove some first."
                )
            self._recognizer.add_drawings([name], drawing[np.newaxis])
            self._num_added += 1
            known = (*self.pictures.get(name, ()), drawing)
            self.pictures = self.pictures | {name: known}

    def remove(self, name: str):
        """Removes all examples of a name.

        Raises:
            InputError: the name is not known.
        """
        name = clean_name(name)
        with self._lock:
            before = self.num_examples
            self._recognizer.remove(name)
            removed = before - self.num_examples
            self._num_added = max(0, self._num_added - removed)
            self.pictures = {
                x: y for x, y in self.pictures.items() if x != name
            }

    def classify(self, drawing: np.ndarray, top_k: int = TOP_K) -> Answer:
        """Classifies a drawing as one of the known symbols, or none.

        Args:
            drawing: as returned by `read`.
            top_k: the largest number of candidates in the answer.

        Raises:
            InputError: no symbol is known.
        """
        self._require_names()
        (answer,) = self._recognizer.classify_drawings(drawing[None], top_k)
        return answer

    def _require_names(self):
        if not self.names:
            raise InputError(
                "There are no examples yet: add one of each symbol first."
            )

    def find_examples(
        self, drawing: np.ndarray, names: Sequence[str]
    ) -> list[np.ndarray | None]:
        """Finds the example of each name that is most similar to a drawing.

        Args:
            drawing: as returned by `read`.
            names: some of the known names.

        Returns:
            A picture for each name; None if the best example has none.
        """
        found = []
        for name, scores in zip(
            names, self._recognizer.score_examples(drawing, names), strict=True
        ):
            pictures = self.pictures.get(name, ())
            index = int(np.argmax(scores)) - len(scores) + len(pictures)
            found.append(pictures[index] if index >= 0 else None)
        return found

    def verify(self, first: np.ndarray, second: np.ndarray) -> Verdict:
        """Decides whether two drawings show the same symbol; see `read`."""
        (verdict,) = self._recognizer.verify_drawings(
            first[np.newaxis], second[np.newaxis]
        )
        return verdict

    @property
    def can_read_pages(self) -> bool:
        """Whether the model was trained on drawings, not on photos."""
        return not get_photo_size(self._recognizer.model)

    def transcribe(
        self, path: str, direction: str = "ltr"
    ) -> list[tuple[Page, Transcription]]:
        """Reads a page, or the pages of a PDF.

        Args:
            path: an image or a PDF; in answers it is named without its folder.
            direction: see `Recognizer.transcribe`.

        Raises:
            InputError: no symbol is known, the file cannot be read, or it has
                too many pages.
        """
        self._require_names()
        if not path:
            raise InputError("No page is given: expected an image or a PDF.")
        folder = f"{Path(path).parent}{os.sep}"
        try:
            files = list_pages(path)
            if len(files) > MAX_PAGES:
                raise InputError(
                    f"The PDF has {len(files)} pages: expected at most "
                    f"{MAX_PAGES} here; koch_siamese.transcribe reads more."
                )
            pages = [load_page(file) for file in files]
        except InputError as error:
            # Visitors need not know where the server keeps it.
            raise InputError(str(error).replace(folder, "")) from error
        pages = [
            dataclasses.replace(x, name=x.name.removeprefix(folder))
            for x in pages
        ]
        return [
            (page, self._recognizer.transcribe(page, direction))
            for page in pages
        ]

    def draw(self, page: Page, transcription: Transcription) -> Image.Image:
        """Draws a page with a box around each symbol, and its name above."""
        # Imported here, because it imports Matplotlib.
        from koch_siamese.reporting.page_figures import draw_transcription

        examples = {x: y[0] for x, y in self.pictures.items()}
        return draw_transcription(page, transcription, self.names, examples)

    def warm_up(self):
        """Compiles the model, so that the first answer is fast."""
        image = Image.new("RGB", (99, 99), "white")
        ImageDraw.Draw(image).rectangle((20, 40, 80, 50), fill="black")
        drawing = self.read(image)
        scratch = Session(self._recognizer.copy())
        # One image, then two: a model that is compiled is compiled for each.
        scratch.add(image, "x")
        scratch.verify(drawing, drawing)
        scratch.find_examples(drawing, ["x"])
        scratch.classify(drawing)


def clean_name(name: str | None) -> str:
    """Removes spaces around a name, and normalizes it."""
    return normalize_name((name or "").strip())


def _check_name(name):
    name = clean_name(name)
    if not name:
        raise InputError("The example has no name: give the symbol's name.")
    if len(name) > MAX_NAME_LENGTH:
        raise InputError(
            f"The name has {len(name)} characters: expected at most "
            f"{MAX_NAME_LENGTH}."
        )
    return name
