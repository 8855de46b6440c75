"""Training that is killed or interrupted, and then resumed."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import assert_one_line, call, drop_logs

import koch_siamese

# With batch normalization, which makes equal results hard to reproduce.
FLAGS = (
    "--dataset=glyphs/tiny",
    "--image_size=16",
    "--filters=8,8",
    "--group_characters=8",
    "--group_drawings=2",
    "--steps_per_epoch=20",
    "--epochs=3",
    "--validation_trials=50",
    "--protocols=",
    "--deterministic",
)


def start(workdir, glyphs_dir):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "koch_siamese.train", *FLAGS),
            *(f"--workdir={workdir}", f"--data_dir={glyphs_dir}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(workdir, epoch, process):
    folder = workdir / "checkpoints" / f"epoch_{epoch:04d}"
    deadline = time.monotonic() + 120
    while not folder.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(glyphs_dir, tmp_path_factory):
    """The directory of a run that was not interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    answer = call(
        "train", *FLAGS, f"--workdir={workdir}", f"--data_dir={glyphs_dir}"
    )
    assert answer.returncode == 0, answer.stderr
    return workdir


def test_killed_and_resumed_training_ends_with_equal_weights(
    whole, glyphs_dir, tmp_path
):
    process = start(tmp_path, glyphs_dir)
    wait_for_epoch(tmp_path, 1, process)
    process.send_signal(signal.SIGSTOP)
    other = call(
        "train", *FLAGS, f"--workdir={tmp_path}", f"--data_dir={glyphs_dir}"
    )
    assert_one_line(other, "is in use")
    process.kill()
    process.communicate()
    assert_resumes(tmp_path, whole, glyphs_dir)


@pytest.mark.slow
def test_interrupted_training_prints_an_error_and_resumes(
    whole, glyphs_dir, tmp_path
):
    process = start(tmp_path, glyphs_dir)
    wait_for_epoch(tmp_path, 2, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    line = "error: interrupted; run the same command again to resume.\n"
    assert drop_logs(errors) == line
    assert_resumes(tmp_path, whole, glyphs_dir)


def assert_resumes(workdir, whole, glyphs_dir):
    """Resumes a run, and asserts that it ends like the uninterrupted one."""
    answer = call(
        "train", *FLAGS, f"--workdir={workdir}", f"--data_dir={glyphs_dir}"
    )
    assert answer.returncode == 0, answer.stderr
    assert "Resuming after epoch" in answer.stdout
    one, two = (
        koch_siamese.load_model(path / "model.keras").get_weights()
        for path in (whole, workdir)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    one, two = (
        json.loads((path / "history.json").read_text())
        for path in (whole, workdir)
    )
    assert (one["loss"], one["accuracy"]) == (two["loss"], two["accuracy"])
