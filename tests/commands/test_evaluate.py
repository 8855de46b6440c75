"""`evaluate`: what it writes, and which flags it refuses."""

import csv
import json

import pytest
from conftest import TINY_MODEL, assert_one_line, call

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


def test_predictions_of_trials_give_the_result(glyphs_dir, tmp_path):
    evaluate(
        glyphs_dir,
        *("--num_trials=30", "--ways=4", "--shots=2", "--seed=3"),
        f"--output={tmp_path / 'result.json'}",
        f"--predictions={tmp_path / 'all.csv'}",
    )
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
        # The character is the query's, each drawer another one.
        names = [answer["query"], *answer["support"].split()]
        assert len({name.rpartition("/")[0] for name in names}) == 1
        assert len({name.rpartition("/")[2] for name in names}) == 3
    assert result["accuracy"] == pytest.approx(correct / 30)


def test_predictions_of_pairs_give_the_result(glyphs_dir, tmp_path):
    answer = evaluate(
        glyphs_dir,
        *("--protocol=verification", "--num_trials=40"),
        f"--output={tmp_path / 'result.csv'}",
        f"--predictions={tmp_path / 'all.csv'}",
    )
    assert "ROC AUC" in answer.stdout
    assert "equal error rate" in answer.stdout
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


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (
            ["--protocol=verification", "--ways=5"],
            "--ways=5 has no effect",
        ),
        (["--protocol=tutorial", "--shots=2"], "--shots=2 has no effect with"),
        (["--protocol=lake", "--ways=5"], "which always has 20"),
        (["--predictions=all.txt"], "must be a file that ends in .csv"),
    ],
)
def test_mistakes_get_one_line(arguments, part, tmp_path):
    answer = call("evaluate", MODEL, *arguments, cwd=tmp_path)
    assert_one_line(answer, part)
    assert list(tmp_path.iterdir()) == []
