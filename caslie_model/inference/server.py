"""A model behind an OpenAI-compatible server (vLLM, SGLang, llama.cpp, a cloud) or batch files, as a Predictor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from caslie_model.data.answers import parse_answer, written_answer
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample
from caslie_model.inference.batch_file import read_batch, write_batch
from caslie_model.inference.prices import Spending, price_of
from caslie_model.inference.questions import Prediction, Prepared, Question
from caslie_model.inference.server_client import ChatFailure
from caslie_model.inference.server_messages import CONTROL_TEXTS, ChatRequest
from caslie_model.inference.server_queue import ask_all
from caslie_model.inference.server_replies import ChatReply, label_scores
from caslie_model.inference.server_settings import ServerSettings, api_key, is_on_this_machine, settings_of
from caslie_model.prompts.message import MessageFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.console import say
from mmecinstruct.core.hashing import fingerprint

AnyKey = TypeVar("AnyKey")

# As many as OpenAI's interface allows, and vLLM gives unless told otherwise.
TOP_LOGPROBS = 20
# Tokens beyond the longest allowed answer, for models that say "The answer is B".
_SLACK = 24
_NAMED = 5
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_NAME_LENGTH = 47


def open_server(config: Any, images: ImageBytes) -> ServerPredictor:
    """Return the model of a server, or of batch files, ready to answer.

    Args:
        config: The settings, with the fields of `ServerSettings`.
        images: The bytes of the images of all questions.

    Raises:
        ConfigError: If the settings contradict each other, or prices are missing.
    """
    settings = settings_of(config)
    key = api_key(settings) if settings.server is not None else None
    if (
        key
        and settings.server
        and settings.server.startswith("http:")
        and not is_on_this_machine(settings.server)
    ):
        say(f"warning: {settings.server} is no https address: the key can be read on its way")
    return ServerPredictor(settings, images, Spending(price_of(settings), settings.budget), key)


@dataclass(frozen=True)
class ServerQuestion:
    """A question as a conversation.

    Attributes:
        question: The question.
        request: What is asked.
        fingerprint: Of all that the model gets and may answer.
    """

    question: Question
    request: ChatRequest
    fingerprint: str

    @property
    def length(self) -> int:
        """Its size in bytes, an image counted as a constant."""
        return self.request.size

    @property
    def shortened(self) -> bool:
        """Nothing is shortened: the limits of a server's model are not known."""
        return False

    @property
    def custom_id(self) -> str:
        """What tells it from all others in a batch file, and from the same question with another prompt.

        Sample and variant, for a person, and a fingerprint of them and of the prompt: 64 plain characters at most.
        """
        named = _NO_NAME.sub("-", "-".join(part for part in self.question.key if part))[:_NAME_LENGTH]
        return f"{named}-{fingerprint([*self.question.key, self.fingerprint])[:16]}"


@dataclass
class _Tally:
    """What is told at the end.

    Attributes:
        failed: Why questions have no answer, by their name.
        scored: Questions whose labels were scored.
        absent: How many of their labels the server did not score.
        unscored: Questions of which it scored no label.
        names: Names that the server gives the model that answered.
    """

    failed: dict[str, str] = field(default_factory=dict)
    scored: int = 0
    absent: int = 0
    unscored: int = 0
    names: set[str] = field(default_factory=set)


class ServerPredictor:
    """Asks a server, writes a batch file, or reads the answers of one.

    Attributes:
        settings: What is asked and how.
        spending: The money.
    """

    def __init__(
        self, settings: ServerSettings, images: ImageBytes, spending: Spending, key: str | None = None
    ) -> None:
        self.settings = settings
        self.spending = spending
        self._images = images
        self._key = key
        # The log has answers alone: the next one carries what requests without an answer cost.
        self._cost_of_failed = 0.0
        self._recorded = 0.0
        self._format = MessageFormat(packaged_templates()[0], settings.answers, control_texts=CONTROL_TEXTS)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that the answers depend on.

        The server's address is left out: the same model on another machine goes on where the first one stopped, and an
        address says much about a network. So are concurrency, retries and prices, which change no answer.
        """
        settings = self.settings
        return {
            "kind": "server",
            "model": settings.model,
            "answers": settings.answers,
            "scoring": settings.scoring,
            "template": fingerprint(self._format.template)[:16],
            "max_pixels": settings.max_pixels,
            "temperature": settings.request_temperature,
            "seed": settings.request_seed,
            "max_tokens": settings.max_tokens,
            **({"top_logprobs": TOP_LOGPROBS} if settings.scoring == "likelihood" else {}),
        }

    def resume(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Count the money that the answers of earlier runs cost, which the budget covers too.

        Args:
            records: Records of the prediction log.
        """
        for record in records:
            usage = record.get("usage")
            self.spending.add_earlier(usage if isinstance(usage, Mapping) else None)
        self._recorded = self.spending.spent

    @property
    def unrecorded_cost(self) -> float:
        """What was spent that no answer's record has: by requests since the last answer, also those given up."""
        return max(0.0, round(self.spending.spent - self._recorded, 9))

    def prepare(self, questions: Sequence[Question]) -> list[ServerQuestion]:
        """Return questions as conversations, in their order."""
        return [self._prepared(question) for question in questions]

    def answer(self, prepared: Sequence[Prepared]) -> Iterator[Sequence[tuple[Prepared, Prediction]]]:
        """Yield answers as they come.

        With `write_batch` the questions are written and none is answered; with `read_batch` the answers are read. At
        the end it is told what was spent, which questions have no answer, and which labels the server did not score.

        Raises:
            RunError: If the server answers nothing more, the budget is spent, or a batch file cannot be used; after all
                answers that came.
            DatasetError: If an image is damaged.
        """
        questions = [each for each in prepared if isinstance(each, ServerQuestion)]
        if self.settings.write_batch is not None:
            self._write(questions)
            return
        tally = _Tally()
        try:
            for group in (
                self._read(questions)
                if self.settings.read_batch
                else self.ask((each, each.request) for each in questions)
            ):
                answered = []
                for each, outcome in group:
                    if isinstance(outcome, ChatFailure):
                        tally.failed[each.request.name] = outcome.detail
                        self._cost_of_failed += outcome.cost
                    else:
                        answered.append((each, self._prediction(each, outcome, tally)))
                if answered:
                    yield answered
        finally:
            self._tell(tally)

    def close(self) -> None:
        """Do nothing: connections end with the answers."""

    def _prepared(self, question: Question) -> ServerQuestion:
        turns = self._format.turns(
            question.sample,
            question.images,
            shots=[(shot.sample, shot.images) for shot in question.shots],
        )
        likelihood = self.settings.scoring == "likelihood"
        request = ChatRequest(
            ", ".join(part for part in question.key if part),
            turns,
            1 if likelihood else self.settings.max_tokens or _room(question.sample, self.settings.answers),
            TOP_LOGPROBS if likelihood else 0,
        )
        asked = {
            "turns": [
                [
                    turn.role,
                    [{"image": part.key} if isinstance(part, SampleImage) else part for part in turn.parts],
                ]
                for turn in turns
            ],
            "labels": list(question.sample.labels),
            "max_tokens": request.max_tokens,
            "top_logprobs": request.top_logprobs,
            "model": self.settings.model,
            "seed": self.settings.request_seed,
            "max_pixels": self.settings.max_pixels,
        }
        return ServerQuestion(question, request, fingerprint(asked)[:16])

    def ask(
        self, requests: Iterable[tuple[AnyKey, ChatRequest]]
    ) -> Iterator[list[tuple[AnyKey, ChatReply | ChatFailure]]]:
        """Ask conversations of any kind; see `ask_all`.

        Args:
            requests: What is asked, each with anything that tells it from the others.

        Returns:
            Answers and failures as they come, each with what came with its request.
        """
        return ask_all(self.settings, self._images, self.spending, self._key, requests)

    def _write(self, questions: Sequence[ServerQuestion]) -> None:
        assert self.settings.write_batch is not None
        requests = ((each.custom_id, each.request) for each in questions)
        files = write_batch(self.settings.write_batch, requests, self.settings, self._images.content)
        say(
            f"wrote {len(questions)} requests to {', '.join(str(file) for file in files) or 'no file'}; have them "
            "answered, then give the output to read_batch"
        )

    def _read(
        self, questions: Sequence[ServerQuestion]
    ) -> Iterator[list[tuple[ServerQuestion, ChatReply | ChatFailure]]]:
        wanted = {each.custom_id: each for each in questions}
        missing = set(wanted)
        wants_logprobs = self.settings.scoring == "likelihood"
        for answer in read_batch(self.settings.read_batch, wanted.__contains__, wants_logprobs):
            each = wanted[answer.custom_id]
            missing.discard(answer.custom_id)
            if answer.reply is None:
                yield [(each, ChatFailure(answer.detail, is_refused=True))]
                continue
            usage = answer.reply.usage
            cost = None if usage is None else self.spending.count(usage)
            yield [(each, replace(answer.reply, cost=cost))]
        if missing:
            yield [
                (wanted[custom_id], ChatFailure("not in the batch's output", is_refused=True))
                for custom_id in sorted(missing)
            ]

    def _prediction(self, each: ServerQuestion, reply: ChatReply, tally: _Tally) -> Prediction:
        sample = each.question.sample
        tally.names.add(reply.model)
        usage = usage_of(reply, self._cost_of_failed)
        self._recorded += (reply.cost or 0.0) + self._cost_of_failed
        self._cost_of_failed = 0.0
        if self.settings.scoring == "likelihood":
            scores = label_scores(reply.top, sample.labels)
            absent = tuple(label for label in sample.labels if label not in scores)
            tally.scored += 1
            tally.absent += len(absent)
            tally.unscored += not scores
            return Prediction(
                max(scores, key=lambda label: scores[label]) if scores else None,
                None,
                dict[str, float | None](scores),
                tokens=dict.fromkeys(scores, 1),
                absent=absent,
                usage=usage,
            )
        options = {letter: self._format.defused(words) for letter, words in sample.options.items()}
        text = reply.text.strip()
        return Prediction(parse_answer(text, options, self.settings.answers), text, None, usage=usage)

    def tell_spending(self) -> None:
        """Say how many tokens were used, and what they cost."""
        used = self.spending.usage
        if used.prompt or self.spending.spent:
            of_budget = (
                f" of a budget of {self.settings.budget:g}" if self.settings.budget is not None else ""
            )
            money = f"; spent in all: {self.spending.spent:.4f}{of_budget}" if self.spending.price else ""
            say(
                f"{used.prompt:,} tokens of prompts ({used.cached:,} cached), {used.completion:,} of answers{money}"
            )

    def _tell(self, tally: _Tally) -> None:
        self.tell_spending()
        if others := sorted(tally.names - {self.settings.model, ""}):
            more = f", and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            say(f"{self.settings.model} is, in the server's words: {', '.join(others[:_NAMED])}{more}")
        if tally.absent:
            say(
                f"{tally.absent} labels of {tally.scored} questions are not among the server's {TOP_LOGPROBS} "
                f"likeliest tokens and rank last; {tally.unscored} questions have none and count as wrong"
            )
        if tally.failed:
            named = "; ".join(f"{name} ({detail})" for name, detail in [*tally.failed.items()][:_NAMED])
            more = f"; and {len(tally.failed) - _NAMED} more" if len(tally.failed) > _NAMED else ""
            say(f"{len(tally.failed)} questions have no answer and are asked again next time: {named}{more}")


def _room(sample: Sample, answers: str) -> int:
    """Return tokens enough for the longest allowed answer: few long texts have more than one token for two bytes."""
    longest = max(len(written_answer(label, sample.options, answers).encode()) for label in sample.labels)
    return _SLACK + (longest if longest < _SLACK else longest // 2 + _SLACK // 2)


def usage_of(reply: ChatReply, cost_of_failed: float = 0.0) -> dict[str, float] | None:
    """Return the tokens and the money of an answer as a record has them, None where neither is known."""
    usage: dict[str, float] = {}
    if reply.usage is not None:
        usage = {"prompt_tokens": reply.usage.prompt, "completion_tokens": reply.usage.completion}
        if reply.usage.cached:
            usage["cached_tokens"] = reply.usage.cached
    if reply.cost is not None:
        usage["cost"] = round(reply.cost, 9)
    if cost_of_failed:
        usage["cost_of_failed"] = round(cost_of_failed, 9)
    return usage or None
