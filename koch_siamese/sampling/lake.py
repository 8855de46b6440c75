"""The official 400 one-shot trials of Omniglot (Lake et al. 2015)."""

import importlib.resources
import json
from collections.abc import Sequence

import numpy as np

from koch_siamese.sampling.trials import Trials


def load_lake_runs() -> list[dict]:
    """Loads the official 20 one-shot runs.

    Returns:
        For each run `alphabet`, `support_drawer`, `query_drawer`, and 20
        `support_characters` and `query_characters`, numbers from 1.
    """
    package = importlib.resources.files("koch_siamese.sampling")
    return json.loads((package / "lake_runs.json").read_text())


def list_lake_drawers() -> dict[str, tuple[int, ...]]:
    """Lists the drawers of the official runs: four of each test alphabet.

    The paper tests on them, too: "the same ones used in Lake et al." (section
    4.1).

    Returns:
        The drawers of each alphabet in ascending order, by its name.
    """
    drawers = {}
    for run in load_lake_runs():
        drawers.setdefault(run["alphabet"], set()).update(
            (run["support_drawer"], run["query_drawer"])
        )
    return {name: tuple(sorted(found)) for name, found in drawers.items()}


def load_lake_trials(
    alphabet: np.ndarray,
    number: np.ndarray,
    drawer: np.ndarray,
    alphabet_names: Sequence[str],
) -> Trials:
    """Finds the drawings of the official trials by their labels.

    Args:
        alphabet: int `[num_drawings]`, an index into `alphabet_names`. All
            drawings of the ten official test alphabets must be included.
        number: int `[num_drawings]`, the character, from 1 in its alphabet.
        drawer: int `[num_drawings]`, from 1.
        alphabet_names: the names of the alphabets.

    Returns:
        400 trials of 20 ways and one shot, in the order of the runs.
    """
    labels = zip(alphabet, number, drawer, strict=True)
    drawing = {label: index for index, label in enumerate(labels)}
    query, support, answer = [], [], []
    for run in load_lake_runs():
        index = alphabet_names.index(run["alphabet"])
        candidates = [
            drawing[index, character, run["support_drawer"]]
            for character in run["support_characters"]
        ]
        for character in run["query_characters"]:
            query.append(drawing[index, character, run["query_drawer"]])
            support.append(candidates)
            answer.append(run["support_characters"].index(character))
    return Trials(
        np.array(query), np.array(support)[..., np.newaxis], np.array(answer)
    )
