"""What a command says to its user in one line instead of a traceback."""


class InputError(ValueError):
    """A user's mistake: what was got, what was expected, how to mend it.

    Commands print the message and exit with 1. Any other exception is a fault
    of this package and keeps its traceback.
    """


class NanScoreError(InputError):
    """Scores that are not numbers: those of a broken model."""


class DivergedError(InputError):
    """A training whose loss is no longer a number."""
