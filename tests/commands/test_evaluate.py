"""Tests `evaluate`: the files that it writes and the flags it refuses."""

import collections
import csv
import json
import os
import sys
from pathlib import Path

import pytest
from conftest import TINY_MODEL, assert_one_line, call
from drawing import draw, save

from koch_siamese.inference.recognizer import Recognizer
from koch_siamese.runs.directory import Run
from koch_siamese.runs.settings import Settings

MODEL = f"--model={TINY_MODEL}"


def evaluate(glyphs_dir, *arguments):
    answer = call(
        "evaluate",
        *(MODEL, "--dataset=glyphs/tiny", f"--data_dir={glyphs_dir}"),
        *arguments,
    )
    assert answer.returncode == 0, answer.stderr
    return answer


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_result_follows_from_predictions_of_trials(glyphs_dir, tmp_path):
    answer = evaluate(
        glyphs_dir,
        *("--num_trials=30", "--ways=4", "--shots=2", "--seed=3"),
        f"--output={tmp_path / 'result.json'}",
        f"--predictions={tmp_path / 'all.csv'}",
        f"--per_class={tmp_path / 'classes.csv'}",
    )
    assert "classes with the lowest accuracy: " in answer.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    rows = read_csv(tmp_path / "all.csv")
    assert len(rows) == 30 * 4
    correct = 0
    for trial in range(30):
        candidates = rows[4 * trial : 4 * trial + 4]
        assert {row["trial"] for row in candidates} == {str(trial)}
        assert [row["candidate"] for row in candidates] == list("0123")
        assert len({row["query"] for row in candidates}) == 1
        best = max(candidates, key=lambda row: float(row["score"]))
        (answer,) = (row for row in candidates if row["is_answer"] == "1")
        correct += best is answer
        # The query and its two support drawings show one character by three
        # drawers.
        names = [answer["query"], *answer["support"].split()]
        assert len({name.rpartition("/")[0] for name in names}) == 1
        assert len({name.rpartition("/")[2] for name in names}) == 3
    assert result["accuracy"] == pytest.approx(correct / 30)
    queries = [row["query"].rpartition("/")[0] for row in rows[::4]]
    classes = read_csv(tmp_path / "classes.csv")
    assert sorted(row["class"] for row in classes) == sorted(set(queries))
    for row in classes:
        assert int(row["num_trials"]) == queries.count(row["class"])
        low, high = float(row["ci95_low"]), float(row["ci95_high"])
        assert low - 1e-9 <= float(row["accuracy"]) <= high + 1e-9
    total = sum(float(x["accuracy"]) * int(x["num_trials"]) for x in classes)
    assert total == pytest.approx(correct)


def test_result_follows_from_predictions_of_pairs(glyphs_dir, tmp_path):
    answer = evaluate(
        glyphs_dir,
        *("--protocol=verification", "--num_trials=40"),
        f"--output={tmp_path / 'result.csv'}",
        f"--predictions={tmp_path / 'all.csv'}",
        f"--per_class={tmp_path / 'classes.csv'}",
    )
    assert "ROC AUC" in answer.stdout
    assert "equal error rate" in answer.stdout
    assert (
        "true accept rate at 1 % false accepts: not measured (needs 100 "
        "different pairs, has 20"
    ) in answer.stdout
    (result,) = read_csv(tmp_path / "result.csv")
    assert (result["protocol"], result["seed"]) == ("verification", "0")
    low, high = float(result["ci95_low"]), float(result["ci95_high"])
    assert low < float(result["accuracy"]) < high
    rows = read_csv(tmp_path / "all.csv")
    correct = sum(
        (float(row["score"]) >= float(result["threshold"])) == int(row["same"])
        for row in rows
    )
    assert float(result["accuracy"]) == pytest.approx(correct / 40)
    assert sum(int(row["same"]) for row in rows) == 20
    low, high = (
        float(result[f"roc_auc_ci95_{end}"]) for end in ("low", "high")
    )
    assert low <= float(result["roc_auc"]) <= high
    assert result["tar_at_far_0.01_tar"] == ""
    assert result["num_different_pairs"] == "20"
    counts = collections.Counter()
    for row in rows:
        names = {row[name].rpartition("/")[0] for name in ("first", "second")}
        counts.update(names)
    classes = read_csv(tmp_path / "classes.csv")
    assert {x["class"]: int(x["num_trials"]) for x in classes} == counts


def test_classes_have_the_names_of_their_folders(tmp_path):
    for index, name in enumerate(("ka", "ki", "ku")):
        for drawing in range(3):
            image = draw(side=40 + 10 * index + drawing)
            save(image, tmp_path / "images" / name / f"{drawing}.png")
    answer = call(
        *("evaluate", "--model=pixels_cosine", "--dataset=folder"),
        *(f"--data_dir={tmp_path / 'images'}", "--split=all", "--ways=2"),
        *("--num_trials=20", f"--per_class={tmp_path / 'classes.csv'}"),
        *("--shots=2", f"--predictions={tmp_path / 'all.csv'}"),
    )
    assert answer.returncode == 0, answer.stderr
    classes = read_csv(tmp_path / "classes.csv")
    assert [row["class"] for row in classes] == ["ka", "ki", "ku"]
    assert f"Written to {tmp_path / 'classes.csv'}" in answer.stdout
    rows = read_csv(tmp_path / "all.csv")
    assert len(rows) == 20 * 2
    for row in rows:
        files = [row["query"], *row["support"].split(" | ")]
        assert len(files) == 3
        assert all((tmp_path / "images" / x).is_file() for x in files)
        if row["is_answer"] == "1":
            assert len({x.partition("/")[0] for x in files}) == 1


def test_results_of_folders_of_one_name_are_kept(tmp_path):
    run = Run(tmp_path / "run")
    run.claim(Settings(dataset="folder"))
    written = []
    for place, first in (("one", 40), ("other", 45), ("one", 40)):
        images = tmp_path / place / "images"
        for name in ("ka", "ki"):
            for side in (first, 60, 80):
                save(draw(side=side), images / name / f"{side}.png")
        answer = call(
            *("evaluate", f"--workdir={run.path}", "--model=pixels_cosine"),
            *(f"--data_dir={images}", "--split=all", "--num_trials=20"),
        )
        assert answer.returncode == 0, answer.stderr
        path = answer.stdout.splitlines()[-1].removeprefix("Written to ")
        written.append(Path(path))
    first, second, third = written
    assert first == third
    assert "_folder_images_all_20trials_2ways_" in first.name
    fingerprint = json.loads(second.read_text())["data_fingerprint"]
    assert second.stem == f"{first.stem}_{fingerprint[:8]}"
    assert json.loads(first.read_text())["data_fingerprint"] != fingerprint


def test_folders_are_read_as_in_the_training_of_the_model(tmp_path):
    run = Run(tmp_path / "run")
    run.claim(Settings(dataset="folder"))  # not cropped
    for folder in ("first", "second"):
        for side in (40, 60, 80, 90):
            for name in ("ka", "ki"):
                path = tmp_path / folder / name / f"{side}.png"
                save(draw(side=side), path)
    for folder, model, crop in (
        ("first", "pixels_cosine", False),
        ("second", "pixels_cosine", False),
        ("second", TINY_MODEL, True),
    ):
        answer = call(
            *("evaluate", f"--workdir={run.path}", f"--model={model}"),
            *(f"--data_dir={tmp_path / folder}", "--split=all", "--ways=2"),
            "--num_trials=20",
        )
        assert answer.returncode == 0, answer.stderr
        path = Path(answer.stdout.splitlines()[-1].removeprefix("Written to "))
        assert f"folder_{folder}_all_20trials_2ways_" in path.name
        result = json.loads(path.read_text())
        assert (result["data_dir"], result["crop"]) == (folder, crop)
    assert len(list(run.results.iterdir())) == 3


def test_a_saved_recognizer_is_read_and_evaluated(tmp_path):
    for name in ("a", "b", "c"):
        for number, side in enumerate((60, 80)):
            path = tmp_path / "images" / name / f"{number}.png"
            save(draw(box=(20, 25, side, side)), path)
    Recognizer(TINY_MODEL, crop=False).save(tmp_path / "mine")
    answer = call(
        "evaluate",
        *("--model=mine", "--dataset=folder", "--data_dir=images"),
        *("--split=all", "--ways=2", "--num_trials=9", "--output=result.json"),
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["model"], result["crop"]) == ("mine", False)


@pytest.mark.skipif(sys.platform != "linux", reason="needs names of bytes")
def test_names_that_are_not_in_utf_8(tmp_path):
    images = os.fsencode(tmp_path) + b"/images/"
    for name in (b"\xe90", b"\xe91"):
        for side in (40, 60):
            path = Path(os.fsdecode(images + name), f"{side}.png")
            save(draw(side=side), path)
    answer = call(
        *("evaluate", "--model=pixels_cosine", "--dataset=folder"),
        *(f"--data_dir={tmp_path / 'images'}", "--split=all", "--ways=2"),
        *("--num_trials=20", f"--per_class={tmp_path / 'classes.csv'}"),
    )
    assert answer.returncode == 0, answer.stderr
    lines = (tmp_path / "classes.csv").read_bytes().splitlines()
    assert {line.partition(b",")[0] for line in lines[1:]} == {
        b"\xe90",
        b"\xe91",
    }


def test_a_model_is_tested_on_what_it_was_trained_on(glyphs_dir, tmp_path):
    from koch_siamese.models.loading import load_model
    from koch_siamese.models.siamese import set_dataset

    where = f"--data_dir={glyphs_dir}"
    few = "--num_trials=20"
    unknown = call("evaluate", MODEL, where, few)
    assert_one_line(
        unknown, "does not record its training data: give --dataset"
    )
    assert_one_line(
        call("evaluate", "--model=hausdorff", where, few), "give --dataset"
    )
    model = load_model(TINY_MODEL)
    set_dataset(model, "glyphs/tiny")
    model.save(tmp_path / "model.keras")
    known = f"--model={tmp_path / 'model.keras'}"
    answer = call("evaluate", known, where, few)
    assert answer.returncode == 0, answer.stderr
    assert "glyphs/tiny test" in answer.stdout


def test_data_is_not_prepared_in_a_given_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "to_mother.txt").touch()
    for command, arguments in (
        ("evaluate", ["--model=pretrained"]),
        ("train", [f"--workdir={tmp_path / 'run'}"]),
    ):
        answer = call(command, *arguments, f"--data_dir={tmp_path / 'empty'}")
        assert_one_line(answer, "is not prepared in --data_dir=")
    answer = call(
        *("evaluate", MODEL, "--dataset=glyphs/tiny"),
        f"--data_dir={letters}",
    )
    assert_one_line(answer, "has other files, such as to_mother.txt")
    assert [x.name for x in letters.iterdir()] == ["to_mother.txt"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_results_do_not_overwrite_a_table_of_images(tmp_path):
    table = tmp_path / "images.csv"
    table.write_text("path,label\n")
    arguments = (MODEL, "--dataset=folder", f"--data_dir={table}")
    answer = call("evaluate", *arguments, f"--per_class={table}")
    assert_one_line(answer, "images.csv would overwrite")
    assert table.read_text() == "path,label\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (
            ["--protocol=verification", "--ways=5"],
            "--ways=5 has no effect",
        ),
        (["--protocol=tutorial", "--shots=2"], "--shots=2 has no effect with"),
        (["--protocol=lake", "--ways=5"], "which always has 20"),
        (
            ["--protocol=lake", "--seed=9"],
            "--seed=9 has no effect with --protocol=lake: remove it.",
        ),
        (["--predictions=all.txt"], "must be a file that ends in .csv"),
        (["--per_class=all.json"], "--per_class=all.json must be a file that"),
        (
            ["--predictions=a.csv", "--per_class=a.csv"],
            "--predictions and --per_class are both a.csv",
        ),
        (
            ["--output=a.csv", "--predictions=b/../a.csv"],
            "--output and --predictions are both b/../a.csv",
        ),
    ],
)
def test_mistakes_get_one_line(arguments, part, tmp_path):
    answer = call("evaluate", MODEL, *arguments, cwd=tmp_path)
    assert_one_line(answer, part)
    assert list(tmp_path.iterdir()) == []


def test_too_many_ways_are_refused_with_the_numbers_of_the_split(glyphs_dir):
    answer = call(
        "evaluate",
        *(MODEL, "--dataset=glyphs/tiny", f"--data_dir={glyphs_dir}"),
        *("--ways=99", "--split=validation"),
    )
    assert_one_line(answer, "glyphs/tiny, validation split: 99 ways are more")
