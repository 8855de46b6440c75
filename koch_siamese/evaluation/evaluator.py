"""Measures a model by protocols: results, predictions and classes."""

import dataclasses
import os
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from koch_siamese.data.characters import Characters, needs_split
from koch_siamese.data.omniglot import KOCH_DRAWERS, select_lake_drawers
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError, warn
from koch_siamese.evaluation.baselines import PixelsCosine
from koch_siamese.evaluation.calibration import compute_same_threshold
from koch_siamese.evaluation.loading import (
    check_reading,
    give_characters,
    is_trained_on,
    load_scorer,
    make_test_source,
)
from koch_siamese.evaluation.protocols import (
    DEFAULTS,
    DIFFERENT_PAIRS,
    PROTOCOLS,
    Protocol,
    check_options,
    get_protocol,
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
from koch_siamese.runs.directory import Run
from koch_siamese.sampling.pairs import Pairs
from koch_siamese.sampling.trials import Trials

if typing.TYPE_CHECKING:
    import keras


def evaluate_protocol(
    model: "keras.Model | Scorer | str | os.PathLike",
    protocol: str,
    source: str | DataSource | Characters,
    *,
    data_dir: str | None = None,
    split: str | None = None,
    num_trials: int | None = None,
    ways: int | None = None,
    shots: int | None = None,
    seed: int | None = None,
) -> dict[str, object]:
    """Measures a model by one protocol.

    ```python
    result = koch_siamese.evaluate_protocol(
        "pretrained", "within_alphabet", "glyphs", num_trials=1000, ways=20
    )
    print(result["accuracy"], result["ci95"])
    ```

    Args:
        model: a siamese model; its file, run or name in the package, see
            `load_model`; the name of a baseline, such as `pixels_cosine`; or
            any object with the methods `embed` and `score` of a `Scorer`.
        protocol: such as `lake`, `within_alphabet` or `verification`.
        source: the name of a data set, as in `Settings.dataset`, which is read
            and split as for the training of the model; or a source, such as
            one of a folder that was split by groups, which is used as it is. A
            `DataWarning` reports another `crop` than in the training. A model
            that is given as an object does not know its groups or `background`,
            but its run does. Or `Characters`, such as those of your own arrays,
            all of which are tested on.
        data_dir: where the data set of that name is, or the folder of images.
        split, num_trials, ways, shots, seed: see `Evaluator.evaluate`. Defaults
            do not depend on the model: 400 trials, where the command `evaluate`
            has those of the run in `--workdir`, or 1000.

    Returns:
        See `Evaluator.evaluate`.

    Raises:
        InputError: the model is not a siamese model, or data cannot be loaded,
            or there are too few, or an option is out of range or has no effect
            with the protocol, or a source has another `photo_size` than the
            model.
    """
    given = {
        "split": split,
        "num_trials": num_trials,
        "ways": ways,
        "shots": shots,
        "seed": seed,
    }
    chosen = get_protocol(protocol)
    chosen.refuse_unused(given)
    if isinstance(source, Characters):
        source = give_characters(source)
    dataset = source
    if not isinstance(source, str):
        _check_source(source, data_dir)
        dataset = source.dataset
    fixed = chosen.fixed.get("dataset", dataset)
    if dataset != fixed:
        raise InputError(
            f"source is {dataset!r}, but protocol={protocol} is always "
            f"measured on {fixed!r}: give that."
        )
    siamese, scorer, run = load_scorer(model)
    if isinstance(source, str):
        source = make_test_source(source, siamese, run, data_dir=data_dir)
    elif siamese:
        check_reading(source, siamese)
    return Evaluator(scorer, source, siamese, run).evaluate(protocol, **given)


def _check_source(source, data_dir):
    """Refuses what is not a source, and a second data directory."""
    if not hasattr(source, "load"):
        raise InputError(
            f"source is a {type(source).__name__}: expected the name of a data "
            "set, such as 'glyphs', or 'folder' with data_dir, a DataSource or "
            "Characters."
        )
    if data_dir:
        raise InputError(
            f"data_dir={data_dir} was given with a source, which has its own: "
            "remove it, or give the name of the data set."
        )


# The keys of a result that each of its readings has.
READING_KEYS = (
    "accuracy",
    "ci95",
    "classes_ci95",
    "roc_auc",
    "equal_error_rate",
    "threshold",
)


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

    Attributes:
        source: the source of the characters.

    Args:
        scorer: a model or baseline.
        source: the source of the characters.
        siamese, run: the scorer's model and its run, if it has them; they tell
            whether it was trained on images of the tested classes.
    """

    def __init__(
        self,
        scorer: Scorer,
        source: DataSource,
        siamese: "keras.Model | None" = None,
        run: Run | None = None,
    ):
        """Prepares the evaluation without loading data."""
        self._siamese, self._run = siamese, run
        self._scorer, self._baseline = scorer, PixelsCosine()
        self.source = source
        self._characters, self._drawings = {}, {}
        self._last = None  # the last task

    def evaluate(self, protocol: str, **options) -> dict[str, object]:
        """Measures the scorer and, on the same trials, nearest neighbors.

        Args:
            protocol: a name in `PROTOCOLS`.
            **options: None, like an option that is not given, for the default.
                `split`, the split to test on; by default `test`, or
                `evaluation` with the protocol `tutorial`.
                `num_trials`, from 2, by default 400. If the scorer has no
                threshold for `verification`, it is chosen on as many validation
                pairs.
                `ways`, from 1, by default 20, or 10 with the protocol `mnist`,
                but not more than there are classes.
                `shots` and `seed`, from 1 and 0, which are the defaults.

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
            scorer was trained on other images of these classes, or None if
            that is unknown, as for a user's `Characters` (for a folder, a
            `DataWarning` reports it). Folders have `crop`, `data_dir`, the name
            of the folder or table, and `data_fingerprint`, see
            `DataSource.compute_fingerprint`; photos have `image_kind`.

        Raises:
            InputError: data cannot be loaded, or there are too few, or an
                option is out of range.
        """
        task = self._sample(protocol, options)
        return {
            **self._describe(task),
            "seed": task.options["seed"],
            # Intervals need the classes.
            **self._measure(self._scorer, task, task.characters.character),
            "num_classes": task.characters.num_characters,
            "nearest_neighbour": self._measure_baseline(task),
            **self._measure_readings(task),
        }

    def list_predictions(
        self, protocol: str, **options
    ) -> Iterator[dict[str, object]]:
        """Lists the scores of a result, for error analysis.

        Args:
            protocol, **options: as in `evaluate`.

        Yields:
            For each candidate of each trial, a dict with `trial`, `candidate`
            (from 0), `query`, `support`, `score` and `is_answer`; or for each
            pair, a dict with `pair`, `first`, `second`, `score` and `same`.
            Drawings are named alphabet/character/drawer, such as
            `Tengwar/03/12`; several of one candidate are joined by spaces. A
            folder's images are named by their files, such as `ka/1.png`,
            several of one candidate joined by ` | `.
        """
        task = self._sample(protocol, options)
        drawings = self._embed(self._scorer, task.source, task.split)
        files = task.source.load_files(task.split)
        name = files.__getitem__ if files else task.characters.describe
        if isinstance(task.drawn, Trials):
            between = " | " if files else " "  # files may have spaces
            return _list_candidates(name, between, task.drawn, drawings)
        return _list_pairs(name, task.drawn, drawings)

    def list_classes(self, protocol: str, **options) -> list[dict[str, object]]:
        """Lists the accuracy of each class of a result.

        A trial counts for the class of its query, a pair for the classes of
        both of its drawings.

        Args:
            protocol, **options: as in `evaluate`.

        Returns:
            A dict for each class that occurs: `class`, its name, which is
            alphabet/number such as `Tengwar/03`, or its own in a folder;
            `num_trials`, `accuracy`, and `ci95_low` and `ci95_high`, Wilson's
            interval.
        """
        task = self._sample(protocol, options)
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

    def choose_options(
        self,
        protocol: str,
        given: Mapping[str, object],
        defaults: Mapping[str, object] = DEFAULTS,
    ) -> dict[str, object]:
        """Completes the options of an evaluation.

        Args:
            protocol: a name in `PROTOCOLS`.
            given: options of `evaluate`; None if not given. Ways that are not
                given are limited to the number of classes, and a `DataWarning`
                reports a lower number.
            defaults: those of a run, where the protocol has none of its own.

        Returns:
            A value for each option of `evaluate`.

        Raises:
            InputError: there is no such protocol, an option is out of range,
                or data cannot be loaded.
        """
        protocol = get_protocol(protocol)
        own = {**defaults, **protocol.defaults}
        options = {name: own[name] for name in DEFAULTS} | {
            name: value for name, value in given.items() if value is not None
        }
        check_options(options)
        if given.get("ways") is None and not protocol.fixed:
            split, ways = options["split"], options["ways"]
            most = protocol.limit_ways(ways, self._load(self.source, split))
            if most < ways:
                options["ways"] = most
                where = f"{self.source.dataset}, {split} split"
                warn_of_few_classes(most, ways, where, self._advise(split))
        return options

    def _advise(self, split):
        """Advises to test on a whole folder, if it was not trained on."""
        if self.source.dataset != "folder" or split == "all":
            return ""
        if self._siamese:
            from koch_siamese.models.siamese import get_dataset

            if get_dataset(self._siamese) in (None, "folder"):
                return ""
        return (
            " With a model that was not trained on this folder, split=all "
            "tests every class of it."
        )

    def _sample(self, protocol, given) -> _Task:
        """Draws the trials or pairs of a protocol; keeps the last ones."""
        options = self.choose_options(protocol, given)
        protocol = PROTOCOLS[protocol]
        fixed, source = protocol.fixed, self.source
        if "dataset" in fixed:  # else the same source, with what it has read
            data = {name: fixed[name] for name in ("dataset", "background")}
            source = dataclasses.replace(source, **data)
        split = fixed.get("split", options["split"])
        asked = protocol, options, source, split
        if self._last is None or self._last[:4] != asked:
            characters = self._load(source, split)
            with naming_split(split, source):
                drawn = protocol.sample(characters, **options)
            self._last = _Task(*asked, characters, drawn)
        return self._last

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
            # Without the folders above it.
            description["data_dir"] = Path(source.data_dir).resolve().name
            description["data_fingerprint"] = source.compute_fingerprint()
            description["crop"] = source.crop
        if needs_split(source.dataset):
            description["closed_set"] = self._is_closed(task)
        if source.photo_size:
            description["image_kind"] = "photo"
        return description

    def _is_closed(self, task):
        """Whether the scorer was trained on images of the tested classes.

        None if that is unknown: the images may be those of the training.
        """
        if not self._siamese:
            return False
        from koch_siamese.models.siamese import get_dataset

        source, run = task.source, self._run
        is_closed = source.is_closed(task.split)
        if is_closed is None:  # a user's `Characters`
            return None
        trained = get_dataset(self._siamese)
        if trained not in (None, source.dataset):  # older ones have no name
            return False
        if is_closed:
            return True
        if source.dataset != "folder":
            # Own splits of TFDS have all labels, also those of the training.
            return trained is not None and not source.split_labels
        if task.split != "all":
            return False
        is_closed = is_trained_on(source, run) if run else None
        if is_closed is None:
            warn(
                "It is unknown whether the model was trained on the images in "
                f"{source.data_dir} (closed_set is null). If it was, the "
                "accuracy is not for new classes."
                + ("" if run else " Its run knows: give that as the model.")
            )
        return is_closed

    def _measure(self, scorer, task, classes=None):
        """Measures a scorer; with classes, also intervals over them."""
        drawings = self._embed(scorer, task.source, task.split)
        if isinstance(task.drawn, Trials):
            return evaluate_trials(drawings, task.drawn, classes)
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
        threshold = getattr(scorer, "same_threshold", None)
        if threshold is None:
            threshold = self._choose_threshold(scorer, task)
        return threshold

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
            `accuracy`, `ci95`, `classes_ci95`, `roc_auc`, `equal_error_rate`,
            and `threshold`, chosen on validation pairs that are drawn the same
            way. Else nothing.
        """
        is_papers = (task.source.dataset, task.split) == ("omniglot", "test")
        if isinstance(task.drawn, Trials) or not is_papers:
            return {}
        tests = self._list_drawers(task)
        readings = []
        for different_pairs in DIFFERENT_PAIRS:
            reading = {"different_pairs": different_pairs}
            threshold = self._choose_threshold(self._scorer, task, **reading)
            for drawers, characters, drawings in tests:
                pairs = task.protocol.sample(
                    characters, **task.options, **reading
                )
                result = evaluate_pairs(
                    drawings, pairs, threshold, characters.character
                )
                measured = {key: result[key] for key in READING_KEYS}
                readings.append({"drawers": drawers, **reading, **measured})
        return {"readings": readings}

    def _list_drawers(self, task):
        """Lists the drawers of the readings: names, characters and drawings."""
        everyone = dataclasses.replace(task.source, background="original")
        lake = select_lake_drawers(self._load(everyone, "test"))
        own = "all"
        if task.source.background == "koch":
            drawers = KOCH_DRAWERS["test"]
            own = f"{drawers[0]} to {drawers[-1]}"
        drawings = self._embed(self._scorer, task.source, task.split)
        return [
            (own, task.characters, drawings),
            ("lake", lake, EmbeddedDrawings(self._scorer, lake.images)),
        ]

    def _load(self, source, split):
        key = source, split
        if key not in self._characters:
            self._characters[key] = source.load(split)
        return self._characters[key]

    def _embed(self, scorer, source, split):
        # Not the scorer itself, which need not be hashable.
        key = id(scorer), source, split
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


def _list_candidates(name, between, trials, drawings):
    scores = drawings.score_trials(trials)
    for trial, (query, supports) in enumerate(
        zip(trials.query, trials.support, strict=True)
    ):
        for candidate, support in enumerate(supports):
            yield {
                "trial": trial,
                "candidate": candidate,
                "query": name(query),
                "support": between.join(map(name, support)),
                "score": float(scores[trial, candidate]),
                "is_answer": int(candidate == trials.answer[trial]),
            }


def _list_pairs(name, pairs, drawings):
    scores = drawings.score_pairs(pairs.first, pairs.second)
    for pair, (first, second) in enumerate(
        zip(pairs.first, pairs.second, strict=True)
    ):
        yield {
            "pair": pair,
            "first": name(first),
            "second": name(second),
            "score": float(scores[pair]),
            "same": int(pairs.same[pair]),
        }
