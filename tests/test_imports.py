"""The dependency rule of pyproject.toml, and how light imports are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, find_imported

import koch_siamese

HEAVY = ("tensorflow", "keras", "jax", "tensorflow_datasets", "matplotlib")


def test_imports_point_one_way():
    linter = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run(
        [linter, "--no-cache"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert answer.returncode == 0, answer.stdout
    assert "2 kept, 0 broken" in answer.stdout


@pytest.mark.parametrize(
    "module",
    [
        "koch_siamese",
        "koch_siamese.sampling.trials",
        "koch_siamese.runs.flagfiles",
        "koch_siamese.evaluation.protocols",
        "koch_siamese.inference.gallery",
        "koch_siamese.data.image_files",
    ],
)
def test_imports_are_light(module):
    assert find_imported(module, HEAVY) == []


def test_public_names_are_there():
    for name in koch_siamese.__all__:
        assert getattr(koch_siamese, name) is not None
        assert name in dir(koch_siamese)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        koch_siamese.absent  # noqa: B018
