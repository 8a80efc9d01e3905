"""Gradients, and that a model learns what only the image tells."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from caslie_model.errors import ModelError
from caslie_model.fusion.attention import Float32LayerNorm
from caslie_model.fusion.loss import IGNORED

YES, NO = 5, 9
TEXT = ("input_ids", "attention_mask", "position_ids", "labels")


def draw_questions(make: SimpleNamespace, seed: int, count: int) -> list[Any]:
    """Return questions with the same text whose image is of one of two kinds: the answer is which."""

    kinds = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    asked = make.question(3, images=1)
    questions = []
    for number in range(count):
        kind = number % 2
        features = kinds[kind] + 0.3 * torch.randn(5, 12, generator=generator)
        questions.append(replace(asked, images=[(features, 1)], answer=((YES, NO)[kind], 0)))
    return questions


def accuracy(model: Any, make: SimpleNamespace, questions: list[Any]) -> float:
    batch = make.batch(model.eval(), questions)
    with torch.inference_mode():
        logits = model(**batch, logits_to_keep=1).logits[:, -1]
    right: Tensor = logits.argmax(dim=1) == torch.tensor([question.answer[0] for question in questions])
    return float(right.float().mean())


@pytest.mark.parametrize(
    ("fusion", "gate", "steps"),
    [("xattn", 0.0, 40), ("xattn", 1.0, 40), ("concat", 0.0, 80), ("concat-full", 0.0, 160)],
)
def test_a_model_learns_from_images_alone(
    make: SimpleNamespace, fusion: str, gate: float, steps: int
) -> None:
    torch.manual_seed(0)
    model = make.model(fusion, gate_init=gate, guide_gate_init=0.0, speaking=False).train()
    groups = model.parameter_groups()
    optimiser = torch.optim.AdamW(
        [
            {"params": groups.pop("gates"), "lr": 0.05},
            *({"params": each, "lr": 1e-2} for each in groups.values()),
        ]
    )
    batch = make.batch(model, draw_questions(make, 0, 32), answers=True)
    for _ in range(steps):
        optimiser.zero_grad()
        model(**batch).loss.backward()
        optimiser.step()
    unseen = draw_questions(make, 1, 64)
    assert accuracy(model, make, unseen) == 1.0
    # With an image without information there is one answer for all.
    blind = [type(q)(q.prompt, q.items, [(torch.zeros(5, 12), 1)], q.answer) for q in unseen]
    assert accuracy(model, make, blind) <= 0.5


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def step(model: Any, batch: dict[str, Tensor], **more: Any) -> Tensor:
    model.zero_grad()
    loss: Tensor = model(**batch, **more).loss
    loss.backward()
    return loss.detach()


@pytest.fixture
def asked(make: SimpleNamespace) -> list[Any]:
    shapes = ((2, 9), (0, 6), (3, 13), (1, 7))
    answers = ((7, 0), (5, 6, 8, 0), (0,), (9, 3, 0))
    return [
        make.question(i, images=images, length=length, answer=answer)
        for i, ((images, length), answer) in enumerate(zip(shapes, answers, strict=True))
    ]


def test_shut_gates_get_gradients_before_the_rest(make: SimpleNamespace, asked: list[Any]) -> None:
    model = make.model("xattn", gate_init=0.0).train()
    batch = make.batch(model, asked, answers=True)
    step(model, batch)
    moved = {name for name, gradient in gradients(model).items() if gradient.abs().sum() > 0}
    assert moved == {f"adapters.{layer}.gate" for layer in model.config.adapter_layers}
    assert model.gates() == {1: 0.0, 3: 0.0}
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    assert all(gate != 0 for gate in model.gates().values())
    step(model, batch)
    moved = {name for name, gradient in gradients(model).items() if gradient.abs().sum() > 0}
    assert moved == {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_open_gates_let_every_output_learn_first(make: SimpleNamespace, asked: list[Any]) -> None:
    model = make.model("xattn", speaking=False).train()
    batch = make.batch(model, asked, answers=True)
    step(model, batch)
    moved = {name for name, gradient in gradients(model).items() if gradient.abs().sum() > 0}
    assert moved == {f"adapters.{layer}.output.weight" for layer in model.config.adapter_layers}
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    step(model, batch)
    moved = {name for name, gradient in gradients(model).items() if gradient.abs().sum() > 0}
    assert moved == {name for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("fusion", ["xattn", "concat", "concat-full"])
@pytest.mark.parametrize("lora", [False, True])
def test_training_leaves_the_base_models_weights_bit_for_bit(
    make: SimpleNamespace, asked: list[Any], fusion: str, lora: bool
) -> None:
    base = make.language_model().state_dict()
    model = make.model(fusion).train()
    if lora:
        model.add_lora(rank=2, alpha=4, dropout=0.0, target_modules="all-linear")
    before = {name: tensor.clone() for name, tensor in model.trained_state_dict().items()}
    groups = model.parameter_groups()
    optimiser = torch.optim.AdamW([{"params": group} for group in groups.values()], lr=0.01, weight_decay=0.1)
    for _ in range(3):
        step(model, make.batch(model, asked, answers=True))
        optimiser.step()
    after = model.state_dict()
    ours = {name.replace(".base_layer", ""): after[name] for name in after if name not in before}
    assert ours.keys() == {f"language_model.{name}" for name in base}
    assert all(torch.equal(ours[f"language_model.{name}"], base[name]) for name in base)
    assert all(not torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("fusion", ["xattn", "concat", "concat-full"])
def test_every_trained_parameter_is_in_one_group(make: SimpleNamespace, fusion: str) -> None:
    model = make.model(fusion)
    model.add_lora(rank=2, alpha=4, dropout=0.0, target_modules=["q_proj"])
    groups = model.parameter_groups()
    grouped = [id(weight) for group in groups.values() for weight in group]
    assert sorted(grouped) == sorted(id(weight) for weight in model.parameters() if weight.requires_grad)
    sizes = {name: bool(group) for name, group in groups.items()}
    assert sizes == {
        "gates": fusion != "concat-full",
        "resampler": fusion != "concat-full",
        "adapters": True,
        "lora": True,
    }


def test_lora_starts_as_the_model_without_it(make: SimpleNamespace, asked: list[Any]) -> None:
    model = make.model("xattn", gate_init=0.0)
    batch = make.batch(model, asked)
    with torch.inference_mode():
        before = model(**batch).logits
    model.add_lora(rank=2, alpha=4, dropout=0.0, target_modules="all-linear")
    with torch.inference_mode():
        assert torch.equal(model(**batch).logits, before)
        at_once = make.model("xattn", gate_init=0.0, lora=model.config.lora)
        assert torch.equal(at_once(**batch).logits, before)
    assert at_once.trained_state_dict().keys() == model.trained_state_dict().keys()
    names = {name for name, weight in model.language_model.named_parameters() if weight.requires_grad}
    assert names
    assert all(".lora_" in name for name in names)
    assert not any("lm_head" in name for name in names)


def test_below_the_first_adapter_nothing_is_kept_for_a_gradient(
    make: SimpleNamespace, asked: list[Any]
) -> None:
    model = make.model("xattn", first_adapter_layer=2, adapter_every=1).train()
    kept = []
    for layer in model.get_decoder().layers:
        layer.register_forward_hook(lambda _, __, output: kept.append(output.requires_grad))
    step(model, make.batch(model, asked, answers=True))
    assert kept == [False, False, True, True]
    # Checkpointing must not change that, whatever transformers does to the embeddings for other models.
    kept.clear()
    model.activation_checkpointing_enable()
    step(model, make.batch(model, asked, answers=True))
    assert kept[:4] == [False, False, True, True]


def test_a_later_first_adapter_keeps_less(make: SimpleNamespace, asked: list[Any]) -> None:
    kept = []
    for first in (0, 1, 2, 3):
        model = make.model("xattn", first_adapter_layer=first, adapter_every=9).train()
        count = [0]

        def pack(tensor: Tensor, count: list[int] = count) -> Tensor:
            count[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(**make.batch(model, asked, answers=True))
        kept.append(count[0])
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) == 4


@pytest.mark.parametrize("family", ["llama", "gemma3", "phi3"])
@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_checkpointed_gradients_are_the_same(
    make: SimpleNamespace, asked: list[Any], fusion: str, family: str
) -> None:
    model = make.model(fusion, family).train()
    batch = make.batch(model, asked, answers=True)
    loss, expected = step(model, batch), gradients(model)
    model.activation_checkpointing_enable({"use_reentrant": False})
    # Another forward pass in between must not disturb the recomputation in the first one's backward pass.
    model.zero_grad()
    first = model(**batch).loss
    model(**make.batch(model, asked[2:3], answers=True))
    first.backward()
    assert torch.equal(first.detach(), loss)
    found = gradients(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_reentrant_checkpointing_is_an_error(make: SimpleNamespace) -> None:
    with pytest.raises(ModelError, match="must be non-reentrant"):
        make.model("xattn").activation_checkpointing_enable({"use_reentrant": True})


@pytest.mark.parametrize("fusion", ["xattn", "concat"])
def test_labels_of_the_last_positions_are_labels_of_all(
    make: SimpleNamespace, asked: list[Any], fusion: str
) -> None:
    model = make.model(fusion).train()
    batch = make.batch(model, asked, answers=True)
    short = batch.pop("labels")
    missing = batch["input_ids"].shape[1] - short.shape[1]
    whole = torch.nn.functional.pad(short, (missing, 0), value=IGNORED)
    loss, expected = step(model, {**batch, "labels": short}), gradients(model)
    assert model(**batch, labels=short).logits.shape[1] == short.shape[1]
    assert model(**batch, labels=whole).logits.shape[1] == 4  # the positions before an answer's tokens
    torch.testing.assert_close(step(model, {**batch, "labels": whole}), loss)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(model(**batch, labels=short, logits_to_keep=9).loss.detach(), loss)
    model.eval()
    with torch.inference_mode():
        output = model(**batch, labels=whole)
        logits = model(**batch).logits
        torch.testing.assert_close(output.loss, loss)
    assert torch.equal(output.logits, logits)
    likelihoods = torch.log_softmax(logits[:, :-1], dim=2)
    labelled = whole[:, 1:] != IGNORED
    right = likelihoods.gather(2, whole[:, 1:].clamp(min=0)[:, :, None]).squeeze(2)[labelled]
    torch.testing.assert_close(loss, -right.mean())
    with pytest.raises(ModelError, match="labels for 5 positions, but logits_to_keep=3"):
        model(**batch, labels=short, logits_to_keep=3)


def test_gradient_accumulation_weighs_answer_tokens_alike(make: SimpleNamespace, asked: list[Any]) -> None:
    model = make.model("xattn").train()
    step(model, make.batch(model, asked, answers=True))
    expected = gradients(model)
    tokens = sum(len(question.answer) for question in asked)
    model.zero_grad()
    for half in (asked[:2], asked[2:]):
        model(
            **make.batch(model, half, answers=True), num_items_in_batch=torch.tensor(tokens)
        ).loss.backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("fusion", ["xattn", "concat", "concat-full"])
def test_a_batch_without_images_can_be_trained_on(make: SimpleNamespace, fusion: str) -> None:
    """Its gradients are 0, not missing: processes that share the work wait for each parameter."""
    model = make.model(fusion).train()
    questions = [make.question(1, images=0), make.question(2, images=0)]
    loss = step(model, make.batch(model, questions, answers=True))
    with torch.inference_mode():
        base = make.language_model()
        text = {n: v for n, v in make.batch(model, questions, answers=True).items() if n in TEXT}
        torch.testing.assert_close(loss, base(**text, logits_to_keep=text["labels"].shape[1]).loss)
    found = gradients(model)
    assert found.keys() == {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(not gradient.any() for gradient in found.values())


def test_guided_training_on_the_prompt_is_an_error(make: SimpleNamespace, asked: list[Any]) -> None:
    model = make.model("xattn").train()
    batch = make.batch(model, asked, answers=True)
    batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
    with pytest.raises(ModelError, match="labels cover the prompt, but it guides the resampler"):
        model(**batch)
    unguided = make.model("xattn", guide=False).train()
    assert torch.isfinite(unguided(**batch).loss)


def test_no_token_of_the_answer_reaches_the_media(make: SimpleNamespace, asked: list[Any]) -> None:
    model = make.model("xattn").eval()
    others = [type(q)(q.prompt, q.items, q.images, [11 for _ in q.answer]) for q in asked]
    with torch.inference_mode():
        output, changed = (model(**make.batch(model, each, answers=True)) for each in (asked, others))
    assert all(
        torch.equal(a, b) for a, b in zip(output.media.keys_values, changed.media.keys_values, strict=True)
    )
    # The third answer has one token: what predicts it does not depend on it.
    assert torch.equal(output.logits[2, :-1], changed.logits[2, :-1])


@pytest.mark.parametrize("fusion", ["xattn", "concat", "concat-full"])
def test_a_16_bit_language_model_trains_its_float32_connector(
    make: SimpleNamespace, asked: list[Any], fusion: str
) -> None:
    base = make.language_model().to(torch.bfloat16)
    model = make.model(fusion, base=base).train()
    model.add_lora(rank=2, alpha=4, dropout=0.0, target_modules=["q_proj"])
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    batch = make.batch(model, asked, answers=True)
    batch["image_features"] = batch["image_features"].to(torch.bfloat16)
    loss = step(model, batch)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(model).values())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(step(model, batch), loss, atol=0.1, rtol=0.05)
    # Answering: all of it in 16 bits, near to the float32 answer.
    exact = make.model(fusion)
    with torch.inference_mode():
        ours = model.eval()
        ours.set_own_dtype(torch.bfloat16)
        a, b = ours(**batch).logits.float(), exact(**batch).logits
    assert float((a - b).abs().mean()) < 0.05 * float(b.abs().mean())


def test_norms_are_float32_inside() -> None:
    norm = Float32LayerNorm(8).to(torch.bfloat16)
    states = torch.randn(4, 8, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(0)) * 3 + 200
    exact = torch.nn.functional.layer_norm(states.float(), (8,)).to(torch.bfloat16)
    assert torch.equal(norm(states), exact)


def pack(batch: dict[str, Tensor], questions: list[Any]) -> dict[str, Tensor]:
    """Return a padded batch as one row of samples one after the other, without padding."""
    real = batch["attention_mask"].bool()
    missing = real.shape[1] - batch["labels"].shape[1]
    labels = torch.nn.functional.pad(batch["labels"], (missing, 0), value=IGNORED)
    counts = batch["image_counts"]
    rows = torch.arange(len(questions))
    return {
        "input_ids": batch["input_ids"][real][None],
        "position_ids": batch["position_ids"][real][None],  # begins anew with each sample
        "token_items": batch["token_items"][real][None],
        "token_groups": rows[:, None].expand_as(real)[real][None],
        "labels": labels[real][None],
        "image_counts": counts.sum()[None],
        "image_groups": rows.repeat_interleave(counts),
        **{name: batch[name] for name in ("image_features", "image_items", "image_roles", "guide_ids")},
    }


def test_packed_samples_have_the_loss_and_gradients_of_a_padded_batch(
    make: SimpleNamespace, asked: list[Any]
) -> None:
    model = make.model("xattn").train()
    batch = make.batch(model, asked, answers=True)
    loss, expected = step(model, batch), gradients(model)
    packed = pack(batch, asked)
    torch.testing.assert_close(step(model, packed), loss)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)
    # Without the groups each sample would attend to the images of all.
    assert abs(float(step(model, {**packed, "token_groups": None})) - float(loss)) > 1e-3


def test_a_copied_model_has_adapters_of_its_own(make: SimpleNamespace, asked: list[Any]) -> None:
    model = make.model("xattn")
    copied = copy.deepcopy(model)
    batch = make.batch(model, asked)
    with torch.inference_mode():
        before = model(**batch).logits
        assert torch.equal(copied(**batch).logits, before)
        for adapter in copied.adapters.values():
            adapter.gate.zero_()
        assert not torch.allclose(copied(**batch).logits, before, atol=1e-3)
        assert torch.equal(model(**batch).logits, before)
