"""A gallery of a million drawings: built, stored, opened, and searched.

    python experiments/robustness/large_gallery.py --data_dir=D --output=FILE

The drawings are distorted copies of Omniglot's, each of which counts as a
character of its own; queries are further copies. They are embedded by the first
view of a model, in 256 features. The first answers are compared with those of
all drawings, compared one by one.
"""

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from koch_siamese import Recognizer, cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import write_result
from koch_siamese.runs.settings import Settings
from koch_siamese.sampling.distortions import (
    DISTORTIONS,
    sample_affine_matrices,
)

OUTPUT = define_path("output", None, "A file for the result.")
MODEL = define_path("model", "pretrained", "A siamese model.")
NUM_DRAWINGS = flags.DEFINE_integer("num_drawings", 1_000_000, "Known ones.")
NUM_QUERIES = flags.DEFINE_integer("num_queries", 1000, "Queries.")
SEED = flags.DEFINE_integer("seed", 0, "Decides distortions and queries.")
DRAWINGS_AT_ONCE = 100_000


def distort(images, rng):
    """Distorted copies of images, uint8 `[num, 105, 105, 1]`."""
    from koch_siamese.models.warp import warp

    copies = np.empty_like(images)
    for start in range(0, len(images), 1024):
        part = images[start : start + 1024]
        matrices = sample_affine_matrices(
            DISTORTIONS["elastic"], len(part), rng
        )
        copies[start : start + 1024] = np.asarray(warp(part, matrices)).round()
    return copies


def build_gallery(recognizer, images, num, rng):
    """Adds copies of each image in turn, named by its number."""
    for start in range(0, num, DRAWINGS_AT_ONCE):
        which = np.arange(start, min(start + DRAWINGS_AT_ONCE, num))
        which %= len(images)
        copies = distort(images[which], rng)
        recognizer.add_drawings(list(map(str, which)), copies)
        print(f"{recognizer.num_images:,} drawings", flush=True)


def measure_seconds(function, *arguments):
    """Calls a function; returns its seconds, and what it returns."""
    start = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - start, value


def measure_queries(recognizer, queries):
    """Classifies one query after the other: seconds, and names."""
    recognizer.classify_drawings(queries[:1])
    timed = [
        measure_seconds(recognizer.classify_drawings, query[np.newaxis])
        for query in queries
    ]
    return np.array([x for x, _ in timed]), [x.best.name for _, (x,) in timed]


def describe(seconds):
    """Median and 5 to 95 % of times, in ms."""
    low, middle, high = np.quantile(1000 * seconds, (0.05, 0.5, 0.95))
    return {"median": middle, "range": [low, high]}


def main():
    """Builds, stores, opens and searches; prints and writes a report."""
    import_tensorflow()
    from koch_siamese.inference import recognizer as module
    from koch_siamese.training import builders

    images = np.concatenate(
        [
            load_characters("omniglot", x, data_dir=cli.DATA_DIR.value).images
            for x in ("lake", "evaluation")
        ]
    )
    rng = np.random.default_rng(SEED.value)
    model = builders.build_model(
        Settings(init=MODEL.value, filters=(), views=1)
    )
    recognizer = Recognizer(model, crop=False)
    build_gallery(recognizer, images, NUM_DRAWINGS.value, rng)
    which = rng.integers(len(images), size=NUM_QUERIES.value)
    queries = distort(images[which], rng)

    report = {
        "drawings": recognizer.num_images,
        "characters": len(recognizer.names),
        "features": recognizer.embed(images[0]).shape[-1],
        "queries": len(queries),
        "seed": SEED.value,
    }
    report["index_seconds"], _ = measure_seconds(
        recognizer.classify_drawings, queries[:1]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery"
        report["save_seconds"], _ = measure_seconds(recognizer.save, path)
        size = sum(file.stat().st_size for file in path.iterdir())
        report["bytes_per_drawing"] = size / recognizer.num_images
        del recognizer
        report["open_seconds"], opened = measure_seconds(Recognizer.load, path)
        report["first_answer_seconds"], _ = measure_seconds(
            opened.classify_drawings, queries[:1]
        )
        seconds, found = measure_queries(opened, queries)
        report["ms_per_query"] = describe(seconds)
        timed = [
            measure_seconds(opened.embed, query[..., 0])[0] for query in queries
        ]
        report["of_it_ms_to_embed"] = describe(np.array(timed))
        module.MIN_DRAWINGS = NUM_DRAWINGS.value  # one by one
        seconds, exact = measure_queries(opened, queries)
        report["ms_per_query_one_by_one"] = describe(seconds)
    num_equal = sum(a == b for a, b in zip(found, exact, strict=True))
    report["equal_first_answers"] = num_equal / len(queries)
    report["ci95"] = wilson_interval(num_equal, len(queries))
    shown = [int(name) for name in exact]
    report["accuracy_one_by_one"] = float(np.mean(shown == which))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    report["peak_resident_megabytes"] = peak
    print(json.dumps(report, indent=2))
    if OUTPUT.value:
        write_result(Path(OUTPUT.value), report)


if __name__ == "__main__":
    cli.run(main)
