"""N-way K-shot trials as index arrays."""

import dataclasses

import numpy as np

from koch_siamese.errors import InputError
from koch_siamese.sampling.pairs import CharacterIndex


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """One-shot trials over a set of drawings.

    Attributes:
        query: int `[num_trials]`, the drawing to recognize.
        support: int `[num_trials, ways, shots]`, the drawings of each
            candidate character.
        answer: int `[num_trials]`, the index of the query's character among the
            candidates.
    """

    query: np.ndarray
    support: np.ndarray
    answer: np.ndarray

    def __len__(self) -> int:
        """Number of trials."""
        return len(self.query)

    @property
    def ways(self) -> int:
        """Candidate characters in a trial."""
        return self.support.shape[1]

    @property
    def shots(self) -> int:
        """Drawings of each candidate."""
        return self.support.shape[2]


def compute_drawing_table(
    character: np.ndarray, drawer: np.ndarray
) -> np.ndarray:
    """Finds drawings by character and drawer.

    Args:
        character: int `[num_drawings]`.
        drawer: int `[num_drawings]`.

    Returns:
        Indices of drawings, int `[num_characters, num_drawers]`, the last of
        several, -1 for missing ones; characters and drawers are sorted.
    """
    characters, row = np.unique(character, return_inverse=True)
    drawers, column = np.unique(drawer, return_inverse=True)
    table = np.full((len(characters), len(drawers)), -1)
    table[row, column] = np.arange(len(character))
    return table


@dataclasses.dataclass(frozen=True, eq=False)
class TrialIndex:
    """Tables of drawings from which to sample trials of given ways and shots.

    Sampling from it takes the same time for any number of characters.

    Attributes:
        tables: for each alphabet that is large enough, int `[num_characters,
            num_drawers]`, a drawing of each character by the drawers who drew
            all of it.
        ways: candidate characters in a trial.
        shots: drawings of each candidate.
        alike: int `[num_drawings]`, a number for the drawings of one character
            by one drawer.
        by_alike: an index from these numbers to the drawings.
    """

    tables: tuple[np.ndarray, ...]
    ways: int
    shots: int
    alike: np.ndarray
    by_alike: CharacterIndex

    @classmethod
    def from_labels(
        cls,
        character: np.ndarray,
        alphabet: np.ndarray,
        drawer: np.ndarray,
        ways: int,
        shots: int,
    ) -> "TrialIndex":
        """Indexes drawings by their labels, all int `[num_drawings]`.

        Raises:
            InputError: no alphabet has enough characters, or enough drawers who
                drew all of them.
        """
        tables = _tables_by_alphabet(character, alphabet, drawer)
        tables = tuple(_suitable_tables(tables, ways, shots))
        both = number_drawers(character, drawer)
        _, alike = np.unique(both, return_inverse=True)
        by_alike = CharacterIndex.from_labels(alike, np.zeros_like(alike))
        return cls(tables, ways, shots, alike, by_alike)

    def sample(self, num_trials: int, rng: np.random.Generator) -> Trials:
        """Samples trials, see `sample_trials`."""
        ways, shots = self.ways, self.shots
        query = np.empty(num_trials, np.int64)
        support = np.empty((num_trials, ways, shots), np.int64)
        answer = rng.integers(ways, size=num_trials)
        for trial in range(num_trials):
            table = self.tables[trial % len(self.tables)]
            rows = rng.choice(len(table), ways, replace=False)
            columns = rng.choice(table.shape[1], shots + 1, replace=False)
            query[trial] = table[rows[answer[trial]], columns[0]]
            support[trial] = table[rows[:, np.newaxis], columns[1:]]
        # Without several drawings of a character by one drawer, no more random
        # numbers are used, so that published trials stay the same.
        if self.by_alike.num_drawings.max() > 1:
            query, support = (
                self.by_alike.sample_drawings(self.alike[drawings], rng)
                for drawings in (query, support)
            )
        return Trials(query, support, answer)


def number_drawers(character: np.ndarray, drawer: np.ndarray) -> np.ndarray:
    """Numbers the drawers of each character.

    Args:
        character, drawer: int `[num_drawings]`.

    Returns:
        int64 `[num_drawings]`, in the order of characters and then of drawers;
        equal for drawings of one character by one drawer, and only for these.
    """
    drawers, number = np.unique(drawer, return_inverse=True)
    return character.astype(np.int64) * len(drawers) + number


def sample_trials(
    character: np.ndarray,
    alphabet: np.ndarray,
    drawer: np.ndarray,
    *,
    num_trials: int,
    ways: int,
    shots: int,
    rng: np.random.Generator,
) -> Trials:
    """Samples trials within alphabets, as in the paper's section 4.3.

    The candidates of a trial are distinct characters of one alphabet. All
    supports are by the same `shots` drawers, the query by another one. Of
    several drawings of a character by one drawer, one is chosen at random.
    Alphabets take turns; those with fewer characters than `ways` are skipped.
    For trials across alphabets, give all drawings the same alphabet.

    Args:
        character, alphabet, drawer: int `[num_drawings]` labels.
        num_trials: number of trials.
        ways: candidate characters in each, at least 1.
        shots: drawings of each candidate, at least 1.
        rng: the source of randomness.

    Raises:
        InputError: no alphabet has enough characters, or enough drawers who
            drew all of them.
    """
    if min(num_trials, ways, shots) < 1:
        raise InputError(
            "Trials need at least 1 trial, 1 way and 1 shot; got "
            f"{num_trials} trials, {ways} ways and {shots} shots."
        )
    index = TrialIndex.from_labels(character, alphabet, drawer, ways, shots)
    return index.sample(num_trials, rng)


def sample_tutorial_trials(
    character: np.ndarray,
    *,
    num_trials: int,
    ways: int,
    rng: np.random.Generator,
) -> Trials:
    """Samples trials as the tutorial's source does, to compare with its log.

    This is not a test of recognition: query and right candidate may be the same
    drawing, and a wrong character may occur twice.

    Args:
        character: int `[num_drawings]`, the labels of drawings.
        num_trials: number of trials.
        ways: candidates in each, at least 1.
        rng: the source of randomness.

    Raises:
        InputError: there are fewer than two characters.
    """
    index = CharacterIndex.from_labels(character, np.zeros_like(character))
    index.require(2, 1)
    num_characters = len(index.num_drawings)
    own = rng.integers(num_characters, size=(num_trials, 1))
    others = rng.integers(1, num_characters, size=(num_trials, ways))
    candidates = (own + others) % num_characters
    answer = rng.integers(ways, size=num_trials)
    candidates[np.arange(num_trials), answer] = own[:, 0]
    query = index.sample_drawings(own[:, 0], rng)
    support = index.sample_drawings(candidates, rng)
    return Trials(query, support[..., np.newaxis], answer)


def _tables_by_alphabet(character, alphabet, drawer):
    """Builds a drawing table for each alphabet, of complete drawers."""
    order = np.argsort(alphabet, kind="stable")
    borders = np.flatnonzero(np.diff(alphabet[order])) + 1
    tables = []
    for drawings in np.split(order, borders):
        table = compute_drawing_table(character[drawings], drawer[drawings])
        tables.append(drawings[table[:, (table >= 0).all(axis=0)]])
    return tables


def _suitable_tables(tables, ways, shots):
    """Selects the tables that are large enough; there must be one."""
    most_ways = max(len(table) for table in tables)
    if most_ways < 2 <= ways:
        raise InputError(
            "No alphabet has two characters to choose between: give more of "
            "one alphabet, or use the protocol cross_alphabet."
        )
    if ways > most_ways:
        raise InputError(
            f"{ways} ways are more than the {most_ways} characters of the "
            f"largest alphabet: give at most {most_ways} ways."
        )
    tables = [table for table in tables if len(table) >= ways]
    most_shots = max(table.shape[1] for table in tables) - 1
    if most_shots < 1:
        raise InputError(
            f"Trials of {ways} ways need an alphabet in which every character "
            "was drawn by the same two people, or in the same two sessions: "
            "give more images, or leave out the drawers."
        )
    if shots > most_shots:
        raise InputError(
            f"{shots} shots need {shots + 1} people who drew all characters of "
            f"an alphabet; there are {most_shots + 1}: give at most "
            f"{most_shots} shots."
        )
    return [table for table in tables if table.shape[1] > shots]
