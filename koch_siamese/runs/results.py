"""Writes result files with their origin, completely or not at all."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from koch_siamese.errors import InputError, shorten
from koch_siamese.runs.provenance import describe_origin


def write_result(path: Path, result: dict):
    """Writes a result as JSON, with the origin of the numbers.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(result | describe_origin(), indent=2) + "\n")


def write_text(path: Path, text: str):
    """Writes a file as `replace_text` does, and creates its folder.

    Raises:
        InputError: the file cannot be written.
    """
    with writing(path):
        replace_text(path, text)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Creates the folder of a file; turns errors in writing it into InputError.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}.") from error


def write_csv(path: Path, rows: Iterable[Mapping]):
    """Writes rows with the same keys as a CSV file.

    Raises:
        InputError: the file cannot be written.
    """
    text, writer = io.StringIO(newline=""), None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, row, lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
    write_text(path, text.getvalue())


def flatten(result: Mapping) -> dict[str, object]:
    """Flattens a result to a row of a table.

    Each interval takes two columns. A mapping, such as `tar_at_far`, takes a
    column for each key, such as `tar_at_far_0.01_tar`. A list, such as
    `readings`, is left out.
    """
    row = {}
    for name, value in result.items():
        if name.endswith("ci95"):
            low, high = value or (None, None)
            row |= {f"{name}_low": low, f"{name}_high": high}
        elif isinstance(value, Mapping):
            row |= {f"{name}_{key}": x for key, x in flatten(value).items()}
        elif not isinstance(value, list):
            row[name] = value
    return row


# Names of files that are not in UTF-8, such as those of old archives, are
# written and read as the bytes that they are.
_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}


def replace_text(path: Path, text: str):
    """Writes a file completely or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(text, **_ENCODING)


@contextlib.contextmanager
def replacing(path: Path, suffix: str = ".partial") -> Iterator[Path]:
    """Yields a temporary file beside `path`, and renames it to `path`.

    After an error it is deleted, and `path` is as before.

    Args:
        path: the file to write.
        suffix: of the temporary file; Keras needs its own.
    """
    # Other processes may write the same file.
    partial = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def read_text(path: Path) -> str:
    """Reads a file that `write_text` has written."""
    return path.read_text(**_ENCODING)


def read_json(path: Path):
    """Reads a JSON file that was written by `write_text`.

    Raises:
        InputError: it is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise InputError(
            f"{path} is not JSON ({shorten(error)}): restore it, or make it "
            "again."
        ) from error
