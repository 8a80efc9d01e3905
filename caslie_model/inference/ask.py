"""Ask a model about products that are in no dataset: which options, which images, and one answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.adapters.model_kind import model_kind
from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.files import CONFIG
from caslie_model.config.presets import load_finetune_config
from caslie_model.data.image_bytes import SpooledImages
from caslie_model.data.own_images import read_own_images
from caslie_model.data.own_samples import (
    LETTERS,
    image_roles,
    own_input,
    own_options,
    own_task,
    training_options,
)
from caslie_model.errors import ConfigError, ModelError
from caslie_model.hub.download import adapter_folder
from caslie_model.inference.answer_questions import longest_first, record_of
from caslie_model.inference.open_predictor import open_predictor
from caslie_model.inference.questions import Predictor, Prepared, Question
from caslie_model.inference.rounds import (
    DOES_NOT_FIT,
    Answer,
    OwnQuestion,
    answer_in_rounds,
    questions_needed,
)
from caslie_model.runtime.console import say
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.tasks.task import AnyTask


@dataclass(frozen=True)
class Options:
    """The options of a run.

    Attributes:
        words: Their words; none for yes/no.
        at_once: The most options of one question.
    """

    words: tuple[str, ...]
    at_once: int = len(LETTERS)


def find_options(task: AnyTask, given: Sequence[str], model: str, data: str | None) -> Options:
    """Return the options of a question: those given, those of the task, or those of a dataset's training split.

    Args:
        task: The task.
        given: The words of each option.
        model: An adapter, whose config names the dataset of its training.
        data: A dataset that goes before that one; None: that one.

    Returns:
        The options.

    Raises:
        ConfigError: There are none, or they are wrong.
        DatasetError: The dataset has none.
    """
    if given or task.labels is not None or task.row.options_are_products:
        return Options(own_options(task, given))
    folder = data or _trained_on(model)
    if folder is None and model_kind(model) == "trained" and not Path(model).exists():
        raise ModelError(f"no model '{model}': there is no such folder, preset or name on the Hub")
    if folder is None:
        raise ConfigError(
            f"{task.short_name} needs options: give them, or the dataset whose training split has them (data); "
            f"{model} does not say what it was trained on"
        )
    try:
        words, most = training_options(folder, task)
    except DatasetError as error:
        if data is not None:
            raise
        raise ConfigError(
            f"{task.short_name} needs options, and those of the training of {model} cannot be read: {error}"
        ) from error
    needed = questions_needed(len(words), most)
    rounds = f"; asked {most} at a time, the winners against each other: {needed} questions a product"
    say(f"{len(words)} options from the training split of {folder}{rounds if needed > 1 else ''}")
    return Options(words, most)


def _trained_on(model: str) -> str | None:
    """Return the dataset that an adapter was trained on; None for another model."""
    try:
        config = adapter_folder(model) / CONFIG
    except ModelError:
        return None
    return load_finetune_config(config).data if config.is_file() else None


def ask(
    config: PredictConfig,
    task_name: str,
    texts: Mapping[str, Sequence[str]],
    options: Sequence[str] = (),
    images: Sequence[str] = (),
    data: str | None = None,
) -> Answer:
    """Ask a model one question.

    Args:
        config: The model, and how it answers.
        task_name: Full or short name of the task.
        texts: Titles, queries, questions, reviews or a history, by `title`, `query`, ….
        options: The words of each option; none: those of the task, or of the dataset.
        images: Files, each alone or as `ROLE=FILE`.
        data: The dataset that has the options; None: the one that the model was trained on.

    Returns:
        The answer.

    Raises:
        MmecError: Texts, options, images or model do not allow it; the message has the remedy.
    """
    task = own_task(task_name)
    content = own_input(task, texts)
    found = find_options(task, options, config.model, data)
    shown = read_own_images(images, image_roles(task, content, found.words))
    if len(found.words) > found.at_once and any(each.image.role.startswith("option ") for each in shown):
        raise ConfigError(
            f"images of options go with {found.at_once} options at most, not {len(found.words)}"
        )
    with SpooledImages() as spool, open_predictor(config, (), spool) as opened:
        if shown and opened.images is None:
            say(f"{config.model} is a text model: images are not used")
            shown = ()
        for each in shown:
            spool.add(each.image.key, each.content)
        question = OwnQuestion(task, content, found.words, tuple(each.image for each in shown))
        (answer,) = answer_in_rounds([question], found.at_once, Asking(opened.predictor))
    return answer


class Asking:
    """Asks what has no record yet, the longest first, and keeps the records.

    Args:
        predictor: The model.
        records: What was answered before, by sample id.
        append: Called with new records as they come.
        told: Called with the number of questions that have a record so far.
    """

    def __init__(
        self,
        predictor: Predictor,
        records: Mapping[str, Mapping[str, Any]] | None = None,
        append: Callable[[Iterable[Mapping[str, Any]]], None] = lambda _: None,
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._predictor, self._append, self._told = predictor, append, told
        self._answered = 0
        self._records = dict(records or {})

    def __call__(self, questions: Sequence[Question]) -> Mapping[str, Mapping[str, Any]]:
        """Return the records of all questions so far, by sample id."""
        missing = [question for question in questions if question.sample.id not in self._records]
        self._answered += len(questions) - len(missing)
        for group in self._predictor.answer(longest_first(self._prepare(missing))):
            records = [record_of(each, prediction, each.question.sample) for each, prediction in group]
            self._append(records)
            self._records |= {record["id"]: record for record in records}
            self._answered += len(group)
            self._told(self._answered)
        return self._records

    def _prepare(self, questions: Sequence[Question]) -> list[Prepared]:
        """Return questions in the form of the model; of one that does not fit the record says so, but not the log."""
        try:
            return list(self._predictor.prepare(questions))
        except DatasetError:
            prepared: list[Prepared] = []
        for question in questions:
            try:
                prepared += self._predictor.prepare([question])
            except DatasetError as error:
                self._records[question.sample.id] = {"prediction": None, DOES_NOT_FIT: str(error)}
        return prepared
