"""The dependency rule of pyproject.toml, and imports of heavy packages."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import REPOSITORY, find_imported

import koch_siamese

HEAVY = ("tensorflow", "keras", "jax", "tensorflow_datasets", "matplotlib")


def test_imports_follow_the_layers():
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
        "koch_siamese.evaluation.evaluator",
        "koch_siamese.inference.storage",
        "koch_siamese.data.image_files",
    ],
)
def test_imports_are_light(module):
    assert find_imported(module, HEAVY) == []


def test_public_names_exist():
    for name in koch_siamese.__all__:
        assert getattr(koch_siamese, name) is not None
        assert name in dir(koch_siamese)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        koch_siamese.absent  # noqa: B018


def test_guides_are_attributes():
    code = "import koch_siamese; print(koch_siamese.training.__doc__)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert answer.stdout.startswith("How a model learns"), answer.stderr
    for name in koch_siamese._GUIDES:
        assert len(getattr(koch_siamese, name).__doc__.splitlines()) > 3


def test_no_public_name_is_a_command():
    """Importing a command would replace a public object of the same name."""
    package = Path(koch_siamese.__file__).parent
    modules = {path.stem for path in package.iterdir()}
    assert modules.isdisjoint(koch_siamese.__all__)


def test_public_names_are_imported_without_messages():
    light = [
        name
        for name in koch_siamese.__all__
        if koch_siamese._HOMES.get(name) in koch_siamese._WITHOUT_KERAS
    ]
    assert {"InputError", "Settings", "draw_answers", "load_folder"} < {*light}
    code = f"""
        import sys
        from koch_siamese import {", ".join(light)}
        assert not {{"keras", "tensorflow"}} & {{*sys.modules}}
        from koch_siamese import *
        assert "tensorflow" in sys.modules
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_names_that_experiments_import_exist():
    done = 0
    for path in (REPOSITORY / "experiments").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module.split(".")[0] == "koch_siamese"
            ):
                statement = ast.Module([node], type_ignores=[])
                exec(compile(statement, path, "exec"), {})
                done += 1
    assert done > 50
