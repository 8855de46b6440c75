"""Errors and warnings that commands report in one line, without a traceback."""

import sys
import warnings

PACKAGE = f"{__name__.partition('.')[0]}."


class InputError(ValueError):
    """A user's mistake: what was found, what was expected, how to fix it.

    Commands print the message and exit with 1. Any other exception is a bug of
    this package and keeps its traceback.
    """


class ScoreError(InputError):
    """Scores are NaN or infinite, because the model is broken."""


class DivergedError(InputError):
    """The loss or the scores of a training are no longer finite."""


class DataWarning(UserWarning):
    """A warning about a user's data, in a sentence."""


def warn(message: str | DataWarning):
    """Warns at the line of the user's code that called this package."""
    frame, level, outside = sys._getframe(), 1, 1
    while frame:  # to the outermost frame of this package
        if frame.f_globals.get("__name__", "").startswith(PACKAGE):
            outside = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, DataWarning, stacklevel=outside)


def shorten(error: Exception) -> str:
    """Shortens a library's message to one line of at most 160 characters.

    An error without a message is named by its type.
    """
    line = " ".join(str(error).split())[:160].rstrip(" .:")
    return line or type(error).__name__
