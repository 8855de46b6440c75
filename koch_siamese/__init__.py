"""Siamese neural networks for one-shot image recognition (Koch et al. 2015).

Where to begin:

- `Recognizer`: names new images, given one example of each class
- `train_and_evaluate`, with `Settings`: trains a model and measures it
- `load_characters`, `load_folder`: data for your own experiments
- `make_pairs`, `make_groups`: batches of such data for Keras' `fit`
- `build_siamese`: a Keras model around your own embedding
- `python -m koch_siamese`: the commands

These sub-packages have a guide, such as `help("koch_siamese.training")`: data,
evaluation, inference, models, runs, sampling, training, tuning, web.
"""

import importlib

from koch_siamese.backend import import_tensorflow
from koch_siamese.version import __version__

# Where each public name is defined. Imported on first use, so that a command
# answers --help without TensorFlow.
_HOMES = {
    "AllPairsLoss": "koch_siamese.training.losses",
    "Characters": "koch_siamese.data.characters",
    "InputError": "koch_siamese.errors",
    "Recognizer": "koch_siamese.inference.recognizer",
    "Run": "koch_siamese.runs.directory",
    "Settings": "koch_siamese.runs.settings",
    "Thresholds": "koch_siamese.models.thresholds",
    "build_siamese": "koch_siamese.models.siamese",
    "draw_answers": "koch_siamese.reporting.figures",
    "draw_glyph": "koch_siamese.data.glyphs",
    "draw_groups": "koch_siamese.reporting.page_figures",
    "draw_pairs": "koch_siamese.reporting.figures",
    "draw_transcription": "koch_siamese.reporting.page_figures",
    "evaluate_protocol": "koch_siamese.evaluation.evaluator",
    "get_thresholds": "koch_siamese.models.siamese",
    "load_characters": "koch_siamese.data.sources",
    "load_folder": "koch_siamese.data.image_folder",
    "load_model": "koch_siamese.models.loading",
    "load_pretrained": "koch_siamese.models.loading",
    "make_groups": "koch_siamese.training.batches",
    "make_pairs": "koch_siamese.training.batches",
    "read_drawing": "koch_siamese.data.image_files",
    "read_photo": "koch_siamese.data.image_files",
    "train_and_evaluate": "koch_siamese.training.loop",
}

# Modules that work without Keras and TensorFlow. Before others are imported,
# TensorFlow is imported without its messages about drivers.
_WITHOUT_KERAS = {
    "koch_siamese.data.characters",
    "koch_siamese.data.glyphs",
    "koch_siamese.data.image_files",
    "koch_siamese.data.image_folder",
    "koch_siamese.errors",
    "koch_siamese.models.thresholds",
    "koch_siamese.reporting.figures",
    "koch_siamese.reporting.page_figures",
    "koch_siamese.runs.directory",
    "koch_siamese.runs.settings",
}

__all__ = ["__version__", *sorted(_HOMES)]

# Sub-packages with a guide, which can be used as attributes.
_GUIDES = {"data", "evaluation", "inference", "models", "runs", "sampling"}
_GUIDES |= {"training", "tuning", "web"}


def __getattr__(name):
    """Imports a public name, or a sub-package, on first use."""
    if name in _GUIDES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    if home not in _WITHOUT_KERAS:
        import_tensorflow()
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # this function is not called again
    return value


def __dir__():
    """Also lists the names that are imported on first use."""
    return sorted({*globals(), *_HOMES, *_GUIDES})
