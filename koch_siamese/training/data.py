"""The data of a training: characters to train on, and those to validate on."""

import dataclasses

import keras
import numpy as np

from koch_siamese.data.characters import Characters, needs_split
from koch_siamese.data.sources import DataSource, select_effective
from koch_siamese.data.splits import require_pairs, take_first
from koch_siamese.evaluation.calibration import sample_calibration
from koch_siamese.evaluation.protocols import (
    PROTOCOLS,
    naming_split,
    warn_of_few_classes,
)
from koch_siamese.evaluation.scoring import EmbeddedDrawings, evaluate_trials
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.runs.settings import Settings
from koch_siamese.sampling.trials import Trials
from koch_siamese.training import batches

# Drawings of each character, as in section 4.2. Embedding those of all 20
# drawers after each epoch would take a CPU too long.
NUM_VALIDATION_DRAWINGS = 4
# Of a user's data set in all, if it has few classes.
NUM_VALIDATION_IMAGES = 2000


def make_source(
    settings: Settings,
    data_dir: str | None,
    manual_dir: str | None,
    may_prepare: bool = True,
) -> DataSource:
    """Returns the data source of a training."""
    effective = select_effective(
        settings.dataset, background=settings.background, crop=settings.crop
    )
    return DataSource(
        settings.dataset,
        data_dir=data_dir,
        manual_dir=manual_dir,
        photo_size=settings.photo_size,
        split_by=settings.split_by,
        training_groups=settings.training_groups,
        validation_groups=settings.validation_groups,
        test_groups=settings.test_groups,
        may_prepare=may_prepare,
        split_labels=True,
        **effective,
    )


def lower_ways(settings: Settings, source: DataSource) -> Settings:
    """Lowers the ways to the number of classes of a user's own data set.

    Warns with a `DataWarning` if there are fewer classes than ways.

    Args:
        settings: of the training.
        source: from `make_source`.

    Raises:
        InputError: data cannot be loaded.
    """
    if not needs_split(settings.dataset):
        return settings
    ways, where = settings.ways, ""
    tasks = {"validation": ("within_alphabet",), "test": settings.protocols}
    for split, names in tasks.items():
        characters = source.load(split) if names else None
        for name in names:
            most = PROTOCOLS[name].limit_ways(ways, characters)
            if most < ways:
                ways, where = most, f"{settings.dataset}, {split} split"
    if where:
        warn_of_few_classes(ways, settings.ways, where)
    return dataclasses.replace(settings, ways=ways)


def load_training(settings: Settings, source: DataSource) -> Characters:
    """Loads the characters to train on, ready for batches.

    Warns with a `DataWarning` if a class is too small for them.

    Raises:
        InputError: there are fewer than two, or one has a single drawing.
    """
    training = _load_classes(source, "training").resized(settings.image_size)
    batches.warn_of_small_classes(settings, training, source.load_names())
    if settings.quarter_turns:
        training = training.with_quarter_turns()
    if settings.mirror_images:
        training = training.with_mirror_images()
    return training


@dataclasses.dataclass(frozen=True, eq=False)
class Validation:
    """Characters to validate on, and one-shot trials over them.

    Attributes:
        characters: drawings that are not used for training.
        trials: within alphabets, and the same after every epoch.
        features: of their images, if the model is trained on features; see
            `features.compute_features`.
    """

    characters: Characters
    trials: Trials
    features: np.ndarray | None = None

    def measure(self, model: keras.Model) -> float:
        """Computes the one-shot accuracy of a model.

        Args:
            model: a siamese model, or with `features` the one that trains on
                them.

        Raises:
            ScoreError: a score is infinite or NaN.
        """
        has_features = self.features is not None
        images = self.features if has_features else self.characters.images
        drawings = EmbeddedDrawings(SiameseScorer(model), images)
        return evaluate_trials(drawings, self.trials)["accuracy"]


def load_validation(settings: Settings, source: DataSource) -> Validation:
    """Loads the characters to validate on, and samples the trials.

    Raises:
        InputError: there are not enough classes or images.
    """
    characters = _load_classes(source, "validation")
    num = NUM_VALIDATION_DRAWINGS
    if needs_split(settings.dataset):
        num = max(num, NUM_VALIDATION_IMAGES // characters.num_characters)
    characters = take_first(characters, num)
    with naming_split("validation", source):
        trials = PROTOCOLS["within_alphabet"].sample(
            characters,
            num_trials=settings.validation_trials,
            ways=settings.ways,
            seed=settings.seed,
        )
    return Validation(characters, trials)


def check_evaluation(
    settings: Settings, source: DataSource, validation: Validation
):
    """Checks before a training that its final evaluation can be run.

    Raises:
        InputError: there are too few classes or images for the thresholds, or
            for one of the protocols.
    """
    with naming_split("validation", source):
        sample_calibration(
            validation.characters, ways=settings.ways, seed=settings.seed
        )
    protocols = [PROTOCOLS[name] for name in settings.protocols]
    sampled = [protocol for protocol in protocols if not protocol.fixed]
    characters = source.load("test") if sampled else None
    with naming_split("test", source):
        for protocol in sampled:
            protocol.sample(
                characters,
                num_trials=2,
                ways=settings.ways,
                shots=settings.shots,
            )


def _load_classes(source, split):
    """Loads characters that same and different pairs can be made of."""
    characters = source.load(split)
    with naming_split(split, source):
        require_pairs(characters, source.load_names())
    return characters
