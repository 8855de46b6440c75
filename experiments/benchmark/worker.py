"""A side of the benchmark in a process of its own, which answers on demand.

Requests and answers are lines of JSON on standard input and output: first the
workload and its options, then an empty request for each measurement.
"""

import importlib
import json
import os
import sys

from experiments.benchmark.options import LEVERS, Options
from koch_siamese.backend import import_tensorflow

MODULES = {
    "prepare": "data",
    "start": "plain",
    "growth": "plain",
    "learning": "trainings",
    **dict.fromkeys(LEVERS, "levers"),
}


def main():
    """Answers until standard input ends."""
    side = sys.argv[1]
    # What libraries print is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    measure = None
    for line in sys.stdin:
        request = json.loads(line)
        if request:
            name, options = request["workload"], Options(**request["options"])
            default = "ours" if side == "ours" else "rival"
            module = MODULES.get(name, default)
            if module not in ("plain", "rival"):
                import_tensorflow()  # silently
            module = importlib.import_module(f"experiments.benchmark.{module}")
            measure, *notes = getattr(module, name)(options)
            answer = {"notes": notes}
        else:
            answer = {"values": measure()}
        print(json.dumps(answer), file=answers, flush=True)
    # A pipeline that still works in threads can hang Python's own end.
    os._exit(0)


if __name__ == "__main__":
    main()
