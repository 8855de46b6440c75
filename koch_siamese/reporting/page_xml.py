"""Writes lines and symbols of pages as PAGE XML for transcription tools.

The schema is that of 2019-07-15, https://github.com/PRImA-Research-Lab/PAGE-XML.
"""

import datetime
import itertools
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from koch_siamese.inference.transcription import (
    UNKNOWN,
    RecognizedSymbol,
    Transcription,
    split_words,
)
from koch_siamese.reporting.text import to_printable
from koch_siamese.runs.results import writing
from koch_siamese.version import __version__

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
# The reading direction and the order of lines for each direction.
ORDERS = {
    "ltr": ("left-to-right", "top-to-bottom"),
    "rtl": ("right-to-left", "top-to-bottom"),
    "ttb": ("top-to-bottom", "right-to-left"),
}


def save_page_xml(
    transcription: Transcription, image: str, direction: str, path: Path
):
    """Writes a page as PAGE XML, in UTF-8.

    A line is a TextLine of Words, whose Glyphs are the symbols. A symbol
    without a name is `?`, followed by its best guess.

    Args:
        transcription: the transcription of the page.
        image: the file name of the page's image, for tools to find it.
        direction: the direction in which it was read.
        path: the file to write.

    Raises:
        InputError: the file cannot be written.
    """
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.Element(ElementTree.QName(NAMESPACE, "PcGts"))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    metadata = _add(root, "Metadata")
    _add(metadata, "Creator").text = f"koch_siamese {__version__}"
    _add(metadata, "Created").text = now
    _add(metadata, "LastChange").text = now
    width, height = transcription.size
    reading, order = ORDERS[direction]
    page = _add(
        root,
        "Page",
        imageFilename=to_printable(image),
        imageWidth=width,
        imageHeight=height,
    )
    if transcription.lines:
        region = _add(
            page,
            "TextRegion",
            id="region",
            readingDirection=reading,
            textLineOrder=order,
        )
        _add_coords(region, transcription.symbols)
        for number, line in enumerate(transcription.lines, 1):
            _add_line(region, f"line{number}", line, transcription)
        _add_text(region, transcription.text)
    content = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    with writing(path):
        path.write_bytes(content)


def _add_line(region, name, symbols, transcription):
    line = _add(region, "TextLine", id=name)
    _add_coords(line, symbols)
    numbers = itertools.count(1)
    for number, own in enumerate(split_words(symbols), 1):
        word = _add(line, "Word", id=f"{name}_word{number}")
        _add_coords(word, own)
        for symbol in own:
            glyph = _add(word, "Glyph", id=f"{name}_symbol{next(numbers)}")
            _add_coords(glyph, [symbol])
            _add_names(glyph, symbol)
        _add_text(word, transcription.join(own))
    _add_text(line, transcription.join(symbols))


def _add_names(glyph, symbol: RecognizedSymbol):
    """Adds the name of a symbol, then the other candidates, best first."""
    names = [(symbol.name or UNKNOWN, None)]
    for candidate in symbol.answer.candidates:
        if candidate.name == symbol.name:
            names[0] = (candidate.name, candidate.probability)
        else:
            names.append((candidate.name, candidate.probability))
    for index, (name, probability) in enumerate(names):
        _add_text(glyph, name, index=index, conf=probability)


def _add_text(element, text, conf=None, **attributes):
    if conf is not None:
        attributes["conf"] = f"{conf:.4f}"
    equivalent = _add(element, "TextEquiv", **attributes)
    lines = map(to_printable, text.split("\n"))
    _add(equivalent, "Unicode").text = "\n".join(lines)


def _add_coords(element, symbols: Iterable[RecognizedSymbol]):
    """Adds the box around some symbols, with its corners clockwise."""
    lefts, tops, rights, bottoms = zip(*(x.box for x in symbols), strict=True)
    left, top, right, bottom = min(lefts), min(tops), max(rights), max(bottoms)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    points = " ".join(f"{max(0, x)},{max(0, y)}" for x, y in corners)
    _add(element, "Coords", points=points)


def _add(parent, name, **attributes):
    texts = {key: str(value) for key, value in attributes.items()}
    tag = ElementTree.QName(NAMESPACE, name)
    return ElementTree.SubElement(parent, tag, texts)
