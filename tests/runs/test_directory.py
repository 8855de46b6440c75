import dataclasses
import json
from datetime import datetime, timedelta

import pytest

from koch_siamese.errors import InputError
from koch_siamese.runs import results
from koch_siamese.runs.directory import Run, find_run
from koch_siamese.runs.settings import Settings, list_stopping_settings
from koch_siamese.training.checkpoints import save_checkpoint


def test_directory_belongs_to_one_training(tmp_path):
    run = Run(tmp_path / "run")
    run.claim(Settings(seed=3))
    run.claim(Settings(seed=1))  # allowed, as nothing has been trained yet
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("weights"))
    run.claim(Settings(seed=1))
    assert run.read_settings() == Settings(seed=1)
    with pytest.raises(InputError, match=r"with --seed=1; asked for --seed=2"):
        run.claim(Settings(seed=2))


def test_a_model_without_checkpoints_keeps_its_settings(tmp_path):
    run = Run(tmp_path)
    settings = Settings(schedule="constant", epochs=3)
    run.claim(settings)
    run.model.write_text("model")
    with pytest.raises(InputError, match="with --seed=0; asked for --seed=2"):
        run.claim(dataclasses.replace(settings, seed=2))
    run.claim(dataclasses.replace(settings, epochs=5))
    assert run.read_settings() == settings


def test_a_training_may_be_extended_if_no_step_changes(tmp_path):
    run = Run(tmp_path)
    settings = Settings(schedule="constant", epochs=3)
    run.claim(settings, "experiments/some.flags")
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("model"))
    longer = dataclasses.replace(settings, epochs=5, patience=9)
    run.claim(longer)
    assert run.read_settings() == longer
    assert run.read_flagfile_name() == "experiments/some.flags"
    with pytest.raises(InputError, match="with --seed=0; asked for --seed=1"):
        run.claim(dataclasses.replace(longer, seed=1))
    layerwise = Settings(optimizer="layerwise_sgd")
    assert list_stopping_settings(layerwise) == list_stopping_settings(longer)

    run = Run(tmp_path / "cosine")
    run.claim(Settings(epochs=3))
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("model"))
    run.claim(Settings(epochs=3, max_minutes=2.0))
    with pytest.raises(InputError, match=r"falls to 0 by its end: .* --init="):
        run.claim(Settings(epochs=4, max_minutes=2.0))


def test_flags_that_an_older_run_lacks_have_their_defaults(tmp_path):
    run = Run(tmp_path)
    run.claim(Settings())
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("weights"))
    lines = run.flags.read_text().splitlines()
    older = [x for x in lines if not x.startswith("--depth=")]
    run.flags.write_text("\n".join(older))
    run.claim(Settings())
    with pytest.raises(InputError, match="with --depth=1; asked for"):
        run.claim(Settings(depth=2))


def test_a_run_may_be_resumed_with_settings_that_have_no_effect(tmp_path):
    run = Run(tmp_path / "run")
    pairs = Settings(sampling="pairs")
    run.claim(pairs)
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("weights"))
    run.claim(dataclasses.replace(pairs, ranking_weight=0.5))
    with pytest.raises(InputError, match="batch_size"):
        run.claim(dataclasses.replace(pairs, batch_size=9))


def test_a_run_knows_its_flagfile(tmp_path):
    run = Run(tmp_path / "run")
    assert run.read_flagfile_name() is None
    run.claim(Settings(seed=1), "experiments/one.flags")
    assert run.flags.read_text().startswith("# experiments/one.flags\n--")
    run.claim(Settings(seed=3), "experiments/three.flags")
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("weights"))
    for flagfile in (None, "experiments/four.flags", str(run.flags)):
        run.claim(Settings(seed=3), flagfile)
        assert run.read_flagfile_name() == "experiments/three.flags"
    assert run.describe_training() == {
        "flagfile": "experiments/three.flags",
        "training_flags": None,  # there is no such flagfile
        "training_seed": 3,
        "training_epochs": None,
        "training_best_epoch": None,
        "training_planned_epochs": 7,
        "training_seconds": None,
        "training_machine": None,
        "training_commit": None,
        "training_backend": None,
        "training_keras": None,
        "training_date": None,
    }
    run.history.write_text(
        '{"accuracy": [0.5, 0.7, 0.7], "seconds": [1.5, 2.0, 0.5]}'
    )
    run.write_result("thresholds", {})
    made = run.describe_training()
    assert made["training_seconds"] == 4.0
    assert made["training_epochs"] == 3
    assert made["training_best_epoch"] == 2
    origin = results.describe_origin()
    for name in ("machine", "commit", "backend", "keras"):
        assert made[f"training_{name}"] == origin[name]
    assert made["training_date"] == run.read_thresholds()["date"]
    run.thresholds.write_text('{"machine": "2 x A"}')  # as in older runs
    made = run.describe_training()
    assert (made["training_machine"], made["training_date"]) == ("2 x A", None)
    with pytest.raises(InputError, match=r"asked for --seed=2\. Give"):
        run.claim(Settings(seed=2), "experiments/three.flags")


def test_training_flags_are_those_besides_the_flagfile(tmp_path):
    run = Run(tmp_path)
    settings = Settings(seed=3, crop=True, dataset="folder", filters=(8, 16))
    run.claim(settings)
    flags = "--dataset=folder --crop --filters=8,16 --seed=3"
    assert run.describe_training()["training_flags"] == flags
    flagfile = tmp_path / "own.flags"
    flagfile.write_text("--dataset=folder\n--crop\n--filters=8,16\n--epochs=9")
    run.claim(settings, str(flagfile))
    flags = "--epochs=7 --seed=3"
    assert run.describe_training()["training_flags"] == flags
    other = tmp_path / "other.flags"
    other.write_text("--epochs=7\n--seed=3\n")
    run.claim(settings, f"{flagfile},{other}")
    assert run.describe_training()["training_flags"] == ""
    flagfile.write_text("--precision=float8")
    assert run.describe_training()["training_flags"] is None


def test_other_evaluations_of_a_run_are_advised(tmp_path):
    run = Run(tmp_path)
    run.claim(Settings())
    run.model.write_text("model")
    run.write_result("thresholds", {})  # the last file of a training
    for change in ({"protocols": ("verification",)}, {"num_trials": 2000}):
        settings = Settings(**change, shots=2)
        with pytest.raises(InputError, match=r"koch_siamese\.evaluate --work"):
            run.claim(settings)
        with pytest.raises(InputError, match="Give another --workdir"):
            run.claim(dataclasses.replace(settings, ways=5))


def test_fewer_classes_of_another_folder_are_explained(tmp_path):
    run, settings = Run(tmp_path), Settings(dataset="folder", ways=5)
    run.claim(settings)
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("weights"))
    with pytest.raises(InputError, match="is --data_dir that of the run"):
        run.claim(dataclasses.replace(settings, ways=2))


def test_flagfile_is_added_to_a_run_without_one(tmp_path):
    run = Run(tmp_path / "run")
    run.claim(Settings())
    save_checkpoint(run, {"epoch": 1}, lambda path: path.write_text("weights"))
    assert run.describe_training()["flagfile"] is None
    run.claim(Settings(), str(run.flags))
    assert run.read_flagfile_name() is None
    run.claim(Settings(), "experiments/quickstart.flags")
    assert run.read_flagfile_name() == "experiments/quickstart.flags"
    assert run.read_settings() == Settings()


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = Run("~/run")
    assert run.path == tmp_path / "run"
    run.claim(Settings(), "experiments/quickstart.flags")
    # Its own flags are not its flagfile, however they are named.
    run.claim(Settings(seed=1), "~/run/train.flags")
    assert run.read_flagfile_name() == "experiments/quickstart.flags"
    assert find_run("~/run").path == find_run("~/run/model.keras").path


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        Run(tmp_path).read_settings()


def test_a_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Run(tmp_path / "file").claim(Settings())


def test_one_process_trains_in_a_directory_at_a_time(tmp_path):
    run = Run(tmp_path)
    with (
        run.lock(),
        pytest.raises(InputError, match="is in use"),
        Run(tmp_path).lock(),
    ):
        pass
    with Run(tmp_path).lock():
        pass


def test_results_have_their_provenance(tmp_path):
    path = Run(tmp_path).write_result("lake", {"accuracy": 0.5})
    result = json.loads(path.read_text())
    assert path == tmp_path / "results" / "lake.json"
    assert result["accuracy"] == 0.5
    assert {"version", "commit", "machine", "tensorflow"} < set(result)
    assert datetime.fromisoformat(result["date"]).utcoffset() == timedelta(0)


def test_results_of_another_model_do_not_belong_to_the_run(tmp_path):
    run = Run(tmp_path)
    run.claim(Settings())
    own = {"protocol": "lake", "training_seed": 0}
    run.write_result("lake", own)
    run.write_result("lake_hausdorff", {"protocol": "lake", "flagfile": None})
    run.write_result("thresholds", {"same": {}})
    (result,) = run.read_results()
    assert own.items() <= result.items()
