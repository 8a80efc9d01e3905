"""Whether a judge that would be loaded here has answered all questions already: then it need not be loaded.

A prompt is known by its tokens, which the model's tokenizer makes. So beside the answers stands which settings they are
of, and with each answer the fingerprint of the question's texts. That is enough for a base model, whose own fingerprint
is computed from its files; an adapter or a preset is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caslie_model.adapters.model_kind import model_kind
from caslie_model.backbones.language_model import base_fingerprint, is_base_model_name
from caslie_model.config.evaluation import PredictConfig
from caslie_model.inference.prediction_log import HEADER, read_records
from caslie_model.inference.questions import Question
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.device import choose_device
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.version import __version__

_SETTINGS = "settings.json"


def question_fingerprint(question: Question) -> str:
    """Return the fingerprint of a question's texts, whatever model it is put to."""
    sample = question.sample
    fields = [[field.name, *field.texts] for field in sample.fields]
    captions = [[*sample.image_roles], [*sample.captions]]
    return fingerprint([sample.instruction, fields, [*sample.options.items()], captions])[:16]


def settings_of(asked: PredictConfig, at_one_position: bool) -> str | None:
    """Return the fingerprint of all that a base model's answers depend on beside the questions; None for other models.

    Args:
        asked: How it is asked.
        at_one_position: As `judge_answers` has it.

    Raises:
        ModelError: If there is no such model.
    """
    if asked.asks_server or not is_base_model_name(asked.model) or model_kind(asked.model) == "trained":
        return None
    device = choose_device(asked.device, asked.precision)
    form = [asked.max_length, asked.quantise, asked.scoring, at_one_position]
    return fingerprint(
        [base_fingerprint(asked.model), str(device.precision), form, packaged_templates(), __version__]
    )


def keep_settings(folder: Path, settings: str | None) -> None:
    """Write beside answers which settings they are of.

    Args:
        folder: Where the answers are.
        settings: From `settings_of`.
    """
    if settings is not None:
        write_atomically(folder / _SETTINGS, (json.dumps({"settings": settings}) + "\n").encode())


def known_answers(
    judges: Path, settings: str | None, questions: Sequence[Question]
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]] | None:
    """Return the answers to all questions and their provenance; None where one is missing.

    Args:
        judges: The folder of all judges' answers.
        settings: From `settings_of`.
        questions: The questions.
    """
    for file in sorted(judges.glob(f"*/{_SETTINGS}")) if settings is not None else ():
        try:
            found = json.loads(file.read_bytes())["settings"]
            provenance = json.loads((file.parent / HEADER).read_bytes())["provenance"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if found != settings:
            continue
        answers = {record.get("question"): record for record in read_records(file.parent).values()}
        known = [answers.get(question_fingerprint(question)) for question in questions]
        complete: list[Mapping[str, Any]] = [answer for answer in known if answer is not None]
        if len(complete) == len(known):
            return complete, provenance
    return None
