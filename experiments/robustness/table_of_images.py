r"""Times reading a table (CSV) of 50,000 images, without decoding them.

    python experiments/robustness/table_of_images.py

The images are empty files; their decoder is replaced. The script fails if it
takes more than MAX_SECONDS of processor time to read the table, and to label
and sort its images.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from koch_siamese.data import image_folder
from koch_siamese.data.manifest import read_manifest

MAX_SECONDS = 5
NUM_CLASSES = 1000


def write_table(folder, num_images):
    """Writes a table of empty files, with all columns."""
    lines = ["path,label,group,drawer,split"]
    for index in range(num_images):
        label = index % NUM_CLASSES
        path = Path(f"class_{label}", f"{index}.jpg")
        folder.joinpath(path.parent).mkdir(exist_ok=True)
        folder.joinpath(path).touch()
        split = ("train", "val", "test")[label % 3]
        drawer = index // NUM_CLASSES % 7
        lines.append(f"{path},class {label},{label % 10},{drawer},{split}")
    table = folder / "images.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def main():
    """Prints the seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num_images", type=int, default=50_000)
    num_images = parser.parse_args().num_images
    blank = np.zeros((32, 32, 3), np.uint8)
    image_folder.read_image = lambda *_: blank
    with tempfile.TemporaryDirectory() as folder:
        table = write_table(Path(folder), num_images)
        read_manifest(table)  # fills the system's cache of files
        start = time.process_time(), time.perf_counter()
        images = image_folder.load_images(table, photo_size=32)
        seconds, waited = (
            now - then
            for now, then in zip(
                (time.process_time(), time.perf_counter()), start, strict=True
            )
        )
    print(
        f"{len(images.characters)} images of {len(images.names)} classes: "
        f"{seconds:.2f} s of a processor, {waited:.2f} s on the clock, but for "
        "decoding"
    )
    if seconds > MAX_SECONDS:
        sys.exit(f"slower than {MAX_SECONDS} s")


if __name__ == "__main__":
    main()
