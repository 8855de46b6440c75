"""Where the time of a training step goes, by TensorFlow's own profiler."""

import collections
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

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


def profile(run: Callable[[], object]) -> dict[str, float]:
    """Profiles operations on the CPU, or a host's part of them.

    Args:
        run: what to profile, warmed up.

    Returns:
        The share of each of `ALL_KINDS` in the time of all operations, in %.
    """
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        (path,) = Path(folder).glob("**/*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    seconds = collections.Counter()
    for name, duration in _events(space):
        kind = classify(name)
        if kind:
            seconds[kind] += duration
    total = seconds.total()
    return {kind: 100 * seconds[kind] / total for kind in ALL_KINDS}


def classify(event: str) -> str | None:
    """The kind of an operation, by the name of its event; None of others."""
    if COMPILED_RUN.match(event):
        return COMPILED
    found = OPERATION.fullmatch(event)
    if not found or found[1] in CALLS:
        return None
    return next((KINDS[x] for x in KINDS if x in found[1]), REST)


def _events(space):
    """Names and durations of all events of the host."""
    for plane in space.planes:
        if plane.name.startswith("/host:CPU"):
            names = {key: x.name for key, x in plane.event_metadata.items()}
            for line in plane.lines:
                for event in line.events:
                    yield names[event.metadata_id], event.duration_ps
