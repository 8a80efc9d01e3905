"""Image-text models of several families answer: prompts, images in their places, positions, batches, likelihoods."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from caslie_model.config.presets import evaluate_config
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ModelError
from caslie_model.inference.image_text_answers import (
    generated,
    likelihoods,
    likelihoods_in_whole,
    replies,
)
from caslie_model.inference.image_text_inputs import ImageTextInputs
from caslie_model.inference.image_text_model import AskedPrompt, ImageTextPredictor, open_image_text_model
from caslie_model.inference.questions import Prediction, Question, Shot
from caslie_model.prompts.message import Turn
from mmecinstruct.core.errors import DatasetError

FAMILIES = (
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "smolvlm",
    "idefics3",
    "llava",
    "llava_next",
    "llava_onevision",
    "internvl",
    "gemma3",
)
TASKS = ("product_relation_prediction", "category_classification", "sequential_recommendation")
WIDE, TALL = SampleImage("product", "wide"), SampleImage("product", "tall")


class Drawn(dict[str, bytes]):
    """Noise of several sizes."""

    def __init__(self) -> None:
        for name, size in {"wide": (56, 28), "tall": (28, 56), "small": (28, 28), "large": (90, 80)}.items():
            stream = io.BytesIO()
            noise = [Image.effect_noise(size, 90 + channel) for channel in range(3)]
            Image.merge("RGB", noise).save(stream, "PNG")
            self[name] = stream.getvalue()

    def content(self, key: str) -> bytes:
        return self[key]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return Drawn()


@pytest.fixture(scope="module")
def spool(image_dataset: Path) -> Iterator[SpooledImages]:
    with spool_images(str(image_dataset), samples(image_dataset)) as images:
        yield images


def samples(dataset: Path) -> list[Sample]:
    return [each for task in TASKS for each in read_samples(str(dataset), task, "test")]


def questions(dataset: Path, spool: SpooledImages) -> list[Question]:
    """Return questions with 0, 1 and several images, by turns."""
    chosen = [each for each in samples(dataset) if each.id[-1] in "013"]
    asked = [Question(each, spool.images[each.id]) for each in chosen]
    return sorted(asked, key=lambda question: question.sample.id[::-1])


def open_model(folder: Path, images: Any, **settings: Any) -> ImageTextPredictor:
    fields = {"data": "unused", "out": "unused", "device": "cpu", "max_pixels": 3136, **settings}
    return open_image_text_model(evaluate_config(model=str(folder), **fields), images)


Loaded = Callable[..., ImageTextPredictor]


@pytest.fixture(scope="module")
def loaded(image_text_folder: Callable[[str], Path], spool: SpooledImages) -> Loaded:
    """Return a predictor of a family, with the model that was loaded once."""
    kept: dict[str, ImageTextPredictor] = {}

    def make(name: str, **settings: Any) -> ImageTextPredictor:
        if name not in kept:
            kept[name] = open_model(image_text_folder(name), spool)
        first = kept[name]
        config = first._config.model_copy(update=settings)
        images = replace(first._inputs, max_pixels=config.max_pixels, _tokens={}, _sizes={})
        return ImageTextPredictor(config, images)

    return make


def talk(predictor: ImageTextPredictor, drawn: Drawn) -> ImageTextInputs:
    return ImageTextInputs(predictor._inputs.loaded, drawn, 3136)


def answers(predictor: ImageTextPredictor, asked: list[Question]) -> dict[Any, Prediction]:
    prepared = predictor.prepare(asked)
    return {each.question.key: said for group in predictor.answer(prepared) for each, said in group}


RENDERED = {
    "qwen": "<|im_start|>user\nFirst <|vision_start|><|image_pad|><|vision_end|>then "
    "<|vision_start|><|image_pad|><|vision_end|>which?<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n"
    "<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
    "smolvlm": "<|im_start|>User: First <image>then <image>which?<end_of_utterance>\nAssistant: B<end_of_utterance>\n"
    "User: Sure?<end_of_utterance>\nAssistant:",
    "llava": "USER: First <image>\nthen <image>\nwhich? ASSISTANT: B</s> USER: Sure? ASSISTANT:",
    "llava_next": "USER: First <image>then <image>which? ASSISTANT: B</s> USER: Sure? ASSISTANT:",
    "llava_onevision": "<|im_start|>user\nFirst <image>\nthen <image>\nwhich?<|im_end|>\n<|im_start|>assistant\n"
    "B<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
    "internvl": "<|im_start|>user\nFirst <IMG_CONTEXT>\nthen <IMG_CONTEXT>\nwhich?<|im_end|>\n<|im_start|>assistant\n"
    "B<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
    "gemma3": "<bos><start_of_turn>user\nFirst<start_of_image>then<start_of_image>which?<end_of_turn>\n"
    "<start_of_turn>model\nB<end_of_turn>\n<start_of_turn>user\nSure?<end_of_turn>\n<start_of_turn>model\n",
}
# What stands before each image, and its number of tokens: of 56x28 and of 28x56 pixels.
PLACES = {
    "qwen2_vl": ("<|vision_start|>", 2),
    "qwen2_5_vl": ("<|vision_start|>", 2),
    # Patches of 16 pixels: 64x32.
    "qwen3_vl": ("<|vision_start|>", 2),
    # Two tiles and the whole, of 4 tokens each.
    "smolvlm": ("First ", 12),
    "idefics3": ("First ", 12),
    "llava": ("First ", 16),
    # The whole, two tiles, and the ends of 4 or 8 lines.
    "llava_next": ("First ", 52, 56),
    # Of several images, each is one tile of 4x4 patches and a line's end.
    "llava_onevision": ("First ", 17),
    # Two tiles and the whole.
    "internvl": ("<img>", 12),
    "gemma3": ("\n\n<start_of_image>", 4),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_conversation_is_rendered_with_its_images_in_their_places(
    name: str, loaded: Loaded, drawn: Drawn
) -> None:
    inputs = talk(loaded(name), drawn)
    turns = [
        Turn("user", ("First ", WIDE, "then ", TALL, "which?")),
        Turn("assistant", ("B",)),
        Turn("user", ("Sure?",)),
    ]
    prompt = inputs.prompt(turns)
    key = "qwen" if "qwen" in name else "smolvlm" if name == "idefics3" else name
    assert prompt == (RENDERED[key], (WIDE, TALL))
    given = inputs.tensors([prompt])
    assert given["input_ids"].shape[1] == inputs.length(prompt)
    text = inputs.loaded.tokenizer.decode(given["input_ids"][0])
    assert text.startswith("<s>USER") is (name in ("llava", "llava_next"))
    before, *counts = PLACES[name]
    token = inputs.loaded.tokenizer.decode([image_token(inputs)])
    first, _, rest = text.partition("then")
    assert before in first
    assert [first.count(token), rest.count(token)] == [counts[0], counts[-1]]
    assert rest.rpartition(token)[2].lstrip("\n").endswith(text[text.index("which?") :])


def image_token(inputs: ImageTextInputs) -> int:
    return int(inputs.loaded.model.config.image_token_id)


@pytest.mark.parametrize("name", [*FAMILIES, "llava_gpt2"])
def test_likelihoods_by_the_shared_prompt_are_those_of_whole_passes(
    name: str, loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    predictor = loaded(name)
    asked = [each for each in predictor.prepare(questions(image_dataset, spool)) if each.prompt.images][:5]
    assert len({each.length for each in asked}) > 1
    assert len({len(each.prompt.images) for each in asked}) > 1
    together = likelihoods(
        predictor._inputs, [each.prompt for each in asked], [each.answers for each in asked]
    )
    for each, scores in zip(asked, together, strict=True):
        whole = likelihoods_in_whole(
            predictor._inputs, predictor._inputs.tensors([each.prompt]), each.answers
        )
        assert scores == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("name", [*FAMILIES, "llava_gpt2"])
@pytest.mark.parametrize("scoring", ["generate", "likelihood"])
def test_the_batch_size_changes_no_answer(
    name: str, scoring: str, loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    asked = questions(image_dataset, spool)
    assert {len(question.images) > 1 for question in asked if question.images} == {True, False}
    assert not all(question.images for question in asked)
    alone = answers(loaded(name, scoring=scoring, batch_size=1), asked)
    assert len({(said.label, said.text) for said in alone.values()}) > 1
    for size in (3, 8):
        together = answers(loaded(name, scoring=scoring, batch_size=size), asked)
        assert not all(said.alone for said in together.values())
        for key, said in alone.items():
            assert (together[key].label, together[key].text) == (said.label, said.text)
            assert together[key].tokens == said.tokens
            assert (together[key].scores or {}) == pytest.approx(said.scores or {}, abs=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_image_is_seen_in_its_place(name: str, loaded: Loaded, drawn: Drawn) -> None:
    inputs = talk(loaded(name), drawn)
    small = SampleImage("product", "small")
    told: list[Any] = []
    for images in ((WIDE, TALL), (TALL, WIDE), (WIDE, small)):
        turns = [Turn("user", ("First ", images[0], "then ", images[1], "which?"))]
        [scores] = likelihoods(inputs, [inputs.prompt(turns)], [{"A": (70, inputs.loaded.end)}])
        told.append(scores["A"])
    [scores] = likelihoods(
        inputs, [inputs.prompt([Turn("user", ("First then which?",))])], [{"A": (70, inputs.loaded.end)}]
    )
    told.append(scores["A"])
    assert min(abs(a - b) for i, a in enumerate(told) for b in told[:i]) > 1e-3


def test_demonstrations_are_earlier_turns_with_their_images(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    predictor = loaded("qwen2_vl")
    shown, asked = [question for question in questions(image_dataset, spool) if question.images][:2]
    question = replace(asked, shots=(Shot(shown.sample, shown.images),))
    plain, with_shot = predictor.prepare([asked, question])
    assert with_shot.prompt.images == (*shown.images, *asked.images)
    words = shown.sample.options[shown.sample.output]
    before, _, after = with_shot.prompt.text.partition(
        f"<|im_end|>\n<|im_start|>assistant\n{words}<|im_end|>\n"
    )
    assert after == plain.prompt.text
    assert before.count("<|image_pad|>") == len(shown.images)
    assert with_shot.fingerprint != plain.fingerprint
    assert len(answers(predictor, [question])) == 1


def test_demonstrations_are_left_out_where_they_do_not_fit(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    first, second, asked = [each for each in questions(image_dataset, spool) if each.images][:3]
    shots = tuple(Shot(each.sample, each.images) for each in (first, second))
    [fitting] = loaded("smolvlm").prepare([replace(asked, shots=shots[1:])])
    [cut] = loaded("smolvlm", max_length=fitting.length + 9).prepare([replace(asked, shots=shots)])
    assert cut.prompt == fitting.prompt
    assert (fitting.shortened, cut.shortened) == (False, True)


def with_long_text(question: Question, times: int) -> Question:
    fields = tuple(
        replace(field, texts=tuple(f"{text} {'word ' * times}" for text in field.texts))
        for field in question.sample.fields
    )
    return replace(question, sample=replace(question.sample, fields=fields))


@pytest.mark.parametrize("name", ["qwen2_vl", "smolvlm", "gemma3"])
def test_a_long_prompt_loses_text_and_no_image(
    name: str, loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    for question in questions(image_dataset, spool):
        [plain] = loaded(name).prepare([question])
        limit = plain.length + 60
        predictor = loaded(name, max_length=limit)
        [same, cut] = predictor.prepare([question, with_long_text(question, 60)])
        assert (same.shortened, cut.shortened) == (False, True)
        assert cut.prompt.images == plain.prompt.images
        tokens = predictor._inputs.tensors([cut.prompt])["input_ids"].shape[1]
        assert tokens + cut.answer_room == cut.length <= limit
        assert cut.length > limit - 80
        for words in question.sample.options.values():
            assert words in cut.prompt.text


def test_captions_lose_words_before_texts_do(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    for question in [each for each in questions(image_dataset, spool) if each.images][:3]:
        [plain] = loaded("smolvlm").prepare([question])
        captions = ("seen " * 30,) * len(question.images)
        captioned = replace(question, sample=replace(question.sample, captions=captions))
        limit = plain.length + 30 + 60 * len(question.images)
        [whole] = loaded("smolvlm").prepare([captioned])
        [cut] = loaded("smolvlm", max_length=limit).prepare([captioned])
        assert (whole.shortened, cut.shortened) == (False, True)
        assert limit - 5 * len(question.images) <= cut.length <= limit
        assert cut.prompt.images == plain.prompt.images
        assert cut.prompt.text.count("seen …") == len(question.images)
        assert all(text in cut.prompt.text for field in question.sample.fields for text in field.texts)
        [none] = loaded("smolvlm", max_length=plain.length).prepare([captioned])
        assert none.prompt == plain.prompt


def test_images_that_do_not_fit_are_an_error_with_a_remedy(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    question = max(questions(image_dataset, spool), key=lambda each: len(each.images))
    with pytest.raises(
        DatasetError, match=r"its \d images take \d+ tokens.*smaller max_pixels \(now 3,136\)"
    ):
        loaded("qwen2_vl", max_length=200).prepare([question])
    # A family with as many tokens for every image.
    with pytest.raises(DatasetError, match=r"max_length=200; raise max_length or leave the task out"):
        loaded("gemma3", max_length=200).prepare([question])


@pytest.mark.parametrize("name", ["qwen2_vl", "smolvlm"])
def test_max_pixels_shrinks_images_and_enlarges_none(name: str, loaded: Loaded, drawn: Drawn) -> None:
    inputs = talk(loaded(name), drawn)
    large, small = SampleImage("product", "large"), SampleImage("product", "small")
    fewer = replace(inputs, max_pixels=784, _tokens={}, _sizes={})
    assert inputs._decoded(large).size == (59, 52)
    assert fewer._decoded(large).size == (29, 26)
    assert inputs._decoded(small).size == fewer._decoded(small).size == (28, 28)
    assert fewer.image_length([large]) < inputs.image_length([large])


def test_control_tokens_and_image_places_in_texts_are_broken_up(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    for name, controls in {
        "qwen2_vl": ("<|image_pad|>", "<|im_end|>", "<|vision_start|>"),
        "gemma3": ("<start_of_image>", "<image_soft_token>", "<end_of_turn>"),
        "llava": ("<image>", "</s>"),
    }.items():
        predictor = loaded(name)
        [question, *_] = questions(image_dataset, spool)
        sample = replace(
            question.sample, instruction="".join(controls), options={"A": controls[0], "B": controls[1]}
        )
        [plain, attacked] = predictor.prepare([question, replace(question, sample=sample)])
        for control in controls:
            assert attacked.prompt.text.count(control) == plain.prompt.text.count(control)
        assert len(answers(predictor, [replace(question, sample=sample)])) == 1


def test_replies_are_the_same_in_any_batch(loaded: Loaded, drawn: Drawn) -> None:
    inputs = talk(loaded("smolvlm"), drawn)
    conversations = [
        [Turn("user", (WIDE, "Describe the product."))],
        [Turn("user", ("No image.",))],
        [Turn("user", (TALL, WIDE, "Which?")), Turn("assistant", ("This",)), Turn("user", ("Why?",))],
    ]
    together = replies(inputs, conversations, 5)
    assert together == [replies(inputs, [turns], 5)[0] for turns in conversations]
    assert len(set(together)) == 3


def test_sampling_settings_of_a_checkpoint_reach_no_answer(loaded: Loaded, drawn: Drawn) -> None:
    inputs = talk(loaded("llava"), drawn)
    prompt = inputs.prompt([Turn("user", (WIDE, "Describe the product."))])
    torch.manual_seed(1)
    first = generated(inputs, [prompt], [8])
    torch.manual_seed(2)
    assert generated(inputs, [prompt], [8]) == first
    assert inputs.loaded.end in inputs.loaded.model.generation_config.eos_token_id


def test_long_prompts_make_small_batches(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = loaded("internvl", scoring="likelihood")
    prepared = predictor.prepare(questions(image_dataset, spool))
    most = 2 * max(each.length for each in prepared)
    monkeypatch.setattr("caslie_model.inference.image_text_answers.SCORING_TOKENS", most)
    groups = [[each for each, _ in group] for group in predictor.answer(prepared)]
    assert {each.question.key for group in groups for each in group} == {
        each.question.key for each in prepared
    }
    assert max(len(group) for group in groups) > 1
    for group in groups:
        assert len(group) * max(each.length for each in group) <= most
        assert len({bool(each.prompt.images) for each in group}) == 1


def test_an_untested_family_is_named_and_answers_alone(
    image_text_folder: Callable[[str], Path],
    image_dataset: Path,
    spool: SpooledImages,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = questions(image_dataset, spool)
    for scoring in ("generate", "likelihood"):
        predictor = open_model(image_text_folder("aya_vision"), spool, scoring=scoring)
        assert (
            "aya_vision is none of the families of image-text models that are tested"
            in capsys.readouterr().err
        )
        groups = list(predictor.answer(predictor.prepare(asked)))
        assert [len(group) for group in groups] == [1] * len(asked)


def test_passes_of_their_own_give_the_answers_of_a_shared_prompt(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(image_dataset, spool)[:4]
    predictor = loaded("llava", scoring="likelihood")
    shared = answers(predictor, asked)
    monkeypatch.setattr("caslie_model.backbones.image_text_model.TESTED_FAMILIES", ())
    for key, said in answers(predictor, asked).items():
        assert said.label == shared[key].label
        assert said.scores == pytest.approx(shared[key].scores, abs=1e-4)


def test_length_normalised_scores_decide_per_token(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    asked = questions(image_dataset, spool)
    for said in answers(loaded("qwen3_vl", scoring="likelihood", length_normalised=True), asked).values():
        assert said.scores is not None
        assert said.tokens is not None
        per_token = {label: (score or 0) / said.tokens[label] for label, score in said.scores.items()}
        assert said.label == max(per_token, key=per_token.__getitem__)


def test_scores_that_are_no_numbers_give_no_answer(
    image_text_folder: Callable[[str], Path], image_dataset: Path, spool: SpooledImages
) -> None:
    for scoring in ("generate", "likelihood"):
        predictor = open_model(image_text_folder("llava"), spool, scoring=scoring)
        with torch.no_grad():
            predictor._inputs.loaded.model.lm_head.weight.fill_(float("nan"))
        for said in answers(predictor, questions(image_dataset, spool)[:3]).values():
            assert (said.label, said.finite) == (None, False)


def test_a_small_memory_is_an_error_with_a_remedy(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = loaded("llava")
    prepared = predictor.prepare(questions(image_dataset, spool)[:2])

    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predictor._inputs.loaded.model, "generate", fail)
    with pytest.raises(ModelError, match="out of memory with batch_size=8; give a smaller one"):
        list(predictor.answer(prepared))


def test_bfloat16_answers_are_those_of_any_batch_size(
    image_text_folder: Callable[[str], Path], image_dataset: Path, spool: SpooledImages
) -> None:
    asked = questions(image_dataset, spool)[:3]
    found = [
        answers(
            open_model(
                image_text_folder("qwen2_5_vl"),
                spool,
                scoring="likelihood",
                precision="bfloat16",
                batch_size=size,
            ),
            asked,
        )
        for size in (1, 3)
    ]
    assert [said.label for said in found[0].values()] == [found[1][key].label for key in found[0]]


def test_provenance_and_fingerprints_tell_what_answers_depend_on(
    loaded: Loaded, image_dataset: Path, spool: SpooledImages
) -> None:
    predictor = loaded("qwen2_vl")
    provenance = predictor.provenance
    assert provenance["family"] == "qwen2_vl"
    assert provenance["max_pixels"] == 3136
    assert provenance["chat_template"].startswith("{% for m in messages %}")
    question = next(each for each in questions(image_dataset, spool) if each.images)
    other = replace(question, images=(*question.images[:-1], SampleImage("product", "0" * 64)))
    [prepared] = predictor.prepare([question])
    assert isinstance(prepared, AskedPrompt)
    with pytest.raises(DatasetError, match="no image 0000"):
        predictor.prepare([other])
    [without] = predictor.prepare([replace(question, images=())])
    assert without.fingerprint != prepared.fingerprint


def test_a_chat_template_is_rendered_within_bounds(loaded: Loaded, drawn: Drawn) -> None:
    inputs = talk(loaded("qwen2_vl"), drawn)
    for template, message in {
        "{{ messages[0].content[1].text }}": r"writes 0 places \(<\|image_pad\|>\) for 1 images",
        "{{ 'a' * 100000000 }}": "the processor's chat template cannot be filled",
        "{{ messages.__class__.__mro__ }}": "the processor's chat template cannot be filled",
    }.items():
        changed = replace(inputs, loaded=replace(inputs.loaded, chat_template=template))
        with pytest.raises(ModelError, match=message):
            changed.prompt([Turn("user", (WIDE, "Which?"))])
