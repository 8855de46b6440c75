"""The benchmark: its arithmetic, and that each of our rows can be measured."""

import contextlib
import dataclasses
import functools
import importlib.util
import itertools
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY, assert_one_line, build_fast_siamese

from experiments.benchmark import measuring, ours, plain, steps
from experiments.benchmark.options import LEVERS, QUICK, ROWS, Options
from experiments.benchmark.steps import count_multiply_adds
from koch_siamese.models import embeddings
from koch_siamese.reporting import benchmark_table

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch, the extra benchmark, is not installed.",
)


def test_multiply_adds_by_hand():
    images = keras.Input((9, 9, 1))
    x = keras.layers.Conv2D(2, 4)(images)  # 6 x 6 places, 2 x 16 weights
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(5, 3, padding="same")(x)  # 3 x 3, 5 x 2 x 9
    x = keras.layers.Dense(7)(keras.layers.Flatten()(x))  # 45 x 7
    model = keras.Model(images, x)
    first, second, dense = 36 * 32, 9 * 90, 45 * 7
    assert count_multiply_adds(model) == first + second + dense
    assert count_multiply_adds(model, training=True) == (
        2 * first + 3 * second + 3 * dense
    )


def test_multiply_adds_of_the_papers_network():
    layers = (
        (96 * 96, 64 * 10 * 10),
        (42 * 42, 128 * 64 * 7 * 7),
        (18 * 18, 128 * 128 * 4 * 4),
        (6 * 6, 256 * 128 * 4 * 4),
        (1, 9216 * 4096),
    )
    forward = sum(places * weights for places, weights in layers)
    assert forward == 908_623_872
    embedding = embeddings.build_paper_embedding()
    assert count_multiply_adds(embedding) == forward
    assert count_multiply_adds(embedding, training=True) == (
        3 * forward - 96 * 96 * 6400
    )


def test_operations_of_a_profile_are_classified():
    scope = "StatefulPartitionedCall/gradient_tape/embedding/conv2d/"
    assert [
        steps.classify(event)
        for event in (
            f"{scope}Conv2DBackpropFilter:_MklNativeConv2DBackpropFilter",
            f"{scope}Conv2DBackpropInput:Conv2DBackpropInput",
            f"{scope}convolution:_FusedConv2D",
            f"{scope}mul:Mul",
            "StatefulPartitionedCall:StatefulPartitionedCall",
            "EagerLocalExecute: MatMul",
            "KernelAndDeviceFunc::Run",
            "CpuExecutable::ExecuteAsyncOnStream",
        )
    ] == [
        "gradients of filters",
        "gradients of inputs",
        "convolutions",
        steps.REST,
        None,
        None,
        None,
        steps.COMPILED,
    ]


@pytest.mark.parametrize(
    ("compiled", "kind"),
    [
        (False, "products of matrices (dense layers, spectra)"),
        pytest.param(
            True,
            steps.COMPILED,
            marks=pytest.mark.skipif(
                tf.__version__.split(".") < ["2", "21"],
                reason="Earlier profiles do not show what XLA compiles.",
            ),
        ),
    ],
)
def test_profile_contains_the_matrix_product(compiled, kind):
    matrix = tf.ones((1500, 1500))
    multiply = tf.function(
        lambda: tf.reduce_sum(matrix @ matrix), jit_compile=compiled
    )
    multiply()
    shares = steps.profile(multiply)
    assert sum(shares.values()) == pytest.approx(100)
    assert max(shares, key=shares.get) == kind


def test_medians_ranges_and_ratios_by_hand():
    values = {
        "ours": [
            {"a": 4.0, "b": 1.0},
            {"a": 9.0, "b": 5.0},
            {"a": 2.0, "b": 3},
        ],
        "rival": [{"a": 2.0}, {"a": 3.0}, {"a": 4.0}],
    }
    line = measuring.make_line("a", True, values)
    assert line["ours"] == {"median": 4.0, "mean": 5.0, "low": 2.0, "high": 9.0}
    # The ratios are 4 / 2, 9 / 3 and 2 / 4.
    assert line["ratio_rival"]["median"] == 2.0
    assert line["ratio_rival"]["low"] == 0.5
    assert line["ratio_rival"]["high"] == 3.0
    assert line["rounds"] == 3
    # For times, the ratios are inverted.
    line = measuring.make_line("a", False, values)
    assert line["ratio_rival"]["median"] == 0.5
    assert "rival" not in measuring.make_line("b", True, values)
    assert measuring.make_details(["a"], values) == {"ours: b": 3}


@contextlib.contextmanager
def numbered_process(numbers):
    """Fakes a process: number n returns 10 n + 1, 10 n + 2, and so on."""
    number = next(numbers)
    values = itertools.count(10 * number + 1)

    def call(function, row, options):
        return {row: next(values)}, ["as ever", f"{number} is {options.side}"]

    yield call


def test_sides_take_turns_in_successive_processes(monkeypatch):
    process = functools.partial(numbered_process, itertools.count(1))
    monkeypatch.setattr(measuring, "new_process", process)
    values, notes = measuring.alternate(
        "a", ("ours", "rival"), Options(), seeds=(0, 0), rounds=2
    )
    # The first value of each process is a warm-up and left out.
    assert values == {
        "ours": [{"a": 12}, {"a": 13}, {"a": 32}, {"a": 33}],
        "rival": [{"a": 22}, {"a": 23}, {"a": 42}, {"a": 43}],
    }
    assert notes == [
        "ours: as ever",
        "ours: 1 is ours",
        "rival: as ever",
        "rival: 2 is rival",
        "ours: 3 is ours",
        "rival: 4 is rival",
    ]


def summary(middle):
    return {"median": middle, "mean": 8, "low": 0.5, "high": 1234.5}


def test_table_equals_literal_text():
    table = benchmark_table.Comparison.from_json(
        {
            "comparison": "benchmark.json",
            "rows": [
                {"row": "a", "line": "x", "what": "one", "unit": "ms"},
                {
                    "row": "a",
                    "line": "y",
                    "what": "two",
                    "unit": "%",
                    "aim": "92.0",
                    "statistic": "mean",
                },
                {"row": "b", "line": "z", "what": "three", "unit": "s"},
            ],
        }
    )
    about = {"rounds": 3, "machine": "2 x A", "commit": "abc"}
    lines = {
        "x": {"ours": summary(2), "rival": summary(6)}
        | {"ratio_rival": summary(3.14159)}
        | about,
        "y": {"ours": summary(2), "otherwise": summary(6)}
        | {"ratio_otherwise": summary(0.01234)}
        | about,
    }
    rows = table.to_markdown({"benchmark.json": {"benchmark": lines}})
    assert rows.splitlines()[2:] == [
        "| one, ms | **2.00** (0.500 to 1,234) | 6.00 (0.500 to 1,234) "
        "| 3.14 (0.500 to 1,234) |  |  |  | 3 | 2 x A | abc |",
        "| two, % | **8.00** (0.500 to 1,234) | 8.00 (0.500 to 1,234) "
        "| 8.00 (0.500 to 1,234) |  |  | 92.0 | 3 | 2 x A | abc |",
        "| three, s | not run |  |  |  |  |  |  |  |  |",
    ]
    assert "| three, s | not run |  |  |  |  |  |" in (
        table.to_markdown({}, short=True)
    )


def test_table_of_the_repository_has_all_rows():
    path = REPOSITORY / "experiments/tables.json"
    tables = [
        benchmark_table.Comparison.load(path, name)
        for name in ("benchmark", "profile", "levers")
    ]
    assert {row.row for table in tables for row in table.rows} == set(ROWS)
    assert [row.row for row in tables[2].rows] == [
        *LEVERS,
        "query",
        "query",
    ]
    assert {row.line.partition(": ")[2] for row in tables[1].rows} == set(
        steps.ALL_KINDS
    )


def test_columns_of_a_table_can_be_changed():
    table = benchmark_table.Comparison.from_json(
        {
            "comparison": "benchmark.json",
            "columns": {"rival": "otherwise", "rival_best": "", "aim": ""}
            | {"ratio_rival_best": ""},
            "rows": [{"row": "a", "line": "x", "what": "one", "unit": "ms"}],
        }
    )
    assert table.to_markdown({}, short=True).splitlines() == [
        "| what | ours | otherwise | times better |",
        "| --- | --- | --- | --- |",
        "| one, ms | not run |  |  |",
    ]


@pytest.fixture(scope="module")
def quick(glyphs_dir, tmp_path_factory):
    """The options of --quick, with prepared data."""
    folder = str(tmp_path_factory.mktemp("benchmark"))
    options = Options(**QUICK | {"folder": folder, "data_dir": glyphs_dir})
    options.prepare()
    return options


def measure(workloads, row, options, **changes):
    values, _ = next(workloads[row](dataclasses.replace(options, **changes)))
    assert all(np.isfinite(value) for value in values.values())
    return values


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (
            "train_step",
            {
                "train_step",
                "train_step_roofline",
                "train_step: gradients of filters",
            },
        ),
        pytest.param(
            "train_step_groups_bfloat16",
            {"train_step_groups_bfloat16"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "time_to_accuracy",
            {"accuracy_2", "accuracy_8", "accuracy_20"},
            marks=pytest.mark.slow,
        ),
        ("input", {"input"}),
        ("evaluation", {"evaluation", "images/s"}),
        ("serving", {"serving_20", "serving_100000"}),
        ("query", {"query", "embedding"}),
    ],
)
def test_our_rows_are_measured(quick, row, names):
    values = measure(ours.WORKLOADS, row, quick)
    assert all(values[name] > 0 for name in names)


@pytest.mark.slow
def test_levers_are_switched(quick, monkeypatch):
    # All at once, except two: one is for the paper's network, and in the other
    # XLA compiles the whole step.
    others = ("lever_first_convolution", "lever_whole_step_by_xla")
    patches = {}
    for row in set(LEVERS) - set(others):
        patches |= steps.LEVERS[row]
    monkeypatch.setitem(steps.LEVERS, "all", patches)
    monkeypatch.setitem(steps.SETTINGS, "all", steps.SETTINGS["lever_muon"])
    # Enough steps to run several per call.
    changes = {"side": "otherwise", "group_steps": 10}
    workloads = {"all": functools.partial(steps.pull_lever, "all")}
    assert measure(workloads, "all", quick, **changes)["all"] > 0


@pytest.mark.parametrize("row", ["lever_first_convolution", "lever_spectral"])
def test_levers_of_the_papers_network_are_switched(quick, row):
    assert measure(ours.WORKLOADS, row, quick, side="otherwise")[row] > 0


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("lever_bfloat16", (False, 1, "float32")),
        ("lever_whole_step_by_xla", (True, 1, "bfloat16")),
        ("lever_steps_per_execution", (False, 10, "bfloat16")),
    ],
)
def test_levers_change_the_training_step(quick, row, expected):
    settings = steps.make_settings(quick, precision="bfloat16")
    with steps.choose_otherwise(row):
        trainer, _ = steps.make_training(quick, settings)
    layers = trainer.get_layer("embedding").layers
    precision = {
        layer.compute_dtype
        for layer in layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    found = (trainer.jit_compile, trainer.steps_per_execution, *precision)
    assert found == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_other_side_of_the_normalization_lever_is_keras(quick, precision):
    settings = steps.make_settings(quick, precision=precision)
    with steps.choose_otherwise("lever_normalisation"):
        trainer, _ = steps.make_training(quick, settings)
    kinds = {
        type(layer)
        for layer in trainer.get_layer("embedding").layers
        if isinstance(layer, keras.layers.GroupNormalization)
    }
    assert kinds == {keras.layers.GroupNormalization}


def test_every_row_has_a_workload():
    assert {*ours.WORKLOADS, *plain.WORKLOADS} == set(ROWS)
    assert tuple(steps.LEVERS) == LEVERS


def test_convolution_of_patches_is_a_convolution():
    plain = keras.layers.Conv2D(3, (2, 4), activation="relu")
    patches = steps.PatchConvolution(3, (2, 4), activation="relu")
    images = np.random.default_rng(0).random((2, 6, 7, 1), np.float32)
    expected = plain(images)
    patches.build(images.shape)
    patches.set_weights(plain.get_weights())
    np.testing.assert_allclose(patches(images), expected, atol=1e-6)


def test_growth_with_the_number_of_characters(quick, monkeypatch):
    monkeypatch.setattr(plain, "_measure_memory", lambda _: {})
    small = {"num_characters": (60, 600)}
    values = measure(plain.WORKLOADS, "growth", quick, **small)
    assert 0 < values["growth_trials"] < 10
    assert values["growth_groups, 600 characters, ms"] > 0


def run(*arguments, cwd=REPOSITORY):
    return subprocess.run(
        [sys.executable, "-m", "experiments.benchmark", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
    )


def test_command_keeps_the_lines_of_other_rows(tmp_path):
    path = tmp_path / "benchmark.json"
    path.write_text('{"benchmark": {"other": 1, "start_help": 2}}')
    answer = run("--quick", "--processes=2", "--rows=start", f"--output={path}")
    assert answer.returncode == 0, answer.stderr
    lines = json.loads(path.read_text())["benchmark"]
    assert lines["other"] == 1
    line = lines["start_help"]
    assert line["rounds"] == 4  # two of each process
    assert 0 < line["ours"]["low"] <= line["ours"]["median"]
    assert {"machine", "commit", "torch", "threads", "date"} <= line.keys()
    assert "import koch_siamese, s" in answer.stdout


def test_mistakes_get_one_line():
    assert_one_line(run("--rows=start,speed"), "'speed'", "train_step")


@needs_torch
def test_networks_of_the_rival_are_as_large_as_ours():
    from experiments.benchmark import rival

    def count(network):
        return sum(x.numel() for x in network.parameters())

    paper = rival.build_paper_network((64, 128, 128, 256), 4096)
    assert count(paper) == 38_951_745
    fast = build_fast_siamese(32, embeddings.FAST_FILTERS)
    assert count(rival.build_fast_network()) == sum(
        np.prod(x.shape) for x in fast.trainable_weights
    )


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("side", ["rival", "rival_best"])
def test_rows_of_the_rival_are_measured(quick, side):
    from experiments.benchmark import rival

    changes = {"side": side, "galleries": (20, 100, 1000)}
    for row in ("train_step", "train_step_groups", "evaluation", "serving"):
        values = measure(rival.WORKLOADS, row, quick, **changes)
        assert all(value > 0 for value in values.values())


@needs_torch
@pytest.mark.slow
def test_failing_compiler_is_noted_and_skipped(monkeypatch):
    import torch

    from experiments.benchmark.rival import find_best

    def compile(network):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", compile)
    step, (note,) = find_best(
        lambda network: network,
        torch.nn.Conv2d(1, 2, 3),
        [torch.ones(1, 1, 8, 8)],
        may_compile=True,
    )
    assert step(torch.ones(1, 1, 8, 8)).shape == (1, 2, 6, 6)
    assert "torch.compile does not work here: no compiler;" in note


class Counted:
    """Makes steps that count their calls; some fail from the second one on.

    Args:
        fails: tells from the images whether a step fails.
    """

    def __init__(self, fails):
        self.fails = fails
        self.calls = []

    def __call__(self, network):
        number = len(self.calls)
        self.calls.append(0)

        def step(*images):
            self.calls[number] += 1
            if self.calls[number] > 1 and self.fails(*images):
                raise RuntimeError("out of memory")

        return step


def find_best_of_counted(monkeypatch, fails):
    import torch

    from experiments.benchmark import rival

    monkeypatch.setattr(rival, "TURN_SECONDS", 0)  # every step is longer
    steps = Counted(fails)
    _, (note,) = rival.find_best(
        steps, torch.nn.Identity(), [torch.ones(1, 2, 8, 8)], False
    )
    return steps.calls, note


@needs_torch
def test_long_steps_are_timed_twice(monkeypatch):
    calls, _ = find_best_of_counted(monkeypatch, lambda images: False)
    assert calls == [3, 3]  # two timed, one to warm up


@needs_torch
def test_failing_settings_are_noted_and_skipped(monkeypatch):
    calls, note = find_best_of_counted(
        monkeypatch, lambda images: not images.is_contiguous()
    )
    assert calls == [3, 2]
    assert "channels_last does not work here: out of memory; " in note
    assert note.endswith("; best: as written")
    with pytest.raises(
        RuntimeError, match="as written does not work here: out"
    ):
        find_best_of_counted(monkeypatch, lambda images: True)
