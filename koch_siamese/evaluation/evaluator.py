"""Measures a model by protocols: results, predictions and classes."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping

import numpy as np

from koch_siamese.data.characters import Characters, is_users_own
from koch_siamese.data.omniglot import KOCH_DRAWERS, select_lake_drawers
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError
from koch_siamese.evaluation.baselines import PixelsCosine
from koch_siamese.evaluation.calibration import compute_same_threshold
from koch_siamese.evaluation.protocols import (
    DIFFERENT_PAIRS,
    PROTOCOLS,
    Protocol,
    limit_ways,
    naming_split,
    warn_of_few_classes,
)
from koch_siamese.evaluation.scoring import (
    EmbeddedDrawings,
    Scorer,
    evaluate_pair_classes,
    evaluate_pairs,
    evaluate_trial_classes,
    evaluate_trials,
)
from koch_siamese.sampling.pairs import Pairs
from koch_siamese.sampling.trials import Trials

if typing.TYPE_CHECKING:
    import keras


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
        source: the name of a data set, as in `Settings.dataset`, which is read
            and split as for the training of the model; or a source, such as
            one of a folder that was split by groups.
        data_dir: where the data set of that name is, or the folder of images.
        **options: `split`, `num_trials`, `ways`, `shots` and `seed`, see
            `Evaluator.evaluate`.

    Returns:
        See `Evaluator.evaluate`.

    Raises:
        InputError: the model is not a siamese model, or data cannot be loaded,
            or there are too few.
    """
    # Not above: `evaluate --help` needs no Keras.
    import keras

    from koch_siamese.models.scorer import SiameseScorer
    from koch_siamese.models.siamese import (
        get_crop,
        get_dataset,
        get_photo_size,
        require_siamese,
    )

    if data_dir and not isinstance(source, str):
        raise InputError(
            f"data_dir={data_dir} was given with a source, which has its own: "
            "remove it, or give the name of the data set."
        )
    how, is_trained = {}, isinstance(model, keras.Model)
    if is_trained:
        require_siamese(model)
        how["crop"] = source == "folder" and get_crop(model)
        how["photo_size"] = get_photo_size(model)
        how["split_labels"] = source == get_dataset(model)
    if isinstance(source, str):
        source = DataSource(source, data_dir=data_dir, **how)
    evaluator = Evaluator(
        SiameseScorer(model) if is_trained else model,
        source,
        may_know_classes=is_trained
        and get_dataset(model) in (None, source.dataset),
    )
    return evaluator.evaluate(protocol, **options)


# The keys of a result that each of its readings has.
READING_KEYS = ("accuracy", "ci95", "roc_auc", "equal_error_rate", "threshold")


class _Task(typing.NamedTuple):
    """A protocol with its options, its split, and what it drew from that."""

    protocol: Protocol
    options: Mapping[str, object]
    source: DataSource
    split: str
    characters: Characters
    drawn: Trials | Pairs


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
        self._characters, self._drawings, self._drawn = {}, {}, {}

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
            Omniglot's test split also have `readings` of the paper's test, a
            dict for each: `drawers` (Lake's, or those of the background),
            `different_pairs` (within an alphabet, or from anywhere), metrics,
            and a threshold from validation pairs that are drawn the same way.
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
        task = self._draw(protocol, split, options)
        return {
            **self._describe(task),
            "seed": seed,
            # Intervals need the classes.
            **self._measure(self._scorer, task, task.characters.character),
            "num_classes": task.characters.num_characters,
            "nearest_neighbour": self._measure_baseline(task),
            **self._measure_readings(task),
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
        task = self._draw(protocol, split, options)
        drawings = self._embed(self._scorer, task.source, task.split)
        if isinstance(task.drawn, Trials):
            return _list_candidates(task.characters, task.drawn, drawings)
        return _list_pairs(task.characters, task.drawn, drawings)

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
        task = self._draw(protocol, split, options)
        drawings = self._embed(self._scorer, task.source, task.split)
        classes = task.characters.character
        if isinstance(task.drawn, Trials):
            rows = evaluate_trial_classes(drawings, task.drawn, classes)
        else:
            threshold = self._get_threshold(self._scorer, task)
            rows = evaluate_pair_classes(
                drawings, task.drawn, threshold, classes
            )
        names = _name_classes(task.characters, task.source.load_names())
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

    def _draw(self, protocol, split, options) -> _Task:
        """Draws the trials or pairs of a protocol."""
        protocol = PROTOCOLS[protocol]
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
        if key not in self._drawn:
            with naming_split(split, source):
                drawn = protocol.sample(characters, **options)
            self._drawn = {key: drawn}
        return _Task(
            protocol, options, source, split, characters, self._drawn[key]
        )

    def _describe(self, task):
        """Describes the data of a task, as in a result."""
        source = task.source
        description = {
            "protocol": task.protocol.name,
            "dataset": source.dataset,
            "background": source.background,
            "split": task.split,
        }
        if source.dataset == "folder":
            description["crop"] = source.crop
        if is_users_own(source.dataset):
            is_closed = self._may_know_classes and source.is_closed(task.split)
            description["closed_set"] = is_closed
        if source.photo_size:
            description["image_kind"] = "photo"
        return description

    def _measure(self, scorer, task, classes=None):
        """Measures a scorer; with classes, also intervals of pairs."""
        drawings = self._embed(scorer, task.source, task.split)
        if isinstance(task.drawn, Trials):
            return evaluate_trials(drawings, task.drawn)
        threshold = self._get_threshold(scorer, task)
        return evaluate_pairs(drawings, task.drawn, threshold, classes)

    def _measure_baseline(self, task):
        """The accuracy of nearest neighbors; None if no threshold is known."""
        try:
            return self._measure(self._baseline, task)["accuracy"]
        except InputError:
            if isinstance(task.drawn, Trials):
                raise
            return None

    def _get_threshold(self, scorer, task):
        """Returns the scorer's threshold, or chooses one."""
        if scorer.same_threshold is not None:
            return scorer.same_threshold
        return self._choose_threshold(scorer, task)

    def _choose_threshold(self, scorer, task, **options):
        """Chooses the threshold on validation pairs drawn like the others."""
        drawings = self._embed(scorer, task.source, "validation")
        characters = self._load(task.source, "validation")
        with naming_split("validation", task.source):
            pairs = task.protocol.sample(characters, **task.options, **options)
        scores = drawings.score_pairs(pairs.first, pairs.second)
        return compute_same_threshold(scores, pairs.same)

    def _measure_readings(self, task):
        """Measures the possible readings of the paper's verification test.

        Its drawers are those of Lake et al. (section 4.1), which differ from
        those of `koch`. It does not say how different pairs are drawn.

        Returns:
            For pairs of Omniglot's test split, `readings`, a dict for each:
            `drawers` (`lake`, or those of the background), `different_pairs`,
            `accuracy`, `ci95`, `roc_auc`, `equal_error_rate`, and `threshold`,
            chosen on validation pairs that are drawn the same way. Else
            nothing.
        """
        is_papers = (task.source.dataset, task.split) == ("omniglot", "test")
        if isinstance(task.drawn, Trials) or not is_papers:
            return {}
        everyone = dataclasses.replace(task.source, background="original")
        lake = select_lake_drawers(self._load(everyone, "test"))
        own = "all"
        if task.source.background == "koch":
            drawers = KOCH_DRAWERS["test"]
            own = f"{drawers[0]} to {drawers[-1]}"
        tests = {
            own: (
                task.characters,
                self._embed(self._scorer, task.source, "test"),
            ),
            "lake": (lake, EmbeddedDrawings(self._scorer, lake.images)),
        }
        readings = []
        for different_pairs in DIFFERENT_PAIRS:
            reading = {"different_pairs": different_pairs}
            threshold = self._choose_threshold(self._scorer, task, **reading)
            for name, (characters, drawings) in tests.items():
                pairs = task.protocol.sample(
                    characters, **task.options, **reading
                )
                result = evaluate_pairs(drawings, pairs, threshold)
                readings.append(
                    {"drawers": name}
                    | reading
                    | {key: result[key] for key in READING_KEYS}
                )
        return {"readings": readings}

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
