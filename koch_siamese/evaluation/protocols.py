"""Evaluation protocols: which trials or pairs are drawn from which data."""

import contextlib
import dataclasses
import typing
import warnings
from collections.abc import Iterator, Mapping

import numpy as np

from koch_siamese.data.characters import Characters, is_users_own
from koch_siamese.data.image_files import DataWarning
from koch_siamese.data.omniglot import KOCH_DRAWERS, select_lake_drawers
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError
from koch_siamese.evaluation.baselines import PixelsCosine
from koch_siamese.evaluation.calibration import compute_same_threshold
from koch_siamese.evaluation.scoring import (
    EmbeddedDrawings,
    Scorer,
    evaluate_pair_classes,
    evaluate_pairs,
    evaluate_trial_classes,
    evaluate_trials,
)
from koch_siamese.sampling.lake import make_lake_trials
from koch_siamese.sampling.pairs import Pairs, sample_verification_pairs
from koch_siamese.sampling.trials import (
    Trials,
    sample_trials,
    sample_tutorial_trials,
)

if typing.TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A protocol: how trials or pairs are drawn from a split of characters.

    Attributes:
        name: as in `--protocol` and in result files.
        about: what it measures, for a list of protocols.
        options: the arguments of `sample` that it uses.
        fixed: values that override those of the user (data set, background,
            split, options).
        defaults: values that the user may override.
    """

    name: str
    about: str
    options: tuple[str, ...] = ("num_trials", "ways", "shots", "seed")
    fixed: Mapping[str, object] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def sample(
        self,
        characters: Characters,
        *,
        num_trials: int = 400,
        ways: int = 20,
        shots: int = 1,
        seed: int = 0,
    ) -> Trials | Pairs:
        """Draws trials or pairs; the same ones for the same seed.

        Args:
            characters: the drawings to draw from.
            num_trials: the number of trials or pairs.
            ways: the number of candidates in a trial.
            shots: the number of drawings of each candidate.
            seed: the random seed.

        Raises:
            InputError: there are not enough characters or drawings.
        """
        raise NotImplementedError

    def count_ways(self, characters: Characters) -> int | None:
        """The largest number of ways of a trial; None without a limit."""
        return None


class TrialProtocol(Protocol):
    """Random N-way K-shot trials within an alphabet (section 4.3)."""

    def sample(
        self, characters, *, num_trials=400, ways=20, shots=1, seed=0
    ) -> Trials:
        """Draws trials; see `sampling.trials.sample_trials`."""
        return sample_trials(
            characters.character,
            self._get_pools(characters),
            characters.drawer,
            num_trials=num_trials,
            ways=ways,
            shots=shots,
            rng=np.random.default_rng(seed),
        )

    def count_ways(self, characters) -> int:
        """The number of characters in the largest pool of candidates."""
        pools = self._get_pools(characters)
        pairs = np.unique(np.c_[pools, characters.character], axis=0)
        return int(np.unique(pairs[:, 0], return_counts=True)[1].max())

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

    def sample(
        self, characters, *, num_trials=400, ways=20, seed=0, **_
    ) -> Trials:
        """Draws trials; see `sampling.trials.sample_tutorial_trials`."""
        return sample_tutorial_trials(
            characters.character,
            num_trials=num_trials,
            ways=ways,
            rng=np.random.default_rng(seed),
        )


class LakeProtocol(Protocol):
    """The official 400 trials, on all drawings of Omniglot's test split."""

    def sample(self, characters, **_) -> Trials:
        """Finds the official trials, which have no options."""
        return make_lake_trials(
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

    def sample(
        self,
        characters,
        *,
        num_trials=400,
        seed=0,
        different_pairs="within_alphabet",
        **_,
    ) -> Pairs:
        """Draws pairs; `different_pairs` is a key of `DIFFERENT_PAIRS`."""
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


# The keys of a result that each of its readings has.
READING_KEYS = ("accuracy", "ci95", "roc_auc", "equal_error_rate", "threshold")


class Evaluator:
    """Measures a scorer by any protocols on one data source.

    Each split is loaded once, and each drawing is embedded once. The last
    trials or pairs are kept for their predictions and classes.

    Args:
        scorer: a model or baseline.
        source: the source of the characters.
        may_know_classes: whether the scorer may have been trained on the
            training split of `source`, so that it knows the classes of a closed
            set.
    """

    def __init__(
        self, scorer: Scorer, source: DataSource, may_know_classes: bool = True
    ):
        """Prepares the evaluation without loading data."""
        self._may_know_classes = may_know_classes
        self._scorer, self._baseline = scorer, PixelsCosine()
        self._source = source
        self._characters, self._drawings, self._tasks = {}, {}, {}

    def evaluate(
        self,
        protocol: str,
        *,
        split: str = "test",
        num_trials: int = 400,
        ways: int = 20,
        shots: int = 1,
        seed: int = 0,
    ) -> dict[str, object]:
        """Measures the scorer and, on the same trials, nearest neighbors.

        Args:
            protocol: a name in `PROTOCOLS`.
            split: the split to test on.
            num_trials, ways, shots, seed: see `Protocol.sample`. If the scorer
                has no threshold for `verification`, it is chosen on the same
                number of validation pairs.

        Returns:
            What `scoring.evaluate_trials` or `evaluate_pairs` returns, with
            `protocol`, `dataset`, `background`, `split`, `seed`, `num_classes`,
            and `nearest_neighbour`, the accuracy of `PixelsCosine`, or None if
            there is no validation split to choose its threshold on. Pairs of
            Omniglot's test split also have `readings`, see `_measure_readings`.
            Folders and other TFDS data sets have `closed_set`: whether the
            scorer was trained on other images of these classes. Folders have
            `crop`, and photos have `image_kind`.

        Raises:
            InputError: data cannot be loaded, or there are too few.
        """
        options = {
            "num_trials": num_trials,
            "ways": ways,
            "shots": shots,
            "seed": seed,
        }
        protocol = PROTOCOLS[protocol]
        source, split, task = self._sample(protocol, split, options)
        characters = self._load(source, split)

        def measure(scorer):
            drawings = self._embed(scorer, source, split)
            if isinstance(task, Trials):
                return evaluate_trials(drawings, task)
            return evaluate_pairs(
                drawings,
                task,
                self._get_threshold(scorer, protocol, source, options),
                # The baseline needs no intervals, only its accuracy.
                characters.character if scorer is self._scorer else None,
            )

        try:
            baseline = measure(self._baseline)["accuracy"]
        except InputError:
            if isinstance(task, Trials):
                raise
            baseline = None
        readings = {}
        if isinstance(task, Pairs) and (source.dataset, split) == (
            "omniglot",
            "test",
        ):
            readings["readings"] = self._measure_readings(
                protocol, source, options
            )
        return {
            "protocol": protocol.name,
            "dataset": source.dataset,
            "background": source.background,
            "split": split,
            **({"crop": source.crop} if source.dataset == "folder" else {}),
            **self._describe_closed(source, split),
            **({"image_kind": "photo"} if source.photo_size else {}),
            "seed": seed,
            **measure(self._scorer),
            "num_classes": characters.num_characters,
            "nearest_neighbour": baseline,
            **readings,
        }

    def list_predictions(
        self, protocol: str, *, split: str = "test", **options
    ) -> Iterator[dict[str, object]]:
        """Lists the scores of a result, for error analysis.

        Args:
            protocol, split, **options: as in `evaluate`.

        Yields:
            For each candidate of each trial, a dict with `trial`, `candidate`
            (from 0), `query`, `support`, `score` and `is_answer`; or for each
            pair, a dict with `pair`, `first`, `second`, `score` and `same`.
            Drawings are named alphabet/character/drawer, such as
            `Tengwar/03/12`; several of one candidate are joined by spaces.
        """
        protocol = PROTOCOLS[protocol]
        source, split, task = self._sample(protocol, split, options)
        characters = self._load(source, split)
        drawings = self._embed(self._scorer, source, split)
        if isinstance(task, Trials):
            return _list_candidates(characters, task, drawings)
        return _list_pairs(characters, task, drawings)

    def list_classes(
        self, protocol: str, *, split: str = "test", **options
    ) -> list[dict[str, object]]:
        """Lists the accuracy of each class of a result.

        A trial counts for the class of its query, a pair for the classes of
        both of its drawings.

        Args:
            protocol, split, **options: as in `evaluate`.

        Returns:
            A dict for each class that occurs: `class`, its name, which is
            alphabet/number such as `Tengwar/03`, or its own in a folder;
            `num_trials`, `accuracy`, and `ci95_low` and `ci95_high`, Wilson's
            interval.
        """
        protocol = PROTOCOLS[protocol]
        source, split, task = self._sample(protocol, split, options)
        characters = self._load(source, split)
        drawings = self._embed(self._scorer, source, split)
        if isinstance(task, Trials):
            rows = evaluate_trial_classes(drawings, task, characters.character)
        else:
            threshold = self._get_threshold(
                self._scorer, protocol, source, options
            )
            rows = evaluate_pair_classes(
                drawings, task, threshold, characters.character
            )
        names = _name_classes(characters, source.load_names())
        return [row | {"class": names[row["class"]]} for row in rows]

    def limit_ways(
        self, protocol: str, ways: int, *, split: str = "test", **_
    ) -> int:
        """Limits the number of ways to the number of classes.

        A `DataWarning` reports a lower number.

        Args:
            protocol: a name in `PROTOCOLS`.
            ways: the wanted number of ways.
            split: the split to test on.

        Raises:
            InputError: data cannot be loaded.
        """
        protocol = PROTOCOLS[protocol]
        if protocol.fixed:
            return ways
        most = limit_ways(protocol, ways, self._load(self._source, split))
        if most < ways:
            warn_of_few_classes(most, ways, f"{self._source.dataset}, {split}")
        return most

    def _describe_closed(self, source, split):
        """Describes whether a user's split is closed for this scorer."""
        if not is_users_own(source.dataset):
            return {}
        is_closed = self._may_know_classes and source.is_closed(split)
        return {"closed_set": is_closed}

    def _sample(self, protocol, split, options):
        """Returns a protocol's source and split, and its trials or pairs."""
        changes = {
            name: protocol.fixed[name]
            for name in ("dataset", "background")
            if name in protocol.fixed
        }
        # Without changes, the same source is used: it keeps what it has read.
        source = self._source
        if changes:
            source = dataclasses.replace(source, **changes)
        split = protocol.fixed.get("split", split)
        characters = self._load(source, split)
        key = protocol.name, source, split, tuple(sorted(options.items()))
        if key not in self._tasks:
            with naming_split(split, source):
                task = protocol.sample(characters, **options)
            self._tasks = {key: task}
        return source, split, self._tasks[key]

    def _get_threshold(self, scorer, protocol, source, options):
        """Returns the scorer's threshold, or chooses one."""
        if scorer.same_threshold is not None:
            return scorer.same_threshold
        return self._choose_threshold(scorer, protocol, source, options)

    def _choose_threshold(self, scorer, protocol, source, options):
        """Chooses the threshold on validation pairs drawn like the others."""
        drawings = self._embed(scorer, source, "validation")
        characters = self._load(source, "validation")
        with naming_split("validation", source):
            pairs = protocol.sample(characters, **options)
        scores = drawings.score_pairs(pairs.first, pairs.second)
        return compute_same_threshold(scores, pairs.same)

    def _measure_readings(self, protocol, source, options):
        """Measures the possible readings of the paper's verification test.

        Its drawers are those of Lake et al. (section 4.1), which differ from
        those of `koch`. It does not say how different pairs are drawn.

        Returns:
            A dict for each reading: `drawers` (`lake`, or those of the
            background), `different_pairs`, `accuracy`, `ci95`, `roc_auc`,
            `equal_error_rate`, and `threshold`, chosen on validation pairs that
            are drawn the same way.
        """
        everyone = dataclasses.replace(source, background="original")
        lake = select_lake_drawers(self._load(everyone, "test"))
        own = "all"
        if source.background == "koch":
            drawers = KOCH_DRAWERS["test"]
            own = f"{drawers[0]} to {drawers[-1]}"
        tests = {
            own: (
                self._load(source, "test"),
                self._embed(self._scorer, source, "test"),
            ),
            "lake": (lake, EmbeddedDrawings(self._scorer, lake.images)),
        }
        readings = []
        for different_pairs in DIFFERENT_PAIRS:
            options = options | {"different_pairs": different_pairs}
            threshold = self._choose_threshold(
                self._scorer, protocol, source, options
            )
            for name, (characters, drawings) in tests.items():
                pairs = protocol.sample(characters, **options)
                result = evaluate_pairs(drawings, pairs, threshold)
                readings.append(
                    {"drawers": name, "different_pairs": different_pairs}
                    | {key: result[key] for key in READING_KEYS}
                )
        return readings

    def _load(self, source, split):
        key = source, split
        if key not in self._characters:
            self._characters[key] = source.load(split)
        return self._characters[key]

    def _embed(self, scorer, source, split):
        key = scorer, source, split
        if key not in self._drawings:
            images = self._load(source, split).images
            self._drawings[key] = EmbeddedDrawings(scorer, images)
        return self._drawings[key]


def limit_ways(protocol: Protocol, ways: int, characters: Characters) -> int:
    """Limits the number of ways to that of candidates, but at least to two."""
    most = protocol.count_ways(characters)
    return ways if most is None else min(ways, max(2, most))


def warn_of_few_classes(ways: int, asked: int, where: str):
    """Warns that trials have fewer ways, and how little they show."""
    warnings.warn(
        DataWarning(
            f"{where}: {ways} classes are too few for {asked} ways, so trials "
            f"have {ways}. Guessing gets {100 / ways:.0f} %, and the 95 % "
            "interval is for these classes alone."
        ),
        stacklevel=3,
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


def _name_classes(characters, names):
    """Names each class by `names`, which it indexes, or by its number."""
    known, first = np.unique(characters.character, return_index=True)
    return {
        int(character): names[character]
        if names
        else characters.describe_character(drawing)
        for character, drawing in zip(known, first, strict=True)
    }


def _list_candidates(characters, trials, drawings):
    scores = drawings.score_trials(trials)
    for trial, (query, supports) in enumerate(
        zip(trials.query, trials.support, strict=True)
    ):
        for candidate, support in enumerate(supports):
            yield {
                "trial": trial,
                "candidate": candidate,
                "query": characters.describe(query),
                "support": " ".join(map(characters.describe, support)),
                "score": float(scores[trial, candidate]),
                "is_answer": int(candidate == trials.answer[trial]),
            }


def _list_pairs(characters, pairs, drawings):
    scores = drawings.score_pairs(pairs.first, pairs.second)
    for pair, (first, second) in enumerate(
        zip(pairs.first, pairs.second, strict=True)
    ):
        yield {
            "pair": pair,
            "first": characters.describe(first),
            "second": characters.describe(second),
            "score": float(scores[pair]),
            "same": int(pairs.same[pair]),
        }


def evaluate_protocol(
    model: "keras.Model | Scorer",
    protocol: str,
    source: str | DataSource,
    *,
    data_dir: str | None = None,
    **options,
) -> dict[str, object]:
    """Measures a model by one protocol.

    ```python
    model = koch_siamese.load_pretrained()
    result = koch_siamese.evaluate_protocol(
        model, "within_alphabet", "glyphs", num_trials=1000, ways=20
    )
    print(result["accuracy"], result["ci95"])
    ```

    Args:
        model: a siamese model, or any object with the methods of a `Scorer`.
        protocol: such as `lake`, `within_alphabet` or `verification`.
        source: the name of a data set, as in `Settings.dataset`, whose images
            are read as the model needs them; or a source.
        data_dir: where the data set is, or the folder of images.
        **options: `split`, `num_trials`, `ways`, `shots` and `seed`, see
            `Evaluator.evaluate`.

    Returns:
        See `Evaluator.evaluate`.

    Raises:
        InputError: data cannot be loaded, or there are too few.
    """
    # Not above: `evaluate --help` needs no Keras.
    import keras

    from koch_siamese.models.scorer import SiameseScorer
    from koch_siamese.models.siamese import get_crop, get_photo_size

    if isinstance(source, str):
        how = {}
        if isinstance(model, keras.Model):
            how["crop"] = source == "folder" and get_crop(model)
            how["photo_size"] = get_photo_size(model)
        source = DataSource(source, data_dir=data_dir, **how)
    if isinstance(model, keras.Model):
        model = SiameseScorer(model)
    return Evaluator(model, source).evaluate(protocol, **options)
