"""Workloads of ours that need no network: starting, and growing."""

import gc
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from experiments.benchmark.options import Options
from koch_siamese.sampling.pairs import (
    CharacterIndex,
    sample_group,
    sample_pairs,
)
from koch_siamese.sampling.trials import TrialIndex

NUM_DRAWERS = 20
CHARACTERS_PER_ALPHABET = 30
DRAWS = 100  # of a sampler in a round

STARTS = {
    "start_help": ["-m", "koch_siamese.train", "--help"],
    "start_bad_flag": ["-m", "koch_siamese.train", "--nonsense=1"],
    "start_import": ["-c", "import koch_siamese"],
}


def start(options: Options):
    """Seconds of fresh processes."""

    def measure():
        values = {}
        for name, arguments in STARTS.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True)
            values[name] = time.perf_counter() - begin
        return values

    return (measure,)


def growth(options: Options):
    """How sampling a batch, and memory, grow with the number of characters."""
    samplers = {n: _make_samplers(n) for n in options.num_characters}
    first, last = options.num_characters[0], options.num_characters[-1]

    def measure():
        values = {}
        for name in samplers[first]:
            times = {n: _time(samplers[n][name]) for n in samplers}
            values[name] = times[last] / times[first]
            for n, seconds in times.items():
                values[f"{name}, {n} characters, ms"] = 1e3 * seconds
        return values | _measure_memory(options.num_drawings)

    return (measure,)


def _make_samplers(num_characters):
    """A function of a seed for each thing that is sampled."""
    character = np.repeat(np.arange(num_characters), NUM_DRAWERS)
    alphabet = character // CHARACTERS_PER_ALPHABET
    drawer = np.tile(np.arange(NUM_DRAWERS), num_characters)
    index = CharacterIndex.from_labels(character, alphabet)
    within = TrialIndex.from_labels(character, alphabet, drawer, 20, 1)
    across = TrialIndex.from_labels(character, 0 * alphabet, drawer, 20, 1)
    return {
        "growth_pairs": lambda rng: sample_pairs(index, 128, rng, 0.75),
        "growth_groups": lambda rng: sample_group(index, 40, 4, rng, 0.75),
        "growth_trials": lambda rng: within.sample(20, rng),
        "growth_trials_across": lambda rng: across.sample(20, rng),
    }


def _time(sample):
    """Median seconds of a draw."""
    times = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        begin = time.perf_counter()
        sample(rng)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _measure_memory(num_drawings):
    """Kilobytes that a pipeline holds for a drawing more."""
    used = [_hold_alone(n) for n in num_drawings]
    slopes = np.diff(used) / np.diff(num_drawings) / 1e3
    return {
        "growth_memory": (used[-1] - used[0])
        / (num_drawings[-1] - num_drawings[0])
        / 1e3,
        "growth_memory, last slope by first": slopes[-1] / slopes[0],
    }


def _hold_alone(num_drawings):
    """Memory of a fresh process, which has nothing left over to use."""
    code = (
        f"from experiments.benchmark import plain as p; p.hold({num_drawings})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return int(answer.stdout)


def hold(num_drawings: int):
    """Prints this process' bytes while so many drawings give batches."""
    from koch_siamese.sampling.distortions import DISTORTIONS
    from koch_siamese.training.batches import make_pairs

    batches = make_pairs(
        _make_characters(num_drawings),
        batch_size=16,
        seed=0,
        ranges=DISTORTIONS["rotation"],
    )
    iterator = iter(batches)
    for _ in range(4):
        next(iterator)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    print(pages * os.sysconf("SC_PAGE_SIZE"), flush=True)
    os._exit(0)


def _make_characters(num_drawings):
    from koch_siamese.data.characters import Characters

    drawing = np.arange(num_drawings)
    character = drawing // NUM_DRAWERS
    alphabet = character // CHARACTERS_PER_ALPHABET
    images = np.empty((num_drawings, 105, 105), np.uint8)
    images[:] = (drawing % 256).astype(np.uint8)[:, np.newaxis, np.newaxis]
    return Characters(
        images=images,
        character=character,
        number=character,
        alphabet=alphabet,
        drawer=drawing % NUM_DRAWERS,
        alphabet_names=tuple(map(str, range(alphabet.max() + 1))),
    )
