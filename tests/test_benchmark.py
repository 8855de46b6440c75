"""The benchmark: its arithmetic by hand, and that every row of ours runs."""

import contextlib
import dataclasses
import importlib.util
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY, assert_one_line

from experiments.benchmark import (
    data,
    levers,
    measuring,
    ours,
    plain,
    profiling,
    trainings,
)
from experiments.benchmark.counting import count_multiply_adds
from experiments.benchmark.options import LEVERS, QUICK, Options
from experiments.benchmark.rows import ROWS
from koch_siamese.models import embeddings
from koch_siamese.models.siamese import build_fast_siamese
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


def test_operations_of_a_profile_by_kind():
    scope = "StatefulPartitionedCall/gradient_tape/embedding/conv2d/"
    assert [
        profiling.classify(event)
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
        profiling.REST,
        None,
        None,
        None,
        profiling.COMPILED,
    ]


@pytest.mark.parametrize(
    ("compiled", "kind"),
    [(False, "dense layers"), (True, profiling.COMPILED)],
)
def test_profile_sees_the_product_of_matrices(compiled, kind):
    matrix = tf.ones((1500, 1500))
    multiply = tf.function(
        lambda: tf.reduce_sum(matrix @ matrix), jit_compile=compiled
    )
    multiply()
    shares = profiling.profile(multiply)
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
    # 4 / 2, 9 / 3 and 2 / 4.
    assert line["ratio_rival"]["median"] == 2.0
    assert line["ratio_rival"]["low"] == 0.5
    assert line["ratio_rival"]["high"] == 3.0
    assert line["rounds"] == 3
    # Of times the other way round.
    line = measuring.make_line("a", False, values)
    assert line["ratio_rival"]["median"] == 0.5
    assert "rival" not in measuring.make_line("b", True, values)
    assert measuring.make_details(["a"], values) == {"ours: b": 3}


class Numbered(contextlib.AbstractContextManager):
    """A worker whose values count from ten times the number of its process."""

    num = 0

    def __init__(self, side, workload, options):
        type(self).num += 1
        self.value = 10 * self.num
        self.notes = ["as ever", f"process {self.num}"]

    def measure(self):
        self.value += 1
        return {"a": self.value}

    def __exit__(self, *_):
        pass


def test_sides_take_turns_in_processes_one_after_the_other(monkeypatch):
    monkeypatch.setattr(Numbered, "num", 0)
    monkeypatch.setattr(measuring, "Worker", Numbered)
    values, notes = measuring.alternate(
        "any", ("ours", "rival"), Options(), processes=2, rounds=2
    )
    # Without the first of each process.
    assert values == {
        "ours": [{"a": 12}, {"a": 13}, {"a": 32}, {"a": 33}],
        "rival": [{"a": 22}, {"a": 23}, {"a": 42}, {"a": 43}],
    }
    assert notes == [
        "ours: as ever",
        "ours: process 1",
        "rival: as ever",
        "rival: process 2",
        "ours: process 3",
        "rival: process 4",
    ]


def test_seconds_to_a_target():
    history = {"accuracy": [0.1, 0.6, 0.5, 0.8], "seconds": [3, 4, 5, 6]}
    assert trainings.seconds_to(0.5, history) == 7
    assert trainings.seconds_to(0.7, history) == 18
    assert trainings.seconds_to(0.9, history) == 18


def summary(middle):
    return {"median": middle, "mean": 8, "low": 0.5, "high": 1234.5}


def test_table_literally():
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
    assert [row.row for row in tables[2].rows] == list(LEVERS)
    assert {row.line.partition(": ")[2] for row in tables[1].rows} == set(
        profiling.ALL_KINDS
    )


def test_headings_of_a_table_that_has_other_columns():
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
    """Options of --quick, with their data written."""
    options = Options(
        folder=str(tmp_path_factory.mktemp("benchmark")),
        dataset="glyphs/tiny",
        data_dir=glyphs_dir,
        **QUICK,
    )
    (measure,) = data.prepare(options)
    assert measure()["drawings"] == len(options.read()["images"])
    return options


@pytest.mark.parametrize(
    ("workload", "names"),
    [
        (
            ours.train_step,
            {
                "train_step",
                "train_step_roofline",
                "train_step: gradients of filters",
            },
        ),
        (ours.train_step_groups_bfloat16, {"train_step_groups_bfloat16"}),
        (ours.input, {"input"}),
        (ours.evaluation, {"evaluation", "images/s"}),
        (ours.serving, {"serving_20", "serving_100000"}),
    ],
)
def test_rows_of_ours(quick, workload, names):
    measure, *_ = workload(quick)
    values = measure()
    assert names <= values.keys()
    assert all(np.isfinite(value) for value in values.values())
    assert all(values[name] > 0 for name in names)


# One of each kind: a patch, an attribute of the training, another network.
@pytest.mark.parametrize(
    "name",
    [
        "lever_distances_as_product",
        "lever_normalization",
        "lever_steps_per_execution",
        "lever_muon",
        "lever_no_tuning",
        "lever_first_convolution",
    ],
)
def test_levers_put_the_other_way(quick, name):
    # Enough steps for several in a call.
    options = dataclasses.replace(quick, otherwise=True, group_steps=10)
    measure, *_ = getattr(levers, name)(options)
    assert measure()[name] > 0


def test_every_lever_has_a_function():
    assert all(callable(getattr(levers, name)) for name in LEVERS)


def test_convolution_of_patches_is_a_convolution():
    plain = keras.layers.Conv2D(3, (2, 4), activation="relu")
    patches = levers.PatchConvolution(3, (2, 4), activation="relu")
    images = np.random.default_rng(0).random((2, 6, 7, 1), np.float32)
    expected = plain(images)
    patches.build(images.shape)
    patches.set_weights(plain.get_weights())
    np.testing.assert_allclose(patches(images), expected, atol=1e-6)


def test_growth_of_sampling(quick, monkeypatch):
    monkeypatch.setattr(plain, "_measure_memory", lambda _: {})
    small = dataclasses.replace(quick, num_characters=(60, 600))
    (measure,) = plain.growth(small)
    values = measure()
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


def test_command_writes_lines_beside_those_of_other_rows(tmp_path):
    path = tmp_path / "benchmark.json"
    path.write_text('{"benchmark": {"other": 1, "start_help": 2}}')
    answer = run("--quick", "--processes=2", "--rows=start", f"--output={path}")
    assert answer.returncode == 0, answer.stderr
    lines = json.loads(path.read_text())["benchmark"]
    assert lines["other"] == 1
    line = lines["start_help"]
    assert line["rounds"] == 4  # two of each
    assert 0 < line["ours"]["low"] <= line["ours"]["median"]
    assert {"machine", "commit", "torch", "threads", "date"} <= line.keys()
    assert "import koch_siamese, s" in answer.stdout


def test_mistakes_get_one_line():
    assert_one_line(run("--rows=start,speed"), "'speed'", "train_step")


@needs_torch
def test_rivals_networks_are_ours():
    from experiments.benchmark import rival_networks

    def count(network):
        return sum(x.numel() for x in network.parameters())

    paper = rival_networks.build_paper_embedding((64, 128, 128, 256), 4096)
    assert count(rival_networks.Siamese(paper, 4096)) == 38_951_745
    fast = build_fast_siamese(32, embeddings.FAST_FILTERS)
    assert count(
        rival_networks.Siamese(rival_networks.build_fast_embedding(), 256)
    ) == sum(np.prod(x.shape) for x in fast.trainable_weights)


@needs_torch
@pytest.mark.parametrize("best", [False, True])
def test_rows_of_the_rival(quick, best):
    from experiments.benchmark import rival

    options = dataclasses.replace(quick, best=best, galleries=(20, 100, 1000))
    for name in ("train_step", "train_step_groups", "evaluation", "serving"):
        measure, *_ = getattr(rival, name)(options)
        assert all(value > 0 for value in measure().values())


@needs_torch
def test_a_compiler_that_fails_is_told_and_left_out(monkeypatch):
    import torch

    from experiments.benchmark.rival_settings import find_best

    def compile(network):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", compile)
    step, note = find_best(
        lambda network, images: lambda: network(*images),
        torch.nn.Conv2d(1, 2, 3),
        [torch.ones(1, 1, 8, 8)],
        may_compile=True,
    )
    assert step().shape == (1, 2, 6, 6)
    assert "torch.compile does not work here: no compiler;" in note


class Counted:
    """Makes steps that count their calls; some fail from the second on.

    Args:
        fails: whether a step on such images does.
    """

    def __init__(self, fails):
        self.fails = fails
        self.calls = []

    def __call__(self, network, images):
        number = len(self.calls)
        self.calls.append(0)

        def step():
            self.calls[number] += 1
            if self.calls[number] > 1 and self.fails(*images):
                raise RuntimeError("out of memory")

        return step


def find_best_of_counted(monkeypatch, fails):
    import torch

    from experiments.benchmark import rival_settings

    monkeypatch.setattr(rival_settings, "TURN_SECONDS", 0)  # a step is longer
    steps = Counted(fails)
    _, note = rival_settings.find_best(
        steps, torch.nn.Identity(), [torch.ones(1, 2, 8, 8)], False
    )
    return steps.calls, note


@needs_torch
def test_long_steps_are_timed_twice(monkeypatch):
    calls, _ = find_best_of_counted(monkeypatch, lambda images: False)
    assert calls == [3, 3]  # once not timed


@needs_torch
def test_settings_that_fail_when_timed_are_told_and_left_out(monkeypatch):
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
