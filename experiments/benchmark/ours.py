"""Workloads of ours: generators of rounds, each its values and notes."""

import functools
import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from keras import ops

from experiments.benchmark import steps, trainings
from experiments.benchmark.measuring import new_process, time_calls
from experiments.benchmark.options import STEPS, Options
from koch_siamese.data.characters import Characters
from koch_siamese.evaluation.scoring import SiameseScorer, evaluate_trials
from koch_siamese.inference import exporters
from koch_siamese.models.distortions import AffineWarp
from koch_siamese.models.layers import Preprocessing
from koch_siamese.sampling import pairs
from koch_siamese.sampling.trials import TrialIndex
from koch_siamese.training import builders

DRAINED = 8  # batches that were made while the other side worked
NUM_DRAWERS = 20
CHARACTERS_PER_ALPHABET = 30
DRAWS = 100  # of a sampler in a round


def make_input(options: Options):
    """Distorted pairs as the first convolution takes them."""
    characters, *_ = options.load()
    settings = steps.make_settings(options, "pairs")
    batches = iter(builders.make_batches(settings, characters))
    warp, preprocessing = AffineWarp(), Preprocessing(settings.image_size)

    @tf.function
    def distort(inputs):
        images = ops.concatenate([inputs["first"], inputs["second"]])
        matrices = ops.concatenate(
            [inputs["first_matrices"], inputs["second_matrices"]]
        )
        return preprocessing(warp(images, matrices))

    while True:
        for _ in range(DRAINED):
            distort(next(batches)[0])
        begin = time.perf_counter()
        for _ in range(options.input_batches):
            images = distort(next(batches)[0])
        steps.wait(images)
        seconds = time.perf_counter() - begin
        rate = options.input_batches * options.batch_size / seconds
        yield {"input": rate}, []


def evaluate(options: Options):
    """Trials by the paper's network, which embeds every drawing once."""
    _, images, trials = options.load()
    settings = steps.make_settings(options, "pairs")
    scorer = SiameseScorer(builders.build_model(settings))
    num_images = len(np.unique(np.r_[trials.query, trials.support.ravel()]))
    notes = [f"{len(trials)} trials, {num_images} images"]
    while True:
        begin = time.perf_counter()
        evaluate_trials(scorer, images, trials)
        seconds = time.perf_counter() - begin
        yield {"evaluation": seconds, "images/s": num_images / seconds}, notes


def serve(options: Options):
    """One query against stored embeddings, by the exported SavedModel."""
    siamese = builders.build_model(steps.make_settings(options))
    with tempfile.TemporaryDirectory() as folder:
        exporters.save_saved_model(siamese, Path(folder))
        served = tf.saved_model.load(str(Path(folder, "saved_model")))
    dim = SiameseScorer(siamese).dim
    rng = np.random.default_rng(0)
    query, *galleries = (
        tf.constant(rng.random((num, dim), np.float32))
        for num in (1, *options.galleries)
    )

    def match(gallery):
        answer = served.match(query_embedding=query, support_embedding=gallery)
        return answer["prediction"].numpy()

    while True:
        times = [
            1e3 * time_calls(functools.partial(match, gallery), options.calls)
            for gallery in galleries
        ]
        names = [f"serving_{num}" for num in options.galleries]
        values = dict(zip(names, times, strict=True))
        slopes = np.diff(times) / np.diff(options.galleries)
        values["serving_slope"] = 1e6 * slopes[-1]
        yield values, [f"{dim} dimensions"]


def start(options: Options):
    """Seconds of fresh processes."""
    starts = {
        "start_help": ("-m", "koch_siamese.train", "--help"),
        "start_bad_flag": ("-m", "koch_siamese.train", "--nonsense=1"),
        "start_import": ("-c", "import koch_siamese"),
    }

    def run(arguments):
        subprocess.run([sys.executable, *arguments], capture_output=True)

    while True:
        values = {
            name: time_calls(functools.partial(run, arguments), 1)
            for name, arguments in starts.items()
        }
        yield values, []


def grow(options: Options):
    """How sampling a batch, and memory, grow with the number of characters."""
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
    """A function for each thing that is sampled."""
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
    """Kilobytes that a pipeline holds for a drawing more."""
    used = []
    for num in num_drawings:
        with new_process() as call:  # an old one has memory left over
            used.append(call(hold, num) / 1e3)
    slopes = np.diff(used) / np.diff(num_drawings)
    whole = (used[-1] - used[0]) / (num_drawings[-1] - num_drawings[0])
    return {
        "growth_memory": whole,
        "growth_memory, last slope by first": slopes[-1] / slopes[0],
    }


def hold(num_drawings: int) -> int:
    """Bytes of this process while so many drawings give batches."""
    character, alphabet, drawer = _make_labels(num_drawings // NUM_DRAWERS)
    characters = Characters(
        images=np.full((num_drawings, 105, 105), 255, np.uint8),
        character=character,
        number=character,
        alphabet=alphabet,
        drawer=drawer,
        alphabet_names=tuple(map(str, range(alphabet.max() + 1))),
    )
    settings = steps.make_settings(Options(batch_size=16), "pairs")
    batches = iter(builders.make_batches(settings, characters))
    for _ in range(4):
        next(batches)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


WORKLOADS = {
    **{row: functools.partial(steps.measure_step, row) for row in STEPS},
    **{row: functools.partial(steps.pull_lever, row) for row in steps.LEVERS},
    "input": make_input,
    "evaluation": evaluate,
    "serving": serve,
    "start": start,
    "growth": grow,
    "learning": trainings.learn,
    "time_to_accuracy": trainings.train_in_minutes,
}
