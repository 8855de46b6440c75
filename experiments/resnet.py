r"""A residual network, as an example of a custom network.

python -m koch_siamese.train --network=experiments.resnet:build \
        --workdir=runs/resnet
"""

import keras
from keras import layers


def build(settings):
    """Builds a network from ink, [batch, size, size, 1], to [batch, 128]."""
    size = settings.image_size
    inputs = keras.Input((size, size, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    for filters in (32, 64, 128):
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization()(y)
        x = layers.ReLU()(layers.Add()([layers.Conv2D(filters, 1)(x), y]))
        x = layers.MaxPooling2D()(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
