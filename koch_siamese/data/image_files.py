"""Reads image files as drawings."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from koch_siamese.data.cleaning import (
    clean,
    crop_to_ink,
    erase_specks,
    thicken_hairlines,
)
from koch_siamese.errors import InputError
from koch_siamese.images import IMAGE_SIZE, WHITE, fit_to_square, resize

MAX_PIXELS = 50_000_000
MAX_SIDE = 1024  # larger images are first reduced to this
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
FULL_SCALES = (1, 2**8 - 1, 2**12 - 1, 2**16 - 1)  # of deep grey values


def read_drawing(path: str | Path, crop: bool = False) -> np.ndarray:
    """Reads an image file as a drawing: dark ink on white paper.

    The border, which is mostly paper, decides whether ink is darker or lighter
    than paper. Uneven light and noise are removed; what is black on white
    already is left as it is. Transparent is paper, an animation is its first
    frame. What is not square is centered on square paper.

    Args:
        path: a PNG, JPEG, GIF, BMP or WebP file of any size and colors.
        crop: cut to the ink, and give it the size and the width of stroke that
            are usual in Omniglot.

    Returns:
        uint8 `[IMAGE_SIZE, IMAGE_SIZE]`, 0 = ink, 255 = white.

    Raises:
        InputError: the file cannot be read as an image, has more than
            MAX_PIXELS pixels, or shows no ink.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            grey = _decode(Path(path))
        except InputError:
            raise
        except Exception as error:  # Pillow raises anything for broken files.
            raise complaint(
                path,
                f"cannot be read ({_one_line(error)})",
                f"an image of at most {MAX_PIXELS:,} pixels as "
                f"{', '.join(FORMATS)}",
                "save it again as PNG, or remove it",
            ) from error
    drawing, is_clean = clean(grey)
    drawing = thicken_hairlines(drawing)
    if crop or not is_clean:
        drawing = erase_specks(drawing)
    if drawing.min() > WHITE // 2:
        raise complaint(
            path,
            "is blank",
            "ink on paper that differs from it in brightness",
            "draw on it, or remove it",
        )
    if crop:
        return crop_to_ink(drawing)
    return fit_to_square(drawing, IMAGE_SIZE)


def find_images(folder: str | Path) -> Iterator[Path]:
    """Finds image names in a folder, up to two folders deep.

    A quick look, hidden files included; `list_images` reads a user's folder.
    """
    for pattern in ("*", "*/*", "*/*/*"):
        for file in Path(folder).glob(pattern):
            if file.suffix.lower() in SUFFIXES:
                yield file


def complaint(
    path: str | Path, got: str, expected: str, mending: str
) -> InputError:
    """The error that names a path, for a user to mend."""
    return InputError(f"{str(path)!r} {got}: expected {expected}; {mending}.")


def _one_line(error):
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or broken"
    text = " ".join(str(error).split())
    return repr(text[:120])[1:-1] or type(error).__name__


def _decode(path) -> np.ndarray:
    """Grey values, float32 `[height, width]`, 0..255, at most MAX_SIDE."""
    if not path.is_file():
        raise OSError("it is not a file" if path.exists() else "no such file")
    with Image.open(path, formats=FORMATS) as image:
        if not 0 < image.width * image.height <= MAX_PIXELS:
            raise complaint(
                path,
                f"has {image.width} x {image.height} pixels",
                f"1 to {MAX_PIXELS:,} pixels",
                "make it smaller",
            )
        image.draft(image.mode, (MAX_SIDE, MAX_SIDE))
        upright = ImageOps.exif_transpose(image)
        deep = upright.mode.startswith("I")
        grey = _scale_deep(upright) if deep else _make_grey(upright)
    scale = min(1, MAX_SIDE / max(grey.size))
    size = [max(1, round(scale * side)) for side in grey.size]
    return np.asarray(resize(grey, size), np.float32)


def _scale_deep(image):
    values = np.asarray(image, np.float64)
    largest = values.max()
    scale = min([x for x in FULL_SCALES if x >= largest], default=largest)
    return Image.fromarray((WHITE * (values / scale)).astype(np.float32))


def _make_grey(image):
    if not image.has_transparency_data:
        return _strongest_band(image)
    on_white, on_black = (
        _strongest_band(_lay_on(image, paper)) for paper in ("white", "black")
    )
    # White ink does not show on white; its paper is made black instead.
    is_seen = 2 * _contrast(on_white) >= _contrast(on_black)
    return on_white if is_seen else on_black


def _lay_on(image, paper):
    paper = Image.new("RGBA", image.size, paper)
    return Image.alpha_composite(paper, image.convert("RGBA"))


def _strongest_band(image):
    if image.mode in ("1", "L"):
        return image.convert("L")
    colors = image.convert("RGB")
    grey = colors.convert("L")
    # Yellow hardly differs from white in grey, but is black in blue.
    band = max(colors.split(), key=_contrast)
    return band if _contrast(band) > 2 * _contrast(grey) else grey


def _contrast(image):
    darkest, lightest = image.getextrema()
    return lightest - darkest


def list_images(path: str | Path) -> list[Path]:
    """Finds the image files of a folder and its folders, or the file itself.

    Hidden files and folders, and files that have no image's suffix, are left
    out of a folder. A file is taken whatever its suffix. Links are followed.

    Returns:
        The paths, sorted by folder and name.

    Raises:
        InputError: there is no such path, or no image in it.
    """
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise complaint(
            path, "does not exist", "an image or a folder", "check the name"
        )
    found = [
        file
        for file in _walk(root)
        if file.suffix.lower() in SUFFIXES and file.is_file()
    ]
    if not found:
        raise complaint(
            path,
            "has no images",
            f"files that end in {', '.join(SUFFIXES)}",
            "put some there, or give another folder",
        )
    return sorted(found, key=lambda file: file.parts)


def _walk(root: Path) -> Iterator[Path]:
    """Every file below a folder that is neither hidden nor in a hidden one."""
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        # os.walk descends into what stays here; a link upwards would never end.
        folders[:] = [
            below
            for below in folders
            if not below.startswith(".") and not _leads_up(folder / below)
        ]
        yield from (folder / x for x in files if not x.startswith("."))


def _leads_up(folder):
    """Whether it is a link to a folder that it is in."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(
        folder.resolve()
    )
