"""Tables of results in Markdown, and their places in documents.

The rows are defined in a file such as experiments/tables.json; our numbers come
from result files.
"""

import dataclasses
import itertools
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean

from koch_siamese.data.characters import are_same_images
from koch_siamese.errors import InputError, shorten
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.reporting.benchmark_table import Comparison
from koch_siamese.reporting.text import (
    format_duration,
    format_markdown,
    format_percent,
)
from koch_siamese.runs.results import read_json

COLUMNS = {
    "what": "what",
    "ours": "ours, % (95 % interval)",
    "published": "published, %",
    "roc_auc": "ROC AUC",
    "equal_error_rate": "equal error rate, %",
    "anywhere": "different pairs from anywhere, %",
    "lake": "Lake's drawers, %",
    "lake_anywhere": "Lake's drawers, different pairs from anywhere, %",
    "trials": "trials",
    "seeds": "seeds",
    "training": "training",
    "machine": "machine",
    "commit": "commit",
    "command": "command",
}
# Columns of other readings of the paper's test: whether they use Lake's
# drawers, and how different pairs are drawn; see `evaluator.Evaluator`.
READINGS = {
    "anywhere": (False, "anywhere"),
    "lake": (True, "within_alphabet"),
    "lake_anywhere": (True, "anywhere"),
}
# Columns of tables that ask for them.
RARE_COLUMNS = ("roc_auc", "equal_error_rate", *READINGS)
SHORT_COLUMNS = ("what", "ours", "published", "command")

# The keys that a result needs, and their types.
NEEDED = {
    "accuracy": float,
    "num_trials": int,
    "seed": int,
    "model": str,
    "machine": str,
    "commit": str | None,
}

# Settings in which a run may differ from its flagfile; other columns show them.
FREE_SETTINGS = ("seed", "protocols", "num_trials")

_START = re.compile(r"<!--\s*report:\s*(.*?)\s*-->")
_END = re.compile(r"<!--\s*end of report\s*-->")

Results = Mapping[str, Mapping[str, object]]  # keyed by file name


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: our flagfile, a baseline, or a published number.

    Attributes:
        what: what was measured.
        flagfile: the name of the flagfile, without `.flags`; it is in the
            folder of the tables.
        model: instead of a flagfile, a baseline such as `hausdorff`.
        measure: the key in a result that has the accuracy.
        published: what the paper or another source reports, in %.
        short: whether the row is in the short form of the table.
        results: keys and values that a result must have for this row.
    """

    what: str
    flagfile: str | None = None
    model: str | None = None
    measure: str = "accuracy"
    published: float | None = None
    short: bool = False
    results: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def is_trained(self) -> bool:
        """Whether the row has the accuracy of one of our trainings."""
        return self.flagfile is not None and self.measure == "accuracy"

    def is_of(self, result: Mapping[str, object]) -> bool:
        """Whether a result is of the row's flagfile, or of its baseline."""
        flagfile = result.get("flagfile")
        if self.flagfile:
            return Path(flagfile or "").name == f"{self.flagfile}.flags"
        return self.model is not None and (
            (flagfile, result["model"]) == (None, self.model)
        )


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: its rows, and what their results have in common.

    Attributes:
        results: keys and values that a result must have, such as its protocol.
        rows: in their order.
        columns: those of `RARE_COLUMNS` that the table has.
        figure: the file of a chart of the rows, if there is one.
    """

    results: Mapping[str, object]
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()
    figure: str | None = None

    def select(self, row: Row, results: Results) -> dict[str, dict]:
        """Selects the results of a row, one for each seed, by file name.

        Raises:
            InputError: two results have the same seed, or different images or
                numbers of trials.
        """
        wanted = {**self.results, **row.results}
        suitable = [
            (name, result)
            for name, result in results.items()
            if wanted.items() <= result.items() and row.is_of(result)
        ]
        chosen = dict(sorted(suitable, key=lambda item: _seed(item[1])))
        images = (x.get("data_fingerprint", "") for x in chosen.values())
        if not are_same_images(images):
            raise InputError(
                f"{', '.join(chosen)} belong to one row, but are of different "
                "images: add the data_fingerprint of some of them to the "
                "`results` of the row."
            )
        for name, other in itertools.pairwise(chosen):
            seed = _seed(chosen[name])
            if seed == _seed(chosen[other]):
                raise InputError(
                    f"{name} and {other} are both of {_command(row)} with "
                    f"seed {seed}: keep one of them."
                )
        if len({result["num_trials"] for result in chosen.values()}) > 1:
            raise InputError(
                f"{', '.join(chosen)} belong to one row, but have different "
                "numbers of trials: measure all with the same --num_trials."
            )
        return chosen

    def to_markdown(self, results: Results, *, short: bool = False) -> str:
        """Formats the table in Markdown.

        Args:
            results: see `load_results`.
            short: whether to write only `SHORT_COLUMNS`, and only short rows
                that have a number.
        """
        columns = [
            column
            for column in (SHORT_COLUMNS if short else COLUMNS)
            if column not in RARE_COLUMNS or column in self.columns
        ]
        lines = [[COLUMNS[column] for column in columns]]
        for row in self.rows:
            chosen = list(self.select(row, results).values())
            if short and not (row.short and (chosen or row.published)):
                continue
            cells = _cells(row, chosen)
            lines.append([cells.get(column, "") for column in columns])
        return format_markdown(lines)


def load_tables(path: Path) -> dict[str, Table | Comparison]:
    """Reads the definitions of tables, by name.

    A table is an object with `rows`, a list of objects with the attributes of
    `Row`, and `results`, see `Table`; or it has `comparison`, see `Comparison`.

    Raises:
        InputError: the file does not exist, defines no tables, or has a row of
            a flagfile that is not beside it.
    """
    try:
        tables = {
            name: _make_table(table) for name, table in read_json(path).items()
        }
    except InputError:  # already says what is wrong
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {shorten(error)}"
        raise InputError(
            f"{path} holds no tables: {reason}. For its format, see "
            f"help('{__name__}.load_tables')."
        ) from error
    for table in tables.values():
        for row in table.rows if isinstance(table, Table) else ():
            flagfile = path.with_name(f"{row.flagfile}.flags")
            if row.flagfile and not flagfile.is_file():
                raise InputError(
                    f"{path} has a row of {flagfile.name}, which is not in "
                    f"{path.parent}: put it there, or correct its name."
                )
    return tables


def _make_table(table):
    if "comparison" in table:
        return Comparison.from_json(table)
    return Table(
        table["results"],
        tuple(Row(**row) for row in table["rows"]),
        tuple(table.get("columns", ())),
        table.get("figure"),
    )


def load_results(folder: Path) -> dict[str, dict]:
    """Reads results of protocols and of the benchmark in a folder, by name.

    Raises:
        InputError: a file is not JSON, or a result lacks a key.
    """
    results = {}
    for path in sorted(folder.glob("*.json")):
        result = read_json(path)
        if not isinstance(result, dict):
            continue
        if "protocol" in result:
            _require_whole(result, path)
        if "protocol" in result or "benchmark" in result:
            results[path.name] = result
    return results


def _require_whole(result, path):
    """Checks that a result has the keys that tables need."""
    for name, kind in NEEDED.items():
        if not isinstance(result.get(name), kind):
            raise InputError(
                f"{path} has {name} {result.get(name)!r}: expected a result as "
                "koch_siamese.evaluate writes it. Measure it again, or remove "
                "it."
            )


def _cells(row: Row, results: list[dict]) -> dict[str, str]:
    """Formats the cells of a row, by column."""
    cells = {"what": row.what}
    closed = {result.get("closed_set", False) for result in results}
    if True in closed:
        cells["what"] += " (closed set: other images of these were trained on)"
    elif None in closed:
        cells["what"] += " (may be a closed set)"
    if row.published is not None:
        cells["published"] = format_percent(row.published / 100)
    if row.flagfile or row.model:
        cells |= {"ours": "not run", "command": f"`{_command(row)}`"}
    if results:
        # Without training, results do not depend on the training's seed.
        cells |= _measured(row, results if row.is_trained else results[:1])
    return cells


def _measured(row, results):
    """Formats the combined results, which have the same number of trials."""
    shares = [result[row.measure] for result in results]
    num_trials = results[0]["num_trials"]
    several = f"{len(results)} × " if len(results) > 1 else ""  # noqa: RUF001
    cells = {
        "ours": _format_share(shares, _count_trials(results)),
        "trials": f"{several}{num_trials}",
    }
    for key in ("machine", "commit"):
        cells[key] = _list(x.get(f"training_{key}") or x[key] for x in results)
    if row.is_trained:
        cells |= _of_seeds(shares, results)
    if row.measure == "accuracy" and "roc_auc" in results[0]:
        area, rate = (
            fmean(result[key] for result in results)
            for key in ("roc_auc", "equal_error_rate")
        )
        cells["roc_auc"] = f"{area:.4f}"
        cells["equal_error_rate"] = format_percent(rate)
        cells |= _read(results)
    return cells


def _read(results):
    """Formats the accuracies by other readings, if all results have them."""
    cells = {}
    for column, (is_lake, different_pairs) in READINGS.items():
        shares = [
            reading["accuracy"]
            for result in results
            for reading in result.get("readings", ())
            if (reading["drawers"] == "lake") == is_lake
            and reading["different_pairs"] == different_pairs
        ]
        if len(shares) == len(results):
            cells[column] = _format_share(shares, _count_trials(results))
    return cells


def _count_trials(results):
    """Counts different trials; several trainings may have answered the same."""
    is_fixed = results[0]["protocol"] == "lake"
    seeds = {None if is_fixed else result["seed"] for result in results}
    return len(seeds) * results[0]["num_trials"]


def _format_share(shares, num_trials):
    """Formats the mean of shares, and the interval for so many trials."""
    share = fmean(shares)
    low, high = wilson_interval(num_trials * share, num_trials)
    return f"**{format_percent(share)}** ({100 * low:.1f} to {100 * high:.1f})"


def _of_seeds(shares, results):
    """Formats the seeds, and the accuracy and training time of each."""
    seeds = ", ".join(str(_seed(result)) for result in results)
    if len(results) > 1:
        seeds += ": " + ", ".join(map(format_percent, shares))
    return {"seeds": seeds, "training": ", ".join(map(_training, results))}


def _training(result):
    """Formats the training time, the epochs, and flags beside the flagfile.

    Older results do not have all of them.
    """
    details = []
    epochs = result.get("training_epochs")
    if epochs:
        planned = result.get("training_planned_epochs", epochs)
        early = f" of {planned}" if epochs != planned else ""
        details.append(f"epochs: {epochs}{early}")
    details += [
        f"`{flag}`"
        for flag in shlex.split(result.get("training_flags") or "")
        if flag.removeprefix("--").partition("=")[0] not in FREE_SETTINGS
    ]
    time = format_duration(result.get("training_seconds"))
    return f"{time} ({'; '.join(details)})" if details else time


def _seed(result):
    """The seed of the training; in older files, also that of the trials."""
    return result.get("training_seed", result["seed"])


def _command(row):
    if row.flagfile:
        return f"{row.flagfile}.flags"
    return f"evaluate --model={row.model}"


def _list(values):
    return ", ".join(dict.fromkeys(str(value or "?") for value in values))


def fill_document(
    text: str, name: str, make_table: Callable[[str], str]
) -> str:
    """Puts tables between the markers of a Markdown document.

    Args:
        text: with lines `<!-- report: TABLE -->`, or `<!-- report: TABLE,
            short -->`, and after each a line `<!-- end of report -->`; what
            is between them is replaced.
        name: the name of the document, for errors.
        make_table: makes the Markdown of the table that a marker names.

    Raises:
        InputError: a marker is unpaired, or there are no markers.
    """
    lines, marker, was_filled = [], None, False
    for line in text.split("\n"):
        start, end = (x.fullmatch(line.strip()) for x in (_START, _END))
        if (start and marker) or (end and not marker):
            raise _unpaired(name, marker or line)
        if start:
            marker, was_filled = line, True
            lines += [line, "", make_table(start[1]), ""]
        elif end:
            marker = None
        if not marker:
            lines.append(line)
    if marker or not was_filled:
        raise _unpaired(name, marker)
    return "\n".join(lines)


def _unpaired(name, marker):
    expected = "expected <!-- report: TABLE --> and <!-- end of report -->"
    return InputError(
        f"{name} has {marker.strip()} without its other marker: {expected}."
        if marker
        else f"{name} has no place for a table: {expected}."
    )
