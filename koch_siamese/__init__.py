"""Siamese neural networks for one-shot image recognition (Koch et al. 2015)."""

__version__ = "0.1.0"

__all__ = ["get_thresholds", "load_model", "load_pretrained"]


def __getattr__(name):
    """Imports what needs Keras on first use: importing this stays light."""
    if name in __all__:
        from koch_siamese import model_files, networks

        home = networks if name == "get_thresholds" else model_files
        return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """What is imported on first use, too."""
    return [*globals(), *__all__]
