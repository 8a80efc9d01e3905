"""Ask a model about every row of a shop's table, and write its answers as a table.

Beside the table of answers, in `FILE.work`, are the predictions, only ever appended to, and the fetched images. An
answer is found again by a hash of all that was asked, so a stopped run goes on, rows that are added or changed later
are asked, and no answer of an earlier text is taken for a new one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import ValidationError

from caslie_model.config.evaluation import PredictConfig
from caslie_model.data.image_bytes import SpooledImages
from caslie_model.data.images import EmbeddedImage
from caslie_model.data.own_images import OwnImages
from caslie_model.data.own_samples import own_input, own_options, own_task
from caslie_model.data.own_table import OwnMapping, OwnRow, read_own_table
from caslie_model.errors import ConfigError
from caslie_model.inference.answer_questions import money_kept
from caslie_model.inference.answer_table import AnsweredRow, check_format, write_answers
from caslie_model.inference.ask import Asking, Options, find_options
from caslie_model.inference.open_predictor import open_predictor
from caslie_model.inference.prediction_log import open_predictions
from caslie_model.inference.rounds import Answer, OwnQuestion, answer_in_rounds, questions_needed
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.processes import process_count
from caslie_model.runtime.progress import Progress
from mmecinstruct.core.errors import OutputError
from mmecinstruct.core.output_folder import check_output_file
from mmecinstruct.core.settings import wrong_fields
from mmecinstruct.tasks.task import AnyTask
from mmecinstruct.web.images.settings import FetchSettings

COMMAND = "caslie_model predict"
# Rows whose prompts and images are in memory at once.
_ROWS_AT_ONCE = 256
_OPTIONS = "options"


@dataclass(frozen=True)
class TableRequest:
    """What is asked about a table.

    Attributes:
        table: CSV, TSV, JSON lines or Parquet.
        out: The table of answers: .csv, .tsv, .jsonl or .parquet.
        task: Full or short name.
        mapping: Recipe, its `products:` block, or the fields of that block; None: columns by their names.
        columns: Columns of further texts by what they are: query, question, review.
        options: The words of each option.
        options_column: A column that has the options of each row.
        data: Dataset whose training split has the options.
        images: Whether images are shown.
        contact: A page or an e-mail address that requests for images carry; None: as the mapping says.
    """

    table: Path
    out: Path
    task: str
    mapping: Path | None = None
    columns: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    options_column: str | None = None
    data: str | None = None
    images: bool = True
    contact: str | None = None


@dataclass(frozen=True)
class TableResult:
    """What became of a table.

    Attributes:
        path: The table of answers.
        rows: Its rows, one for each row of the table.
        answered: Rows with an answer.
        with_images: Rows that were answered with an image.
        reasons: Rows by the word that says why they have no answer, or why they were answered without their image.
    """

    path: Path
    rows: int
    answered: int
    with_images: int
    reasons: dict[str, int]

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps({**asdict(self), "path": str(self.path)}, indent=1, ensure_ascii=False)


def predict_table(config: PredictConfig, request: TableRequest, overwrite: bool = False) -> TableResult:
    """Answer every row of a table; earlier answers of the same model to the same questions are kept.

    Args:
        config: The model, and how it answers; its `data` and `out` are not used.
        request: What is asked.
        overwrite: Replace a table of answers that is there, and forget earlier answers.

    Returns:
        The table of answers, and counts.

    Raises:
        MmecError: Table, options, model or folder do not allow it; the message has the remedy.
    """
    if process_count() > 1:
        raise ConfigError("--table is answered by one process: start it without torchrun")
    task = _task_of_tables(request)
    work = request.out.with_name(f"{request.out.name}.work")
    _check_out(request, work, overwrite)
    mapping = OwnMapping.read(request.mapping)
    columns = dict(request.columns)
    if request.options_column:
        columns[_OPTIONS] = request.options_column
    rows = read_own_table(
        request.table,
        mapping.products,
        columns,
        titled=_asks_about(task, "title"),
        with_images=request.images,
        several=(_OPTIONS, *(f.unit for f in (task.row.fields or {}).values() if f.many)),
    )
    options = (
        Options(())
        if request.options_column
        else find_options(task, request.options, config.model, request.data)
    )
    fetch = _fetching(mapping.fetch, request.contact)
    with (
        SpooledImages() as spool,
        open_predictor(config, (), spool) as opened,
        explained_disk_errors(work, "then run the same again: what was answered is kept"),
        open_predictions(work, opened.predictor.provenance, overwrite) as log,
    ):
        images = None
        if opened.images is not None and request.images:
            images = OwnImages(mapping.images, fetch, request.table.parent, work / "fetched")
            images.fetch([row.images for row in rows if not row.reason])
        elif any(row.images for row in rows):
            say(f"{config.model} is a text model: images are not used")
        before = len(log.records)
        answered: list[AnsweredRow] = []
        with (
            money_kept(opened.predictor, log),
            Progress("answering", _questions(rows, options), "questions") as progress,
        ):
            records = {record["id"]: record for record in log.records.values()}
            asking = Asking(opened.predictor, records, log.append, progress.update)
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = [
                    _prepare(row, task, options.words, images, spool)
                    for row in rows[start : start + _ROWS_AT_ONCE]
                ]
                answered += _answered(part, options.at_once, asking)
        write_answers(request.out, answered)
        say(f"{len(log.records) - before} questions asked, {before} answered before")
    return _result(request.out, answered)


@dataclass(frozen=True)
class _PreparedRow:
    row: OwnRow
    question: OwnQuestion | None
    # Why nothing is asked, or no image is shown.
    reason: str


def _task_of_tables(request: TableRequest) -> AnyTask:
    """Return the task, which must ask about one product and have all its columns."""
    task = own_task(request.task)
    fields = task.row.fields
    titles = [name for name, each in (fields or {}).items() if each.unit == "title"]
    if fields is None or len(titles) > 1:
        raise ConfigError(
            f"{task.short_name} asks about several products, and a row of a table has one: use `caslie_model ask`"
        )
    for each in fields.values():
        if each.unit != "title" and each.required and each.unit not in request.columns:
            raise ConfigError(
                f"{task.short_name} asks about a {each.unit}: say which column of the table has it "
                f"(--{each.unit}-column)"
            )
    for unit, column in request.columns.items():
        if not _asks_about(task, unit):
            raise ConfigError(
                f"{task.short_name} does not ask about a {unit}: leave the column '{column}' out"
            )
    if request.options_column and (request.options or task.labels is not None):
        has = "options are given" if request.options else f"{task.short_name} has its own answers"
        raise ConfigError(f"{has}: leave the column of options '{request.options_column}' out")
    return task


def _fetching(settings: FetchSettings, contact: str | None) -> FetchSettings:
    """Return how images are requested; whoever names a contact allows requests."""
    if contact is None:
        return settings
    try:
        return FetchSettings.model_validate({**settings.model_dump(), "enabled": True, "contact": contact})
    except ValidationError as error:
        raise ConfigError("\n".join(["contact: not valid:", *wrong_fields(error, FetchSettings)])) from error


def _asks_about(task: AnyTask, unit: str) -> bool:
    return any(each.unit == unit for each in (task.row.fields or {}).values())


def _check_out(request: TableRequest, work: Path, overwrite: bool) -> None:
    check_format(request.out)
    check_output_file(request.out, COMMAND)
    if request.out.exists() and request.out.resolve() == request.table.resolve():
        raise OutputError(f"out={request.out} is the table that is read; give another file")
    if request.out.exists() and not work.is_dir() and not overwrite:
        raise OutputError(
            f"out={request.out} is there, and no predictions of an earlier run beside it; give another file, or "
            "--overwrite"
        )


def _questions(rows: Sequence[OwnRow], options: Options) -> int:
    """Return how many questions the rows make."""
    return sum(
        questions_needed(len(row.cells.get(_OPTIONS, options.words)), options.at_once)
        for row in rows
        if not row.reason
    )


def _prepare(
    row: OwnRow, task: AnyTask, options: Sequence[str], images: OwnImages | None, spool: SpooledImages
) -> _PreparedRow:
    if row.reason:
        return _PreparedRow(row, None, row.reason)
    texts = {unit: given for unit, given in row.cells.items() if unit != _OPTIONS}
    if _asks_about(task, "title"):
        texts["title"] = (row.title,)
    try:
        content = own_input(task, texts)
        words = own_options(task, row.cells[_OPTIONS]) if _OPTIONS in row.cells else tuple(options)
    except ConfigError as error:
        return _PreparedRow(row, None, f"incomplete: {error}")
    image: EmbeddedImage | None = None
    reason = ""
    if images is not None:
        image, reason = images.find(row.images, task.row.roles[0])
    if image is not None:
        spool.add(image.image.key, image.content)
    return _PreparedRow(row, OwnQuestion(task, content, words, (image.image,) if image else ()), reason)


def _answered(part: Sequence[_PreparedRow], at_once: int, asking: Asking) -> Iterable[AnsweredRow]:
    questions = [each.question for each in part if each.question is not None]
    answers = iter(answer_in_rounds(questions, at_once, asking))
    for each in part:
        answer: Answer | None = next(answers) if each.question is not None else None
        images = len(each.question.images) if each.question is not None else 0
        reason = "; ".join(text for text in (each.reason, answer.reason if answer else "") if text)
        yield AnsweredRow(each.row.line, each.row.id, answer, images, reason)


def _result(path: Path, rows: Sequence[AnsweredRow]) -> TableResult:
    reasons = Counter(row.reason.partition(":")[0] for row in rows if row.reason)
    return TableResult(
        path,
        len(rows),
        sum(row.answer is not None and row.answer.answer is not None for row in rows),
        sum(row.images > 0 for row in rows),
        dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
    )
