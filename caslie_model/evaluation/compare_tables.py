"""A comparison as tables: in a terminal, in Markdown and on its page. All take the JSON content of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caslie_model.evaluation.compare_statistics import LEVEL
from mmecinstruct.core.markdown import markdown_text
from mmecinstruct.core.shown import printable
from mmecinstruct.reporting.tables import Column, Row, Table, table_markdown, table_text
from mmecinstruct.tasks import TASKS

Content = Mapping[str, Any]

_SETTINGS = {"test": "IND", "test_ood": "OOD"}
# Of a score that is not significantly above that of TF-IDF with logistic regression.
_NOT_ABOVE = "†"
_ABOVE = {"is_above": True}
_NOT_ABOVE_NOTE = (
    f"{_NOT_ABOVE}: not significantly above the baseline tfidf (p corrected over all comparisons with it): such a "
    "score gives no reason to believe that the model is worth more than counting words."
)
_NOT_ABOVE_SHORT = f"{_NOT_ABOVE}: not significantly above the baseline tfidf."
_LONGEST_INPUT = 600  # characters of a sample's field in Markdown


def cell_name(cell: Content) -> str:
    """Return a task and split as the tables name them.

    Args:
        cell: With task and split.
    """
    return f"{TASKS[cell['task']].short_name} {setting_name(cell['split'])}"


def setting_name(split: str) -> str:
    """Return what a split measures: IND, OOD; other splits by their names.

    Args:
        split: Its name.
    """
    return _SETTINGS.get(split, split)


def scores_table(content: Content) -> Table:
    """Return each model's primary metric with its interval.

    Args:
        content: The comparison.
    """
    letters = [model["letter"] for model in content["models"]]
    columns = [
        Column("task", is_text=True),
        Column("split", is_text=True),
        Column("metric", is_text=True, is_detail=True),
        Column("n"),
        Column("units"),
    ]
    for letter in letters:
        columns += [Column(letter), Column("95 %", is_detail=True)]
    columns += [Column(f"no answer ({' / '.join(letters)})", is_detail=True)]
    columns += [Column("a unit is", is_text=True, is_detail=True)]
    rows = []
    for cell in content["cells"]:
        scores = [cell["scores"][letter] for letter in letters]
        cells = [*_place(cell), cell["metric"], str(cell["samples"]), str(cell["units"])]
        over_tfidf = cell["over_tfidf"]
        for letter, score in zip(letters, scores, strict=True):
            mark = "" if over_tfidf.get(letter, _ABOVE)["is_above"] else _NOT_ABOVE
            cells += [f"{score['score']:.3f}{mark}", _bounds(score["interval"])]
        rows.append(Row([*cells, " / ".join(str(score["no_answer"]) for score in scores), cell["unit"]]))
    return Table(
        "Scores",
        columns,
        rows,
        "The task's primary metric with its 95 % interval, which leaves out each unit in turn: samples of one unit are "
        "not independent of one another. no answer: unparsable or missing, which counts as wrong."
        + (f" {_NOT_ABOVE_NOTE}" if _marks_tfidf(content) else ""),
    )


def differences_table(content: Content) -> Table:
    """Return the differences to the reference with their tests.

    Args:
        content: The comparison.
    """
    base = content["reference"]
    columns = [
        Column("task", is_text=True),
        Column("split", is_text=True),
        Column("model", is_text=True),
        Column("difference"),
        Column("95 %"),
        Column("p", is_detail=True),
        Column("p (Holm)"),
        Column("significant", is_text=True),
        Column("detectable"),
        Column(f"only {base}\nright", is_detail=True),
        Column("only other\nright", is_detail=True),
        Column("McNemar\np", is_detail=True),
        Column("McNemar\np (Holm)"),
    ]
    rows = []
    for cell in content["cells"]:
        for place, (letter, found) in enumerate(cell["comparisons"].items()):
            rows.append(
                Row(
                    [
                        *_place(cell),
                        letter,
                        signed(found["difference"]),
                        _bounds(found["interval"], signed),
                        _p(found["p"]),
                        _p(found["p_holm"], marks=True),
                        f"{found['better']} better" if found["better"] else "–",
                        "–" if found["detectable"] is None else f"{found['detectable']:.3f}",
                        str(found["only_reference"]),
                        str(found["only_other"]),
                        _p(found["mcnemar_p"]),
                        _p(found["mcnemar_p_holm"], marks=True),
                    ],
                    is_marked=found["better"] is not None,
                    starts_section=place == 0 and len(cell["comparisons"]) > 1,
                )
            )
    return Table(
        f"Differences to {base}",
        columns,
        rows,
        f"Both models are judged on the same {content['resamples']:,} resamples of units; p inverts the interval of "
        f"the difference. p (Holm) is corrected over all {content['comparisons']} comparisons of this table; "
        "an asterisk: below .05 then. McNemar's exact test asks whether both are right equally often, and takes "
        "samples as independent. detectable: the smallest true difference that these samples show with a probability "
        "of 80 %, without the correction. A smaller difference that is not significant says nothing: it could not be "
        "resolved.",
    )


def improvement_table(content: Content) -> Table:
    """Return each model's average improvement.

    Args:
        content: The comparison.
    """
    kinds = {"over_reference": f"over {content['reference']} %"}
    if len(content["models"]) > 2:
        kinds |= {"over_best": "over the best other %", "average": "average %"}
    columns = [Column("model", is_text=True), Column("split", is_text=True), Column("tasks")]
    columns += [Column(kind) for kind in kinds.values()]
    rows: list[Row] = []
    for row in content["improvement"]:
        cells = [_improvement(row, kind) for kind in kinds]
        if any(cell != "–" for cell in cells):
            starts = not rows or rows[-1].cells[0] != row["model"]
            rows.append(
                Row(
                    [row["model"], setting_name(row["scope"]), str(row["cells"]), *cells],
                    starts_section=starts,
                )
            )
    others = (
        " over the best other: over the best of the other models in each task; average: the mean of the improvements "
        "over each other model."
        if len(content["models"]) > 2
        else ""
    )
    return Table(
        "Average improvement",
        columns,
        rows,
        "The mean over the tasks of the relative improvement in percent, as the paper computes it: every task weighs "
        "the same, and one in which the other model has 0 is left out (of: the tasks that are left)."
        f"{others} Where scores are small, small differences are large percentages: read them beside the intervals.",
    )


def published_table(content: Content) -> Table:
    """Return the published scores, with those of the models below them.

    Args:
        content: The comparison, with published rows.
    """
    paper = content["published"]
    places = [(each["task"], each["split"]) for each in paper["rows"][0]["scores"]]
    kind = "published" if paper["same_test_set"] else "published, another test set"
    columns = [Column("model", is_text=True), Column("", is_text=True, is_detail=True)]
    columns += [Column("\n".join(_place({"task": task, "split": split}))) for task, split in places]
    rows = []
    for row in paper["rows"]:
        scores = {(each["task"], each["split"]): each["score"] for each in row["scores"]}
        rows.append(Row([row["name"], kind, *(f"{scores[place]:.3f}" for place in places)]))
    for place, model in enumerate(content["models"]):
        own = {
            (cell["task"], cell["split"]): f"{cell['scores'][model['letter']]['score']:.3f}"
            for cell in content["cells"]
        }
        rows.append(
            Row(
                [model["letter"], "this comparison", *(own.get(each, "–") for each in places)],
                is_marked=True,
                starts_section=place == 0,
            )
        )
    if paper["same_test_set"]:
        note = (
            f"Scores of {paper['source']}. They take part in no test: the answers behind them are not here."
        )
    else:
        note = (
            f"Scores of {paper['source']} on {paper['dataset']}, which has other samples than "
            f"{content['public_data']}: a difference between these rows and those below may come from the test set "
            "alone. They take part in no test."
        )
    title = "Published scores" if paper["same_test_set"] else "Published scores, of another test set"
    return Table(title, columns, rows, note)


def tables(content: Content) -> list[Table]:
    """Return all tables of a comparison.

    Args:
        content: The comparison.
    """
    made = [scores_table(content), differences_table(content), improvement_table(content)]
    return [*made, published_table(content)] if content["published"] else made


def model_lines(content: Content) -> list[str]:
    """Return a line for each model, then the notes.

    Args:
        content: The comparison.
    """
    lines = [
        f"{model['letter']}{' (reference)' if model['letter'] == content['reference'] else ''}: {model['model']}, in "
        f"{model['folder']}"
        for model in content["models"]
    ]
    return [*lines, *(f"Note: {note}." for note in content["notes"])]


def comparison_text(content: Content, width: int | None = None) -> str:
    """Return the tables as plain text.

    Args:
        content: The comparison.
        width: Characters of the terminal; wider tables lose their details. None: all columns.
    """
    parts = ["\n".join(printable(line) for line in model_lines(content)) + "\n"]
    parts += [table_text(table, width) for table in tables(content)]
    parts.append(
        "p inverts the 95 % interval of the difference over resampled units.\n"
        f"p (Holm): corrected over all {content['comparisons']} comparisons, * below .05.\n"
        "detectable: the smallest true difference that these samples show with a probability of 80 %.\n"
        + (f"{_NOT_ABOVE_SHORT}\n" if _marks_tfidf(content) else "")
        + "--out FILE.md explains the rest.\n"
    )
    return "\n".join(parts)


def comparison_markdown(content: Content) -> str:
    """Return tables and samples as Markdown.

    Args:
        content: The comparison.
    """
    parts = [f"# Comparison on {_shown(content['public_data'])}\n"]
    parts.append("\n".join(f"* {_shown(line, 2000)}" for line in model_lines(content)) + "\n")
    parts += [table_markdown(table) for table in tables(content)]
    shown = [group for group in content["samples"] if group["samples"]]
    if shown:
        parts.append("## Samples on which two models differ\n")
    for group in shown:
        parts.append(f"### {group_title(group)}\n")
        parts += [_sample_markdown(sample) for sample in group["samples"]]
    return "\n".join(parts)


def group_title(group: Content) -> str:
    """Return the heading of a group of samples.

    Args:
        group: Samples that one of two models alone has right.
    """
    count = group["count"]
    return (
        f"{cell_name(group)}: {group['right']} right, {group['wrong']} wrong "
        f"({count} sample{'' if count == 1 else 's'}{_of(group)})"
    )


def answer_words(sample: Content, label: str | None) -> str:
    """Return an answer with the words of its option.

    Args:
        sample: A sample as the comparison shows it.
        label: The answered label.
    """
    if label is None:
        return "no answer"
    words = sample["options"].get(label)
    return f"{label}: {words}" if words else label


def signed(value: float) -> str:
    """Return a difference with its sign and three digits.

    Args:
        value: The difference.
    """
    text = f"{abs(value):.3f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def percent(value: float | None) -> str:
    """Return a percentage with its sign; a dash where there is none.

    Args:
        value: In percent.
    """
    return "–" if value is None else f"{value:+.1f}".replace("-", "−")


def _sample_markdown(sample: Content) -> str:
    lines = [f"* {_shown(sample['id'])}: {_shown(sample['instruction'])}"]
    for field in sample["input"]:
        name = f"{_shown(field['name'])}: " if field["name"] else ""
        lines.append(f"  * {name}{_shown(' / '.join(field['texts']), _LONGEST_INPUT)}")
    lines.append(f"  * right: **{_shown(answer_words(sample, sample['right_answer']))}**")
    for letter, answer in sample["answers"].items():
        said = f" (said: {_shown(answer['text'], 120)})" if answer["text"] else ""
        lines.append(f"  * {letter}: {_shown(answer_words(sample, answer['label']))}{said}")
    return "\n".join([*lines, ""])


def _shown(text: str, limit: int = 300) -> str:
    return markdown_text(printable(text, keep="\n\t"), limit)


def _of(group: Content) -> str:
    shown = len(group["samples"])
    return "" if shown == group["count"] else f", {shown} shown"


def _marks_tfidf(content: Content) -> bool:
    return any(cell["over_tfidf"] for cell in content["cells"])


def _place(cell: Content) -> tuple[str, str]:
    return TASKS[cell["task"]].short_name, setting_name(cell["split"])


def _bounds(bounds: Sequence[float], show: Any = "{:.3f}".format) -> str:
    return f"{show(bounds[0])} to {show(bounds[1])}"


def _improvement(row: Content, kind: str) -> str:
    tasks = row[kind]["tasks"]
    return percent(row[kind]["percent"]) + (f" (of {tasks})" if 0 < tasks < row["cells"] else "")


def _p(value: float, marks: bool = False) -> str:
    """Return a p-value; marks: with an asterisk where it is significant."""
    return ("<.001" if value < 0.001 else f"{value:.3f}") + ("*" if marks and value < LEVEL else "")
