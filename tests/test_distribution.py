"""Training on two devices, and by two processes, beside one alone."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import call

from koch_siamese import distribution
from koch_siamese.errors import InputError

# The paper's pairs, without batch normalisation: batches divide evenly.
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

TWO_DEVICES = """
import sys
import tensorflow as tf
from koch_siamese.settings import Settings
from koch_siamese.training import train_and_evaluate

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
workdir, data_dir, *flags = sys.argv[1:]
settings = Settings.from_flags("\\n".join(flags))
assert tf.distribute.MirroredStrategy().num_replicas_in_sync == 2
train_and_evaluate(settings, workdir, data_dir=data_dir)
"""


def read_history(workdir):
    history = json.loads((workdir / "history.json").read_text())
    return history["loss"], history["accuracy"]


@pytest.fixture(scope="module")
def alone(glyphs_dir, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone")
    arguments = (f"--workdir={workdir}", f"--data_dir={glyphs_dir}")
    answer = call("train", *FLAGS, *arguments)
    assert answer.returncode == 0, answer.stderr
    return read_history(workdir)


def test_two_devices_learn_as_one(alone, glyphs_dir, tmp_path):
    answer = subprocess.run(
        [
            *(sys.executable, "-c", TWO_DEVICES, tmp_path, glyphs_dir),
            *(*FLAGS, "--distribute=mirrored"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    loss, accuracy = read_history(tmp_path)
    np.testing.assert_allclose(loss, alone[0], rtol=1e-6)
    assert accuracy == alone[1]


def free_ports(num):
    sockets = [socket.socket() for _ in range(num)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(workdir, glyphs_dir):
    """Two workers, the chief first."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    arguments = (f"--workdir={workdir}", f"--data_dir={glyphs_dir}")
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": cluster, "task": task})
        workers.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "koch_siamese.train", *FLAGS),
                    *(*arguments, "--distribute=multiworker", "--epochs=15"),
                ],
                env=os.environ | {"TF_CONFIG": config},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return workers


def test_workers_learn_as_one_and_survive_a_killed_one(
    alone, glyphs_dir, tmp_path
):
    chief, worker = start_workers(tmp_path, glyphs_dir)
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoints" / "epoch_0003").exists():
        assert chief.poll() is None, chief.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    worker.communicate()
    _, errors = chief.communicate(timeout=240)
    assert chief.returncode == 1
    assert errors.count("error: Another worker has stopped") == 1

    for each in start_workers(tmp_path, glyphs_dir):
        output, errors = each.communicate(timeout=240)
        assert each.returncode == 0, errors
        assert "Going on after epoch" in output
    loss, accuracy = read_history(tmp_path)
    assert len(loss) == 15
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
def test_cluster_that_is_none_is_told(config, part, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(InputError, match=part):
        distribution.make_strategy("multiworker")
