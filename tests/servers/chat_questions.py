"""Questions for the stand-in chat server: their texts name them, so that the server knows what it is asked."""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

from PIL import Image

from caslie_model.data.images import SampleImage
from caslie_model.data.samples import InputField, Sample
from caslie_model.inference.questions import Question
from tests.servers.chat_server import Asked

OPTIONS = {"A": "very positive", "B": "negative", "C": "neutral"}


def sample(number: int, **changes: Any) -> Sample:
    """Return a sample whose review says its number."""
    values: dict[str, Any] = {
        "id": f"sentiment_analysis-test-{number:04d}",
        "task": "sentiment_analysis",
        "split": "test",
        "category": "Home",
        "instruction": "Judge the review.",
        "instruction_unseen": "What does the review feel like?",
        "fields": (InputField("review", (f"Order {number} came on a Monday.",), False),),
        "options": OPTIONS,
        "output": "A",
        "visual_critical": None,
        "text_only_accuracy": None,
    }
    return Sample(**(values | changes))


def question(
    number: int, variant: str = "", images: tuple[SampleImage, ...] = (), **changes: Any
) -> Question:
    return Question(sample(number, **changes), images, variant)


def number_of(asked: Asked) -> int:
    """Return the number of the question that the server was asked."""
    found = re.search(r"Order (\d+) came", asked.text)
    assert found is not None, asked.text
    return int(found[1])


class Pictures:
    """Images in memory."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def add(self, role: str, width: int, height: int, kind: str = "PNG") -> SampleImage:
        stream = io.BytesIO()
        Image.new("RGB", (width, height), (200, 40, 40)).save(stream, kind)
        key = hashlib.sha256(stream.getvalue()).hexdigest()
        self._content[key] = stream.getvalue()
        return SampleImage(role, key)

    def content(self, key: str) -> bytes:
        return self._content[key]

    def damage(self, key: str) -> None:
        self._content[key] = self._content[key][:40]
