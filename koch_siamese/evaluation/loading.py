"""Loads what is evaluated: scorers, and how to read data for them."""

import dataclasses
import os
import typing

from koch_siamese.data.characters import Characters, are_same_images
from koch_siamese.data.sources import DataSource, select_effective
from koch_siamese.errors import InputError, warn
from koch_siamese.evaluation.baselines import BASELINES
from koch_siamese.evaluation.scoring import Scorer
from koch_siamese.images import CHANNELS
from koch_siamese.runs.directory import Run, find_run
from koch_siamese.runs.settings import Settings

if typing.TYPE_CHECKING:
    import keras


def load_scorer(
    model: "keras.Model | Scorer | str | os.PathLike",
) -> tuple["keras.Model | None", Scorer, Run | None]:
    """Loads a model or baseline to evaluate.

    Args:
        model: see `evaluate_protocol`.

    Returns:
        The siamese model, or None for another scorer; the scorer; and the run
        of a model that is given by its path, if it has one.

    Raises:
        InputError: there is no such model, or it is not a siamese model.
    """
    if isinstance(model, str) and model in BASELINES:
        return None, BASELINES[model](), None
    from koch_siamese.models.loading import load_model
    from koch_siamese.models.scorer import SiameseScorer
    from koch_siamese.models.siamese import is_siamese

    run = None
    if isinstance(model, str | os.PathLike):
        run, model = find_run(model), load_model(model)
    if is_siamese(model):
        if run:
            _complete(model, run.read_settings())
        return model, SiameseScorer(model), run
    if not (hasattr(model, "embed") and hasattr(model, "score")):
        raise InputError(
            f"model is a {type(model).__name__}: expected a siamese model, of "
            "load_model, build_siamese or a training; its file, 'pretrained', "
            "a baseline such as 'pixels_cosine'; or any object with the "
            "methods embed and score, see help('koch_siamese.evaluation')."
        )
    return None, model, None


def _complete(siamese, settings):
    """Adds to a model what a model older than 0.2 does not store."""
    from koch_siamese.models.siamese import set_crop, set_dataset

    set_dataset(siamese, settings.dataset)
    if settings.dataset == "folder":
        set_crop(siamese, settings.crop)


def make_test_source(
    dataset: str,
    siamese: "keras.Model | None",
    run: Run | None,
    **given: object,
) -> DataSource:
    """Makes a source that is read and split as in a training.

    Args:
        dataset: the data set to test on.
        siamese: the model, or None for another scorer.
        run: the run of the model, or the one to compare a scorer without a run
            with, or None.
        **given: attributes of the source that a user gave; None if not given.
    """
    settings = run.read_settings() if run else Settings()
    if siamese:
        from koch_siamese.models.siamese import get_dataset

        trained = get_dataset(siamese)
        photo_size, crop = _get_reading(siamese)
    else:
        trained = run and settings.dataset
        photo_size, crop = 0, settings.dataset != "folder" or settings.crop
    given = {name: value for name, value in given.items() if value is not None}
    photo_size = given.get("photo_size", photo_size)
    own = {
        "photo_size": photo_size,
        "split_labels": trained == dataset,
        **select_effective(
            dataset,
            background=settings.background,
            crop=crop and not photo_size,
        ),
    }
    return _split_by_groups(DataSource(dataset, **own | given), settings)


@dataclasses.dataclass(frozen=True)
class GivenCharacters(DataSource):
    """A user's own characters as a source, all of them to test on.

    Attributes:
        characters: the characters.
    """

    dataset: str = "characters"
    characters: Characters | None = None

    def load(self, split: str) -> Characters:
        """Returns the characters.

        Raises:
            InputError: there are none, or `split` is not `test`.
        """
        if split != "test":
            advice = "give the name of a data set or a DataSource"
            if split == "validation":  # to choose a threshold on
                advice += ", or for verification a model with thresholds"
            raise InputError(
                f"The source is Characters, which only have a test split, no "
                f"{split} split: {advice}."
            )
        if not len(self.characters):
            raise InputError(
                "The source is Characters without drawings: give some."
            )
        return self.characters

    def is_closed(self, split: str) -> None:
        """Tells that it is not known whether these are training classes."""


def give_characters(characters: Characters) -> GivenCharacters:
    """Makes a source of a user's characters.

    Raises:
        InputError: they are photos that are not square.
    """
    _, height, width, channels = characters.images.shape
    is_photo = channels == CHANNELS["photo"]
    if is_photo and height != width:
        raise InputError(
            f"Photos of the source are {height} x {width} pixels: expected "
            f"square ones; make them by Characters.resized({height})."
        )
    return GivenCharacters(
        characters=characters, photo_size=height if is_photo else 0
    )


def check_reading(source: DataSource, siamese: "keras.Model"):
    """Checks that a user's source is read as in the training of a model.

    Warns with a `DataWarning` if a folder's images are cropped otherwise.

    Args:
        source: the data to test on.
        siamese: the model.

    Raises:
        InputError: photos are read as drawings, or in another size.
    """
    size, crop = _get_reading(siamese)
    if source.photo_size != size:
        trained = f"photos of {size} pixels" if size else "drawings"
        fix = f"give DataSource(..., photo_size={size})"
        if isinstance(source, GivenCharacters):
            fix = f"give images with {CHANNELS['drawing']} channel"
            if size:
                fix = (
                    f"give images with {CHANNELS['photo']} channels, and "
                    f"Characters.resized({size})"
                )
        raise InputError(
            f"source has photo_size={source.photo_size}, but the model was "
            f"trained on {trained}: {fix}."
        )
    if source.dataset == "folder" and source.crop != crop:
        images = ("whole images", "images cropped to ink")
        warn(
            f"source has crop={source.crop}, but the model was trained on "
            f"{images[crop]}: give DataSource(..., crop={crop}), or else "
            "accuracy may suffer."
        )


def _get_reading(siamese):
    """Returns how a model reads images: `photo_size` and `crop`."""
    from koch_siamese.models.siamese import get_crop, get_photo_size

    return get_photo_size(siamese), get_crop(siamese)


def _split_by_groups(source, settings):
    """Returns a source with the groups of a training, if it had some.

    They are of no use for another data set, or for a folder with splits of its
    own.
    """
    if settings.split_by != "group" or source.dataset != settings.dataset:
        return source
    if source.has_own_splits:
        return source
    names = ("split_by", "training_groups", "validation_groups", "test_groups")
    groups = {name: getattr(settings, name) for name in names}
    return dataclasses.replace(source, **groups)


def is_trained_on(source: DataSource, run: Run) -> bool | None:
    """Tells whether a source is the folder of images of a training.

    Args:
        source: the data to test on, however it is read.
        run: the run of the model.

    Returns:
        None if the run does not know its images: it was finished by an earlier
        version, and its checkpoints are gone.
    """
    settings, trained_on = run.read_settings(), run.read_fingerprint()
    if source.dataset != "folder" or settings.dataset != "folder":
        return False
    if trained_on is None:
        return None
    reading = {"crop": settings.crop, "photo_size": settings.photo_size}
    as_trained = dataclasses.replace(source, **reading)
    if as_trained == source:
        as_trained = source  # which has been read
    return are_same_images([as_trained.compute_fingerprint(), trained_on])
