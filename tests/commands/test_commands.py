"""Tests the commands as a user calls them: flags, output and exit codes."""

import dataclasses
import json
import re
import subprocess
import sys
import time

import pytest
from conftest import (
    REPOSITORY,
    TINY_MODEL,
    assert_one_line,
    call,
    call_afresh,
    find_imported,
)
from drawing import draw, save

from koch_siamese import cli, load_model
from koch_siamese.errors import warn
from koch_siamese.runs.flagfiles import format_flags
from koch_siamese.runs.settings import Settings

TINY_FLAGS = REPOSITORY / "tests" / "tiny.flags"


@pytest.fixture(scope="module")
def run(glyphs_dir, tmp_path_factory):
    """A tiny training by the command, with sampling of pairs."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    arguments = (f"--flagfile={TINY_FLAGS}", f"--workdir={workdir}")
    answer = call("train", *arguments, f"--data_dir={glyphs_dir}")
    assert answer.returncode == 0, answer.stderr
    return workdir, answer


def test_train_prints_a_table_and_paths(run):
    workdir, answer = run
    assert "95 % interval" in answer.stdout
    assert "nearest neighbor" in answer.stdout
    assert str(workdir) in answer.stdout
    result = json.loads((workdir / "results/within_alphabet.json").read_text())
    history = json.loads((workdir / "history.json").read_text())
    first = (workdir / "train.flags").read_text().splitlines()[0]
    assert first == f"# {TINY_FLAGS}"
    assert result["flagfile"] == str(TINY_FLAGS)
    assert result["training_seed"] == 0
    assert result["training_seconds"] == sum(history["seconds"])
    assert {
        "protocol",
        "dataset",
        "accuracy",
        "ci95",
        "num_trials",
        "ways",
        "shots",
        "seed",
        "model",
        "seconds",
    } <= set(result)


def test_a_finished_training_says_so(run, glyphs_dir):
    workdir, first = run
    arguments = (f"--flagfile={TINY_FLAGS}", f"--workdir={workdir}")
    again = call("train", *arguments, f"--data_dir={glyphs_dir}")
    line, rest = again.stdout.split("\n", 1)
    assert line == "This training has finished; these are its results."
    assert rest and first.stdout.endswith(rest)


def test_a_model_is_loaded_from_the_directory_of_its_run(run):
    assert load_model(run[0]).count_params() > 0


def test_train_flags_can_be_given_as_a_flagfile(run, glyphs_dir):
    workdir, _ = run
    answer = call(
        "train",
        *("--flagfile", workdir / "train.flags"),
        f"--workdir={workdir}",
        f"--data_dir={glyphs_dir}",
    )
    assert answer.returncode == 0, answer.stderr
    assert "Epoch" not in answer.stdout
    first = (workdir / "train.flags").read_text().splitlines()[0]
    assert first == f"# {TINY_FLAGS}"


@pytest.mark.parametrize("protocol", ["within_alphabet", "cross_alphabet"])
def test_evaluate_writes_its_result(run, glyphs_dir, protocol):
    workdir, _ = run
    arguments = (
        f"--workdir={workdir}",
        f"--protocol={protocol}",
        f"--data_dir={glyphs_dir}",
        "--num_trials=40",
        "--ways=5",
        "--shots=2",
        "--split=validation",
    )
    answer = call("evaluate", *arguments)
    assert answer.returncode == 0, answer.stderr
    path = workdir / f"results/{protocol}_validation_40trials_5ways_2shots.json"
    result = json.loads(path.read_text())
    assert result["flagfile"] == str(TINY_FLAGS)
    assert result["training_seed"] == 0
    assert result["training_seconds"] > 0
    assert (result["ways"], result["shots"]) == (5, 2)
    assert (result["num_trials"], result["split"]) == (40, "validation")
    again = call("evaluate", *arguments)
    assert answer.stdout == again.stdout


def test_the_usual_ways_of_a_protocol_do_not_name_its_result(run, glyphs_dir):
    workdir, _ = run
    answer = call(
        *("evaluate", f"--workdir={workdir}", f"--data_dir={glyphs_dir}"),
        *("--protocol=mnist", "--dataset=glyphs/tiny"),
    )
    assert answer.returncode == 0, answer.stderr
    path = workdir / "results/mnist_glyphs_tiny.json"
    assert json.loads(path.read_text())["ways"] == 10


def test_verification_is_measured_at_the_stored_threshold(run, glyphs_dir):
    workdir, _ = run
    answer = call(
        "evaluate",
        f"--workdir={workdir}",
        "--protocol=verification",
        f"--data_dir={glyphs_dir}",
        "--num_trials=200",
    )
    assert answer.returncode == 0, answer.stderr
    result = (workdir / "results/verification_200trials.json").read_text()
    result = json.loads(result)
    stored = json.loads((workdir / "results/thresholds.json").read_text())
    assert result["threshold"] == stored["same"]["logit"]
    assert result["num_trials"] == 200
    assert 0.5 <= result["roc_auc"] <= 1
    assert result["ci95"][0] < result["accuracy"] < result["ci95"][1]
    assert 0.4 < result["nearest_neighbour"] < 1
    low, high = result["tar_at_far"]["0.01"]["ci95"]
    assert 0 <= low <= result["tar_at_far"]["0.01"]["tar"] <= high <= 1
    assert result["tar_at_far"]["0.001"] == {"tar": None, "ci95": None}
    assert "at 0.1 % false accepts: not measured (needs 1,000" in answer.stdout


def test_baseline_needs_no_run(glyphs_dir, tmp_path):
    answer = call(
        "evaluate",
        "--model=hausdorff",
        "--dataset=glyphs/tiny",
        f"--data_dir={glyphs_dir}",
        "--num_trials=20",
        f"--output={tmp_path / 'hausdorff.json'}",
    )
    assert answer.returncode == 0, answer.stderr
    assert "glyphs/tiny test" in answer.stdout
    result = json.loads((tmp_path / "hausdorff.json").read_text())
    assert (result["model"], result["flagfile"]) == ("hausdorff", None)
    assert {"accuracy", "commit", "machine"} < set(result)
    assert "training_seed" not in result


def test_results_of_other_data_get_their_own_names(run, tmp_path):
    workdir, _ = run
    images = tmp_path / "images"
    for name in ("a/1", "a/2", "b/1", "b/2", "c/1", "c/2"):
        save(draw(side=40 + ord(name[0])), images / f"{name}.png")
    before = (workdir / "results/within_alphabet.json").read_bytes()
    answer = call(
        "evaluate",
        f"--workdir={workdir}",
        "--model=pixels_cosine",
        "--dataset=folder",
        f"--data_dir={images}",
        "--split=all",
        "--ways=2",
    )
    assert answer.returncode == 0, answer.stderr
    name = "within_alphabet_folder_images_all_2ways_pixels_cosine.json"
    result = json.loads((workdir / "results" / name).read_text())
    assert (result["flagfile"], result["data_dir"]) == (None, "images")
    assert "training_seed" not in result
    assert (workdir / "results/within_alphabet.json").read_bytes() == before


@pytest.mark.parametrize(
    ("command", "arguments", "part"),
    [
        ("train", ["--dataset="], "--dataset is ''"),
        ("train", ["--dataset=no_set"], "TFDS has no data set 'no_set'"),
        ("train", ["--ways=0"], "--ways is 0"),
        ("train", ["--batch_size=-1"], "--batch_size is -1"),
        (
            "train",
            ["--batch_size=x"],
            "--batch_size=x: expected a whole",
        ),
        ("train", ["--margin=x"], "--margin=x: expected a number."),
        ("train", ["--filters=64,x"], "--filters is '64,x'"),
        ("train", ["--color=red"], "color"),
        ("train", ["workdir=x"], "'workdir=x' is not a flag"),
        ("train", ["--flagfile=absent.flags"], "--flagfile cannot be"),
        ("train", [f"--flagfile={TINY_MODEL}"], "--flagfile is not text"),
        ("train", ["--crop=maybe"], "maybe: Non-boolean"),
        ("train", ["--learning_rate=inf"], "--learning_rate is inf"),
        ("train", ["--num_trials=100000000"], "at most 10000000"),
        ("train", ["--workdir="], "--workdir is empty"),
        ("train", ["--protocols=lake"], "--dataset=omniglot"),
        ("evaluate", [], "--workdir"),
        ("evaluate", ["--ways=0", "--model=hausdorff"], "ways"),
        ("evaluate", ["--protocol=all"], "protocol"),
        ("evaluate", ["--protocol=lake", "--ways=5"], "always has 20"),
        ("evaluate", ["--model=hausdorff", "--output=."], "is a folder"),
        ("evaluate", ["--workdir=absent"], "train it first"),
        ("evaluate", ["--model=absent.keras"], "no model absent.keras"),
        ("evaluate", ["--model=/"], "no model /model.keras"),
    ],
)
def test_bad_flags_get_one_line(command, arguments, part, tmp_path):
    assert_one_line(call(command, *arguments, cwd=tmp_path), part)
    assert not list(tmp_path.iterdir())


def test_more_ways_than_characters_get_one_line(glyphs_dir, tmp_path):
    answer = call(
        "evaluate",
        "--model=pixels_cosine",
        "--dataset=glyphs/tiny",
        f"--data_dir={glyphs_dir}",
        "--ways=27",
    )
    assert_one_line(answer, "27 ways", "at most")
    workdir = tmp_path / "run"
    answer = call(
        "train",
        f"--flagfile={TINY_FLAGS}",
        f"--workdir={workdir}",
        f"--data_dir={glyphs_dir}",
        "--ways=27",
    )
    assert answer.returncode == 1
    assert "27 ways are more than" in answer.stderr.splitlines()[-1]
    assert "Traceback" not in answer.stderr


def test_missing_data_without_network_is_reported_soon(tmp_path):
    """Tests with a proxy that does not exist, so that there is no network."""
    start = time.monotonic()
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "koch_siamese.train",
            f"--flagfile={REPOSITORY / 'experiments/omniglot_fast.flags'}",
            f"--workdir={tmp_path / 'run'}",
            f"--data_dir={tmp_path / 'data'}",
        ],
        capture_output=True,
        text=True,
        env={"HTTPS_PROXY": "http://127.0.0.1:9", "PATH": "/usr/bin:/bin"},
        timeout=120,
    )
    assert_one_line(answer, "--data_dir", "--manual_dir", "--dataset=glyphs")
    assert time.monotonic() - start < 60


def test_without_flags_train_is_the_quickstart():
    text = (REPOSITORY / "experiments/quickstart.flags").read_text()
    lines = [line for line in text.splitlines() if line.startswith("--")]
    workdir = "--workdir=runs/quickstart"
    assert workdir in lines
    lines.remove(workdir)
    assert sorted(lines) == sorted(format_flags(Settings()).split())


def test_help_has_the_settings_and_the_shared_flags():
    answer = call_afresh("train", "--help")
    assert answer.returncode == 0
    for field in dataclasses.fields(Settings):
        name = field.name if field.type is not bool else f"[no]{field.name}"
        assert answer.stdout.count(f"  --{name}:") == 1
    assert answer.stdout.count("  --workdir:") == 1
    text = " ".join(answer.stdout.split())
    assert "returns a Keras model. (default: fast)" in text
    assert "One of: adam, muon, layerwise_sgd." in text
    titles = re.findall(r"^(\w[\w ]+):$", answer.stdout, re.MULTILINE)
    assert titles == [
        "Data",
        "Network",
        "Batches",
        "Loss and optimizer",
        "Evaluation",
        "Run",
    ]


def test_help_of_a_command_without_settings():
    answer = call("classify", "--help")
    assert answer.returncode == 0
    names = re.findall(r"^  --(\S+):", answer.stdout, re.MULTILINE)
    assert names == [
        *("query", "remove", "top_k", "figure", "support", "gallery"),
        *("workdir", "model", "[no]crop", "threshold", "[no]json"),
        *("max_image_megabytes", "max_pixels"),
    ]
    assert "from the gallery. Separated by commas." in answer.stdout
    assert call("classify", "-h").stdout == answer.stdout
    assert "max_pixels" not in call("export", "--help").stdout
    answer = call("transcribe", "--help")
    assert "  --direction: How pages are read:" in answer.stdout
    assert "One of: ltr," in answer.stdout


def test_data_flags_without_effect_get_a_note(tmp_path):
    (tmp_path / "own.flags").write_text("--manual_dir=zips\n")
    arguments = ("--data_dir=data", "--flagfile=own.flags")
    answer = call("verify", *arguments, cwd=tmp_path)
    assert answer.returncode == 1
    *notes, error = answer.stderr.splitlines()
    assert notes == [
        f"note: --{name} has no effect with verify: remove it."
        for name in ("data_dir", "manual_dir")
    ]
    assert error.startswith("error: Two images are expected")


def test_limits_without_effect_get_a_note(tmp_path):
    answer = call("export", "--max_pixels=9", cwd=tmp_path)
    note, error = answer.stderr.splitlines()
    assert note == "note: --max_pixels has no effect with export: remove it."
    assert error.startswith("error: There is no folder to write to")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_full_disk_gets_one_line(monkeypatch, buffering):
    monkeypatch.setenv("PYTHONUNBUFFERED", buffering)
    with open("/dev/full", "w") as full:  # noqa: PTH123, a device, no path
        answer = subprocess.run(
            [sys.executable, "-m", "koch_siamese.classify", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert_one_line(answer, "cannot be written: No space left on device.")


def test_a_swallowed_interrupt_still_ends_the_command():
    program = """
import os, signal, time
from koch_siamese import cli

def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        print("swallowed", flush=True)
    time.sleep(60)

cli.SECONDS_TO_STOP = 0.1
cli.run(main)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.stdout == "swallowed\n"
    assert ended.stderr == "error: interrupted.\n"
    assert ended.returncode == 1


def test_flags_are_read_without_tensorflow():
    heavy = ("tensorflow", "keras", "matplotlib")
    assert find_imported("koch_siamese.train", heavy) == []


def test_the_package_lists_and_runs_its_commands():
    def run(*arguments):
        command = [sys.executable, "-m", "koch_siamese", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    answer = run()
    assert answer.returncode == 0
    assert "koch_siamese.train " in answer.stdout
    assert answer.stdout.count("python -m") == 9
    assert run("verify", "--help").stdout == call("verify", "--help").stdout
    assert_one_line(run("verify", "--first=a"), "--second=FILE")
    assert_one_line(run("verfy"), "no command 'verfy': expected one of train,")


def test_repeated_warning_is_printed_once(capsys):
    with cli.counting_skipped_files() as skipped:
        for _ in range(2):
            warn("The first.")
            warn("The second.")
    assert capsys.readouterr().err == "note: The first.\nnote: The second.\n"
    assert not skipped
