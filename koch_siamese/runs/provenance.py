"""The origin of results: version, commit, machine, libraries, date."""

import collections
import contextlib
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from koch_siamese.version import __version__

# Files of the project that measuring writes; no result depends on them.
WRITTEN_PATHS = ("experiments/results", "*.md", "*.png")


def describe_origin() -> dict[str, object]:
    """Describes the origin of a result, see `koch_siamese.runs`."""
    origin = {
        "version": __version__,
        "commit": _commit(),
        "machine": _machine(),
        "tensorflow": _version("tensorflow", "tensorflow-cpu"),
        "keras": _version("keras"),
        "backend": _describe_backend(),
        "date": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds"),
    }
    return origin | ({"jax": _version("jax")} if _backend() == "jax" else {})


def _version(*packages):
    """The version of the first installed package, without importing it."""
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(package)
    return None


def _describe_backend():
    """The backend of Keras and its version, such as tensorflow 2.21.0."""
    name = _backend()
    version = name and _version(name, f"{name}-cpu")
    return f"{name} {version}" if version else name


def _backend():
    """The backend of Keras, if Keras has been imported."""
    # Writing a file must not import a backend.
    keras = sys.modules.get("keras")
    return keras and keras.backend.backend()


def _commit():
    """The commit of the checkout that the package runs from, if any.

    It ends in `-dirty` if files other than `WRITTEN_PATHS` have changed.
    """
    here = Path(__file__)

    def ask(*arguments):
        return subprocess.run(
            ["git", "-C", str(here.parent), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        # Fails if the package is installed within another project's checkout.
        ask("ls-files", "--error-unmatch", here.name)
        commit = ask("rev-parse", "--short=12", "HEAD")
        changed = ask(
            *("status", "--porcelain", "--untracked-files=no", "--"),
            *(":/", *(f":(top,exclude){path}" for path in WRITTEN_PATHS)),
        )
        return f"{commit}-dirty" if changed else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _machine():
    """The processors, and the accelerators that Keras computes on."""
    machine = f"{os.cpu_count()} x {_processor()}"
    return ", ".join([machine, *_accelerators()])


def _accelerators():
    """Names and numbers of the devices of the backend, except processors."""
    names = []
    if _backend() == "jax":
        names = _jax_devices()
    elif _backend() == "tensorflow":
        names = _tensorflow_devices()
    return [
        name if number == 1 else f"{number} x {name}"
        for name, number in collections.Counter(names).items()
    ]


def _jax_devices():
    import jax

    return [
        f"{device.device_kind} (JAX {jax.__version__})"
        for device in jax.devices()
        if device.platform != "cpu"
    ]


def _tensorflow_devices():
    import tensorflow as tf

    details = map(
        tf.config.experimental.get_device_details,
        tf.config.list_physical_devices("GPU"),
    )
    return [detail.get("device_name", "GPU") for detail in details]


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line for line in lines if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
