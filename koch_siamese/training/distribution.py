"""Training on several devices or machines, by tf.distribute."""

import contextlib
import json
import os
import sys
import typing

import keras

from koch_siamese.errors import InputError, shorten

if typing.TYPE_CHECKING:
    import tensorflow as tf


def make_strategy(name: str) -> "tf.distribute.Strategy | None":
    """Makes the distribution strategy of a training.

    Args:
        name: `none`; `mirrored` for all GPUs of this machine, or all its
            logical CPU devices; `multiworker` for the machines of `TF_CONFIG`,
            each of which runs the same command.

    Returns:
        The strategy; None for `none`.

    Raises:
        InputError: `TF_CONFIG` is not usable for `multiworker`, or the backend
            of Keras is not TensorFlow.
    """
    if name == "none":
        return None
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"--distribute={name} needs TensorFlow, but KERAS_BACKEND is "
            f"{keras.backend.backend()}: remove one of them."
        )
    import tensorflow as tf

    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    _check_cluster()
    return tf.distribute.MultiWorkerMirroredStrategy()


def _check_cluster():
    text = os.environ.get("TF_CONFIG", "")
    expected = (
        'expected something like {"cluster": {"worker": ["host1:2222", '
        '"host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(text)
        workers = config["cluster"]["worker"]
        index = config["task"]["index"]
        is_known = config["task"]["type"] == "worker" and (
            0 <= index < len(workers)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"--distribute=multiworker needs TF_CONFIG; got {text!r}, "
            f"{expected}."
        ) from error
    if not is_known:
        raise InputError(
            f"TF_CONFIG has task {config['task']}, which is none of its "
            f"{len(workers)} workers; {expected}."
        )


def is_chief(strategy: "tf.distribute.Strategy | None") -> bool:
    """Whether this process is the chief, which writes the files."""
    resolver = strategy and strategy.cluster_resolver
    return resolver is None or not resolver.task_id


@contextlib.contextmanager
def other_workers(strategy: "tf.distribute.Strategy | None"):
    """Turns the errors that follow another worker's end into `InputError`.

    Args:
        strategy: of the training; only that of several workers has others.

    Raises:
        InputError: another worker has stopped.
    """
    try:
        yield
    except Exception as error:
        has_others = strategy is not None and strategy.cluster_resolver
        if not (has_others and _is_end_of_another(error)):
            raise
        raise InputError(
            f"Another worker has stopped ({shorten(error)}): run the same "
            "commands again on all of them to resume."
        ) from error


def _is_end_of_another(error):
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return errors is not None and isinstance(
        error,
        errors.UnavailableError | errors.AbortedError | errors.CancelledError,
    )


@keras.saving.register_keras_serializable(package="koch_siamese")
class DistributedModel(keras.Model):
    """A functional model that `fit` can train on several machines.

    Keras 3 fails there in two places (keras-team/keras#20585): it builds the
    model on a reduced batch, and it reduces the logs, which are scalars, along
    an axis. Functional models need neither. Delete this class when `fit` of a
    plain model passes tests/training/test_distribution.py.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing, because a functional model is already built."""

    def _make_function(self, step_function):
        """Makes the function that runs a step on all devices; averages logs."""
        import tensorflow as tf

        strategy = self.distribute_strategy

        @tf.function(reduce_retracing=True)
        def one_step(data):
            logs = strategy.run(step_function, args=(data,))
            return {
                name: strategy.reduce("MEAN", value, axis=None)
                for name, value in logs.items()
            }

        return lambda iterator: one_step(next(iterator))
