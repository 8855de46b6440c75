"""Parts of a training step that XLA compiles by themselves."""

import functools
from collections.abc import Callable

import keras


@functools.cache
def compile_with_xla(function: Callable) -> Callable:
    """The function, compiled by XLA wherever it is called.

    On a CPU a step is faster uncompiled, as its convolutions are, but not what
    passes over large tensors. On JAX the whole step of `fit` is compiled. Of a
    function there is one compiled one, which all layers share.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True)
