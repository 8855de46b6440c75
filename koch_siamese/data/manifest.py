"""Reads a table (CSV) of image files and their labels."""

import contextlib
import csv
import functools
import os
from collections.abc import Sequence
from pathlib import Path

from koch_siamese.data.image_errors import (
    ImageError,
    describe,
    make_image_error,
    raise_image_errors,
)
from koch_siamese.data.labelled_files import PARTS, LabelledFiles
from koch_siamese.errors import warn
from koch_siamese.paths import expand_home_in

NEEDED = ("path", "label")
OPTIONAL = ("group", "drawer", "split")
DELIMITERS = ",;\t"  # semicolons where a comma is the decimal point
EXPECTED = (
    "a first line with the columns path,label and optionally group,drawer,split"
)


def read_manifest(path: Path) -> LabelledFiles:
    """Reads a table with a line for each image.

    Its first line names the columns, in any order: `path`, absolute or relative
    to the table's folder; `label`; and optionally `group`, the alphabet or kind
    of a class; `drawer`, who drew the image, or the session in which it was
    taken; and `split`, such as `train`, `val` or `test`. Other columns are
    ignored with a `DataWarning`, optional columns without values silently.

    Args:
        path: the table, UTF-8 with or without a byte order mark, with commas,
            semicolons or tabs between values.

    Returns:
        The files in the order of the table.

    Raises:
        InputError: it cannot be read, lacks a column or a value, has an unknown
            split, names a file twice, or names one that does not exist.
    """
    rows, header = _read_rows(path)
    numbers = list(rows)
    columns = {
        name: [row[index].strip() for row in rows.values()]
        for name, index in _find_columns(path, header).items()
    }
    values = {
        name: column
        for name, column in columns.items()
        if name in NEEDED or any(column)
    }
    _require_values(path, values, numbers)
    files = _find_files(path, values["path"], numbers)
    groups = values.get("group", [path.stem] * len(files))
    return LabelledFiles(
        files,
        list(zip(groups, values["label"], strict=True)),
        has_groups="group" in values,
        drawers=values.get("drawer"),
        splits=_find_splits(path, values.get("split"), numbers),
    )


def _read_rows(path):
    """Returns the filled rows by their line numbers, and the header."""
    try:
        # newline="" keeps line ends within quotes as they are.
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = max(DELIMITERS, key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            rows = {}
            for row in reader:
                if any(row):
                    rows[reader.line_num] = row
    except (OSError, UnicodeError, csv.Error) as error:
        raise make_image_error(
            path,
            f"cannot be read as a table ({error})",
            "text in UTF-8 with commas between values",
            "save it as CSV UTF-8",
        ) from error
    if not rows:
        raise make_image_error(
            path, "has no images", EXPECTED, "add a line for each image"
        )
    for number, row in rows.items():
        if len(row) < len(header) or any(row[len(header) :]):
            raise make_image_error(
                path,
                f"has {len(row)} values in line {number}",
                f"{len(header)}, as in its first line",
                "put a value with commas into quotes",
            )
    return rows, header


def _find_columns(path, header):
    """Finds the indices of the columns to read, by name."""
    names = [name.strip().casefold() for name in header]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise make_image_error(
            path,
            f"lacks the column {' and '.join(missing)}: it has "
            f"{', '.join(map(repr, header)) or 'none'}",
            EXPECTED,
            "add or rename it",
        )
    known = [name for name in names if name in (*NEEDED, *OPTIONAL)]
    twice = [name for name in known if known.count(name) > 1]
    if twice:
        raise make_image_error(
            path,
            f"has the column {twice[0]} twice",
            EXPECTED,
            "remove or rename one of them",
        )
    others = [name for name in header if name.strip().casefold() not in known]
    if any(others):
        listed = ", ".join(repr(name) for name in others if name)
        warn(f"{describe(path)} has columns that are ignored: {listed}.")
    return {name: names.index(name) for name in known}


def _require_values(path, values, numbers):
    """Refuses an empty value in a column that has others."""
    for name, column in values.items():
        if not all(column):
            raise make_image_error(
                path,
                f"has no {name} in line {numbers[column.index('')]}",
                "a value for each image, or in an optional column none at all",
                "add it",
            )


def _find_files(path, texts: Sequence[str], numbers) -> list[Path]:
    """Finds the files that a table names.

    Raises:
        InputError: a file does not exist, or is named twice.
    """
    folder = os.path.abspath(path.parent)  # noqa: PTH100 - for speed
    # Listed once, as checking each file takes long.
    list_names = functools.cache(_list_names)
    lines, errors = {}, []
    for text, number in zip(texts, numbers, strict=True):
        file = _find_file(folder, text, list_names)
        if file is None:
            errors.append(
                ImageError(
                    f"{text!r} of line {number} is not there",
                    f"a file, absolute or relative to {folder}",
                    f"correct {describe(path)}, or put the image there",
                )
            )
            continue
        other = lines.setdefault(file, number)
        if other != number:
            raise make_image_error(
                path,
                f"has {text!r} in the lines {other} and {number}",
                "each image once",
                "remove one of them",
            )
    raise_image_errors(errors, len(texts))
    return list(map(Path, lines))


def _find_file(folder, text, list_names) -> str | None:
    """Finds the file of a path as written, or with backslashes of Windows."""
    for form in (text, text.replace("\\", "/")):
        form = expand_home_in(form)
        file = os.path.normpath(os.path.join(folder, form))  # noqa: PTH118
        parent, name = os.path.split(file)
        # Some file systems accept other spellings of a name, too.
        with contextlib.suppress(ValueError):  # a null character
            if name in list_names(parent) or os.path.isfile(file):  # noqa: PTH113
                return file
    return None


def _list_names(folder):
    """Lists the file names of a folder; none if it cannot be read."""
    with contextlib.suppress(OSError, ValueError), os.scandir(folder) as found:
        return {entry.name for entry in found if entry.is_file()}
    return set()


def _find_splits(path, texts, numbers):
    if texts is None:
        return None
    splits = [PARTS.get(text.casefold()) for text in texts]
    if None in splits:
        row = splits.index(None)
        raise make_image_error(
            path,
            f"has the split {texts[row]!r} in line {numbers[row]}",
            "train, val or test",
            "correct it, or leave the column out",
        )
    return splits
