"""Ask a judge of captions: each distinct prompt once, its answers kept by what was asked.

captions/<name>/judges/<model>-<settings>/predictions.jsonl    answers by the fingerprint of the prompt; not published
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.judging import JudgeConfig
from caslie_model.errors import ConfigError
from caslie_model.hub.public_names import public_name
from caslie_model.inference.answer_questions import append_answers, longest_first, money_kept
from caslie_model.inference.open_predictor import open_predictor
from caslie_model.inference.prediction_log import open_predictions, read_records
from caslie_model.inference.questions import Prediction, Prepared, Question
from caslie_model.runtime.console import say
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER

JUDGES_FOLDER = "judges"
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_OF_SERVERS = ("server", "prices", "write_batch", "read_batch")


def ask_judge(
    config: JudgeConfig, model: str, questions: Sequence[Question], root: Path, scoring: str
) -> list[Mapping[str, Any] | None]:
    """Ask one model, and return its answers; what it answered before is not asked again.

    Args:
        config: Settings of models and servers.
        model: The model.
        questions: The questions, without images.
        root: The folder that `captions/` lies in.
        scoring: likelihood or generate.

    Returns:
        In the order of the questions: `prediction` (a label, None if unparsable), `scores` (log-likelihood by label) or
        `text` (what was generated); None for a question without an answer.

    Raises:
        MmecError: If the model cannot be asked.
    """
    asked = _asking(config, model, root, scoring)
    with open_predictor(asked, ()) as opened:
        if "vision" in opened.predictor.provenance:
            raise ConfigError(f"{model} reads images: a judge sees text alone; give another model")
        prepared = opened.predictor.prepare(questions)
        provenance = {**opened.predictor.provenance, "scoring": scoring}
        folder = asked.out / f"{_slug(model)}-{fingerprint(provenance)[:8]}"
        with open_predictions(folder, provenance, overwrite=False) as log:
            distinct: dict[str, Prepared] = {each.fingerprint: each for each in prepared}
            missing = longest_first(each for key, each in distinct.items() if (key, "") not in log.records)
            say(
                f"{public_name(model)}: {len(prepared)} questions, {len(distinct)} of them different, "
                f"{len(distinct) - len(missing)} answered already"
            )
            with money_kept(opened.predictor, log):
                append_answers(
                    log,
                    (
                        [_record(each, prediction) for each, prediction in group]
                        for group in opened.predictor.answer(missing)
                    ),
                    len(missing),
                    title="judging",
                )
        records = read_records(folder)
    return [records.get((each.fingerprint, "")) for each in prepared]


def _asking(config: JudgeConfig, model: str, root: Path, scoring: str) -> PredictConfig:
    """Return the settings of asking a judge: those of the same name."""
    is_served = model.startswith("openai:")
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
        }
    )


def _record(prepared: Prepared, prediction: Prediction) -> dict[str, Any]:
    record: dict[str, Any] = {"id": prepared.fingerprint, "variant": "", "prediction": prediction.label}
    if prediction.text is not None:
        record["text"] = prediction.text
    if prediction.scores is not None:
        record["scores"] = {
            label: None if value is None else round(value, 4) for label, value in prediction.scores.items()
        }
    if prediction.usage is not None:
        record["usage"] = dict(prediction.usage)
    return record


def _slug(model: str) -> str:
    return _NO_NAME.sub("-", public_name(model.removeprefix("openai:"))).strip("-._")[:48] or "judge"
