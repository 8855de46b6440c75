"""Training on two devices or in two processes, compared with one device."""

import json
import time
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from conftest import no_figures

from experiments.robustness import distributed
from koch_siamese.errors import InputError
from koch_siamese.runs.flagfiles import read_flagfile
from koch_siamese.training import distribution
from koch_siamese.training.loop import train_and_evaluate

# Pairs and a network without batch normalization, so that the result does not
# depend on how a batch is split.
FLAGS = (
    "--dataset=glyphs/tiny",
    "--network=paper",
    "--image_size=16",
    "--filters=8,8",
    "--kernel_sizes=3,3",
    "--units=32",
    "--views=2",
    "--sampling=pairs",
    "--batch_size=16",
    "--optimizer=layerwise_sgd",
    "--steps_per_epoch=20",
    "--epochs=3",
    "--validation_trials=50",
    "--protocols=",
)


def read_history(workdir):
    history = json.loads((workdir / "history.json").read_text())
    return history["loss"], history["accuracy"]


def training(mode, workdir, data_dir, *more):
    arguments = (f"--workdir={workdir}", f"--data_dir={data_dir}")
    return distributed.training(mode, [*FLAGS, *arguments, *more])


@pytest.fixture(scope="module")
def alone(glyphs_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone")
    flags = workdir / "alone.flags"
    flags.write_text("\n".join(FLAGS))
    settings, _ = read_flagfile(flags)
    with no_figures():
        train_and_evaluate(settings, workdir, data_dir=glyphs_dir)
    return read_history(workdir)


@pytest.mark.slow
def test_two_devices_train_like_one(alone, glyphs_dir, tmp_path):
    with training("mirrored", tmp_path, glyphs_dir) as (process,):
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    loss, accuracy = read_history(tmp_path)
    np.testing.assert_allclose(loss, alone[0], rtol=1e-6)
    assert accuracy == alone[1]


@pytest.mark.slow
def test_two_devices_train_the_fast_network(glyphs_dir, tmp_path):
    """Its normalization has a custom gradient, which XLA compiles."""
    flags = [
        *("--dataset=glyphs/tiny", "--image_size=16", "--filters=8,8"),
        *("--group_characters=10", "--steps_per_epoch=10", "--epochs=2"),
        *("--validation_trials=50", "--protocols=", f"--workdir={tmp_path}"),
        f"--data_dir={glyphs_dir}",
    ]
    with distributed.training("mirrored", flags) as (process,):
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    (first, second), _ = read_history(tmp_path)
    assert second < first


@pytest.mark.slow
def test_workers_train_like_one_and_resume_after_one_is_killed(
    alone, glyphs_dir, tmp_path
):
    arguments = ("multiworker", tmp_path, glyphs_dir, "--epochs=6")
    with training(*arguments) as (chief, worker):
        deadline = time.monotonic() + 120
        while not (tmp_path / "checkpoints" / "epoch_0003").exists():
            assert chief.poll() is None, chief.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        worker.kill()
        _, errors = chief.communicate(timeout=240)
        assert chief.returncode == 1
        assert errors.count("error: Another worker has stopped") == 1

    with training(*arguments) as workers:
        for each in workers:
            output, errors = each.communicate(timeout=240)
            assert each.returncode == 0, errors
            assert "Resuming after epoch" in output
    loss, accuracy = read_history(tmp_path)
    assert len(loss) == 6
    np.testing.assert_allclose(loss[:3], alone[0], rtol=1e-6)
    assert accuracy[:3] == alone[1]
    assert (tmp_path / "results" / "thresholds.json").exists()


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("", "needs TF_CONFIG; got ''"),
        ("{}", "needs TF_CONFIG"),
        (
            '{"cluster": {"worker": ["a:1"]}, '
            '"task": {"type": "worker", "index": 1}}',
            "none of its 1 workers",
        ),
    ],
)
def test_invalid_cluster_is_refused(config, part, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(InputError, match=part):
        distribution.make_strategy("multiworker")


def test_errors_of_a_training_alone_are_not_blamed_on_another_worker():
    error = tf.errors.AbortedError(None, None, "stopped")
    with (
        pytest.raises(tf.errors.AbortedError),
        distribution.other_workers(None),
    ):
        raise error
    workers = mock.Mock(spec=tf.distribute.MultiWorkerMirroredStrategy)
    with (
        pytest.raises(InputError, match=r"Another worker has .*\(stopped\)"),
        distribution.other_workers(workers),
    ):
        raise error
