"""Our workloads without TensorFlow: start-up, and growth with the data."""

import functools
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from experiments.benchmark.measuring import new_process, time_calls
from experiments.benchmark.options import Options
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.characters import Characters
from koch_siamese.sampling import pairs
from koch_siamese.sampling.trials import TrialIndex

NUM_DRAWERS = 20
CHARACTERS_PER_ALPHABET = 30
DRAWS = 100  # calls of a sampler in a round


def start(options: Options):
    """Times fresh processes."""
    commands = {
        "start_help": ["-m", "koch_siamese.train", "--help"],
        "start_bad_flag": ["-m", "koch_siamese.train", "--nonsense=1"],
        "start_import": ["-c", "import koch_siamese"],
    }
    run = functools.partial(subprocess.run, capture_output=True)
    while True:
        values = {}
        for name, arguments in commands.items():
            command = functools.partial(run, [sys.executable, *arguments])
            values[name] = time_calls(command, 1)
        yield values, []


def grow(options: Options):
    """Measures how sampling time and memory grow with the number of characters.

    Times are those of a batch.
    """
    samplers = {num: _make_samplers(num) for num in options.num_characters}
    first, *_, last = samplers
    while True:
        values = _measure_memory(options.num_drawings)
        for name in samplers[first]:
            times = {x: time_calls(samplers[x][name], DRAWS) for x in samplers}
            values[name] = times[last] / times[first]
            for num, seconds in times.items():
                values[f"{name}, {num} characters, ms"] = 1e3 * seconds
        yield values, []


def _make_samplers(num_characters):
    """Makes a function for each kind of sample."""
    character, alphabet, drawer = _make_labels(num_characters)
    index = pairs.CharacterIndex.from_labels(character, alphabet)
    within = TrialIndex.from_labels(character, alphabet, drawer, 20, 1)
    across = TrialIndex.from_labels(character, 0 * alphabet, drawer, 20, 1)
    rng = np.random.default_rng(0)
    return {
        "growth_pairs": lambda: pairs.sample_pairs(index, 128, rng, 0.75),
        "growth_groups": lambda: pairs.sample_group(index, 40, 4, rng, 0.75),
        "growth_trials": lambda: within.sample(20, rng),
        "growth_trials_across": lambda: across.sample(20, rng),
    }


def _make_labels(num_characters):
    character = np.repeat(np.arange(num_characters), NUM_DRAWERS)
    drawer = np.tile(np.arange(NUM_DRAWERS), num_characters)
    return character, character // CHARACTERS_PER_ALPHABET, drawer


def _measure_memory(num_drawings):
    """Measures the kilobytes that a pipeline holds for each further drawing."""
    used = []
    for num in num_drawings:
        with new_process() as call:  # a used one keeps freed memory
            used.append(call(hold, num) / 1e3)
    slopes = np.diff(used) / np.diff(num_drawings)
    whole = (used[-1] - used[0]) / (num_drawings[-1] - num_drawings[0])
    return {
        "growth_memory": whole,
        "growth_memory, last slope by first": slopes[-1] / slopes[0],
    }


def hold(num_drawings: int) -> int:
    """Returns the bytes of this process while it makes batches of drawings."""
    import_tensorflow()
    from experiments.benchmark.steps import make_settings
    from koch_siamese.training.batches import make_batches

    character, alphabet, drawer = _make_labels(num_drawings // NUM_DRAWERS)
    characters = Characters(
        images=np.full((num_drawings, 105, 105, 1), 255, np.uint8),
        character=character,
        number=character,
        alphabet=alphabet,
        drawer=drawer,
        alphabet_names=tuple(map(str, range(alphabet.max() + 1))),
    )
    settings = make_settings(Options(batch_size=16), "pairs")
    batches = iter(make_batches(settings, characters))
    for _ in range(4):
        next(batches)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


WORKLOADS = {"start": start, "growth": grow}
