"""Several training steps in one call of JAX, on drawings that stay there.

On a GPU a step of the paper's network takes about as long as Python and the
pipeline do beside it. So a call is given a chunk of steps, of which the host
sends indices and distortions alone; `jax.lax.scan` runs them without coming
back. No TensorFlow is needed.
"""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import ops


def make_chunks(
    sample: Callable, name: Callable, first_step: int, num_steps: int
) -> Iterator[tuple]:
    """Endless batches of `num_steps` steps, each made while one trains.

    Args:
        sample: a `batches.Sampler`.
        name: `batches.name_pairs` or `name_groups`.
        first_step: the step to begin with.
        num_steps: steps in a chunk.

    Yields:
        `(inputs, labels)` for a `ChunkedModel`: those of `name`, of indices,
        with a leading dimension of steps.
    """

    def make(first):
        steps = map(sample, range(first, first + num_steps))
        named = [
            name(drawings.astype(np.int32), distortion, labels)
            for drawings, distortion, labels in steps
        ]
        return keras.tree.map_structure(lambda *x: np.stack(x), *named)

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        chunk = executor.submit(make, first_step)
        for first in itertools.count(first_step + num_steps, num_steps):
            coming = executor.submit(make, first)
            yield chunk.result()
            chunk = coming


@keras.saving.register_keras_serializable(package="koch_siamese")
class ResidentDrawings(keras.layers.Layer):
    """Looks drawings up that are kept where the model runs.

    They are no part of a stored model: `place` brings them back.

    Args:
        shape: `(num_drawings, height, width, channels)`.

    Input shape: int32 `[batch]`, indices of drawings.
    Output shape: uint8 `[batch, height, width, channels]`.
    """

    def __init__(self, shape: tuple[int, int, int, int], **kwargs):
        """Makes the layer, of white drawings."""
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.images = self.add_weight(
            shape=self.shape,
            dtype="uint8",
            initializer="zeros",
            trainable=False,
            name="images",
        )

    @classmethod
    def of(cls, images: np.ndarray) -> "ResidentDrawings":
        """The layer with uint8 images, see `Characters`."""
        layer = cls(images.shape, name="drawings")
        layer.place(images)
        return layer

    def place(self, images: np.ndarray):
        """Gives the layer its drawings, uint8 as `shape` says."""
        self.images.assign(images)

    def call(self, indices):
        """Looks up drawings."""
        return ops.take(self.images, indices, axis=0)

    def compute_output_spec(self, indices):
        """A drawing for each index."""
        shape = (*indices.shape, *self.shape[1:])
        return keras.KerasTensor(shape, dtype="uint8")

    def save_own_variables(self, store):
        """Stores nothing."""

    def load_own_variables(self, store):
        """Loads nothing."""

    def get_config(self):
        """What the layer is rebuilt from."""
        return super().get_config() | {"shape": self.shape}


@keras.saving.register_keras_serializable(package="koch_siamese")
class ChunkedModel(keras.Model):
    """A functional model that `fit` trains by chunks of steps, with JAX.

    Batches have a leading dimension of steps, and a step of `fit` is as many.
    """

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing: a functional model is built, and so is what it uses."""

    def make_train_function(self, force=False):
        """Makes what trains a chunk; see Keras."""
        if self.train_function is not None and not force:
            return
        import jax

        def train(state, chunk):
            def step(state, batch):
                logs, state = self.train_step(state, batch)
                return state, logs

            state, logs = jax.lax.scan(step, state, chunk)
            # Means since the epoch began, of which the last has all steps.
            return jax.tree.map(lambda values: values[-1], logs), state

        compiled = jax.jit(train, donate_argnums=0)
        self.train_function = lambda state, iterator: compiled(
            state, next(iterator)
        )
