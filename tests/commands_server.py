"""Runs commands of the package in processes forked from a warm one.

Nearly all the time of a short command is the import of TensorFlow, five seconds
of a CPU. A server imports it once; each command runs in a fork of the server,
which is, but for what is imported, as good as new: the server has run no
operation and started no thread, neither of which would survive a fork.
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
    """The tests' side: starts the server when it is first needed."""

    def __init__(self):
        self._process = None
        # Not what a test has changed before the first call.
        self._environment = os.environ | {"KERAS_BACKEND": "tensorflow"}

    def run(self, command, *arguments, cwd=None):
        """Runs a command like `subprocess.run` in the present environment."""
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
            # It ends with this process, which holds the other end of the pipe.
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
    """Imports what takes long, and has no thread started by it."""
    # The threads of OpenBLAS start when NumPy is imported.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import keras  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import optuna  # noqa: F401
    import tensorflow  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    threads = [x.read_text() for x in Path("/proc/self/task").glob("*/comm")]
    # Where pandas is installed (extra demo), Keras imports it, and so Arrow,
    # whose allocator starts its own thread again after a fork.
    others = [x for x in threads if x != "jemalloc_bg_thd\n"]
    assert len(others) == 1, "An import has started threads."


def become(request):
    """Makes this process what a fresh one is that a user has started."""
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
    """Ends the process, but does not free each module: that takes a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve():
    """Answers each request, a line of JSON, with the exit code of its fork."""
    import_packages()
    gc.freeze()  # stays as it is, which spares each fork a copy
    for line in sys.stdin:
        with warnings.catch_warnings():
            # JAX, which TensorFlow imports, warns of threads it may have.
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
