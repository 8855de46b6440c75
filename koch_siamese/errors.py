"""Errors that commands report in one line instead of a traceback."""


class InputError(ValueError):
    """A user's mistake: what was found, what was expected, how to fix it.

    Commands print the message and exit with 1. Any other exception is a bug of
    this package and keeps its traceback.
    """


class NanScoreError(InputError):
    """Scores are not numbers, because the model is broken."""


class DivergedError(InputError):
    """The loss of a training is no longer a number."""


def shorten(error: Exception) -> str:
    """Shortens a library's message to one line of at most 160 characters."""
    return " ".join(str(error).split())[:160].rstrip(" .:")
