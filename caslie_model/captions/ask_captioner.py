"""Asking a captioner or rewriter: replies are appended to the log as they come, with what they cost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from caslie_model.captions.captioner import Captioner, CaptionReply, CaptionRequest
from caslie_model.data.answers import without_reasoning
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.data.images import decode_image
from caslie_model.inference.answer_questions import append_answers
from caslie_model.inference.prediction_log import Key, PredictionFile
from caslie_model.runtime.progress import Progress
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint

# Beginning of the variant of records that hold no caption, but what a request without one cost.
_COST = "cost-"


def ask_missing(
    captioner: Captioner,
    name: str,
    images: ImageBytes,
    missing: Sequence[CaptionRequest],
    log: PredictionFile,
    title: str,
) -> dict[Key, str]:
    """Ask what has no caption yet, and append what comes.

    Args:
        captioner: Who is asked.
        name: Its name.
        images: The bytes of images.
        missing: What is asked, each once.
        log: Takes the replies.
        title: Name of the work.

    Returns:
        Why requests failed.

    Raises:
        MmecError: If no more captions can be had; after all that came.
    """
    problems = _problems(images, list(dict.fromkeys(each.image for each in missing if each.image)))
    failed = {request.key: problems[request.image] for request in missing if request.image in problems}
    readable = [request for request in missing if request.image not in problems]
    captioner.resume(list(log.records.values()))

    def records() -> Generator[list[dict[str, Any]], None, None]:
        with closing(captioner.captions(readable)) as replies:
            for group in replies:
                kept = []
                for request, reply in group:
                    text = " ".join((without_reasoning(reply.text or "") or "").split())
                    if text:
                        kept.append(_record(request, name, text, reply))
                        continue
                    failed[request.key] = reply.reason or "the captioner wrote nothing, or reasoning alone"
                    if cost := (reply.usage or {}).get("cost"):
                        kept.append(_cost_record(log, len(kept), cost))
                yield kept

    try:
        with closing(records()) as groups:
            append_answers(log, groups, len(readable), "captions", title)
    finally:
        if captioner.unrecorded_cost:
            log.append([_cost_record(log, 0, captioner.unrecorded_cost)])
    return failed


def prompt_fingerprint(name: str, prompt: str) -> str:
    """Return the fingerprint of a prompt to a captioner: known without the model, whose revision it does not tell.

    Args:
        name: Name of the captioner.
        prompt: What is asked.
    """
    return fingerprint([name, prompt])[:16]


def _record(request: CaptionRequest, name: str, text: str, reply: CaptionReply) -> dict[str, Any]:
    usage = {} if reply.usage is None else {"usage": dict(reply.usage)}
    prompt = prompt_fingerprint(name, request.prompt)
    return {
        "id": request.image,
        "variant": request.fingerprint,
        "prompt": prompt,
        "prediction": text,
        **usage,
    }


def _cost_record(log: PredictionFile, others: int, cost: float) -> dict[str, Any]:
    """Return a record of a request without a caption, which counts in the budget of later runs.

    others: Records that are appended before it.
    """
    number = len(log.records) + others
    while ("", f"{_COST}{number}") in log.records:
        number += 1
    return {"id": "", "variant": f"{_COST}{number}", "prediction": None, "usage": {"cost_of_failed": cost}}


def _problems(images: ImageBytes, keys: Sequence[str]) -> dict[str, str]:
    """Return why images cannot be read, by the keys of those that cannot."""
    problems = {}
    with Progress("reading", len(keys), "images") as progress:
        for count, key in enumerate(keys, 1):
            try:
                decode_image(images.content(key), f"image {key[:16]}")
            except DatasetError as error:
                problems[key] = str(error)
            progress.update(count)
    return problems
