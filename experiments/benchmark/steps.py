"""Our training steps: speed, profile, and the effect of single choices."""

import collections
import contextlib
import functools
import math
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import keras
import tensorflow as tf
from keras import ops
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from experiments.benchmark.measuring import time_calls
from experiments.benchmark.options import STEPS, Options
from koch_siamese.models import heads
from koch_siamese.models.siamese import get_embedding
from koch_siamese.runs.settings import Settings
from koch_siamese.training import batches, builders, optimizers, trainers

# An operation has the kind of the first key that its type contains. Types of
# oneDNN have more words around the key.
KINDS = {
    "Conv2DBackpropFilter": "gradients of filters",
    "Conv2DBackpropInput": "gradients of inputs",
    "Conv2D": "convolutions",
    "MatMul": "products of matrices (dense layers, spectra)",
    "Pool": "pooling",
}
COMPILED = "compiled by XLA (warp, normalisation, distances)"
REST = "all else (activations, loss, update)"
ALL_KINDS = (*KINDS.values(), COMPILED, REST)

# Events of operations are `scope/name:Type`; those of the runtime, such as a
# run of code compiled by XLA, have `::` or a space. The time of a call is that
# of its operations.
OPERATION = re.compile(r"[^\s:]+:(\w+)")
COMPILED_RUN = re.compile(r"\w+Executable::ExecuteAsyncOnStream")
CALLS = ("PartitionedCall", "StatefulPartitionedCall", "If", "While")


def make_settings(options: Options, sampling="groups", **settings) -> Settings:
    """Makes settings of groups for the fast network, or pairs for the paper's.

    The settings of pairs are those of the tutorial.
    """
    if sampling == "pairs":
        settings |= {
            "network": "paper",
            "image_size": 105,
            "filters": options.filters,
            "units": (options.units,),
            "batch_size": options.batch_size,
            "learning_rate": 6e-5,
        }
    else:
        settings["group_characters"] = options.group[0]
        settings["group_drawings"] = options.group[1]
    return Settings(
        sampling=sampling,
        distortion="rotation",
        schedule="constant",
        **settings,
    )


def make_training(options: Options, settings: Settings):
    """Builds a training model, and a function that trains it for a round.

    The function returns the seconds of a step on one batch: warp, forward and
    backward pass, and update.
    """
    trainer = trainers.build_trainer(settings, builders.build_model(settings))
    characters, *_ = options.load()
    characters = characters.resized(settings.image_size)
    stream = batches.make_batches(settings, characters)
    batch = tf.data.Dataset.from_tensors(next(iter(stream))).repeat()
    batch = batch.with_options(stream.options())
    _, steps = options.get_sizes(settings.sampling)

    def train():
        begin = time.perf_counter()
        trainer.fit(batch, steps_per_epoch=steps, shuffle=False, verbose=0)
        return (time.perf_counter() - begin) / steps

    return trainer, train


def measure_step(row: str, options: Options):
    """Measures items per second, the rate relative to the peak, a profile."""
    sampling, precision = STEPS[row]
    settings = make_settings(options, sampling, precision=precision)
    trainer, train = make_training(options, settings)
    items, _ = options.get_sizes(sampling)
    images = 2 * items if sampling == "pairs" else items
    multiply_adds = count_multiply_adds(get_embedding(trainer), training=True)
    operations = 2 * images * multiply_adds

    run_convolutions = make_convolutions(get_embedding(trainer), images)

    train()  # compiles the step
    run_convolutions()
    while True:
        peak = _measure_product(options.matrix, precision)
        seconds = train()
        alone = time_calls(run_convolutions, 3)
        rate = operations / seconds
        values = {
            row: items / seconds,
            f"{row}_roofline": 100 * rate / peak,
            f"{row}_convolutions": 100 * alone / seconds,
            "GFLOP in a step": operations / 1e9,
            "GFLOP/s of a step": rate / 1e9,
            "GFLOP/s of a matrix product": peak / 1e9,
        }
        shares = profile(train)
        yield values | {f"{row}: {x}": shares[x] for x in shares}, []


def make_convolutions(model: keras.Model, images: int) -> Callable[[], None]:
    """Makes a function that runs all convolutions of a training step alone.

    They are those of the forward and the backward pass, one layer after the
    other, on zeros. Nothing else of the step is computed, so no step can take
    less time with these convolutions.
    """
    convolutions = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    # The first one needs no gradient of its input.
    calls = [
        _differentiate(layer, images, of_input=layer is not convolutions[0])
        for layer in convolutions
    ]

    def run():
        for call in calls:
            for result in call():
                wait(result)

    return run


def _differentiate(layer, images, of_input):
    """Makes a function that computes a layer's outputs and its gradients."""
    zeros = tf.zeros((images, *layer.input.shape[1:]), layer.compute_dtype)

    @tf.function(autograph=False)
    def differentiate():
        with tf.GradientTape() as tape:
            tape.watch(zeros)
            outputs = layer(zeros)
        targets = [layer.kernel.value, *of_input * (zeros,)]
        # Without the outputs, TensorFlow would skip the forward pass.
        return outputs, *tape.gradient(outputs, targets)

    return differentiate.get_concrete_function()


def _measure_product(side, precision, repeats=3):
    """Measures operations a second of a product of square matrices."""
    matrix = tf.random.stateless_normal((side, side), (0, 0))
    matrix = tf.cast(matrix, precision)
    wait(tf.matmul(matrix, matrix))
    begin = time.perf_counter()
    for _ in range(repeats):
        product = tf.matmul(matrix, matrix)
    wait(product)
    return repeats * 2 * side**3 / (time.perf_counter() - begin)


def wait(tensor):
    """Waits until a device has computed a tensor."""
    tf.reshape(tensor, (-1,))[0].numpy()


def count_multiply_adds(model: keras.Model, *, training: bool = False) -> int:
    """Counts multiply-adds of successive convolutions and dense layers.

    They are those of one image. A convolution counts as it is defined, however
    it is computed.

    Training adds the backward pass: two products of the size of the forward
    one for each layer, one for the gradient of its weights and one for that of
    its input, which the first layer does not need.
    """
    counts = [
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))
    ]
    return 3 * sum(counts) - counts[0] if training else sum(counts)


def profile(run: Callable[[], object]) -> dict[str, float]:
    """Measures the shares of `ALL_KINDS` in the time on the CPU, in %."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        (path,) = Path(folder).glob("**/*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    times = collections.Counter()
    for plane in space.planes:
        if plane.name.startswith("/host:CPU"):
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    times[classify(name)] += event.duration_ps
    del times[None]
    return {kind: 100 * times[kind] / times.total() for kind in ALL_KINDS}


def classify(event: str) -> str | None:
    """Returns an operation's kind by its event's name; None for others."""
    if COMPILED_RUN.match(event):
        return COMPILED
    found = OPERATION.fullmatch(event)
    if not found or found[1] in CALLS:
        return None
    return next((KINDS[x] for x in KINDS if x in found[1]), REST)


class PatchConvolution(keras.layers.Conv2D):
    """A convolution that is a matrix product if there is one channel."""

    def call(self, images):
        """Gathers the patches, and multiplies them by the filters."""
        if images.shape[-1] > 1:
            return super().call(images)
        sizes, ones = (1, *self.kernel_size, 1), (1, 1, 1, 1)
        patches = tf.image.extract_patches(images, sizes, ones, ones, "VALID")
        filters = ops.reshape(self.kernel, (-1, self.filters))
        return self.activation(patches @ filters + self.bias)


def _orthogonalize_as_keras(optimizer, filters, steps):
    matrix = optimizers._as_matrix(filters)
    orthogonalize = keras.optimizers.Muon.zeropower_via_newtonschulz5
    return ops.reshape(orthogonalize(optimizer, matrix, steps), filters.shape)


def _weigh_all_pairs(first, second, kernel):
    return heads._weigh(ops.abs(first[:, None] - second[None]), kernel)


def _leave(function):
    return function


def _compile_with(**arguments):
    compile = functools.partialmethod(keras.Model.compile, **arguments)
    return {"training.trainers.keras.Model.compile": compile}


def _make_tuned(*arguments, make_batches=batches.make_batches):
    options = tf.data.Options()
    options.autotune.enabled = True
    return make_batches(*arguments).with_options(options)


# Objects of the package, by name, and what the other side has instead.
LEVERS = {
    "lever_bfloat16": {"models.siamese.POLICIES": {"bfloat16": "float32"}},
    "lever_parts_by_xla": {
        "models.warp.compile_with_xla": _leave,
        "models.heads.compile_with_xla": _leave,
        "models.normalization.compile_with_xla": _leave,
    },
    "lever_normalisation": {
        "models.embeddings.GroupNormalization": keras.layers.GroupNormalization,
        "models.siamese.REPLACEMENTS": {},  # otherwise, a copy has ours again
    },
    "lever_whole_step_by_xla": _compile_with(jit_compile=True),
    "lever_distances_as_product": {
        "models.heads._weighted_l1_of_many": heads._weighted_l1
    },
    "lever_distances_in_a_loop": {
        "models.heads._weighted_l1_of_all_pairs": _weigh_all_pairs
    },
    "lever_muon": {
        "training.optimizers.ConvolutionMuon.zeropower_via_newtonschulz5": (
            _orthogonalize_as_keras
        )
    },
    "lever_no_tuning": {"training.batches.make_batches": _make_tuned},
    "lever_steps_per_execution": _compile_with(steps_per_execution=10),
    "lever_spectral": {"training.builders._is_spectral": lambda _: False},
    "lever_first_convolution": {
        "models.embeddings.layers.Conv2D": PatchConvolution
    },
}
# Settings of both sides, unless they are groups in bfloat16.
SETTINGS = {
    "lever_spectral": {"sampling": "pairs"},
    "lever_whole_step_by_xla": {"precision": "float32"},
    "lever_distances_in_a_loop": {"precision": "float32"},
    "lever_muon": {"precision": "bfloat16", "optimizer": "muon"},
    "lever_first_convolution": {"sampling": "pairs"},
}


def pull_lever(row: str, options: Options):
    """Measures steps a second; the other side makes the opposite choice."""
    settings = SETTINGS.get(row, {"precision": "bfloat16"})
    settings = make_settings(options, **settings)
    is_otherwise = options.side == "otherwise"
    with choose_otherwise(row) if is_otherwise else contextlib.nullcontext():
        _, train = make_training(options, settings)
        train()  # compiles the step
    while True:
        yield {row: 1 / train()}, []


@contextlib.contextmanager
def choose_otherwise(row: str):
    """Makes the opposite choice of a lever, within a `with` block."""
    with contextlib.ExitStack() as stack:
        for name, patch in LEVERS[row].items():
            stack.enter_context(mock.patch(f"koch_siamese.{name}", patch))
        yield
