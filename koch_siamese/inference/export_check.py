"""Runs exports as a client does, without Keras and this package.

    python -P export_check.py FOLDER CASES.npz

Prints, as JSON, how far each file of the folder is from the expected numbers.
It is a program of its own, and imports nothing of the package.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

# The names of the arguments.
SIGNATURES = {
    "embed": ("images",),
    "verify": ("first", "second"),
    "classify": ("query", "support"),
    "match": ("query_embedding", "support_embedding"),
}

# Formats with one signature in a file: the file's stem, and the signature.
FILES = {"embedding": "embed", "verification": "verify", "matching": "match"}

# The arrays of a case.
CASE = ("first", "second", "embedding", "other_embedding", "score")


def open_saved_model(path):
    """The signatures of a SavedModel."""
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
    """The signature of a LiteRT file."""
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
    """The graph of an ONNX file."""
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
    """The largest difference of an export from the expected numbers.

    Args:
        path: the file, or the folder of a SavedModel.
        cases: for i = 0, 1, ... images `first_i` and `second_i`, as many of
            each, their embeddings `embedding_i` and `other_embedding_i`, and
            `score_i`, of each first with each second.
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
    # Importing these fails from here on.
    sys.modules.update(koch_siamese=None, keras=None)
    warnings.simplefilter("ignore")  # TensorFlow's of its own interpreter
    folder, cases = sys.argv[1:]
    with np.load(cases, allow_pickle=False) as file:
        cases = dict(file)
    paths = sorted(Path(folder).iterdir())
    print(json.dumps({x.name: compute_difference(x, cases) for x in paths}))


if __name__ == "__main__":
    main()
