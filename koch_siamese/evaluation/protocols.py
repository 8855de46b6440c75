"""What a number is measured on: the protocols of evaluation."""

import dataclasses
import time

import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.data.sources import DataSource
from koch_siamese.evaluation.baselines import PixelsCosine
from koch_siamese.evaluation.calibration import compute_same_threshold
from koch_siamese.evaluation.metrics import (
    compute_auc,
    compute_equal_error_rate,
    compute_roc,
)
from koch_siamese.evaluation.scoring import Scorer, evaluate_trials, score_pairs
from koch_siamese.reporting.text import format_table
from koch_siamese.sampling.lake import make_lake_trials
from koch_siamese.sampling.pairs import CharacterIndex, sample_pairs
from koch_siamese.sampling.trials import Trials, sample_trials, wilson_interval


def make_trials(
    protocol: str,
    characters: Characters,
    *,
    num_trials: int = 400,
    ways: int = 20,
    shots: int = 1,
    seed: int = 0,
) -> Trials:
    """Trials over characters; the same for the same seed.

    Args:
        protocol: `lake`, the official 400 of Omniglot, for which the other
            arguments do not matter; `within_alphabet`, the paper's task;
            `cross_alphabet`, candidates out of all alphabets: an easier task,
            whose figures must not stand beside the others; or `mnist`, of
            labels that have no alphabet (section 4.4).
        characters: the drawings to draw from, for `lake` all drawings of
            Omniglot's official test alphabets.
        num_trials, ways, shots, seed: see `trials.sample_trials`.

    Raises:
        InputError: the characters do not suffice.
    """
    if protocol == "lake":
        return make_lake_trials(
            characters.alphabet,
            characters.number,
            characters.drawer,
            characters.alphabet_names,
        )
    alphabet = characters.alphabet
    if protocol in ("cross_alphabet", "mnist"):
        alphabet = np.zeros_like(alphabet)
    return sample_trials(
        characters.character,
        alphabet,
        characters.drawer,
        num_trials=num_trials,
        ways=ways,
        shots=shots,
        rng=np.random.default_rng(seed),
    )


def evaluate_protocol(
    scorer: Scorer,
    protocol: str,
    source: DataSource,
    *,
    split: str = "test",
    num_trials: int = 400,
    ways: int = 20,
    shots: int = 1,
    seed: int = 0,
) -> dict[str, object]:
    """Measures a scorer and, on the same trials, nearest neighbours.

    Args:
        scorer: a model or baseline.
        protocol: see `make_trials`; `lake` is on Omniglot's test alphabets
            whatever the other arguments say. Or `verification`, see
            `evaluate_pairs`, where a trial is a pair.
        source, split: the characters to draw trials from.
        num_trials, ways, shots, seed: see `make_trials`.

    Returns:
        What `scoring.evaluate_trials` or `evaluate_pairs` returns, with
        `protocol`, `dataset`, `background`, `split`, `seed`, and
        `nearest_neighbour`, the accuracy of `PixelsCosine`.
    """
    if protocol == "lake":
        source = dataclasses.replace(
            source, dataset="omniglot", background="original"
        )
        split = "test"
    measure = _choose_measure(
        protocol,
        source,
        split,
        num_trials=num_trials,
        ways=ways,
        shots=shots,
        seed=seed,
    )
    return {
        "protocol": protocol,
        "dataset": source.dataset,
        "background": source.background,
        "split": split,
        **({"crop": source.crop} if source.dataset == "folder" else {}),
        "seed": seed,
        **measure(scorer),
        "nearest_neighbour": measure(PixelsCosine())["accuracy"],
    }


def _choose_measure(protocol, source, split, **trial_options):
    """What measures a scorer by a protocol: always on the same trials."""
    characters = source.load(split)
    if protocol == "verification":
        validation = source.load("validation")
        num_pairs, seed = trial_options["num_trials"], trial_options["seed"]
        return lambda scorer: evaluate_pairs(
            scorer, characters, validation, num_pairs, seed
        )
    trials = make_trials(protocol, characters, **trial_options)
    return lambda scorer: evaluate_trials(scorer, characters.images, trials)


def score_random_pairs(
    scorer: Scorer, characters: Characters, num_pairs: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the paper's pairs (section 4.2), half same, half different.

    Every alphabet has an equal share; different pairs stay within one.

    Returns:
        scores: float64 `[num_pairs]`.
        same: float32 `[num_pairs]`, 1 = same character, 0 = different.
    """
    index = CharacterIndex.from_labels(
        characters.character, characters.alphabet
    )
    index.require(2, 2)
    rng = np.random.default_rng(seed)
    first, second, same = sample_pairs(index, num_pairs, rng)
    return score_pairs(scorer, characters.images, first, second), same


def evaluate_pairs(
    scorer: Scorer,
    characters: Characters,
    validation: Characters,
    num_pairs: int,
    seed: int,
) -> dict[str, object]:
    """Verification: how many pairs are told rightly (section 4.2, table 1).

    Args:
        scorer: a model or baseline.
        characters: to draw pairs from.
        validation: to choose the threshold on, if the scorer has none.
        num_pairs: how many pairs, at least 2.
        seed: decides them.

    Returns:
        `accuracy` at the threshold and its `ci95` within 0..1, `roc_auc`,
        `equal_error_rate`, `threshold`, `num_trials` (pairs), `ways` and
        `shots` (None), and the `seconds` that it took.
    """
    start = time.perf_counter()
    threshold = scorer.same_threshold
    if threshold is None:
        threshold = compute_same_threshold(
            *score_random_pairs(scorer, validation, num_pairs, seed)
        )
    scores, same = score_random_pairs(scorer, characters, num_pairs, seed)
    roc = compute_roc(scores, same)
    num_right = int(((scores >= threshold) == same.astype(bool)).sum())
    return {
        "accuracy": num_right / num_pairs,
        "ci95": wilson_interval(num_right, num_pairs),
        "roc_auc": compute_auc(*roc),
        "equal_error_rate": compute_equal_error_rate(*roc),
        "threshold": threshold,
        "num_trials": num_pairs,
        "ways": None,
        "shots": None,
        "seconds": round(time.perf_counter() - start, 3),
    }


def format_results(results: list[dict]) -> str:
    """A table of results, a line each."""
    rows = [
        (
            "protocol",
            "data set",
            "ways",
            "shots",
            "trials",
            "accuracy",
            "95 % interval",
            "nearest neighbour",
        )
    ]
    for result in results:
        low, high = result["ci95"]
        rows.append(
            (
                result["protocol"],
                f"{result['dataset']} {result['split']}",
                str(result["ways"] or "-"),
                str(result["shots"] or "-"),
                str(result["num_trials"]),
                f"{result['accuracy']:.2%}",
                f"{low:.1%} to {high:.1%}",
                f"{result['nearest_neighbour']:.2%}",
            )
        )
    return format_table(rows)
