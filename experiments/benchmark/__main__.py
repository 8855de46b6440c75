r"""Measures ours beside a PyTorch script after the tutorial, row by row.

    python -m experiments.benchmark --data_dir=DIR
    python -m experiments.benchmark --rows=levers,learning,time_to_accuracy

Run it in the root of the repository, on an idle machine. Each row alternates
the sides in processes of their own; the result file keeps what other rows had.
Without PyTorch (extra `benchmark`) the rival is left out.
"""

import dataclasses
import datetime
import importlib.metadata
import importlib.util
import json
import os
import tempfile
from pathlib import Path

from absl import flags

from experiments.benchmark import rows
from experiments.benchmark.options import LEVERS, QUICK, Options
from koch_siamese import cli
from koch_siamese.errors import InputError
from koch_siamese.reporting import benchmark_table
from koch_siamese.runs.provenance import describe_origin
from koch_siamese.runs.results import write_text

ROWS = flags.DEFINE_list(
    "rows",
    rows.DEFAULT_ROWS,
    f"What to measure, of: {', '.join(rows.ROWS)}; levers: all of those.",
)
PROCESSES = flags.DEFINE_integer(
    "processes", 3, "Of each side of a row, one after the other.", lower_bound=1
)
ROUNDS = flags.DEFINE_integer(
    "rounds", 2, "Of each process, after one to warm up.", lower_bound=1
)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Of whole trainings.")
QUICK_MODE = flags.DEFINE_bool(
    "quick", False, "Tiny sizes, to see that all works; keeps no result."
)
TARGET = flags.DEFINE_float(
    "target", 0.8, "learning: the validation accuracy to be reached."
)
THREADS = flags.DEFINE_integer(
    "threads", None, "Of each side. Default: as many as CPUs.", lower_bound=1
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The result file. Default: experiments/results/benchmark.json, or with "
    "--quick none.",
)
WORKDIR = flags.DEFINE_string(
    "workdir", "runs/benchmark", "Where time_to_accuracy keeps its runs."
)
ALIASES = {"levers": LEVERS}
TABLES = Path("experiments/tables.json")


def _find_dataset():
    """Omniglot where it is prepared, else the glyphs."""
    if QUICK_MODE.value:
        return "glyphs/tiny"
    place = cli.DATA_DIR.value or "~/tensorflow_datasets"
    is_there = (Path(place).expanduser() / "omniglot").is_dir()
    return "omniglot" if is_there else "glyphs"


def _make_options(folder):
    options = Options(
        folder=folder,
        dataset=_find_dataset(),
        data_dir=cli.DATA_DIR.value,
        threads=THREADS.value or os.cpu_count(),
        target=TARGET.value,
    )
    if QUICK_MODE.value:
        options = dataclasses.replace(options, **QUICK)
    return options


def _origin(options):
    """What every line carries: machine, versions, threads, data, date."""
    torch = None
    if importlib.util.find_spec("torch"):
        torch = importlib.metadata.version("torch")
    now = datetime.datetime.now(datetime.UTC)
    return describe_origin() | {
        "torch": torch,
        "threads": options.threads,
        "dataset": options.dataset,
        "quick": QUICK_MODE.value,
        "date": now.isoformat(timespec="minutes"),
    }


def _keep(path, lines):
    """Puts lines into the result file, beside what is there of others."""
    before = json.loads(path.read_text())["benchmark"] if path.exists() else {}
    text = json.dumps({"benchmark": before | lines}, indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def main():
    """Measures the rows, prints the table, and writes the lines."""
    names = [x for name in ROWS.value for x in ALIASES.get(name, (name,))]
    unknown = [name for name in names if name not in rows.ROWS]
    if unknown or not TABLES.exists():
        raise InputError(
            f"--rows has {unknown[0]!r}; expected of {', '.join(rows.ROWS)}."
            if unknown
            else f"{TABLES} is not there: run this in the repository's root."
        )
    tables = [
        benchmark_table.Comparison.load(TABLES, name)
        for name in ("benchmark", "profile", "levers")
    ]
    path = OUTPUT.value or (None if QUICK_MODE.value else tables[0].path)
    with tempfile.TemporaryDirectory() as folder:
        options = _make_options(folder)
        origin = _origin(options)
        print(f"Drawings: {options.dataset}. Threads: {options.threads}.")
        if not origin["torch"]:
            print("PyTorch is not installed: no rival; see extra benchmark.")
        rows.prepare(options, names)
        done = {}
        for name in names:
            lines = rows.measure(
                name,
                options,
                [row for table in tables for row in table.rows],
                processes=PROCESSES.value,
                rounds=ROUNDS.value,
                seeds=[int(seed) for seed in SEEDS.value],
                workdir=WORKDIR.value,
                has_rival=origin["torch"] is not None,
                quick=QUICK_MODE.value,
            )
            done |= {key: line | origin for key, line in lines.items()}
            if path:  # after each row, lest an interruption costs them all
                _keep(Path(path), done)
    print(*filter(None, (table.to_text(done) for table in tables)), sep="\n")
    if path:
        print(f"Written to {path}")


if __name__ == "__main__":
    cli.run(main)
