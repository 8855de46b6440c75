"""Training models and their optimizers, new and loaded."""

import dataclasses

import keras
import numpy as np
import pytest
from conftest import build_fast_siamese

from koch_siamese.models.siamese import get_head
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders, trainers


def test_trainers_agree_with_the_siamese_model():
    keras.utils.set_random_seed(0)
    siamese = build_fast_siamese(16, (4, 6))
    images = np.random.default_rng(0).integers(256, size=(6, 16, 16, 1))
    images = images.astype(np.uint8)
    matrices = np.tile(np.eye(2, 3, dtype=np.float32), (6, 1, 1))
    group, pair = (
        trainers.build_training_model(
            Settings(image_size=16, sampling=sampling), siamese
        )
        for sampling in ("groups", "pairs")
    )
    grid = np.array(group({"images": images, "matrices": matrices}))
    assert grid.shape == (6, 6)
    expected = np.array(siamese({"first": images, "second": images[::-1]}))
    np.testing.assert_allclose(
        grid[np.arange(6), np.arange(6)[::-1]], expected, atol=1e-5
    )
    logits = pair(
        {
            "first": images,
            "second": images[::-1],
            "first_matrices": matrices,
            "second_matrices": matrices,
        }
    )
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_nonpositive_weights_of_distances_stay_at_most_zero(
    optimizer, tmp_path
):
    settings = Settings(
        dataset="glyphs/tiny",
        image_size=16,
        filters=(4, 4),
        optimizer=optimizer,
        # So high that weights of distances change sign without a constraint.
        learning_rate=5.0,
        schedule="constant",
    )
    rng = np.random.default_rng(0)
    inputs = {
        "images": rng.integers(0, 256, (6, 16, 16, 1), dtype="uint8"),
        "matrices": np.float32([np.eye(2, 3)] * 6),
    }
    largest = {}
    for kind in ("any", "nonpositive"):
        keras.utils.set_random_seed(0)
        limited = dataclasses.replace(settings, head_weights=kind)
        siamese = builders.build_model(limited)
        trainer = trainers.build_trainer(limited, siamese)
        for _ in range(3):
            trainer.train_on_batch(inputs, np.int32([0, 0, 1, 1, 2, 2]))
        largest[kind] = np.max(get_head(siamese).kernel)
        # Save and load as a resumed run does.
        trainer.save(tmp_path / "trainer.keras")
        loaded = trainers.load_trainer(tmp_path / "trainer.keras", None)
        constraint = get_head(loaded).kernel_constraint
        assert (constraint is None) == (kind == "any")
    assert largest["any"] > 0
    assert largest["nonpositive"] == 0


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (keras.Model, "_symbolic_build"),  # chunks.ChunkedModel
        (keras.Model, "_maybe_symbolic_build"),  # distribution.DistributedModel
        (keras.Model, "_make_function"),
        (keras.optimizers.Muon, "_should_use_adamw"),  # ConvolutionMuon
        (keras.optimizers.Muon, "zeropower_via_newtonschulz5"),
        (keras.optimizers.Muon, "lr_adjust"),
    ],
)
def test_keras_still_has_the_methods_that_are_overridden(kind, name):
    # They are not documented. If Keras renamed one, ours would not be called.
    assert callable(getattr(kind, name))
