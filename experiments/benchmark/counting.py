"""The arithmetic of a network, counted from the shapes of its layers."""

import math

import keras


def count_multiply_adds(
    embedding: keras.Model, *, training: bool = False
) -> int:
    """Multiply-adds of convolutions and dense layers for one image.

    What the rest needs (pooling, normalisation, the warp, distances, the
    update of the weights) is not products of matrices and not counted.

    Args:
        embedding: a model of layers in a row.
        training: whether with the backward pass, which takes two products of
            the size of the forward one for each layer, one for its weights and
            one for its input; of the first layer the latter is not needed.
    """
    counts = [
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in embedding.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))
    ]
    return 3 * sum(counts) - counts[0] if training else sum(counts)
