r"""Measures how well the symbols of a page are found and recognized.

    pip install -e '.[pages]'
    python -m experiments.pages --output=FILE --data_dir=D [--figure=PNG]

Drawings are of Omniglot's validation alphabets, on which no model of ours was
trained. Those of a page are by one person, the examples by another (see
`page_images.py`). A symbol is found if a box overlaps it with an intersection
over union of at least 0.7. Single drawings on printed lines, in a shadow or on
a desk are classified as in `practical.py`, and so is a clean version of each
(`backgrounds.py`). Images without a symbol should not get a name.
"""

import json
import time
from pathlib import Path

import numpy as np
from absl import flags
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.backgrounds import BLANKS, KINDS, plain
from experiments.page_images import make_page
from experiments.page_scoring import (
    MIN_OVERLAP,
    compute_overlaps,
    count_errors,
)
from experiments.practical import WAYS, answer_all, sample_drawings
from koch_siamese import InputError, Recognizer, cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.models.loading import load_model
from koch_siamese.pages.reading import find_symbols
from koch_siamese.reporting.figures import save_figure
from koch_siamese.runs.results import write_result

# Other flags are those of `practical`: output, figure, model, num_sets, seed.
NUM_PAGES = flags.DEFINE_integer("num_pages", 40, "Pages of a kind.")
NUM_BLANKS = flags.DEFINE_integer("num_blanks", 200, "Without a symbol.")
PAGE_KINDS = ("clean", "photographed")
FLAGS = flags.FLAGS


def sample_page(characters, kind, number):
    """Samples a page, examples by another drawer, and the page's drawings."""
    rng = np.random.default_rng([FLAGS.seed, number])
    alphabets = np.unique(characters.alphabet)
    is_own = characters.alphabet == alphabets[number % len(alphabets)]
    first, second = rng.choice(np.unique(characters.drawer), 2, replace=False)
    examples, drawings = (
        _find_drawings(characters, is_own & (characters.drawer == x))
        for x in (first, second)
    )
    return make_page(drawings, kind, rng), examples, drawings


def _find_drawings(characters, is_chosen):
    """Finds the drawings of one person, in the order of their characters."""
    order = np.argsort(characters.character[is_chosen])
    return characters.images[is_chosen][order][..., 0]


def read_page(model, characters, kind, number):
    """Reads one page; returns counts as a dict, and the page with its boxes."""
    page, examples, drawings = sample_page(characters, kind, number)
    started = time.perf_counter()
    lines = find_symbols(page.image)
    seconds = time.perf_counter() - started
    boxes = np.array([x.box for line in lines for x in line]).reshape(-1, 4)
    is_right = compute_overlaps(boxes, page.boxes) >= MIN_OVERLAP
    recognizer = Recognizer(model)
    recognizer.add({f"{i:03}": x for i, x in enumerate(examples)})
    # Every symbol of the page has an example.
    names = recognizer.transcribe(page.image, threshold=-1e9)
    read = [x.name for x in names.symbols]
    truth = [f"{i:03}" for i in page.drawing]
    best = dict(enumerate(_name(recognizer, list(drawings))))
    alone = sum(best[i] != f"{i:03}" for i in page.drawing)
    counts = {
        "num_symbols": len(truth),
        "num_found": int(is_right.any(0).sum()),
        "num_false": int((~is_right.any(1)).sum()),
        "num_errors": _count_by_lines(lines, read, page.line, truth),
        "num_errors_alone": int(alone),
        "seconds": seconds,
    }
    return counts, (page, boxes, is_right.any(0))


def _count_by_lines(lines, read, numbers, truth):
    """Counts errors in each line, or in the text if lines differ in number."""
    if len(lines) != numbers.max() + 1:
        return count_errors(read, truth)
    errors, start = 0, 0
    for number, line in enumerate(lines):
        wanted = [x for x, n in zip(truth, numbers, strict=True) if n == number]
        errors += count_errors(read[start : start + len(line)], wanted)
        start += len(line)
    return errors


def _name(recognizer, images):
    """Names each image's best character, or None if no symbol is found."""
    answers = answer_all(recognizer, images)
    return [answer and answer.best.name for answer in answers]


def measure_pages(model, characters, kind):
    """Measures all pages of a kind; returns a report and the first page."""
    counts, shown = [], None
    for number in tqdm(range(NUM_PAGES.value), kind, leave=False, disable=None):
        count, page = read_page(model, characters, kind, number)
        counts.append(count)
        shown = shown or page
    total = {key: sum(x[key] for x in counts) for key in counts[0]}
    num = total["num_symbols"]
    return {
        "num_pages": len(counts),
        "num_symbols": num,
        "found": total["num_found"] / num,
        "found_ci95": wilson_interval(total["num_found"], num),
        "false_boxes": total["num_false"] / num,
        "error_rate": total["num_errors"] / num,
        "error_rate_alone": total["num_errors_alone"] / num,
        "seconds_a_page": total["seconds"] / len(counts),
    }, shown


def measure_singles(model, characters, place, treat):
    """Measures the accuracy on a background and on plain paper."""
    right = {"kind": 0, "plain": 0}
    num, refused = 0, 0
    for number in tqdm(range(FLAGS.num_sets), leave=False, disable=None):
        rng = np.random.default_rng([FLAGS.seed, number, place])
        examples, queries, _ = sample_drawings(characters, number, rng)
        recognizer = Recognizer(model)
        recognizer.add({f"c{i}": x for i, x in enumerate(examples)})
        seeds = rng.integers(2**32, size=WAYS)
        num += len(queries)
        for name, change in (("kind", treat), ("plain", plain)):
            images = [
                change(x, np.random.default_rng(seed))
                for x, seed in zip(queries, seeds, strict=True)
            ]
            names = _name(recognizer, images)
            right[name] += sum(x == f"c{i}" for i, x in enumerate(names))
            refused += name == "kind" and names.count(None)
    return {
        "num_queries": num,
        "best_is_right": right["kind"] / num,
        "best_is_right_ci95": wilson_interval(right["kind"], num),
        "plain": right["plain"] / num,
        "refused": refused / num,
    }


def measure_blanks(model, characters):
    """Counts how many images without a symbol are refused, or named."""
    rng = np.random.default_rng([FLAGS.seed, 1])
    examples, _, _ = sample_drawings(characters, 0, rng)
    recognizer = Recognizer(model)
    recognizer.add({f"c{i}": x for i, x in enumerate(examples)})
    counts = dict.fromkeys(("num", "refused", "named"), 0)
    named = []
    for number in range(NUM_BLANKS.value):
        kind = list(BLANKS)[number % len(BLANKS)]
        image = BLANKS[kind](rng)
        counts["num"] += 1
        try:
            answer = recognizer.classify(image)
        except InputError:
            counts["refused"] += 1
            continue
        if answer.name:
            counts["named"] += 1
            named.append(kind)
    return counts | {"named_kinds": named}


def draw(pages):
    """Draws a page of each kind with its boxes."""
    figure = Figure(figsize=(11, 4 * len(pages)), layout="constrained")
    axes = figure.subplots(len(pages), squeeze=False)[:, 0]
    for axis, (kind, (page, boxes, is_found)) in zip(
        axes, pages.items(), strict=True
    ):
        axis.imshow(page.image)
        for groups, color in (
            (boxes, "#0072B2"),
            (page.boxes[~is_found], "#D55E00"),
        ):
            for left, top, right, bottom in groups:
                axis.plot(
                    [left, right, right, left, left],
                    [top, top, bottom, bottom, top],
                    color=color,
                    linewidth=0.8,
                )
        axis.set_title(f"{kind}: boxes found, blue; missed, vermilion")
        axis.set(xticks=[], yticks=[])
    return figure


def main():
    """Measures all kinds; prints and writes the report."""
    import_tensorflow()
    model = load_model(FLAGS.model)
    characters = load_characters(
        "omniglot", "validation", data_dir=cli.DATA_DIR.value
    )
    pages, shown = {}, {}
    for kind in PAGE_KINDS:
        pages[kind], shown[kind] = measure_pages(model, characters, kind)
        print(kind, json.dumps(pages[kind]), flush=True)
    singles = {}
    for place, (kind, treat) in enumerate(KINDS.items()):
        singles[kind] = measure_singles(model, characters, place, treat)
        print(kind, json.dumps(singles[kind]), flush=True)
    blanks = measure_blanks(model, characters)
    report = {"pages": pages, "singles": singles, "blanks": blanks}
    print(json.dumps(report, indent=2))
    if FLAGS.output:
        origin = {"model": FLAGS.model, "seed": FLAGS.seed, "ways": WAYS}
        write_result(Path(FLAGS.output), report | origin)
    if FLAGS.figure:
        save_figure(draw(shown), Path(FLAGS.figure))


if __name__ == "__main__":
    cli.run(main)
