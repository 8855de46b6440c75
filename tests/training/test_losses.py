import keras
import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.errors import InputError
from koch_siamese.models.heads import EuclideanDistance
from koch_siamese.training.losses import AllPairsLoss, ContrastiveLoss, PairLoss

LN2 = np.log(2.0)


def test_pair_loss_by_hand():
    loss = PairLoss()
    same, logits = np.array([1.0, 0.0]), np.array([0.0, np.log(3.0)])
    # -log(1/2) for a same pair, -log(1 - 3/4) for a different one.
    expected = [LN2, np.log(4.0)]
    assert float(loss(same, logits)) == pytest.approx(np.mean(expected))
    np.testing.assert_allclose(loss.call(same, logits), expected, rtol=1e-6)


def test_contrastive_loss_by_hand():
    # Same at distance 3: 3^2. Different, margin 2: at 0.5 it is 1.5^2, at 3 it
    # is 0.
    y_true = np.array([1.0, 0.0, 0.0], np.float32)
    distances = np.array([3.0, 0.5, 3.0], np.float32)
    loss = ContrastiveLoss(margin=2.0, reduction="none")(y_true, -distances)
    np.testing.assert_allclose(loss, [9.0, 2.25, 0.0])
    again = ContrastiveLoss.from_config(ContrastiveLoss(2.0).get_config())
    assert again.margin == 2.0
    assert ContrastiveLoss().margin == 1.0


def test_euclidean_distance_by_hand_and_its_gradient_at_zero():
    first = tf.constant([[3.0, 0.0], [1.0, 1.0]])
    second = tf.constant([[0.0, 4.0], [1.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(first)
        scores = EuclideanDistance()(first, second)
        total = tf.reduce_sum(scores)
    np.testing.assert_allclose(scores, [-5.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(
        tape.gradient(total, first), [[-0.6, 0.8], [0.0, 0.0]], atol=1e-6
    )


def test_all_pairs_loss_weights_both_kinds_equally():
    character = np.array([7, 7, 9, 9, 9])
    zeros = np.zeros((5, 5), np.float32)
    assert float(AllPairsLoss()(character, zeros)) == pytest.approx(LN2)


def test_all_pairs_loss_by_hand():
    character = np.array([0, 0, 1, 1])
    a, b = np.log(3.0), np.log(7.0)
    logits = np.full((4, 4), -b, np.float32)
    logits[[0, 1, 2, 3], [1, 0, 3, 2]] = a
    np.fill_diagonal(logits, 1e3)  # a drawing with itself: ignored
    expected = 0.5 * np.log(4 / 3) + 0.5 * np.log(8 / 7)
    assert float(AllPairsLoss()(character, logits)) == pytest.approx(expected)
    # Ranking: the same pair has exp(a) = 3, two others exp(-b) = 1/7 each.
    ranking = np.log((3 + 2 / 7) / 3)
    both = AllPairsLoss(ranking_weight=2.0)
    for loss in (both, AllPairsLoss.from_config(both.get_config())):
        assert float(loss(character, logits)) == pytest.approx(
            expected + 2 * ranking, rel=1e-5
        )


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 2), (None,), (None, 1)])
def test_all_pairs_loss_refuses_scores_of_pairs(shape):
    scores = keras.KerasTensor(shape)
    with pytest.raises(InputError, match=r"expected .* \[batch, batch\]"):
        AllPairsLoss().call(np.array([1.0, 0.0, 1.0, 0.0]), scores)


def test_gradients_raise_scores_of_same_pairs_and_lower_others():
    character = np.array([0, 0, 1, 1])
    logits = tf.Variable(np.random.default_rng(0).normal(size=(4, 4)))
    with tf.GradientTape() as tape:
        loss = AllPairsLoss(1.0)(character, logits)
    gradient = tape.gradient(loss, logits).numpy()
    alike = character[:, None] == character
    assert (gradient[~alike] > 0).all()
    assert (gradient[alike & ~np.eye(4, dtype=bool)] < 0).all()
    assert (np.diag(gradient) == 0).all()


def test_extreme_logits_stay_finite():
    character = np.array([0, 0, 1, 1])
    logits = np.array(np.random.default_rng(0).normal(size=(4, 4)) * 1e4)
    assert np.isfinite(float(AllPairsLoss(1.0)(character, logits)))


def test_losses_of_rows_by_hand():
    # The last drawing has no partner. Scores are logs of
    # [[-, 3, 1/7], [1, -, 1], [1/3, 1, -]]: they need not be symmetric.
    logits = np.log([[1, 3, 1 / 7], [1, 1, 1], [1 / 3, 1, 1]])
    loss = AllPairsLoss(1.0, reduction="none")(np.array([0, 0, 1]), logits)
    expected = [
        # Pairs, and ranking against the one other.
        0.5 * np.log(4 / 3) + 0.5 * np.log(8 / 7) + np.log(1 + 1 / 21),
        LN2 + LN2,
        # Only different pairs, which have a weight of 1/2.
        0.5 * np.mean([np.log(4 / 3), LN2]),
    ]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
