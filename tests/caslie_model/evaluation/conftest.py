"""Samples and records of predictions, as small as the figures need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from caslie_model.data.samples import Groups, InputField, Sample


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """Return a function that makes a sample: its number, its right answer, and what else is given."""

    def make(
        number: int, output: str = "A", letters: str = "ABCDE", text: str = "x", **changes: Any
    ) -> Sample:
        fields: dict[str, Any] = {
            "task": "sentiment_analysis",
            "split": "test",
            "category": "Home",
            "instruction": "i",
            "instruction_unseen": None,
            "visual_critical": None,
            "text_only_accuracy": None,
            "groups": Groups((f"p{number}",)),
            **changes,
        }
        return Sample(
            id=f"s{number}",
            fields=(InputField("", (text,), False),),
            options={letter: letter.lower() for letter in letters},
            output=output,
            **fields,
        )

    return make
