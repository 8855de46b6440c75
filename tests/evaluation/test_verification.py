import json
import time

import numpy as np
import pytest

from koch_siamese.evaluation.metrics import (
    compute_auc,
    compute_equal_error_rate,
    compute_roc,
    compute_tar_at_far,
    rank_pairs,
)
from koch_siamese.evaluation.verification import (
    bootstrap_accuracy_of_pairs,
    bootstrap_classes,
    measure_verification,
)


def make_pairs(num_pairs, num_classes, seed=0):
    """Makes same and different pairs whose scores depend on the classes."""
    rng = np.random.default_rng(seed)
    same = np.arange(num_pairs) % 2 == 0
    first = rng.integers(num_classes, size=num_pairs)
    step = 1 + rng.integers(num_classes - 1, size=num_pairs)
    second = np.where(same, first, (first + step) % num_classes)
    effect = rng.normal(size=num_classes)
    scores = rng.normal(size=num_pairs) + np.where(
        same, 3 + effect[first] / 2, (effect[first] + effect[second]) / 2
    )
    return scores, same.astype(np.float32), np.stack([first, second])


def test_interval_of_an_accuracy_is_for_other_classes():
    """Of 20 classes, the same pairs of 10 are always wrong."""
    same_classes = np.repeat(np.arange(20), 50)
    first = np.r_[same_classes, np.tile(np.arange(20), 50)]
    second = np.r_[same_classes, (np.tile(np.arange(20), 50) + 7) % 20]
    same = np.arange(2000) < 1000
    correct = ~same | (first < 10)
    low, high = bootstrap_accuracy_of_pairs(
        correct, same, np.stack([first, second])
    )
    # The mean of 20 classes that are 0 or 1 has a standard deviation of 0.112;
    # different pairs, all correct, halve it.
    assert low == pytest.approx(0.75 - 1.96 * 0.112 / 2, abs=0.02)
    assert high == pytest.approx(0.75 + 1.96 * 0.112 / 2, abs=0.02)


def test_resamples_keep_the_shares_of_same_and_different_pairs():
    _, same, classes = make_pairs(300, 12)
    same = np.arange(300) < 90
    interval = bootstrap_accuracy_of_pairs(same, same, classes)
    np.testing.assert_allclose(interval, 0.3, rtol=1e-12)
    few = classes % 9
    assert bootstrap_accuracy_of_pairs(same, same, few) is None


def read_intervals(result):
    """Yields each value with its interval."""
    for name in ("roc_auc", "equal_error_rate"):
        yield result[name], result[f"{name}_ci95"]
    for rate in result["tar_at_far"].values():
        yield rate["tar"], rate["ci95"]


def test_bootstrap_agrees_with_repeated_pairs():
    scores, same, classes = make_pairs(60, 12)
    scores = scores.round()  # some tie

    def measure(*roc):
        return (
            compute_auc(*roc),
            compute_equal_error_rate(*roc),
            compute_tar_at_far(*roc, 0.1),
        )

    rng, values = np.random.default_rng(5), []
    for _ in range(50):
        drawn = list(rng.integers(12, size=12))
        chosen = []
        for pair, (first, second) in enumerate(classes.T):
            times = drawn.count(first)
            if first != second:
                times *= drawn.count(second)
            chosen += [pair] * times
        values.append(measure(*compute_roc(scores[chosen], same[chosen])))
    expected = np.quantile(values, [0.025, 0.975], axis=0).T
    found = bootstrap_classes(
        rank_pairs(scores, same),
        100 + 10 * classes,  # class numbers may have gaps
        measure,
        num_resamples=50,
        seed=5,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_intervals_are_repeatable_and_narrower_with_more_classes():
    few, many = (make_pairs(4000, num) for num in (20, 500))
    result = measure_verification(*few)
    assert result == measure_verification(*few)
    assert result["num_different_pairs"] == 2000
    narrow = measure_verification(*many)
    for (value, (low, high)), (second, (low_of_many, high_of_many)) in zip(
        read_intervals(result), read_intervals(narrow), strict=True
    ):
        assert 0 <= low < value < high <= 1
        assert low_of_many < second < high_of_many
        assert high_of_many - low_of_many < high - low


def test_perfect_scores():
    _, same, classes = make_pairs(2000, 30)
    result = measure_verification(same, same, classes)
    perfect = {"tar": 1.0, "ci95": [1.0, 1.0]}
    assert result == {
        "roc_auc": 1.0,
        "roc_auc_ci95": [1.0, 1.0],
        "equal_error_rate": 0.0,
        "equal_error_rate_ci95": [0.0, 0.0],
        "tar_at_far": {"0.01": perfect, "0.001": perfect},
        "num_different_pairs": 1000,
    }
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize(
    ("num_different", "measured"),
    [(99, []), (100, ["0.01"]), (999, ["0.01"]), (1000, ["0.01", "0.001"])],
)
def test_rate_below_one_different_pair_is_not_measured(num_different, measured):
    scores, same, classes = make_pairs(2 * num_different, 40)
    result = measure_verification(scores, same, classes)
    rates = result["tar_at_far"]
    assert list(rates) == ["0.01", "0.001"]
    for rate, value in rates.items():
        assert (value["tar"] is not None) == (rate in measured)
        assert (value["ci95"] is not None) == (rate in measured)


def test_few_or_unknown_classes_give_no_intervals():
    scores, same, classes = make_pairs(400, 9)
    for result in (
        measure_verification(scores, same, classes),
        measure_verification(scores, same),
    ):
        assert [x for _, x in read_intervals(result)] == [None] * 4
        assert result["tar_at_far"]["0.01"]["tar"] > 0
    enough = measure_verification(*make_pairs(400, 10))
    assert enough["roc_auc_ci95"] is not None


@pytest.mark.parametrize("kind", [0, 1])
def test_resamples_without_pairs_of_a_kind_are_skipped(kind):
    classes = np.array([[0, *range(1, 20)], [0, *range(2, 21)]])
    same = np.r_[kind, np.full(19, 1 - kind)]
    scores = np.r_[0.5, np.linspace(0, 1, 19)]
    result = measure_verification(scores, same, classes)
    assert result["num_different_pairs"] == (19 if kind else 1)
    low, high = result["roc_auc_ci95"]
    assert 0 <= low < result["roc_auc"] < high <= 1


def test_ten_thousand_pairs_are_fast():
    pairs = make_pairs(10_000, 300)
    start = time.process_time()
    measure_verification(*pairs)
    assert time.process_time() - start < 5  # half a second on an idle machine
