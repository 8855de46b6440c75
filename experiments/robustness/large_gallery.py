"""Builds, stores, opens and searches a gallery of a million drawings.

    python experiments/robustness/large_gallery.py --data_dir=D --output=FILE

The drawings are distorted copies of Omniglot's. All copies of a drawing count
as one character; queries are further copies. They are embedded with a single
view of the model, in 256 features. The best answers are compared with those of
scoring all drawings one by one.
"""

import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from koch_siamese import Recognizer, cli, extras
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.evaluation.scoring import iterate_chunks
from koch_siamese.models.scorer import SiameseScorer
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
NUM_COMPARED = flags.DEFINE_integer(
    "num_compared", 300, "Queries that are compared with all drawings, too."
)
SEED = flags.DEFINE_integer("seed", 0, "Decides distortions and queries.")
DRAWINGS_AT_ONCE = 8192


def distort(images, rng):
    """Makes distorted copies of images, uint8 `[num, side, side, 1]`."""
    from koch_siamese.models.warp import warp

    copies = np.empty_like(images)
    for start in range(0, len(images), 1024):
        part = images[start : start + 1024]
        matrices = sample_affine_matrices(
            DISTORTIONS["elastic"], len(part), rng
        )
        copies[start : start + 1024] = np.asarray(warp(part, matrices)).round()
    return copies


def embed_copies(model, images, num, rng):
    """Embeds copies of each image in turn; images have the model's size."""
    scorer = SiameseScorer(model)
    parts = []
    for chunk in iterate_chunks(num, DRAWINGS_AT_ONCE, "Embedding"):
        which = np.arange(num)[chunk] % len(images)
        parts.append(scorer.embed(distort(images[which], rng)))
    return np.concatenate(parts)


def measure_seconds(function, *arguments):
    """Calls a function; returns the seconds and its result."""
    start = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - start, value


def measure_queries(recognizer, queries):
    """Classifies the queries one by one; returns their seconds and names."""
    recognizer.classify_drawings(queries[:1])
    timed = [
        measure_seconds(recognizer.classify_drawings, query[np.newaxis])
        for query in queries
    ]
    return np.array([x for x, _ in timed]), [x.best.name for _, (x,) in timed]


def describe(seconds):
    """Computes the median and the 5 to 95 % range of times, in ms."""
    low, middle, high = np.quantile(1000 * seconds, (0.05, 0.5, 0.95))
    return {"median": middle, "range": [low, high]}


def main():
    """Builds, stores, opens and searches; prints and writes a report."""
    import_tensorflow()
    from koch_siamese.inference import recognizer as module
    from koch_siamese.inference import storage
    from koch_siamese.inference.gallery import Gallery
    from koch_siamese.inference.index import GalleryIndex
    from koch_siamese.models.siamese import (
        compute_fingerprint,
        get_head,
        get_image_size,
    )
    from koch_siamese.training import builders

    extras.require("faiss", "A gallery of this size")
    parts = [
        load_characters("omniglot", split, data_dir=cli.DATA_DIR.value)
        for split in ("training", "evaluation")
    ]
    images = np.concatenate([part.images for part in parts])
    rng = np.random.default_rng(SEED.value)
    which = rng.integers(len(images), size=NUM_QUERIES.value)
    queries = distort(images[which], rng)
    model = builders.build_model(
        Settings(init=MODEL.value, filters=(), views=1)
    )
    small = np.concatenate(
        [part.resized(get_image_size(model)).images for part in parts]
    )
    num = NUM_DRAWINGS.value
    embeddings = embed_copies(model, small, num, rng)
    names = tuple(str(i % len(images)) for i in range(num))
    gallery = Gallery(names, embeddings)
    index = GalleryIndex(get_head(model).distance_weights)
    report = {
        "drawings": num,
        "characters": len(gallery.characters),
        "features": embeddings.shape[1],
        "queries": len(queries),
        "seed": SEED.value,
    }
    report["index_seconds"], _ = measure_seconds(index.update, embeddings)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery"
        stored = storage.Stored(gallery, compute_fingerprint(model), crop=False)
        report["save_seconds"], _ = measure_seconds(
            storage.write, path, stored, model, index
        )
        size = sum(file.stat().st_size for file in path.iterdir())
        report["bytes_per_drawing"] = size / num
        del gallery, index, embeddings, stored
        report["open_seconds"], opened = measure_seconds(Recognizer.load, path)
        report["first_answer_seconds"], _ = measure_seconds(
            opened.classify_drawings, queries[:1]
        )
        seconds, found = measure_queries(opened, queries)
        report["ms_per_query"] = describe(seconds)
        timed = [
            measure_seconds(opened.embed_drawings, query[np.newaxis])[0]
            for query in queries
        ]
        report["of_it_ms_to_embed"] = describe(np.array(timed))
        module.MIN_DRAWINGS = num  # compares one by one
        compared = queries[: NUM_COMPARED.value]
        seconds, exact = measure_queries(opened, compared)
        report["ms_per_query_one_by_one"] = describe(seconds)
    equal = [a == b for a, b in zip(found, exact, strict=False)]
    report["compared"] = len(equal)
    report["equal_first_answers"] = float(np.mean(equal))
    report["ci95"] = wilson_interval(sum(equal), len(equal))
    for name, answers in (("", found), ("_one_by_one", exact)):
        right = np.array(answers).astype(int) == which[: len(answers)]
        report[f"accuracy{name}"] = float(right.mean())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    report["peak_resident_megabytes"] = peak
    print(json.dumps(report, indent=2))
    if OUTPUT.value:
        write_result(Path(OUTPUT.value), report)


if __name__ == "__main__":
    cli.run(main)
