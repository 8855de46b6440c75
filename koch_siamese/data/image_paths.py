"""Finds image files: their formats, and the files of a folder."""

import collections
import contextlib
import functools
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from koch_siamese.data.image_errors import (
    PAGE_READER,
    ImageError,
    make_image_error,
)
from koch_siamese.errors import DataWarning, warn
from koch_siamese.extras import explain_installation
from koch_siamese.paths import expand_home

FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".pgm", ".ppm", ".pbm", ".pnm"),
}
PDF = ".pdf"
TABLES = (".csv", ".tsv")
HEIF_SUFFIXES = (".heic", ".heif")


@functools.cache
def get_formats() -> dict[str, tuple[str, ...]]:
    """Suffixes by format, including HEIC if the extra `heic` is installed."""
    try:
        import pillow_heif
    except ImportError:
        return FORMATS
    pillow_heif.register_heif_opener()
    return FORMATS | {"HEIF": HEIF_SUFFIXES}


def get_suffixes() -> tuple[str, ...]:
    """Returns the suffixes of image files that can be read, in lower case."""
    return tuple(x for suffixes in get_formats().values() for x in suffixes)


class SkippedFilesWarning(DataWarning):
    """A warning about files of a folder that are not read.

    Attributes:
        folder: the folder.
        counts: the number of files of each suffix, such as `{".txt": 2}`.
    """

    def __init__(self, folder: Path, counts: Mapping[str, int]):
        """Makes the warning."""
        self.folder, self.counts = folder, dict(counts)
        listed = ", ".join(
            f"{num} {x or 'without a suffix'}" for x, num in counts.items()
        )
        text = f"{str(folder)!r} has files that are not read: {listed}."
        if any(suffix in HEIF_SUFFIXES for suffix in counts):
            text += f" HEIC images need {explain_installation('pillow_heif')}."
        if PDF in counts:
            text += f" To read pages, use {PAGE_READER}."
        super().__init__(text)


def list_images(
    path: str | Path, others: Sequence[str] = (), *, may_be_empty: bool = False
) -> list[Path]:
    """Lists the image files of a folder and its subfolders, or a single file.

    Hidden files and folders are left out. Files without the suffix of an image
    are left out, too, and counted by a `SkippedFilesWarning`. A single file may
    have any suffix except `.pdf` and those of tables. Links are followed.

    Args:
        path: the folder or file.
        others: suffixes of other files to list, in lower case.
        may_be_empty: whether a folder may have no images.

    Returns:
        The paths, sorted by folder and name.

    Raises:
        InputError: the path does not exist, is a PDF, a table, or neither a
            file nor a folder, or has no images.
    """
    root = require_path(path)
    if root.is_file():
        if is_pdf(root) and PDF not in others:
            raise refuse_pdf(path)
        if is_table(root):
            raise make_image_error(
                path,
                "is a table",
                "an image or a folder",
                "give the folder of its images",
            )
        return [root]
    if not root.is_dir():  # such as /dev/stdin
        raise make_image_error(
            path,
            "is neither a file nor a folder",
            "an image or a folder",
            "write the image to a file",
        )
    suffixes, found = (*get_suffixes(), *others), []
    skipped = collections.Counter()
    for folder, names in _walk(root):
        for file in map(folder.joinpath, names):
            if file.suffix.lower() in suffixes and file.is_file():
                found.append(file)
            else:
                skipped[file.suffix.lower()] += 1
    if not found and not may_be_empty:
        there = ""
        if skipped:
            there = f" ({SkippedFilesWarning(root, skipped)})"
        raise make_image_error(
            path,
            f"has no images{there}",
            f"files that end in {', '.join(suffixes)}",
            "put some there, or give another folder",
        )
    if skipped:
        counts = dict(sorted(skipped.items()))
        warn(SkippedFilesWarning(root, counts))
    return sorted(found, key=lambda file: file.parts)


def is_pdf(path: Path) -> bool:
    """Tells whether a file is a PDF, by its suffix."""
    return path.suffix.lower() == PDF


def is_table(path: str | os.PathLike) -> bool:
    """Tells whether a path is that of a table, by its suffix."""
    return Path(path).suffix.lower() in TABLES


def refuse_pdf(path: str | Path) -> ImageError:
    """Makes an error about a PDF where an image is expected."""
    return make_image_error(
        path, "is a PDF", "an image", f"to read a page, use {PAGE_READER}"
    )


def find_images(folder: str | Path) -> Iterator[Path]:
    """Finds files with an image's suffix in a folder, up to two folders deep.

    This is a quick check, which includes hidden files; `list_images` lists a
    user's folder.
    """
    suffixes = get_suffixes()
    for pattern in ("*", "*/*", "*/*/*"):
        for file in Path(folder).glob(pattern):
            if file.suffix.lower() in suffixes:
                yield file


def require_path(
    path: str | os.PathLike, expected: str = "an image or a folder"
) -> Path:
    """Expands the path of a file or a folder, and checks that it exists.

    Args:
        path: its path.
        expected: what the error says it should be.

    Raises:
        InputError: it does not exist, or is a web address.
    """
    found = expand_home(path)
    with contextlib.suppress(OSError):  # for example, the name is too long
        if found.exists():
            return found
    address = re.fullmatch(r"(https?):/+(.+)", str(path))
    if address:
        raise make_image_error(
            "://".join(address.groups()),  # a Path has lost a slash
            "is a web address",
            f"{expected} on this computer",
            "download it first",
        )
    is_pattern = "*" in str(path)
    fix = "give the folder, not a pattern" if is_pattern else "check the name"
    raise make_image_error(path, "does not exist", expected, fix)


def require_file(path: str | os.PathLike) -> Path:
    """Expands the path of an image, and checks that it is a file.

    Raises:
        InputError: it is not, or is a web address.
    """
    file = require_path(path, "an image")
    if not file.is_file():
        raise make_image_error(
            path, "is not a file", "an image", "check the name"
        )
    return file


def normalize_name(name: str) -> str:
    """Converts a name to Unicode's composed form (NFC) for comparison.

    macOS decomposes file names, so that an umlaut is two characters.
    """
    return unicodedata.normalize("NFC", name)


def list_folders(root: Path) -> list[Path]:
    """Lists a folder and those below it, sorted, without hidden ones."""
    return sorted(folder for folder, _ in _walk(root))


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yields a folder and those below it, with the names of their files.

    Hidden files and folders are left out.
    """
    for name, folders, files in os.walk(
        root, onerror=_refuse_folder, followlinks=True
    ):
        folder = Path(name)
        # os.walk descends into these; a link upwards would never end.
        folders[:] = [
            below
            for below in folders
            if not below.startswith(".") and not _leads_up(folder / below)
        ]
        yield folder, [x for x in files if not x.startswith(".")]


def _refuse_folder(error):
    raise make_image_error(
        error.filename,
        f"cannot be read ({error.strerror})",
        "a folder that you may read",
        "change its permissions, or move it",
    )


def _leads_up(folder):
    """Whether a folder is a link to one that contains it."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(
        folder.resolve()
    )
