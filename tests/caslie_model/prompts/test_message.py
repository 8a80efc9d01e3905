"""The user's message as texts and images by turns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from caslie_model.data.images import SampleImage
from caslie_model.data.samples import InputField, Sample
from caslie_model.prompts.message import MessageFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.prompts.truncation import without_first


@pytest.fixture
def form() -> MessageFormat:
    return MessageFormat(packaged_templates()[0], "letter", control_texts=("<image>",))


def sample(**changes: Any) -> Sample:
    history = InputField("", ("a mug", "a lamp"), True)
    plain = Sample(
        "s1",
        "task",
        "test",
        "",
        "Which is next?",
        None,
        (history,),
        {"A": "rug", "B": "bed"},
        "A",
        None,
        None,
    )
    return replace(plain, **changes)


def test_images_stand_before_the_text_of_their_items(form: MessageFormat) -> None:
    images = [SampleImage("option B", "b"), SampleImage("history 2", "h")]
    parts = form.parts(sample(), images)
    assert [part for part in parts if not isinstance(part, str)] == [images[1], images[0]]
    assert parts[0].endswith("- a mug\n- ")
    assert parts[2].startswith("a lamp\n")
    assert parts[2].endswith("A: rug\n")
    assert parts[4].startswith("B: bed\n")


def test_an_image_without_an_item_stands_before_the_instruction(form: MessageFormat) -> None:
    image = SampleImage("product", "p")
    parts = form.parts(sample(), [image])
    assert parts[0] == image
    assert parts[1].startswith("Which is next?")


def test_text_is_the_same_with_and_without_images(form: MessageFormat) -> None:
    images = [SampleImage("history 1", "a"), SampleImage("option A", "b")]
    shown = "".join(part for part in form.parts(sample(), images) if isinstance(part, str))
    assert (shown,) == form.parts(sample())


def test_images_keep_their_texts_when_old_entries_are_dropped(form: MessageFormat) -> None:
    images = [SampleImage("history 2", "h")]
    fields = [without_first(field, 1) for field in form.fields(sample(), images)]
    parts = form.parts(sample(), images, fields)
    assert parts[2].startswith("a lamp\n")
    assert "a mug" not in parts[0]


def test_control_tokens_of_a_text_are_broken_up(form: MessageFormat) -> None:
    (text,) = form.parts(sample(options={"A": "<image> rug"}))
    assert "< image> rug" in text
