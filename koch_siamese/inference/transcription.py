"""Transcriptions of pages: symbols line by line, and their names."""

import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from koch_siamese.data.image_files import read_symbol
from koch_siamese.data.page_files import Page
from koch_siamese.images import IMAGE_SIZE
from koch_siamese.inference.gallery import Answer
from koch_siamese.pages.reading import find_symbols
from koch_siamese.pages.spacing import find_word_starts

UNKNOWN = "?"  # stands for a symbol without a name


@dataclasses.dataclass(frozen=True)
class FoundSymbol:
    """A symbol of a page, not recognized yet.

    Attributes:
        box: left, top, right and bottom in pixels of the upright page, right
            and bottom exclusive.
        drawing: uint8 `[105, 105]`, only its ink, as the model sees it.
        confirmed: the name that a person gave it, if any; see `review`.
        starts_word: whether it is the first of its line or after a wide gap.
    """

    box: tuple[int, int, int, int]
    drawing: np.ndarray = dataclasses.field(repr=False, compare=False)
    confirmed: str | None = dataclasses.field(default=None, kw_only=True)
    starts_word: bool = dataclasses.field(default=False, kw_only=True)


@dataclasses.dataclass(frozen=True)
class FoundPage:
    """A page with its symbols, not recognized yet.

    Attributes:
        page: the page.
        lines: the symbols of each line in reading order; empty if no clean
            symbol was found.
    """

    page: Page
    lines: tuple[tuple[FoundSymbol, ...], ...]

    @property
    def drawings(self) -> np.ndarray:
        """The drawings of all symbols, uint8 `[num, 105, 105]`."""
        drawings = [symbol.drawing for line in self.lines for symbol in line]
        return np.array(drawings, np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)

    @property
    def confirmed(self) -> list[str | None]:
        """The names that a person gave to the symbols, in the same order."""
        return [symbol.confirmed for line in self.lines for symbol in line]


@dataclasses.dataclass(frozen=True)
class RecognizedSymbol(FoundSymbol):
    """A recognized symbol of a page.

    Attributes:
        box, drawing, confirmed, starts_word: see `FoundSymbol`.
        answer: the recognizer's answer.
    """

    answer: Answer

    @property
    def name(self) -> str | None:
        """Its name, or None for none of the known characters."""
        return self.confirmed or self.answer.name

    def to_json(self) -> dict[str, object]:
        """The symbol as `transcribe --json` prints it."""
        answer = self.answer.to_json()
        del answer["candidates"]
        confirmed = self.confirmed is not None
        own = {
            "character": self.name,
            "confirmed": confirmed,
            "starts_word": self.starts_word,
        }
        return {"box": list(self.box)} | answer | own


@dataclasses.dataclass(frozen=True)
class Transcription:
    """The recognized symbols of a page.

    Attributes:
        page: its path, with `#page=2` for a page of a PDF; empty if the image
            is not a file.
        size: width and height of the upright page in pixels.
        lines: the symbols of each line in reading order; empty if no clean
            symbol was found.
        separator: the text between two names of a word in `text`: nothing if
            all known names are single characters, else a space. Between words
            there is one space more.
    """

    page: str
    size: tuple[int, int]
    lines: tuple[tuple[RecognizedSymbol, ...], ...]
    separator: str = " "

    @property
    def symbols(self) -> tuple[RecognizedSymbol, ...]:
        """All symbols in reading order."""
        return tuple(symbol for line in self.lines for symbol in line)

    @property
    def text(self) -> str:
        """The name of each symbol, `?` if it has none, line by line."""
        return "\n".join(map(self.join, self.lines))

    def join(self, symbols: Sequence[RecognizedSymbol]) -> str:
        """Joins the names of a line, or of a word, to its text."""
        words = [
            self.separator.join(x.name or UNKNOWN for x in word)
            for word in split_words(symbols)
        ]
        return f"{self.separator} ".join(words)

    def to_json(self) -> dict[str, object]:
        """The page as `transcribe --json` prints it."""
        return {
            "page": self.page,
            "lines": [[x.to_json() for x in line] for line in self.lines],
        }


def split_words(
    line: Sequence[RecognizedSymbol],
) -> list[Sequence[RecognizedSymbol]]:
    """Splits the symbols of a line into words."""
    starts = [i for i, x in enumerate(line) if x.starts_word or i == 0]
    return [
        line[start:end]
        for start, end in itertools.pairwise([*starts, len(line)])
    ]


def find_on_page(page: Page, direction: str = "ltr") -> FoundPage:
    """Finds the symbols of a page.

    Args:
        page: the page.
        direction: `ltr` or `rtl` for lines that are read from the left or from
            the right; `ttb` for columns, the right one first.

    Raises:
        InputError: the direction is unknown, or the extra `pages` is missing.
    """
    found = find_symbols(page.pixels, direction)
    starts = _find_word_starts(found, direction)
    lines = tuple(
        tuple(
            FoundSymbol(
                tuple(round(x * page.scale) for x in symbol.box),
                read_symbol(symbol.drawing),
                starts_word=bool(starts_word),
            )
            for symbol, starts_word in zip(*line, strict=True)
        )
        for line in zip(found, starts, strict=True)
    )
    return FoundPage(page, lines)


def _find_word_starts(lines, direction):
    """Finds the symbols that start a word, from their boxes."""
    boxes = [np.array([x.box for x in line], float) for line in lines]
    if not boxes:
        return []
    sides = np.concatenate(boxes)
    size = np.median((sides[:, 2:] - sides[:, :2]).max(1))
    ends = [x[:, 1::2] if direction == "ttb" else x[:, ::2] for x in boxes]
    if direction == "rtl":
        ends = [-x[:, ::-1] for x in ends]
    return find_word_starts(ends, size)


def make_transcription(
    found: FoundPage, answers: Iterable[Answer], names: Iterable[str]
) -> Transcription:
    """Combines a page with the answers to its symbols.

    Args:
        found: the page.
        answers: one for each of its symbols, in reading order.
        names: the names of the known characters.
    """
    rest = iter(answers)
    recognized = tuple(
        tuple(
            RecognizedSymbol(
                x.box,
                x.drawing,
                next(rest),
                confirmed=x.confirmed,
                starts_word=x.starts_word,
            )
            for x in line
        )
        for line in found.lines
    )
    separator = "" if all(map(_is_single, names)) else " "
    page = found.page
    return Transcription(page.name, page.size, recognized, separator)


def _is_single(name):
    """Whether a name is one character, not counting its combining marks."""
    marks = ("Mn", "Mc", "Me", "Cf")
    return sum(unicodedata.category(x) not in marks for x in name) == 1


def name_symbol(page: str, line: int, number: int) -> str:
    """Describes where a symbol is, as a part of a file name.

    Args:
        page: the page's name, see `Page`.
        line, number: the line, and the symbol within it, counted from 1.
    """
    page = re.sub(r"[^\w.-]", "_", Path(page).name)[:80] or "page"
    return f"{page}_line{line:02}_symbol{number:02}"
