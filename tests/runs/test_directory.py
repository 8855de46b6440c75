import json
import subprocess
import zipfile

import keras
import pytest

from koch_siamese.errors import InputError
from koch_siamese.runs import results
from koch_siamese.runs.directory import Run
from koch_siamese.runs.settings import Settings


def test_directory_belongs_to_one_training(tmp_path):
    run = Run(tmp_path / "run")
    run.claim(Settings(seed=3))
    run.claim(Settings(seed=1))  # nothing was trained by then
    run.save_checkpoint(1, {}, lambda path: path.write_text("weights"))
    run.claim(Settings(seed=1))
    assert run.read_settings() == Settings(seed=1)
    with pytest.raises(InputError, match=r"with --seed=1; asked for --seed=2"):
        run.claim(Settings(seed=2))


def test_flags_that_came_later_have_their_defaults(tmp_path):
    run = Run(tmp_path)
    run.claim(Settings())
    run.save_checkpoint(1, {}, lambda path: path.write_text("weights"))
    lines = run.flags.read_text().splitlines()
    older = [x for x in lines if not x.startswith("--max_minutes=")]
    run.flags.write_text("\n".join(older))
    run.claim(Settings())
    with pytest.raises(InputError, match=r"with --max_minutes=0\.0; asked for"):
        run.claim(Settings(max_minutes=1.0))


def test_a_run_tells_its_recipe(tmp_path):
    run = Run(tmp_path / "run")
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
        "training_epochs": None,
        "training_seconds": None,
        "training_machine": None,
        "training_commit": None,
    }
    run.history.write_text('{"seconds": [1.5, 2.0]}')
    run.write_result("thresholds", {})
    assert run.origin()["training_seconds"] == 3.5
    assert run.origin()["training_epochs"] == 2
    for name in ("machine", "commit"):
        assert run.origin()[f"training_{name}"] == results.provenance()[name]
    with pytest.raises(InputError, match=r"asked for --seed=2\. Give"):
        run.claim(Settings(seed=2), "experiments/three.flags")


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        ("package/code.py", "-dirty"),
        ("experiments/a.flags", "-dirty"),
        ("experiments/results/a.json", ""),
        ("experiments/README.md", ""),
    ],
)
def test_commits_are_marked_where_a_number_could_differ(
    path, mark, tmp_path, monkeypatch
):
    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.check_output(command, text=True).strip()

    code = tmp_path / "package" / "code.py"
    for file in (code, tmp_path / path):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("before")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")
    monkeypatch.setattr(results, "__file__", str(code))
    commit = git("rev-parse", "HEAD")[:12]
    (tmp_path / "notes").write_text("not in the commit")
    assert results.provenance()["commit"] == commit
    (tmp_path / path).write_text("after")
    assert results.provenance()["commit"] == commit + mark


def test_machine_names_what_keras_computes_on(monkeypatch):
    assert keras.backend.backend() == "tensorflow"
    processors = results.provenance()["machine"]
    monkeypatch.setattr(
        results, "_tensorflow_devices", lambda: ["NVIDIA H100"] * 2
    )
    machine = results.provenance()["machine"]
    assert machine == f"{processors}, 2 x NVIDIA H100"


def test_a_recipe_is_told_of_a_run_that_had_none(tmp_path):
    run = Run(tmp_path / "run")
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
        Run(tmp_path).read_settings()


def test_a_workdir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Run(tmp_path / "file").claim(Settings())


def save(run, epoch, text="weights"):
    """A checkpoint as Keras writes it: a zip file."""

    def save_model(path):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("model.weights.h5", text)

    run.save_checkpoint(epoch, {"epoch": epoch}, save_model)


def test_newest_checkpoint_counts_and_older_ones_go(tmp_path):
    run = Run(tmp_path)
    assert run.load_checkpoint() is None
    for epoch in (8, 9, 10):
        save(run, epoch)
    path, state = run.load_checkpoint()
    assert state == {"epoch": 10}
    assert path == run.checkpoints / "epoch_0010" / "trainer.keras"
    names = sorted(folder.name for folder in run.checkpoints.iterdir())
    assert names == ["epoch_0009", "epoch_0010"]


def test_a_save_that_is_cut_off_leaves_the_one_before(tmp_path):
    run = Run(tmp_path)
    save(run, 1)

    def die(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.save_checkpoint(2, {"epoch": 2}, die)
    assert run.load_checkpoint()[1] == {"epoch": 1}
    save(run, 2)
    assert run.load_checkpoint()[1] == {"epoch": 2}


def flip_a_byte(folder):
    path = folder / "trainer.keras"
    content = bytearray(path.read_bytes())
    content[content.index(b"weights") + 30] ^= 1
    path.write_bytes(content)


def name_another_compression(folder):
    path = folder / "trainer.keras"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 10] = 99
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        name_another_compression,
        lambda folder: (folder / "trainer.keras").unlink(),
        lambda folder: (folder / "trainer.keras").write_bytes(b"PK half"),
        lambda folder: (folder / "state.json").write_text('{"epoch"'),
        lambda folder: (folder / "state.json").write_text(""),
    ],
)
def test_damaged_checkpoint_is_told_and_the_one_before_used(
    tmp_path, damage, capsys
):
    run = Run(tmp_path)
    for epoch in (1, 2):
        save(run, epoch, "weights " + "x" * 100)
    damage(run.checkpoints / "epoch_0002")
    assert run.load_checkpoint()[1] == {"epoch": 1}
    assert "epoch_0002 is damaged" in capsys.readouterr().out
    damage(run.checkpoints / "epoch_0001")
    with pytest.raises(InputError, match="All checkpoints"):
        run.load_checkpoint()


def test_checkpoints_are_in_order_beyond_four_digits(tmp_path):
    run = Run(tmp_path)
    for epoch in (9998, 9999, 10_000, 10_001):
        save(run, epoch)
    assert run.load_checkpoint()[1] == {"epoch": 10_001}
    names = {folder.name for folder in run.checkpoints.iterdir()}
    assert names == {"epoch_10000", "epoch_10001"}


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


def test_results_say_where_they_are_from(tmp_path):
    path = Run(tmp_path).write_result("lake", {"accuracy": 0.5})
    result = json.loads(path.read_text())
    assert path == tmp_path / "results" / "lake.json"
    assert result["accuracy"] == 0.5
    assert {"version", "commit", "machine", "tensorflow"} < set(result)
