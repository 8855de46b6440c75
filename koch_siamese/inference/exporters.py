"""Exports a trained model to files that need neither Keras nor this package.

Each contains the metadata of `describe_model`: an ONNX file as properties, a
LiteRT file as `metadata.json` in a zip archive at its end, where LiteRT's own
tools put such files, and a SavedModel in the folder `assets.extra`.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from koch_siamese.backend import hiding_messages
from koch_siamese.data.glyphs import draw_glyph
from koch_siamese.inference import export_check
from koch_siamese.inference.endpoints import Endpoints, PortableEndpoints
from koch_siamese.models.siamese import (
    get_channels,
    get_crop,
    get_dataset,
    get_embedding,
    get_head,
    get_image_kind,
    get_image_size,
    get_thresholds,
)
from koch_siamese.version import __version__

IMAGES = {
    1: "uint8 [batch, height, width, 1], 0 = ink, 255 = white, any batch and "
    "any size",
    3: "uint8 [batch, height, width, 3], RGB, any batch and any size",
}
METADATA = "metadata.json"
ONNX_OPSET = 17
TOLERANCE = 1e-4  # largest difference of an output between Keras and an export

# The ONNX axis names of the arguments and results of `match`.
MATCH_AXES = {
    "query_embedding": ("queries",),
    "support_embedding": ("supports",),
    "score": ("queries", "supports"),
    "prediction": ("queries",),
}

# Test cases: the number of pairs, height and width of first and of second.
CHECKED_SHAPES = (
    (1, (105, 105), (105, 105)),
    (4, (105, 105), (28, 28)),
    (3, (70, 40), (51, 128)),
)


def describe_model(model: keras.Model, card: str = "") -> dict[str, object]:
    """Describes a model to users who only have its exports.

    Args:
        model: a siamese model.
        card: its model card, in Markdown.

    Returns:
        Values for JSON: `version` of this package, `images` (the input format),
        `image_kind` (`drawing`, see `read_drawing`, or `photo`), `image_size`
        (the size to which the model resizes them), `crop` (whether
        `read_drawing` should crop them to their ink), `embedding_dim`,
        `dataset` (the training data), `thresholds` (the fields of `Thresholds`,
        or None) and `model_card`.
    """
    thresholds = get_thresholds(model)
    return {
        "version": f"koch_siamese {__version__}",
        "images": IMAGES[get_channels(model)],
        "image_kind": get_image_kind(model),
        "image_size": get_image_size(model),
        "crop": get_crop(model),
        "embedding_dim": get_embedding(model).output.shape[-1],
        "dataset": get_dataset(model),
        "thresholds": thresholds and dataclasses.asdict(thresholds),
        "model_card": card,
    }


def save_saved_model(model: keras.Model, folder: Path, metadata: dict):
    """Writes `saved_model` with all signatures; `embed` is the default."""
    _write_archive(Endpoints(model), export_check.SIGNATURES, folder)
    extra = folder / "saved_model" / "assets.extra"
    extra.mkdir()
    (extra / METADATA).write_text(json.dumps(metadata, indent=2))


def save_litert(model: keras.Model, folder: Path, metadata: dict):
    """Writes a `.tflite` for each of `FILES`, with builtin operations only."""
    files = export_check.FILES
    with tempfile.TemporaryDirectory() as temporary:
        _write_archive(PortableEndpoints(model), files.values(), temporary)
        for stem, name in files.items():
            converter = tf.lite.TFLiteConverter.from_saved_model(
                str(Path(temporary, "saved_model")), signature_keys=[name]
            )
            path = folder / f"{stem}.tflite"
            with hiding_messages():  # about options that LiteRT does not have
                content = converter.convert()
            path.write_bytes(content)
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(METADATA, json.dumps(metadata, indent=2))


def save_onnx(model: keras.Model, folder: Path, metadata: dict):
    """Writes an `.onnx` for each of `FILES`, in `ONNX_OPSET`.

    The metadata become properties of the model: texts unchanged, others as
    JSON.
    """
    import onnx
    import tf2onnx

    properties = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.items()
    }
    endpoints = PortableEndpoints(model)
    for stem, name in export_check.FILES.items():
        signature = endpoints.signature(name)
        function = tf.function(
            getattr(endpoints, name), signature, autograph=False
        )
        proto, _ = tf2onnx.convert.from_function(
            function, signature, opset=ONNX_OPSET
        )
        _name_axes(proto.graph)
        onnx.helper.set_model_props(proto, properties)
        onnx.save(proto, folder / f"{stem}.onnx")


FORMATS: dict[str, Callable[[keras.Model, Path, dict], None]] = {
    "saved_model": save_saved_model,
    "litert": save_litert,
    "onnx": save_onnx,
}


def _write_archive(endpoints, names, folder):
    archive = keras.export.ExportArchive()
    for name in names:
        function = getattr(endpoints, name)
        archive.add_endpoint(name, function, endpoints.signature(name))
    archive.write_out(str(Path(folder, "saved_model")), verbose=False)


def _name_axes(graph):
    """Names the free axes; those that must be equally long share a name."""
    for value in (*graph.input, *graph.output):
        images = ("batch", f"{value.name}_height", f"{value.name}_width")
        axes = MATCH_AXES.get(value.name, images)
        for index, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.dim_value:
                dim.dim_param = axes[index]


def check_exports(model: keras.Model, folder: Path) -> dict[str, float]:
    """Runs exports in a process without Keras and this package.

    Returns:
        The largest difference of each file of the folder from the model.

    Raises:
        RuntimeError: one cannot be run, or differs by more than `TOLERANCE`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        cases = Path(temporary, "cases.npz")
        np.savez(cases, **_make_cases(model))
        answer = subprocess.run(
            [sys.executable, "-P", export_check.__file__, folder, cases],
            capture_output=True,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        )
    if answer.returncode:
        raise RuntimeError(f"An export cannot be run: {answer.stderr}")
    differences = json.loads(answer.stdout.splitlines()[-1])
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f"{name} differs from the model by {difference}, more than "
                f"{TOLERANCE}: it must not be used."
            )
    return differences


def _make_cases(model):
    """Makes images in several shapes, and computes the model's outputs."""
    embedding, head = get_embedding(model), get_head(model)
    cases = {}
    for index, (num, *sizes) in enumerate(CHECKED_SHAPES):
        twins = [
            _draw_glyphs(num, size, drawer, get_channels(model))
            for drawer, size in enumerate(sizes, start=1)
        ]
        # A GPU rounds differently, and exports are checked without one.
        with tf.device("CPU"):
            first, second = (embedding(x, training=False) for x in twins)
            score = head(first[:, tf.newaxis], second)
        arrays = (*twins, first, second, score)
        for key, array in zip(export_check.CASE, arrays, strict=True):
            cases[f"{key}_{index}"] = array
    return cases


def _draw_glyphs(num, size, drawer, channels):
    """Draws glyphs, uint8 `[num, *size, channels]`, photos in color."""
    glyphs = [draw_glyph(0, i, drawer).resize(size[::-1]) for i in range(num)]
    # Weaker second and third channels give photos colors.
    strength = 1 / np.arange(1, channels + 1)
    return np.uint8(np.multiply.outer(np.stack(glyphs), strength))
