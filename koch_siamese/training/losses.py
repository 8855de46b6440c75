"""Losses on pairs, and on all pairs of a batch."""

import keras
from keras import ops

from koch_siamese.errors import InputError


@keras.saving.register_keras_serializable(package="koch_siamese")
class PairLoss(keras.losses.Loss):
    """The paper's cross-entropy (section 3.2) on logits of pairs.

    Keras' own loss takes the mean of a vector itself, and is then not divided
    by the number of devices of a distributed training.

    Call arguments:
        y_true: `[batch]`, 1 = same, 0 = different.
        y_pred: logits `[batch]`.
    """

    def call(self, y_true, y_pred):
        """The loss of each pair, `[batch]`."""
        return ops.binary_crossentropy(y_true, y_pred, from_logits=True)


@keras.saving.register_keras_serializable(package="koch_siamese")
class ContrastiveLoss(keras.losses.Loss):
    """The contrastive loss on pairs (Hadsell, Chopra and LeCun 2006).

    For a pair at distance d, it is d^2 if the pair is the same, else
    max(0, margin - d)^2.

    Args:
        margin: the distance beyond which different pairs have no loss.

    Call arguments:
        y_true: `[batch]`, 1 = same, 0 = different.
        y_pred: negative distances `[batch]`, of a model that was built by
            `build_siamese(embedding, EuclideanDistance(name="logit"))`. The
            logits of `WeightedL1`, the default head, are not distances.
    """

    def __init__(self, margin: float = 1.0, **kwargs):
        """Makes the loss."""
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, y_true, y_pred):
        """The loss of each pair, `[batch]`."""
        short = ops.relu(self.margin + y_pred)
        return y_true * ops.square(y_pred) + (1 - y_true) * ops.square(short)

    def get_config(self):
        """Returns the config of the loss."""
        return super().get_config() | {"margin": self.margin}


@keras.saving.register_keras_serializable(package="koch_siamese")
class AllPairsLoss(keras.losses.Loss):
    """Cross-entropy on all pairs of a batch, plus a ranking within rows.

    The first term is the paper's cross-entropy (section 3.2), with half of the
    weight on same pairs and half on different ones, as in the paper's batches.
    The second treats each row as trials: it is the negative log of a same
    pair's softmax over itself and the row's different pairs. A drawing is never
    compared with itself.

    Args:
        ranking_weight: weight of the second term.

    Call arguments:
        y_true: int `[batch]`, the character of each drawing; at least two
            characters, and two drawings of each, in a batch.
        y_pred: logits `[batch, batch]`.

    Raises:
        InputError: `y_pred` is not such a matrix.
    """

    def __init__(self, ranking_weight: float = 0.0, **kwargs):
        """Makes the loss."""
        super().__init__(**kwargs)
        self.ranking_weight = ranking_weight

    def call(self, y_true, y_pred):
        """The loss of each row, `[batch]`."""
        _require_all_pairs(y_pred.shape)
        y_true = ops.reshape(y_true, (-1,))
        alike = ops.equal(y_true[:, None], y_true[None, :])
        different = ops.cast(ops.logical_not(alike), y_pred.dtype)
        same = ops.cast(alike, y_pred.dtype) - ops.eye(
            ops.shape(y_true)[0], dtype=y_pred.dtype
        )
        loss = 0.5 * (
            _mean_where(same, ops.softplus(-y_pred))
            + _mean_where(different, ops.softplus(y_pred))
        )
        if self.ranking_weight:
            rivals = ops.logsumexp(
                ops.where(alike, -1e9, y_pred), axis=1, keepdims=True
            )
            ranking = _mean_where(same, ops.softplus(rivals - y_pred))
            loss = loss + self.ranking_weight * ranking
        return loss

    def get_config(self):
        """Returns the config of the loss."""
        return super().get_config() | {"ranking_weight": self.ranking_weight}


def _require_all_pairs(shape):
    """Refuses the shape of scores of pairs, which would be broadcast."""
    is_vector = len(shape) != 2 or 1 in shape
    if is_vector or (None not in shape and shape[0] != shape[1]):
        raise InputError(
            f"AllPairsLoss got scores of shape {tuple(shape)}: expected the "
            "scores of all pairs of a batch, [batch, batch], as of batches of "
            "make_groups; see help('koch_siamese.models'). For make_pairs use "
            "BinaryCrossentropy(from_logits=True)."
        )


def _mean_where(mask, values):
    """Mean over the masked entries of each row; 0 if there are none.

    A row may have none, because a device's part of a group may end within a
    character.
    """
    count = ops.maximum(ops.sum(mask, axis=1), 1)
    return ops.sum(mask * values, axis=1) / count
