"""Workloads of ours with one thing otherwise: what makes a step faster.

Each is a training of the package, and where `options.otherwise` the same with
its lever put the other way.
"""

import contextlib
import dataclasses
import time
from unittest import mock

import keras
import tensorflow as tf
from keras import ops

from experiments.benchmark import ours
from experiments.benchmark.options import Options
from koch_siamese.models import (
    distortions,
    embeddings,
    layers,
    normalization,
    siamese,
)
from koch_siamese.models.siamese import build_siamese, get_embedding
from koch_siamese.training import builders, optimizers


def lever_bfloat16(options: Options):
    """Convolutions in float32 instead of bfloat16."""
    precision = "float32" if options.otherwise else "bfloat16"
    return _measure_groups("lever_bfloat16", options, precision=precision)


def lever_parts_by_xla(options: Options):
    """TensorFlow's operations in place of what XLA compiles of a step."""
    return _measure_groups(
        "lever_parts_by_xla",
        options,
        mock.patch.object(distortions, "compile_with_xla", _leave),
        mock.patch.object(layers, "compile_with_xla", _leave),
        mock.patch.object(normalization, "compile_with_xla", _leave),
    )


def lever_normalisation(options: Options):
    """Keras' own group normalisation."""
    keras_own = keras.layers.GroupNormalization
    return _measure_groups(
        "lever_normalisation",
        options,
        mock.patch.object(embeddings, "GroupNormalization", keras_own),
        mock.patch.object(siamese, "GroupNormalization", keras_own),
    )


def lever_whole_step_by_xla(options: Options):
    """The whole step compiled by XLA, convolutions too."""
    return _measure_groups(
        "lever_whole_step_by_xla",
        options,
        precision="float32",
        jit_compile=True,
    )


def lever_distances_as_product(options: Options):
    """Weighted distances added up, not multiplied as matrices."""
    return _measure_groups(
        "lever_distances_as_product",
        options,
        mock.patch.object(layers, "_weighted_l1_of_many", layers._weighted_l1),
    )


def lever_steps_per_execution(options: Options):
    """Ten steps in one call of TensorFlow."""
    return _measure_groups(
        "lever_steps_per_execution", options, steps_per_execution=10
    )


def lever_muon(options: Options):
    """Muon's iterations as Keras has them."""
    return _measure_groups(
        "lever_muon",
        options,
        mock.patch.object(
            optimizers.ConvolutionMuon,
            "zeropower_via_newtonschulz5",
            _orthogonalise_as_keras,
        ),
        optimizer="muon",
    )


def lever_no_tuning(options: Options):
    """The batches tuned by tf.data."""
    make_batches = builders.make_batches
    tuned = tf.data.Options()
    tuned.autotune.enabled = True
    return _measure_groups(
        "lever_no_tuning",
        options,
        mock.patch.object(
            builders,
            "make_batches",
            lambda *arguments: make_batches(*arguments).with_options(tuned),
        ),
    )


def lever_first_convolution(options: Options):
    """The paper's first convolution as a product of its patches' matrix."""
    name = "lever_first_convolution"
    settings = ours.make_pair_settings(options, "float32")
    siamese = builders.build_model(settings)
    if options.otherwise:
        siamese = build_siamese(
            keras.models.clone_model(
                get_embedding(siamese), clone_function=_copy_layer
            )
        )
    trainer = builders.build_trainer(settings, siamese)
    return _make_measure(name, trainer, settings, options, options.pair_steps)


def _orthogonalise_as_keras(optimizer, filters, steps):
    matrix = optimizers._as_matrix(filters)
    orthogonalise = keras.optimizers.Muon.zeropower_via_newtonschulz5
    return ops.reshape(orthogonalise(optimizer, matrix, steps), filters.shape)


def _measure_groups(
    name,
    options,
    *patches,
    precision="bfloat16",
    optimizer="adam",
    **attributes,
):
    """The fast network on groups.

    Args:
        patches: in which it is built and first run, where it is otherwise.
        precision: of its convolutions.
        optimizer: of all its weights.
        attributes: of the training model, where it is otherwise.
    """
    settings = dataclasses.replace(
        ours.make_group_settings(options, precision), optimizer=optimizer
    )
    with contextlib.ExitStack() as stack:
        for patch in patches if options.otherwise else ():
            stack.enter_context(patch)
        siamese = builders.build_model(settings)
        trainer = builders.build_trainer(settings, siamese)
        for attribute, value in attributes.items():
            if options.otherwise:
                setattr(trainer, attribute, value)
                if getattr(trainer, attribute) != value:
                    raise RuntimeError(f"{attribute} did not become {value}.")
        return _make_measure(
            name, trainer, settings, options, options.group_steps
        )


def _make_measure(name, trainer, settings, options, steps):
    """Steps a second, after a round in which they are compiled."""
    train = ours.make_steps(trainer, settings, options, steps)
    train()

    def measure():
        begin = time.perf_counter()
        train()
        return {name: steps / (time.perf_counter() - begin)}

    return (measure,)


def _leave(function):
    return function


class PatchConvolution(keras.layers.Conv2D):
    """A convolution of one channel as a product of matrices."""

    def call(self, images):
        """Gathers the patches, and multiplies them by the filters."""
        patches = tf.image.extract_patches(
            images,
            sizes=(1, *self.kernel_size, 1),
            strides=(1, 1, 1, 1),
            rates=(1, 1, 1, 1),
            padding="VALID",
        )
        filters = ops.reshape(self.kernel, (-1, self.filters))
        return self.activation(patches @ filters + self.bias)


def _copy_layer(layer):
    is_first = isinstance(layer, keras.layers.Conv2D) and (
        layer.kernel.shape[2] == 1
    )
    kind = PatchConvolution if is_first else type(layer)
    return kind.from_config(layer.get_config())
