"""Evaluation protocols: which trials or pairs are drawn from which data."""

import contextlib
import dataclasses
import numbers
from collections.abc import Iterator, Mapping

import numpy as np

from koch_siamese.data.characters import Characters
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError, warn
from koch_siamese.sampling.lake import load_lake_trials
from koch_siamese.sampling.pairs import (
    CharacterIndex,
    Pairs,
    sample_verification_pairs,
)
from koch_siamese.sampling.trials import (
    Trials,
    sample_trials,
    sample_tutorial_trials,
)

# The options of an evaluation, and their values where neither the user nor the
# protocol gives one.
DEFAULTS = {
    "split": "test",
    "num_trials": 400,
    "ways": 20,
    "shots": 1,
    "seed": 0,
}
# Their smallest values; of two pairs, one is same and one different.
LOWEST = {"num_trials": 2, "ways": 1, "shots": 1, "seed": 0}
OPTIONS = tuple(LOWEST)  # of sampling


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A protocol: how trials or pairs are drawn from a split of characters.

    Attributes:
        name: as in `--protocol` and in result files.
        about: what it measures, for a list of protocols.
        options: those of `sample` that it uses.
        fixed: values that override those of the user (data set, background,
            split, options).
        defaults: values that the user may override.
    """

    name: str
    about: str
    options: tuple[str, ...] = OPTIONS
    fixed: Mapping[str, object] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def sample(self, characters: Characters, **options) -> Trials | Pairs:
        """Draws trials or pairs; the same ones for the same seed.

        Args:
            characters: the drawings to draw from.
            **options: `num_trials`, the number of trials or pairs; `ways`, the
                candidates in a trial; `shots`, the drawings of each candidate;
                and `seed`. By default as in `DEFAULTS`; those that the protocol
                does not use are ignored.

        Raises:
            InputError: there are not enough characters or drawings.
        """
        unused = DEFAULTS.keys() - self.options
        used = {
            name: value
            for name, value in (DEFAULTS | options).items()
            if name not in unused
        }
        return self._sample(characters, **used)

    def _sample(self, characters, **options):
        raise NotImplementedError

    def limit_ways(self, ways: int, characters: Characters) -> int:
        """Returns the ways that there are enough characters for: all here."""
        return ways

    def refuse_unused(self, given: Mapping[str, object], prefix: str = ""):
        """Refuses a user's options that would not change the result.

        Args:
            given: options by name; None if the user did not give it.
            prefix: of the names in messages, such as `--` of flags.

        Raises:
            InputError: the protocol does not use an option, or has another
                value fixed.
        """
        for name, value in given.items():
            if value is None:
                continue
            fixed = self.fixed.get(name)
            is_unused = name in OPTIONS and name not in (
                *self.options,
                *self.fixed,
            )
            if is_unused or fixed not in (None, value):
                reason = "" if is_unused else f", which always has {fixed}"
                raise InputError(
                    f"{prefix}{name}={value} has no effect with "
                    f"{prefix}protocol={self.name}{reason}: remove it."
                )


class TrialProtocol(Protocol):
    """Random N-way K-shot trials within an alphabet (section 4.3)."""

    def _sample(self, characters, num_trials, ways, shots, seed):
        return sample_trials(
            characters.character,
            self._get_pools(characters),
            characters.drawer,
            num_trials=num_trials,
            ways=ways,
            shots=shots,
            rng=np.random.default_rng(seed),
        )

    def limit_ways(self, ways, characters) -> int:
        """Limits the ways to the characters of the largest pool."""
        index = CharacterIndex.from_labels(
            characters.character, self._get_pools(characters)
        )
        return min(ways, max(2, int(index.num_characters.max())))

    def _get_pools(self, characters):
        """The pool of each drawing; trials have candidates of one pool."""
        return characters.alphabet


class PooledTrialProtocol(TrialProtocol):
    """Random trials whose candidates are drawn from all alphabets together.

    This task is easier: do not compare its results to those within alphabets.
    """

    def _get_pools(self, characters):
        return np.zeros_like(characters.alphabet)


class TutorialProtocol(Protocol):
    """The trials of the tutorial's code, to compare with its results only."""

    def _sample(self, characters, num_trials, ways, seed):
        return sample_tutorial_trials(
            characters.character,
            num_trials=num_trials,
            ways=ways,
            rng=np.random.default_rng(seed),
        )


class LakeProtocol(Protocol):
    """The official 400 trials, on all drawings of Omniglot's test split."""

    def _sample(self, characters):
        return load_lake_trials(
            characters.alphabet,
            characters.number,
            characters.drawer,
            characters.alphabet_names,
        )


# The probability that a different pair is drawn within an alphabet, rather than
# from all characters.
DIFFERENT_PAIRS = {"within_alphabet": 1.0, "anywhere": 0.0}


class PairProtocol(Protocol):
    """The paper's pairs, half same and half different (section 4.2)."""

    def _sample(
        self, characters, num_trials, seed, different_pairs="within_alphabet"
    ):
        return sample_verification_pairs(
            characters.character,
            characters.alphabet,
            num_trials,
            seed,
            DIFFERENT_PAIRS[different_pairs],
        )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        LakeProtocol(
            "lake",
            "the official 400 trials of Omniglot",
            options=(),
            fixed={
                "dataset": "omniglot",
                "background": "original",
                "split": "test",
                "num_trials": 400,
                "ways": 20,
                "shots": 1,
            },
        ),
        TrialProtocol(
            "within_alphabet", "random trials, the candidates of one alphabet"
        ),
        PooledTrialProtocol(
            "cross_alphabet", "random trials, the candidates of all alphabets"
        ),
        PairProtocol(
            "verification",
            "random pairs, same or different",
            options=("num_trials", "seed"),
        ),
        TutorialProtocol(
            "tutorial",
            "random trials as in the tutorial, in which the query itself may "
            "be a candidate; only for comparison with its results",
            options=("num_trials", "ways", "seed"),
            defaults={"split": "evaluation"},
        ),
        PooledTrialProtocol(
            "mnist",
            "random trials on another data set, by default MNIST's digits "
            "(section 4.4)",
            defaults={"dataset": "mnist", "ways": 10},
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """Returns the protocol of a name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise InputError(
            f"protocol is {name!r}: expected one of {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]


def check_options(options: Mapping[str, object]):
    """Checks the numbers among the options of an evaluation.

    Raises:
        InputError: one is not a whole number, or too small.
    """
    for name, lowest in LOWEST.items():
        value = options[name]
        if not isinstance(value, numbers.Integral) or value < lowest:
            raise InputError(
                f"{name} is {value!r}: expected a whole number, {lowest} or "
                "more."
            )


def warn_of_few_classes(ways: int, asked: int, where: str, advice: str = ""):
    """Warns that trials have fewer ways, and how little they show."""
    warn(
        f"{where}: only {ways} classes, so trials are {ways}-way, not "
        f"{asked}-way (chance: {100 / ways:.0f} %). The 95 % interval is for "
        f"these classes alone.{advice}"
    )


@contextlib.contextmanager
def naming_split(split: str, source: DataSource) -> Iterator[None]:
    """Adds the names of the data set and the split to an `InputError`.

    Args:
        split: the split, such as `test`.
        source: the data source.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{source.dataset}, {split} split: {error}") from error
