"""Workloads of ours: each is set up once, and then measured when asked."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from experiments.benchmark.counting import count_multiply_adds
from experiments.benchmark.data import to_characters
from experiments.benchmark.options import Options
from experiments.benchmark.profiling import profile
from koch_siamese.evaluation.scoring import evaluate_trials
from koch_siamese.inference import exporters
from koch_siamese.models import embeddings
from koch_siamese.models.layers import Preprocessing
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import (
    build_fast_siamese,
    build_siamese,
    get_embedding,
)
from koch_siamese.models.warp import AffineWarp
from koch_siamese.runs.settings import Settings
from koch_siamese.sampling.distortions import DISTORTIONS
from koch_siamese.sampling.trials import Trials
from koch_siamese.training import builders
from koch_siamese.training.batches import make_pairs

IMAGE_SIZE = 105
FAST_IMAGE_SIZE = 32
DRAINED = 8  # batches that were made while the other side worked


def train_step(options: Options):
    """The tutorial's training: the paper's network, pairs, Adam."""
    return _train_on_pairs("train_step", options)


def train_step_bfloat16(options: Options):
    """The same with convolutions in bfloat16."""
    return _train_on_pairs("train_step_bfloat16", options, "bfloat16")


def train_step_groups(options: Options):
    """The fast network on groups, all pairs of a batch."""
    return _train_on_groups("train_step_groups", options)


def train_step_groups_bfloat16(options: Options):
    """The same with convolutions in bfloat16."""
    return _train_on_groups("train_step_groups_bfloat16", options, "bfloat16")


def _train_on_pairs(name, options, precision="float32"):
    settings = make_pair_settings(options, precision)
    images = 2 * options.batch_size
    return _make_training(name, settings, options, images, options.pair_steps)


def _train_on_groups(name, options, precision="float32"):
    settings = make_group_settings(options, precision)
    images = options.group[0] * options.group[1]
    return _make_training(name, settings, options, images, options.group_steps)


def make_pair_settings(options: Options, precision: str) -> Settings:
    """The tutorial's training of the paper's network."""
    return Settings(
        network="paper",
        image_size=IMAGE_SIZE,
        filters=options.filters,
        units=(options.units,),
        sampling="pairs",
        batch_size=options.batch_size,
        distortion="rotation",
        learning_rate=6e-5,
        schedule="constant",
        precision=precision,
    )


def make_group_settings(options: Options, precision: str) -> Settings:
    """The fast network's training on groups."""
    return Settings(
        group_characters=options.group[0],
        group_drawings=options.group[1],
        distortion="rotation",
        schedule="constant",
        precision=precision,
    )


def _make_training(name, settings, options, images, steps):
    """Steps of `fit` on one batch: forward, backward, update and the warp."""
    siamese = builders.build_model(settings)
    trainer = builders.build_trainer(settings, siamese)
    train = make_steps(trainer, settings, options, steps)
    embedding = get_embedding(siamese)
    operations = 2 * images * count_multiply_adds(embedding, training=True)
    items = images if settings.sampling == "groups" else images // 2

    def measure():
        peak = _measure_product(options.side, settings.precision)
        begin = time.perf_counter()
        train()
        seconds = (time.perf_counter() - begin) / steps
        rate = operations / seconds
        shares = profile(train)
        return {
            name: items / seconds,
            f"{name}_roofline": 100 * rate / peak,
            "GFLOP in a step": operations / 1e9,
            "GFLOP/s of a step": rate / 1e9,
            "GFLOP/s of a matrix product": peak / 1e9,
        } | {f"{name}: {kind}": share for kind, share in shares.items()}

    train()
    return (measure,)


def make_steps(
    trainer: keras.Model, settings: Settings, options: Options, steps: int
) -> Callable[[], object]:
    """A function that trains for some steps, all on the same batch."""
    characters = to_characters(options.read()).resized(settings.image_size)
    batches = builders.make_batches(settings, characters)
    batch = next(iter(batches))
    batches = (
        tf.data.Dataset.from_tensors(batch)
        .repeat()
        .with_options(batches.options())
    )
    return lambda: trainer.fit(
        batches, steps_per_epoch=steps, shuffle=False, verbose=0
    )


def _measure_product(side, precision, repeats=3):
    """Operations a second of a product of square matrices."""
    matrix = tf.random.stateless_normal((side, side), (0, 0))
    matrix = tf.cast(matrix, precision)
    _wait(tf.matmul(matrix, matrix))
    begin = time.perf_counter()
    for _ in range(repeats):
        product = tf.matmul(matrix, matrix)
    _wait(product)
    return repeats * 2 * side**3 / (time.perf_counter() - begin)


def _wait(tensor):
    """Waits for what a device has still to do."""
    return tf.reshape(tensor, (-1,))[0].numpy()


def input(options: Options):
    """Distorted pairs as the first convolution takes them."""
    batches = make_pairs(
        to_characters(options.read()),
        batch_size=options.batch_size,
        seed=0,
        ranges=DISTORTIONS["rotation"],
    )
    iterator = iter(batches.prefetch(4))
    warp, preprocessing = AffineWarp(), Preprocessing(IMAGE_SIZE)

    @tf.function
    def distort(inputs):
        images = ops.concatenate([inputs["first"], inputs["second"]])
        matrices = ops.concatenate(
            [inputs["first_matrices"], inputs["second_matrices"]]
        )
        return preprocessing(warp(images, matrices))

    def measure():
        for _ in range(DRAINED):
            distort(next(iterator)[0])
        begin = time.perf_counter()
        for _ in range(options.input_batches):
            images = distort(next(iterator)[0])
        _wait(images)
        seconds = time.perf_counter() - begin
        return {"input": options.input_batches * options.batch_size / seconds}

    return (measure,)


def evaluation(options: Options):
    """Trials by the paper's network: every drawing embedded once."""
    data = options.read()
    trials = Trials(data["query"], data["support"], data["answer"])
    scorer = SiameseScorer(
        build_siamese(
            embeddings.build_paper_embedding(
                IMAGE_SIZE, options.filters, units=(options.units,)
            )
        )
    )
    images = len(np.unique(np.r_[trials.query, trials.support.ravel()]))

    def measure():
        begin = time.perf_counter()
        evaluate_trials(scorer, data["test_images"], trials)
        seconds = time.perf_counter() - begin
        return {"evaluation": seconds, "images/s": images / seconds}

    return measure, f"{len(trials)} trials, {images} images"


def serving(options: Options):
    """One query against stored embeddings, by the exported SavedModel."""
    siamese = build_fast_siamese(FAST_IMAGE_SIZE, embeddings.FAST_FILTERS)
    with tempfile.TemporaryDirectory() as folder:
        exporters.save_saved_model(siamese, Path(folder))
        served = tf.saved_model.load(str(Path(folder, "saved_model")))
    dim = SiameseScorer(siamese).dim
    rng = np.random.default_rng(0)
    query, *galleries = (
        tf.constant(rng.random((num, dim), np.float32))
        for num in (1, *options.galleries)
    )

    def measure_one(gallery):
        times = []
        for _ in range(options.calls):
            begin = time.perf_counter()
            answer = served.match(
                query_embedding=query, support_embedding=gallery
            )
            answer["prediction"].numpy()
            times.append(time.perf_counter() - begin)
        return 1e3 * statistics.median(times)

    def measure():
        times = [measure_one(gallery) for gallery in galleries]
        values = {
            f"serving_{num}": milliseconds
            for num, milliseconds in zip(options.galleries, times, strict=True)
        }
        slopes = np.diff(times) / np.diff(options.galleries)
        values["serving_slope"] = 1e6 * slopes[-1]
        return values

    return measure, f"{dim} dimensions"
