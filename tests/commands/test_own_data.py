"""Tests training on a user's own data, in the usual layouts."""

import json

import numpy as np
import pytest
from conftest import assert_one_line, call
from drawing import save
from PIL import Image

COLORS = ("red", "green", "blue")
FLAGS = (
    *("--dataset=folder", "--image_kind=photo", "--image_size=16"),
    *("--filters=4,6", "--steps_per_epoch=2", "--epochs=1"),
    *("--validation_trials=20", "--num_trials=20"),
)


def save_photos(folder, names, num):
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(num):
            image = Image.new("RGB", (20, 16), name)
            image.paste("white", (int(rng.integers(12)), 2, 16, 9))
            image.save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A closed set: three classes, with other images for testing."""
    folder = tmp_path_factory.mktemp("data") / "colors"
    save_photos(folder / "train", COLORS, 6)
    save_photos(folder / "test", COLORS, 3)
    return folder


@pytest.fixture(scope="module")
def run(closed, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "closed"
    answer = call(
        "train", *FLAGS, f"--data_dir={closed}", f"--workdir={workdir}"
    )
    assert answer.returncode == 0, answer.stderr
    return workdir, answer


def test_closed_set_is_noted_wherever_its_accuracy_is_shown(run):
    workdir, answer = run
    notes = [x for x in answer.stderr.splitlines() if x.startswith("note: ")]
    assert len(notes) == 2, answer.stderr
    assert "folder, validation split: only 3 classes, so" in notes[0]
    assert "trials are 3-way, not 20-way (chance: 33 %). " in notes[0]
    assert "This is a closed set: the test images show the" in notes[1]
    assert "folder/colors test (closed set)  3     1      20" in answer.stdout
    assert "not a one-shot accuracy on new classes" in answer.stdout
    assert "new images of the training classes" in answer.stdout
    result = json.loads((workdir / "results/within_alphabet.json").read_text())
    assert (result["closed_set"], result["ways"]) == (True, 3)
    thresholds = json.loads((workdir / "results/thresholds.json").read_text())
    assert thresholds["closed_set"] is True


def test_closed_set_is_open_for_models_not_trained_on_it(run, closed, tmp_path):
    workdir, _ = run
    output = tmp_path / "result.json"
    arguments = (
        *("--dataset=folder", f"--data_dir={closed}", "--num_trials=20"),
        f"--output={output}",
    )
    for model, is_closed in (
        (f"{workdir}/model.keras", True),
        ("pixels_cosine", False),
    ):
        answer = call(
            *("evaluate", f"--model={model}", *arguments),
            *(() if is_closed else ("--image_kind=photo",)),
        )
        assert answer.returncode == 0, answer.stderr
        result = json.loads(output.read_text())
        assert (result["closed_set"], result["ways"]) == (is_closed, 3)
        assert ("(closed set)" in answer.stdout) is is_closed


def test_more_ways_than_classes_are_refused_if_given(closed, tmp_path):
    answer = call(
        *("train", *FLAGS, f"--data_dir={closed}", "--ways=4"),
        f"--workdir={tmp_path / 'run'}",
    )
    assert answer.returncode == 1
    assert "4 ways are more than the 3" in answer.stderr.splitlines()[-1]


def test_csv_table_of_a_closed_set_can_be_a_support(closed, run, tmp_path):
    workdir, _ = run
    table = tmp_path / "known.csv"
    lines = [f"{closed}/train/{name}/0.png,{name} one" for name in COLORS]
    table.write_text("path,label\n" + "\n".join(lines))
    answer = call(
        *("classify", f"--workdir={workdir}", f"--support={table}"),
        *(f"--query={closed}/test/red/0.png", "--json"),
    )
    assert answer.returncode == 0, answer.stderr
    names = {x["name"] for x in json.loads(answer.stdout)["candidates"]}
    assert names <= {f"{name} one" for name in COLORS}
    table.write_text("path\nx.png")
    answer = call(
        *("classify", f"--workdir={workdir}", f"--support={table}"),
        f"--query={closed}/test/red/0.png",
    )
    assert_one_line(answer, "lacks the column label")


def test_color_pictures_that_are_read_as_drawings_get_a_note(tmp_path):
    for color in ("red", "green", "blue", "orange"):
        image = Image.new("RGB", (60, 60), "white")
        image.paste(color, (15, 15, 45, 45))
        save(image, tmp_path / "photos" / color / "1.png")
    command = (
        *("train", "--dataset=folder", f"--data_dir={tmp_path / 'photos'}"),
        f"--workdir={tmp_path / 'run'}",
    )
    answer = call(*command)
    assert answer.stderr.startswith("note: many images of ")
    assert "seem to be color pictures, but are read as" in answer.stderr
    assert_one_line(call(*command, "--image_kind=photo"), "has only 1 image")
