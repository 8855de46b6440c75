"""Text that people read: tables, numbers, results in words."""

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence

from koch_siamese.evaluation.verification import (
    MIN_CLASSES,
    min_different_pairs,
)
from koch_siamese.inference.gallery import Answer, Verdict

FEW_CHARACTERS = 20  # fewer to validate on do not say much
MANY_CLASSES = 100  # of which the worst few would not say much
NUM_WORST_CLASSES = 3


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts, the first of them the header, as aligned columns."""
    rows = [[to_printable(cell) for cell in row] for row in rows]
    widths = [
        max(map(count_columns, column)) for column in zip(*rows, strict=True)
    ]
    return "\n".join("  ".join(map(_pad, row, widths)).rstrip() for row in rows)


def count_columns(text: str) -> int:
    """The columns that a text takes in a terminal: two for a kanji."""
    return sum(
        0
        if unicodedata.combining(character)
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _pad(text, width):
    return text + " " * (width - count_columns(text))


def format_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts, the first of them the header, as a table in Markdown."""
    header, *rest = rows
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (header, ["---"] * len(header), *rest)
    )


def to_printable(text: str) -> str:
    """A user's name on one line: what does not print becomes an escape."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def format_percent(share: float) -> str:
    """A share in percent, with one or two digits behind the point."""
    return f"{100 * share:.2f}".removesuffix("0")


def format_duration(seconds: float | None) -> str:
    """Minutes and seconds, from an hour on hours and minutes."""
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s"


def format_results(results: Sequence[Mapping]) -> str:
    """Formats results of protocols as a table, a line each."""
    rows = [
        (
            "protocol",
            "data set",
            "ways",
            "shots",
            "trials",
            "accuracy",
            "95 % interval",
            "nearest neighbor",
        )
    ]
    for result in results:
        low, high = result["ci95"]
        rows.append(
            (
                result["protocol"],
                f"{result['dataset']} {result['split']}"
                + (" (closed set)" if result.get("closed_set") else ""),
                str(result["ways"] or "-"),
                str(result["shots"] or "-"),
                str(result["num_trials"]),
                f"{result['accuracy']:.2%}",
                f"{low:.1%} to {high:.1%}",
                f"{result['nearest_neighbour']:.2%}",
            )
        )
    parts = [format_table(rows)]
    for result in results:
        if result.get("readings"):
            parts.append("\n" + _format_readings(result["readings"]) + "\n")
        if "roc_auc" in result:
            parts += _format_verification(result)
        parts += _format_limits(result)
    return "\n".join(parts)


def _format_limits(result):
    """Lines on what a figure does not say."""
    if result.get("closed_set"):
        yield (
            f"{result['protocol']}: a closed set: other images of these "
            "classes were trained on, so this is no one-shot accuracy on new "
            "classes"
        )
    num_classes = result.get("num_classes", FEW_CHARACTERS)
    if num_classes < FEW_CHARACTERS and result["ways"]:
        yield (
            f"{result['protocol']}: only {num_classes} classes to test on, and "
            f"a guess among {result['ways']} ways is right in "
            f"{1 / result['ways']:.1%}: the interval is of other trials on "
            "these classes, not of other classes"
        )


def _format_verification(result):
    """Lines on what does not depend on a threshold; older results have one."""
    auc_interval = _format_interval(result.get("roc_auc_ci95"), ".4f")
    error_interval = _format_interval(result.get("equal_error_rate_ci95"))
    yield (
        f"{result['protocol']}: ROC AUC {result['roc_auc']:.4f}{auc_interval}, "
        f"equal error rate {result['equal_error_rate']:.2%}{error_interval}"
    )
    if result.get("tar_at_far"):
        rates = [
            f"at {100 * float(rate):g}% false accepts: "
            + _format_tar(float(rate), value, result["num_different_pairs"])
            for rate, value in result["tar_at_far"].items()
        ]
        yield f"true accept rate {', '.join(rates)}"
    num_classes = result.get("num_classes")
    if num_classes and not auc_interval:
        yield (
            f"no 95 % intervals: they need at least {MIN_CLASSES} classes; "
            f"there are {num_classes}"
        )


def _format_tar(rate, value, num_different):
    if value["tar"] is None:
        return (
            f"needs at least {min_different_pairs(rate)} different pairs; "
            f"there are {num_different}"
        )
    return f"{value['tar']:.2%}{_format_interval(value['ci95'])}"


def _format_interval(ci95, form=".1%"):
    """An interval in brackets, if there is one."""
    if not ci95:
        return ""
    low, high = ci95
    return f" ({low:{form}} to {high:{form}})"


def format_worst_classes(classes: Sequence[Mapping]) -> str:
    """Names the few classes with the lowest accuracy, in a line.

    Args:
        classes: see `protocols.Evaluator.list_classes`.

    Returns:
        Nothing where there are more than `MANY_CLASSES`, or no mistakes.
    """
    wrong = [row for row in classes if row["accuracy"] < 1]
    if len(classes) > MANY_CLASSES or not wrong:
        return ""
    worst = sorted(wrong, key=lambda row: row["accuracy"])[:NUM_WORST_CLASSES]
    listed = ", ".join(
        f"{to_printable(row['class'])} {row['accuracy']:.1%} of "
        f"{row['num_trials']}"
        for row in worst
    )
    return f"classes with the lowest accuracy: {listed}"


def format_model_card(flags: str, results: Sequence[Mapping]) -> str:
    """Formats what a run tells of its model, in Markdown.

    Args:
        flags: the text of `train.flags`.
        results: of its protocols.
    """
    parts = [
        "# A siamese model of koch_siamese",
        "Trained by `python -m koch_siamese.train` with the flags",
        textwrap.indent(flags.strip(), " " * 4),
    ]
    if results:
        rows = format_results(results)
        parts += ["and evaluated:", textwrap.indent(rows, " " * 4)]
    return "\n\n".join(parts) + "\n"


def _format_readings(readings):
    """A table of what the paper's test of verification can have been."""
    rows = [
        (
            "drawers",
            "different pairs",
            "accuracy",
            "95 % interval",
            "ROC AUC",
            "EER",
        )
    ]
    for reading in readings:
        low, high = reading["ci95"]
        rows.append(
            (
                reading["drawers"],
                reading["different_pairs"].replace("_", " "),
                f"{reading['accuracy']:.2%}",
                f"{low:.1%} to {high:.1%}",
                f"{reading['roc_auc']:.4f}",
                f"{reading['equal_error_rate']:.2%}",
            )
        )
    return format_table(rows)


def format_thresholds(report: Mapping) -> str:
    """Describes the thresholds of a run, from `results/thresholds.json`."""
    same, absent = report["same"], report["none_of_these"]
    lines = [
        f"same: from a score of {same['logit']:.2f}; {same['accuracy']:.1%} of "
        f"{same['num_pairs']} validation pairs are classified correctly",
        f"none of these: below {absent['logit']:.2f} with {absent['ways']} "
        f"candidates; {absent['false_accepts']:.1%} of absent characters get a "
        f"name, {absent['right_where_present']:.1%} of present ones get the "
        "right one",
    ]
    num_characters = report.get("num_characters", FEW_CHARACTERS)
    if num_characters < FEW_CHARACTERS:
        lines.append(
            f"Both were measured on only {num_characters} validation "
            "characters: too few to rely on, above all for none of these."
        )
    if report.get("closed_set"):
        lines.append(
            "Both were measured on new images of the classes trained on: of "
            "new classes they say little."
        )
    return "\n".join(lines)


def format_answers(answers: Mapping[str, Answer], top_k: int = 2) -> str:
    """Formats the answers to queries as a table, a line each.

    An answer that is withheld shows the score that it lacks, no probability.
    """
    others = "runner-up" if top_k <= 2 else "runners-up"
    rows = [("query", "answer", "score", "probability", others)]
    for query, answer in answers.items():
        best, rest = answer.best, answer.candidates[1 : max(top_k, 2)]
        listed = ", ".join(f"{x.name} ({x.score:.2f})" for x in rest)
        if answer.name is None:
            name = f"none of these (best: {best.name})"
            score = f"{best.score:.2f}, {answer.threshold:.2f} needed"
            probability = "-"
        else:
            name, score = answer.name, f"{best.score:.2f}"
            probability = _format_probability(best.probability)
        rows.append((str(query), name, score, probability, listed or "-"))
    return format_table(rows)


def _format_probability(probability):
    return "-" if probability is None else f"{probability:.0%}"


def format_verdict(verdict: Verdict) -> str:
    """Formats what `verify` found as a sentence."""
    if verdict.same is None:
        return f"score {verdict.score:.2f}"
    text = "same" if verdict.same else "different"
    if verdict.probability is None:
        text += ":"
    else:
        text += f": {verdict.probability:.0%} probable to be the same;"
    return (
        f"{text} score {verdict.score:.2f}, same from {verdict.threshold:.2f}"
    )


def format_runs(runs: Sequence[Mapping]) -> str:
    """Formats the runs of a search as a table, best first."""
    rows = [("run", "accuracy", "epochs", "seconds", "")]
    for run in sorted(runs, key=lambda x: -x["accuracy"]):
        rows.append(
            (
                str(run["run"]),
                f"{run['accuracy']:.2%}",
                str(run["epochs"]),
                f"{run['seconds']:.0f}",
                "" if run["finished"] else "given up",
            )
        )
    return format_table(rows)


def format_exports(exports: Sequence[Mapping]) -> str:
    """Formats exported files as a table, a line each.

    Args:
        exports: `kind`, `path`, `size` in bytes, and `difference`, the largest
            one from the model.
    """
    rows = [("format", "file", "size", "max difference")]
    for export in exports:
        rows.append(
            (
                export["kind"],
                str(export["path"]),
                f"{export['size'] / 1e6:.2f} MB",
                f"{export['difference']:.1e}",
            )
        )
    return format_table(rows)
