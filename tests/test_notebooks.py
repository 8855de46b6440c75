"""The notebooks: their committed outputs, and runs with small settings.

Running them with the committed settings takes minutes:

    python -m pytest -m full_notebooks tests/test_notebooks.py
"""

import ast
import os
import re
import subprocess
import sys
import textwrap

import pytest
from conftest import REPOSITORY, TINY_MODEL

nbformat = pytest.importorskip(
    "nbformat", reason="Notebooks need the extra 'test': nbformat, nbclient."
)
nbclient = pytest.importorskip(
    "nbclient", reason="Notebooks need the extra 'test': nbformat, nbclient."
)

FOLDER = REPOSITORY / "notebooks"

# Values for the cell tagged `parameters`, so that a notebook takes seconds.
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

# Text in the outputs of a notebook, and its number of figures.
OUTPUTS = {
    "train_and_evaluate": ("95 % interval", 10),
    "your_own_images": ("none of these", 3),
    "read_a_page": ("best guess", 3),
    "export_and_serve": ("ms per query", 1),
    "your_own_photographs": ("95 % interval", 5),
}

# The packages that notebooks may import, besides this one and Python's own.
PACKAGES = {"IPython", "PIL", "keras", "matplotlib", "numpy", "tensorflow"}

# Folders of one machine must be neither in sources nor in outputs.
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
    """Joins all text of the outputs."""
    parts = [
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for output in find_outputs(notebook)
    ]
    return "\n".join(parts)


def parse(source):
    """Parses the code of a cell without IPython's commands."""
    plain = re.sub(r"^( *)[%!].*", r"\1pass", source, flags=re.MULTILINE)
    return ast.parse(plain)


def find_answers(notebook):
    """Finds the hidden answers of the exercises, and the code in them."""
    text = "\n".join(cell.source for cell in notebook.cells)
    answers = re.findall(
        r"<summary>Answer</summary>\n\n(.*?)</details>", text, re.DOTALL
    )
    code = [re.findall(r"```python\n(.*?)```", x, re.DOTALL) for x in answers]
    return answers, ["\n".join(blocks) for blocks in code if blocks]


def set_parameters(notebook, values):
    """Replaces values in the cell tagged `parameters`."""
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
    """Runs a notebook in a folder; it imports the package of this checkout."""
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute(env=os.environ | {"PYTHONPATH": path})


def assert_complete(notebook, name):
    """Asserts that all cells ran in order and made the expected outputs."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == [*range(1, len(counts) + 1)]
    outputs = find_outputs(notebook)
    assert "error" not in {output.output_type for output in outputs}
    assert "stderr" not in {output.get("name") for output in outputs}
    words, num_figures = OUTPUTS[name]
    text = join_text(notebook)
    assert words in text
    assert not ABSOLUTE_PATH.search(text)
    figures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(figures) == num_figures


def test_every_notebook_has_small_settings():
    assert NAMES == sorted(SMALL) == sorted(OUTPUTS)


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
        for node in ast.walk(parse(cell.source)):
            assert not isinstance(
                node, ast.FunctionDef | ast.ClassDef | ast.Lambda
            ), cell.source
            private = (
                getattr(node, "attr", "") or getattr(node, "name", "") or ""
            )
            assert private == "__version__" or private[:1] != "_", private


@each_notebook
def test_imports_are_public(name):
    notebook = read(name)
    sources = [cell.source for cell in code_cells(notebook)]
    for source in sources + find_answers(notebook)[1]:
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.ImportFrom):
                modules = [node.module]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            for module in modules:
                top = module.partition(".")[0]
                assert (
                    module == "koch_siamese"
                    or top in PACKAGES
                    or top in sys.stdlib_module_names
                ), module


@each_notebook
def test_notebook_states_its_goal_and_has_exercises(name):
    notebook = read(name)
    (learned,) = re.findall(
        r"\*\*What you will learn\*\*\n\n(.*?)\n\n",
        notebook.cells[0].source,
        re.DOTALL,
    )
    assert 3 <= learned.count("- ") <= 5
    answers, code = find_answers(notebook)
    assert 3 <= len(answers) <= 4
    assert len(code) >= 2


@pytest.mark.slow
@each_notebook
def test_notebook_runs_with_small_settings_and_solutions(
    name, glyphs_dir, tmp_path
):
    notebook = read(name)
    values = dict(SMALL[name])
    if "DATASET" in values:
        values["DATA_DIR"] = glyphs_dir
    set_parameters(notebook, values)
    answers = [nbformat.v4.new_code_cell(x) for x in find_answers(notebook)[1]]
    num_cells = len(notebook.cells)
    notebook.cells += answers
    run(notebook, tmp_path, timeout=120)
    del notebook.cells[num_cells:]
    assert_complete(notebook, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.full_notebooks
@each_notebook
def test_notebook_runs_as_committed(name, tmp_path, monkeypatch):
    data = os.environ.get("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TFDS_DATA_DIR", data)
    notebook = read(name)
    run(notebook, tmp_path, timeout=1200)
    assert_complete(notebook, name)


def get_setup(name=NAMES[0]):
    return code_cells(read(name))[0].source


@each_notebook
def test_setup_is_short_and_the_same_in_all_notebooks(name):
    setup = get_setup(name)
    assert setup == get_setup()
    assert len(setup.splitlines()) <= 5
    assert "`SOURCE`" in read(name).cells[1].source


def run_setup(tmp_path):
    """Runs the first cell; it can import the package only from a folder.

    Returns:
        Lines of output: the arguments of pip, and last the type of the error.
    """
    code = f"""
        import sys
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance(colors="nocolor")
        shell.register_magic_function(print, magic_name="pip")
        shell.run_cell("1")
        sys.path[:] = [
            {str(tmp_path)!r},
            *(x for x in sys.path if "python3" in x and "-packages" not in x),
        ]
        sys.meta_path[:] = [
            x for x in sys.meta_path if "__editable__" not in x.__module__
        ]
        result = shell.run_cell({get_setup()!r})
        print(type(result.error_in_exec).__name__)
    """
    answer = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        env=os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")},
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


PIP = 'install -q ".."'


def test_setup_installs_and_stops_if_that_failed(tmp_path):
    lines = run_setup(tmp_path)
    assert PIP in lines
    assert lines[-1] == "ModuleNotFoundError"


def test_bare_folder_is_not_an_installation(tmp_path):
    (tmp_path / "koch_siamese").mkdir()
    lines = run_setup(tmp_path)
    assert PIP in lines
    assert lines[-1] == "ImportError"


def test_setup_does_not_change_an_installation(tmp_path):
    package = tmp_path / "koch_siamese"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '1'")
    lines = run_setup(tmp_path)
    assert PIP not in lines
    assert lines[-1] == "NoneType"
