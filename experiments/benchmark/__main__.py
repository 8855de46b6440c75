r"""Measures our code against a PyTorch script after the tutorial.

    python -m experiments.benchmark --data_dir=DIR
    python -m experiments.benchmark --rows=levers,learning,time_to_accuracy

Run it in the root of the repository, on an idle machine. Each row alternates
the sides in separate processes; the result file keeps the results of other
rows. Without PyTorch (extra `benchmark`) the rival is left out.
"""

import dataclasses
import datetime
import importlib.metadata
import importlib.util
import json
import os
import tempfile
import time
from pathlib import Path

from absl import flags

from experiments.benchmark import measuring
from experiments.benchmark.options import (
    DEFAULT_ROWS,
    LEVERS,
    NO_DATA,
    QUICK,
    RIVALS,
    ROWS,
    TRAININGS,
    Options,
)
from koch_siamese import cli
from koch_siamese.errors import InputError
from koch_siamese.reporting.benchmark_table import Comparison
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.provenance import describe_origin
from koch_siamese.runs.results import write_text

ROW_NAMES = flags.DEFINE_list(
    "rows",
    DEFAULT_ROWS,
    f"What to measure, of: {', '.join(ROWS)}; levers: all of those.",
)
PROCESSES = flags.DEFINE_integer(
    "processes", 3, "Of each side of a row, one after the other.", lower_bound=1
)
ROUNDS = flags.DEFINE_integer(
    "rounds", 2, "Of each process, after one to warm up.", lower_bound=1
)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Of whole trainings.")
flags.register_validator(
    SEEDS,
    lambda seeds: all(map(str.isdecimal, seeds)),
    message="expected whole numbers with commas between them",
)
QUICK_MODE = flags.DEFINE_bool(
    "quick", False, "Tiny sizes, to see that all works; keeps no result."
)
TARGET = flags.DEFINE_float(
    "target", 0.8, "learning: the validation accuracy to be reached."
)
THREADS = flags.DEFINE_integer(
    "threads", None, "Of each side. Default: as many as CPUs.", lower_bound=1
)
OUTPUT = define_path(
    "output",
    None,
    "The result file. Default: experiments/results/benchmark.json, or with "
    "--quick none.",
)
WORKDIR = define_path(
    "workdir", "runs/benchmark", "Where time_to_accuracy keeps its runs."
)
TABLES = Path("experiments/tables.json")


def _read_rows():
    aliases = {"levers": LEVERS}
    rows = [
        row for name in ROW_NAMES.value for row in aliases.get(name, [name])
    ]
    for row in rows:
        if row not in ROWS:
            known = ", ".join(ROWS)
            raise InputError(f"--rows has {row!r}; expected of {known}.")
    return rows


def _make_options(folder):
    # Omniglot if it is prepared, otherwise the glyphs.
    place = cli.DATA_DIR.value or "~/tensorflow_datasets"
    has_omniglot = (Path(place).expanduser() / "omniglot").is_dir()
    options = Options(
        folder=folder,
        dataset="omniglot" if has_omniglot else "glyphs",
        data_dir=cli.DATA_DIR.value,
        target=TARGET.value,
        # A second --quick must not find the runs of the first one.
        workdir=folder if QUICK_MODE.value else WORKDIR.value,
    )
    return dataclasses.replace(options, **QUICK if QUICK_MODE.value else {})


def _measure(row, options, tables, has_rival):
    """Measures a row and prints details; returns the table's lines by key."""
    begin = time.perf_counter()
    whole = row in TRAININGS
    values, notes = measuring.alternate(
        row,
        [x for x in ROWS[row] if has_rival or x not in RIVALS],
        options,
        seeds=SEEDS.value if whole else PROCESSES.value * [0],
        rounds=1 if whole else ROUNDS.value,
        warm_up=0 if whole else 1,
    )
    lines = {
        x.line: measuring.make_line(x.line, x.higher, values)
        for table in tables
        for x in table.rows
        if x.row == row and x.line in values["ours"][0]
    }
    details = measuring.make_details(lines, values)
    print(f"{row}: {time.perf_counter() - begin:.0f} s")
    for note in (*notes, *(f"{k}: {v:.4g}" for k, v in details.items())):
        print(f"    {note}")
    about = {"notes": notes, "details": details}
    return {key: line | about for key, line in lines.items()}


def main():
    """Measures the rows, prints the table, and writes the lines."""
    rows = _read_rows()
    names = ("benchmark", "profile", "levers")
    tables = [Comparison.load(TABLES, name) for name in names]
    path = OUTPUT.value or (None if QUICK_MODE.value else tables[0].path)
    path = path and Path(path)
    done = {}
    threads = THREADS.value or os.cpu_count()
    for name in ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        os.environ[f"{name}_THREADS"] = str(threads)  # for all processes
    torch = None
    if importlib.util.find_spec("torch"):
        torch = importlib.metadata.version("torch")
    else:
        print("PyTorch is not installed: no rival; see extra benchmark.")
    with tempfile.TemporaryDirectory() as folder:
        options = _make_options(folder)
        now = datetime.datetime.now(datetime.UTC)
        origin = describe_origin() | {
            "torch": torch,
            "threads": threads,
            "dataset": options.dataset,
            "quick": options.quick,
            "date": now.isoformat(timespec="minutes"),
        }
        print(f"Drawings: {options.dataset}. Threads: {threads}.")
        if set(rows) - set(NO_DATA):
            with measuring.new_process() as call:
                call(options.prepare)
        for row in rows:
            measured = _measure(row, options, tables, torch is not None)
            done |= {key: line | origin for key, line in measured.items()}
            if path:  # after each row, in case of an interruption
                file = json.loads(path.read_text()) if path.exists() else {}
                lines = file.get("benchmark", {}) | done
                text = json.dumps({"benchmark": lines}, indent=2)
                write_text(path, text + "\n")
    print(*filter(None, (table.to_text(done) for table in tables)), sep="\n")
    if path:
        print(f"Written to {path}")


if __name__ == "__main__":
    cli.run(main)
