"""Ask a judge of captions: each distinct prompt once, its answers kept by what was asked.

captions/<name>/judges/<model>-<settings>/predictions.jsonl    answers by the fingerprint of the prompt; not published
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caslie_model.captions.known_answers import (
    keep_settings,
    known_answers,
    question_fingerprint,
    settings_of,
)
from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.judging import OF_SERVERS, JudgeConfig
from caslie_model.data.image_bytes import SpooledImages
from caslie_model.errors import ConfigError
from caslie_model.hub.public_names import public_json, public_name
from caslie_model.inference.answer_questions import append_answers, longest_first, money_kept
from caslie_model.inference.image_text_model import AskedPrompt
from caslie_model.inference.local_predictor import PromptInTokens
from caslie_model.inference.open_predictor import open_predictor
from caslie_model.inference.prediction_log import cost_of_failed, open_predictions, read_records
from caslie_model.inference.questions import Prediction, Predictor, Prepared, Question
from caslie_model.inference.server import ServerPredictor, open_server
from caslie_model.inference.server_messages import ChatRequest
from caslie_model.inference.server_replies import TokenUsage
from caslie_model.runtime.console import say
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER

JUDGES_FOLDER = "judges"
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_OF_SERVERS = ("server", "prices", "write_batch", "read_batch")
# Of English in the usual tokenizers.
_BYTES_PER_TOKEN = 4
# Of a predictor's provenance, whole texts: their fingerprint says enough.
_TEXTS = ("user_template", "plain_template", "chat_template")


@dataclass(frozen=True)
class JudgeAnswers:
    """What a judge answered.

    Attributes:
        answers: In the order of the questions: `prediction` (a label, None if unparsable), `scores` (log-likelihood by
            label) or `text` (what was generated); None for a question without an answer.
        provenance: All that its answers depend on beside the questions; without a path of this machine.
    """

    answers: list[Mapping[str, Any] | None]
    provenance: Mapping[str, Any]


def ask_judge(
    config: JudgeConfig, model: str, questions: Sequence[Question], root: Path, scoring: str
) -> list[Mapping[str, Any] | None]:
    """Return the `answers` of `judge_answers`, by the likelihood of whole labels or by generation."""
    return judge_answers(config, model, questions, root, scoring).answers


def judge_answers(
    config: JudgeConfig,
    model: str,
    questions: Sequence[Question],
    root: Path,
    scoring: str,
    *,
    at_one_position: bool = False,
) -> JudgeAnswers:
    """Ask one model, and return its answers; what it answered before is not asked again.

    A base model that answered all of them is not loaded.

    Args:
        config: Settings of models and servers.
        model: The model.
        questions: The questions, without images.
        root: The folder that `captions/` lies in.
        scoring: likelihood or generate.
        at_one_position: Compare likelihoods at the first token in which the labels differ, which takes one forward
            pass, instead of those of whole labels with their end. A server always does.

    Returns:
        The answers.

    Raises:
        MmecError: If the model cannot be asked.
    """
    asked = _asking(config, model, root, scoring)
    at_one_position = at_one_position and scoring == "likelihood"
    settings = settings_of(asked, at_one_position)
    if (known := known_answers(asked.out, settings, questions)) is not None:
        say(f"{judge_name(model)}: {len(questions)} questions, all answered already; it is not loaded")
        return JudgeAnswers([*known[0]], _told(known[1]))
    with open_predictor(asked, ()) as opened:
        predictor = opened.predictor
        if "vision" in predictor.provenance:
            raise ConfigError(f"{model} reads images: a judge sees text alone; give another model")
        prepared: Sequence[Prepared] = predictor.prepare(questions)
        provenance = {**predictor.provenance, "scoring": scoring}
        if at_one_position and not asked.asks_server:
            prepared = [_up_to_the_first_difference(each) for each in prepared]
            provenance["scoring"] = "likelihood of one token"
        folder = _folder(asked, provenance)
        with open_predictions(folder, provenance, overwrite=False) as log:
            distinct: dict[str, Prepared] = {each.fingerprint: each for each in prepared}
            missing = longest_first(each for key, each in distinct.items() if (key, "") not in log.records)
            say(
                f"{judge_name(model)}: {len(prepared)} questions, {len(distinct)} of them different, "
                f"{len(distinct) - len(missing)} answered already"
            )
            _count_other_judges(predictor, folder)
            with money_kept(predictor, log):
                append_answers(
                    log,
                    (
                        [_record(each, prediction) for each, prediction in group]
                        for group in (predictor.answer(missing) if missing else ())
                    ),
                    len(missing),
                    title="judging",
                )
            records = dict(log.records)
            keep_settings(folder, settings)
    return JudgeAnswers([records.get((each.fingerprint, "")) for each in prepared], _told(provenance))


def estimate_questions(
    config: JudgeConfig, model: str, questions: Sequence[Question], root: Path, scoring: str
) -> dict[str, Any]:
    """Return how much a model would be asked. None is loaded, nothing is asked or written.

    Args:
        config: Settings of models and servers.
        model: The model.
        questions: The questions.
        root: The folder that `captions/` lies in.
        scoring: likelihood or generate.

    Returns:
        `questions` and how many are `different`. Of a server also how many are `answered` already, and of the others
        the `tokens` of their prompts, four bytes each, and the `money` where there are prices; of a model that is
        loaded here these are None.

    Raises:
        ConfigError: If the settings of a server contradict each other.
    """
    counts: dict[str, Any] = {"model": judge_name(model), "questions": len(questions)}
    if not model.startswith(OF_SERVERS):
        texts = set(map(question_fingerprint, questions))
        return {**counts, "different": len(texts), "answered": None, "tokens": None, "money": None}
    asked = _asking(config, model, root, scoring)
    server = open_server(asked, SpooledImages())
    prepared = {each.fingerprint: each for each in server.prepare(questions)}
    known = read_records(_folder(asked, {**server.provenance, "scoring": scoring}))
    missing = [each.request for key, each in prepared.items() if (key, "") not in known]
    used = TokenUsage(sum(map(_prompt_tokens, missing)), sum(request.max_tokens for request in missing))
    price = server.spending.price
    return {
        **counts,
        "different": len(prepared),
        "answered": len(prepared) - len(missing),
        "tokens": used.prompt,
        "money": None if price is None else round(price.cost(used), 6),
    }


def _prompt_tokens(request: ChatRequest) -> int:
    texts = (part for turn in request.turns for part in turn.parts if isinstance(part, str))
    return math.ceil(sum(len(text.encode("utf-8", "replace")) for text in texts) / _BYTES_PER_TOKEN)


def judge_name(model: str) -> str:
    """Return a judge's name without a path of this machine, as captions name their captioner."""
    return model.removeprefix(OF_SERVERS) if model.startswith(OF_SERVERS) else public_name(model)


def _asking(config: JudgeConfig, model: str, root: Path, scoring: str) -> PredictConfig:
    """Return the settings of asking a judge: those of the same name."""
    is_served = model.startswith(OF_SERVERS)
    shared = {
        name: getattr(config, name)
        for name in JudgeConfig.model_fields.keys() & PredictConfig.model_fields.keys()
        if name not in ("captions", "captions_from", "out") and (is_served or name not in _OF_SERVERS)
    }
    return PredictConfig.model_validate(
        {
            **shared,
            "model": model,
            "out": root / CAPTIONS_FOLDER / config.captions / JUDGES_FOLDER,
            "scoring": scoring,
            "images": "none",
            # A server tells the likelihoods of single tokens: of yes and no, or of letters.
            **({"answers": "letter"} if is_served and scoring == "likelihood" else {}),
        }
    )


def _up_to_the_first_difference(prepared: Prepared) -> Prepared:
    """Return a question whose labels end with the first token that tells them apart."""
    if isinstance(prepared, PromptInTokens):
        answers = _cut(prepared.encoded.answers)
        return replace(prepared, encoded=replace(prepared.encoded, answers=answers))
    if isinstance(prepared, AskedPrompt):
        answers = _cut(prepared.answers)
        known = fingerprint([prepared.fingerprint, sorted(answers.items())])[:16]
        return replace(prepared, answers=answers, fingerprint=known)
    return prepared


def _cut(answers: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    length = 1
    while len({tokens[:length] for tokens in answers.values()}) < len(answers):
        length += 1
    return {label: tokens[:length] for label, tokens in answers.items()}


def _count_other_judges(predictor: Predictor, folder: Path) -> None:
    """Count what the other judges of the same captions cost: a budget covers all of them."""
    if isinstance(predictor, ServerPredictor):
        for other in sorted(folder.parent.iterdir()):
            if other.is_dir() and other != folder:
                cost = {"usage": {"cost_of_failed": cost_of_failed(other)}}
                predictor.resume([*read_records(other).values(), cost])


def _told(provenance: Mapping[str, Any]) -> dict[str, Any]:
    short = {
        name: fingerprint(value)[:16] if name in _TEXTS and value is not None else value
        for name, value in provenance.items()
    }
    told: dict[str, Any] = public_json(short)
    return told


def _record(prepared: Prepared, prediction: Prediction) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": prepared.fingerprint,
        "variant": "",
        "question": question_fingerprint(prepared.question),
        "prediction": prediction.label,
    }
    if prediction.text is not None:
        record["text"] = prediction.text
    if prediction.scores is not None:
        record["scores"] = {
            label: None if value is None else round(value, 4) for label, value in prediction.scores.items()
        }
    if prediction.usage is not None:
        record["usage"] = dict(prediction.usage)
    return record


def _folder(asked: PredictConfig, provenance: Mapping[str, Any]) -> Path:
    name = _NO_NAME.sub("-", judge_name(asked.model)).strip("-._")[:48] or "judge"
    return asked.out / f"{name}-{fingerprint(provenance)[:8]}"
