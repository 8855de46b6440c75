"""Fixtures and helpers that several test modules share."""

import contextlib
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Two modules run at once, and their networks are tiny, so that more threads
# would slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
import pytest
from commands_server import TIMEOUT_SECONDS, CommandsServer

from koch_siamese.data.characters import Characters
from koch_siamese.runs.settings import Settings

REPOSITORY = Path(__file__).parents[1]
# Commands use the package of this checkout, whatever folder they run in.
os.environ["PYTHONPATH"] = str(REPOSITORY)
TINY_MODEL = REPOSITORY / "tests" / "fixtures" / "tiny_model.keras"
_SERVER = CommandsServer()

# A small network of the paper's kind, with its sampling and optimizer.
SMALL_PAPER = Settings(
    dataset="glyphs/tiny",
    network="paper",
    image_size=16,
    filters=(8, 16),
    kernel_sizes=(5, 3),
    units=(400,),
    sampling="pairs",
    batch_size=512,
    distortion="none",
    optimizer="layerwise_sgd",
)

# The slowest modules, the slowest first. If one of them came last, one worker
# would run it while the other is idle.
LONGEST = (
    "commands/test_export",
    "training/test_resume",
    "commands/test_classify",
    "commands/test_transcribe",
    "test_readme",
    "test_experiments",
    "training/test_loop",
    "models/test_pretrained",
    "test_benchmark",
    "commands/test_commands",
    "commands/test_photos",
    "training/test_jax",
    "training/test_own_network",
    "training/test_backbones",
    "inference/test_recognizer",
    "tuning/test_study",
)


def pytest_collection_modifyitems(items):
    """Puts the slowest modules first (see --no-loadscope-reorder)."""
    folder = Path(__file__).parent
    places = {folder / f"{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish():
    """Excludes imported objects, which stay, from garbage collection."""
    gc.freeze()


def call(command, *arguments, cwd=None):
    """Runs a command of the package without waiting for TensorFlow's import.

    It runs in a fork of a process that has imported TensorFlow. To test the
    process itself, or another backend, use `call_afresh`.
    """
    if sys.platform != "linux":  # no safe fork
        return call_afresh(command, *arguments, cwd=cwd)
    return _SERVER.run(command, *arguments, cwd=cwd)


def call_afresh(command, *arguments, cwd=None):
    """Runs a command of the package in a new process, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", f"koch_siamese.{command}", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=TIMEOUT_SECONDS,
    )


def find_imported(module, candidates):
    """Finds the candidates that are imported with a module in a new process."""
    code = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return sorted(set(candidates) & set(answer.stdout.split()))


def find_free_port():
    """Finds a port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def drop_logs(stderr):
    """Removes the messages about XLA that TensorFlow before 2.21 logs."""
    logs = ("I0000 ", "WARNING: All log messages before absl")
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(logs))


def assert_one_line(answer, *parts):
    """Asserts an exit code of 1 and one line of error that has all parts."""
    assert answer.returncode == 1, answer.stderr
    lines = answer.stderr.strip().splitlines()
    assert len(lines) == 1, answer.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


def make_characters(
    num_characters=(3, 4, 5), num_drawers=3, side=8, seed=0, channels=1
):
    """Makes random images; `num_characters` has the size of each alphabet."""
    alphabet, number, drawer = [], [], []
    for index, size in enumerate(num_characters):
        for character in range(size):
            alphabet += [index] * num_drawers
            number += [character + 1] * num_drawers
            drawer += range(1, num_drawers + 1)
    alphabet, number, drawer = map(np.array, (alphabet, number, drawer))
    rng = np.random.default_rng(seed)
    shape = len(drawer), side, side, channels
    return Characters(
        images=rng.integers(256, size=shape, dtype="uint8"),
        character=np.arange(len(drawer)) // num_drawers,
        number=number,
        alphabet=alphabet,
        drawer=drawer,
        alphabet_names=tuple(f"a{i}" for i in range(len(num_characters))),
    )


def build_fast_siamese(image_size, filters):
    """Builds a siamese model with the fast embedding and the fast head."""
    from koch_siamese.models.embeddings import build_fast_embedding
    from koch_siamese.models.siamese import build_fast_head, build_siamese

    embedding = build_fast_embedding(image_size, filters)
    return build_siamese(embedding, build_fast_head(embedding.output.shape[-1]))


@pytest.fixture
def characters():
    return make_characters()


@pytest.fixture(scope="session")
def glyphs_dir(tmp_path_factory):
    """A data_dir with glyphs/tiny in it."""
    from koch_siamese.data.sources import load_characters

    path = str(tmp_path_factory.mktemp("tensorflow_datasets"))
    load_characters("glyphs/tiny", "test", data_dir=path)
    return path


@pytest.fixture(scope="session")
def omniglot_dir():
    """A data_dir with the real Omniglot; without one, the test is skipped."""
    candidates = [
        os.environ.get("TFDS_DATA_DIR"),
        REPOSITORY.parent / "shared" / "tensorflow_datasets",
        Path.home() / "tensorflow_datasets",
    ]
    for path in filter(None, candidates):
        if Path(path, "omniglot", "3.0.0", "dataset_info.json").is_file():
            return str(path)
    pytest.skip(
        "Omniglot is not prepared in $TFDS_DATA_DIR or ~/tensorflow_datasets."
    )


@contextlib.contextmanager
def no_figures():
    """Turns off figures, which take more than half of the time of a tiny run.

    Use it only if another test trains such a network with figures.
    """
    from koch_siamese.reporting import figures
    from koch_siamese.training import finalize

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finalize, "draw_figures", lambda *_: {})
        patch.setattr(figures, "save_figure", lambda *_: None)
        yield


@pytest.fixture
def without_figures():
    with no_figures():
        yield


@pytest.fixture(scope="session")
def packed_omniglot_dir(omniglot_dir, tmp_path_factory):
    """A data_dir with Omniglot's test split in one file, which loads fast."""
    from koch_siamese.data import downloads, omniglot

    builder = downloads.prepare_omniglot(omniglot_dir)
    folder = tmp_path_factory.mktemp("packed_omniglot")
    characters = omniglot.read_characters(builder, "test")
    omniglot.pack_characters({"test": characters}, folder / omniglot.PACKED)
    return str(folder)


@pytest.fixture(scope="session")
def official_characters(packed_omniglot_dir):
    """Omniglot's ten official test alphabets, read once for all tests."""
    from koch_siamese.data.sources import load_characters

    return load_characters("omniglot", "test", data_dir=packed_omniglot_dir)
