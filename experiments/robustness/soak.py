r"""Trains, kills and resumes for hours; at most an epoch may be lost.

    python experiments/robustness/soak.py --minutes=120

One training, with batch normalization and --deterministic, runs to its end
undisturbed. The same training then runs again and again, killed at random
moments (SIGKILL or SIGTERM, about one in four while files are written) and
restarted until it ends; its weights must be those of the first, bit for bit.
"""

import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from absl import app, flags

from koch_siamese.runs.directory import Run
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import write_result
from koch_siamese.training.checkpoints import load_checkpoint

MINUTES = flags.DEFINE_float("minutes", 120, "How long to train and kill.")
SEED = flags.DEFINE_integer("seed", 0, "Decides the moments of the kills.")
WORKDIR = define_path("workdir", "runs/soak", "Where the runs go.")
DATA_DIR = define_path("data_dir", None, "Where TFDS keeps data sets.")
OUTPUT = define_path("output", None, "A file for the summary.")

LONGEST_LIFE_SECONDS = 40
LONGEST_END_SECONDS = 120  # from a signal to the end; more is a hang
# Exit codes of a training that ends before the signal, or by it. On SIGTERM, it
# exits with 1 and says how to resume, or is killed if Python is still starting.
EXPECTED_EXITS = {
    signal.SIGKILL: (0, -signal.SIGKILL),
    signal.SIGTERM: (0, 1, -signal.SIGTERM),
}
TRAINING = (
    "--dataset=glyphs/tiny",
    "--image_size=16",
    "--filters=16,16,32",
    "--group_characters=16",
    "--steps_per_epoch=60",
    "--epochs=150",
    "--patience=150",
    "--validation_trials=200",
    "--protocols=within_alphabet",
    "--num_trials=200",
    "--deterministic",
)


def start(workdir):
    """Starts or resumes the training."""
    arguments = [f"--workdir={workdir}"]
    if DATA_DIR.value:
        arguments.append(f"--data_dir={DATA_DIR.value}")
    return subprocess.Popen(
        [sys.executable, "-m", "koch_siamese.train", *TRAINING, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def count_epochs(workdir):
    """Counts the stored epochs."""
    checkpoint = load_checkpoint(Run(workdir))
    return checkpoint[1]["epoch"] if checkpoint else 0


def read_weights(workdir):
    """Reads the weights of the last epoch's trainer and of the best model."""
    path, _ = load_checkpoint(Run(workdir))
    files = (path, Run(workdir).model)
    return [zipfile.ZipFile(x).read("model.weights.h5") for x in files]


def wait_and_kill(process, workdir, rng):
    """Lets a training run for a while, and then kills it.

    Returns:
        Whether it was killed before it ended, the signal, and its output.

    Raises:
        SystemExit: it failed for another reason than the signal.
        TimeoutExpired: it did not end.
    """
    how = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
    deadline = time.monotonic() + rng.uniform(0, LONGEST_LIFE_SECONDS)
    # The most dangerous moment is in the middle of a checkpoint.
    while_writing = rng.random() < 0.25
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
        partial = Path(workdir, "checkpoints").glob("*.partial")
        if while_writing and any(partial):
            break
    expected = (0,)
    if process.poll() is None:
        process.send_signal(how)
        expected = EXPECTED_EXITS[how]
    output, _ = process.communicate(timeout=LONGEST_END_SECONDS)
    if process.returncode not in expected:
        raise SystemExit(f"Exit {process.returncode}:\n{output}")
    return process.returncode != 0, how.name, output


def train_with_kills(workdir, rng, deadline):
    """Runs one training to its end; returns a record, or None if time is up."""
    record = {"kills": {"SIGKILL": 0, "SIGTERM": 0}, "most_epochs_lost": 0}
    shutil.rmtree(workdir, ignore_errors=True)
    while time.monotonic() < deadline:
        was_killed, how, output = wait_and_kill(start(workdir), workdir, rng)
        if not was_killed:
            return record
        if "Traceback" in output:
            raise SystemExit(f"A traceback:\n{output}")
        record["kills"][how] += 1
        shown = [
            int(line.split()[1].partition("/")[0])
            for line in output.splitlines()
            if line.startswith("Epoch ")
        ]
        if shown:
            lost = shown[-1] - count_epochs(workdir)
            record["most_epochs_lost"] = max(record["most_epochs_lost"], lost)
    return None


def main(_):
    """Trains and kills until time is up, and writes a summary."""
    workdir, rng = Path(WORKDIR.value), random.Random(SEED.value)
    begin = time.monotonic()
    shutil.rmtree(workdir, ignore_errors=True)
    start(workdir / "undisturbed").communicate()
    expected = read_weights(workdir / "undisturbed")
    summary = {
        "trainings": 0,
        "kills": {"SIGKILL": 0, "SIGTERM": 0},
        "most_epochs_lost": 0,
        "bit_identical": 0,
        "seed": SEED.value,
    }
    while True:
        place = workdir / "disturbed"
        record = train_with_kills(place, rng, begin + 60 * MINUTES.value)
        if record is None:
            break
        summary["trainings"] += 1
        for how, count in record["kills"].items():
            summary["kills"][how] += count
        summary["most_epochs_lost"] = max(
            summary["most_epochs_lost"], record["most_epochs_lost"]
        )
        summary["bit_identical"] += read_weights(place) == expected
        summary["minutes"] = round((time.monotonic() - begin) / 60, 1)
        print(summary, flush=True)
        if OUTPUT.value:
            write_result(Path(OUTPUT.value), summary)


if __name__ == "__main__":
    app.run(main)
