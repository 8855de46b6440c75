"""Pictures of transcribed pages, and of groups of symbols."""

import functools
import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager, ft2font
from PIL import Image, ImageDraw, ImageFont

from koch_siamese.data.page_files import Page, load_page
from koch_siamese.images import ImageLike
from koch_siamese.inference.transcription import (
    UNKNOWN,
    RecognizedSymbol,
    Transcription,
)
from koch_siamese.pages.reading import find_ink
from koch_siamese.reporting.colors import FAINT, SAME, WRONG
from koch_siamese.reporting.text import to_printable
from koch_siamese.runs.results import writing

SYMBOL_HEIGHT = (48, 72)  # in a picture, in pixels: smallest and largest
MAX_SIDE = 5000  # of a picture, in pixels
MIN_FONT_SIZE = 11
CAPTION_SIZE = 20
MIN_PREFIX = 3  # characters; a shorter common prefix is not left out
CELL = 64  # side of a drawing in the picture of groups
GAP = 8  # between a page and its ink, in pixels
DRAWINGS_OF_GROUP, GROUPS_ABREAST, MAX_GROUPS = 8, 2, 300


def draw_transcription(
    page: ImageLike | Page,
    transcription: Transcription,
    names: Sequence[str] = (),
    examples: Mapping[str, np.ndarray] | None = None,
) -> Image.Image:
    """Draws a page with a box around each symbol, and its name above it.

    Symbols with a name are blue. Those without are vermilion, and have their
    best guess with a question mark. A name that no installed font can show is
    replaced by the character's example, or by its code points. A prefix of all
    names, such as `character`, is left out and mentioned below the page.

    Args:
        page: an image, a page, or a path as in `Transcription.page`, such as
            `book.pdf#page=2`; see `page_files.load_page`.
        transcription: the transcription of the page.
        names: the names of the known characters.
        examples: a drawing of each name, uint8 `[height, width]`.
    """
    page = page if isinstance(page, Page) else load_page(page)
    symbols = transcription.symbols
    if not symbols:
        return _draw_ink(page)
    picture, scale = _enlarge(page, transcription)
    pen = ImageDraw.Draw(picture)
    prefix = _find_prefix(names)
    height = _median_height(transcription, scale)
    for symbol in symbols:
        box = [scale * x for x in symbol.box]
        color = SAME if symbol.name else WRONG
        pen.rectangle(box, outline=color, width=2)
    for line in transcription.lines:
        for number, symbol in enumerate(line):
            room = _find_room(line, number, scale)
            label = _make_label(symbol, prefix, height, room, examples or {})
            _put_above(picture, label, [scale * x for x in symbol.box])
    num_unknown = sum(symbol.name is None for symbol in symbols)
    caption = f"{len(symbols)} symbols, {num_unknown} without a name"
    if num_unknown:
        caption += " (vermilion, with the best guess)"
    if prefix:
        caption += f"; names without {prefix!r}"
    return _caption(picture, _begin(page) + caption)


def _draw_ink(page):
    """Draws a page without symbols beside the ink that was found on it."""
    seen = Image.fromarray(find_ink(page.pixels)).convert("RGB")
    picture = Image.fromarray(page.pixels)
    seen = seen.resize(
        (round(seen.width * picture.height / seen.height), picture.height)
    )
    both = Image.new(
        "RGB", (picture.width + GAP + seen.width, picture.height), FAINT
    )
    both.paste(picture, (0, 0))
    both.paste(seen, (picture.width + GAP, 0))
    caption = "no clean symbol found; on the right, the ink that was seen"
    return _caption(both, _begin(page) + caption)


def _begin(page):
    """The beginning of a caption: the name of a page that is a file."""
    return f"{Path(page.name).name}: " if page.name else ""


def save_picture(picture: Image.Image, path: Path):
    """Writes a PNG.

    Raises:
        InputError: the file cannot be written.
    """
    with writing(path):
        picture.save(path)


def _enlarge(page, transcription):
    """Fades and enlarges the page for legible names; also returns the scale."""
    width, height = page.size
    low, high = SYMBOL_HEIGHT
    usual = _median_height(transcription, 1)
    scale = min(max(1.0, low / usual), high / usual)
    scale = min(scale, MAX_SIDE / max(width, height))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    picture = Image.fromarray(page.pixels).resize(size)
    return Image.blend(picture, Image.new("RGB", size, "white"), 0.25), scale


def _median_height(transcription, scale):
    heights = [x.box[3] - x.box[1] for x in transcription.symbols]
    return scale * float(np.median(heights))


def _find_room(line, number, scale):
    """The width for a symbol's label that leaves room for its neighbors'."""
    left, _, right, _ = line[number].box
    own = abs(right - left)
    center = (left + right) / 2
    others = [line[i] for i in (number - 1, number + 1) if 0 <= i < len(line)]
    gaps = [abs((x.box[0] + x.box[2]) / 2 - center) for x in others]
    return scale * max(own, min(gaps, default=2 * own))


def _find_prefix(names):
    """Finds the prefix of all names, if it is long and not a whole name."""
    prefix = os.path.commonprefix(list(names))  # noqa: RUF071
    if len(names) < 2 or len(prefix) < MIN_PREFIX or prefix in names:
        return ""
    return prefix


def _make_label(symbol: RecognizedSymbol, prefix, height, room, examples):
    """Makes a small picture of a symbol's name."""
    name = symbol.name or symbol.answer.best.name
    text = to_printable(name.removeprefix(prefix))
    mark = "" if symbol.name else UNKNOWN
    if not text.isascii() and find_font(text) is None:
        if name in examples:
            return _shrink(examples[name], 0.6 * height, mark)
        text = " ".join(f"U+{ord(x):04X}" for x in text)
    color = SAME if symbol.name else WRONG
    return _write(text + mark, 0.45 * height, room, color)


def _write(text, size, room, color):
    """Draws a text as a picture, smaller or cut off if there is no room."""
    size = max(MIN_FONT_SIZE, round(size))
    font = _load_font(text, size)
    while font.getlength(text) > room - 2 and size > MIN_FONT_SIZE:
        size -= 1
        font = _load_font(text, size)
    while font.getlength(text) > room - 2 and len(text) > 2:
        text = text.removesuffix("…")[:-1] + "…"
    left, top, right, bottom = font.getbbox(text)
    label = Image.new("RGB", (right - left + 4, bottom - top + 2), "white")
    ImageDraw.Draw(label).text((2 - left, 1 - top), text, color, font)
    return label


def _shrink(drawing, side, mark):
    """Shrinks an example to a small framed picture."""
    image = Image.fromarray(drawing).convert("RGB")
    side = max(2 * MIN_FONT_SIZE, round(side))
    image.thumbnail((side, side))
    frame = (0, 0, image.width - 1, image.height - 1)
    pen = ImageDraw.Draw(image)
    pen.rectangle(frame, outline=WRONG if mark else SAME)
    return image


def _put_above(picture, label, box):
    left, top, right, _ = box
    x = round((left + right - label.width) / 2)
    x = max(0, min(x, picture.width - label.width))
    y = max(0, round(top) - label.height - 1)
    picture.paste(label, (x, y))


def _caption(picture, text):
    """Adds a line of text below a picture."""
    text = to_printable(text)
    font = _load_font(text, CAPTION_SIZE)
    width = max(picture.width, round(font.getlength(text)) + 20)
    size = (width, picture.height + 2 * CAPTION_SIZE)
    whole = Image.new("RGB", size, "white")
    whole.paste(picture, (0, 0))
    corner = (10, picture.height + CAPTION_SIZE // 3)
    ImageDraw.Draw(whole).text(corner, text, "black", font)
    return whole


def _load_font(text, size):
    return _open_font(find_font(text) or _default_font(), size)


@functools.lru_cache(maxsize=256)
def _open_font(path, size):
    return ImageFont.truetype(path, size)


@functools.lru_cache(maxsize=4096)
def find_font(text: str) -> str | None:
    """Finds the file of a font that has all characters of a text, or None.

    The default is preferred, then regular sans-serif fonts.
    """
    needed = {ord(x) for x in text if x.isprintable() and not x.isspace()}
    for path in (_default_font(), *_list_fonts()):
        if needed <= _read_charmap(path):
            return path
    return None


def _default_font():
    return font_manager.findfont("DejaVu Sans")


@functools.cache
def _list_fonts():
    """Lists installed fonts, the plainest first."""
    paths = font_manager.findSystemFonts()
    suitable = [x for x in paths if "Emoji" not in x and "Mono" not in x]
    return sorted(
        suitable, key=lambda x: ("Regular" not in x, "Sans" not in x, x)
    )


@functools.cache
def _read_charmap(path):
    try:
        return ft2font.FT2Font(path).get_charmap().keys()
    except (OSError, RuntimeError):  # a font that cannot be read
        return frozenset()


def draw_groups(
    groups: Mapping[str, Sequence[np.ndarray]],
) -> Image.Image:
    """Draws groups of symbols, each with its clearest members.

    Args:
        groups: the drawings of each group, uint8 `[height, width]`, the
            clearest first. It is framed in blue; if there is no room for all,
            the last one shown is the least certain, framed in vermilion.
    """
    shown = list(groups.items())[:MAX_GROUPS]
    rows = -(-len(shown) // GROUPS_ABREAST)
    width = DRAWINGS_OF_GROUP * (CELL + 4) + 24
    height = CELL + CAPTION_SIZE + 16
    picture = Image.new("RGB", (GROUPS_ABREAST * width, rows * height), "white")
    for number, (name, drawings) in enumerate(shown):
        row, column = divmod(number, GROUPS_ABREAST)
        _draw_group(picture, column * width, row * height, name, drawings)
    caption = (
        "each group: the clearest symbol (blue), then the next ones, the least "
        "certain one (vermilion) last if there is no room for all"
    )
    if len(groups) > MAX_GROUPS:
        caption += f"; the first {MAX_GROUPS} of {len(groups)} groups"
    return _caption(picture, caption)


def _draw_group(picture, x, y, name, drawings):
    pen = ImageDraw.Draw(picture)
    title = f"{name}: {len(drawings)}"
    font = _load_font(title, CAPTION_SIZE - 4)
    pen.text((x + 8, y + 4), title, "black", font)
    chosen = list(drawings[:DRAWINGS_OF_GROUP])
    colors = [SAME] + [FAINT] * (len(chosen) - 1)
    if len(drawings) > DRAWINGS_OF_GROUP:
        chosen[-1], colors[-1] = drawings[-1], WRONG
    for i, (drawing, color) in enumerate(zip(chosen, colors, strict=True)):
        image = Image.fromarray(drawing)
        corner = (x + 8 + i * (CELL + 4), y + CAPTION_SIZE + 8)
        picture.paste(image.resize((CELL, CELL)), corner)
        box = (*corner, corner[0] + CELL, corner[1] + CELL)
        pen.rectangle(box, outline=color, width=2)
