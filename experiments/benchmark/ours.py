"""Our workloads: generators that yield the values and notes of a round."""

import dataclasses
import functools
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from experiments.benchmark import steps
from experiments.benchmark.measuring import new_process, time_calls
from experiments.benchmark.options import STEPS, Options
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError
from koch_siamese.evaluation.scoring import EmbeddedDrawings, evaluate_trials
from koch_siamese.inference import exporters
from koch_siamese.models.layers import Preprocessing
from koch_siamese.models.loading import load_model
from koch_siamese.models.packaged import PRETRAINED, PRETRAINED_LARGE
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.warp import AffineWarp
from koch_siamese.runs.directory import Run
from koch_siamese.runs.flagfiles import read_flagfile
from koch_siamese.runs.provenance import describe_origin
from koch_siamese.runs.settings import Settings
from koch_siamese.training import batches, builders, loop

DRAINED = 8  # skipped batches, made while the other side worked

# Settings by minutes. The steps take nine tenths of the time on 2 CPU cores, so
# that the last epoch is reached.
BUDGETS = {
    2: {"steps_per_epoch": 500, "epochs": 3},
    8: {"epochs": 7},
    20: {"epochs": 17},
}


def make_input(options: Options):
    """Measures the rate of distorted pairs, ready for the first convolution."""
    characters, *_ = options.load()
    settings = steps.make_settings(options, "pairs")
    stream = iter(batches.make_batches(settings, characters))
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
            distort(next(stream)[0])
        begin = time.perf_counter()
        for _ in range(options.input_batches):
            images = distort(next(stream)[0])
        steps.wait(images)
        seconds = time.perf_counter() - begin
        rate = options.input_batches * options.batch_size / seconds
        yield {"input": rate}, []


def evaluate(options: Options):
    """Times trials with the paper's network; each drawing is embedded once."""
    _, images, trials = options.load()
    settings = steps.make_settings(options, "pairs")
    scorer = SiameseScorer(builders.build_model(settings))
    num_images = len(np.unique(np.r_[trials.query, trials.support.ravel()]))
    notes = [f"{len(trials)} trials, {num_images} images"]
    while True:
        begin = time.perf_counter()
        evaluate_trials(EmbeddedDrawings(scorer, images), trials)
        seconds = time.perf_counter() - begin
        yield {"evaluation": seconds, "images/s": num_images / seconds}, notes


def serve(options: Options):
    """Times a query against stored embeddings, with the exported SavedModel."""
    siamese = builders.build_model(steps.make_settings(options))
    served = _export(siamese)
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


def answer_query(options: Options):
    """Times a drawing against 20 stored ones, and the embedding of many.

    Our side is the model `pretrained`, `otherwise` is `pretrained_large`.
    """
    ours = options.side == "ours"
    siamese = load_model(PRETRAINED if ours else PRETRAINED_LARGE)
    served, scorer = _export(siamese), SiameseScorer(siamese)
    rng = np.random.default_rng(0)
    drawings = rng.integers(0, 256, (20, 105, 105, 1), np.uint8)
    many = drawings.repeat(options.num_trials // 20, axis=0)
    stored = served.embed(images=tf.constant(drawings))["embedding"]

    def answer():
        query = served.embed(images=tf.constant(drawings[:1]))["embedding"]
        found = served.match(query_embedding=query, support_embedding=stored)
        return found["prediction"].numpy()

    while True:
        values = {"query": 1e3 * time_calls(answer, options.calls)}
        seconds = time_calls(lambda: scorer.embed(many), 3)
        values["embedding"] = len(many) / seconds
        yield values, [f"{stored.shape[1]} dimensions"]


def _export(siamese):
    """Exports a model as a SavedModel, and loads it again."""
    with tempfile.TemporaryDirectory() as folder:
        metadata = exporters.describe_model(siamese)
        exporters.save_saved_model(siamese, Path(folder), metadata)
        return tf.saved_model.load(str(Path(folder, "saved_model")))


def learn(options: Options):
    """Measures the seconds of training and validation to a target accuracy.

    Our side trains on groups, `otherwise` on pairs. Both have the same network,
    drawings per step and learning rates.
    """
    characters, drawings = options.group
    settings = Settings(
        dataset=options.dataset,
        mirror_images=True,
        quarter_turns=True,
        sampling="groups" if options.side == "ours" else "pairs",
        group_characters=characters,
        group_drawings=drawings,
        batch_size=characters * drawings // 2,
        schedule="constant",
        steps_per_epoch=50,
        epochs=10_000,
        patience=10_000,
        max_minutes=30.0,
        seed=options.seed,
    )
    if options.quick:
        tiny = {"image_size": 16, "filters": (8, 8), "max_minutes": 0.1}
        settings = dataclasses.replace(settings, steps_per_epoch=20, **tiny)
    source = DataSource(options.dataset, data_dir=options.data_dir)

    def stop_at_target(epoch, logs):
        if logs["one_shot_accuracy"] >= options.target:
            callback.model.stop_training = True

    callback = keras.callbacks.LambdaCallback(on_epoch_end=stop_at_target)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        run.claim(settings)
        state = loop.train(settings, run, source, callbacks=[callback])
    values = {
        "learning": sum(state["history"]["seconds"]),
        "reached": float(state["best_accuracy"] >= options.target),
        "best validation accuracy": state["best_accuracy"],
    }
    yield values, []


def train_in_minutes(options: Options):
    """Measures the accuracy in % after budgets of minutes fixed beforehand.

    Runs are kept in `workdir`, so that an interrupted measurement resumes.
    """
    flagfile = "tests/tiny" if options.quick else "experiments/compact"
    settings, _ = read_flagfile(f"{flagfile}.flags")
    # The folder has the commit's name, so that no other commit's runs are used.
    commit = "quick" if options.quick else _require_commit()
    values = {}
    for minutes, budget in BUDGETS.items():
        changes = {"seed": options.seed, "max_minutes": float(minutes)}
        changes |= {} if options.quick else budget
        train = functools.partial(
            loop.train_and_evaluate,
            dataclasses.replace(settings, **changes),
            f"{options.workdir}/{commit}/{minutes}min_seed{options.seed}",
            data_dir=options.data_dir,
        )
        with new_process() as call:
            call(import_tensorflow)  # without its messages
            (result,) = call(train)
        values[f"accuracy_{minutes}"] = 100 * result["accuracy"]
        seconds = result["training_seconds"]
        values[f"minutes of the budget of {minutes}"] = seconds / 60
    yield values, []


def _require_commit():
    """Returns the commit of the code, if no other code could have its name."""
    commit = describe_origin()["commit"]
    if not commit or commit.endswith("-dirty"):
        raise InputError(
            f"The code is at commit {commit}: this row keeps trainings by "
            "their commit, so commit all changes before you measure it."
        )
    return commit


WORKLOADS = {
    **{row: functools.partial(steps.measure_step, row) for row in STEPS},
    **{row: functools.partial(steps.pull_lever, row) for row in steps.LEVERS},
    "input": make_input,
    "evaluation": evaluate,
    "serving": serve,
    "query": answer_query,
    "learning": learn,
    "time_to_accuracy": train_in_minutes,
}
