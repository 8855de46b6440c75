"""Files that carry a trained model to where Keras and this package are not."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from koch_siamese.data.glyphs import draw
from koch_siamese.inference import export_check
from koch_siamese.inference.endpoints import Endpoints, PortableEndpoints
from koch_siamese.models.siamese import get_embedding, get_head

ONNX_OPSET = 17
TOLERANCE = 1e-4  # of logits, between Keras and an export

# What exports are compared on: pairs, height and width of first and of second.
CHECKED_SHAPES = (
    (1, (105, 105), (105, 105)),
    (4, (105, 105), (28, 28)),
    (3, (70, 40), (51, 128)),
)


def save_saved_model(model: keras.Model, folder: Path):
    """Writes `saved_model`, with every signature; `embed` is the default."""
    _write_archive(Endpoints(model), export_check.SIGNATURES, folder)


def save_litert(model: keras.Model, folder: Path):
    """Writes `embedding.tflite` and `verification.tflite`, builtin ops only."""
    files = export_check.FILES
    with tempfile.TemporaryDirectory() as temporary:
        _write_archive(PortableEndpoints(model), files.values(), temporary)
        for stem, name in files.items():
            converter = tf.lite.TFLiteConverter.from_saved_model(
                str(Path(temporary, "saved_model")), signature_keys=[name]
            )
            (folder / f"{stem}.tflite").write_bytes(converter.convert())


def save_onnx(model: keras.Model, folder: Path):
    """Writes `embedding.onnx` and `verification.onnx`, of `ONNX_OPSET`."""
    import onnx
    import tf2onnx

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
        onnx.save(proto, folder / f"{stem}.onnx")


FORMATS: dict[str, Callable[[keras.Model, Path], None]] = {
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
    for value in (*graph.input, *graph.output):
        axes = ("batch", f"{value.name}_height", f"{value.name}_width")
        dims = value.type.tensor_type.shape.dim
        for dim, axis in zip(dims, axes, strict=False):
            if not dim.dim_value:
                dim.dim_param = axis


def check_exports(model: keras.Model, folder: Path) -> dict[str, float]:
    """Runs exports in a process without Keras and this package.

    Returns:
        For each file of the folder the largest difference from the model.

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
    """Drawings in several shapes, and what the model makes of them."""
    embedding, head = get_embedding(model), get_head(model)
    cases = {}
    for index, (num, *sizes) in enumerate(CHECKED_SHAPES):
        twins = [
            np.stack(
                [
                    np.array(draw(0, i, drawer).resize(size[::-1]))
                    for i in range(num)
                ]
            )[..., np.newaxis]
            for drawer, size in enumerate(sizes, start=1)
        ]
        # A GPU rounds otherwise; exports are checked without one.
        with tf.device("CPU"):
            first, second = (embedding(x, training=False) for x in twins)
            score = head(first[:, tf.newaxis], second)
        cases |= {
            f"first_{index}": twins[0],
            f"second_{index}": twins[1],
            f"embedding_{index}": first,
            f"score_{index}": score,
        }
    return cases
