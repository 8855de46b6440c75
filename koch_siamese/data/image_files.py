"""Reads images as drawings or as photos."""

import io
import os
import threading
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from koch_siamese.data.cleaning import (
    clean,
    crop_to_ink,
    erase_specks,
    is_black_on_white,
    thicken_hairlines,
)
from koch_siamese.data.image_errors import (
    PAGE_READER,
    ImageError,
    describe,
    make_image_error,
)
from koch_siamese.data.image_paths import (
    HEIF_SUFFIXES,
    get_formats,
    is_pdf,
    refuse_pdf,
    require_file,
)
from koch_siamese.errors import InputError, shorten, warn
from koch_siamese.extras import explain_installation, is_installed
from koch_siamese.images import (
    BYTES,
    CHANNELS,
    IMAGE_SIZE,
    WHITE,
    ImageLike,
    fit_to_square,
    limit_size,
)
from koch_siamese.pages import surroundings

MAX_SIDE = 1024  # larger images are first reduced to this
MAX_PAGE_SIDE = 4000  # the same for pages, whose symbols are small
ARRAY_CHANNELS = (1, 3, 4)
FULL_SCALES = (1, 2**8 - 1, 2**12 - 1, 2**16 - 1)  # white in deep images
MIN_CHROMA = 0.25  # of a colored pixel, on white paper
MIN_COLORED = 0.2  # fraction of a color picture's pixels; ink is thin
MARK = "Drawing"  # the key of a text in the files of `write_drawing`

_max_pixels = 50_000_000
_decoding = threading.Lock()  # all threads share the filters of warnings


def limit_pixels(num: int):
    """Sets the largest number of pixels of an image; others are refused."""
    global _max_pixels
    _max_pixels = num
    # Pillow has a limit of its own, and refuses twice as many pixels.
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, num)


def read_drawing(image: ImageLike, crop: bool = False) -> np.ndarray:
    """Reads an image as a drawing: dark ink on white paper.

    The border, which is mostly paper, decides whether ink is darker or lighter
    than paper. Uneven light and noise are removed, unless the image is already
    black on white. Transparent pixels are paper. Of an animation, the first
    frame is read. An image that is not square is centered on square paper.
    Files of groups and reviews, see `write_drawing`, are read unchanged unless
    they were edited.

    Args:
        image: a path, the bytes of a file, an open binary file, a Pillow
            image, or an array, uint8 `[height, width]` or `[height, width,
            channels]`. Files are PNG, JPEG, GIF, BMP, WebP, TIFF, PGM, PPM or,
            with the extra `heic`, HEIC. Any size and colors.
        crop: whether to crop to the ink, and give it the usual size and stroke
            width of Omniglot. With the extra `pages`, the desk around the
            paper, ruled and squared lines, the cell of a form and underlines
            are not ink. Without it, a `DataWarning` says that an image does
            not seem to show a single symbol.

    Returns:
        uint8 `[IMAGE_SIZE, IMAGE_SIZE]`, 0 = ink, 255 = white.

    Raises:
        InputError: the image cannot be read, has more pixels than
            `limit_pixels` allows, has only the values 0 and 1, is an array of
            another dtype or shape, or shows no ink or, with `crop` and the
            extra `pages`, no clean symbol.
    """
    gray, is_written = _open(image, _make_gray_drawing)
    if is_written:
        return gray.astype(np.uint8)
    may_isolate = crop and is_installed("skimage")
    if may_isolate and not (
        is_black_on_white(gray) or is_black_on_white(WHITE - gray)
    ):
        gray = surroundings.rectify_sheet(gray)
    drawing, is_clean = clean(gray)
    if may_isolate:
        seen = drawing
        drawing = surroundings.erase_lines(seen)
        is_clean = is_clean and drawing is seen
    drawing = thicken_hairlines(drawing)
    if crop or not is_clean:
        drawing = erase_specks(drawing)
    if drawing.min() > WHITE // 2:
        error = ImageError(
            f"{describe(image)}: no clean symbol found",
            "ink on paper that differs from it in brightness",
            "draw or photograph it again, remove it, or use a model that was "
            "trained with --image_kind=photo",
        )
        raise _explain_colors(error, image)
    if crop:
        _check_symbol(image, drawing, is_clean)
        return crop_to_ink(drawing)
    return fit_to_square(drawing, IMAGE_SIZE)


def write_drawing(
    file: str | os.PathLike | BinaryIO,
    drawing: np.ndarray,
    texts: Mapping[str, str] | None = None,
):
    """Writes a drawing as a PNG file that `read_drawing` reads unchanged.

    To clean it again would thin its strokes again. It is cleaned again if its
    pixels were edited.

    Args:
        file: a path, or a file that is open for writing.
        drawing: uint8 `[IMAGE_SIZE, IMAGE_SIZE]`, from `read_drawing`.
        texts: further texts to store, by key.
    """
    info = PngImagePlugin.PngInfo()
    for key, text in {**(texts or {}), MARK: _make_mark(drawing)}.items():
        info.add_itxt(key, text)
    Image.fromarray(drawing).save(file, "PNG", pnginfo=info)


def _make_mark(drawing):
    """The text that marks a drawing, with a checksum of its pixels."""
    checksum = zlib.crc32(drawing.tobytes())
    return f"read and written by koch_siamese, CRC-32 of pixels {checksum:08x}"


def _check_symbol(image, drawing, is_clean):
    explanation = surroundings.explain_no_symbol(drawing, is_clean)
    if explanation and is_installed("skimage"):
        error = ImageError(
            f"{describe(image)}: no clean symbol found, but {explanation}",
            "one symbol in ink on paper",
            "cut it out, or take the picture again; to read a page, use "
            f"{PAGE_READER}",
        )
        raise _explain_colors(error, image)
    if explanation:
        # Without the name of the image, so that commands print it once.
        warn(
            "An image does not seem to show a single symbol on paper, so it "
            "may be misread. The desk around the paper and ruled lines are "
            "removed with the extra pages: "
            f"{explain_installation('skimage')}."
        )


def _explain_colors(error, image):
    """Says in an error that the image seems to be a color picture."""
    if not is_colorful(image):
        return error
    return ImageError(
        error.found,
        "a drawing in ink on paper",
        "for color pictures, use a model of photos (--image_kind=photo in "
        "train); if it is a photograph of a drawing, cut out the symbol",
    )


def is_colorful(image: ImageLike) -> bool:
    """Tells whether an image seems to be a color picture, not a drawing.

    Colors count relative to that of the border, so colored paper has none, and
    colored ink covers too little.

    Args:
        image: as in `read_drawing`; an image that cannot be read is none.
    """
    try:
        colors = Image.fromarray(_open(image, _make_colors))
    except InputError:  # or a stream that has been read
        return False
    small = np.asarray(colors.resize((32, 32), Image.Resampling.BOX), float)
    border = np.r_[small[0], small[-1], small[:, 0], small[:, -1]]
    paper = np.maximum(np.median(border, axis=0), 1)
    chroma = np.ptp(np.minimum(small / paper, 1), axis=-1)
    return bool((chroma > MIN_CHROMA).mean() > MIN_COLORED)


def read_photo(image: ImageLike, size: int) -> np.ndarray:
    """Reads an image as a photo: in color and upright, otherwise unchanged.

    The aspect ratio is kept: an image that is not square is centered on a white
    square. Transparent pixels are white. Of an animation, the first frame is
    read. Gray values are repeated in all channels.

    Args:
        image: as in `read_drawing`.
        size: side of the result in pixels.

    Returns:
        uint8 `[size, size, 3]`, in RGB.

    Raises:
        InputError: the image cannot be read, has more pixels than
            `limit_pixels` allows, has only the values 0 and 1, or is an array
            of another dtype or shape.
    """
    return fit_to_square(_open(image, _make_colors), size)


def read_symbol(drawing: np.ndarray) -> np.ndarray:
    """Reads a symbol that was cut out of a page and is already clean.

    Args:
        drawing: uint8 `[height, width]`, 0 = ink, 255 = white, with ink in it.

    Returns:
        uint8 `[IMAGE_SIZE, IMAGE_SIZE]`, as `read_drawing` with `crop`.
    """
    return crop_to_ink(thicken_hairlines(drawing))


def read_page(image: ImageLike) -> tuple[np.ndarray, tuple[int, int]]:
    """Reads an image as a page: upright and in color, in its own resolution.

    Args:
        image: as in `read_drawing`. If its longer side has more than
            `MAX_PAGE_SIDE` pixels, it is reduced to that.

    Returns:
        uint8 `[height, width, 3]`, in RGB; and the width and height of the
        upright image as it is stored.

    Raises:
        InputError: as `read_photo`.
    """
    # Not decoded at a smaller size, as boxes are in pixels of the stored image.
    return _open(image, _make_page, draft_side=None)


def read_image(image: ImageLike, crop: bool, photo_size: int) -> np.ndarray:
    """Reads an image as a photo of `photo_size`; if that is 0, as a drawing.

    Returns:
        uint8, in the shape of `get_shape`.
    """
    if photo_size:
        return read_photo(image, photo_size)
    return read_drawing(image, crop)[..., np.newaxis]


def get_shape(photo_size: int) -> tuple[int, int, int]:
    """Returns the shape of the images that `read_image` returns."""
    if photo_size:
        return photo_size, photo_size, CHANNELS["photo"]
    return IMAGE_SIZE, IMAGE_SIZE, CHANNELS["drawing"]


def is_single_image(array: np.ndarray) -> bool:
    """Tells whether an array has the shape of an image, not of several."""
    return array.ndim == 2 or (
        array.ndim == 3 and array.shape[2] in ARRAY_CHANNELS
    )


def _open(image, convert, draft_side=MAX_SIDE):
    """Reads an image of any kind, and converts it."""
    if hasattr(image, "__array__") and not isinstance(image, Image.Image):
        image = np.asarray(image)  # a tensor of any framework
    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            upright = _decode(image, draft_side)
            _refuse_mask(image, upright)
            return convert(upright)
        except InputError:
            raise
        except Exception as error:  # Pillow raises anything for broken files.
            raise _explain(image, error) from error


def _explain(image, error):
    is_path = isinstance(image, str | os.PathLike)
    suffix = Path(image).suffix.lower() if is_path else ""
    formats = get_formats()
    if suffix in HEIF_SUFFIXES and "HEIF" not in formats:
        return make_image_error(
            image,
            "is a HEIC image, which needs an extra",
            f"{explain_installation('pillow_heif')}, or another format",
            "install it, or save the image as JPEG",
        )
    if is_path and is_pdf(Path(image)):
        return refuse_pdf(image)
    return make_image_error(
        image,
        f"cannot be read ({_one_line(error)})",
        f"an image of at most {_max_pixels:,} pixels as {', '.join(formats)}",
        "save it again as PNG, or remove it",
    )


def _one_line(error):
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or broken"
    return repr(shorten(error))[1:-1]


def _decode(image, draft_side) -> Image.Image:
    """Opens an image upright, in any mode, and checks its size.

    A JPEG may be decoded at a smaller size, but at least `draft_side` pixels.
    """
    if isinstance(image, np.ndarray):
        return _turn_upright(image, Image.fromarray(_check_array(image)))
    if isinstance(image, Image.Image):
        # Without a draft, which would change the user's image.
        return _turn_upright(image, image)
    file = image
    if isinstance(image, BYTES):
        file = io.BytesIO(image)
    elif isinstance(image, str | os.PathLike):
        file = require_file(image)
    elif isinstance(image, io.TextIOBase):
        raise make_image_error(
            image,
            "is open in text mode",
            "binary mode",
            "open it with open(path, 'rb')",
        )
    elif not hasattr(image, "read"):
        raise make_image_error(
            image,
            "is not an image",
            "a path, bytes, an open file, a Pillow image or an array",
            "convert it",
        )
    with Image.open(file, formats=tuple(get_formats())) as opened:
        return _turn_upright(image, opened, draft_side)


def check_dtype(array: np.ndarray):
    """Checks the dtype of one or more images.

    Raises:
        InputError: it is not uint8.
    """
    if array.dtype != np.uint8:
        raise make_image_error(
            array,
            f"has the dtype {array.dtype}",
            f"uint8, 0 = black, {WHITE} = white",
            "convert it by .astype('uint8'), after multiplying by "
            f"{WHITE} if its values are within 0..1",
        )


def _check_array(array):
    """Checks an array, and drops a last axis of one channel for Pillow.

    Raises:
        InputError: its dtype or shape is not that of an image.
    """
    check_dtype(array)
    if not is_single_image(array):
        raise make_image_error(
            array,
            "is not an image",
            "[height, width] or [height, width, channels], with 1, 3 or 4 "
            "channels",
            "move the channels last; give several images as a list",
        )
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _turn_upright(name, image, draft_side=None):
    """Returns an upright copy."""
    check_size(name, image.size)
    if draft_side:
        image.draft(image.mode, (draft_side, draft_side))
    return ImageOps.exif_transpose(image)


def _refuse_mask(name, image):
    """Refuses the values 0 and 1, which would all be read as black."""
    # In other modes, 1 is the second color of a palette, or white.
    is_usual = image.mode in ("L", "LA", "RGB", "RGBA")
    if is_usual and np.max(image.getextrema()) == 1:
        raise make_image_error(
            name,
            "has no value above 1",
            f"0 = black, {WHITE} = white",
            f"multiply its values by {WHITE}",
        )


def check_size(image: ImageLike, size: tuple[int, int]):
    """Checks the size of an image; `image` only names it in the error.

    Raises:
        InputError: it has no pixels, or more than `limit_pixels` allows.
    """
    width, height = size
    if not 0 < width * height <= _max_pixels:
        raise make_image_error(
            image,
            f"has {width} x {height} pixels",
            f"1 to {_max_pixels:,} pixels",
            "make it smaller, or raise --max_pixels (in Python: "
            "koch_siamese.data.image_files.limit_pixels)",
        )


def _make_gray_drawing(image):
    """Converts to gray, float32 `[height, width]`, 0..255, at most MAX_SIDE.

    Also tells whether `write_drawing` has written the same pixels.
    """
    gray = _strongest_band(_composite_on_paper(image))
    pixels = np.asarray(limit_size(gray, MAX_SIDE), np.float32)
    is_written = image.size == (IMAGE_SIZE, IMAGE_SIZE) and (
        image.info.get(MARK) == _make_mark(pixels.astype(np.uint8))
    )
    return pixels, is_written


def _make_colors(image):
    """Converts to RGB, uint8 `[height, width, 3]`, at most MAX_SIDE."""
    colors = _composite_on_paper(image, "white").convert("RGB")
    return np.asarray(limit_size(colors, MAX_SIDE))


def _make_page(image):
    """Converts a page to RGB; also returns its size before it is reduced."""
    page = limit_size(_composite_on_paper(image).convert("RGB"), MAX_PAGE_SIDE)
    return np.asarray(page), image.size


def _composite_on_paper(image, paper=None):
    """Lays transparent pixels on paper, and scales deep images to 0..255."""
    if image.mode.startswith(("I", "F")):
        return _scale_deep(image)
    if image.has_transparency_data:
        return _lay_on(image, paper or _choose_paper(image))
    return image


def _scale_deep(image):
    values = np.nan_to_num(np.asarray(image, np.float64)).clip(0)
    largest = values.max()
    scale = min([x for x in FULL_SCALES if x >= largest], default=largest)
    return Image.fromarray((WHITE * (values / scale)).astype(np.float32))


def _choose_paper(image):
    """Chooses the background of an image with transparent paper."""
    on_white, on_black = (
        _strongest_band(_lay_on(image, paper)) for paper in ("white", "black")
    )
    # White ink does not show on white; its paper is made black instead.
    is_seen = 2 * _contrast(on_white) >= _contrast(on_black)
    return "white" if is_seen else "black"


def _lay_on(image, paper):
    paper = Image.new("RGBA", image.size, paper)
    return Image.alpha_composite(paper, image.convert("RGBA"))


def _strongest_band(image):
    if image.mode in ("L", "F"):
        return image
    colors = image.convert("RGB")
    gray = colors.convert("L")
    # Yellow is almost white in gray, but black in the blue channel.
    band = max(colors.split(), key=_contrast)
    return band if _contrast(band) > 2 * _contrast(gray) else gray


def _contrast(image):
    darkest, lightest = image.getextrema()
    return lightest - darkest
