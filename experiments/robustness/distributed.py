r"""Trains on one device, on two, and with two workers, and compares them.

    python experiments/robustness/distributed.py --data_dir=DIR

All three share this machine's CPU. The losses show whether they learn the same;
the pairs per second, including validation, show the cost of dividing the work.
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from koch_siamese import cli
from koch_siamese.runs.results import write_result

RESULT = Path(__file__).parents[1] / "results" / "distributed.json"
MODES = ("none", "mirrored", "multiworker")
BATCH_SIZE, STEPS_PER_EPOCH = 128, 100
# Pairs and the paper's network, without batch normalization, so that dividing a
# batch evenly does not change what is learned.
TRAINING = (
    "--dataset=glyphs",
    "--network=paper",
    "--image_size=35",
    "--filters=32,64,64",
    "--kernel_sizes=6,4,3",
    "--units=1024",
    "--sampling=pairs",
    f"--batch_size={BATCH_SIZE}",
    "--optimizer=layerwise_sgd",
    f"--steps_per_epoch={STEPS_PER_EPOCH}",
    "--epochs=5",
    "--validation_trials=200",
    "--protocols=",
)

# A CPU can only be divided into two devices before TensorFlow is initialized.
TWO_DEVICES = """
import tensorflow as tf
from koch_siamese.train import main
from koch_siamese import cli

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
if tf.distribute.MirroredStrategy().num_replicas_in_sync != 2:
    raise SystemExit("These are not two devices.")
cli.run(main)
"""


@contextlib.contextmanager
def training(
    mode: str, arguments: Sequence[str]
) -> Iterator[list[subprocess.Popen]]:
    """Starts a training; leaving the context kills its processes.

    Args:
        mode: `none`; `mirrored`, on two devices; `multiworker`, by two workers.
        arguments: flags of `koch_siamese.train`.

    Yields:
        The processes, the chief first.
    """
    processes = _start_all(mode, arguments)
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start_all(mode, arguments):
    arguments = [*arguments, f"--distribute={mode}"]
    if mode != "multiworker":
        code = ["-m", "koch_siamese.train"]
        if mode == "mirrored":
            code = ["-c", TWO_DEVICES]
        return [_start([*code, *arguments])]
    cluster = {"worker": [f"localhost:{port}" for port in _find_ports(2)]}
    return [
        _start(
            ["-m", "koch_siamese.train", *arguments],
            TF_CONFIG=json.dumps(
                {
                    "cluster": cluster,
                    "task": {"type": "worker", "index": index},
                }
            ),
        )
        for index in range(2)
    ]


def _start(arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _find_ports(num):
    """Finds ports that are free now."""
    sockets = [socket.socket() for _ in range(num)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def train(mode: str, workdir: Path) -> dict[str, list[float]]:
    """Trains from start to end; returns the history of the run."""
    arguments = [*TRAINING, f"--workdir={workdir}"]
    if cli.DATA_DIR.value:
        arguments.append(f"--data_dir={cli.DATA_DIR.value}")
    with training(mode, arguments) as processes:
        for process in processes:
            _, errors = process.communicate()
            if process.returncode:
                raise SystemExit(f"{mode} failed: {errors}")
    return json.loads((workdir / "history.json").read_text())


def summarize(history: dict, alone: dict) -> dict:
    """Compares a mode with one process on one device.

    The speed excludes the first epoch, in which the step is compiled.
    """
    seconds = statistics.median(history["seconds"][1:])
    difference = np.abs(np.subtract(history["loss"], alone["loss"]))
    return {
        "loss": history["loss"],
        "accuracy": history["accuracy"],
        "largest_difference_of_loss": float(difference.max()),
        "pairs_per_second": BATCH_SIZE * STEPS_PER_EPOCH / seconds,
    }


def main():
    """Trains in each mode, and writes the results."""
    with tempfile.TemporaryDirectory() as folder:
        histories = {mode: train(mode, Path(folder, mode)) for mode in MODES}
    modes = {
        mode: summarize(history, histories["none"])
        for mode, history in histories.items()
    }
    for mode, values in modes.items():
        print(
            f"{mode}: {values['pairs_per_second']:.0f} pairs/s, losses at most "
            f"{values['largest_difference_of_loss']:.1e} from those of none"
        )
    write_result(RESULT, {"modes": modes})


if __name__ == "__main__":
    cli.run(main)
