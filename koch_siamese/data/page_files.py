"""Finds and reads pages: images, and the pages of PDF and TIFF files."""

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from koch_siamese.data.image_files import (
    FORMATS,
    MAX_PAGE_SIDE,
    ImageLike,
    check_size,
    complaint,
    list_images,
    read_page,
    require_path,
)
from koch_siamese.errors import InputError

PDF = ".pdf"
PDF_SCALE = 300 / 72  # 300 dpi: pixels of a point
EXTRA = "pip install 'koch-siamese[pages]'"


@dataclasses.dataclass(frozen=True)
class PageFile:
    """Where a page is.

    Attributes:
        path: an image or a PDF file.
        number: of the page in a PDF, or in a TIFF with several, from 1; None of
            an image.
    """

    path: Path
    number: int | None = None

    def __str__(self):
        """The path, and which page of a PDF, as in the address of one."""
        return (
            f"{self.path}#page={self.number}" if self.number else str(self.path)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """A page as it is read.

    Attributes:
        name: a path, with `#page=2` for a page of a PDF; empty of an image that
            is no file.
        pixels: uint8 `[height, width, 3]`, upright, at most `MAX_PAGE_SIDE`
            pixels long.
        size: width and height of the upright page, in which boxes are given: of
            an image as it is stored, of a PDF at 300 dpi, or as many as
            `MAX_PAGE_SIDE` allows.
    """

    name: str
    pixels: np.ndarray
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels of the upright page in one of `pixels`."""
        return self.size[0] / self.pixels.shape[1]

    @functools.cached_property
    def digest(self) -> str:
        """What tells this page from others, whatever its file is called."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels))
        return digest.hexdigest()[:16]


def is_pdf(path: Path) -> bool:
    """Tells whether a file is a PDF, by its suffix."""
    return path.suffix.lower() == PDF


def list_pages(path: str | os.PathLike) -> list[PageFile]:
    """Finds the pages of a file or of a folder and its folders.

    Returns:
        The pages, sorted by folder, name and number.

    Raises:
        InputError: there is no such path, no page in it, or a PDF that cannot
            be read.
    """
    root = require_path(path)
    files = list_images(root, others=(PDF,))
    return [page for file in files for page in _list_pages_of(file)]


def _list_pages_of(file):
    num = 1
    if is_pdf(file):
        with _open_pdf(file) as document:
            num = len(document)
    elif file.suffix.lower() in FORMATS["TIFF"]:
        # What is wrong with a file is said when it is read.
        with contextlib.suppress(OSError), Image.open(file) as image:
            num = getattr(image, "n_frames", 1)
    if num == 1 and not is_pdf(file):
        return [PageFile(file)]
    return [PageFile(file, i + 1) for i in range(num)]


def load_page(page: PageFile | ImageLike) -> Page:
    """Reads a page.

    Args:
        page: a page of a file, or an image, see `read_drawing`.

    Raises:
        InputError: it cannot be read.
    """
    if isinstance(page, str | os.PathLike):
        page = PageFile(Path(page))
    if isinstance(page, PageFile):
        if page.number:
            return _render(page) if is_pdf(page.path) else _load_frame(page)
        return Page(str(page), *read_page(page.path))
    return Page("", *read_page(page))


def _load_frame(page):
    """A page of a TIFF that has several."""
    try:
        with Image.open(page.path) as image:
            image.seek(page.number - 1)
            check_size(str(page), image.size)
            frame = ImageOps.exif_transpose(image)
    except InputError:
        raise
    except Exception as error:  # Pillow raises anything for broken files.
        raise _explain(page, error) from error
    return Page(str(page), *read_page(frame))


def _render(page):
    """A page of a PDF, in 300 dpi if that is not too large."""
    with _open_pdf(page.path) as document:
        try:
            sheet = document[page.number - 1]
            scale = min(PDF_SCALE, MAX_PAGE_SIDE / max(sheet.get_size()))
            size = [math.ceil(scale * side) for side in sheet.get_size()]
            check_size(str(page), size)
            image = sheet.render(scale=scale).to_pil().convert("RGB")
        except InputError:
            raise
        except Exception as error:  # whatever PDFium makes of broken files
            raise _explain(page, error) from error
    return Page(str(page), np.asarray(image), image.size)


def _open_pdf(file):
    try:
        import pypdfium2
    except ImportError as error:
        raise complaint(
            file,
            "is a PDF, which needs an extra",
            f"{EXTRA}, or an image",
            "install it, or save the pages as images",
        ) from error
    try:
        return contextlib.closing(pypdfium2.PdfDocument(file))
    except Exception as error:  # such as that of a password
        raise _explain(file, error) from error


def _explain(file, error):
    text = " ".join(str(error).split())
    return complaint(
        str(file),
        f"cannot be read ({text[:120]})",
        "a PDF without a password, or a TIFF",
        "save it again, or as images",
    )
