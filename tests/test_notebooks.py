"""The notebooks: complete as committed, and running with small settings.

Running them in full, as they are committed, takes minutes:

    python -m pytest -m full_notebooks tests/test_notebooks.py
"""

import ast
import os
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY, TINY_MODEL

nbformat = pytest.importorskip(
    "nbformat", reason="Notebooks need the extra 'test': nbformat, nbclient."
)
nbclient = pytest.importorskip(
    "nbclient", reason="Notebooks need the extra 'test': nbformat, nbclient."
)

FOLDER = REPOSITORY / "notebooks"

# Values of the cell tagged `parameters`, with which a notebook takes seconds.
SMALL = {
    "train_and_evaluate": {
        "DATASET": "glyphs/tiny",
        "IMAGE_SIZE": 16,
        "FILTERS": (8, 8),
        "PLAIN_STEPS": 3,
        "EPOCHS": 2,
        "STEPS_PER_EPOCH": 3,
        "GROUP_CHARACTERS": 10,
        "NUM_TRIALS": 50,
        "WAYS": 5,
    },
    "your_own_images": {"NUM_KNOWN": 3, "NUM_STRANGERS": 1},
    "read_a_page": {"NUM_CHARACTERS": 4, "NUM_LINES": 3, "LINE_LENGTH": 5},
    "export_and_serve": {
        "MODEL": str(TINY_MODEL),
        "NUM_SUPPORTS": 4,
        "NUM_QUERIES": 3,
        "NUM_MANY": 20,
        "REPEATS": 2,
    },
    "your_own_photographs": {
        "NUM_CLASSES": 5,
        "NUM_PHOTOS": 3,
        "IMAGE_SIZE": 16,
        "FILTERS": (4, 6),
        "GROUP_CHARACTERS": 6,
        "EPOCHS": 2,
        "STEPS_PER_EPOCH": 3,
        "VIEWS": 1,
        "NUM_TRIALS": 50,
        "WAYS": 5,
    },
}

# What the table of a notebook has in its header, and how many figures it draws.
TABLES = {
    "train_and_evaluate": ("95 % interval", 8),
    "your_own_images": ("probability", 4),
    "read_a_page": ("best guess", 3),
    "export_and_serve": ("ms per query", 1),
    "your_own_photographs": ("true accept rate", 6),
}

# No machine's own folders: neither in what is written nor in what came out.
ABSOLUTE_PATH = re.compile(r"/(tmp|root|work|home|content|Users)\b")

NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("name", NAMES)


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def find_outputs(notebook):
    return [out for cell in code_cells(notebook) for out in cell.outputs]


def join_text(notebook):
    """All that a reader of the outputs sees as text."""
    parts = [
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for output in find_outputs(notebook)
    ]
    return "\n".join(parts)


def parse(cell):
    """The syntax of a cell, without IPython's own lines."""
    lines = [
        "" if line.startswith(("%", "!")) else line
        for line in cell.source.splitlines()
    ]
    return ast.parse("\n".join(lines))


def set_parameters(notebook, values):
    """Replaces values in the one cell that is tagged `parameters`."""
    (cell,) = (
        cell
        for cell in notebook.cells
        if "parameters" in cell.metadata.get("tags", ())
    )
    for name, value in values.items():
        cell.source, count = re.subn(
            rf"^{name} = .*?(?=  #|$)",
            lambda _, name=name, value=value: f"{name} = {value!r}",
            cell.source,
            flags=re.MULTILINE,
        )
        assert count == 1, name


def run(notebook, folder, timeout):
    """Runs a notebook in a folder, with the checkout to be imported."""
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute(env=os.environ | {"PYTHONPATH": path})


def assert_complete(notebook, name):
    """Every cell has run in order, and table and figures came out."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == [*range(1, len(counts) + 1)]
    outputs = find_outputs(notebook)
    assert "error" not in {output.output_type for output in outputs}
    assert "stderr" not in {output.get("name") for output in outputs}
    header, num_figures = TABLES[name]
    text = join_text(notebook)
    assert header in text
    assert not ABSOLUTE_PATH.search(text)
    figures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(figures) == num_figures


def test_every_notebook_has_small_settings():
    assert NAMES == sorted(SMALL) == sorted(TABLES)


@each_notebook
def test_committed_outputs_are_complete(name):
    assert_complete(read(name), name)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1_000_000


@each_notebook
def test_sources_call_the_library_and_define_nothing(name):
    for cell in read(name).cells:
        assert not ABSOLUTE_PATH.search(cell.source)
        if cell.cell_type != "code":
            continue
        for node in ast.walk(parse(cell)):
            assert not isinstance(
                node, ast.FunctionDef | ast.ClassDef | ast.Lambda
            ), cell.source
            private = (
                getattr(node, "attr", "") or getattr(node, "name", "") or ""
            )
            assert not private.startswith("_"), private


@pytest.mark.slow
@each_notebook
def test_runs_with_small_settings(name, glyphs_dir, tmp_path):
    notebook = read(name)
    values = dict(SMALL[name])
    if "DATASET" in values:
        values["DATA_DIR"] = glyphs_dir
    set_parameters(notebook, values)
    run(notebook, tmp_path, timeout=120)
    assert_complete(notebook, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.full_notebooks
@each_notebook
def test_runs_as_committed(name, tmp_path, monkeypatch):
    data = os.environ.get("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TFDS_DATA_DIR", data)
    notebook = read(name)
    run(notebook, tmp_path, timeout=1200)
    assert_complete(notebook, name)


@each_notebook
def test_setup_says_what_to_set_where_nothing_can_be_imported(name, tmp_path):
    setup = code_cells(read(name))[0].source
    assert 'REPOSITORY = ""' in setup
    # Isolated and without site: the package is not to be found.
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", setup],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "set REPOSITORY" in line


@each_notebook
def test_setup_is_the_same_in_all(name):
    cells = code_cells(read(name))
    assert cells[0].source == code_cells(read(NAMES[0]))[0].source
