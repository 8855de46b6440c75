import os
import subprocess
import sys

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


@pytest.mark.skipif(os.name == "nt", reason="It needs a POSIX shell.")
def test_messages_are_hidden_with_standard_error_closed():
    code = (
        "from koch_siamese.backend import hiding_messages\n"
        "with hiding_messages():\n"
        "    print('done')"
    )
    answer = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert answer.stdout == "done\n"
