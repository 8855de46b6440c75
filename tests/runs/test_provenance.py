import subprocess

import keras
import pytest

from koch_siamese.runs import provenance


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        ("package/code.py", "-dirty"),
        ("experiments/a.flags", "-dirty"),
        ("experiments/results/a.json", ""),
        ("experiments/README.md", ""),
    ],
)
def test_commits_of_changed_work_trees_are_marked(
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
    monkeypatch.setattr(provenance, "__file__", str(code))
    commit = git("rev-parse", "HEAD")[:12]
    (tmp_path / "notes").write_text("not in the commit")
    assert provenance.describe_origin()["commit"] == commit
    (tmp_path / path).write_text("after")
    assert provenance.describe_origin()["commit"] == commit + mark


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_backend_has_its_version(name, monkeypatch):
    monkeypatch.setattr(provenance, "_backend", lambda: name)
    monkeypatch.setattr(provenance, "_accelerators", list)
    monkeypatch.setattr(provenance, "_version", lambda *names: f"1.{names[0]}")
    origin = provenance.describe_origin()
    assert origin["backend"] == f"{name} 1.{name}"
    assert origin["keras"] == "1.keras"


def test_machine_names_the_device_of_keras(monkeypatch):
    assert keras.backend.backend() == "tensorflow"
    processors = provenance.describe_origin()["machine"]
    monkeypatch.setattr(
        provenance, "_tensorflow_devices", lambda: ["NVIDIA H100"] * 2
    )
    machine = provenance.describe_origin()["machine"]
    assert machine == f"{processors}, 2 x NVIDIA H100"
