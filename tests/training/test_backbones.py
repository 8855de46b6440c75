"""Backbones of keras.applications: building, freezing, training, exporting."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from conftest import call
from keras import layers
from PIL import Image

from koch_siamese import InputError, Recognizer, Settings, train_and_evaluate
from koch_siamese.models import backbones, own_network, views
from koch_siamese.models.loading import load_model
from koch_siamese.models.siamese import (
    build_siamese,
    copy_siamese,
    get_embedding,
    get_filters,
    get_head,
)
from koch_siamese.training import (
    builders,
    data,
    features,
    loop,
    trainers,
)

SIZE = 32


def build_tiny(
    include_top=True,
    include_preprocessing=True,
    weights="imagenet",
    input_shape=None,
    pooling=None,
):
    """Builds a tiny network with the arguments of keras.applications."""
    if weights == "imagenet":
        raise Exception("URL fetch failure on https://tiny.h5: None\n-- no")
    inputs = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.Activation("hard_silu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, name="depthwise")(x)
    x = layers.Conv2D(16, 1, use_bias=False, name="top_conv")(x)
    x = layers.BatchNormalization(name="top_bn")(x)
    x = layers.Dropout(0.5)(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D()(x)
    if include_top:
        x = layers.Dense(10, name="predictions")(x)
    return keras.Model(inputs, x, name="tiny")


@pytest.fixture(autouse=True)
def tiny_application(monkeypatch):
    monkeypatch.setattr(keras.applications, "Tiny", build_tiny, raising=False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights file in which no weight has its initial value."""
    keras.utils.set_random_seed(1)
    model = build_tiny(weights=None, input_shape=(SIZE, SIZE, 3))
    rng = np.random.default_rng(1)
    model.set_weights(
        [x + rng.uniform(0, 0.3, x.shape) for x in model.get_weights()]
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    model.save_weights(path)
    return path


@pytest.fixture(scope="module")
def photos_dir(tmp_path_factory):
    """A folder of eleven classes, each with four photos of one color."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(11):
        color = rng.integers(30, 226, 3)
        (folder / f"class{number:02}").mkdir()
        for photo in range(4):
            pixels = color + rng.integers(-30, 30, (SIZE, SIZE, 3))
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / f"class{number:02}" / f"{photo}.png")
    return str(folder)


def make_settings(weights="none", **changes):
    settings = Settings(
        dataset="folder",
        image_kind="photo",
        network="keras.applications:Tiny",
        image_size=SIZE,
        units=(12,),
        group_characters=4,
        group_drawings=3,
        distortion="none",
        epochs=1,
        steps_per_epoch=3,
        schedule="constant",
        validation_trials=20,
        num_trials=20,
        ways=2,
        backbone_weights=str(weights),
    )
    return dataclasses.replace(settings, **changes)


def read_backbone(siamese):
    return backbones.get_backbone(siamese).get_weights()


def assert_equal_weights(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_backbone_sees_the_rgb_values_of_a_photo():
    siamese = builders.build_model(make_settings())
    embedding = get_embedding(siamese)
    rgb = keras.Model(
        embedding.input, embedding.get_layer(backbones.RGB).output
    )
    photos = np.random.default_rng(0).integers(
        0, 256, (3, SIZE, SIZE, 3), dtype="uint8"
    )
    np.testing.assert_allclose(rgb(photos), photos, atol=1e-4)
    assert embedding.output.shape == (None, 12)
    assert get_filters(siamese).shape == (3, 3, 3, 8)


def test_weights_file_may_contain_the_classifier(weights):
    expected = build_tiny(weights=None, input_shape=(SIZE, SIZE, 3))
    expected.load_weights(weights)
    siamese = builders.build_model(make_settings(weights))
    assert_equal_weights(read_backbone(siamese), expected.get_weights()[:-2])


def test_missing_or_wrong_weights_are_refused(weights, tmp_path):
    text = tmp_path / "text.weights.h5"
    text.write_text("weights")
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save_weights(other)
    for file, part in (
        ("imagenet", r"download those of Tiny \(URL fetch failure on https"),
        (text, "has no weights of Tiny"),
        (other, "has no weights of Tiny"),
        (tmp_path / "none.h5", "there is no such file"),
        (tmp_path, "there is no such file"),
    ):
        with pytest.raises(InputError, match=part) as error:
            builders.build_model(make_settings(file))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"image_kind": "drawing"}, "give --image_kind=photo"),
        ({"image_size": 31}, "32 pixels or more; got --image_size=31"),
        ({"units": (8, 8)}, "one dense layer; got --units=8,8"),
        ({"filters": (8,)}, "--filters=8 cannot be used with --network=keras"),
        ({"ink_value": 0}, "--ink_value=0 cannot be used with --network=keras"),
        (
            {"network": "fast", "units": (), "backbone_weights": "imagenet"},
            "--backbone_weights=imagenet cannot be used with --network=fast",
        ),
        (
            {"network": "fast", "units": (), "trainable_from": "none"},
            "--trainable_from=none cannot be used with --network=fast",
        ),
        (
            {"network": "fast", "units": (), "init": "model.keras"}
            | {"backbone_weights": "imagenet"},
            "--backbone_weights=imagenet cannot be used with --init",
        ),
        (
            {"trainable_from": "none", "backbone_weights": "imagenet"}
            | {"precision": "bfloat16"},
            "--precision=bfloat16 cannot be used with --trainable_from=none",
        ),
    ],
)
def test_contradictory_settings_are_refused(changes, part):
    with pytest.raises(InputError, match=part):
        make_settings(**changes)


def test_networks_that_do_not_scale_colors_are_refused():
    with pytest.raises(InputError, match=r"ResNet50 cannot.*MobileNetV3Small"):
        builders.build_model(
            make_settings(network="keras.applications:ResNet50")
        )


def test_unknown_layers_of_a_backbone_are_refused(weights):
    with pytest.raises(
        InputError, match=r"no such layer.*one of its 5, such as stem, stem_bn"
    ):
        builders.build_model(make_settings(weights, trainable_from="relu"))


def test_init_without_a_backbone_has_nothing_to_freeze(tmp_path):
    path = tmp_path / "model.keras"
    own = {"network": "fast", "units": (), "filters": (8, 8)}
    builders.build_model(make_settings(**own)).save(path)
    own |= {"filters": (), "init": str(path), "trainable_from": "none"}
    with pytest.raises(InputError, match="trainable_from=none has no effect"):
        builders.build_model(make_settings(**own))


@pytest.mark.parametrize(
    ("optimizer", "start", "trained"),
    [
        ("adam", "none", set()),
        ("muon", "depthwise", {"depthwise", "top_conv", "top_bn"}),
        ("adam", "top_conv", {"top_conv", "top_bn"}),
    ],
)
def test_only_trainable_layers_are_trained_even_after_resuming(
    optimizer, start, trained, weights, tmp_path
):
    settings = make_settings(
        weights,
        trainable_from=start,
        optimizer=optimizer,
        distortion="rotation",  # so that features are not stored
        weight_decay=0.1,
    )
    siamese = builders.build_model(settings)
    trainer = trainers.build_trainer(settings, siamese)
    rng = np.random.default_rng(0)
    inputs = {
        "images": rng.integers(0, 256, (6, SIZE, SIZE, 3), dtype="uint8"),
        "matrices": np.float32([np.eye(2, 3)] * 6),
    }
    labels = np.int32([0, 0, 1, 1, 2, 2])
    for step in range(2):
        backbone = backbones.get_backbone(trainer)
        with_weights = [x for x in backbone.layers if x.weights]
        before = {layer.name: layer.get_weights() for layer in with_weights}
        trainer.train_on_batch(inputs, labels)
        moved = {
            layer.name: [
                not np.array_equal(*pair)
                for pair in zip(
                    before[layer.name], layer.get_weights(), strict=True
                )
            ]
            for layer in with_weights
        }
        assert {
            name for name, changed in moved.items() if any(changed)
        } == trained
        assert all(all(moved[name]) for name in trained)
        # Repeat as in a resumed run: a `.keras` file stores which layers are
        # frozen.
        trainer.save(tmp_path / "trainer.keras")
        trainer = trainers.load_trainer(tmp_path / "trainer.keras", None)
        assert int(trainer.optimizer.iterations) == step + 1


def test_features_of_any_scale_are_normalized():
    projection = backbones.build_projection(6, units=4)
    features = np.float32(np.random.default_rng(0).normal(size=(3, 6)))
    expected = projection(features)
    assert np.ptp(expected, axis=0).min() > 0.01
    for scale in (1e-10, 1e3):
        scaled = projection(np.float32(scale) * features)
        np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_dropout_is_disabled_in_backbones(weights):
    backbone = backbones.build_backbone("Tiny", SIZE, weights)
    backbone.trainable = False
    x = np.float32(np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)))
    np.testing.assert_array_equal(backbone(x, training=True), backbone(x))


@pytest.mark.usefixtures("without_figures")
def test_training_on_features_equals_training_on_images(
    weights, photos_dir, tmp_path, monkeypatch
):
    settings = make_settings(weights, trainable_from="none")
    monkeypatch.setattr(features, "IMAGES_AT_ONCE", 7)
    calls = []
    compute = features.compute_features
    monkeypatch.setattr(
        features,
        "compute_features",
        lambda *arguments: calls.append(1) or compute(*arguments),
    )
    scores, evaluate_trials = [], data.evaluate_trials

    def evaluate(drawings, trials):
        scores.append(drawings.score_trials(trials))
        return evaluate_trials(drawings, trials)

    monkeypatch.setattr(data, "evaluate_trials", evaluate)
    train_and_evaluate(settings, tmp_path / "kept", data_dir=photos_dir)
    for module in (loop, trainers):
        monkeypatch.setattr(module, "keeps_features", lambda _: False)
    train_and_evaluate(settings, tmp_path / "images", data_dir=photos_dir)
    assert len(calls) == 2  # once for training, once for validation
    kept, images = (
        load_model(tmp_path / name / "model.keras")
        for name in ("kept", "images")
    )
    assert_equal_weights(read_backbone(kept), read_backbone(images))
    for one, other in zip(
        kept.get_weights(), images.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-3)
    histories = [
        json.loads((tmp_path / name / "history.json").read_text())
        for name in ("kept", "images")
    ]
    np.testing.assert_allclose(*(x["loss"] for x in histories), rtol=1e-4)
    np.testing.assert_allclose(*scores, atol=1e-3)


def test_scores_of_features_equal_those_of_images(weights):
    settings = make_settings(weights, trainable_from="none", sampling="pairs")
    siamese = builders.build_model(settings)
    photos = np.random.default_rng(0).integers(
        0, 256, (2, 3, SIZE, SIZE, 3), dtype="uint8"
    )
    kept = [features.compute_features(siamese, twins) for twins in photos]
    trainer = trainers.build_training_model(settings, siamese)
    logits = trainer(dict(zip(("first", "second"), kept, strict=True)))
    expected = siamese({"first": photos[0], "second": photos[1]})
    np.testing.assert_allclose(logits, expected, rtol=1e-4)


@pytest.mark.slow
def test_frozen_run_is_resumed_used_fine_tuned_and_exported(
    weights, photos_dir, tmp_path, capsys
):
    settings = make_settings(weights, trainable_from="none")
    file = tmp_path / "moved.weights.h5"
    file.write_bytes(weights.read_bytes())
    settings = dataclasses.replace(settings, backbone_weights=str(file))
    run = tmp_path / "run"
    train_and_evaluate(settings, run, data_dir=photos_dir)
    file.unlink()  # a run stores the weights itself
    settings = dataclasses.replace(settings, epochs=2)
    (result,) = train_and_evaluate(settings, run, data_dir=photos_dir)
    assert "Resuming after epoch 1 of 2" in capsys.readouterr().out
    assert 0 <= result["accuracy"] <= 1
    assert (run / "figures" / "filters.png").exists()
    siamese = load_model(run / "model.keras")
    assert_equal_weights(
        read_backbone(siamese),
        read_backbone(builders.build_model(make_settings(weights))),
    )
    recognizer = Recognizer(run / "model.keras")
    assert recognizer.embed(np.zeros((50, 40, 3), np.uint8)).shape == (12,)

    # Fine-tuning starts from this model, with all layers trainable.
    tuned = make_settings(
        init=f"{run}/model.keras", network="fast", units=(), effects="light"
    )
    model = builders.build_model(tuned)
    assert_equal_weights(model.get_weights(), siamese.get_weights())
    assert len(backbones.get_backbone(model).trainable_weights) == 8

    answer = call(
        *("export", f"--workdir={run}", f"--output={tmp_path / 'out'}"),
        "--formats=saved_model,onnx",
    )
    assert answer.returncode == 0, answer.stderr


def test_copies_in_bfloat16_have_the_same_weights(weights):
    siamese = builders.build_model(make_settings(weights))
    copy = copy_siamese(siamese, "bfloat16")
    assert_equal_weights(copy.get_weights(), siamese.get_weights())
    assert own_network.compute_architecture(
        get_embedding(copy)
    ) == own_network.compute_architecture(get_embedding(siamese))
    photos = np.random.default_rng(0).integers(
        0, 256, (4, SIZE, SIZE, 3), dtype="uint8"
    )
    np.testing.assert_allclose(
        get_embedding(copy)(photos), get_embedding(siamese)(photos), atol=0.02
    )
    assert get_head(copy).kernel is not get_head(siamese).kernel


def test_backbone_is_found_with_views_but_not_in_own_networks(weights):
    siamese = builders.build_model(make_settings(weights))
    backbone = backbones.get_backbone(siamese)
    viewed = views.add_views(siamese, np.float32([np.eye(2, 3)] * 2))
    assert backbones.get_backbone(viewed) is backbone
    plain = views.remove_views(viewed)
    photos = np.full((2, SIZE, SIZE, 3), 100, np.uint8)
    np.testing.assert_array_equal(
        features.compute_features(plain, photos),
        features.compute_features(siamese, photos),
    )
    inputs = keras.Input((SIZE, SIZE, 3))
    own = keras.Model(inputs, backbone(inputs))
    embedding = own_network.build_own_embedding(own, SIZE, channels=3)
    assert backbones.get_backbone(build_siamese(embedding)) is None


def test_mobile_net(tmp_path):
    settings = make_settings(network="keras.applications:MobileNetV3Small")
    siamese = builders.build_model(settings)
    siamese.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    photo = np.full((1, SIZE, SIZE, 3), 200, np.uint8)
    np.testing.assert_array_equal(
        get_embedding(loaded)(photo), get_embedding(siamese)(photo)
    )
    assert get_filters(loaded).shape == (3, 3, 3, 16)
    backbones.set_trainable(
        backbones.get_backbone(loaded), "expanded_conv_10_project"
    )
