"""Training on the features of a frozen backbone, which are computed once.

The backbone takes nearly all the time of a step. If neither it nor the images
change, training and validation use its stored features.
"""

import keras
import numpy as np
from keras import ops

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
    for chunk in iterate_chunks(len(images), IMAGES_AT_ONCE, "Features"):
        features[chunk] = front.predict_on_batch(images[chunk])
    return features


def without_distortion(sample: Sampler) -> Sampler:
    """Returns a sampler of the same batches without distortions."""
    return lambda step: sample(step)._replace(distortion={})


def build_feature_model(siamese: keras.Model, sampling: str) -> keras.Model:
    """Builds the model that trains on features: all layers after the backbone.

    It shares the layers of the siamese model. Its `embedding` embeds features,
    so that `SiameseScorer` can use it like a siamese model.

    Args:
        siamese: the model to train.
        sampling: `pairs` or `groups`.

    Returns:
        A model from the inputs of `batches.to_pair_inputs` or
        `to_group_inputs`, with features instead of images and without
        distortions, to logits: see `trainers.build_pair_model` and
        `build_group_model`.
    """
    projection, head = get_projection(siamese), get_head(siamese)
    shape = projection.input.shape[1:]
    features = keras.Input(shape, name="features")
    embedding = keras.Model(features, projection(features), name="embedding")
    names = ("first", "second") if sampling == "pairs" else ("images",)
    inputs = {name: keras.Input(shape, name=name) for name in names}
    if sampling == "pairs":
        embedded = embedding(ops.concatenate(list(inputs.values())))
        return keras.Model(inputs, head(*ops.split(embedded, 2)))
    embedded = embedding(inputs["images"])
    logits = head(ops.expand_dims(embedded, 1), ops.expand_dims(embedded, 0))
    return keras.Model(inputs, logits)


def join(siamese: keras.Model, trainer: keras.Model) -> keras.Model:
    """Joins a stored backbone and the layers trained on it to a siamese model.

    Args:
        siamese: a model with the backbone, such as that of the best epoch.
        trainer: a model from `build_feature_model`; its layers are shared.
    """
    projection = get_embedding(trainer).get_layer(PROJECTION)
    embedding = build_backbone_embedding(
        get_backbone(siamese), projection, get_image_size(siamese)
    )
    return build_siamese(embedding, get_head(trainer))
