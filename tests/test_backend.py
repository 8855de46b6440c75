import pytest

from koch_siamese import backend
from koch_siamese.errors import InputError


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "TensorFlow is not installed: install it, or set KERAS_BACKEND"),
        ("tensorflow", "TensorFlow is not installed"),
        ("jax", "KERAS_BACKEND is jax, which is not installed"),
        ("torch", "KERAS_BACKEND is 'torch': expected tensorflow or jax"),
    ],
)
def test_missing_or_unknown_backends_are_refused(name, message, monkeypatch):
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("KERAS_BACKEND", name or "")
    with pytest.raises(InputError, match=message):
        backend.import_tensorflow()
