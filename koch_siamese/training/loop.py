"""Training: the function that the commands, notebooks and tests call."""

import contextlib
import dataclasses
import os
import sys
import typing
from collections.abc import Sequence

import keras

from koch_siamese.backend import has_tensorflow, make_deterministic
from koch_siamese.data.sources import DataSource
from koch_siamese.errors import InputError, warn
from koch_siamese.evaluation.evaluator import Evaluator
from koch_siamese.evaluation.protocols import PROTOCOLS
from koch_siamese.images import CHANNELS
from koch_siamese.models import own_network
from koch_siamese.models.loading import load_model
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import build_siamese, get_embedding, get_head
from koch_siamese.reporting import charts, figures
from koch_siamese.runs.directory import Run
from koch_siamese.runs.results import read_json
from koch_siamese.runs.settings import (
    GIVEN,
    Settings,
    format_flag,
    is_own_network,
    keeps_features,
)
from koch_siamese.runs.tensorboard import (
    write_hyperparameters,
    writing_events,
)
from koch_siamese.training import (
    batches,
    builders,
    distribution,
    features,
    losses,
    trainers,
)
from koch_siamese.training.checkpoints import (
    CheckpointCallback,
    is_finished,
    load_state,
)
from koch_siamese.training.data import (
    Validation,
    check_evaluation,
    load_training,
    load_validation,
    lower_ways,
    make_source,
)
from koch_siamese.training.finalize import finalize
from koch_siamese.training.relative_updates import convert_relative_updates

if typing.TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained, on which data, and where.

    Attributes:
        settings: what to train.
        run: the run's directory, claimed for these settings.
        source: the source of the characters.
        strategy: from `distribution.make_strategy`.
        embedding, loss: see `train_and_evaluate`.
    """

    settings: Settings
    run: Run
    source: DataSource
    strategy: "tf.distribute.Strategy | None" = None
    embedding: keras.Model | None = None
    loss: keras.losses.Loss | None = None


def train_and_evaluate(
    settings: Settings,
    workdir: str | os.PathLike,
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    flagfile: str | None = None,
    may_prepare: bool = True,
    embedding: keras.Model | None = None,
    loss: keras.losses.Loss | None = None,
    may_lower_ways: bool | None = None,
) -> list[dict] | None:
    """Trains a siamese network and evaluates its best epoch.

    A training that was interrupted resumes after its last epoch. If it has
    finished, its results are returned.

    Args:
        settings: what to train.
        workdir: the run's directory.
        data_dir, manual_dir: see `data.sources.DataSource`.
        flagfile: the name of the flagfile, for the run and its result files.
        may_prepare: whether a missing data set may be written into `data_dir`.
        embedding: a network of your own, in place of `settings.network`; see
            `own_network.build_own_embedding`. A run is resumed with the same
            architecture.
        loss: a loss of your own, in place of that of `settings.objective`; see
            `own_network.check_loss`. A run is resumed with the same loss.
        may_lower_ways: whether to lower `settings.ways` if a data set has fewer
            classes; by default only if `ways` has its default.

    Returns:
        A result for each of `settings.protocols`, see
        `evaluation.evaluator.Evaluator`. None in a worker that is not the
        chief.

    Raises:
        InputError: settings, data and run directory do not fit together, or
            the training diverges.
    """
    if not isinstance(settings, Settings):
        raise InputError(
            f"settings is a {type(settings).__name__}: expected Settings, such "
            "as Settings(epochs=5)."
        )
    run = Run(workdir)
    settings = _name_objects(settings, run, embedding, loss)
    if is_own_network(settings.network):  # Keras then knows its layers
        own_network.import_builder(settings.network)
    if settings.deterministic:
        make_deterministic()
    strategy = distribution.make_strategy(settings.distribute)
    source = make_source(settings, data_dir, manual_dir, may_prepare)
    if may_lower_ways is None:
        may_lower_ways = settings.ways == Settings.ways
    if may_lower_ways:
        settings = lower_ways(settings, source)
    training = Training(settings, run, source, strategy, embedding, loss)
    with distribution.other_workers(strategy):
        if not distribution.is_chief(strategy):
            with run.copy() as own:
                train(dataclasses.replace(training, run=own))
            return None
        is_folder = settings.dataset == "folder"
        run.require_own(source.data_dir if is_folder else None)
        with run.lock():
            run.require_same(settings)
            model = _load_finished(training)
            # What ended a training stays recorded.
            run.claim(run.read_settings() if model else settings, flagfile)
            model = model or _train_to_end(training)
            return _evaluate(training, model)


def _name_objects(settings, run, embedding, loss):
    """Names the given objects in the settings, which identifies them."""
    if embedding is None and loss is None:
        trainers.build_loss(settings)  # raises if one must be given
        return settings
    before = run.read_settings() if run.flags.exists() else settings
    if embedding is not None:
        if settings.distribute != "none":
            raise InputError(
                f"--distribute={settings.distribute} builds a network on each "
                "device: give its function as network='MODULE:FUNCTION'."
            )
        own_network.check_network(
            embedding, settings.image_size, CHANNELS[settings.image_kind]
        )
        network = _choose_name(
            before.network,
            own_network.compute_architecture(embedding),
            own_network.compute_kinds(embedding),
        )
        settings = dataclasses.replace(settings, network=network)
    if loss is None:
        trainers.build_loss(settings)  # raises if one must be given
        return settings
    own_network.check_loss(loss, settings.sampling)
    if isinstance(loss, losses.ContrastiveLoss):
        raise InputError(
            "A loss that is given as an object gets logits, but "
            "ContrastiveLoss needs distances: give "
            f"Settings(objective='contrastive', margin={loss.margin}) instead."
        )
    objective = _choose_name(
        before.objective,
        own_network.name_loss(loss),
        *own_network.list_older_names(loss),
    )
    return dataclasses.replace(settings, objective=objective)


def _choose_name(before, name, *older):
    """Chooses the name that a run has for an object, or the current one."""
    names = [f"{GIVEN}{x}" for x in (name, *older)]
    return before if before in names else names[0]


def _train_to_end(training):
    """Trains, and returns the best model with its thresholds."""
    settings, run, source = training.settings, training.run, training.source
    validation = _prepare(settings, source)
    # They were chosen for an earlier epoch.
    run.thresholds.unlink(missing_ok=True)
    state = train(training, validation)
    return finalize(
        run,
        validation,
        ways=settings.ways,
        seed=settings.seed,
        closed_set=source.is_closed("validation"),
        fingerprint=state.get("images"),
    )


def _evaluate(training, model):
    """A result for each protocol, measured unless a current one exists."""
    settings, run = training.settings, training.run
    evaluator = Evaluator(SiameseScorer(model), training.source, model)
    results = []
    for protocol in settings.protocols:
        path = run.results / f"{protocol}.json"
        if not (path.exists() and _is_current(path, settings, run)):
            result = evaluator.evaluate(
                protocol,
                split="test",
                num_trials=settings.num_trials,
                ways=settings.ways,
                shots=settings.shots,
                seed=settings.seed,
            )
            result |= {"model": str(run.model)} | run.describe_training()
            run.write_result(protocol, result)
        results.append(read_json(path))
    return results


def _is_current(path, settings, run):
    """Whether a result has these settings and is of the finished training."""
    if settings.dataset == "folder":  # it may be another, or have changed
        return False
    result = read_json(path)
    asked = {"flagfile": run.read_flagfile_name()}
    protocol = PROTOCOLS[result["protocol"]]
    if not protocol.fixed:
        asked |= {"dataset": settings.dataset, "split": "test"}
    asked |= {name: getattr(settings, name) for name in protocol.options}
    return run.is_current(result) and asked.items() <= result.items()


def _load_finished(training):
    """Loads the model of a training that has finished, if it has."""
    run = training.run
    if not run.thresholds.exists():  # the last file to be written
        return None
    _, state = load_state(training.settings, run, training.source)
    if not is_finished(training.settings, state):
        return None
    print("This training has finished; these are its results.")
    return load_model(run.model)  # raises if the file is damaged


def _prepare(settings, source):
    """Checks the data before a training; returns the validation."""
    validation = load_validation(settings, source)
    check_evaluation(settings, source, validation)
    if source.is_closed("test"):
        warn(
            "This is a closed set: the test images show the training classes. "
            "The accuracy is not a one-shot accuracy, which is measured on new "
            "classes."
        )
    return validation


def train(
    training: Training,
    validation: Validation | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict:
    """Trains from the last epoch of the run to the end.

    Args:
        training: what to train.
        validation: from `load_validation`; made here by default.
        callbacks: called after an epoch is stored; `logs` has
            `one_shot_accuracy`.

    Returns:
        The state of the run: `epoch`, the epochs trained; `best_epoch` and
        `best_accuracy`; `history`.

    Raises:
        InputError: see `train_and_evaluate`.
    """
    settings, run, source = training.settings, training.run, training.source
    strategy = training.strategy
    _require_backend(settings)
    checkpoint, state = load_state(settings, run, source)
    if not is_finished(settings, state):
        keras.utils.set_random_seed(settings.seed)
        characters = load_training(settings, source)
        if checkpoint:
            print(
                f"Resuming after epoch {state['epoch']} of {settings.epochs}."
            )
        with strategy.scope() if strategy else contextlib.nullcontext():
            siamese, trainer = _make_models(training, checkpoint, characters)
        siamese = builders.build_evaluation_model(settings, siamese)
        validation = validation or load_validation(settings, source)
        stored = None
        if keeps_features(settings):
            stored, validated = (
                features.compute_features(siamese, images)
                for images in (characters.images, validation.characters.images)
            )
            validation = dataclasses.replace(validation, features=validated)
        stream = batches.make_batches(
            settings,
            characters,
            state["epoch"] * settings.steps_per_epoch,
            stored,
        )
        _draw_pairs(settings, run, characters)
        callback = CheckpointCallback(run, state, settings, siamese, validation)
        callbacks = [callback, *callbacks]
        _fit(settings, run, trainer, stream, state["epoch"], callbacks)
    figures.save_figure(
        charts.draw_learning_curves(state["history"]),
        run.figures / "learning_curves.png",
    )
    return state


def _require_backend(settings):
    """Refuses settings that the backend of Keras does not have."""
    backend = keras.backend.backend()
    if settings.steps_per_call > 1 and backend != "jax":
        raise InputError(
            f"--steps_per_call={settings.steps_per_call} needs "
            f"KERAS_BACKEND=jax; it is {backend}."
        )


def _draw_pairs(settings, run, characters):
    """Draws pairs of the first batch."""
    examples = batches.example_pairs(
        settings, characters, trainers.get_fill_value(settings)
    )
    figures.save_figure(
        figures.draw_pairs(
            *examples,
            heading="Training pairs, distorted and resized as the network sees "
            "them",
        ),
        run.figures / "pairs.png",
        run.tensorboard,
    )


def _fit(settings, run, trainer, stream, epoch, callbacks):
    """Trains the epochs that remain after an epoch."""
    with writing_events(run.tensorboard):
        write_hyperparameters(run.tensorboard, settings)
        trainer.fit(
            stream,
            epochs=settings.epochs,
            initial_epoch=epoch,
            shuffle=False,  # batches are shuffled; Keras would warn
            steps_per_epoch=settings.steps_per_epoch // settings.steps_per_call,
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[*callbacks, *_make_callbacks(run)],
        )


def _make_callbacks(run):
    """Yields Keras' own callbacks; TensorBoard's needs TensorFlow."""
    yield keras.callbacks.TerminateOnNaN()
    if has_tensorflow():
        yield keras.callbacks.TensorBoard(run.tensorboard, write_graph=False)


def _make_models(training, checkpoint, characters):
    """Makes the siamese model and its trainer, new or as of the last epoch."""
    settings, network = training.settings, training.embedding
    if network is None:
        network = builders.build_own_network(settings)
    if not checkpoint:
        return _build(settings, characters, network, training.loss)
    siamese, trainer = _load(training, checkpoint, characters)
    if network is not None:
        _require_same_network(settings, siamese, network)
    return siamese, trainer


def _build(settings, characters, network, loss):
    """Builds the model and its trainer."""
    siamese = builders.build_model(settings, network)
    if settings.relative_updates:
        settings = convert_relative_updates(settings, siamese, characters)
        rates = format_flag(settings, "layer_learning_rates")
        print(f"Relative updates set {rates}.")
    return siamese, trainers.build_trainer(settings, siamese, characters, loss)


def _load(training, checkpoint, characters):
    """Loads the model and its trainer as of the last epoch."""
    trainer = trainers.load_trainer(checkpoint, characters)
    if keeps_features(training.settings):
        # The backbone never changes, so that of the best epoch will do.
        best = load_model(training.run.model)
        return features.join(best, trainer), trainer
    return build_siamese(get_embedding(trainer), get_head(trainer)), trainer


def _require_same_network(settings, siamese, network):
    """Raises an error if a run would resume with another architecture."""
    built = builders.build_model(settings, network)
    before, now = (
        # The last layer of the embedding is the network, with layers replaced
        # as the precision requires.
        own_network.compute_architecture(get_embedding(model).layers[-1])
        for model in (siamese, built)
    )
    if before != now:
        raise InputError(
            f"--network={settings.network} now builds another architecture "
            "than the run in --workdir has: give another --workdir, or build "
            "the network as it was."
        )
