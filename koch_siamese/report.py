r"""Writes tables of results into the documents.

    python -m koch_siamese.report
    python -m koch_siamese.report --add=runs/omniglot_fast

--add copies the results of a run to those that the tables are made from.
"""

from pathlib import Path

from absl import flags

from koch_siamese import cli
from koch_siamese.errors import InputError
from koch_siamese.paths import expand_home
from koch_siamese.reporting import charts, figures, result_tables
from koch_siamese.runs.directory import Run
from koch_siamese.runs.flagfiles import read_flagfile
from koch_siamese.runs.path_flags import define_path
from koch_siamese.runs.results import read_json, read_text, write_text
from koch_siamese.runs.settings import (
    find_changed,
    format_flag,
    list_stopping_settings,
)

ADD = flags.DEFINE_multi_string("add", [], "A run whose results are added")
CHECK = flags.DEFINE_bool(
    "check", False, "Write nothing, and fail if a document is out of date."
)
RESULTS = define_path(
    "results", "experiments/results", "The folder of result files."
)
DOCUMENTS = flags.DEFINE_list(
    "documents",
    [
        "README.md",
        "experiments/README.md",
        "experiments/ablations.md",
        "experiments/benchmark/README.md",
        "experiments/emoji.md",
        "experiments/search.md",
        "koch_siamese/models/pretrained.md",
        "koch_siamese/models/pretrained_large.md",
    ],
    "Markdown files with tables between <!-- report: TABLE --> and "
    "<!-- end of report -->.",
)
TABLES = define_path(
    "tables", "experiments/tables.json", "The definitions of the tables."
)


def _require_there():
    """Checks that the files exist, by default in the root of the repository."""
    paths = [Path(RESULTS.value)]
    if not ADD.value:
        paths += map(Path, (TABLES.value, *DOCUMENTS.value))
    for path in paths:
        if not path.exists():
            raise InputError(
                f"{path} does not exist: run this in the root of the "
                "repository, or give --results, --tables and --documents."
            )


def _find_flagfile(run):
    """Finds the flagfile of a run, which must not have changed since."""
    if not run.flags.is_file():
        raise InputError(
            f"--add={run.path} is not a run: expected a directory with "
            f"{run.flags.name}, which koch_siamese.train writes."
        )
    flagfile = run.read_flagfile_name()
    if not flagfile:
        raise InputError(
            f"--add={run.path} was trained without --flagfile. If a flagfile "
            "has its settings, repeat the training command with it."
        )
    if not Path(flagfile).is_file():
        raise InputError(
            f"{flagfile}, the flagfile of {run.path}, does not exist: run this "
            "in the folder where the training was started."
        )
    settings, _ = read_flagfile(flagfile)
    own = run.read_settings()
    free = (*result_tables.FREE_SETTINGS, *list_stopping_settings(own))
    changed = [x for x in find_changed(own, settings) if x not in free]
    if changed:
        differs = " ".join(format_flag(own, name) for name in changed)
        raise InputError(
            f"--add={run.path} was not trained with {flagfile}: it has "
            f"{differs}. Write a flagfile with its settings."
        )
    return flagfile


def _add(path):
    """Copies the results of a run's own model."""
    run = Run(path)
    flagfile = _find_flagfile(run)
    prefix = f"{Path(flagfile).stem}_seed{run.read_settings().seed}"
    for source in sorted(run.results.glob("*.json")):
        result = read_json(source)
        origin = result.get("flagfile")
        if "protocol" in result and origin != flagfile:
            whose = origin or f"{result['model']}, without a flagfile"
            print(
                f"Not added: {source} is a result of {whose}, not of "
                f"{flagfile}."
            )
            continue
        if "protocol" in result and not run.is_current(result):
            print(
                f"Not added: {source} is of an earlier epoch: evaluate the run "
                "again."
            )
            continue
        target = Path(RESULTS.value, f"{prefix}_{source.name}")
        write_text(target, read_text(source))
        print(f"Added {target}")


def _write_documents(tables, results):
    """Updates the documents; with --check, fails if one is out of date.

    Nothing is written unless all documents can be.
    """

    def make_table(marker):
        name, _, form = marker.partition(", ")
        if name not in tables or form not in ("", "short"):
            raise InputError(
                f"There is no table {marker!r} for <!-- report: {marker} -->; "
                f"expected one of {', '.join(tables)}, or one of them with "
                "', short'."
            )
        return tables[name].to_markdown(results, short=form == "short")

    changed = {}
    for path in map(Path, DOCUMENTS.value):
        before = read_text(path)
        after = result_tables.fill_document(before, str(path), make_table)
        if after != before:
            changed[path] = after
    names = ", ".join(map(str, changed))
    if changed and CHECK.value:
        raise InputError(
            f"Out of date: {names}. Run python -m koch_siamese.report."
        )
    for path, text in changed.items():
        write_text(path, text)
    print(f"Updated: {names}" if changed else "All documents are up to date.")


def _print_tables(tables, results):
    """Prints all tables, and the results that are in none of them."""
    unused = set(results)
    for name, table in tables.items():
        print(f"{name}\n\n{table.to_markdown(results)}\n")
        for row in table.rows:
            unused.difference_update(table.select(row, results))
    for name in sorted(unused):
        print(f"In no table: {name}")


def _draw_figures(tables, results):
    """Draws our accuracy and the paper's by the number of training pairs."""
    folder = Path(TABLES.value).parent
    for table in tables.values():
        if getattr(table, "figure", None):
            figure = charts.draw_verification(
                [
                    _describe_pairs(table, row, folder, results)
                    for row in table.rows
                    if row.flagfile and row.published
                ]
            )
            figures.save_figure(figure, folder / table.figure)


def _describe_pairs(table, row, folder, results):
    """Describes a row for `charts.draw_verification`."""
    settings, _ = read_flagfile(folder / f"{row.flagfile}.flags")
    readings, trained = [], 0
    for result in table.select(row, results).values():
        trained = result["training_epochs"]
        # Older results have one reading.
        own = {"drawers": "own", "different_pairs": "within_alphabet"}
        readings += result.get("readings", [result | own])
    return {
        "pairs": settings.num_pairs,
        "distorted": settings.num_copies > 0,
        "searched": settings.relative_updates,
        "published": row.published,
        "readings": readings,
        "epochs": f"{trained} of {settings.epochs}",
    }


def main():
    """Adds results, or writes the tables."""
    _require_there()
    if ADD.value:
        for path in map(expand_home, ADD.value):
            _add(path)
        return
    tables = result_tables.load_tables(Path(TABLES.value))
    results = result_tables.load_results(Path(RESULTS.value))
    if not CHECK.value:
        _print_tables(tables, results)
        _draw_figures(tables, results)
    _write_documents(tables, results)


if __name__ == "__main__":
    cli.run(main, without=cli.DATA_FLAGS + cli.LIMIT_FLAGS)
