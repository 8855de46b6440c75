"""What a number is measured on: the protocols of evaluation."""

import dataclasses

import numpy as np

from koch_siamese.baselines import PixelsCosine
from koch_siamese.characters import Characters
from koch_siamese.datasets import DataSource
from koch_siamese.omniglot import lake_trials
from koch_siamese.scoring import Scorer, evaluate_trials
from koch_siamese.tables import format_table
from koch_siamese.trials import Trials, sample_trials


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
            arguments do not matter; `within_alphabet`, the paper's task; or
            `cross_alphabet`, candidates out of all alphabets: an easier task,
            whose figures must not stand beside the others.
        characters: the drawings to draw from, for `lake` all drawings of
            Omniglot's official test alphabets.
        num_trials, ways, shots, seed: see `trials.sample_trials`.

    Raises:
        InputError: the characters do not suffice.
    """
    if protocol == "lake":
        return lake_trials(characters)
    alphabet = characters.alphabet
    if protocol == "cross_alphabet":
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


def evaluate_with_baseline(
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
            whatever the other arguments say.
        source, split: the characters to draw trials from.
        num_trials, ways, shots, seed: see `make_trials`.

    Returns:
        What `scoring.evaluate_trials` returns, with `protocol`, `dataset`,
        `split`, `seed`, and `nearest_neighbour`, the accuracy of
        `PixelsCosine`.
    """
    if protocol == "lake":
        source = dataclasses.replace(
            source, dataset="omniglot", background="original"
        )
        split = "test"
    characters = source.load(split)
    trials = make_trials(
        protocol,
        characters,
        num_trials=num_trials,
        ways=ways,
        shots=shots,
        seed=seed,
    )
    neighbour = evaluate_trials(PixelsCosine(), characters.images, trials)
    return {
        "protocol": protocol,
        "dataset": source.dataset,
        "split": split,
        "seed": seed,
        **evaluate_trials(scorer, characters.images, trials),
        "nearest_neighbour": neighbour["accuracy"],
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
                str(result["ways"]),
                str(result["shots"]),
                str(result["num_trials"]),
                f"{result['accuracy']:.2%}",
                f"{low:.1%} to {high:.1%}",
                f"{result['nearest_neighbour']:.2%}",
            )
        )
    return format_table(rows)
