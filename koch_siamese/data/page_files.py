"""Finds and reads pages: images, and the pages of PDF and TIFF files."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import re
import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from koch_siamese.data.image_errors import make_image_error
from koch_siamese.data.image_files import MAX_PAGE_SIDE, check_size, read_page
from koch_siamese.data.image_paths import (
    FORMATS,
    PDF,
    get_formats,
    is_pdf,
    list_images,
    require_path,
)
from koch_siamese.errors import InputError, shorten, warn
from koch_siamese.extras import explain_installation
from koch_siamese.images import ImageLike
from koch_siamese.paths import expand_home

NUMBERED = re.compile(r"(.+)#page=([1-9]\d{0,8})")
PDF_SCALE = 300 / 72  # pixels per point, for 300 dpi

# PDFium corrupts memory if two threads use it, even for different files.
_pdfium = threading.Lock()


@dataclasses.dataclass(frozen=True)
class PageFile:
    """A page in a file.

    Attributes:
        path: an image or a PDF file.
        number: the page of a PDF, or of a TIFF with several, from 1; None for
            an image.
    """

    path: Path
    number: int | None = None

    def __str__(self):
        """The path, with `#page=2` if the file has several pages."""
        return (
            f"{self.path}#page={self.number}" if self.number else str(self.path)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """The image of a page.

    Attributes:
        name: a path, with `#page=2` for a page of a PDF; empty if the image is
            not a file.
        pixels: uint8 `[height, width, 3]`, upright, at most `MAX_PAGE_SIDE`
            pixels long.
        size: width and height of the upright page in pixels, the unit of boxes.
            Images have their stored size, PDFs that of 300 dpi, or less if
            `MAX_PAGE_SIDE` requires it.
    """

    name: str
    pixels: np.ndarray
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels of the upright page per pixel of `pixels`."""
        return self.size[0] / self.pixels.shape[1]

    @functools.cached_property
    def digest(self) -> str:
        """A hash of the pixels, which does not depend on the file's name."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels))
        return digest.hexdigest()[:16]


def list_pages(path: str | os.PathLike) -> list[PageFile]:
    """Lists the pages of a file, or of a folder and its subfolders.

    A file that cannot be read counts as one page; `load_page` reports why.

    Args:
        path: the file or folder; `book.pdf#page=2` is one page of a file.

    Returns:
        The pages, sorted by folder, name and number.

    Raises:
        InputError: the path does not exist or has no pages.
    """
    numbered = _find_numbered(path)
    if numbered:
        return [numbered]
    root = require_path(path)
    files = list_images(root, others=(PDF,))
    return [page for file in files for page in _list_pages_of(file)]


def _find_numbered(path):
    """Finds the page that `book.pdf#page=2` names; None for other paths."""
    match = NUMBERED.fullmatch(str(path))
    if not match:
        return None
    page = PageFile(expand_home(match[1]), int(match[2]))
    try:
        is_page = page.path.is_file() and not expand_home(path).exists()
    except OSError:  # for example, the name is too long
        return None
    return page if is_page else None


def _list_pages_of(file):
    num = 1
    if is_pdf(file):
        with contextlib.suppress(InputError), _open_pdf(file) as document:
            num = len(document)
    elif file.suffix.lower() in FORMATS["TIFF"]:
        num = _count_frames(file)
    if num == 1 and not is_pdf(file):
        return [PageFile(file)]
    return [PageFile(file, i + 1) for i in range(num)]


def _count_frames(file):
    """Counts the pages of a TIFF; one, if it is broken."""
    try:
        with Image.open(file, formats=tuple(get_formats())) as image:
            return getattr(image, "n_frames", 1)
    except Exception as error:  # Pillow raises anything for broken files.
        warn(
            f"{str(file)!r} is damaged ({shorten(error)}): only its "
            "first page is read, if any."
        )
        return 1


def load_page(page: PageFile | ImageLike) -> Page:
    """Reads a page.

    Args:
        page: a page of a file; or an image, see `read_drawing`; or the path of
            a page, such as `book.pdf#page=2`. The number may be left out if a
            PDF has one page; of a TIFF, the first one is read then.

    Raises:
        InputError: it cannot be read, or is a PDF of several pages.
    """
    if isinstance(page, str | os.PathLike):
        page = _find_numbered(page) or _find_only_page(expand_home(page))
    if isinstance(page, PageFile):
        if page.number:
            return _render(page) if is_pdf(page.path) else _load_frame(page)
        return Page(str(page), *read_page(page.path))
    return Page("", *read_page(page))


def _find_only_page(file):
    if not (is_pdf(file) and file.is_file()):
        return PageFile(file)
    with _open_pdf(file) as document:
        num = len(document)
    if num > 1:
        raise make_image_error(
            file, f"has {num} pages", "one page", f"give '{file}#page=2'"
        )
    return PageFile(file, 1)


def _load_frame(page):
    """Reads a page of a TIFF that has several."""
    try:
        with Image.open(page.path, formats=tuple(get_formats())) as image:
            image.seek(page.number - 1)
            check_size(str(page), image.size)
            frame = ImageOps.exif_transpose(image)
    except InputError:
        raise
    except Exception as error:  # Pillow raises anything for broken files.
        raise _explain(page, error) from error
    return Page(str(page), *read_page(frame))


def _render(page):
    """Renders a page of a PDF at 300 dpi, or less if that is too large."""
    with _open_pdf(page.path) as document:
        try:
            with contextlib.closing(document[page.number - 1]) as sheet:
                pixels = _render_sheet(page, sheet)
        except InputError:
            raise
        except Exception as error:  # PDFium raises anything for broken files.
            raise _explain(page, error) from error
    height, width, _ = pixels.shape
    return Page(str(page), pixels, (width, height))


def _render_sheet(page, sheet):
    scale = min(PDF_SCALE, MAX_PAGE_SIDE / max(sheet.get_size()))
    size = [math.ceil(scale * side) for side in sheet.get_size()]
    check_size(str(page), size)
    with contextlib.closing(sheet.render(scale=scale)) as bitmap:
        return np.array(bitmap.to_pil().convert("RGB"))


@contextlib.contextmanager
def _open_pdf(file):
    """Yields the document of a PDF, and keeps other threads out of PDFium."""
    try:
        import pypdfium2
    except ImportError as error:
        raise make_image_error(
            file,
            "is a PDF, which needs an extra",
            f"{explain_installation('pypdfium2')}, or an image",
            "install it, or save the pages as images",
        ) from error
    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(file)
        except Exception as error:  # for example, it has a password
            raise _explain(file, error) from error
        with contextlib.closing(document):
            yield document


def _explain(file, error):
    return make_image_error(
        str(file),
        f"cannot be read ({shorten(error)})",
        "a PDF without a password, or a TIFF",
        "save it again, or as images",
    )
