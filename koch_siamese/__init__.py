"""Siamese neural networks for one-shot image recognition (Koch et al. 2015)."""

__version__ = "0.1.0"

__all__ = ["load_model"]


def __getattr__(name):
    """Imports what needs Keras on first use: importing this stays light."""
    if name == "load_model":
        from koch_siamese.networks import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
