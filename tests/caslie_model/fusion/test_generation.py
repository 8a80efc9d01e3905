"""Answers: with and without cache, alone and in a batch, by beams, and several candidates per prompt."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from caslie_model.errors import ModelError
from caslie_model.fusion import CaslieForCausalLM

FUSIONS = ("xattn", "concat", "concat-full")
FAMILIES = ("llama", "mistral", "qwen3", "phi3", "gemma2", "gemma3", "gpt2")
GREEDY: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False}


def questions(make: SimpleNamespace) -> list[Any]:
    """Return questions of different lengths with 2, 0, 3 and 1 images."""
    shapes = ((2, 9), (0, 6), (3, 13), (1, 7))
    return [make.question(i, images=images, length=length) for i, (images, length) in enumerate(shapes)]


def generate(model: CaslieForCausalLM, batch: dict[str, Any], **settings: Any) -> list[list[int]]:
    batch = {name: value for name, value in batch.items() if name != "position_ids"}
    sequences = model.generate(**batch, **{**GREEDY, **settings})[:, batch["input_ids"].shape[1] :]
    end = model.generation_config.eos_token_id
    # Padding follows an answer that has ended, up to the longest of the batch.
    return [row[: row.index(end) + 1] if end in row else row for row in sequences.tolist()]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_every_family_generates_the_same_with_and_without_cache(
    make: SimpleNamespace, fusion: str, family: str
) -> None:
    model = make.model(fusion, family)
    batch = make.batch(model, questions(make))
    cached = generate(model, batch)
    assert cached == generate(model, batch, use_cache=False)
    assert len({tuple(tokens) for tokens in cached}) > 1


@pytest.mark.parametrize("fusion", FUSIONS)
def test_logits_step_by_step_are_those_of_the_whole(make: SimpleNamespace, fusion: str) -> None:
    model = make.model(fusion)
    batch = make.batch(model, questions(make), answers=True)
    del batch["labels"]
    with torch.inference_mode():
        whole = model(**batch).logits
        head = {n: v[:, :-2] if v.shape == batch["input_ids"].shape else v for n, v in batch.items()}
        output = model(**head, use_cache=True)
        steps = [output.logits[:, -1:]]
        for offset in (2, 1):
            end = batch["input_ids"].shape[1] - offset
            output = model(
                input_ids=batch["input_ids"][:, end : end + 1],
                attention_mask=batch["attention_mask"][:, : end + 1],
                position_ids=batch["position_ids"][:, end : end + 1],
                past_key_values=output.past_key_values,
                media=output.media,
                use_cache=True,
            )
            steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole[:, -3:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_a_batch_answers_as_its_samples_do_alone(make: SimpleNamespace, fusion: str, family: str) -> None:
    model = make.model(fusion, family)
    asked = questions(make)
    with torch.inference_mode():
        together = model(**make.batch(model, asked)).logits[:, -1]
        alone = torch.cat([model(**make.batch(model, [each])).logits[:, -1] for each in asked])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert generate(model, make.batch(model, asked)) == [
        generate(model, make.batch(model, [each]))[0] for each in asked
    ]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_beams_of_a_batch_are_those_of_its_samples(make: SimpleNamespace, fusion: str) -> None:
    model = make.model(fusion)
    asked = questions(make)
    beams = {"num_beams": 3, "num_return_sequences": 2}
    together = generate(model, make.batch(model, asked), **beams)
    alone = [tokens for each in asked for tokens in generate(model, make.batch(model, [each]), **beams)]
    assert together == alone


def test_one_beam_of_many_is_at_least_as_likely_as_the_greedy_answer(make: SimpleNamespace) -> None:
    model = make.model("xattn")
    batch = make.batch(model, [make.question(1)])
    greedy, best = (
        model.generate(
            **batch,
            **{**GREEDY, **settings},
            output_scores=True,
            return_dict_in_generate=True,
            eos_token_id=None,
        )
        for settings in ({}, {"num_beams": 4, "length_penalty": 0.0})
    )
    scores = model.compute_transition_scores(greedy.sequences, greedy.scores, normalize_logits=True)
    assert float(best.sequences_scores) >= float(scores.sum()) - 1e-5


@pytest.mark.parametrize("fusion", FUSIONS)
def test_media_are_computed_once_per_answer(
    make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, fusion: str
) -> None:
    model = make.model(fusion)
    calls: list[int] = []
    encode = CaslieForCausalLM.encode_media

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(1)
        return encode(self, *arguments, **named)

    monkeypatch.setattr(CaslieForCausalLM, "encode_media", counted)
    generate(model, make.batch(model, questions(make)), num_beams=2)
    assert len(calls) == 1


@pytest.mark.parametrize("fusion", FUSIONS)
def test_media_computed_beforehand_serve_generation_too(make: SimpleNamespace, fusion: str) -> None:
    model = make.model(fusion)
    batch = make.batch(model, questions(make))
    expected = generate(model, batch)
    names = ("image_features", "image_counts", "image_items", "image_roles", "guide_ids", "guide_mask")
    with torch.inference_mode():
        media = model.encode_media(**{name: batch.pop(name) for name in names})
    assert generate(model, batch, media=media) == expected
    assert generate(model, batch, media=media, num_beams=2) == generate(
        model, batch, media=media, num_beams=2
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_candidates_share_their_prompts_keys_and_media(make: SimpleNamespace, fusion: str) -> None:
    """Scoring all options of a prompt: rows of cache and media are selected, several times each."""
    model = make.model(fusion)
    asked = questions(make)
    candidates = [(0, (5, 6)), (0, (7, 8)), (2, (5, 9)), (1, (4, 4)), (2, (1, 2))]
    with torch.inference_mode():
        batch = make.batch(model, asked)
        output = model(**batch, use_cache=True, logits_to_keep=1)
        chosen = torch.tensor([row for row, _ in candidates])
        cache = copy.deepcopy(output.past_key_values)
        cache.batch_select_indices(chosen)
        mask = batch["attention_mask"][chosen]
        continued = model(
            input_ids=torch.tensor([tokens for _, tokens in candidates]),
            attention_mask=torch.cat([mask, torch.ones(len(candidates), 2, dtype=torch.long)], dim=1),
            position_ids=mask.sum(dim=1, keepdim=True) + torch.arange(2),
            past_key_values=cache,
            media=output.media.rows(chosen),
            use_cache=True,
        ).logits
        for ours, (row, tokens) in zip(continued, candidates, strict=True):
            question = type(asked[0])(asked[row].prompt, asked[row].items, asked[row].images, tokens)
            whole = make.batch(model, [question], answers=True)
            del whole["labels"]
            torch.testing.assert_close(ours, model(**whole).logits[0, -2:], atol=1e-5, rtol=1e-4)


def test_inputs_that_do_not_fit_together_are_named(make: SimpleNamespace) -> None:
    model = make.model("xattn")
    batch = make.batch(model, questions(make))
    wrong: list[tuple[dict[str, Any], str]] = [
        (
            {"image_counts": torch.tensor([1, 1, 1, 1])},
            r"image_counts \[1, 1, 1, 1\] add up to 4, but there are 6",
        ),
        ({"image_counts": None}, r"give image_counts of shape \[4\]"),
        ({"image_features": torch.zeros(6, 5, 13)}, r"takes \[M, 5, 12\]"),
        ({"image_items": torch.full((6,), 65)}, "image_items must be between 0 and 64, not 65"),
        ({"image_roles": torch.full((6,), -1)}, "image_roles must be between 0 and 3, not -1"),
        ({"image_items": torch.zeros(5)}, r"image_items of shape \[5\] for 6 images"),
        ({"guide_ids": None}, "guide_ids"),
        ({"guide_mask": torch.ones(2, 3)}, r"guide_mask of shape \[2, 3\] for 6 images"),
        ({"token_items": torch.zeros(4, 3)}, r"token_items of shape \[4, 3\] for tokens of shape \[4, 13\]"),
        ({"input_ids": None}, "give input_ids"),
    ]
    for changes, message in wrong:
        with pytest.raises(ModelError, match=message):
            model(**{**batch, **changes})
    with pytest.raises(ModelError, match="media of 4 samples for a batch of 2"):
        model(torch.ones(2, 3, dtype=torch.long), media=model(**batch).media)


def test_concat_takes_each_visual_token_once(make: SimpleNamespace) -> None:
    model = make.model("concat")
    batch = make.batch(model, questions(make))
    with pytest.raises(ModelError, match="fusion=concat needs token_slots"):
        model(**{**batch, "token_slots": None})
    for change in (-1, 5):
        slots = batch["token_slots"].clone()
        slots[0, (slots[0] == 2).nonzero()] = change
        with pytest.raises(
            ModelError, match=r"with 6 visual tokens \(3 per image\) must hold 0 to 5, each once"
        ):
            model(**{**batch, "token_slots": slots})
