"""Formats text for people: tables, numbers, results in words."""

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence

from koch_siamese.data.characters import are_same_images
from koch_siamese.evaluation.calibration import FEW_CHARACTERS
from koch_siamese.evaluation.metrics import MIN_CLASSES
from koch_siamese.evaluation.verification import min_different_pairs
from koch_siamese.inference.gallery import Answer, Verdict

MANY_CLASSES = 100  # with more, the worst few say little
NUM_WORST_CLASSES = 3


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Formats rows of cells as aligned columns; the first row is the header."""
    rows = [[to_printable(cell) for cell in row] for row in rows]
    widths = [
        max(map(count_columns, column)) for column in zip(*rows, strict=True)
    ]
    return "\n".join("  ".join(map(_pad, row, widths)).rstrip() for row in rows)


def _format_records(records: Sequence[Mapping[str, str]]) -> str:
    """Formats records with the same keys, which are the header, as a table."""
    return format_table([tuple(records[0]), *(x.values() for x in records)])


def count_columns(text: str) -> int:
    """Counts the columns that a text takes in a terminal, two for a kanji."""
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def _pad(text, width):
    return text + " " * (width - count_columns(text))


def format_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Formats rows of cells as Markdown; the first row is the header."""
    header, *rest = rows
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (header, ["---"] * len(header), *rest)
    )


def to_printable(text: str) -> str:
    """Escapes unprintable characters, so that a name stays on one line."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def format_percent(share: float) -> str:
    """Formats a share in percent, with one or two decimals and no sign."""
    return f"{100 * share:.2f}".removesuffix("0")


def _percent(share, decimals=1):
    return "-" if share is None else f"{100 * share:.{decimals}f} %"


def format_duration(seconds: float | None) -> str:
    """Formats as minutes and seconds; from an hour on, hours and minutes."""
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s"


def format_results(results: Sequence[Mapping]) -> str:
    """Formats results of protocols as a table, one row each, and remarks."""
    records = [
        {
            "protocol": result["protocol"],
            "data set": f"{dataset} {result['split']}"
            + _describe_closed_set(result),
            "ways": str(result["ways"] or "-"),
            "shots": str(result["shots"] or "-"),
            "trials": str(result["num_trials"]),
            "accuracy": _percent(result["accuracy"], 2),
            "95 % interval": _format_range(*result["ci95"]),
            "nearest neighbor (pixels)": _percent(
                result["nearest_neighbour"], 2
            ),
        }
        for result, dataset in zip(
            results, _name_datasets(results), strict=True
        )
    ]
    parts = [_format_records(records)]
    for result in results:
        if result.get("readings"):
            parts.append("\n" + _format_readings(result["readings"]) + "\n")
        if "roc_auc" in result:
            parts += _format_verification(result)
        parts += _format_limits(result)
    return "\n".join(parts)


def _name_datasets(results):
    """Names the data sets of results; older ones do not name their folder.

    Different folders of the same name also have the start of their fingerprint.
    """
    folders = {}
    for result in results:
        images = folders.setdefault(result.get("data_dir"), set())
        images.add(result.get("data_fingerprint", ""))
    for result in results:
        folder = result.get("data_dir")
        name = result["dataset"] + (f"/{folder}" if folder else "")
        is_known = "data_fingerprint" in result
        if is_known and not are_same_images(folders[folder]):
            name += f" ({result['data_fingerprint'][:8]})"
        yield name


def _describe_closed_set(result):
    known = {True: " (closed set)", None: " (may be a closed set)"}
    return known.get(result.get("closed_set", False), "")


def _format_limits(result):
    """Describes what cannot be concluded from a result."""
    if result.get("closed_set"):
        yield (
            f"{result['protocol']} is measured on a closed set: the network "
            "was trained on other images of these classes, so this is not a "
            "one-shot accuracy on new classes"
        )
    num_classes = result.get("num_classes", FEW_CHARACTERS)
    if num_classes < FEW_CHARACTERS and result["ways"]:
        yield (
            f"{result['protocol']} has only {num_classes} test classes: the "
            "95 % interval is for other trials with these classes, not for "
            f"other classes. Guessing gets {_percent(1 / result['ways'])}"
        )


def _format_verification(result):
    """Describes the metrics that do not depend on a threshold.

    Older results only have a ROC AUC and an equal error rate.
    """
    auc_interval = _format_auc_interval(result.get("roc_auc_ci95"))
    error_interval = _format_interval(result.get("equal_error_rate_ci95"))
    yield (
        f"{result['protocol']}: ROC AUC {result['roc_auc']:.4f}{auc_interval}, "
        f"equal error rate {_percent(result['equal_error_rate'], 2)}"
        f"{error_interval}"
    )
    if result.get("tar_at_far"):
        rates = [
            f"at {100 * float(rate):g} % false accepts: "
            + _format_tar(float(rate), value, result["num_different_pairs"])
            for rate, value in result["tar_at_far"].items()
        ]
        yield f"true accept rate {', '.join(rates)}"
    if "num_classes" in result and not auc_interval:
        yield (
            "no 95 % intervals: they need pairs of at least "
            f"{MIN_CLASSES} classes"
        )


def _format_tar(rate, value, num_different):
    if value["tar"] is None:
        return (
            f"not measured (needs {min_different_pairs(rate):,} different "
            f"pairs, has {num_different:,})"
        )
    return f"{_percent(value['tar'], 2)}{_format_interval(value['ci95'])}"


def _format_range(low, high):
    return f"{100 * low:.1f} to {_percent(high)}"


def _format_interval(ci95):
    """Formats a 95 % interval of a share in brackets, if there is one."""
    return f" ({_format_range(*ci95)})" if ci95 else ""


def _format_auc_interval(ci95):
    """Formats a 95 % interval of an AUC in brackets, if there is one."""
    return f" ({ci95[0]:.4f} to {ci95[1]:.4f})" if ci95 else ""


def format_worst_classes(classes: Sequence[Mapping]) -> str:
    """Names the classes with the lowest accuracy in one line.

    Args:
        classes: see `evaluator.Evaluator.list_classes`.

    Returns:
        The line; empty if there are more than `MANY_CLASSES` classes, or no
            mistakes.
    """
    wrong = [row for row in classes if row["accuracy"] < 1]
    if len(classes) > MANY_CLASSES or not wrong:
        return ""
    worst = sorted(wrong, key=lambda row: row["accuracy"])[:NUM_WORST_CLASSES]
    listed = ", ".join(
        f"{to_printable(row['class'])} {_percent(row['accuracy'])} of "
        f"{row['num_trials']}"
        for row in worst
    )
    return f"classes with the lowest accuracy: {listed}"


def format_model_card(flags: str, results: Sequence[Mapping]) -> str:
    """Formats the model card of a run in Markdown.

    Args:
        flags: the text of `train.flags`.
        results: the result of each protocol that was measured.
    """
    parts = [
        "# Siamese model trained with koch_siamese",
        "Trained by `python -m koch_siamese.train` with these flags:",
        textwrap.indent(flags.strip(), " " * 4),
    ]
    if results:
        rows = format_results(results)
        parts += ["Results:", textwrap.indent(rows, " " * 4)]
    return "\n\n".join(parts) + "\n"


def _format_readings(readings):
    """Formats the four ways to read the paper's verification test."""
    records = [
        {
            "drawers": reading["drawers"],
            "different pairs": reading["different_pairs"].replace("_", " "),
            "accuracy": _percent(reading["accuracy"], 2),
            "95 % interval": _format_range(*reading["ci95"]),
            "for other classes": _format_range(*interval) if interval else "-",
            "ROC AUC": f"{reading['roc_auc']:.4f}",
            "EER": _percent(reading["equal_error_rate"], 2),
        }
        for reading in readings
        for interval in [reading.get("classes_ci95")]  # new in 0.2
    ]
    return _format_records(records)


def format_thresholds(report: Mapping) -> str:
    """Describes the thresholds of a run in two lines, and their limits.

    Args:
        report: the content of `results/thresholds.json`.
    """
    same, absent = report["same"], report["none_of_these"]
    lines = [
        f"accuracy on {same['num_pairs']:,} validation pairs: "
        f"{_percent(same['accuracy'])} (threshold {same['logit']:.2f})",
        f"threshold for a name among {absent['ways']} candidates: "
        f"{absent['logit']:.2f} (named correctly: "
        f"{_percent(absent['right_where_present'])} of known characters; "
        f"named: {_percent(absent['false_accepts'])} of unknown ones)",
    ]
    num_characters = report.get("num_characters", FEW_CHARACTERS)
    if num_characters < FEW_CHARACTERS:
        lines.append(
            f"Both thresholds were chosen on only {num_characters} validation "
            "characters, too few to rely on, above all for a name."
        )
    if report.get("closed_set"):
        lines.append(
            "Both thresholds were chosen on new images of the training "
            "classes; they say little about new classes."
        )
    return "\n".join(lines)


def format_answers(answers: Mapping[str, Answer], top_k: int = 2) -> str:
    """Formats the answers to queries as a table, one row each.

    A rejected query shows the threshold that its best candidate did not reach,
    and no probability.

    Args:
        answers: the answers, keyed by query, such as the path of an image.
        top_k: the number of candidates to list for each query.
    """
    others = {1: (), 2: ("runner-up",)}.get(top_k, ("runners-up",))
    rows = [("query", "answer", "score", "probability", *others)]
    for query, answer in answers.items():
        best, rest = answer.best, answer.candidates[1:top_k]
        listed = ", ".join(f"{x.name} ({x.score:.2f})" for x in rest)
        if answer.name is None:
            name = f"none of these (best: {best.name})"
            score = f"{best.score:.2f} (threshold {answer.threshold:.2f})"
            probability = "-"
        else:
            name, score = answer.name, f"{best.score:.2f}"
            probability = format_probability(best.probability)
        row = str(query), name, score, probability, listed or "-"
        rows.append(row[: len(rows[0])])
    return format_table(rows)


def format_probability(probability: float | None) -> str:
    """Formats a probability in whole percent; never rounds it to 0 or 100."""
    if probability is None:
        return "-"
    if probability < 0.01:
        return "< 1 %"
    if probability > 0.99:
        return "> 99 %"
    return _percent(probability, 0)


def format_verdict(verdict: Verdict) -> str:
    """Formats a verdict in one line."""
    if verdict.same is None:
        return f"score {verdict.score:.2f}"
    text = "same" if verdict.same else "different"
    text += f": score {verdict.score:.2f} (threshold {verdict.threshold:.2f})"
    if verdict.probability is not None:
        chance = format_probability(verdict.probability)
        text += f", probability of the same class {chance}"
    return text


def format_runs(runs: Sequence[Mapping]) -> str:
    """Formats the runs of a search as a table, best first."""
    records = [
        {
            "run": str(run["run"]),
            "accuracy": _percent(run["accuracy"], 2),
            "epochs": str(run["epochs"]),
            "seconds": f"{run['seconds']:.0f}",
            "": "" if run["finished"] else "stopped early",
        }
        for run in sorted(runs, key=lambda x: -x["accuracy"])
    ]
    return _format_records(records)


def format_exports(exports: Sequence[Mapping]) -> str:
    """Formats exported files as a table, one row each.

    Args:
        exports: `kind`, `path`, `size` in bytes, and `difference`, the largest
            absolute difference from the outputs of the model.
    """
    records = [
        {
            "format": export["kind"],
            "file": str(export["path"]),
            "size": f"{export['size'] / 1e6:.2f} MB",
            "max difference": f"{export['difference']:.1e}",
        }
        for export in exports
    ]
    return _format_records(records)
