"""A folder in which a person corrects transcriptions.

`doubtful/NAME/` has the symbols that a recognizer is unsure of, by best guess.
A person moves them to `confirmed/NAME/` of the right name, and the next run
uses them as examples. A file that was moved to another name within `doubtful`
also counts as confirmed. Each file stores the page, box and guess of its
symbol, so that it can be moved and renamed.
"""

import collections
import contextlib
import dataclasses
import itertools
import re
from pathlib import Path
from urllib.parse import quote, unquote

from PIL import Image

from koch_siamese.data.image_files import write_drawing
from koch_siamese.data.image_paths import list_images, normalize_name
from koch_siamese.data.page_files import Page
from koch_siamese.errors import InputError
from koch_siamese.inference.transcription import (
    FoundPage,
    RecognizedSymbol,
    Transcription,
    name_symbol,
)
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.paths import expand_home
from koch_siamese.runs.results import writing

DOUBTFUL, CONFIRMED = "doubtful", "confirmed"
# Least lead of the best candidate over the runner-up, in log odds. On pages of
# validation alphabets, 3 % of the symbols that are not doubtful are wrong.
MIN_LEAD = 1.5
PAGE, BOX, GUESS = "Page", "Box", "Guess"  # keys of the texts in a file
UNSAFE = re.compile(r'^\.|[%\\:*?"<>|\x00-\x1f\x7f]')


@dataclasses.dataclass(frozen=True)
class _Stored:
    """A symbol in a file; files that a person made have only a name."""

    path: Path
    name: str
    guess: str | None = None
    page: str | None = None
    box: str | None = None


def is_doubtful(
    symbol: RecognizedSymbol, thresholds: Thresholds | None
) -> bool:
    """Tells whether a symbol has no name, or a close runner-up."""
    if symbol.confirmed:
        return False
    best, runner_up = symbol.answer.best, symbol.answer.runner_up
    if symbol.answer.name is None or runner_up is None:
        return symbol.answer.name is None
    slope = thresholds.slope if thresholds else 1
    return slope * (best.score - runner_up.score) < MIN_LEAD


class ReviewFolder:
    """A folder of symbols that a person has confirmed, and of doubtful ones.

    Attributes:
        examples: the files of confirmed symbols, by name.
    """

    def __init__(self, path: str | Path):
        """Reads the folder, if it exists.

        Raises:
            InputError: it is not a folder, or a symbol was confirmed under two
                names.
        """
        self._path = expand_home(path)
        if self._path.exists() and not self._path.is_dir():
            raise InputError(f"--review={path} is a file: give a folder.")
        confirmed = self._read(CONFIRMED)
        moved, self._untouched = [], collections.defaultdict(list)
        for symbol in self._read(DOUBTFUL):
            if symbol.guess != _to_text(symbol.name):
                moved.append(symbol)
            else:
                self._untouched[symbol.page].append(symbol.path)
        self.examples: dict[str, list[Path]] = {}
        self._names = {}  # by page and box
        for symbol in (*confirmed, *moved):
            self.examples.setdefault(symbol.name, []).append(symbol.path)
            if symbol.page:
                self._confirm(symbol)

    def _confirm(self, symbol):
        key = symbol.page, symbol.box
        known = self._names.setdefault(key, symbol)
        if known.name != symbol.name:
            raise InputError(
                f"{known.path} and {symbol.path} are one symbol of a page "
                "under two names: remove one of them."
            )

    def _read(self, part):
        """Reads the symbols in a part of the folder."""
        root = self._path / part
        if not root.is_dir():
            return []
        files = list_images(root, may_be_empty=True)
        return [_read_symbol(root, file) for file in files]

    def confirm(self, found: FoundPage) -> FoundPage:
        """Gives the symbols of a page the names that a person confirmed."""
        lines = tuple(
            tuple(
                dataclasses.replace(symbol, confirmed=known.name)
                if (known := self._names.get(_key(found.page, symbol)))
                else symbol
                for symbol in line
            )
            for line in found.lines
        )
        return dataclasses.replace(found, lines=lines)

    def write_doubtful(
        self,
        page: Page,
        transcription: Transcription,
        thresholds: Thresholds | None,
    ) -> int:
        """Writes the doubtful symbols of a page, and removes earlier ones.

        Files of other pages, and files that a person has named, are kept.

        Returns:
            The number of doubtful symbols.

        Raises:
            InputError: they cannot be written.
        """
        doubtful = [
            (name_symbol(page.name, i, j), symbol)
            for i, line in enumerate(transcription.lines, 1)
            for j, symbol in enumerate(line, 1)
            if is_doubtful(symbol, thresholds)
        ]
        with writing(self._path):
            (self._path / CONFIRMED).mkdir(parents=True, exist_ok=True)
            self._remove_earlier(page)
            for name, symbol in doubtful:
                self._write(page, name, symbol)
        return len(doubtful)

    def _remove_earlier(self, page):
        for path in self._untouched.pop(page.digest, ()):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # other files are there, or none
                path.parent.rmdir()

    def _write(self, page, name, symbol):
        guess = symbol.answer.best.name
        folder = self._path / DOUBTFUL / to_folder(guess)
        folder.mkdir(parents=True, exist_ok=True)
        texts = dict(zip((PAGE, BOX), _key(page, symbol), strict=True))
        with _open_new(folder, name) as file:
            write_drawing(
                file, symbol.drawing, texts | {GUESS: _to_text(guess)}
            )
        self._untouched[page.digest].append(Path(file.name))


def _open_new(folder, name):
    """Opens a new PNG file for writing; adds a number to a name in use."""
    for number in itertools.count(1):
        suffix = f"_{number}" if number > 1 else ""
        with contextlib.suppress(FileExistsError):
            return (folder / f"{name}{suffix}.png").open("xb")


def to_folder(name: str) -> Path:
    """The folder of a character, nested for `alphabet/character`.

    Characters that file names may not have are percent-encoded, `%3A` for a
    colon; slashes only if a part of the name would be empty.
    """
    if not all(name.split("/")):
        return Path(quote(name, safe="") or "_")
    parts = [
        UNSAFE.sub(
            lambda found: quote(found[0], safe="").replace(".", "%2E"), x
        )
        for x in name.split("/")
    ]
    return Path(*parts)


def _read_symbol(root, file):
    folder = file.relative_to(root).parent
    if not folder.parts:
        raise InputError(
            f"{file} is not in a character's folder: move it to "
            f"{root / 'NAME' / file.name}."
        )
    name = normalize_name(unquote("/".join(folder.parts)))
    try:
        with Image.open(file, formats=["PNG"]) as image:  # as it is written
            info = image.info
    except Exception:  # Pillow raises anything
        info = {}  # the error is reported when the image is read
    return _Stored(file, name, info.get(GUESS), info.get(PAGE), info.get(BOX))


def _to_text(name):
    """Replaces what UTF-8 cannot have: a file name may be in another code."""
    return name.encode("utf-8", "backslashreplace").decode()


def _key(page, symbol):
    return page.digest, ",".join(map(str, symbol.box))
