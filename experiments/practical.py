r"""Measures how well a model recognizes the images that people have.

    pip install -e '.[pages]'
    python -m experiments.practical --output=FILE --data_dir=D [--figure=PNG]

Each query is classified among ten candidates, with one example of each. A
hundred sets of ten are from Omniglot's validation alphabets, on which no model
of ours was trained; examples and queries are by different people. They are
shown unchanged, as photographs, in hairlines, and in the strokes of a marker.
Dense characters are from three scripts, a hundred sets each, the examples in
one font, the queries in another. There are as many strangers: images whose
character is not among the candidates. An image in which no clean symbol is
found is refused and counts as not answered.
"""

import importlib.util
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
from absl import flags
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from experiments.photographs import photograph
from koch_siamese import Recognizer, cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.errors import InputError
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.models.loading import load_model
from koch_siamese.reporting.figures import save_figure
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import write_result

OUTPUT = define_path("output", None, "A file for the result.")
FIGURE = define_path("figure", None, "Draw one set of each kind into this PNG.")
MODEL = define_path("model", "pretrained", "A siamese model.")
NUM_SETS = flags.DEFINE_integer("num_sets", 100, "Sets of a kind.")
SEED = flags.DEFINE_integer("seed", 0, "Decides sets and images.")
WAYS = 10
ENLARGED = 4  # times, before strokes are made thinner or thicker

# Two fonts of each script, and its characters; from Debian's packages
# fonts-wqy-microhei, fonts-arphic-ukai, fonts-nanum, fonts-unfonts-core and
# fonts-noto-core.
FONT_SIZE = 96
FOLDER = Path("/usr/share/fonts/truetype")
SCRIPTS = {
    "Han": ("wqy/wqy-microhei.ttc", "arphic/ukai.ttc", range(0x4E00, 0x9FA5)),
    "Hangul": (
        "nanum/NanumGothic.ttf",
        "unfonts-core/UnBatang.ttf",
        range(0xAC00, 0xD7A3),
    ),
    "Ethiopic": (
        "noto/NotoSansEthiopic-Regular.ttf",
        "noto/NotoSerifEthiopic-Regular.ttf",
        range(0x1200, 0x1247),
    ),
}


def keep(drawing, rng):
    """Returns the drawing unchanged."""
    return drawing


def draw_hairlines(drawing, rng):
    """Draws strokes of one or two pixels in an image of 420."""
    from scipy.ndimage import binary_dilation
    from skimage.morphology import skeletonize

    lines = skeletonize(_enlarge(drawing))
    if rng.random() < 0.5:
        lines = binary_dilation(lines, np.ones((2, 2)))
    return np.where(lines, 0, 255).astype(np.uint8)


def draw_by_marker(drawing, rng):
    """Draws strokes with a width of 7 to 11 % of the character's extent."""
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize

    lines = np.pad(skeletonize(_enlarge(drawing)), 40)
    extent = max(np.ptp(places) for places in np.nonzero(lines))
    radius = rng.uniform(0.035, 0.055) * extent
    is_ink = distance_transform_edt(~lines) <= radius
    return np.where(is_ink, 0, 255).astype(np.uint8)


def _enlarge(drawing):
    """Enlarges a drawing; returns where it has ink, bool `[420, 420]`."""
    image = Image.fromarray(drawing)
    size = [ENLARGED * side for side in image.size]
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC)) < 128


KINDS = {
    "clean": keep,
    "photograph": photograph,
    "hairline": draw_hairlines,
    "marker": draw_by_marker,
}


def sample_drawings(characters, number, rng):
    """Samples ten examples, ten queries and ten strangers of one alphabet."""
    alphabets = np.unique(characters.alphabet)
    alphabet = alphabets[number % len(alphabets)]
    members = np.unique(characters.character[characters.alphabet == alphabet])
    chosen = rng.permutation(members)[: 2 * WAYS]
    first, second = rng.choice(np.unique(characters.drawer), 2, replace=False)

    def find(character, drawer):
        is_it = characters.character == character
        is_it &= characters.drawer == drawer
        return characters.images[is_it][0, ..., 0]

    known, strangers = chosen[:WAYS], chosen[WAYS:]
    return (
        [find(x, first) for x in known],
        [find(x, second) for x in known],
        [find(x, second) for x in strangers],
    )


def open_fonts(script):
    """Opens both fonts of a script; also returns the characters of both.

    Raises:
        InputError: a font is not installed.
    """
    *files, codes = SCRIPTS[script]
    try:
        fonts = [ImageFont.truetype(FOLDER / x, FONT_SIZE) for x in files]
    except OSError as error:
        raise InputError(
            f"{script} needs the fonts {', '.join(files)} in {FOLDER}: install "
            "the Debian packages that experiments/practical.py names."
        ) from error
    maps = [FT2Font(str(FOLDER / x)).get_charmap() for x in files]
    texts = [chr(code) for code in codes if all(code in x for x in maps)]
    return fonts, texts


def _render(text, font):
    """Renders a character in the middle of a white image."""
    image = Image.new("L", (2 * FONT_SIZE, 2 * FONT_SIZE), 255)
    middle = (FONT_SIZE, FONT_SIZE)
    ImageDraw.Draw(image).text(middle, text, 0, font, anchor="mm")
    return np.asarray(image)


def sample_glyphs(opened, rng):
    """Samples like `sample_drawings`, but from a script in two fonts."""
    (first, second), texts = opened
    chosen = rng.choice(texts, 2 * WAYS, replace=False)
    known, strangers = chosen[:WAYS], chosen[WAYS:]
    return (
        [_render(x, first) for x in known],
        [_render(x, second) for x in known],
        [_render(x, second) for x in strangers],
    )


def answer_all(recognizer, images):
    """Answers each image; the answer is None if no clean symbol is found."""
    read, places = [], []
    for place, image in enumerate(images):
        try:
            read.append(recognizer.read(image))
        except InputError:
            continue
        places.append(place)
    answers = [None] * len(images)
    if read:
        found = recognizer.classify_drawings(np.stack(read), top_k=1)
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
    return answers


def _take_example(recognizer, drawing, treat, rng):
    """Makes an image of a drawing; returns it, and the drawing read from it.

    If an image is refused, another one is made, up to twice, as a person would.
    """
    for is_last in (False, False, True):
        image = treat(drawing, rng)
        try:
            return image, recognizer.read(image)
        except InputError:
            if is_last:
                raise


def ask(model, sample, treat):
    """Classifies all sets of a kind.

    Returns:
        The numbers of queries, of strangers, and of their answers of each kind,
        by name; and the images of the first set.
    """
    counts, shown = Counter(), None
    for number in tqdm(range(NUM_SETS.value), leave=False, disable=None):
        rng = np.random.default_rng([SEED.value, number])
        examples, queries, strangers = sample(number, rng)
        recognizer = Recognizer(model)
        examples, read = zip(
            *(_take_example(recognizer, x, treat, rng) for x in examples),
            strict=True,
        )
        names = [f"c{i}" for i in range(WAYS)]
        recognizer.add_drawings(names, np.stack(read))
        queries, strangers = (
            [treat(image, rng) for image in part]
            for part in (queries, strangers)
        )
        shown = shown or (examples, queries)
        answers = answer_all(recognizer, queries)
        pairs = list(zip(names, answers, strict=True))
        others = answer_all(recognizer, strangers)
        counts.update(
            num_queries=len(queries),
            num_strangers=len(strangers),
            num_refused=answers.count(None) + others.count(None),
            best_is_right=sum(
                bool(x and x.best.name == name) for name, x in pairs
            ),
            named_correctly=sum(
                bool(x and x.name == name) for name, x in pairs
            ),
            strangers_named=sum(bool(x and x.name) for x in others),
        )
    return counts, shown


def summarize(counts):
    """Computes the shares over all sets, with their intervals."""
    sizes = ("num_queries", "num_strangers", "num_refused")
    result = {key: counts[key] for key in sizes}
    for name in ("best_is_right", "named_correctly", "strangers_named"):
        kind = "num_strangers" if name == "strangers_named" else "num_queries"
        result[name] = counts[name] / counts[kind]
        result[f"{name}_ci95"] = wilson_interval(counts[name], counts[kind])
    return result


def draw(shown):
    """Draws a row of each kind: five examples, and five queries beside them."""
    figure = Figure(figsize=(11.5, 1.15 * len(shown)), layout="constrained")
    halves = figure.subfigures(1, 2, wspace=0.03)
    for half, title, part in zip(
        halves,
        ("examples, one of each class", "queries: the same five classes"),
        zip(*shown.values(), strict=True),
        strict=True,
    ):
        half.suptitle(title)
        axes = half.subplots(len(shown), 5, squeeze=False)
        for row, kind, images in zip(axes, shown, part, strict=True):
            row[0].set_ylabel(kind, fontsize=9)
            for axis, image in zip(row, images[:5], strict=True):
                if isinstance(image, bytes):
                    image = Image.open(io.BytesIO(image))
                axis.imshow(image, cmap="gray", vmin=0, vmax=255)
                axis.set(xticks=[], yticks=[])
    return figure


def main():
    """Measures all kinds, and prints and writes the report."""
    if not importlib.util.find_spec("skimage"):
        raise InputError("scikit-image is missing: pip install -e '.[pages]'.")
    import_tensorflow()
    model = load_model(MODEL.value)
    characters = load_characters(
        "omniglot", "validation", data_dir=cli.DATA_DIR.value
    )
    kinds = {
        kind: (lambda *x: sample_drawings(characters, *x), treat)
        for kind, treat in KINDS.items()
    }
    for script in SCRIPTS:
        opened = open_fonts(script)
        kinds[f"dense: {script}"] = (
            lambda _, rng, opened=opened: sample_glyphs(opened, rng),
            keep,
        )
    asked = {kind: ask(model, *how) for kind, how in kinds.items()}
    report = {kind: summarize(asked[kind][0]) for kind in kinds}
    report["dense"] = summarize(
        sum((asked[x][0] for x in kinds if "dense" in x), Counter())
    )
    print(json.dumps(report, indent=2))
    if OUTPUT.value:
        origin = {"model": MODEL.value, "seed": SEED.value, "ways": WAYS}
        write_result(Path(OUTPUT.value), {"kinds": report} | origin)
    if FIGURE.value:
        shown = {kind: images for kind, (_, images) in asked.items()}
        save_figure(draw(shown), Path(FIGURE.value))


if __name__ == "__main__":
    cli.run(main)
