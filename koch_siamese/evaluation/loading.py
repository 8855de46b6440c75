"""Loads what is evaluated: scorers, and how to read data for them."""

import dataclasses
import os
import typing

from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError
from koch_siamese.evaluation.baselines import BASELINES
from koch_siamese.evaluation.scoring import Scorer
from koch_siamese.runs.directory import Run
from koch_siamese.runs.settings import get_photo_size

if typing.TYPE_CHECKING:
    import keras


def load_scorer(
    model: "keras.Model | Scorer | str | os.PathLike",
) -> tuple["keras.Model | None", Scorer]:
    """Loads a model or baseline to evaluate.

    Args:
        model: see `evaluate_protocol`.

    Returns:
        The siamese model, or None for another scorer; and the scorer.

    Raises:
        InputError: there is no such model, or it is not a siamese model.
    """
    import keras

    from koch_siamese.models.loading import load_model
    from koch_siamese.models.scorer import SiameseScorer
    from koch_siamese.models.siamese import require_siamese

    if isinstance(model, str) and model in BASELINES:
        return None, BASELINES[model]()
    if isinstance(model, str | os.PathLike):
        model = load_model(model)
    if isinstance(model, keras.Model):
        require_siamese(model)
        return model, SiameseScorer(model)
    if not (hasattr(model, "embed") and hasattr(model, "score")):
        raise InputError(
            f"model is a {type(model).__name__}: expected a siamese model, its "
            "file, 'pretrained', a baseline such as 'pixels_cosine', or an "
            "object with the methods embed and score."
        )
    return None, model


def get_reading(
    dataset: str, siamese: "keras.Model | None"
) -> dict[str, object]:
    """Returns how images are read, as in the training of a model.

    Args:
        dataset: the data set to test on.
        siamese: the model, or None for another scorer.

    Returns:
        Fields of a `DataSource`.
    """
    from koch_siamese.models.siamese import get_crop, get_photo_size

    crop = get_crop(siamese) if siamese else True
    return {
        "crop": dataset == "folder" and crop,
        "photo_size": get_photo_size(siamese) if siamese else 0,
    }


def split_as_in_training(source: DataSource, run: Run) -> DataSource:
    """Returns a source with the groups of a run, if it was trained on groups.

    They are of no use for another data set, or for a folder with splits of its
    own.

    Args:
        source: the data to test on.
        run: the run of the model.
    """
    settings = run.read_settings()
    if settings.split_by != "group" or source.dataset != settings.dataset:
        return source
    if source.has_own_splits:
        return source
    names = ("split_by", "training_groups", "validation_groups", "test_groups")
    groups = {name: getattr(settings, name) for name in names}
    return dataclasses.replace(source, **groups)


def is_trained_on(source: DataSource, run: Run) -> bool:
    """Tells whether a source is the folder of images of a training.

    Args:
        source: the data to test on, however it is read.
        run: the run of the model. If its checkpoints are gone, it does not know
            its images any more, and the answer is no.
    """
    settings = run.read_settings()
    if source.dataset != "folder" or settings.dataset != "folder":
        return False
    reading = {"crop": settings.crop, "photo_size": get_photo_size(settings)}
    as_trained = dataclasses.replace(source, **reading)
    if as_trained == source:
        as_trained = source  # which has been read
    return as_trained.compute_fingerprint() == run.read_fingerprint()
