"""The examples in the guides of sub-packages run as they are written."""

import re
import textwrap

import keras
import numpy as np
import pytest

from koch_siamese import data, evaluation, models, sampling

BLOCK = re.compile(r"(?:^ {4}.*\n|^\n)+", re.MULTILINE)


def run_examples(guide, heading, data_dir):
    """Runs the Python code of a section, on a small data set; returns names."""
    _, _, section = guide.__doc__.partition(heading)
    section = section.partition("\n# ")[0] + "\n"
    code = "".join(map(textwrap.dedent, BLOCK.findall(section)))
    assert "import" in code
    code = re.sub(
        r'("within_alphabet", )?"glyphs"(, "\w+")?',
        rf'\1"glyphs/tiny"\2, data_dir="{data_dir}"',
        code,
    )
    code = code.replace("steps_per_epoch=100", "steps_per_epoch=2")
    names = {}
    exec(compile(code, guide.__name__, "exec"), names)
    return names


@pytest.mark.filterwarnings("error::UserWarning:keras")
def test_models_are_trained_by_keras_alone(glyphs_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples(models, "# With Keras alone", glyphs_dir)
    assert (tmp_path / "filters.png").is_file()
    assert names["trainer"].output_shape == (None, None)
    assert names["result"]["protocol"] == "within_alphabet"


def test_images_in_arrays_become_characters(glyphs_dir, monkeypatch):
    labels = np.tile(np.arange(10, dtype=np.uint8), 3)
    images = np.zeros((30, 28, 28), np.uint8)  # black, as MNIST's paper is
    monkeypatch.setattr(
        keras.datasets.mnist, "load_data", lambda: ((images, labels), None)
    )
    names = run_examples(data, "# Images in NumPy arrays", glyphs_dir)
    digits = names["digits"]
    assert (digits.images == 255).all()
    assert (digits.num_characters, len(digits)) == (10, 30)
    assert digits.describe(29) == "digits/10/03"
    inputs, _ = next(iter(names["pairs"]))
    assert inputs["first"].shape == (64, 35, 35, 1)


def test_scorers_and_trials_of_users_are_evaluated(glyphs_dir):
    names = run_examples(evaluation, "# Models and protocols", glyphs_dir)
    assert 0.1 < names["result"]["accuracy"] < 0.9
    measured = names["evaluate_trials"](names["drawings"], names["trials"])
    assert (measured["num_trials"], measured["ways"]) == (100, 2)
    assert 0.6 < measured["accuracy"] < 1


def test_samples_are_indices_of_drawings(glyphs_dir):
    names = run_examples(sampling, "Samples of a data set", glyphs_dir)
    character = names["characters"].character
    alike = character[names["first"]] == character[names["second"]]
    assert alike.tolist() == names["same"].astype(bool).tolist()
    assert names["matrices"].shape == (160, 2, 3)
