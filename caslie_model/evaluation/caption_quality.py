"""`caslie_model caption-quality`: questions with known answers about an image, answered from its caption alone.

metrics.json      the figures of each attribute
answers.jsonl     what was asked of which caption, and what it states
config.yaml       the settings
reader/           the answers of a model as they came; what a stopped run goes on from
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.config.caption_quality import WORDS, CaptionQualityConfig
from caslie_model.config.files import CONFIG
from caslie_model.config.presets import config_yaml
from caslie_model.data.catalogue import read_catalogue, sample_shop_catalogue
from caslie_model.data.image_bytes import SpooledImages
from caslie_model.errors import ConfigError
from caslie_model.evaluation.caption_figures import Stated, attribute_figures, is_right
from caslie_model.evaluation.caption_questions import (
    NOT_STATED,
    Asked,
    AttributeQuestions,
    ReadCaptions,
    read_product_captions,
)
from caslie_model.evaluation.caption_words import VERSION, WordReader
from caslie_model.hub.public_names import public_name
from caslie_model.inference.answer_questions import money_kept
from caslie_model.inference.ask import Asking
from caslie_model.inference.open_predictor import open_predictor
from caslie_model.inference.prediction_log import open_predictions
from caslie_model.inference.questions import Question
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.processes import process_count
from caslie_model.runtime.progress import Progress
from mmecinstruct.core.disk_errors import check_can_write
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import CAPTION_QUALITY, check_output, claim_output

METRICS, ANSWERS, READER = "metrics.json", "answers.jsonl", "reader"
SAMPLE_SHOP = "sample shop"
# A reader that finds fewer of the values that it is told says little of captions.
_READS = 0.8


@dataclass(frozen=True)
class CaptionQuality:
    """What captions were found to say.

    Attributes:
        folder: The output folder.
        metrics: The content of metrics.json.
    """

    folder: Path
    metrics: dict[str, Any]


@dataclass(frozen=True)
class _Work:
    """What is asked, by attribute."""

    questions: Mapping[str, AttributeQuestions]
    asked: Mapping[str, Sequence[Asked]]
    read: ReadCaptions


def caption_quality(config: CaptionQualityConfig, overwrite: bool = False) -> CaptionQuality:
    """Ask captions for attributes that are known, and score what they state.

    Args:
        config: The settings.
        overwrite: Forget what a model answered earlier.

    Returns:
        The folder and the figures.

    Raises:
        MmecError: If captions, catalogue, reader or folder do not allow it; the message has the remedy.
    """
    if process_count() > 1:
        raise ConfigError(f"caption-quality is run by one process, not by {process_count()}")
    reads = [config.data, config.captions_from or config.data]
    check_output(config.out, CAPTION_QUALITY, reads, writes=(METRICS, ANSWERS, CONFIG))
    work = _work(config)
    check_can_write(config.out)
    with explained_disk_errors(config.out, "then run the same again: what was answered is kept"):
        if config.reader == WORDS:
            stated, provenance = _read_by_words(config, work)
        else:
            stated, provenance = _read_by_model(config, work, overwrite)
        claim_output(config.out, CAPTION_QUALITY)
        metrics: dict[str, Any] = {
            "data": config.data,
            "public_data": public_name(config.data),
            "captions": config.captions,
            "captioners": list(work.read.captioners),
            "catalogue": config.catalogue.name if config.catalogue else SAMPLE_SHOP,
            "reader": config.reader,
            "provenance": provenance,
            "attributes": {
                name: attribute_figures(asked, stated[name], work.read.units)
                | {"values": len(work.questions[name].values)}
                for name, asked in work.asked.items()
            },
        }
        lines = (
            json.dumps(_line(each, states), ensure_ascii=False)
            for name, asked in work.asked.items()
            for each, states in zip(asked, stated[name], strict=True)
        )
        for name, text in (
            (ANSWERS, "".join(f"{line}\n" for line in lines)),
            (METRICS, json.dumps(metrics, indent=1, ensure_ascii=False, allow_nan=False) + "\n"),
            (CONFIG, config_yaml(config)),
        ):
            write_atomically(config.out / name, text.encode(errors="replace"))
    _tell(metrics)
    return CaptionQuality(config.out, metrics)


def _tell(metrics: Mapping[str, Any]) -> None:
    for name, each in metrics["attributes"].items():
        told = each["told"]["recall"]["value"]
        if told < _READS:
            say(
                f"{name}: {metrics['reader']} finds {told:.2f} of values that a sentence says plainly: figures tell "
                f"more of it than of captions; give another reader (`{WORDS}`, a larger model)"
            )
        if each["unread"]:
            say(
                f"{name}: {each['unread']} captions got no answer that could be read, which count as not stated; the "
                "same command asks those without an answer again"
            )


def estimate_caption_quality(config: CaptionQualityConfig) -> dict[str, int]:
    """Return how much there would be to ask. No model is loaded, nothing is written.

    Args:
        config: The settings.

    Returns:
        `products`, distinct `captions` of them, and `questions` for a model: the distinct ones, the control included.

    Raises:
        MmecError: If captions or catalogue do not allow it.
    """
    work = _work(config)
    return {
        "products": len(work.read.captions),
        "captions": sum(map(len, work.read.captions.values())),
        "questions": 0 if config.reader == WORDS else len(_model_questions(work)[1]),
    }


def _work(config: CaptionQualityConfig) -> _Work:
    attributes = config.asked_attributes
    if config.catalogue is None:
        catalogue = sample_shop_catalogue(config.data, attributes)
    else:
        catalogue = read_catalogue(config.catalogue, config.id_column, attributes)
    read = read_product_captions(config, catalogue)
    questions = {name: AttributeQuestions(name, catalogue, config) for name in attributes}
    asked = {name: each.asked(read) for name, each in questions.items()}
    for name, each in questions.items():
        if not asked[name]:
            say(f"{name}: no captioned product has a value in the catalogue: left out")
            del asked[name]
        elif len(each.values) < 2:
            say(f"{name}: the catalogue has one value alone: whoever states it is right")
    captions = [each for several in read.captions.values() for each in several]
    without = sum(each.caption is None for each in captions)
    say(
        f"{len(read.captions)} products with {len(captions)} captions"
        + (f", {without} of them missing: they state nothing" if without else "")
    )
    return _Work(questions, asked, read)


def _read_by_words(
    config: CaptionQualityConfig, work: _Work
) -> tuple[dict[str, list[Stated]], dict[str, Any]]:
    stated: dict[str, list[Stated]] = {}
    for name, asked in work.asked.items():
        reader = WordReader(work.questions[name].values, config.synonyms)
        stated[name] = [reader.find(each.caption.caption or "") for each in asked]
    return stated, {"reader": WORDS, "version": VERSION}


def _model_questions(work: _Work) -> tuple[dict[str, list[Question | None]], dict[str, Question]]:
    """Return the question of each caption by attribute, and the distinct questions by their ids."""
    questions = {
        name: [work.questions[name].question(each) for each in asked] for name, asked in work.asked.items()
    }
    distinct = {each.sample.id: each for several in questions.values() for each in several if each}
    return questions, distinct


def _read_by_model(
    config: CaptionQualityConfig, work: _Work, overwrite: bool
) -> tuple[dict[str, list[Stated]], dict[str, Any]]:
    questions, distinct = _model_questions(work)
    with SpooledImages() as no_images, open_predictor(config.asking, (), no_images) as opened:
        claim_output(config.out, CAPTION_QUALITY)
        provenance = dict(opened.predictor.provenance)
        with (
            open_predictions(config.out / READER, provenance, overwrite) as log,
            money_kept(opened.predictor, log),
            Progress("reading captions", len(distinct), "questions") as progress,
        ):
            earlier = {record["id"]: record for record in log.records.values()}
            ask = Asking(opened.predictor, earlier, log.append, progress.update)
            records = ask(list(distinct.values()))
    stated = {
        name: [_stated(question, records) for question in several] for name, several in questions.items()
    }
    return stated, provenance


def _stated(question: Question | None, records: Mapping[str, Mapping[str, Any]]) -> Stated:
    if question is None:
        return frozenset()
    label = records.get(question.sample.id, {}).get("prediction")
    if label is None:
        return None
    words = question.sample.options[label]
    return frozenset() if words == NOT_STATED else frozenset({words})


def _line(asked: Asked, states: Stated) -> dict[str, Any]:
    """Return the line of answers.jsonl."""
    if states is None:
        outcome = "unread"
    else:
        outcome = "right" if is_right(asked, states) else "wrong" if states else "not stated"
    caption = asked.caption
    return {
        "attribute": asked.attribute,
        "product": asked.product,
        "right": sorted(asked.right),
        "stated": None if states is None else sorted(states),
        "outcome": outcome,
        "caption": caption.caption,
        **({"control": asked.control} if asked.control else {}),
        **({"caption_of": caption.product} if asked.control == "blind" else {}),
        "sample_id": caption.sample,
        "position": caption.position,
        "image": caption.image,
        "times": caption.times,
    }
