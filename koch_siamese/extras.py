"""Packages that are not always installed, and the extras that install them."""

import importlib.util

from koch_siamese.errors import InputError

# The package and the extra of each module.
PACKAGES = {
    "faiss": ("faiss-cpu", "index"),
    "gradio": ("gradio", "demo"),
    "onnx": ("onnx", "export"),
    "onnxruntime": ("onnxruntime", "export"),
    "optuna": ("optuna", "search"),
    "pillow_heif": ("pillow-heif", "heic"),
    "pypdfium2": ("pypdfium2", "pages"),
    "skimage": ("scikit-image", "pages"),
    "sklearn": ("scikit-learn", "pages"),
    "tf2onnx": ("tf2onnx", "export"),
}


def is_installed(module: str) -> bool:
    """Tells whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def explain_installation(module: str) -> str:
    """Returns the command that installs a module, with its extra."""
    return f"pip install 'koch-siamese[{PACKAGES[module][1]}]'"


def require(module: str, what: str):
    """Raises an `InputError` unless a module is installed.

    Args:
        module: the module.
        what: what needs it, such as "The demo".
    """
    if not is_installed(module):
        raise InputError(
            f"{what} needs {PACKAGES[module][0]}, which is not installed: "
            f"{explain_installation(module)}."
        )
