"""Runs exported models as a client does, without Keras and this package.

    python -P export_check.py FOLDER CASES.npz

Prints the largest difference of each file from the expected outputs as JSON.
This is a separate program, which imports nothing from the package.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

# The argument names of each signature.
SIGNATURES = {
    "embed": ("images",),
    "verify": ("first", "second"),
    "classify": ("query", "support"),
    "match": ("query_embedding", "support_embedding"),
}

# The file stem of each signature, in formats with one signature a file.
FILES = {"embedding": "embed", "verification": "verify", "matching": "match"}

# The names of the arrays in a test case.
CASE = ("first", "second", "embedding", "other_embedding", "score")


def open_saved_model(path):
    """Opens a SavedModel: a function of the signature's name and inputs."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def call(name, *inputs):
        inputs = dict(zip(SIGNATURES[name], inputs, strict=True))
        outputs = loaded.signatures[name](
            **{key: tf.constant(value) for key, value in inputs.items()}
        )
        return {key: value.numpy() for key, value in outputs.items()}

    return call


def open_litert(path):
    """Opens a LiteRT file; see `open_saved_model`."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))

    def call(name, *inputs):
        runner = interpreter.get_signature_runner(name)
        return runner(**dict(zip(SIGNATURES[name], inputs, strict=True)))

    return call


def open_onnx(path):
    """Opens an ONNX file; see `open_saved_model`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    outputs = [output.name for output in session.get_outputs()]

    def call(name, *inputs):
        inputs = dict(zip(SIGNATURES[name], inputs, strict=True))
        return dict(zip(outputs, session.run(outputs, inputs), strict=True))

    return call


OPENERS = {"": open_saved_model, ".tflite": open_litert, ".onnx": open_onnx}


def compute_difference(path: Path, cases: dict[str, np.ndarray]) -> float:
    """Computes the largest difference of an export from the expected outputs.

    Args:
        path: the file, or the folder of a SavedModel.
        cases: for i = 0, 1, ..., the same number of images `first_i` and
            `second_i`, their embeddings `embedding_i` and `other_embedding_i`,
            and `score_i`, the scores of each first with each second.
    """
    call = OPENERS[path.suffix](path)
    names = [FILES[path.stem]] if path.stem in FILES else [*SIGNATURES]
    differences = []
    for index in range(len(cases) // len(CASE)):
        first, second, embedding, other_embedding, score = (
            cases[f"{key}_{index}"] for key in CASE
        )
        if "embed" in names:
            found = call("embed", first)["embedding"]
            differences.append(found - embedding)
        if "verify" in names:
            found = call("verify", first, second)["logit"]
            differences.append(found - np.diagonal(score))
        if "classify" in names:
            found = call("classify", first, second)["score"]
            differences.append(found - score)
        if "match" in names:
            found = call("match", embedding, other_embedding)["score"]
            differences.append(found - score)
    return float(np.max([np.abs(x).max() for x in differences]))


def main():
    """Compares every file of a folder."""
    # From here on, importing these fails.
    sys.modules.update(koch_siamese=None, keras=None)
    warnings.simplefilter("ignore")  # TensorFlow warns of its interpreter
    folder, cases = sys.argv[1:]
    with np.load(cases, allow_pickle=False) as file:
        cases = dict(file)
    paths = sorted(Path(folder).iterdir())
    print(json.dumps({x.name: compute_difference(x, cases) for x in paths}))


if __name__ == "__main__":
    main()
