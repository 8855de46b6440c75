"""Networks and losses that users provide."""

import dataclasses
import importlib
import json
import sys
import warnings

import keras
import numpy as np
import pytest
from conftest import REPOSITORY, assert_one_line, call
from keras import layers
from PIL import Image

from experiments import resnet
from koch_siamese import InputError, Recognizer, Settings, train_and_evaluate
from koch_siamese.errors import DataWarning
from koch_siamese.models import own_network
from koch_siamese.models.siamese import build_siamese
from koch_siamese.runs import directory
from koch_siamese.runs.directory import Run
from koch_siamese.runs.flagfiles import format_flags
from koch_siamese.training import builders, loop
from koch_siamese.training.losses import ContrastiveLoss

SETTINGS = Settings(
    dataset="glyphs/tiny",
    image_size=16,
    group_characters=8,
    group_drawings=3,
    epochs=1,
    steps_per_epoch=4,
    schedule="constant",
    validation_trials=20,
    num_trials=20,
    ways=4,
)


@keras.saving.register_keras_serializable(package="test")
class Squares(keras.losses.Loss):
    """Squared difference from +margin for same pairs, -margin for others."""

    def __init__(self, margin=2.0, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, y_true, y_pred):
        wanted = self.margin * (2 * y_true - 1)
        return keras.ops.square(wanted - y_pred)

    def get_config(self):
        return super().get_config() | {"margin": self.margin}


class Unregistered(layers.Layer):
    def call(self, x):
        return x


def build(
    channels=1,
    size=16,
    end=layers.GlobalAveragePooling2D,
    middle=None,
    activation="relu",
):
    inputs = keras.Input((size, size, channels))
    x = layers.Conv2D(8, 3, activation=activation)(inputs)
    x = middle(x) if middle else x
    return keras.Model(inputs, end()(x) if end else x, name="mine")


@pytest.mark.slow
@pytest.mark.usefixtures("without_figures")
def test_network_by_name_is_trained_resumed_evaluated_and_used(
    glyphs_dir, tmp_path, capsys
):
    for epochs in (1, 2):
        settings = dataclasses.replace(
            SETTINGS,
            network="experiments.resnet:build",
            image_size=8,
            epochs=epochs,
        )
        train_and_evaluate(settings, tmp_path, data_dir=glyphs_dir)
    assert "Resuming after epoch 1 of 2" in capsys.readouterr().out
    flags = (tmp_path / "train.flags").read_text()
    assert "--network=experiments.resnet:build" in flags
    answer = call(
        *("evaluate", f"--workdir={tmp_path}", f"--data_dir={glyphs_dir}"),
        "--num_trials=30",
        cwd=REPOSITORY,
    )
    assert answer.returncode == 0, answer.stderr
    recognizer = Recognizer(tmp_path / "model.keras")
    assert recognizer.embed(draw_bar()).shape == (128,)
    assert recognizer.thresholds is not None


def draw_bar():
    image = np.full((50, 50), 255, np.uint8)
    image[10:40, 20:26] = 0
    return image


@pytest.mark.usefixtures("without_figures")
def test_network_and_loss_by_object(glyphs_dir, tmp_path):
    settings = dataclasses.replace(SETTINGS, sampling="pairs", batch_size=16)

    def train(epochs, network, loss):
        return train_and_evaluate(
            dataclasses.replace(settings, epochs=epochs),
            tmp_path,
            data_dir=glyphs_dir,
            embedding=network,
            loss=loss,
        )

    train(1, build(), Squares())
    # The layers have other names, but the architecture is the same.
    train(2, build(), Squares())
    assert len(json.loads((tmp_path / "history.json").read_text())["loss"]) == 2
    flags = (tmp_path / "train.flags").read_text()
    assert "--network=given:" in flags
    assert "--objective=given:Squares:" in flags
    for network, loss in (
        (build(end=layers.Flatten), Squares()),
        (build(activation="gelu"), Squares()),
        (build(), Squares(margin=1.0)),
        (build(), None),
        (None, Squares()),
    ):
        with pytest.raises(InputError, match="holds a run with"):
            train(3, network, loss)


def build_residual(rate=0.2, strides=1, shortcut=0, function="relu"):
    inputs = keras.Input((16, 16, 1))
    maps = [layers.Conv2D(4, 3, strides, padding="same")(inputs)]
    maps.append(layers.Conv2D(4, 3, padding="same")(maps[0]))
    x = layers.Conv2D(4, 3, padding="same")(maps[1])
    x = getattr(keras.ops, function)(layers.Add()([x, maps[shortcut]]))
    x = keras.Sequential([layers.GlobalMaxPooling2D(), layers.Dropout(rate)])(x)
    return keras.Model(inputs, x)


def test_architectures_differ_in_arguments_and_connections():
    compute = own_network.compute_architecture
    known = compute(build_residual())
    assert compute(build_residual()) == known
    for change in (
        {"rate": 0.3},
        {"strides": 2},
        {"shortcut": 1},
        {"function": "gelu"},
    ):
        assert compute(build_residual(**change)) != known


def test_a_run_with_the_hash_of_an_older_version_is_resumed(tmp_path):
    run = directory.Run(tmp_path)
    older = dataclasses.replace(SETTINGS, network="given:ff85310c40e2")
    run.flags.write_text(format_flags(older))
    assert loop._name_objects(SETTINGS, run, build(), None) == older
    other = loop._name_objects(SETTINGS, run, build(end=layers.Flatten), None)
    assert other.network != older.network


def test_a_loss_is_the_same_in_another_module(tmp_path, monkeypatch):
    run = directory.Run(tmp_path)

    def name(margin=2.0):
        settings = dataclasses.replace(SETTINGS, sampling="pairs")
        loss = Squares(margin)
        return loop._name_objects(settings, run, None, loss).objective

    current = name()
    assert name(margin=1.0) != current
    older = "given:Squares:aad6066cdf5b"  # of a class in a notebook
    for stored in (older, current):
        settings = Settings(sampling="pairs", objective=stored)
        run.flags.write_text(format_flags(settings))
        for module in ("__main__", "experiments.resnet"):
            monkeypatch.setattr(Squares, "__module__", module)
            assert name() == stored
            assert name(margin=1.0) not in (older, current)
    older = "given:Squares:a0a052a3ace9"  # of a class in that module
    run.flags.write_text(
        format_flags(Settings(sampling="pairs", objective=older))
    )
    assert name() == older


def test_a_network_that_expects_other_values_is_warned_of():
    def build_scaled(*scales):
        inputs = keras.Input((16, 16, 1))
        x = inputs
        for scale in scales:
            x = keras.Sequential([layers.Rescaling(scale, name="scaled")])(x)
        x = layers.Conv2D(4, 3)(x)
        x = layers.Rescaling(1 / 255)(layers.GlobalMaxPooling2D()(x))
        return keras.Model(inputs, x, name="mine")

    message = (
        r"The network 'mine' scales its input by 0\.0039, but its input is "
        r"already 0 to 1 \(ink = 1, paper = 0\), .* remove the layer "
        r"'scaled'\.$"
    )
    with pytest.warns(DataWarning, match=message):
        own_network.check_network(build_scaled(-1 / 255), 16, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scales in ((), (2.0,), (255.0, 1 / 255)):
            own_network.check_network(build_scaled(*scales), 16, 1)


def test_a_network_is_the_same_as_its_copy_in_a_checkpoint(tmp_path):
    def build_large(activation):  # a copy replaces its dense layer
        def end():
            return keras.Sequential([layers.Flatten(), layers.Dense(700)])

        return build(end=end, activation=activation)

    settings = dataclasses.replace(SETTINGS, precision="bfloat16")
    siamese = builders.build_model(settings, build_large("relu"))
    path = tmp_path / "siamese.keras"
    siamese.save(path)
    stored = keras.models.load_model(path)
    loop._require_same_network(settings, stored, build_large("relu"))
    with pytest.raises(InputError, match="builds another architecture"):
        loop._require_same_network(settings, stored, build_large("gelu"))


@pytest.mark.usefixtures("without_figures")
def test_changed_builder_function_is_refused(glyphs_dir, tmp_path, monkeypatch):
    def train(epochs):
        settings = dataclasses.replace(
            SETTINGS, network="experiments.resnet:build", epochs=epochs
        )
        return train_and_evaluate(settings, tmp_path, data_dir=glyphs_dir)

    monkeypatch.setattr(resnet, "build", lambda settings: build())
    train(1)
    monkeypatch.setattr(
        resnet, "build", lambda settings: build(end=layers.Flatten)
    )
    with pytest.raises(InputError, match="now builds another architecture"):
        train(2)


@pytest.mark.parametrize(
    ("network", "part"),
    [
        (layers.Dense(3), "a value of type Dense: expected a functional"),
        (keras.Sequential(name="s"), "'s' has 0 inputs and 0 outputs"),
        (
            build(channels=3),
            r"takes \[batch, 16, 16, 3\]: expected",
        ),
        (build(size=20), "or give another --image_size"),
        (
            build(end=None),
            r"returns \[batch, 14, 14, 8\].*Pooling2D",
        ),
        (build(middle=Unregistered()), "register its own layers with @keras"),
    ],
)
def test_unsuitable_networks_are_refused(network, part):
    with pytest.raises(InputError, match=part) as error:
        own_network.build_own_embedding(network, 16)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("loss", "sampling", "part"),
    [
        (abs, "pairs", "expected a keras.losses.Loss"),
        (
            keras.losses.SparseCategoricalCrossentropy(),
            "pairs",
            r"fails with --sampling=pairs .*y_pred \[batch\] logits",
        ),
        (type("Own", (Squares,), {})(), "pairs", "register it with @keras"),
    ],
)
def test_unsuitable_losses_are_refused(loss, sampling, part):
    with pytest.raises(InputError, match=part):
        own_network.check_loss(loss, sampling)
    own_network.check_loss(Squares(), "pairs")


def test_a_loss_of_distances_is_refused_for_logits(tmp_path):
    settings = dataclasses.replace(SETTINGS, sampling="pairs")
    with pytest.raises(InputError, match=r"objective='contrastive', margin=2"):
        train_and_evaluate(settings, tmp_path, loss=ContrastiveLoss(2.0))
    assert not list(tmp_path.iterdir())


MODULE = """
import keras

@keras.saving.register_keras_serializable(package="mynet")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def build(settings):
    images = keras.Input((16, 16, 1))
    x = keras.layers.GlobalAveragePooling2D()(Twice()(images))
    return keras.Model(images, x)
"""


def test_own_layers_are_known_to_commands_that_get_the_models_file(
    tmp_path, monkeypatch
):
    (tmp_path / "mynet.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    network = importlib.import_module("mynet").build(SETTINGS)
    run = Run(tmp_path / "run")
    run.claim(dataclasses.replace(SETTINGS, network="mynet:build"))
    embedding = own_network.build_own_embedding(network, 16)
    build_siamese(embedding).save(run.model)
    image = tmp_path / "bar.png"
    Image.fromarray(draw_bar()).save(image)
    answer = call(
        *("verify", f"--first={image}", f"--second={image}"),
        *("--model=run/model.keras", "--json"),
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["score"] == pytest.approx(0.5, abs=0.2)


@pytest.mark.usefixtures("without_figures")
def test_a_finished_run_knows_own_layers_when_it_is_run_again(
    glyphs_dir, tmp_path, monkeypatch
):
    (tmp_path / "againnet.py").write_text(MODULE.replace("mynet", "againnet"))
    monkeypatch.chdir(tmp_path)
    settings = dataclasses.replace(SETTINGS, network="againnet:build")
    first = train_and_evaluate(settings, "run", data_dir=glyphs_dir)
    # As in a new process, which has not imported the module.
    del sys.modules["againnet"]
    del keras.saving.get_custom_objects()["againnet>Twice"]
    assert train_and_evaluate(settings, "run", data_dir=glyphs_dir) == first


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--network=nowhere:build"], "'nowhere' cannot be imported"),
        (["--network=json:build"], "'json' has no function 'build'"),
        (["--network=json:loads", "--filters=8"], "--filters=8 cannot be used"),
        (
            ["--network=json:loads", "--optimizer=layerwise_sgd"],
            "use --optimizer=adam or muon",
        ),
        (["--network=given:abc"], "was given as an object"),
        (["--network=resnet"], "or MODULE:FUNCTION"),
    ],
)
def test_mistakes_get_one_line(arguments, part, glyphs_dir, tmp_path):
    answer = call(
        *("train", "--dataset=glyphs/tiny", f"--data_dir={glyphs_dir}"),
        *(f"--workdir={tmp_path / 'run'}", *arguments),
    )
    assert_one_line(answer, part)
