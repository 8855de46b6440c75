"""Several training steps in one call of JAX, on drawings kept on the device.

On a GPU, a step of the paper's network takes about as long as Python and the
pipeline need for it. So a call runs a chunk of steps by `jax.lax.scan`, and the
host sends only indices and distortions. TensorFlow is not needed.
"""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import ops

from koch_siamese.training.samplers import Sampler


def make_chunks(
    sample: Sampler, to_inputs: Callable, first_step: int, num_steps: int
) -> Iterator[tuple]:
    """Yields endless chunks of steps, each made while another one trains.

    Args:
        sample: a `samplers.Sampler`.
        to_inputs: `batches.to_pair_inputs` or `to_group_inputs`.
        first_step: the step to begin with.
        num_steps: steps in a chunk.

    Yields:
        `(inputs, labels)` for a `ChunkedModel`: results of `to_inputs` for
        indices, stacked along a leading dimension of steps.
    """

    def make(first):
        steps = map(sample, range(first, first + num_steps))
        batches = [
            to_inputs(drawings.astype(np.int32), distortion, labels)
            for drawings, distortion, labels in steps
        ]
        return keras.tree.map_structure(lambda *x: np.stack(x), *batches)

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        chunk = executor.submit(make, first_step)
        for first in itertools.count(first_step + num_steps, num_steps):
            coming = executor.submit(make, first)
            yield chunk.result()
            chunk = coming


@keras.saving.register_keras_serializable(package="koch_siamese")
class ResidentDrawings(keras.layers.Layer):
    """Looks up drawings that are kept on the device of the model.

    They are not stored with the model: `place` restores them.

    Args:
        shape: `(num_drawings, height, width, channels)`.

    Input shape: int32 `[batch]`, indices of drawings.
    Output shape: uint8 `[batch, height, width, channels]`.
    """

    def __init__(self, shape: tuple[int, int, int, int], **kwargs):
        """Makes the layer; its drawings are all 0 until they are placed."""
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
        """Makes a layer of uint8 images, see `Characters`."""
        layer = cls(images.shape, name="drawings")
        layer.place(images)
        return layer

    def place(self, images: np.ndarray):
        """Sets the drawings, uint8 of the layer's `shape`."""
        self.images.assign(images)

    def call(self, indices):
        """Looks up drawings."""
        return ops.take(self.images, indices, axis=0)

    def compute_output_spec(self, indices):
        """Returns the spec of a drawing for each index."""
        shape = (*indices.shape, *self.shape[1:])
        return keras.KerasTensor(shape, dtype="uint8")

    def save_own_variables(self, store):
        """Stores nothing."""

    def load_own_variables(self, store):
        """Loads nothing."""

    def get_config(self):
        """Returns the config of the layer."""
        return super().get_config() | {"shape": self.shape}


@keras.saving.register_keras_serializable(package="koch_siamese")
class ChunkedModel(keras.Model):
    """A functional model that `fit` trains in chunks of steps, with JAX.

    Batches have a leading dimension of steps; a step of `fit` trains them all.
    """

    def _symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing, because a functional model is already built."""

    def make_train_function(self, force=False):
        """Makes the function that trains a chunk; see Keras."""
        if self.train_function is not None and not force:
            return
        import jax

        def train(state, chunk):
            def step(state, batch):
                logs, state = self.train_step(state, batch)
                return state, logs

            state, logs = jax.lax.scan(step, state, chunk)
            # Logs are means since the epoch began; the last has all steps.
            return jax.tree.map(lambda values: values[-1], logs), state

        compiled = jax.jit(train, donate_argnums=0)
        self.train_function = lambda state, iterator: compiled(
            state, next(iterator)
        )
