"""Paths as users write them."""

import contextlib
import os
from pathlib import Path

from koch_siamese.errors import InputError


def expand_home(path: str | os.PathLike) -> Path:
    """Expands a leading `~`; without a home, the path is not changed.

    Raises:
        InputError: it is not a path, or empty, which would be the current
            folder.
    """
    if not isinstance(path, str | os.PathLike) or path == "":
        raise InputError(
            f"Got {path!r}: expected the path of a file or a folder ('.' is "
            "the current one)."
        )
    path = Path(path)
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path


def expand_home_in(text: str) -> str:
    """Expands a leading `~`; any other text, such as `gs://x`, stays as it is.

    `Path` would remove a slash of an address.
    """
    return str(expand_home(text)) if text.startswith("~") else text
