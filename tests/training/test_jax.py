"""The commands with KERAS_BACKEND=jax: the same numbers, and the same care."""

import json

import numpy as np
from conftest import TINY_MODEL, assert_one_line, call, call_afresh

TRAINING = (
    "--dataset=glyphs/tiny",
    f"--init={TINY_MODEL}",
    "--image_size=24",
    "--group_characters=8",
    "--group_drawings=2",
    "--distortion=elastic",
    "--optimizer=muon",
    "--views=2",
    "--steps_per_epoch=10",
    "--epochs=2",
    "--validation_trials=50",
    "--num_trials=60",
)


def test_training_is_that_of_tensorflow_and_is_exported(
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


def test_backends_that_do_not_fit(tmp_path, monkeypatch):
    where = f"--workdir={tmp_path}"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    answer = call_afresh("train", "--distribute=mirrored", where)
    assert_one_line(answer, "--distribute=mirrored", "KERAS_BACKEND is jax")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    answer = call_afresh("train", where)
    assert_one_line(answer, "'torch'", "expected tensorflow or jax")


def test_what_keras_is_told_elsewhere_has_no_say(tmp_path, monkeypatch):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    answer = call_afresh("train", "--dataset=folder", f"--workdir={tmp_path}")
    assert_one_line(answer, "--dataset=folder needs --data_dir")
