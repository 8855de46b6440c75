"""Recognizes images with an exported model: no TensorFlow, no Keras.

    python exported_model.py EXPORTED KNOWN QUERY...

EXPORTED is what `koch_siamese.export --formats=onnx` wrote, of a model of
drawings or of photos. KNOWN is a folder with an image of each character, named
after it, or with a folder of images for each. Queries are images. It needs

    pip install onnxruntime pillow scipy tqdm
    pip install --no-deps koch_siamese
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from koch_siamese import load_folder
from koch_siamese.data.image_files import read_image

if len(sys.argv) < 4:
    sys.exit(__doc__)
folder, known, *queries = sys.argv[1:]
embedding, matching = (
    onnxruntime.InferenceSession(Path(folder, f"{name}.onnx"))
    for name in ("embedding", "matching")
)
metadata = embedding.get_modelmeta().custom_metadata_map
crop, size, thresholds = (
    json.loads(metadata[key]) for key in ("crop", "image_size", "thresholds")
)
photo_size = size if metadata["image_kind"] == "photo" else 0


def embed(images):
    """Embeds images; the network fits them to its size."""
    return embedding.run(None, {"images": images})[0]


supports, names = load_folder(known, crop, photo_size)
images = np.stack([read_image(path, crop, photo_size) for path in queries])
(scores,) = matching.run(
    ["score"],
    {
        "query_embedding": embed(images),
        "support_embedding": embed(supports.images),
    },
)
# The score of a character is the mean over its examples.
is_of = supports.character == np.arange(len(names))[:, np.newaxis]
scores = scores @ is_of.T / is_of.sum(axis=1)
threshold = -np.inf
if thresholds:
    table = thresholds["none_of_these"]
    threshold = table[min(len(names), len(table)) - 1]
for query, own in zip(queries, scores, strict=True):
    name = names[own.argmax()] if own.max() >= threshold else "none of these"
    print(f"{query}\t{name}\t{own.max():.2f}")
