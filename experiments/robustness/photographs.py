"""How well `classify` recognizes photographs, beside the same drawings clean.

    python experiments/robustness/photographs.py --output=DIR --data_dir=D

Twenty sets of ten characters, each of one of Omniglot's validation alphabets
(no model of ours was trained on them); one support and one query of each, by
different people, and as many queries of characters that are not in the set.
Every drawing is saved clean, and as a photograph: on uneven grey light, noisy,
tinted, blurred, of any size and place. The command reads both.
"""

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image, ImageFilter

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.data.sources import load_characters
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.provenance import describe_origin

OUTPUT = define_path("output", "photographs", "A new folder.")
MODEL = define_path("model", "pretrained", "See classify.")
SEED = flags.DEFINE_integer("seed", 2027, "Decides drawings and photographs.")
NUM_SETS, WAYS = 20, 10


def photograph(drawing: np.ndarray, rng: np.random.Generator) -> bytes:
    """A JPEG file of a drawing, uint8 `[105, 105]`, as a camera sees it."""
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


def _write_set(folder, characters, rng):
    """Supports, queries and strangers of one alphabet, clean and not."""
    chosen = rng.permutation(np.unique(characters.character))[: 2 * WAYS]
    drawers = rng.choice(np.unique(characters.drawer), 2, replace=False)
    for number, character in enumerate(chosen):
        kinds = ("support", "query") if number < WAYS else ("stranger",)
        for kind, drawer in zip(kinds, drawers[-len(kinds) :], strict=True):
            drawing = characters.images[
                (characters.character == character)
                & (characters.drawer == drawer)
            ][0, ..., 0]
            for light in ("clean", "photograph"):
                (folder / light / kind).mkdir(parents=True, exist_ok=True)
            file = folder / "clean" / kind / f"{number:02d}.png"
            Image.fromarray(drawing).save(file)
            file = folder / "photograph" / kind / f"{number:02d}.jpg"
            file.write_bytes(photograph(drawing, rng))


def _classify(folder, kind):
    """Answers to the images of one kind, and the seconds they took.

    An image that cannot be read has no `best`.
    """
    start = time.perf_counter()
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "koch_siamese.classify",
            "--json",
            f"--model={MODEL.value}",
            f"--support={folder / 'support'}",
            f"--query={folder / kind}",
        ],
        capture_output=True,
        text=True,
    )
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    return answers, time.perf_counter() - start


def _measure(output, light):
    """Shares over all sets, for clean drawings or for photographs."""
    best = named = refused = num_strangers = seconds = 0
    folders = sorted(output.glob(f"*/{light}"))
    for folder in folders:
        answers, elapsed = _classify(folder, "query")
        right = [Path(x["query"]).stem == x.get("best") for x in answers]
        best += sum(right)
        named += sum(
            ok and x["character"] is not None
            for ok, x in zip(right, answers, strict=True)
        )
        strangers = [x for x in _classify(folder, "stranger")[0] if "best" in x]
        refused += sum(x["character"] is None for x in strangers)
        num_strangers += len(strangers)
        seconds += elapsed
    num = WAYS * len(folders)
    return {
        "num_queries": num,
        "best_is_right": best / num,
        "ci95": wilson_interval(best, num),
        "named_rightly": named / num,
        "num_strangers": num_strangers,
        "none_of_these": refused / num_strangers,
        "none_of_these_ci95": wilson_interval(refused, num_strangers),
        "seconds_per_set": round(seconds / len(folders), 2),
    }


def main():
    """Writes the images, and prints what `classify` made of them."""
    import_tensorflow()
    output = Path(OUTPUT.value)
    characters = load_characters(
        "omniglot", "validation", data_dir=cli.DATA_DIR.value
    )
    alphabets = np.unique(characters.alphabet)
    for number in range(NUM_SETS):
        alphabet = alphabets[number % len(alphabets)]
        _write_set(
            output / f"{number:02d}",
            characters.select(characters.alphabet == alphabet),
            np.random.default_rng([SEED.value, number]),
        )
    report = {
        light: _measure(output, light) for light in ("clean", "photograph")
    }
    report |= {"seed": SEED.value, "model": MODEL.value} | describe_origin()
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    cli.run(main)
