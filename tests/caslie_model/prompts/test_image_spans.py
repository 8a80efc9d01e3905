"""Items of tokens, and positions of visual tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from caslie_model.data.images import SampleImage
from caslie_model.data.samples import InputField, Sample
from caslie_model.prompts.encoder import PromptFormat
from caslie_model.prompts.image_spans import marked, marked_start, number_items, unmarked
from mmecinstruct.core.errors import DatasetError

CHAT = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}[assistant]"
HISTORY = InputField("", ("1st: red mug", "2nd: café lamp", "3rd: blue rug"), True)
SHOWN = tuple(
    SampleImage(role, f"{role} bytes") for role in ("history 1", "history 3", "option A", "option B")
)


@pytest.fixture
def sample() -> Sample:
    return Sample(
        id="s1",
        task="sequential_recommendation",
        split="train",
        category="Home",
        instruction="What comes next?",
        instruction_unseen=None,
        fields=(HISTORY,),
        options={"A": "green mug", "B": "black lamp"},
        output="B",
        visual_critical=None,
        text_only_accuracy=None,
    )


def text_of_item(tokenizer: Any, encoded: Any, item: int) -> str:
    """Return what the tokens of an item say."""
    chosen = [t for t, i in zip(encoded.prompt, encoded.token_items, strict=True) if i == item]
    return str(tokenizer.decode(chosen))


def test_marks_vanish_and_leave_spans() -> None:
    prompt = unmarked("Hello " + marked_start("what is ") + marked("this", 2) + " or " + marked("that", 1))
    assert prompt.text == "Hello what is this or that"
    assert prompt.text[prompt.start :].startswith("what")
    assert [(prompt.text[s.start : s.end], s.item) for s in prompt.spans] == [("this", 2), ("that", 1)]


def test_items_are_numbered_once_and_a_single_product_is_none() -> None:
    roles = ("history 2", "history 2", "option B", "product", "review", "product 1")
    images = [SampleImage(role, "k") for role in roles]
    assert number_items(images) == {"history 2": 1, "option B": 2, "product 1": 3}


def test_the_text_of_an_item_belongs_to_its_image_and_the_rest_to_none(
    prompt_format: PromptFormat, tokenizer: Any, sample: Sample
) -> None:
    encoded = prompt_format.encode(sample, SHOWN)
    assert [image.item for image in encoded.images] == [1, 2, 3, 4]
    assert text_of_item(tokenizer, encoded, 1) == "1st: red mug"
    assert text_of_item(tokenizer, encoded, 2) == "3rd: blue rug"
    assert text_of_item(tokenizer, encoded, 4) == "B: black lamp"
    rest = text_of_item(tokenizer, encoded, 0)
    assert "2nd: café lamp" in rest  # it has no image
    assert rest.startswith("A question about products")


@pytest.mark.parametrize("chat", [None, CHAT])
def test_a_prompt_is_the_same_with_and_without_images(
    prompt_format: PromptFormat, tokenizer: Any, sample: Sample, chat: str | None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", chat)
    assert prompt_format.encode(sample, SHOWN).prompt == prompt_format.encode(sample).prompt
    assert prompt_format.encode(sample).token_items == ()


def test_two_products_are_two_items_and_one_product_is_none(
    prompt_format: PromptFormat, tokenizer: Any, sample: Sample
) -> None:
    fields = (InputField("product 1", ("A mug",), False), InputField("product 2", ("A lamp",), False))
    pair = replace(sample, fields=fields)
    encoded = prompt_format.encode(pair, [SampleImage("product 1", "k"), SampleImage("product 2", "l")])
    assert text_of_item(tokenizer, encoded, 2) == "A lamp"
    single = prompt_format.encode(pair, [SampleImage("product", "k")])
    assert set(single.token_items) == {0}
    assert single.images[0].kind == 0


def test_a_guide_never_has_the_answer(prompt_format: PromptFormat, tokenizer: Any, sample: Sample) -> None:
    guides = [image.guide for image in prompt_format.encode(sample, SHOWN).images]
    assert tokenizer.decode(guides[1]) == "What comes next?3rd: blue rug"
    assert tokenizer.decode(guides[3]) == "What comes next?black lamp"
    other = prompt_format.encode(replace(sample, output="A"), SHOWN)
    assert [image.guide for image in other.images] == guides


def test_marks_in_the_data_are_dropped(prompt_format: PromptFormat, tokenizer: Any, sample: Sample) -> None:
    hostile = replace(sample, options={"A": "green \uf8f0\uf002mug\uf8f1", "B": "black lamp"})
    encoded = prompt_format.encode(hostile, SHOWN)
    assert text_of_item(tokenizer, encoded, 3) == "A: green mug"


def test_a_history_that_is_cut_keeps_its_images_and_the_right_items(
    prompt_format: PromptFormat, tokenizer: Any, sample: Sample
) -> None:
    whole = prompt_format.encode(sample, SHOWN)
    short = replace(prompt_format, max_length=len(whole.prompt) + whole.answer_room - 8)
    encoded = short.encode(sample, SHOWN)
    assert encoded.shortened
    assert text_of_item(tokenizer, encoded, 1) == ""  # "1st: red mug" is gone
    assert text_of_item(tokenizer, encoded, 2) == "3rd: blue rug"
    assert len(encoded.images) == 4


def test_visual_tokens_precede_their_item_or_the_instruction(
    prompt_format: PromptFormat, tokenizer: Any, sample: Sample
) -> None:
    shown = (*SHOWN, SampleImage("review", "k"))
    encoded = replace(prompt_format, visual_tokens=2).encode(sample, shown)
    plain = prompt_format.encode(sample)
    text = tuple(t for t, slot in zip(encoded.prompt, encoded.token_slots, strict=True) if slot < 0)
    assert text == plain.prompt
    assert [slot for slot in encoded.token_slots if slot >= 0] == [8, 9, 0, 1, 2, 3, 4, 5, 6, 7]

    def after(slot: int) -> str:
        index = encoded.token_slots.index(slot)
        return str(tokenizer.decode([t for t in encoded.prompt[index:] if t != tokenizer.eos_token_id]))

    assert after(9).startswith("What comes next?")
    assert after(1).startswith("1st: red mug")
    assert after(3).startswith("3rd: blue rug")
    assert after(7).startswith("B: black lamp")


def test_images_that_do_not_fit_are_named(prompt_format: PromptFormat, sample: Sample) -> None:
    whole = prompt_format.encode(sample)
    room = len(whole.prompt) + whole.answer_room
    tight = replace(prompt_format, visual_tokens=2, max_length=room)
    assert tight.encode(sample, SHOWN).shortened
    with pytest.raises(DatasetError, match="its images 800"):
        replace(tight, visual_tokens=200).encode(sample, SHOWN)
