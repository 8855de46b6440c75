"""Tests what the demo says if Gradio is not installed."""

import os

from conftest import REPOSITORY, assert_one_line, call_afresh


def test_the_demo_needs_an_extra(tmp_path, monkeypatch):
    block = "import sys; sys.modules['gradio'] = None"
    (tmp_path / "sitecustomize.py").write_text(block)
    paths = (str(tmp_path), str(REPOSITORY))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    assert_one_line(call_afresh("demo"), "pip install 'koch-siamese[demo]'")
