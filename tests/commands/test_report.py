"""Tests `report`: tables of result files, in documents."""

import json

import pytest
from conftest import REPOSITORY, assert_one_line, call, find_imported

from koch_siamese.runs.directory import Run
from koch_siamese.runs.settings import Settings

TABLES = {
    "one": {
        "results": {"protocol": "lake"},
        "rows": [
            {"what": "ours", "flagfile": "one", "published": 50, "short": True},
            {"what": "none", "flagfile": "two", "short": True},
            {"what": "base", "model": "hausdorff"},
            {"what": "them (2015)", "published": 97.75},
            {"what": "3", "flagfile": "one", "results": {"training_seed": 3}},
        ],
    },
    "pairs": {
        "results": {"protocol": "verification", "split": "test"},
        "columns": [
            *("roc_auc", "equal_error_rate"),
            *("anywhere", "lake", "lake_anywhere"),
        ],
        "rows": [
            {"what": "pairs", "flagfile": "one"},
            {
                "what": "pixels",
                "flagfile": "one",
                "measure": "nearest_neighbour",
            },
        ],
    },
}

DOCUMENTS = (
    "README.md",
    "experiments/README.md",
    "experiments/ablations.md",
    "experiments/benchmark/README.md",
    "experiments/emoji.md",
    "experiments/search.md",
    "koch_siamese/models/pretrained.md",
    "koch_siamese/models/pretrained_large.md",
)
DOCUMENT = """Before 50 %.

<!-- report: one -->
old
<!-- end of report -->

Between.
<!-- report: one, short -->
<!-- end of report -->
<!-- report: pairs -->
<!-- end of report -->
After."""

# Wilson's interval for k of n, with z^2 = 3.84, is
# (k + 1.92 -+ 1.96 sqrt(k (n - k) / n + 0.96)) / (n + 3.84). For half of n, it
# is 1/2 -+ 1.96 / (2 sqrt(n + 3.84)). Both seeds of Lake have the same 198
# trials, half of which are correct: 0.431 and 0.569. The baseline has 0 of 4:
# up to 3.84 / 7.84 = 0.490. The seeds of verification have 100 different pairs
# each, so 100 of 200: 0.431 and 0.569. Pixels do not depend on the training and
# have 0 of 100: up to 3.84 / 103.84 = 0.037. Seed 3 alone has 99.5 of 198:
# (99.5 + 1.92 -+ 1.96 sqrt(49.5 + 0.96)) / 201.84 = 0.433 and 0.571. In other
# readings, 140 and 120 of the 200 pairs are correct: 0.633 and 0.759, and 0.531
# and 0.665. The fourth reading is only in one of the results.
EXPECTED = """Before 50 %.

<!-- report: one -->

| what | ours, % (95 % interval) | published, % | trials | seeds | training \
| machine | commit | command |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| ours | **50.0** (43.1 to 56.9) | 50.0 | 2 × 198 | 0, 3: 49.75, 50.25 \
| 1 min 5 s, 1 h 2 min (epochs: 4) | 2 x A, 4 x B | abc | `one.flags` |
| none | not run |  |  |  |  |  |  | `two.flags` |
| base | **0.0** (0.0 to 49.0) |  | 4 |  |  | 2 x A | abc \
| `evaluate --model=hausdorff` |
| them (2015) |  | 97.75 |  |  |  |  |  |  |
| 3 | **50.25** (43.3 to 57.1) |  | 198 | 3 | 1 h 2 min (epochs: 4) \
| 4 x B | abc | `one.flags` |

<!-- end of report -->

Between.
<!-- report: one, short -->

| what | ours, % (95 % interval) | published, % | command |
| --- | --- | --- | --- |
| ours | **50.0** (43.1 to 56.9) | 50.0 | `one.flags` |

<!-- end of report -->
<!-- report: pairs -->

| what | ours, % (95 % interval) | published, % | ROC AUC \
| equal error rate, % | different pairs from anywhere, % | Lake's drawers, % \
| Lake's drawers, different pairs from anywhere, % | trials | seeds | training \
| machine | commit | command |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- \
| --- | --- | --- |
| pairs | **50.0** (43.1 to 56.9) |  | 0.5130 | 12.5 \
| **70.0** (63.3 to 75.9) | **60.0** (53.1 to 66.5) |  | 2 × 100 \
| 0, 1: 50.0, 50.0 | ?, ? | 2 x A | abc, def | `one.flags` |
| pixels | **0.0** (0.0 to 3.7) |  |  |  |  |  |  | 100 |  |  | 2 x A | abc \
| `one.flags` |

<!-- end of report -->
After."""  # noqa: RUF001

RESULT = {
    "protocol": "lake",
    "accuracy": 0.4975,
    "num_trials": 198,
    "seed": 0,
    "nearest_neighbour": 0.0,
    "model": "runs/one/model.keras",
    "flagfile": "experiments/one.flags",
    "training_seconds": 65.4,
    "machine": "2 x A",
    "commit": "abc",
}
READINGS = [
    {"drawers": drawers, "different_pairs": different, "accuracy": accuracy}
    for drawers, different, accuracy in (
        ("17 to 20", "within_alphabet", 0.5),
        ("17 to 20", "anywhere", 0.7),
        ("lake", "within_alphabet", 0.6),
        ("lake", "anywhere", 0.8),
    )
]
PAIRS = {
    "protocol": "verification",
    "split": "test",
    "accuracy": 0.5,
    "num_trials": 100,
    "roc_auc": 0.512,
    "equal_error_rate": 0.125,
    "readings": READINGS,
    "training_seconds": None,
}
# In the second result, the seeds of training and trials differ, and so do the
# machines of training and evaluation.
SECOND = {
    "accuracy": 0.5025,
    "training_seed": 3,
    "training_seconds": 3725.0,
    "training_epochs": 4,
    "training_machine": "4 x B",
}


@pytest.fixture
def place(tmp_path):
    """A folder with results, tables and documents like the repository."""
    results = tmp_path / "experiments" / "results"
    results.mkdir(parents=True)
    files = {
        "one_seed0_lake": RESULT,
        "one_seed3_lake": RESULT | SECOND,
        "hausdorff": RESULT
        | {"model": "hausdorff", "flagfile": None, "accuracy": 0.0}
        | {"num_trials": 4},
        "one_seed0_verification": RESULT | PAIRS,
        "one_seed1_verification": RESULT
        | PAIRS
        # Its seed samples other pairs. Lake's trials are always the same.
        | {"training_seed": 1, "seed": 9}
        | {"roc_auc": 0.514, "commit": "def", "readings": READINGS[:3]},
        "one_seed0_verification_validation": RESULT
        | PAIRS
        | {"split": "validation"},
        "one_seed0_thresholds": {"same": 1, "machine": "2 x A"},
    }
    for name, result in files.items():
        (results / f"{name}.json").write_text(json.dumps(result))
    (tmp_path / "experiments/tables.json").write_text(json.dumps(TABLES))
    for name in ("one", "two"):
        (tmp_path / f"experiments/{name}.flags").touch()
    (tmp_path / "README.md").write_text(DOCUMENT)
    for name in DOCUMENTS[1:]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(
            "<!-- report: one -->\n<!-- end of report -->\n"
        )
    return tmp_path


def test_tables_are_exact_and_written_only_if_they_change(place):
    answer = call("report", cwd=place)
    assert answer.returncode == 0, answer.stderr
    assert (place / "README.md").read_text() == EXPECTED
    assert f"Updated: {', '.join(DOCUMENTS)}\n" in answer.stdout
    assert "| none | not run |" in answer.stdout
    unused = [x for x in answer.stdout.splitlines() if x.startswith("In no")]
    assert unused == ["In no table: one_seed0_verification_validation.json"]
    again = call("report", cwd=place)
    assert "All documents are up to date." in again.stdout
    assert (place / "README.md").read_text() == EXPECTED


def test_a_result_belongs_to_a_row_wherever_its_flagfile_was(place):
    """It was trained with --flagfile=two.flags, before that was moved."""
    own = RESULT | {"flagfile": "two.flags"}
    path = place / "experiments/results/two_seed0_lake.json"
    path.write_text(json.dumps(own))
    assert "| none | not run |" not in call("report", cwd=place).stdout


def test_check_finds_an_edited_number(place):
    document = place / "README.md"
    assert_one_line(call("report", "--check", cwd=place), "Out of date: README")
    assert document.read_text() == DOCUMENT
    call("report", cwd=place)
    answer = call("report", "--check", cwd=place)
    assert answer.returncode == 0, answer.stderr
    edited = EXPECTED.replace("**50.0** (43.1", "**99.0** (43.1", 1)
    document.write_text(edited)
    answer = call("report", "--check", cwd=place)
    assert_one_line(answer, "Out of date: README.md. ")
    call("report", cwd=place)
    assert document.read_text() == EXPECTED


def test_every_document_with_a_table_is_checked():
    patterns = ("*.md", "experiments/**/*.md", "koch_siamese/**/*.md")
    # These are also the command's: it updates them all in another test.
    assert set(DOCUMENTS) == {
        path.relative_to(REPOSITORY).as_posix()
        for pattern in patterns
        for path in REPOSITORY.glob(pattern)
        if "<!-- report: " in path.read_text()
    }


def test_documents_of_the_repository_are_what_report_writes():
    answer = call("report", "--check", cwd=REPOSITORY)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ("<!-- report: best -->\n<!-- end of report -->\n", "no table 'best'"),
        ("<!-- report: one, long -->\n<!-- end of report -->", "one, long"),
        ("<!-- report: one -->\ntext\n", "report: one --> without its other"),
        ("<!-- report: one -->\n" * 2 + "<!-- end of report -->", "without"),
        ("<!-- end of report -->\n", "end of report --> without its other"),
        ("text\n", "README.md has no place"),
    ],
)
def test_mistakes_in_a_document_change_no_file(place, document, part):
    path = place / "experiments/README.md"
    path.write_text(document)
    assert_one_line(call("report", cwd=place), part)
    assert path.read_text() == document
    assert (place / "README.md").read_text() == DOCUMENT


@pytest.mark.parametrize(
    ("result", "part"),
    [
        (RESULT, "again.json and one_seed0_lake.json are both of one.flags"),
        (RESULT | {"seed": 1, "num_trials": 9}, "--num_trials"),
    ],
)
def test_results_that_do_not_belong_together(place, result, part):
    path = place / "experiments/results/again.json"
    path.write_text(json.dumps(result))
    assert_one_line(call("report", cwd=place), part)


def test_mistakes_get_one_line(place, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for arguments in ([], ["--check"], ["--add=run"]):
        answer = call("report", *arguments, cwd=elsewhere)
        assert_one_line(answer, "experiments/results does not exist", "root")
    answer = call("report", "--documents=absent.md", cwd=place)
    assert_one_line(answer, "absent.md does not exist")
    (place / "experiments/tables.json").write_text('{"one": {"rows": []}}')
    assert_one_line(call("report", cwd=place), "tables.json", "'results'")
    (place / "experiments/tables.json").write_bytes(b"\xff" + 999 * b"x")
    answer = call("report", cwd=place)
    assert_one_line(answer, "tables.json is not JSON")
    assert len(answer.stderr) < 250
    (place / "experiments/results/half.json").write_text('{"protocol": ')
    (place / "experiments/tables.json").write_text(json.dumps(TABLES))
    assert_one_line(call("report", cwd=place), "half.json is not JSON")
    (place / "experiments/two.flags").unlink()
    assert_one_line(call("report", cwd=place), "a row of two.flags, which is")


@pytest.fixture
def run(place):
    """A run of experiments/one.flags with seed 7 that was not trained."""
    (place / "experiments/base.flags").write_text(
        "# What others begin with.\n--workdir=runs/base\n--epochs=2\n"
    )
    (place / "experiments/one.flags").write_text(
        "# A recipe.\n--flagfile=experiments/base.flags\n"
        "--workdir=runs/one\n\n--epochs=3\n--nocrop\n--data_dir=data\n"
    )
    run = Run(place / "runs" / "one_seed7")
    run.claim(
        Settings(epochs=3, seed=7, num_trials=400, max_minutes=9.0),
        "experiments/one.flags",
    )
    given = {"training_flags": "--seed=7 --num_trials=400 --max_minutes=9.0"}
    run.write_result("lake", RESULT | run.describe_training() | given)
    run.write_result("lake_hausdorff", RESULT | {"flagfile": None})
    run.write_result("thresholds", {"same": 1})
    return run


def test_add_names_results_by_flagfile_and_seed(place, run):
    results = place / "experiments/results"
    before = set(results.iterdir())
    answer = call("report", f"--add={run.path}", cwd=place)
    assert answer.returncode == 0, answer.stderr
    assert {path.name for path in set(results.iterdir()) - before} == {
        "one_seed7_lake.json",
        "one_seed7_thresholds.json",
    }
    assert (
        "lake_hausdorff.json is a result of runs/one/model.keras, without"
        in answer.stdout
    )
    added = (results / "one_seed7_lake.json").read_bytes()
    assert added == (run.results / "lake.json").read_bytes()
    assert (place / "README.md").read_text() == DOCUMENT
    call("report", cwd=place)
    document = (place / "README.md").read_text()
    assert "| 0, 3, 7: 49.75, 50.25, 49.75 |" in document
    assert "1 h 2 min (epochs: 4), ? (`--max_minutes=9.0`) |" in document


def test_add_refuses_runs_without_a_flagfile(place, run):
    def add(path):
        return call("report", f"--add={path}", cwd=place)

    assert_one_line(add("absent"), "--add=absent is not a run")
    other = Run(place / "other")
    other.claim(Settings())
    assert_one_line(add(other.path), "was trained without --flagfile")
    other.claim(Settings(), "gone.flags")
    assert_one_line(add(other.path), "gone.flags, the flagfile")
    other.claim(Settings(epochs=2), "experiments/one.flags")
    assert_one_line(
        add(other.path),
        "was not trained with experiments/one.flags",
        "epochs=2",
    )


def test_report_needs_no_tensorflow():
    heavy = ("tensorflow", "keras")
    assert find_imported("koch_siamese.report", heavy) == []
