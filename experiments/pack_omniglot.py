r"""Packs Omniglot into one file of a few megabytes, read without TensorFlow.

    python -m experiments.pack_omniglot --data_dir=DIR --output=FOLDER

`--data_dir=FOLDER` then trains on it, for example with KERAS_BACKEND=jax on a
machine to which only small files can be copied.
"""

from pathlib import Path

from absl import flags

from koch_siamese import cli
from koch_siamese.backend import import_tensorflow
from koch_siamese.runs.path_flags import define_path

OUTPUT = define_path("output", None, "The folder to write to.")
SPLITS = ("train", "test")


def main():
    """Reads Omniglot from TFDS and writes the file."""
    import_tensorflow()
    from koch_siamese.data import downloads, omniglot

    builder = downloads.prepare_omniglot(
        cli.DATA_DIR.value, cli.MANUAL_DIR.value
    )
    folder = Path(OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    omniglot.pack_characters(
        {split: omniglot.read_characters(builder, split) for split in SPLITS},
        folder / omniglot.PACKED,
    )
    print(f"Written to {folder / omniglot.PACKED}")


if __name__ == "__main__":
    flags.mark_flag_as_required("output")
    cli.run(main)
