"""Writes what TensorBoard shows of a training beside its curves."""

import contextlib
import dataclasses
from pathlib import Path

from koch_siamese.backend import has_tensorflow
from koch_siamese.errors import InputError, shorten
from koch_siamese.runs.settings import Settings, format_value


@contextlib.contextmanager
def writing_events(folder: Path):
    """Turns errors in writing TensorBoard's files into `InputError`.

    Raises:
        InputError: the files cannot be written.
    """
    if not has_tensorflow():  # then no files are written
        yield
        return
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if "events.out" not in str(error):
            raise
        raise InputError(
            f"{folder} cannot be written ({shorten(error)}): make room, and "
            "run the same command again."
        ) from error


def write_hyperparameters(folder: Path, settings: Settings):
    """Writes settings for TensorBoard's tab HPARAMS, a row for each run.

    Tuples are written as in a flag, other values unchanged.
    """
    if not has_tensorflow():
        return
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    values = {
        name: format_value(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(settings).items()
    }
    with tf.summary.create_file_writer(str(folder)).as_default():
        api.hparams(values, trial_id=str(folder))
