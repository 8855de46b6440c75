"""Paths as users write them."""

import contextlib
import os
from pathlib import Path


def expand_home(path: str | os.PathLike) -> Path:
    """Expands a leading `~`; without a home, the path is not changed."""
    path = Path(path)
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path
