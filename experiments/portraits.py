r"""Draws portraits, to try faces.flags without photographs.

python -m experiments.portraits --output=portraits

The folders s1 to s40 are people, each with ten gray portraits of 92 x 112
pixels as PGM files, like those of the AT&T Database of Faces. A person keeps
the shape of the face, hair, eyes and glasses; place, light, look and smile
change.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

NUM_PEOPLE, NUM_PORTRAITS = 40, 10
WIDTH, HEIGHT = 92, 112


def draw_portrait(person: int, take: int) -> Image.Image:
    """Draws a portrait of a person, always the same for the same numbers."""
    features = _draw_features(np.random.default_rng(person))
    rng = np.random.default_rng([person, take])
    image = Image.new("L", (WIDTH, HEIGHT), int(rng.integers(60, 120)))
    middle = np.array([WIDTH, HEIGHT]) / 2 + rng.uniform(-6, 6, 2)
    look, smile = rng.uniform(-5, 5), rng.uniform(0, 8)
    _draw_face(ImageDraw.Draw(image), features, middle, look, smile)
    image = image.rotate(rng.uniform(-8, 8), fillcolor=90)
    image = image.filter(ImageFilter.GaussianBlur(0.7))
    light = rng.uniform(0.75, 1.2) * np.linspace(*rng.uniform(0.7, 1, 2), WIDTH)
    lit = np.asarray(image) * light + rng.normal(0, 5, (HEIGHT, WIDTH))
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def _draw_features(rng):
    """Samples the features of a person: gray values, and lengths in pixels."""
    return {
        "width": rng.uniform(52, 70),
        "height": rng.uniform(72, 92),
        "skin": int(rng.integers(120, 220)),
        "hair": int(rng.integers(10, 110)),
        "has_much_hair": rng.random() < 0.5,
        "eye": rng.uniform(10, 17),
        "eye_gap": rng.uniform(11, 17),
        "brow": int(rng.integers(2, 7)),
        "has_glasses": rng.random() < 0.3,
        "nose": rng.uniform(8, 18),
        "mouth": rng.uniform(12, 26),
    }


def _draw_face(pen, features, middle, look, smile):
    def box(x, y, width, height):
        center = np.add(middle, (x, y))
        half = np.array([width, height]) / 2
        return tuple(np.r_[center - half, center + half])

    head = box(0, 0, features["width"], features["height"])
    pen.ellipse(head, fill=features["skin"])
    hair = (180, 360) if features["has_much_hair"] else (220, 320)
    pen.chord(head, *hair, fill=features["hair"])
    for side in (-1, 1):
        x = side * features["eye_gap"] + look
        pen.ellipse(box(x, -4, features["eye"], 6), fill=245)
        pen.ellipse(box(x, -4, 5, 5), fill=15)
        left, top, right, _ = box(x, -10, features["eye"], 0)
        brow = {"fill": features["hair"], "width": features["brow"]}
        pen.line((left, top, right, top), **brow)
        if features["has_glasses"]:
            pen.ellipse(box(x, -4, 18, 16), outline=20, width=2)
    x, y = middle
    nose = (x + look, y - 2, x + 1.5 * look, y + features["nose"])
    pen.line(nose, fill=features["skin"] - 40, width=3)
    mouth = box(look, 22 + smile / 2, features["mouth"], 12 + smile)
    pen.arc(mouth, 10, 170, fill=40, width=3)


def write_portraits(folder: Path, num_people: int = NUM_PEOPLE):
    """Writes the portraits of each person into a folder of its own."""
    for person in range(num_people):
        own = folder / f"s{person + 1}"
        own.mkdir(parents=True)
        for take in range(NUM_PORTRAITS):
            portrait = draw_portrait(person, take)
            portrait.save(own / f"{take + 1}.pgm")


def main():
    """Writes all portraits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    folder = parser.parse_args().output
    if folder.exists():
        parser.error(f"--output={folder} exists already: give a new folder.")
    write_portraits(folder)


if __name__ == "__main__":
    main()
