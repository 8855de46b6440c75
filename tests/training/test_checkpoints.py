import json
import types
import zipfile

import keras
import numpy as np
import pytest

from koch_siamese.errors import DivergedError, InputError
from koch_siamese.models.loading import load_model
from koch_siamese.models.siamese import get_head
from koch_siamese.models.views import count_views
from koch_siamese.runs.directory import Run
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders, checkpoints
from koch_siamese.training.checkpoints import (
    CheckpointCallback,
    is_finished,
    load_checkpoint,
    load_state,
    save_checkpoint,
)


def save(run, epoch, text="weights", save_best=None, **state):
    """Saves a checkpoint with a small zip file in place of a Keras model."""

    def save_model(path):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("model.weights.h5", text)

    save_checkpoint(run, {"epoch": epoch, **state}, save_model, save_best)


def test_newest_checkpoint_is_used_and_old_ones_are_deleted(tmp_path):
    run = Run(tmp_path)
    assert load_checkpoint(run) is None
    for epoch in (8, 9, 10):
        save(run, epoch)
    path, state = load_checkpoint(run)
    assert state == {"epoch": 10}
    assert path == run.checkpoints / "epoch_0010" / "trainer.keras"
    names = sorted(folder.name for folder in run.checkpoints.iterdir())
    assert names == ["epoch_0009", "epoch_0010"]


def test_copies_of_checkpoints_are_left_alone(tmp_path):
    run = Run(tmp_path)
    save(run, 3)
    for name in ("epoch_0009 copy", "epoch_0009.bak", "epoch_0009.partial"):
        (run.checkpoints / name).mkdir()
    assert run.list_checkpoints() == [run.checkpoints / "epoch_0003"]


def test_best_model_belongs_to_the_newest_checkpoint(tmp_path, monkeypatch):
    run = Run(tmp_path)

    def save_best(text):
        return lambda path: path.write_text(text)

    save_checkpoint(run, {"epoch": 1}, save_best(""), save_best("first"))
    assert run.model.read_text() == "first"
    with monkeypatch.context() as patch:  # killed just before the move
        patch.setattr(checkpoints, "_move_best", lambda *_: None)
        save(run, 2, save_best=save_best("second"))
    assert run.model.read_text() == "first"
    assert load_checkpoint(run)[1] == {"epoch": 2}
    assert run.model.read_text() == "second"
    save(run, 3)
    load_checkpoint(run)
    assert run.model.read_text() == "second"


@pytest.mark.parametrize("is_best", [True, False])
def test_best_model_belongs_to_the_checkpoint_before_a_damaged_one(
    tmp_path, is_best
):
    run = Run(tmp_path)

    def save_best(text):
        return lambda path: path.write_text(text)

    save(run, 1, save_best=save_best("first"))
    for text in ("second", "another"):
        save(run, 2, save_best=save_best(text) if is_best else None)
        assert run.model.read_text() == (text if is_best else "first")
        (run.checkpoints / "epoch_0002" / "trainer.keras").unlink()
        assert load_checkpoint(run)[1] == {"epoch": 1}
        assert run.model.read_text() == "first"


def test_best_model_of_the_last_of_several_checkpoints_is_kept(tmp_path):
    run = Run(tmp_path)
    for epoch, text in enumerate(("first", "second", "third"), 1):
        save(
            run, epoch, save_best=lambda path, text=text: path.write_text(text)
        )
    (run.checkpoints / "epoch_0003" / "trainer.keras").unlink()
    assert load_checkpoint(run)[1] == {"epoch": 2}
    assert run.model.read_text() == "second"


@pytest.mark.parametrize("error", [PermissionError("locked"), MemoryError()])
def test_a_checkpoint_that_cannot_be_read_now_is_kept(
    tmp_path, monkeypatch, error
):
    run = Run(tmp_path)
    for epoch in (1, 2):
        save(run, epoch)

    def fail(folder):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_read_state", fail)
        with pytest.raises(InputError, match="epoch_0002 cannot be read: "):
            load_checkpoint(run)
    assert load_checkpoint(run)[1] == {"epoch": 2}


def test_a_best_model_that_was_moved_away_does_not_stop_a_training(tmp_path):
    run = Run(tmp_path)
    save(run, 1, save_best=lambda path: path.write_text("first"))
    run.model.unlink()
    save(run, 2, save_best=lambda path: path.write_text("second"))
    assert run.model.read_text() == "second"


def test_interrupted_save_keeps_the_previous_checkpoint(tmp_path):
    run = Run(tmp_path)
    save(run, 1)

    def die(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(run, {"epoch": 2}, die)
    assert load_checkpoint(run)[1] == {"epoch": 1}
    save(run, 2)
    assert load_checkpoint(run)[1] == {"epoch": 2}


def flip_a_byte(folder):
    path = folder / "trainer.keras"
    content = bytearray(path.read_bytes())
    content[content.index(b"weights") + 30] ^= 1
    path.write_bytes(content)


def set_unknown_compression(folder):
    path = folder / "trainer.keras"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 10] = 99
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        set_unknown_compression,
        lambda folder: (folder / "trainer.keras").unlink(),
        lambda folder: (folder / "trainer.keras").write_bytes(b"PK half"),
        lambda folder: (folder / "state.json").write_text('{"epoch"'),
        lambda folder: (folder / "state.json").write_text(""),
    ],
)
def test_damaged_checkpoint_is_reported_and_the_previous_one_used(
    tmp_path, damage, capsys
):
    run = Run(tmp_path)
    for epoch in (1, 2):
        save(run, epoch, "weights " + "x" * 100)
    damage(run.checkpoints / "epoch_0002")
    assert load_checkpoint(run)[1] == {"epoch": 1}
    assert "epoch_0002 is damaged" in capsys.readouterr().out
    save(run, 2, "weights " + "x" * 100)  # again
    assert load_checkpoint(run)[1] == {"epoch": 2}
    for epoch in (1, 2):
        damage(run.checkpoints / f"epoch_000{epoch}")
    with pytest.raises(InputError, match="All checkpoints"):
        load_checkpoint(run)


def test_checkpoints_are_in_order_beyond_four_digits(tmp_path):
    run = Run(tmp_path)
    for epoch in (9998, 9999, 10_000, 10_001):
        save(run, epoch)
    assert load_checkpoint(run)[1] == {"epoch": 10_001}
    names = {folder.name for folder in run.checkpoints.iterdir()}
    assert names == {"epoch_10000", "epoch_10001"}


def test_state_of_a_run_without_checkpoints(tmp_path):
    run, settings = Run(tmp_path), Settings(epochs=4)
    path, state = load_state(settings, run, None)
    assert (path, state["epoch"], state["best_epoch"]) == (None, 0, 0)
    assert state["best_accuracy"] < 0  # so that an accuracy of 0 is stored
    run.model.touch()
    accuracy = [0.4, 0.6, 0.5, 0.6]
    history = {"loss": [1.0] * 4, "accuracy": accuracy, "seconds": [1.0] * 4}
    run.history.write_text(json.dumps(history))
    _, state = load_state(settings, run, None)
    assert (state["epoch"], state["best_epoch"]) == (4, 2)
    assert state["best_accuracy"] == 0.6


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_training_is_not_resumed_on_other_images(tmp_path, has_checkpoint):
    run, settings = Run(tmp_path), Settings(dataset="folder", epochs=1)
    if has_checkpoint:
        save(run, 1, images="old")
    else:  # deleted after the training
        run.model.touch()
        history = {"loss": [1.0], "accuracy": [0.5], "seconds": [1.0]}
        run.history.write_text(json.dumps(history))
        run.results.mkdir()
        run.write_result("thresholds", {"data_fingerprint": "old"})

    def load(fingerprint):
        source = types.SimpleNamespace(
            data_dir="images", compute_fingerprint=lambda: fingerprint
        )
        return load_state(settings, run, source)[1]

    assert load("new-old")["images"] == "new-old"
    with pytest.raises(InputError, match="are not those"):
        load("new-other")


@pytest.mark.parametrize(
    ("epoch", "best_epoch", "max_minutes", "expected"),
    [
        (9, 7, 0, False),
        (10, 9, 0, True),
        (9, 6, 0, True),
        (9, 7, 2.0, True),  # after 120 seconds
        (9, 7, 2.01, False),
    ],
)
def test_end_of_a_training_by_hand(epoch, best_epoch, max_minutes, expected):
    settings = Settings(epochs=10, patience=3, max_minutes=max_minutes)
    state = {"epoch": epoch, "best_epoch": best_epoch}
    state["history"] = {"seconds": [70.0, 50.0]}
    assert is_finished(settings, state) == expected


def test_validated_model_has_the_trained_weights(tmp_path):
    settings = Settings(
        image_size=16, filters=(4,), views=2, precision="bfloat16"
    )
    trained = builders.build_model(settings)
    siamese = builders.build_evaluation_model(settings, trained)
    measured, run = [], Run(tmp_path)
    state = {"epoch": 1, "history": {}}
    validation = types.SimpleNamespace(features=None, measure=measured.append)
    callback = CheckpointCallback(run, state, settings, siamese, validation)
    callback.set_model(trained)
    get_head(trained).set_weights([np.full(256, 4.0), np.array(-1.0)])
    callback._validate(0)
    (model,) = measured
    kernel, bias = get_head(model).get_weights()
    # The mean over two views: half of the weights for each.
    np.testing.assert_array_equal(kernel, np.full(2 * 256, 2.0))
    assert bias == -1
    callback._store(is_best=True)
    assert count_views(load_model(run.model)) == 2


def test_an_infinite_loss_ends_a_training():
    callback = types.SimpleNamespace(
        _diverged_error=lambda what, epoch: DivergedError(f"{what}, {epoch}")
    )
    with pytest.raises(DivergedError, match="The loss became inf, 3"):
        CheckpointCallback.on_epoch_end(callback, 3, {"loss": float("inf")})


def test_dropout_depends_on_seed_epoch_and_layer():
    layers = [keras.layers.Dropout(0.5) for _ in range(2)]
    model = keras.Sequential([keras.Input((4,)), *layers])

    def reseed(seed, epoch):
        callback = types.SimpleNamespace(
            model=model, _settings=Settings(seed=seed)
        )
        CheckpointCallback.on_epoch_begin(callback, epoch)
        return [
            keras.ops.convert_to_numpy(layer.seed_generator.state).tobytes()
            for layer in layers
        ]

    states = [reseed(*x) for x in ((0, 0), (0, 1), (1, 0))]
    assert len({state for pair in states for state in pair}) == 6
    assert reseed(0, 0) == states[0]
