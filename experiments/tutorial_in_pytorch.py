r"""Trains the tutorial's network as its source does, in PyTorch.

    pip install -e '.[benchmark]'
    python -m experiments.tutorial_in_pytorch --data_dir=D --output=FILE

This is to compare with `tutorial_35px.flags`, and with the figures that the
source publishes: pairs are drawn and rotated one by one with `random` and PIL,
and the network is written in PyTorch. The image size, the network and its
learning rate are those of `tutorial_35px.flags`; the test trials are ours.
"""

import random
import time
from pathlib import Path

import numpy as np
import torch
from absl import flags
from PIL import Image
from tqdm import trange

from experiments.benchmark.rival import build_paper_network
from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import write_result
from koch_siamese.sampling.trials import sample_tutorial_trials

OUTPUT = define_path("output", None, "A file for the result.")
STEPS = flags.DEFINE_integer("steps", 2000, "Of training.", lower_bound=1)
TEST_EVERY = flags.DEFINE_integer(
    "test_every", 500, "Steps between tests.", lower_bound=1
)
SEED = flags.DEFINE_integer("seed", 0, "Of pairs and initial values.")
# As in tutorial_35px.flags.
SIZE = 35
FILTERS, KERNEL_SIZES, UNITS = (64, 128, 256), (6, 4, 3), 4096
LEARNING_RATE = 9e-5
BATCH_SIZE = 128
MAX_DEGREES = 15
NUM_TRIALS = 8000  # 20 tests of 400


def shrink(images):
    """Shrinks uint8 images `[num, 105, 105, 1]` to `[num, 35, 35]`."""
    return np.stack(
        [
            Image.fromarray(x[..., 0]).resize(
                (SIZE, SIZE), Image.Resampling.BOX
            )
            for x in images
        ]
    )


def to_tensor(images):
    """Converts to float32 `[batch, 1, 35, 35]`; ink is 0 and paper is 1."""
    return torch.from_numpy(np.float32(images)[:, None] / 255)


class Pairs:
    """Draws pairs as the source does, every other one of the same class."""

    def __init__(self, characters):
        """Shrinks the characters' images."""
        labels = characters.character
        self._images = shrink(characters.images)
        self._classes = [np.flatnonzero(labels == x) for x in np.unique(labels)]

    def draw(self, num):
        """Draws `num` pairs; returns both images of each, and its label."""
        first, second, same = [], [], []
        for number in range(num):
            one = other = random.randrange(len(self._classes))
            while number % 2 == 0 and one == other:
                other = random.randrange(len(self._classes))
            first.append(self._draw_image(one))
            second.append(self._draw_image(other))
            same.append(float(one == other))
        return to_tensor(first), to_tensor(second), torch.tensor(same)

    def _draw_image(self, label):
        image = Image.fromarray(
            self._images[random.choice(self._classes[label])]
        )
        angle = random.uniform(-MAX_DEGREES, MAX_DEGREES)
        return np.asarray(image.rotate(angle))  # corners become 0, as ink


def test(network, images, trials):
    """Measures the fraction of trials with the right answer."""
    with torch.inference_mode():
        embeddings = torch.cat(
            [
                network.embedding(to_tensor(part))
                for part in np.array_split(images, 64)
            ]
        )
        right = 0
        for query, support, answer in zip(
            trials.query, trials.support[..., 0], trials.answer, strict=True
        ):
            distances = (embeddings[query] - embeddings[support]).abs()
            right += network.head(distances).argmax().item() == answer
    return right / len(trials)


def main():
    """Trains, tests, and writes the result."""
    random.seed(SEED.value)
    torch.manual_seed(SEED.value)
    import_tensorflow()
    training, evaluation = (
        load_characters("omniglot", split, data_dir=cli.DATA_DIR.value)
        for split in ("training", "evaluation")
    )
    pairs, images = Pairs(training), shrink(evaluation.images)
    trials = sample_tutorial_trials(
        evaluation.character,
        num_trials=NUM_TRIALS,
        ways=20,
        rng=np.random.default_rng(0),
    )
    network = build_paper_network(FILTERS, UNITS, KERNEL_SIZES, SIZE)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    compute_loss = torch.nn.BCEWithLogitsLoss()
    tests, begin = {}, time.perf_counter()
    for step in trange(1, STEPS.value + 1, disable=None):
        first, second, same = pairs.draw(BATCH_SIZE)
        optimizer.zero_grad()
        compute_loss(network(first, second)[:, 0], same).backward()
        optimizer.step()
        if step % TEST_EVERY.value == 0 or step == STEPS.value:
            tests[step] = accuracy = test(network, images, trials)
            print(f"after {step} steps: {accuracy:.2%}", flush=True)
    if OUTPUT.value:
        result = {
            "accuracy_after_steps": tests,
            "accuracy": accuracy,
            "ci95": wilson_interval(round(accuracy * NUM_TRIALS), NUM_TRIALS),
            "num_trials": NUM_TRIALS,
            "seed": SEED.value,
            "training_seconds": time.perf_counter() - begin,
            "torch": torch.__version__,
        }
        write_result(Path(OUTPUT.value), result)


if __name__ == "__main__":
    cli.run(main)
