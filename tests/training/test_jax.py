"""Commands with KERAS_BACKEND=jax: the same results and error messages."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import (
    TINY_MODEL,
    assert_one_line,
    call,
    call_afresh,
)

from koch_siamese.data.characters import Characters
from koch_siamese.data.omniglot import (
    OFFICIAL_TEST_ALPHABETS,
    pack_characters,
    read_packed,
)
from koch_siamese.errors import InputError

TRAINING = (
    "--dataset=glyphs/tiny",
    f"--init={TINY_MODEL}",
    "--image_size=24",
    "--group_characters=8",
    "--group_drawings=2",
    "--distortion=elastic",
    "--optimizer=muon",
    "--views=2",
    "--steps_per_epoch=4",
    "--epochs=2",
    "--validation_trials=50",
    "--num_trials=60",
)


@pytest.fixture(autouse=True)
def compile_quickly(monkeypatch):
    """Turns off XLA's optimizations, which take longer than they save."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")


@pytest.mark.slow
def test_training_with_jax_agrees_with_tensorflow_and_is_exported(
    glyphs_dir, tmp_path, monkeypatch
):
    histories, results = [], []
    for backend, train in (("tensorflow", call), ("jax", call_afresh)):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        run = tmp_path / backend
        where = (f"--workdir={run}", f"--data_dir={glyphs_dir}")
        answer = train("train", *TRAINING, *where)
        assert answer.returncode == 0, answer.stderr
        histories.append(json.loads((run / "history.json").read_text()))
        result = (run / "results" / "within_alphabet.json").read_text()
        results.append(json.loads(result))
    np.testing.assert_allclose(
        histories[1]["loss"], histories[0]["loss"], rtol=1e-3
    )
    assert abs(results[1]["accuracy"] - results[0]["accuracy"]) < 0.05
    assert "jax" not in results[0]
    assert results[1]["jax"]

    output = tmp_path / "exported"
    answer = call_afresh("export", f"--workdir={run}", f"--output={output}")
    assert answer.returncode == 0, answer.stderr
    assert (output / "saved_model" / "saved_model.pb").exists()


@pytest.mark.slow
def test_unsuitable_backends_are_refused(tmp_path, monkeypatch):
    where = f"--workdir={tmp_path}"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    answer = call_afresh("train", "--distribute=mirrored", where)
    assert_one_line(answer, "--distribute=mirrored", "KERAS_BACKEND is jax")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    answer = call_afresh("train", where)
    assert_one_line(answer, "'torch'", "expected tensorflow or jax")


@pytest.mark.slow
def test_keras_configuration_files_are_ignored(tmp_path, monkeypatch):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    answer = call_afresh("train", "--dataset=folder", f"--workdir={tmp_path}")
    assert_one_line(answer, "--dataset=folder needs --data_dir")


def make_drawings(alphabets, seed):
    """Makes three patterns per alphabet, each by 20 drawers with noise."""
    rng = np.random.default_rng(seed)
    num = 3 * len(alphabets)
    patterns = np.repeat(np.repeat(rng.random((num, 5, 5)) < 0.4, 21, 1), 21, 2)
    noise = rng.random((num, 20, 105, 105)) < 0.02
    images = np.where(patterns[:, np.newaxis] ^ noise, 0, 255)
    character = np.repeat(np.arange(num), 20)
    return Characters(
        images=images.reshape(-1, 105, 105, 1).astype(np.uint8),
        character=character.astype(np.int32),
        number=(character % 3 + 1).astype(np.int32),
        alphabet=(character // 3).astype(np.int32),
        drawer=np.tile(np.arange(1, 21, dtype=np.int32), num),
        alphabet_names=tuple(alphabets),
    )


@pytest.fixture(scope="module")
def packed_dir(tmp_path_factory):
    """A data_dir with a small packed file that can stand in for Omniglot."""
    folder = tmp_path_factory.mktemp("packed")
    test = (*OFFICIAL_TEST_ALPHABETS, "one", "other")
    splits = {
        "train": make_drawings(tuple("abcdef"), 0),
        "test": make_drawings(test, 1),
    }
    pack_characters(splits, folder / "omniglot.npz")
    read = read_packed(folder / "omniglot.npz", "test")
    for name, value in vars(splits["test"]).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    with pytest.raises(InputError, match="does not have Omniglot's 'small1'"):
        read_packed(folder / "omniglot.npz", "small1")
    return folder


# Trains in a process that cannot import TensorFlow.
WITHOUT_TENSORFLOW = """
import runpy, sys
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None
runpy.run_module("koch_siamese.train", run_name="__main__", alter_sys=True)
"""

ONE_AND_SEVERAL = """
import dataclasses, sys
from absl import flags
from koch_siamese.runs.flagfiles import define_flags, read_flags
define_flags()
flags.DEFINE_string("data_dir", None, "")
flags.FLAGS(sys.argv)
from koch_siamese import train_and_evaluate
settings = read_flags()
for name, changes in (
    ("one", {"epochs": 2}), ("several", {"epochs": 1, "steps_per_call": 5})
):
    train_and_evaluate(
        dataclasses.replace(settings, **changes),
        name,
        data_dir=flags.FLAGS.data_dir,
    )
"""

PAIRS = (
    "--dataset=omniglot",
    "--background=koch",
    "--network=paper",
    "--image_size=16",
    "--filters=8,8",
    "--kernel_sizes=5,3",
    "--units=32",
    "--sampling=pairs",
    "--batch_size=32",
    "--initial_values=uniform",
    "--learning_rate=0.01",
    "--schedule=constant",
    "--steps_per_epoch=20",
    "--validation_trials=50",
    "--ways=3",
    "--num_trials=60",
)


@pytest.fixture
def train_pairs(packed_dir, tmp_path, monkeypatch):
    """A function that runs a script which trains on pairs."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")

    def train(script, *arguments):
        command = [sys.executable, "-c", script, *PAIRS, *arguments]
        answer = subprocess.run(
            [*command, f"--data_dir={packed_dir}"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert answer.returncode == 0, answer.stderr
        return answer

    return train


@pytest.mark.slow
def test_training_without_tensorflow(train_pairs, tmp_path):
    arguments = ("--steps_per_call=5", "--epochs=2", "--workdir=run")
    train_pairs(WITHOUT_TENSORFLOW, *arguments)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    first, second = history["loss"]
    assert second < first
    result = tmp_path / "run" / "results" / "within_alphabet.json"
    assert json.loads(result.read_text())["jax"]


@pytest.mark.slow
def test_several_steps_per_call_equal_several_calls(train_pairs, tmp_path):
    # Two runs are trained in one process. The second stops after an epoch and
    # is resumed without TensorFlow.
    train_pairs(ONE_AND_SEVERAL)
    answer = train_pairs(
        WITHOUT_TENSORFLOW,
        *("--steps_per_call=5", "--epochs=2", "--workdir=several"),
    )
    assert "Resuming after epoch 1 of 2" in answer.stdout
    one, several = (
        json.loads((tmp_path / name / "history.json").read_text())
        for name in ("one", "several")
    )
    np.testing.assert_allclose(several["loss"], one["loss"], rtol=1e-4)
    result = tmp_path / "several" / "results" / "within_alphabet.json"
    assert json.loads(result.read_text())["tensorflow"] is not None
    # Checkpoints do not contain the drawings: 360 of 16 x 16 pixels are 92 kB.
    one, several = (
        tmp_path / name / "checkpoints" / "epoch_0002" / "trainer.keras"
        for name in ("one", "several")
    )
    assert several.stat().st_size < one.stat().st_size + 20_000


def test_several_steps_per_call_need_jax(glyphs_dir, tmp_path):
    where = (f"--data_dir={glyphs_dir}", f"--workdir={tmp_path}")
    answer = call(
        "train", "--dataset=glyphs/tiny", "--steps_per_call=5", *where
    )
    assert_one_line(answer, "--steps_per_call=5 needs KERAS_BACKEND=jax")
    answer = call("train", "--steps_per_call=7", *where)
    assert_one_line(answer, "--steps_per_call=7 must divide")
