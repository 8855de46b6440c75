"""Runs commands of the package in processes forked from a warm one.

A short command spends nearly all of its time on the import of TensorFlow, which
takes five seconds. A server imports it once, and each command runs in a fork of
the server. A fork is like a new process with TensorFlow imported: the server
has run no operation and started no thread, as neither would survive a fork.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path

TIMEOUT_SECONDS = 300


class CommandsServer:
    """The client, used by tests; it starts the server on the first call."""

    def __init__(self):
        self._process = None
        # Saved now, because tests may change it before the first call.
        self._environment = os.environ | {"KERAS_BACKEND": "tensorflow"}

    def run(self, command, *arguments, cwd=None):
        """Runs a command like `subprocess.run` in the current environment."""
        backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
        assert backend == "tensorflow", "The server has imported Keras."
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder, name) for name in ("stdout", "stderr")]
            request = {
                "module": f"koch_siamese.{command}",
                "arguments": [str(argument) for argument in arguments],
                "cwd": str(cwd or Path.cwd()),
                "environment": dict(os.environ),
                "outputs": [str(path) for path in outputs],
            }
            code = self._ask(request)
            texts = [path.read_text() for path in outputs]
        return subprocess.CompletedProcess(request["module"], code, *texts)

    def _ask(self, request):
        if self._process is None:
            # It ends when this process ends, which closes its standard input.
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def import_packages():
    """Imports the packages that take long, without starting threads."""
    # The threads of OpenBLAS start when NumPy is imported.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import keras  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import optuna  # noqa: F401
    import tensorflow  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    threads = [x.read_text() for x in Path("/proc/self/task").glob("*/comm")]
    # If pandas is installed (extra demo), Keras imports it, and thereby Arrow.
    # Arrow's allocator may have a thread, which it starts again after a fork.
    others = [x for x in threads if x != "jemalloc_bg_thd\n"]
    assert len(others) == 1, "An import has started threads."


def become(request):
    """Sets up this process as if a user had started it for the request."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, path in enumerate(request["outputs"], start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]
    signal.alarm(TIMEOUT_SECONDS)


def run_module(name):
    """Runs a module as `python -m` does, and returns the exit code."""
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(code):
    """Ends the process without freeing modules, which would take a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve():
    """Runs each request, a line of JSON, in a fork; prints the exit code."""
    import_packages()
    gc.freeze()  # objects are not touched, so forks do not copy them
    for line in sys.stdin:
        with warnings.catch_warnings():
            # JAX, which TensorFlow imports, warns that it may have threads.
            warnings.simplefilter("ignore", RuntimeWarning)
            child = os.fork()
        if not child:
            request = json.loads(line)
            become(request)
            end(run_module(request["module"]))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
