r"""Trains on more images than memory holds; prints the memory used and times.

    python experiments/robustness/memory.py --megabytes=20000

Run it under a lower memory limit, such as that of a control group. The images
are in a file in $TMPDIR. The system keeps as much of it in memory as fits.
"""

import json
import resource
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from koch_siamese.data import image_arrays
from koch_siamese.data.characters import Characters
from koch_siamese.images import IMAGE_SIZE, WHITE
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import write_result
from koch_siamese.runs.settings import Settings
from koch_siamese.training import batches, builders, trainers

MEGABYTES = flags.DEFINE_integer("megabytes", 20_000, "Images to train on.")
STEPS = flags.DEFINE_integer("steps", 100, "Steps of training.")
OUTPUT = define_path("output", None, "A file for the result.")

NUM_DRAWERS = 20


def draw_characters(megabytes):
    """Makes the given megabytes of drawings, which repeat after 2048."""
    num = (megabytes << 20) // IMAGE_SIZE**2 // NUM_DRAWERS * NUM_DRAWERS
    images = image_arrays.allocate_images((num, IMAGE_SIZE, IMAGE_SIZE, 1))
    rng = np.random.default_rng(0)
    stock = np.full((2048, IMAGE_SIZE, IMAGE_SIZE, 1), WHITE, np.uint8)
    for image in stock:
        for _ in range(4):
            row, column = rng.integers(10, 90, 2)
            image[row : row + 5, column : column + rng.integers(5, 40)] = 0
    for start in range(0, num, len(stock)):
        part = images[start : start + len(stock)]
        part[:] = stock[: len(part)]
    character = np.arange(num) // NUM_DRAWERS
    return Characters(
        images=images,
        character=character.astype(np.int32),
        number=(character % 20 + 1).astype(np.int32),
        alphabet=(character // 20).astype(np.int32),
        drawer=(np.arange(num) % NUM_DRAWERS + 1).astype(np.int32),
        alphabet_names=tuple(map(str, range(character[-1] // 20 + 1))),
    )


def main(_):
    """Draws, trains and prints a report."""
    image_arrays.limit_memory(256)
    start = time.monotonic()
    characters = draw_characters(MEGABYTES.value)
    drawn = time.monotonic()
    settings = Settings(image_size=IMAGE_SIZE, filters=(16, 16, 16, 16))
    siamese = builders.build_model(settings)
    trainer = trainers.build_trainer(settings, siamese)
    trainer.fit(
        batches.make_batches(settings, characters),
        steps_per_epoch=STEPS.value,
        shuffle=False,
        verbose=2,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    report = {
        "image_megabytes": characters.images.nbytes >> 20,
        "drawings": len(characters),
        "peak_resident_megabytes": peak,
        "steps": STEPS.value,
        "drawing_seconds": round(drawn - start, 1),
        "training_seconds": round(time.monotonic() - drawn, 1),
    }
    print(json.dumps(report, indent=2))
    if OUTPUT.value:
        write_result(Path(OUTPUT.value), report)


if __name__ == "__main__":
    app.run(main)
