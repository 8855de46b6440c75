"""The arithmetic of a training step, and where its time goes."""

import collections
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

# By the type of an operation, the first that it contains; oneDNN's types have
# more words around them.
KINDS = {
    "Conv2DBackpropFilter": "gradients of filters",
    "Conv2DBackpropInput": "gradients of inputs",
    "Conv2D": "convolutions",
    "MatMul": "dense layers",
    "Pool": "pooling",
}
COMPILED = "compiled by XLA (warp, normalisation, distances)"
REST = "all else (activations, loss, update)"
ALL_KINDS = (*KINDS.values(), COMPILED, REST)

# An operation's event is `scope/name:Type`; those of the runtime have `::` or a
# space, among them a run of what XLA has compiled. A call's time is that of the
# operations in it.
OPERATION = re.compile(r"[^\s:]+:(\w+)")
COMPILED_RUN = re.compile(r"\w+Executable::ExecuteAsyncOnStream")
CALLS = ("PartitionedCall", "StatefulPartitionedCall", "If", "While")


def count_multiply_adds(model: keras.Model, *, training: bool = False) -> int:
    """Multiply-adds of convolutions and dense layers in a row, for one image.

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
    """Shares of `ALL_KINDS` in the time of operations on the CPU, in %."""
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
    """The kind of an operation, by the name of its event; None of others."""
    if COMPILED_RUN.match(event):
        return COMPILED
    found = OPERATION.fullmatch(event)
    if not found or found[1] in CALLS:
        return None
    return next((KINDS[x] for x in KINDS if x in found[1]), REST)
