r"""How well a model recognizes the images that people have.

    pip install -e '.[practical]'
    python -m experiments.practical --output=FILE --data_dir=D [--figure=PNG]

Each query is classified among ten candidates, with one example of each. A
hundred sets of ten are from Omniglot's validation alphabets, on which no model
of ours was trained; examples and queries are by different people. They are
shown as they are, as photographs, in hairlines, and in the strokes of a marker.
Dense characters come from three scripts, a hundred sets each, the examples in
one font, the queries in another. There are as many strangers: queries whose
character is not among the candidates.
"""

import io
import json
from pathlib import Path

import numpy as np
from absl import flags
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tqdm import tqdm

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
    """The drawing as it is."""
    return drawing


def draw_hairlines(drawing, rng):
    """Strokes of a pixel or two in 420."""
    from scipy.ndimage import binary_dilation
    from skimage.morphology import skeletonize

    lines = skeletonize(_enlarge(drawing))
    if rng.random() < 0.5:
        lines = binary_dilation(lines, np.ones((2, 2)))
    return np.where(lines, 0, 255).astype(np.uint8)


def draw_by_marker(drawing, rng):
    """Strokes as wide as 7 to 11 % of the character."""
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize

    lines = np.pad(skeletonize(_enlarge(drawing)), 40)
    extent = max(np.ptp(places) for places in np.nonzero(lines))
    radius = rng.uniform(0.035, 0.055) * extent
    is_ink = distance_transform_edt(~lines) <= radius
    return np.where(is_ink, 0, 255).astype(np.uint8)


def _enlarge(drawing):
    """Where there is ink, `[420, 420]`."""
    image = Image.fromarray(drawing)
    size = [ENLARGED * side for side in image.size]
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC)) < 128


def photograph(drawing, rng):
    """A JPEG file: on tinted grey paper, unevenly lit, noisy, blurred."""
    width, height = (int(side) for side in rng.integers(150, 900, size=2))
    ink = _place(drawing, width, height, rng)
    blur = rng.uniform(0.3, 1.2) * max(width, height) / 400
    ink = (
        np.asarray(ink.filter(ImageFilter.GaussianBlur(blur)))[..., None] / 255
    )
    paper = rng.uniform(150, 235) * rng.uniform(0.9, 1.1, size=3)
    color = rng.uniform(20, 80) * rng.uniform(0.5, 1.8, size=3)
    light = _light(width, height, rng)[..., np.newaxis]
    image = (paper * (1 - ink) + color * ink) * light
    image += rng.normal(0, rng.uniform(2, 14), image.shape)
    file = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(rng.integers(40, 95))
    )
    return file.getvalue()


def _place(drawing, width, height, rng):
    """The ink, 255 where it is, at any size and place of the image."""
    ink = Image.fromarray(255 - drawing)
    ink = ink.crop(ink.getbbox())
    scale = min(width, height) * rng.uniform(0.4, 0.85) / max(ink.size)
    size = [max(1, round(scale * side)) for side in ink.size]
    place = [
        int(rng.integers(2, whole - part - 1))
        for whole, part in zip((width, height), size, strict=True)
    ]
    sheet = Image.new("L", (width, height), 0)
    sheet.paste(ink.resize(size, Image.Resampling.BICUBIC), place)
    return sheet


def _light(width, height, rng):
    """Falls off to one side and to the edges, at times with a shadow; <= 1."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    light = 1 + rng.uniform(0.05, 0.35) * along
    light += rng.uniform(-0.15, 0.15) * (x**2 + y**2)
    if rng.random() < 0.3:
        edge = (along - rng.uniform(-0.5, 0.5)) * rng.uniform(4, 15)
        light *= 1 - rng.uniform(0.2, 0.4) / (1 + np.exp(-edge))
    return light / light.max()


KINDS = {
    "clean": keep,
    "photograph": photograph,
    "hairline": draw_hairlines,
    "marker": draw_by_marker,
}


def sample_drawings(characters, number, rng):
    """Examples, queries and strangers of one alphabet, ten drawings each."""
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
    """Both fonts of a script, and the characters that both have.

    Raises:
        InputError: they are not installed.
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
    """A character in the middle of white."""
    image = Image.new("L", (2 * FONT_SIZE, 2 * FONT_SIZE), 255)
    middle = (FONT_SIZE, FONT_SIZE)
    ImageDraw.Draw(image).text(middle, text, 0, font, anchor="mm")
    return np.asarray(image)


def sample_glyphs(opened, rng):
    """As `sample_drawings`, of a script in two fonts."""
    (first, second), texts = opened
    chosen = rng.choice(texts, 2 * WAYS, replace=False)
    known, strangers = chosen[:WAYS], chosen[WAYS:]
    return (
        [_render(x, first) for x in known],
        [_render(x, second) for x in known],
        [_render(x, second) for x in strangers],
    )


def ask(model, sample, treat):
    """Classifies all sets of a kind.

    Returns:
        An evaluation of each set, and the images of the first one.
    """
    evaluations, shown = [], None
    for number in tqdm(range(NUM_SETS.value), leave=False, disable=None):
        rng = np.random.default_rng([SEED.value, number])
        parts = sample(number, rng)
        examples, queries, strangers = (
            [treat(image, rng) for image in part] for part in parts
        )
        shown = shown or (examples, queries)
        names = [f"c{i}" for i in range(WAYS)]
        recognizer = Recognizer(model)
        recognizer.add(dict(zip(names, examples, strict=True)))
        labelled = dict(zip(names, queries, strict=True))
        evaluations.append(
            recognizer.evaluate(labelled | {"stranger": strangers})
        )
    return evaluations, shown


def summarize(evaluations):
    """Shares of all sets together, with their intervals."""
    num = sum(x.num_images for x in evaluations)
    num_strangers = sum(x.num_strangers for x in evaluations)
    result = {"num_queries": num, "num_strangers": num_strangers}
    for name, count, total in (
        (
            "best_is_right",
            sum(round(x.accuracy * x.num_images) for x in evaluations),
            num,
        ),
        ("named_correctly", sum(x.num_right for x in evaluations), num),
        (
            "strangers_named",
            sum(x.num_strangers_named for x in evaluations),
            num_strangers,
        ),
    ):
        result[name] = count / total
        result[f"{name}_ci95"] = wilson_interval(count, total)
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
        [x for kind in kinds if "dense" in kind for x in asked[kind][0]]
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
