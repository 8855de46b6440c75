"""The table of a benchmark: our times beside those of rivals."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from koch_siamese.reporting.text import format_markdown, format_table
from koch_siamese.runs.results import read_json

COLUMNS = {
    "what": "what",
    "ours": "ours",
    "rival": "PyTorch as written",
    "ratio_rival": "times better",
    "rival_best": "PyTorch, best settings",
    "ratio_rival_best": "times better",
    "aim": "aim",
    "rounds": "rounds",
    "machine": "machine",
    "commit": "commit",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        row: the row of the benchmark that measures it.
        line: its key in the result file.
        what: what was measured.
        unit: the unit of the values.
        aim: the value aimed at.
        higher: whether higher is better.
        statistic: how rounds are summarized: `median` or `mean`.
    """

    row: str
    line: str
    what: str
    unit: str
    aim: str = ""
    higher: bool = False
    statistic: str = "median"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table of rows whose numbers are in one result file.

    Attributes:
        file: the name of that file in the folder of results.
        rows: in their order.
        columns: headings that replace those of `COLUMNS`; an empty heading
            removes the column.
    """

    file: str
    rows: tuple[Row, ...]
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, table: Mapping) -> "Comparison":
        """Makes a table from an entry of tables.json with `comparison`."""
        rows = tuple(Row(**row) for row in table["rows"])
        return cls(table["comparison"], rows, table.get("columns", {}))

    @classmethod
    def load(cls, path: Path, name: str) -> "Comparison":
        """Reads one of the tables in a file."""
        return cls.from_json(read_json(path)[name])

    @property
    def path(self) -> str:
        """The path of the result file, from the root of the repository."""
        return f"experiments/results/{self.file}"

    def select(self, row: Row, results: Mapping) -> dict[str, dict]:
        """Selects the result file, if it has a number for the row."""
        result = results.get(self.file, {"benchmark": {}})
        return {self.file: result} if row.line in result["benchmark"] else {}

    def to_markdown(self, results: Mapping, *, short: bool = False) -> str:
        """Formats the table in Markdown.

        Args:
            results: see `result_tables.load_results`.
            short: whether to leave out machine, commit and rounds.
        """
        lines = results.get(self.file, {"benchmark": {}})["benchmark"]
        left_out = ("rounds", "machine", "commit") if short else ()
        return format_markdown(self._cells(lines, left_out))

    def to_text(self, lines: Mapping) -> str:
        """Formats the measured rows as a table for a terminal."""
        measured = dataclasses.replace(
            self, rows=tuple(row for row in self.rows if row.line in lines)
        )
        if not measured.rows:
            return ""
        return format_table(measured._cells(lines, ("machine", "commit")))

    def _cells(self, lines, left_out):
        headings = COLUMNS | self.columns
        columns = [
            name for name in COLUMNS if name not in left_out and headings[name]
        ]
        rows = [[headings[name] for name in columns]]
        for row in self.rows:
            cells = _describe(row, lines.get(row.line))
            rows.append([cells.get(name, "") for name in columns])
        return rows


def _describe(row: Row, line: Mapping | None) -> dict[str, str]:
    """Formats the cells of a row, by column."""
    cells = {"what": f"{row.what}, {row.unit}", "aim": row.aim}
    if line is None:
        return cells | {"ours": "not run"}
    # `otherwise`, another way of ours, is shown in place of the rival.
    line = {
        key.replace("otherwise", "rival"): value for key, value in line.items()
    }
    for name in COLUMNS:
        if isinstance(line.get(name), Mapping):
            cells[name] = _spread(line[name], row.statistic)
    cells["ours"] = f"**{cells['ours'].replace(' (', '** (', 1)}"
    cells["rounds"] = str(line["rounds"])
    return cells | {name: str(line[name]) for name in ("machine", "commit")}


def _spread(summary, statistic):
    """Formats the median or mean of the rounds, and their range in brackets."""
    middle, low, high = (
        _digits(summary[key]) for key in (statistic, "low", "high")
    )
    return f"{middle} ({low} to {high})"


def _digits(value):
    """Formats with three significant digits, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")
