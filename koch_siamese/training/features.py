"""Training on the features of a frozen backbone, which are computed once.

The backbone takes nearly all the time of a step. If neither it nor the images
change, training and validation use its stored features.
"""

import keras
import numpy as np

from koch_siamese.backend import trace_prediction
from koch_siamese.evaluation.scoring import iterate_chunks
from koch_siamese.models.backbones import (
    PROJECTION,
    build_backbone_embedding,
    get_backbone,
    get_projection,
)
from koch_siamese.models.siamese import (
    build_siamese,
    get_embedding,
    get_head,
    get_image_size,
)
from koch_siamese.training.samplers import Sampler

IMAGES_AT_ONCE = 128


def compute_features(siamese: keras.Model, images: np.ndarray) -> np.ndarray:
    """Computes the features of images in the backbone of a siamese model.

    Args:
        siamese: a model with a backbone.
        images: uint8 `[num, height, width, 3]`.

    Returns:
        float32 `[num, dim]`.
    """
    backbone = get_backbone(siamese)
    identity = keras.layers.Identity(name="identity")
    front = build_backbone_embedding(
        backbone, identity, get_image_size(siamese)
    )
    features = np.empty((len(images), backbone.output.shape[-1]), np.float32)
    trace_prediction(front, images.shape[1:], images.dtype)
    for chunk in iterate_chunks(len(images), IMAGES_AT_ONCE, "Features"):
        features[chunk] = front.predict_on_batch(images[chunk])
    return features


def without_distortion(sample: Sampler) -> Sampler:
    """Returns a sampler of the same batches without distortions."""
    return lambda step: sample(step)._replace(distortion={})


def build_feature_embedding(siamese: keras.Model) -> keras.Model:
    """Builds an embedding of features: the layers that follow the backbone.

    They are shared with the siamese model.
    """
    projection = get_projection(siamese)
    features = keras.Input(projection.input.shape[1:], name="features")
    return keras.Model(features, projection(features), name="embedding")


def join(siamese: keras.Model, trainer: keras.Model) -> keras.Model:
    """Joins a stored backbone and the layers trained on it to a siamese model.

    Args:
        siamese: a model with the backbone, such as that of the best epoch.
        trainer: a model that trains on features; its layers are shared.
    """
    projection = get_embedding(trainer).get_layer(PROJECTION)
    embedding = build_backbone_embedding(
        get_backbone(siamese), projection, get_image_size(siamese)
    )
    return build_siamese(embedding, get_head(trainer))
