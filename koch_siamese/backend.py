"""Sets up TensorFlow and Keras: import, determinism, XLA."""

import contextlib
import functools
import importlib.util
import os
import sys
import typing
from collections.abc import Callable, Sequence

from koch_siamese.errors import InputError

if typing.TYPE_CHECKING:
    import keras


def import_tensorflow():
    """Imports TensorFlow without its messages about drivers and optimizations.

    It writes them before any log level applies. The import takes seconds, so
    check the flags first. With JAX, TensorFlow need not be installed.

    Raises:
        InputError: `KERAS_BACKEND` is unknown or not installed.
    """
    _choose_backend()
    if not has_tensorflow() or "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with hiding_messages():
        import tensorflow  # noqa: F401


@contextlib.contextmanager
def hiding_messages():
    """Hides what C++ libraries write to the file of standard error."""
    if sys.stderr is None:  # closed by `2>&-`
        yield
        return
    sys.stderr.flush()
    standard_error = os.dup(2)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123, a device, no path
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(standard_error, 2)
        os.close(standard_error)


def has_tensorflow() -> bool:
    """Tells whether TensorFlow is installed; JAX can train without it."""
    return importlib.util.find_spec("tensorflow") is not None


def _choose_backend() -> str:
    """Sets and returns the backend of Keras."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in ("tensorflow", "jax"):
        raise InputError(
            f"KERAS_BACKEND is {backend!r}: expected tensorflow or jax."
        )
    if not importlib.util.find_spec(backend):
        advice = {
            "tensorflow": "TensorFlow is not installed: install it, or set "
            "KERAS_BACKEND=jax.",
            "jax": "KERAS_BACKEND is jax, which is not installed: install the "
            "extra 'jax', or unset KERAS_BACKEND.",
        }
        raise InputError(advice[backend])
    # Overrides keras.json, which may be that of another project.
    os.environ["KERAS_BACKEND"] = backend
    return backend


def has_accelerator() -> bool:
    """Tells whether Keras computes on a GPU or TPU."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return len(tf.config.list_logical_devices()) > len(
        tf.config.list_logical_devices("CPU")
    )


def make_deterministic():
    """Makes TensorFlow compute sums in the same order in every run.

    Batch normalization needs the second setting, because operations that run in
    parallel finish in any order.

    Raises:
        InputError: the backend is JAX, or TensorFlow has already computed
            something in this process.
    """
    if _choose_backend() != "tensorflow":
        raise InputError(
            "--deterministic is for TensorFlow, and KERAS_BACKEND is jax: "
            "remove one of them."
        )
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise InputError(
            "--deterministic must be set before TensorFlow computes anything: "
            "train in a new process."
        ) from error


def trace_prediction(model: "keras.Model", shape: Sequence[int], dtype: str):
    """Traces a model's `predict_on_batch` once for all sizes of a batch.

    TensorFlow otherwise traces it for the first size and again for the others.
    It counts retracing over all models, and warns of it. With JAX, or if
    predictions have been traced, this does nothing.

    Args:
        model: the model.
        shape: the shape of one image.
        dtype: of images.
    """
    import keras

    is_traced = model.predict_function is not None
    if keras.backend.backend() != "tensorflow" or is_traced:
        return
    import tensorflow as tf

    model.make_predict_function()
    if not model.run_eagerly:
        batch = tf.TensorSpec((None, *shape), dtype)
        model.predict_function.get_concrete_function([(batch,)])


def compiles(model: "keras.Model") -> bool:
    """Whether predictions of a model are compiled, for each size of a batch."""
    import keras

    return keras.backend.backend() == "jax" or bool(model.jit_compile)


@functools.cache
def compile_with_xla(function: Callable) -> Callable:
    """Compiles a function with XLA on any device.

    On a CPU, a whole step is faster uncompiled because of its convolutions, but
    passes over large tensors are faster compiled. With JAX, `fit` compiles the
    whole step. All layers share one compiled function. TensorFlow only traces
    it, because converting its branches and loops would take seconds.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)
