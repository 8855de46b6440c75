"""Training models and their optimizers, new and loaded."""

import dataclasses

import keras
import numpy as np
import pytest
from conftest import build_fast_siamese

from koch_siamese.models.siamese import get_head
from koch_siamese.models.warp import AffineWarp
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders, losses, trainers


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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"optimizer": "adam", "learning_rate": 0.5, "weight_decay": 0.1},
            {"learning_rate": 0.5, "weight_decay": 0.1},
        ),
        (
            {"optimizer": "muon", "adam_lr_ratio": 0.25, "weight_decay": 0.1},
            {"adam_lr_ratio": 0.25, "weight_decay": 0.1},
        ),
        (
            {
                "optimizer": "layerwise_sgd",
                "layer_learning_rates": (0.3,),
                "layer_momentums": (0.7,),
                "layer_l2": (0.1,),
                "momentum_ramp_epochs": 6,
                "momentum_ramp_steps": 7,
            },
            {
                "learning_rates": (0.3,),
                "momentums": (0.7,),
                "l2": (0.1,),
                "steps_per_epoch": 10,
                "ramp_epochs": 6,
                "ramp_steps": 7,
            },
        ),
    ],
)
def test_optimizers_have_the_values_of_the_settings(changes, expected):
    settings = Settings(
        image_size=16, steps_per_epoch=10, schedule="constant", **changes
    )
    trainer = trainers.build_trainer(settings, build_fast_siamese(16, (4,)))
    config = trainer.optimizer.get_config()
    assert {name: config[name] for name in expected} == expected


def test_learning_rate_of_the_cosine_schedule_ends_with_the_training():
    settings = Settings(
        image_size=16, schedule="cosine", epochs=3, steps_per_epoch=10
    )
    trainer = trainers.build_trainer(settings, build_fast_siamese(16, (4,)))
    rates = []
    for step in (0, 15, 30):
        trainer.optimizer.iterations.assign(step)
        rates.append(float(trainer.optimizer.learning_rate))
    whole = settings.learning_rate
    assert rates == pytest.approx([whole, whole / 2, 0])


def test_losses_have_the_values_of_the_settings():
    ranked = trainers.build_loss(Settings(ranking_weight=0.3))
    assert (type(ranked), ranked.ranking_weight) == (losses.AllPairsLoss, 0.3)
    pairs = Settings(sampling="pairs", margin=2.5)
    assert type(trainers.build_loss(pairs)) is losses.PairLoss
    distances = dataclasses.replace(pairs, objective="contrastive")
    assert trainers.build_loss(distances).margin == 2.5


@pytest.mark.parametrize(
    ("fill", "value"), [("paper", 255.0), ("ink", 0.0), ("edge", None)]
)
def test_distorted_images_are_filled_as_the_settings_say(fill, value):
    settings = Settings(image_size=16, fill=fill)
    siamese = build_fast_siamese(16, (4,))
    model = trainers.build_training_model(settings, siamese)
    (warp,) = [x for x in model.layers if isinstance(x, AffineWarp)]
    assert warp.fill_value == value


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
