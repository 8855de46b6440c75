import pytest

import koch_siamese
from koch_siamese.errors import InputError
from koch_siamese.inference.gallery import Verdict
from koch_siamese.reporting import result_tables
from koch_siamese.reporting.result_tables import Row, Table
from koch_siamese.reporting.text import (
    format_probability,
    format_results,
    format_table,
    format_thresholds,
    format_verdict,
    format_worst_classes,
)


def test_columns_are_aligned_as_a_terminal_shows_them():
    rows = [("name", "score"), ("か", "1"), ("u\u0308", "22"), ("a\nb", "3")]
    rows += [("กั", "4"), ("का", "5")]  # a mark above, and one that takes room
    assert format_table(rows).split("\n") == [
        "name  score",
        "か    1",
        "u\u0308     22",
        r"a\nb  3",
        "กั     4",
        "का    5",
    ]


def test_lazy_names_are_listed():
    assert "load_pretrained" in dir(koch_siamese)


RESULT = {
    "protocol": "verification",
    "dataset": "glyphs",
    "split": "test",
    "ways": None,
    "shots": None,
    "num_trials": 400,
    "accuracy": 0.9,
    "ci95": [0.867, 0.926],
    "nearest_neighbour": 0.5,
    "roc_auc": 0.98765,
    "equal_error_rate": 0.0412,
}
MEASURED = {
    "roc_auc_ci95": [0.97, 0.99],
    "equal_error_rate_ci95": [0.03, 0.05],
    "tar_at_far": {
        "0.01": {"tar": 0.8294, "ci95": [0.7313, 0.8986]},
        "0.001": {"tar": None, "ci95": None},
    },
    "num_different_pairs": 200,
    "num_classes": 40,
}


def test_verification_prints_rates_with_intervals():
    assert format_results([RESULT | MEASURED]).split("\n")[2:] == [
        "verification: ROC AUC 0.9877 (0.9700 to 0.9900), equal error rate "
        "4.12 % (3.0 to 5.0 %)",
        "true accept rate at 1 % false accepts: 82.94 % (73.1 to 89.9 %), "
        "at 0.1 % false accepts: not measured (needs 1,000 different pairs, "
        "has 200)",
    ]


def test_results_of_earlier_versions_are_printed():
    assert format_results([RESULT]).split("\n")[2:] == [
        "verification: ROC AUC 0.9877, equal error rate 4.12 %"
    ]


def test_readings_of_the_papers_test_are_a_table():
    reading = {"drawers": "lake", "different_pairs": "within_alphabet"}
    reading |= {"accuracy": 0.9, "ci95": [0.87, 0.93]}
    reading |= {"roc_auc": 0.95, "equal_error_rate": 0.08}
    text = format_results([RESULT | {"readings": [reading]}])
    names, row = text.split("\n")[3:5]
    assert names.startswith(
        "drawers  different pairs  accuracy  95 % interval "
    )
    assert row.startswith("lake     within alphabet  90.00 %   87.0 to 93.0 % ")
    assert names.split()[-2:] == ["AUC", "EER"]
    assert row.split()[-3:] == ["0.9500", "8.00", "%"]


def test_few_classes_print_why_there_are_no_intervals():
    few = {
        "roc_auc_ci95": None,
        "equal_error_rate_ci95": None,
        "tar_at_far": {"0.01": {"tar": 0.5, "ci95": None}},
        "num_classes": 3,
    }
    assert format_results([RESULT | MEASURED | few]).split("\n")[2:] == [
        "verification: ROC AUC 0.9877, equal error rate 4.12 %",
        "true accept rate at 1 % false accepts: 50.00 %",
        "no 95 % intervals: they need pairs of at least 10 classes",
    ]


def test_worst_classes_where_there_are_few():
    shares = {"ka": 1.0, "ki": 0.5, "ku": 0.75, "ke": 0.25, "ko": 0.9}
    classes = [
        {"class": name, "num_trials": 20, "accuracy": share}
        for name, share in shares.items()
    ]
    assert format_worst_classes(classes) == (
        "classes with the lowest accuracy: ke 25.0 % of 20, ki 50.0 % of "
        "20, ku 75.0 % of 20"
    )
    assert format_worst_classes(classes[:1]) == ""
    assert format_worst_classes(classes * 20)  # 100 classes
    assert format_worst_classes(classes * 21) == ""


def test_closed_sets_and_few_classes_get_a_note():
    trials = {
        key: value
        for key, value in RESULT.items()
        if key not in ("roc_auc", "equal_error_rate")
    }
    trials |= {"protocol": "within_alphabet", "ways": 5, "shots": 1}
    _, row, *lines = format_results(
        [trials | {"closed_set": True, "num_classes": 19}]
    ).split("\n")
    assert row.startswith("within_alphabet  glyphs test (closed set)  5 ")
    assert lines == [
        "within_alphabet is measured on a closed set: the network was trained "
        "on other images of these classes, so this is not a one-shot accuracy "
        "on new classes",
        "within_alphabet has only 19 test classes: the 95 % interval is for "
        "other trials with these classes, not for other classes. Guessing gets "
        "20.0 %",
    ]
    assert len(format_results([trials | {"num_classes": 20}]).split("\n")) == 2
    assert len(format_results([trials]).split("\n")) == 2


def test_thresholds_name_their_pairs_and_candidates():
    report = {
        "same": {"logit": -3.681, "accuracy": 0.9437, "num_pairs": 10_000},
        "none_of_these": {
            "logit": -1.158,
            "ways": 20,
            "false_accepts": 0.049,
            "right_where_present": 0.4538,
        },
        "num_characters": 20,
    }
    lines = [
        "accuracy on 10,000 validation pairs: 94.4 % (threshold -3.68)",
        "threshold for a name among 20 candidates: -1.16 (named correctly: "
        "45.4 % of known characters; named: 4.9 % of unknown ones)",
    ]
    assert format_thresholds(report).split("\n") == lines
    few = {"num_characters": 19, "closed_set": True}
    assert format_thresholds(report | few).split("\n") == [
        *lines,
        "Both thresholds were chosen on only 19 validation characters, too few "
        "to rely on, above all for a name.",
        "Both thresholds were chosen on new images of the training classes; "
        "they say little about new classes.",
    ]


def test_verdicts_say_what_is_known():
    assert format_verdict(Verdict(True, 4.0, 0.976, 2.5)) == (
        "same: score 4.00 (threshold 2.50), probability of the same class 98 %"
    )
    assert format_verdict(Verdict(False, 1.0, None, 2.5)) == (
        "different: score 1.00 (threshold 2.50)"
    )
    assert format_verdict(Verdict(None, 1.0, None, None)) == "score 1.00"


def test_tables_of_results_name_closed_sets():
    result = {
        "flagfile": "experiments/mine.flags",
        "model": "model.keras",
        "protocol": "within_alphabet",
        "accuracy": 0.9,
        "num_trials": 100,
        "seed": 0,
        "machine": "a machine",
        "commit": None,
        "dataset": "folder",
    }
    table = Table({"dataset": "folder"}, (Row("mine", "mine", short=True),))
    assert "closed set" not in table.to_markdown({"a.json": result})
    closed = {"a.json": result | {"closed_set": True}}
    for short in (False, True):
        text = table.to_markdown(closed, short=short)
        assert "| mine (closed set: " in text
    unknown = {"a.json": result | {"closed_set": None}}
    assert "| mine (may be a closed set) |" in table.to_markdown(unknown)


@pytest.mark.parametrize(
    ("training", "text"),
    [
        ({}, "1 min 5 s"),  # as in the oldest results
        ({"training_epochs": 4}, "1 min 5 s (epochs: 4)"),
        (
            {"training_epochs": 4, "training_planned_epochs": 4},
            "1 min 5 s (epochs: 4)",
        ),
        (
            {"training_epochs": 4, "training_planned_epochs": 9},
            "1 min 5 s (epochs: 4 of 9)",
        ),
        (
            {"training_epochs": 4, "training_flags": "--seed=1 --patience=2"},
            "1 min 5 s (epochs: 4; `--patience=2`)",
        ),
        (
            {"training_flags": "--epochs=4 --crop"},
            "1 min 5 s (`--epochs=4`; `--crop`)",
        ),
        ({"training_flags": None}, "1 min 5 s"),
    ],
)
def test_tables_show_how_a_training_ended(training, text):
    result = {"training_seconds": 65.4} | training
    assert result_tables._training(result) == text


def test_folders_of_one_name_are_told_apart():
    first = RESULT | {"dataset": "folder", "data_dir": "images"}
    first |= {"data_fingerprint": "0123456789", "split": "all"}
    second = first | {"data_fingerprint": "abcdefghij"}
    for results, names in (
        ([first, first], ["folder/images all"] * 2),
        # A result of an earlier version only has the second hash.
        (
            [first, first | {"data_fingerprint": "new-0123456789"}],
            ["folder/images all"] * 2,
        ),
        (
            [first, second],
            ["folder/images (01234567) all", "folder/images (abcdefgh) all"],
        ),
    ):
        _, *rows = format_results(results).split("\n")
        for row, name in zip(rows, names, strict=False):
            assert row.startswith(f"verification  {name}  -")


def test_a_row_is_not_of_two_folders():
    first = {
        "flagfile": "experiments/mine.flags",
        "dataset": "folder",
        "data_fingerprint": "01",
        "seed": 0,
        "num_trials": 100,
    }
    results = {"a.json": first, "b.json": first | {"data_fingerprint": "23"}}
    table = Table({"dataset": "folder"}, ())
    with pytest.raises(InputError, match=r"b.json belong .* different images"):
        table.select(Row("mine", "mine"), results)
    newer = first | {"data_fingerprint": "45-01", "training_seed": 1}
    same = {"a.json": first, "b.json": newer}
    assert table.select(Row("mine", "mine"), same) == same
    row = Row("mine", "mine", results={"data_fingerprint": "23"})
    assert list(table.select(row, results)) == ["b.json"]


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (None, "-"),
        (0, "< 1 %"),
        (0.0099, "< 1 %"),
        (0.01, "1 %"),
        (0.5, "50 %"),
        (0.99, "99 %"),
        (0.9999, "> 99 %"),
        (1, "> 99 %"),
    ],
)
def test_a_probability_is_never_rounded_to_certainty(probability, text):
    assert format_probability(probability) == text
