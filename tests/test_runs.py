import json

import pytest

from koch_siamese import runs
from koch_siamese.errors import InputError
from koch_siamese.runs import RunDirectory
from koch_siamese.settings import Settings


def test_directory_belongs_to_one_training(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.claim(Settings(seed=3))
    run.claim(Settings(seed=1))  # nothing was trained by then
    run.save_checkpoint(1, {}, lambda path: path.write_text("weights"))
    run.claim(Settings(seed=1))
    assert run.read_settings() == Settings(seed=1)
    with pytest.raises(InputError, match=r"with --seed=1; asked for --seed=2"):
        run.claim(Settings(seed=2))


def test_a_run_tells_its_recipe(tmp_path):
    run = RunDirectory(tmp_path / "run")
    assert run.read_recipe() is None
    run.claim(Settings(seed=1), "experiments/one.flags")
    assert run.flags.read_text().startswith("# experiments/one.flags\n--")
    run.claim(Settings(seed=3), "experiments/three.flags")
    run.save_checkpoint(1, {}, lambda path: path.write_text("weights"))
    for flagfile in (None, "experiments/four.flags", str(run.flags)):
        run.claim(Settings(seed=3), flagfile)
        assert run.read_recipe() == "experiments/three.flags"
    assert run.origin() == {
        "flagfile": "experiments/three.flags",
        "training_seed": 3,
        "training_seconds": None,
        "training_machine": None,
    }
    run.history.write_text('{"seconds": [1.5, 2.0]}')
    run.write_result("thresholds", {})
    assert run.origin()["training_seconds"] == 3.5
    assert run.origin()["training_machine"] == runs.provenance()["machine"]
    with pytest.raises(InputError, match=r"asked for --seed=2\. Give"):
        run.claim(Settings(seed=2), "experiments/three.flags")


def test_a_recipe_is_told_of_a_run_that_had_none(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.claim(Settings())
    run.save_checkpoint(1, {}, lambda path: path.write_text("weights"))
    assert run.origin()["flagfile"] is None
    run.claim(Settings(), str(run.flags))
    assert run.read_recipe() is None
    run.claim(Settings(), "experiments/quickstart.flags")
    assert run.read_recipe() == "experiments/quickstart.flags"
    assert run.read_settings() == Settings()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        RunDirectory(tmp_path).read_settings()


def test_a_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunDirectory(tmp_path / "file").claim(Settings())


def test_newest_checkpoint_counts_and_older_ones_go(tmp_path):
    run = RunDirectory(tmp_path)
    assert run.load_checkpoint() is None
    for epoch in (9, 10):
        run.save_checkpoint(
            epoch, {"epoch": epoch}, lambda path: path.write_text("weights")
        )
    path, state = run.load_checkpoint()
    assert (path.read_text(), state) == ("weights", {"epoch": 10})
    names = [folder.name for folder in run.checkpoints.iterdir()]
    assert names == ["epoch_0010"]


def test_a_save_that_is_cut_off_leaves_the_one_before(tmp_path):
    run = RunDirectory(tmp_path)
    run.save_checkpoint(1, {"epoch": 1}, lambda path: path.write_text("one"))

    def die(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.save_checkpoint(2, {"epoch": 2}, die)
    assert run.load_checkpoint()[1] == {"epoch": 1}
    run.save_checkpoint(2, {"epoch": 2}, lambda path: path.write_text("two"))
    assert run.load_checkpoint()[1] == {"epoch": 2}


def test_results_say_where_they_are_from(tmp_path):
    path = RunDirectory(tmp_path).write_result("lake", {"accuracy": 0.5})
    result = json.loads(path.read_text())
    assert path == tmp_path / "results" / "lake.json"
    assert result["accuracy"] == 0.5
    assert {"version", "commit", "machine", "tensorflow"} < set(result)
