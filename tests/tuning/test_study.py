import dataclasses
import json
import zipfile

import numpy as np
import optuna
import pytest
from conftest import assert_one_line, call, drop_logs

from koch_siamese.errors import DivergedError, InputError
from koch_siamese.runs.flagfiles import parse_flags
from koch_siamese.runs.settings import Settings
from koch_siamese.training.checkpoints import save_checkpoint
from koch_siamese.tuning import study
from koch_siamese.tuning.space import (
    require_searchable,
    suggest_settings,
    to_point,
)

PAPER = Settings(
    network="paper",
    image_size=35,
    filters=(64, 128, 256),
    kernel_sizes=(6, 4, 3),
    sampling="pairs",
    optimizer="layerwise_sgd",
    layer_learning_rates=(0.01, 0.02, 0.03, 0.04, 0.05),
    layer_momentums=(0.9,),
    layer_l2=(0.0,),
)


class Edge:
    """Suggests the lowest or the highest value of each range."""

    def __init__(self, is_high):
        self._is_high = is_high

    def suggest_float(self, name, low, high, *, log=False):
        return high if self._is_high else low

    def suggest_int(self, name, low, high, *, step=1):
        assert (high - low) % step == 0
        return high if self._is_high else low


def test_point_and_settings_are_inverse_within_the_ranges():
    point = to_point(PAPER, search_network=True)
    assert point["learning_rate_2"] == 0.03
    assert point["momentum_4"] == 0.9
    assert point["l2_0"] == 1e-6
    assert (point["filters_1"], point["kernel_size_0"]) == (128, 6)
    assert point["units_0"] == 4096
    found = suggest_settings(optuna.trial.FixedTrial(point), PAPER, True)
    assert found == dataclasses.replace(
        PAPER,
        layer_momentums=(0.9,) * 5,
        layer_l2=(1e-6,) * 5,
        units=(4096,),
    )


def test_ranges_are_those_of_the_paper():
    low = suggest_settings(Edge(False), PAPER, True)
    assert low.layer_learning_rates == (1e-4,) * 5
    assert low.layer_momentums == (0.0,) * 5
    assert (low.filters, low.units) == ((16, 16, 16), (128,))
    assert low.kernel_sizes == (3, 3, 3)
    high = suggest_settings(Edge(True), PAPER, True)
    assert high.layer_learning_rates == high.layer_l2 == (0.1,) * 5
    assert high.filters == (256, 256, 256)
    # 35 - 19 = 16, 8 - 2 = 6, 3 - 2 = 1: after a kernel of 20 pixels, others
    # can only have 3.
    assert high.kernel_sizes == (20, 3, 3)


def test_ranges_of_relative_updates_are_those_of_the_rates():
    gradients = (1.0, 0.25, 0.25, 2e-4, 4e-3)
    settings = dataclasses.replace(
        PAPER, relative_updates=True, layer_learning_rates=(0.01,)
    )
    for is_high, rate in ((False, 1e-4), (True, 1e-1)):
        found = suggest_settings(Edge(is_high), settings, False, gradients)
        np.testing.assert_allclose(
            np.divide(found.layer_learning_rates, gradients), rate, rtol=1e-12
        )
    # In the dense layer, an update of 0.01 is a rate of 50, out of its range.
    point = to_point(settings, False, gradients)
    rates = [point[f"learning_rate_{i}"] for i in range(5)]
    np.testing.assert_allclose(rates, (0.01, 0.01, 0.01, 2e-5, 4e-4))
    with pytest.raises(
        InputError, match="--relative_updates depend on the network"
    ):
        require_searchable(settings, search_network=True)


def test_images_that_are_too_small_are_refused():
    settings = dataclasses.replace(PAPER, image_size=17)
    with pytest.raises(InputError, match="nothing of an image of 17"):
        suggest_settings(Edge(False), settings, True)
    settings = dataclasses.replace(PAPER, image_size=18)
    assert suggest_settings(Edge(True), settings, True).kernel_sizes == (3,) * 3


def test_only_the_papers_optimizer_and_networks_are_searched():
    require_searchable(PAPER)
    with pytest.raises(InputError, match="--network=fast"):
        require_searchable(dataclasses.replace(PAPER, network="fast"))
    with pytest.raises(InputError, match="--optimizer=adam"):
        require_searchable(dataclasses.replace(PAPER, optimizer="adam"))


def test_searches_of_unsuitable_settings_are_refused():
    initial = dict.fromkeys(("filters", "kernel_sizes", "units"), ())
    initial |= {"init": "pretrained", "network": "fast"}
    for changes in ({"distribute": "mirrored"}, initial):
        settings = dataclasses.replace(PAPER, **changes)
        with pytest.raises(InputError, match="--distribute and --init"):
            require_searchable(settings)
    with pytest.raises(InputError, match="objective=given:a was given as an"):
        require_searchable(dataclasses.replace(PAPER, objective="given:a"))
    settings = dataclasses.replace(PAPER, layer_learning_rates=(0.1, 0.2))
    with pytest.raises(InputError, match="got 2 learning_rate: give one"):
        to_point(settings, False)


def test_sizes_outside_the_ranges_are_moved_to_their_edge():
    settings = dataclasses.replace(PAPER, filters=(8, 100, 999), units=(130,))
    point = to_point(settings, True)
    assert [point[f"filters_{i}"] for i in range(3)] == [16, 96, 256]
    assert point["units_0"] == 128


def test_a_contrastive_model_has_no_rates_of_a_head():
    settings = dataclasses.replace(
        PAPER, objective="contrastive", layer_learning_rates=(0.1,)
    )
    assert sum(name.startswith("l2") for name in to_point(settings, False)) == 4


@pytest.fixture
def trained(monkeypatch, request):
    """Replaces training by one epoch whose accuracy is the first momentum.

    The second call fails or is interrupted, and the fourth one diverges.
    """
    error = getattr(request, "param", KeyboardInterrupt())
    calls, trained_errors = [], [error]

    def train(training, validation, *, callbacks):
        (report,) = callbacks
        run = training.run
        momentum = training.settings.layer_momentums[0]
        calls.append((run.path.name, momentum))
        if len(calls) == 2:
            raise trained_errors.pop()
        if len(calls) == 4:
            raise DivergedError("nan")
        history = {"loss": [1], "accuracy": [momentum], "seconds": [2.0]}
        state = {"epoch": 1, "best_epoch": 1, "best_accuracy": momentum}
        save_checkpoint(
            run,
            state | {"history": history},
            lambda path: zipfile.ZipFile(path, "w").close(),
        )
        report.on_epoch_end(0, {"one_shot_accuracy": momentum})

    monkeypatch.setattr(study, "train", train)
    monkeypatch.setattr(study, "load_validation", lambda *_: None)
    # Figures take longest; test_search_from_the_command_line draws one.
    monkeypatch.setattr(study, "save_figure", lambda *_: None)
    return calls


@pytest.mark.parametrize(
    "trained",
    [KeyboardInterrupt(), InputError("a full disk")],
    ids=["interrupted", "failed"],
    indirect=True,
)
def test_interrupted_search_resumes(trained, tmp_path):
    with pytest.raises((KeyboardInterrupt, InputError)):
        study.Search(PAPER, tmp_path, None).run(4)
    study.Search(PAPER, tmp_path, None).run(4)
    # The first run has the given flags. The interrupted run is resumed.
    assert trained[0] == ("run_000", 0.9)
    assert trained[1] == trained[2]
    assert trained[2][0] == "run_001"
    assert len(trained) == 5  # 4 runs, one of them resumed
    study.Search(PAPER, tmp_path, None).run(4)
    assert len(trained) == 5

    report = json.loads((tmp_path / "search.json").read_text())
    tried = dict([trained[0], trained[2], trained[4]])
    assert [run["run"] for run in report["runs"]] == [
        int(name[-3:]) for name in tried
    ]
    assert report["best"] == int(max(tried, key=tried.get)[-3:])
    assert report["runs"][0] == {
        "run": 0,
        "finished": True,
        "accuracy": 0.9,
        "epochs": 1,
        "seconds": 2.0,
        "parameters": to_point(PAPER, False),
    }
    best = (tmp_path / "best.flags").read_text()
    lines = [line for line in best.splitlines() if line.startswith("--")]
    found = parse_flags("\n".join(lines))
    assert found.layer_momentums[0] == max(tried.values())
    assert not list(tmp_path.glob("run_*/checkpoints"))


def test_search_resumes_from_its_report_alone(trained, tmp_path):
    with pytest.raises((KeyboardInterrupt, InputError)):
        study.Search(PAPER, tmp_path, None).run(2)
    study.Search(PAPER, tmp_path, None).run(2)
    before = json.loads((tmp_path / "search.json").read_text())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "search.json").write_bytes(
        (tmp_path / "search.json").read_bytes()
    )
    search = study.Search(PAPER, elsewhere, None)
    assert search.describe_runs() == before["runs"]
    search.run(2)
    assert len(trained) == 3  # nothing more was trained
    search.run(3)
    assert trained[3][0] == "run_002"
    with pytest.raises(InputError, match="--seed=0"):
        study.Search(dataclasses.replace(PAPER, seed=1), elsewhere, None)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/search.json").write_text('{"runs": 1}')
    with pytest.raises(InputError, match="not the report of a search"):
        study.Search(PAPER, tmp_path / "other", None)


def test_search_with_other_flags_is_refused(trained, tmp_path):
    study.Search(PAPER, tmp_path, None).run(1)
    with pytest.raises(InputError, match=r"search with --seed=0: repeat"):
        study.Search(dataclasses.replace(PAPER, seed=1), tmp_path, None)


def test_invalid_storage_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        study.Search(PAPER, tmp_path, None, storage="nothing")


@pytest.mark.slow
def test_search_from_the_command_line(glyphs_dir, tmp_path):
    arguments = (
        "--flagfile=tests/tiny.flags",
        "--network=paper",
        "--filters=4,4",
        "--kernel_sizes=3,3",
        "--units=16",
        "--optimizer=layerwise_sgd",
        f"--workdir={tmp_path}",
        f"--data_dir={glyphs_dir}",
        "--epochs=1",
        "--num_runs=2",
    )
    answer = call("search", *arguments)
    assert answer.returncode == 0, answer.stderr
    assert drop_logs(answer.stderr) == ""
    assert "Run 1 finished. Best so far: " in answer.stdout
    assert (tmp_path / "best.flags").exists()
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    assert_one_line(call("search", *arguments, "--num_runs=0"), "num_runs")
    assert_one_line(
        call("search", f"--workdir={tmp_path}"),
        "got --optimizer=adam and --network=fast",
    )
