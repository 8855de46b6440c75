"""Recognizes drawings with an exported model: no TensorFlow, no Keras.

    python exported_model.py EXPORTED KNOWN QUERY...

EXPORTED is what `koch_siamese.export --formats=onnx` wrote, KNOWN a folder with
an image of each character, named after it; queries are images. It needs

    pip install onnxruntime pillow scipy
    pip install --no-deps koch_siamese
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from koch_siamese import read_drawing

if len(sys.argv) < 4:
    sys.exit(__doc__)
folder, known, *queries = sys.argv[1:]
embedding, matching = (
    onnxruntime.InferenceSession(Path(folder, f"{name}.onnx"))
    for name in ("embedding", "matching")
)
metadata = embedding.get_modelmeta().custom_metadata_map
crop = json.loads(metadata["crop"])


def embed(paths):
    """Embeds images; the network fits them to its size."""
    drawings = np.stack([read_drawing(path, crop) for path in paths])
    return embedding.run(None, {"images": drawings[..., np.newaxis]})[0]


supports = sorted(Path(known).iterdir())
prediction, score = matching.run(
    ["prediction", "score"],
    {"query_embedding": embed(queries), "support_embedding": embed(supports)},
)
for query, best, scores in zip(queries, prediction, score, strict=True):
    name = supports[best].stem if best >= 0 else "none of these"
    print(f"{query}\t{name}\t{scores.max():.2f}")
