r"""Gives bad inputs to the commands, and prints a table of their answers.

    python experiments/robustness/bad_inputs.py --output=bad_inputs.json

An answer is good if it is one line and exit code 1, or if the command succeeds.
"""

import io
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from absl import app
from PIL import Image
from tqdm import tqdm

from koch_siamese.reporting.text import format_markdown
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import write_result

OUTPUT = define_path("output", None, "A file for the result.")

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_SECONDS = 300
# Unusual images, which must be read.
READABLE = (
    "wrong extension",
    "CMYK",
    "animated",
    "space, newline and unicode in its name",
)
CLASSIFY = "classify --support=known"


def draw_image(size=40, mode="L"):
    """Draws a cross."""
    pixels = np.full((size, size), 255, np.uint8)
    pixels[size // 2 - 2 : size // 2 + 2] = 0
    pixels[:, size // 3 : size // 3 + 4] = 0
    return Image.fromarray(pixels).convert(mode)


def encode(image, kind, **options):
    """Returns an image as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def make_png_header(width, height):
    """Makes a PNG that states a size but has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b""))):
        body = kind + content
        data += struct.pack(">I", len(content)) + body
        data += struct.pack(">I", zlib.crc32(body))
    return data


def write_images(folder):
    """Writes known characters, and a file for every kind of bad image.

    Returns:
        The description of each kind, by the name of its file.
    """
    png = encode(draw_image(), "PNG")
    for name in ("ka", "ki"):
        (folder / "known").mkdir(exist_ok=True)
        (folder / "known" / f"{name}.png").write_bytes(png)
    frames = [draw_image(), Image.new("L", (40, 40), 255)]
    animated = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    files = {
        "empty.png": ("empty file", b""),
        "half.png": ("truncated", png[: len(png) // 2]),
        "text.png": ("text", b"I am no image.\n"),
        "nothing.png": ("0 x 0 pixels", make_png_header(0, 0)),
        "huge.png": ("60,000 x 60,000 pixels", make_png_header(60000, 60000)),
        "jpeg.png": ("wrong extension", encode(draw_image(), "JPEG")),
        "cmyk.jpg": ("CMYK", encode(draw_image(mode="CMYK"), "JPEG")),
        "animated.gif": ("animated", animated),
        "white.png": (
            "white all over",
            encode(Image.new("L", (9, 9), 255), "PNG"),
        ),
        "black.png": ("black all over", encode(Image.new("L", (9, 9)), "PNG")),
        "dot.png": ("one pixel", encode(Image.new("L", (1, 1), 255), "PNG")),
        "nan.tiff": (
            "another format: TIFF of floats",
            encode(Image.fromarray(np.full((9, 9), np.nan, "float32")), "TIFF"),
        ),
        "odd \n ☃ name.png": ("space, newline and unicode in its name", png),
    }
    for name, (_, content) in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder.png").mkdir()
    kinds = {name: kind for name, (kind, _) in files.items()}
    return kinds | {"folder.png": "a folder with an image's name"}


def write_folders(folder):
    """Writes folders on which neither training nor classifying can work."""
    png = encode(draw_image(), "PNG")

    def write(*names):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png)

    (folder / "bare").mkdir()
    write(*(f"single/{place}.png" for place in range(12)))
    write(*(f"few/{place}/{n}.png" for place in range(3) for n in range(2)))
    write("mixed/a/1.png", "mixed/1.png", "deep/a/b/c/d/1.png")
    write(*(f"spoilt/{place}/{n}.png" for place in range(12) for n in "ab"))
    (folder / "spoilt/3/c.png").write_bytes(png[:50])


def write_files(folder):
    """Writes models, galleries and results that are broken or invalid."""
    model = (REPOSITORY / "tests/fixtures/tiny_model.keras").read_bytes()
    (folder / "half.keras").write_bytes(model[: len(model) // 2])
    (folder / "text.keras").write_text("I am no model.")
    with (folder / "pickled.npz").open("wb") as file:
        np.savez(file, names=np.array([{"a": print}], object))
    (folder / "half.npz").write_bytes(b"PK\x03\x04")
    (folder / "results").mkdir()
    (folder / "results/hand.json").write_text('{"protocol": "lake"}')
    (folder / "none.json").write_text("{}")
    (folder / "words.flags").write_text("epochs 3\n")


def list_cases(kinds):
    """Yields a kind, what is wrong, and the arguments of a command."""
    for name, kind in kinds.items():
        yield "image", kind, [*CLASSIFY.split(), f"--query={name}"]
    train = "train --dataset=folder --workdir=run --epochs=1 --data_dir="
    for name, kind in (
        ("absent", "absent"),
        ("bare", "empty"),
        ("half.png", "a file"),
        ("single", "one drawing of each character"),
        ("few", "three characters"),
        ("mixed", "images at two depths"),
        ("deep", "nested too deep"),
        ("spoilt", "one image truncated"),
    ):
        yield "folder", kind, f"{train}{name}".split()
    yield "folder", "supports: empty", "classify --support=bare --query=known"
    for name in ("absent", "half", "text"):
        arguments = f"{CLASSIFY} --query=known --model={name}.keras"
        yield "model", name, arguments
    for name in ("absent", "half", "pickled"):
        arguments = f"classify --query=known --gallery={name}.npz"
        yield "gallery", name, arguments
    arguments = "report --results=results --tables=none.json --documents="
    yield "result", "by hand", arguments
    for text, arguments in (
        ("out of range", "train --epochs=0"),
        ("no number", "train --learning_rate=fast"),
        ("unknown", "train --epoch=3"),
        ("not a choice", "evaluate --protocol=best --model=pretrained"),
        ("no flag in a flagfile", "train --flagfile=words.flags"),
        ("absent flagfile", "train --flagfile=absent.flags"),
        ("not together", "train --protocols=lake"),
        ("a word too many", "train quickly"),
    ):
        yield "flag", text, arguments
    yield (
        "data",
        "Omniglot absent, no network",
        "evaluate --model=pretrained --protocol=lake --data_dir=bare",
    )


def ask(what, arguments, folder):
    """Runs a command; returns its answer and its time."""
    if isinstance(arguments, str):
        arguments = arguments.split()
    command, *rest = arguments
    start = time.monotonic()
    try:
        process = subprocess.run(
            [sys.executable, "-m", f"koch_siamese.{command}", *rest],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=TIMEOUT_SECONDS,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        code = process.returncode
        output = (process.stderr if code else process.stdout).strip()
    except subprocess.TimeoutExpired:
        code, output = None, "no answer"
    lines = output.splitlines() or [""]
    return {
        "command": " ".join(map(repr, arguments)).replace("'", ""),
        "exit": code,
        "answer": lines[-1],
        "lines": len(lines),
        "good": code == (0 if what in READABLE else 1)
        and (code == 0 or len(lines) == 1),
        "seconds": round(time.monotonic() - start, 1),
    }


def main(_):
    """Runs all cases, and prints the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = write_images(folder)
        write_folders(folder)
        write_files(folder)
        answers = [
            {"kind": kind, "what": what} | ask(what, arguments, folder)
            for kind, what, arguments in tqdm([*list_cases(kinds)])
        ]
    rows = [("kind", "what", "exit", "answer")]
    rows += [
        (x["kind"], x["what"], str(x["exit"]), x["answer"]) for x in answers
    ]
    print(format_markdown(rows))
    bad = [answer["command"] for answer in answers if not answer["good"]]
    print(f"\n{len(answers)} asked, {len(bad)} badly answered", *bad, sep="\n")
    if OUTPUT.value:
        write_result(Path(OUTPUT.value), {"bad_inputs": answers})


if __name__ == "__main__":
    app.run(main)
