r"""Exports a trained model for use without this package and Keras.

    python -m koch_siamese.export --workdir=runs/quickstart --output=DIR

A SavedModel has the signatures embed, verify, classify and match; LiteRT and
ONNX have three files: embedding, verification and matching, which compares
embeddings. Images are uint8 [batch, height, width, 1], 0 = ink, 255 = white,
any batch and any size. Each file contains how images are read, the thresholds
and the model card as metadata. Before it is saved, it is run in another process
and compared with the model.
"""

import os
import tempfile
from pathlib import Path

from absl import flags

from koch_siamese import cli, extras, model_flags
from koch_siamese.backend import import_tensorflow
from koch_siamese.errors import InputError
from koch_siamese.models.packaged import PACKAGED, PRETRAINED, read_card
from koch_siamese.runs.path_flags import define_path

# The formats, and the additional packages that they need.
FORMATS = {
    "saved_model": (),
    "litert": (),
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
}

OUTPUT = define_path("output", None, "The folder to write to, new or empty.")
FORMATS_WANTED = flags.DEFINE_list(
    "formats",
    ["saved_model"],
    f"Formats, some of {', '.join(FORMATS)}; onnx needs the extra export.",
)
model_flags.define_model_flags()


def _check_formats():
    """Returns the formats of --formats, each once, if they can be written."""
    formats = list(dict.fromkeys(FORMATS_WANTED.value))
    for name in formats or [""]:
        if name not in FORMATS:
            raise InputError(
                f"--formats has {name!r}: expected some of "
                f"{', '.join(FORMATS)}, separated by commas."
            )
        for module in FORMATS[name]:
            extras.require(module, f"--formats={name}")
    return formats


def _make_folder_beside(output):
    """Makes a temporary folder on the same disk, to be renamed to `output`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(
        dir=output.parent, prefix=f".{output.name}.", suffix=".partial"
    )


def _make_card(path):
    """Returns the card of a model in the package, or makes one for a run."""
    from koch_siamese.reporting.text import format_model_card
    from koch_siamese.runs.directory import find_run

    if path in PACKAGED:
        return read_card(path)
    run = find_run(path)
    if not run:
        return ""
    # Of a group whose name is not in UTF-8, a person can read the rest.
    text = run.flags.read_text("utf-8", errors="replace")
    return format_model_card(text, run.read_results())


def _describe_exports(output, differences):
    """Describes each file, sorted by format."""
    from koch_siamese.inference.exporters import ONNX_OPSET

    kinds = {
        "": "SavedModel",
        ".tflite": "LiteRT, builtin operations",
        ".onnx": f"ONNX, opset {ONNX_OPSET}",
    }
    names = sorted(differences, key=lambda name: (Path(name).suffix, name))
    for path in map(output.joinpath, names):
        files = path.rglob("*") if path.is_dir() else [path]
        yield {
            "kind": kinds[path.suffix],
            "path": Path(OUTPUT.value, path.name),
            "size": sum(x.stat().st_size for x in files if x.is_file()),
            "difference": differences[path.name],
        }


def main():
    """Writes, checks and lists the files."""
    formats, output = _check_formats(), cli.require_new_folder(OUTPUT.value)
    path = model_flags.model_path(default=PRETRAINED)
    # A model.keras is the same for every backend; exports need TensorFlow.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import_tensorflow()
    import tensorflow as tf

    from koch_siamese.inference import exporters, storage
    from koch_siamese.reporting.text import format_exports

    model_flags.import_own_network()
    model = storage.load_model_of(path)
    metadata = exporters.describe_model(model, _make_card(path))
    try:
        with _make_folder_beside(output) as temporary:
            partial = Path(temporary, output.name)
            partial.mkdir()
            for name in formats:
                exporters.FORMATS[name](model, partial, metadata)
            differences = exporters.check_exports(model, partial)
            partial.replace(output)
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        reason = str(error).rpartition("; ")[2]
        raise InputError(
            f"--output={OUTPUT.value} cannot be written: {reason}."
        ) from error
    print(format_exports(_describe_exports(output, differences)))
    print(f"Images: {metadata['images']}.")


if __name__ == "__main__":
    cli.run(main, without=cli.DATA_FLAGS + cli.LIMIT_FLAGS)
