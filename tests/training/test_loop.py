import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from conftest import make_characters, no_figures
from drawing import draw, save

import koch_siamese
from koch_siamese.data.characters import Characters
from koch_siamese.errors import DivergedError, InputError
from koch_siamese.models import embeddings
from koch_siamese.models.layers import Preprocessing
from koch_siamese.models.siamese import get_embedding, get_head
from koch_siamese.runs import directory
from koch_siamese.runs.flagfiles import format_flags
from koch_siamese.runs.settings import Settings
from koch_siamese.training import builders, checkpoints, data, loop
from koch_siamese.training.checkpoints import load_checkpoint
from koch_siamese.training.loop import train_and_evaluate

TINY = Settings(
    dataset="glyphs/tiny",
    image_size=16,
    filters=(8, 8),
    group_characters=8,
    group_drawings=2,
    batch_size=16,
    steps_per_epoch=6,
    epochs=3,
    validation_trials=50,
    num_trials=60,
)


def train(settings, workdir, glyphs_dir):
    return train_and_evaluate(settings, workdir, data_dir=glyphs_dir)


def train_in_two(settings, workdir, glyphs_dir):
    """Trains one epoch, and then resumes the run for a second one."""
    with no_figures():  # the second epoch draws them
        train(dataclasses.replace(settings, epochs=1), workdir, glyphs_dir)
    run = directory.Run(workdir)
    settings = dataclasses.replace(settings, epochs=2)
    run.flags.write_text(format_flags(settings))
    before = run.read_thresholds()
    train(settings, workdir, glyphs_dir)
    # They were fitted again, to the second epoch's model.
    assert run.read_thresholds()["same"] != before["same"]
    return run


@pytest.fixture(scope="module")
def finished(glyphs_dir, tmp_path_factory):
    """The directory of a finished run on groups, and its results."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, train(TINY, workdir, glyphs_dir)


def test_training_writes_all_files_of_a_run(finished):
    workdir, (result,) = finished
    assert result["protocol"] == "within_alphabet"
    assert (result["num_trials"], result["ways"]) == (60, 20)
    low, high = result["ci95"]
    assert 0 <= low <= result["accuracy"] <= high <= 1
    assert 0.05 < result["nearest_neighbour"] < 0.7
    names = {path.name for path in workdir.iterdir()}
    assert names == {
        "model.keras",
        "train.flags",
        "history.json",
        "results",
        "figures",
        "tensorboard",
        "checkpoints",
    }
    history = json.loads((workdir / "history.json").read_text())
    assert [len(values) for values in history.values()] == [3, 3, 3]
    pictures = {path.name for path in (workdir / "figures").iterdir()}
    assert pictures == {
        f"{name}.png"
        for name in (
            "confusions",
            "filters",
            "hardest_trials",
            "learning_curves",
            "pairs",
            "roc",
            "scores",
            "trials",
            "worst_pairs",
        )
    }
    assert koch_siamese.load_model(workdir / "model.keras").name == "siamese"


def test_tensorboard_has_the_settings_as_hyperparameters(finished):
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.plugins.hparams import metadata

    workdir, _ = finished
    tag = metadata.SESSION_START_INFO_TAG
    found = [
        metadata.parse_session_start_info_plugin_data(
            value.metadata.plugin_data.content
        ).hparams
        for path in (workdir / "tensorboard").glob("events.*")
        for event in event_file_loader.EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag == tag
    ]
    assert len(found) == 1
    (values,) = found
    assert values["steps_per_epoch"].number_value == TINY.steps_per_epoch
    assert values["network"].string_value == "fast"
    assert values["deterministic"].bool_value == TINY.deterministic
    assert values["filters"].string_value == ",".join(map(str, TINY.filters))


def test_finished_run_is_not_trained_again(finished, glyphs_dir):
    workdir, results = finished
    before = {
        path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()
    }
    for settings in (TINY, dataclasses.replace(TINY, patience=7)):
        assert train(settings, workdir, glyphs_dir) == results
        for path, content in before.items():
            assert path.read_bytes() == content, path
    model = workdir / "model.keras"
    model.write_bytes(before[model][:1000])
    with pytest.raises(
        InputError, match=r"model\.keras is not a siamese model"
    ):
        train(TINY, workdir, glyphs_dir)
    model.write_bytes(before[model])


def test_model_without_checkpoints_is_not_overwritten(
    finished, glyphs_dir, tmp_path
):
    workdir, results = finished
    run = directory.Run(tmp_path / "copy")
    ignored = shutil.ignore_patterns("checkpoints")
    shutil.copytree(workdir, run.path, ignore=ignored)
    before = run.model.read_bytes()
    assert train(TINY, run.path, glyphs_dir) == results
    with pytest.raises(InputError, match="--ways=20; asked for --ways=5"):
        train(dataclasses.replace(TINY, ways=5), run.path, glyphs_dir)
    run.history.write_text('{"loss": [1], "accuracy": [0.5], "seconds": [1]}')
    with pytest.raises(InputError, match="a trained model but no checkpoints"):
        train(TINY, run.path, glyphs_dir)
    assert run.model.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"ways": 5},
        {"dataset": "omniglot"},
        {"training_epochs": 2},  # before training ended
        {"flagfile": "experiments/other.flags"},
    ],
)
def test_result_of_another_evaluation_is_measured_again(
    finished, glyphs_dir, change
):
    workdir, results = finished
    path = workdir / "results" / "within_alphabet.json"
    path.write_text(json.dumps(results[0] | change | {"accuracy": 1.0}))
    (again,) = train(TINY, workdir, glyphs_dir)
    for key in ("dataset", "ways", "accuracy", "training_seconds"):
        assert again[key] == results[0][key]


def test_impossible_evaluation_is_refused_before_the_training(
    glyphs_dir, tmp_path
):
    settings = dataclasses.replace(TINY, shots=50)
    with pytest.raises(InputError, match="50 shots"):
        train(settings, tmp_path, glyphs_dir)
    assert load_checkpoint(directory.Run(tmp_path)) is None


GROUPS = Settings(
    dataset="folder",
    split_by="group",
    training_groups=("a",),
    validation_groups=("b", "c"),
    test_groups=("d",),
    image_size=16,
    ways=2,
)


@pytest.mark.parametrize(
    ("group", "split"), [("a", "training"), ("c", "validation")]
)
def test_classes_with_one_image_are_refused_before_the_training(
    tmp_path, group, split
):
    images = tmp_path / "images"
    for name in "abcd":
        for place in ("x", "y"):
            num = 1 if (name, place) == (group, "y") else 2
            for number in range(num):
                save(draw(), images / name / place / f"{number}.png")
    message = rf"folder, {split} split: 1 of .* \('{group}/y'\): expected"
    with pytest.raises(InputError, match=message):
        train(GROUPS, tmp_path / "run", images)
    assert load_checkpoint(directory.Run(tmp_path / "run")) is None


def test_a_finished_run_keeps_its_thresholds_if_its_data_are_refused(
    finished, glyphs_dir, tmp_path, monkeypatch
):
    run = directory.Run(shutil.copytree(finished[0], tmp_path / "run"))
    before = run.read_thresholds()
    more = dataclasses.replace(TINY, epochs=TINY.epochs + 1)
    run.flags.write_text(format_flags(more))

    def refuse(*_):
        raise InputError("no data")

    monkeypatch.setattr(loop, "load_validation", refuse)
    with pytest.raises(InputError, match="no data"):
        train(more, run.path, glyphs_dir)
    assert run.read_thresholds() == before


def test_thresholds_that_cannot_be_fitted_are_refused_before_the_training(
    tmp_path,
):
    # Only group b has trials, which are two-way; thresholds need three ways,
    # and no two people drew all of group c.
    lines = ["path,label,group,drawer"]
    for group, name in ("ax", "ay", "bx", "by", "cx", "cy", "cz", "dx", "dy"):
        for drawer in "34" if group + name == "cy" else "12":
            file = f"{group}{name}{drawer}.png"
            save(draw(), tmp_path / file)
            lines.append(f"{file},{name},{group},{drawer}")
    table = tmp_path / "images.csv"
    table.write_text("\n".join(lines))
    message = "folder, validation split: Trials of 3 ways need an alphabet"
    with pytest.raises(InputError, match=message):
        train(GROUPS, tmp_path / "run", table)
    assert load_checkpoint(directory.Run(tmp_path / "run")) is None


@dataclasses.dataclass
class Source:
    """A source whose splits all have the same characters."""

    dataset: str
    characters: Characters

    def load(self, split):
        return self.characters

    def load_names(self):
        return None


@pytest.mark.parametrize(
    ("dataset", "num_drawers", "used"),
    [
        ("glyphs/tiny", 5, 4),
        ("folder", 5, 5),
        ("cifar100", 401, 400),
    ],
)
def test_number_of_validation_drawings(dataset, num_drawers, used):
    source = Source(dataset, make_characters((2, 3), num_drawers, side=1))
    settings = Settings(dataset=dataset, ways=2, validation_trials=9)
    validation = data.load_validation(settings, source)
    drawings = np.bincount(validation.characters.character)
    assert drawings.tolist() == [used] * 5
    assert len(validation.trials) == 9
    other = data.load_validation(dataclasses.replace(settings, seed=1), source)
    assert not np.array_equal(other.trials.support, validation.trials.support)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ("a0", "a1")),
        ({"quarter_turns": True}, ("a0/0", "a0/90", "a0/180", "a0/270")),
        ({"mirror_images": True}, ("a0/plain", "a0/mirror")),
    ],
)
def test_training_characters_are_turned_and_mirrored(changes, names):
    source = Source("glyphs/tiny", make_characters((2, 3), num_drawers=4))
    training = data.load_training(Settings(image_size=8, **changes), source)
    assert training.alphabet_names[: len(names)] == names


@pytest.mark.slow
@pytest.mark.usefixtures("without_figures")
def test_killed_training_resumes_after_its_last_epoch(
    glyphs_dir, tmp_path, monkeypatch
):
    # Without batch normalization, two runs on a CPU agree to the last bit.
    def build_plain(image_size, filters, depth, ink_value, channels):
        images, x = embeddings.build_input(
            Preprocessing(image_size, ink_value, channels=channels)
        )
        x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, 2)(x))
        x = keras.layers.Dropout(0.2)(x)  # its state is not in checkpoints
        x = keras.layers.Dense(8, activation="sigmoid")(x)
        return keras.Model(images, x, name="embedding")

    monkeypatch.setattr(embeddings, "build_fast_embedding", build_plain)
    train(TINY, tmp_path / "whole", glyphs_dir)

    original = checkpoints.save_checkpoint

    def save_then_die(run, state, *arguments):
        original(run, state, *arguments)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_checkpoint", save_then_die)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, tmp_path / "killed", glyphs_dir)
    epochs = []

    def save_and_list(run, state, *arguments):
        epochs.append(state["epoch"])
        original(run, state, *arguments)

    monkeypatch.setattr(checkpoints, "save_checkpoint", save_and_list)
    train(TINY, tmp_path / "killed", glyphs_dir)
    assert epochs == [3]

    whole, killed = (
        directory.Run(tmp_path / name) for name in ("whole", "killed")
    )
    one, other = (load_checkpoint(run) for run in (whole, killed))
    assert one[1]["history"]["loss"] == other[1]["history"]["loss"]
    assert one[1]["best_epoch"] == other[1]["best_epoch"]
    one, other = (keras.models.load_model(x[0]) for x in (one, other))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(
        one.optimizer.variables, other.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("without_figures")
def test_best_epoch_is_kept_and_patience_ends_training(
    glyphs_dir, tmp_path, monkeypatch
):
    _patch_accuracies(monkeypatch, [0.4, 0.6, 0.5, 0.6, 0.9])
    original, are_best = checkpoints.save_checkpoint, []

    def save(run, state, save_model, save_best):
        are_best.append(save_best is not None)
        original(run, state, save_model, save_best)

    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    settings = dataclasses.replace(TINY, epochs=5, patience=2)
    train(settings, tmp_path, glyphs_dir)
    assert are_best == [True, True, False, False]
    _, state = load_checkpoint(directory.Run(tmp_path))
    assert (state["epoch"], state["best_epoch"]) == (4, 2)
    assert state["history"]["accuracy"] == [0.4, 0.6, 0.5, 0.6]


def _patch_accuracies(monkeypatch, accuracies):
    """Replaces the validation accuracies of successive epochs."""
    rest = iter(accuracies)
    monkeypatch.setattr(data.Validation, "measure", lambda *_: next(rest))


@pytest.mark.usefixtures("without_figures")
def test_max_minutes_end_training(glyphs_dir, tmp_path):
    settings = dataclasses.replace(TINY, max_minutes=1e-6, protocols=())
    assert train(settings, tmp_path, glyphs_dir) == []
    _, state = load_checkpoint(directory.Run(tmp_path))
    assert state["epoch"] == 1


def test_contrastive_model_is_trained_saved_and_used(glyphs_dir, tmp_path):
    settings = dataclasses.replace(
        TINY, objective="contrastive", sampling="pairs", epochs=1
    )
    (result,) = train(settings, tmp_path, glyphs_dir)
    assert result["accuracy"] > 0.05
    model = koch_siamese.load_model(tmp_path / "model.keras")
    image = np.full((1, 9, 9, 1), 255, np.uint8)
    score = float(model({"first": image, "second": image})[0])
    assert score == pytest.approx(0.0, abs=1e-3)
    assert koch_siamese.get_thresholds(model).same < 0


@pytest.mark.slow
def test_final_model_has_views_and_is_float32(
    glyphs_dir, tmp_path, monkeypatch
):
    _patch_accuracies(monkeypatch, [0.4, 0.6])
    settings = dataclasses.replace(
        TINY, views=3, precision="bfloat16", epochs=1, patience=9
    )
    run = train_in_two(settings, tmp_path, glyphs_dir)

    path, state = load_checkpoint(run)
    assert state["epoch"] == 2
    trainer = keras.models.load_model(path)
    model = koch_siamese.load_model(run.model)
    assert _list_dtypes(trainer) == ["bfloat16", "bfloat16"]
    assert _list_dtypes(model) == ["float32", "float32"]
    thirds = get_head(model).get_weights()[0].reshape(3, -1)
    np.testing.assert_array_equal(thirds[0], thirds[2])
    learned = get_head(trainer).get_weights()[0]
    np.testing.assert_allclose(3 * thirds[0], learned, rtol=1e-6)
    again = dataclasses.replace(TINY, init=str(run.model), filters=(), views=2)
    plain = builders.build_model(again)
    assert get_embedding(plain).output.shape[1] == thirds.shape[1]
    kept = builders.build_final_model(again, plain)
    assert get_embedding(kept).output.shape[1] == 2 * thirds.shape[1]


PAPER = dataclasses.replace(
    TINY, network="paper", filters=(4, 6), kernel_sizes=(3, 2), units=(7,)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "muon", "adam_lr_ratio": 0.01, "precision": "bfloat16"},
        {"network": "dense", "filters": (), "kernel_sizes": ()},
        {"objective": "contrastive", "sampling": "pairs"},
    ],
)
def test_final_model_has_no_batch_normalization(
    glyphs_dir, tmp_path, monkeypatch, changes
):
    _patch_accuracies(monkeypatch, [0.4, 0.6])
    settings = dataclasses.replace(PAPER, batch_norm=True, epochs=1, **changes)
    run = train_in_two(settings, tmp_path, glyphs_dir)

    path, state = load_checkpoint(run)
    assert state["best_epoch"] == 2
    trained = get_embedding(keras.models.load_model(path))
    embedding = get_embedding(koch_siamese.load_model(run.model))
    plain = dataclasses.replace(settings, batch_norm=False)
    expected = get_embedding(builders.build_model(plain))
    assert embedding.count_params() == expected.count_params()
    images = np.random.default_rng(0).integers(256, size=(8, 16, 16, 1))
    tolerance = 0.05 if settings.precision == "bfloat16" else 1e-5
    np.testing.assert_allclose(
        trained(images), embedding(images), atol=tolerance
    )


def _list_dtypes(model):
    """Lists the compute dtypes of a model's convolutions."""
    embedding = get_embedding(model)
    nested = [x for x in embedding.layers if isinstance(x, keras.Model)]
    return [
        layer.compute_dtype
        for layer in (nested or [embedding])[0].layers
        if isinstance(layer, keras.layers.Conv2D)
    ]


def test_nan_loss_ends_training(glyphs_dir, tmp_path):
    settings = dataclasses.replace(
        TINY, sampling="pairs", learning_rate=1e30, schedule="constant"
    )
    with pytest.raises(InputError, match="lower rates than --learning_rate=1e"):
        train(settings, tmp_path, glyphs_dir)
    assert load_checkpoint(directory.Run(tmp_path)) is None


def test_nan_scores_end_training(glyphs_dir, tmp_path, monkeypatch):
    class Broken(data.SiameseScorer):
        def score(self, first, second):
            return np.full(len(second), np.nan)

    monkeypatch.setattr(data, "SiameseScorer", Broken)
    with pytest.raises(DivergedError, match="infinite or NaN in epoch 1"):
        train(TINY, tmp_path, glyphs_dir)
    assert load_checkpoint(directory.Run(tmp_path)) is None


def test_run_among_images_at_home_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"photos/run is in --data_dir="):
        train_and_evaluate(
            Settings(dataset="folder"),
            "~/photos/run",
            data_dir="~/photos",
            may_lower_ways=False,
        )
    assert list(tmp_path.iterdir()) == []


def test_settings_must_be_settings(tmp_path):
    with pytest.raises(InputError, match="is a dict: expected Settings, such"):
        train_and_evaluate({"epochs": 1}, tmp_path)


def test_wrong_number_of_layers_is_refused(glyphs_dir, tmp_path):
    settings = dataclasses.replace(
        TINY, optimizer="layerwise_sgd", layer_l2=(0.0, 0.1)
    )
    with pytest.raises(InputError, match="layers with weights; got 2 l2"):
        train(settings, tmp_path, glyphs_dir)


def test_run_in_use_is_not_changed(glyphs_dir, tmp_path):
    run = directory.Run(tmp_path)
    run.claim(TINY)
    before = run.flags.read_bytes()
    with run.lock(), pytest.raises(InputError, match="is in use"):
        train(dataclasses.replace(TINY, seed=1), tmp_path, glyphs_dir)
    assert run.flags.read_bytes() == before


@pytest.mark.parametrize("objective", ["contrastive", "cross_entropy"])
def test_initial_model_must_have_the_same_objective(objective, tmp_path):
    settings = dataclasses.replace(TINY, objective=objective, sampling="pairs")
    path = tmp_path / "model.keras"
    builders.build_model(settings).save(path)
    settings = dataclasses.replace(settings, init=str(path), filters=())
    assert builders.build_model(settings).name == "siamese"
    other = {"contrastive": "cross_entropy", "cross_entropy": "contrastive"}
    settings = dataclasses.replace(settings, objective=other[objective])
    with pytest.raises(InputError, match=f"with --objective={objective}; got"):
        builders.build_model(settings)


def test_other_settings_are_refused(finished, glyphs_dir):
    workdir, _ = finished
    with pytest.raises(InputError, match="another --workdir"):
        train(dataclasses.replace(TINY, ways=5), workdir, glyphs_dir)
