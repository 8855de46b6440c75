"""Tables of text for a terminal, and how numbers stand in tables."""

import unicodedata
from collections.abc import Sequence


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts, the first of them the header, as aligned columns."""
    rows = [[to_printable(cell) for cell in row] for row in rows]
    widths = [
        max(map(count_columns, column)) for column in zip(*rows, strict=True)
    ]
    return "\n".join("  ".join(map(_pad, row, widths)).rstrip() for row in rows)


def count_columns(text: str) -> int:
    """The columns that a text takes in a terminal: two for a kanji."""
    return sum(
        0
        if unicodedata.combining(character)
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _pad(text, width):
    return text + " " * (width - count_columns(text))


def format_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts, the first of them the header, as a table in Markdown."""
    header, *rest = rows
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (header, ["---"] * len(header), *rest)
    )


def to_printable(text: str) -> str:
    """A user's name on one line: what does not print becomes an escape."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def format_percent(share: float) -> str:
    """A share in percent, with one or two digits behind the point."""
    return f"{100 * share:.2f}".removesuffix("0")


def format_duration(seconds: float | None) -> str:
    """Minutes and seconds, from an hour on hours and minutes."""
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s"
