"""Workloads of whole trainings, which have switches of their own."""

import itertools
import tempfile

import keras

from experiments.benchmark.options import QUICK, Options
from koch_siamese.data.sources import DataSource
from koch_siamese.runs.directory import Run
from koch_siamese.runs.settings import Settings
from koch_siamese.training.loop import train

# The same network, drawings in a step and rates for both samplings.
LEARNING = {
    "mirror_images": True,
    "quarter_turns": True,
    "distortion": "paper",
    "learning_rate": 2e-3,
    "schedule": "constant",
    "steps_per_epoch": 50,
    "epochs": 10_000,
    "patience": 10_000,
}


class StopAt(keras.callbacks.Callback):
    """Ends a training at the first epoch that validates well enough."""

    def __init__(self, target: float):
        """Keeps the target accuracy."""
        super().__init__()
        self._target = target

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the epoch."""
        if logs["one_shot_accuracy"] >= self._target:
            self.model.stop_training = True


def learning(options: Options):
    """Seconds of training, validation included, to the target accuracy."""
    changes = {}
    if options.batch_size == QUICK["batch_size"]:
        changes = {"filters": (8, 8), "image_size": 16, "steps_per_epoch": 20}
    characters, drawings = options.group
    settings = Settings(
        **LEARNING | changes,
        dataset=options.dataset,
        sampling=options.sampling,
        group_characters=characters,
        group_drawings=drawings,
        batch_size=characters * drawings // 2,
        max_minutes=options.max_minutes,
        seed=options.seed,
    )
    source = DataSource(options.dataset, data_dir=options.data_dir)

    def measure():
        with tempfile.TemporaryDirectory() as folder:
            run = Run(folder)
            run.claim(settings)
            state = train(
                settings, run, source, callbacks=[StopAt(options.target)]
            )
        history = state["history"]
        reached = max(history["accuracy"]) >= options.target
        return {
            "learning": seconds_to(options.target, history),
            "reached": float(reached),
            "best validation accuracy": max(history["accuracy"]),
        }

    return (measure,)


def seconds_to(target: float, history: dict[str, list[float]]) -> float:
    """Seconds until an epoch reached the target, or of all that did not."""
    epochs = zip(
        history["accuracy"],
        itertools.accumulate(history["seconds"]),
        strict=True,
    )
    return next(
        (seconds for accuracy, seconds in epochs if accuracy >= target),
        sum(history["seconds"]),
    )
