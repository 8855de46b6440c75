"""Places in Markdown documents for what is generated."""

import re
from collections.abc import Callable

from koch_siamese.errors import InputError

_START = re.compile(r"<!--\s*report:\s*(.*?)\s*-->")
_END = re.compile(r"<!--\s*end of report\s*-->")


def fill(text: str, name: str, make_table: Callable[[str], str]) -> str:
    """Puts tables between the markers of a document.

    Args:
        text: with lines `<!-- report: TABLE -->`, or `<!-- report: TABLE,
            short -->`, and after each a line `<!-- end of report -->`; what
            is between them is replaced.
        name: the document's, for errors.
        make_table: from what a marker names to Markdown.

    Raises:
        InputError: a marker lacks its other one, or there is none at all.
    """
    lines, marker, was_filled = [], None, False
    for line in text.split("\n"):
        start, end = (x.fullmatch(line.strip()) for x in (_START, _END))
        if (start and marker) or (end and not marker):
            raise _unpaired(name, marker or line)
        if start:
            marker, was_filled = line, True
            lines += [line, "", make_table(start[1]), ""]
        elif end:
            marker = None
        if not marker:
            lines.append(line)
    if marker or not was_filled:
        raise _unpaired(name, marker)
    return "\n".join(lines)


def _unpaired(name, marker):
    expected = "expected <!-- report: TABLE --> and <!-- end of report -->"
    return InputError(
        f"{name} has {marker.strip()} without its other marker: {expected}."
        if marker
        else f"{name} has no place for a table: {expected}."
    )
