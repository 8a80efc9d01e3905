from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, MambaConfig, MistralConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from caslie_model.adapters.trainable import trainable_model
from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.labels_and_padding import IGNORED, training_batch
from caslie_model.batching.order import BatchOrder
from caslie_model.batching.packing import check_packing, pack_rows, packed_batch
from caslie_model.config.presets import finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.data.samples import read_samples
from caslie_model.errors import ConfigError, ModelError
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.device import CPU
from caslie_model.training.finetune import finetune
from caslie_model.training.hf_trainer import build_trainer
from caslie_model.training.inputs import TrainingInputs
from caslie_model.vision.visual_inputs import VisualInputs, load_visual_inputs


def config(data: Path, out: Path, *overrides: str) -> FinetuneConfig:
    settings = (
        "tasks=[prp]",
        "batch_size=6",
        "log_every=1",
        "device=cpu",
        "lora.dropout=0",
        "connector.gate_init=0.5",  # open from the start, so that images count in the first step
    )
    return finetune_config("tiny", [*settings, *overrides], data=str(data), out=out)


@pytest.fixture(scope="module")
def samples(shop: Path) -> tuple[list[Encoded], VisualInputs]:
    """Six samples of different lengths, with 2, 0, 1, 3, 2 and 0 images."""
    asked = config(shop, Path("o"), "fusion=xattn")
    assert asked.vision is not None
    found = read_samples(str(shop), "product_relation_prediction", "train")[:6]
    visual_inputs = load_visual_inputs(str(shop), found, asked.vision, CPU)
    prompts = PromptFormat(load_base_model("random:tiny").tokenizer, *packaged_templates(), "text", 4096)
    return prompts.encode_all(found, visual_inputs.images), visual_inputs


def test_rows_are_few_and_filled_evenly() -> None:
    assert pack_rows([200] * 8, 1024) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    lengths = [500, 30, 700, 300, 320, 90]
    rows = pack_rows(lengths, 1000)
    assert sorted(index for row in rows for index in row) == list(range(6))
    assert len(rows) == 2
    assert all(sum(lengths[index] for index in row) <= 1000 for row in rows)
    # Filling evenly must not overfill: 3 + 2 + 2 and 3 + 2 would.
    assert pack_rows([3, 3, 2, 2, 2], 6) == [[0, 1], [2, 3, 4]]


def test_a_sample_longer_than_a_row_has_its_own_row() -> None:
    assert pack_rows([40, 1500, 60], 1000) == [[1], [2, 0]]


def test_a_packed_batch(samples: tuple[list[Encoded], VisualInputs]) -> None:
    encoded, visual_inputs = samples
    longest = max(len(each.prompt) + len(each.target) for each in encoded)
    batch = packed_batch(encoded, 0, 3 * longest, visual_inputs.features)
    assert "attention_mask" not in batch
    assert len(batch["input_ids"]) == 2
    assert int(batch["image_counts"].sum()) == len(batch["image_features"]) == 8
    shown = 0
    found = []
    for row in range(2):
        for group in range(int(batch["token_groups"][row].max()) + 1):
            here = batch["token_groups"][row] == group
            labels = batch["labels"][row][here]
            tokens = batch["input_ids"][row][here]
            each = next(e for e in encoded if tokens.tolist() == [*e.prompt, *e.target])
            assert batch["position_ids"][row][here].tolist() == list(range(len(tokens)))
            assert labels.tolist() == [IGNORED] * len(each.prompt) + list(each.target)
            keys = [image.key for image in each.images]
            part = slice(shown, shown + len(keys))
            if keys:
                assert torch.equal(batch["image_features"][part], visual_inputs.features(keys))
            assert batch["image_groups"][part].tolist() == [group] * len(keys)
            assert batch["image_items"][part].tolist() == [image.item for image in each.images]
            shown += len(keys)
            found.append(each.sample.id)
        rest = batch["token_groups"][row] == -1
        assert bool((batch["labels"][row][rest] == IGNORED).all())
        assert bool((batch["token_items"][row][rest] == -1).all())
    assert sorted(found) == sorted(each.sample.id for each in encoded)


def loss_and_gradients(
    asked: FinetuneConfig, encoded: list[Encoded], visual_inputs: VisualInputs
) -> tuple[float, dict[str, torch.Tensor], torch.Tensor]:
    """Return what the Trainer computes for one batch of all samples, with the model in training."""
    base = load_base_model("random:tiny")
    torch.manual_seed(0)
    visual = visual_inputs if asked.fusion == "xattn" else None
    model = trainable_model(base, asked, visual)
    for name, weight in model.named_parameters():  # these begin as nothing, and keep others from being learnt
        if (
            "lora_B" in name
            or name.endswith("guide_gate")
            or re.fullmatch(r"adapters\.\d+\.output\.weight", name)
        ):
            torch.nn.init.normal_(weight, std=0.1)
    order = BatchOrder((tuple(range(len(encoded))),), 0, "epochs")
    prompts = PromptFormat(base.tokenizer, *packaged_templates(), "text", 4096)
    trainer = build_trainer(asked, model, TrainingInputs(base, prompts, encoded, order, visual))
    batch = next(iter(trainer.get_train_dataloader()))
    items = trainer._get_num_items_in_batch([batch], torch.device("cpu"))
    model.train()
    loss = trainer.compute_loss(model, batch, num_items_in_batch=items)
    loss.backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    return float(loss.detach()), gradients, items


@pytest.mark.parametrize("pack_length", [64, 700, 4096])  # one sample, some samples, all samples in a row
def test_packed_samples_give_the_loss_and_the_gradients_of_padded_ones(
    kind: tuple[str, ...],
    pack_length: int,
    samples: tuple[list[Encoded], VisualInputs],
    shop: Path,
    tmp_path: Path,
) -> None:
    encoded, visual_inputs = samples
    settings = (*kind, f"pack_length={pack_length}")
    loss, gradients, items = loss_and_gradients(config(shop, tmp_path, *settings), encoded, visual_inputs)
    packed = loss_and_gradients(config(shop, tmp_path, *settings, "packing=true"), encoded, visual_inputs)
    assert packed[0] == pytest.approx(loss, rel=1e-5)
    assert packed[2] == items == sum(len(each.target) for each in encoded)
    assert sum(float(each.abs().sum()) > 0 for each in gradients.values()) > 0.9 * len(gradients)
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(packed[1][name], gradient, atol=1e-4 * scale + 1e-7, rtol=1e-3)


def test_answers_depend_on_their_own_sample_alone(
    samples: tuple[list[Encoded], VisualInputs], shop: Path, tmp_path: Path
) -> None:
    """Other images and other words in a row's first sample leave the logits of its last as they were."""
    encoded, visual_inputs = samples
    model = trainable_model(
        load_base_model("random:tiny"), config(shop, tmp_path, "fusion=xattn"), visual_inputs
    ).eval()
    batch = packed_batch(encoded, 0, 4096, visual_inputs.features)
    groups = batch["token_groups"][0]
    changed = {name: value.clone() for name, value in batch.items()}
    changed["input_ids"][0][groups == 0] = 5
    changed["image_features"][changed["image_groups"] == 0] += 1.0

    def logits(inputs: dict[str, Any]) -> torch.Tensor:
        with torch.inference_mode():
            return model(**{**inputs, "labels": None}, use_cache=False).logits[0]

    one, other = logits(batch), logits(changed)
    last = groups == groups.max()
    assert torch.equal(one[last], other[last])
    assert not torch.allclose(one[groups == 0], other[groups == 0], atol=1e-2)


@pytest.mark.slow
def test_a_run_learns_the_same_packed(kind: tuple[str, ...], shop: Path, tmp_path: Path) -> None:
    settings = (*kind, "gradient_accumulation=2", "batch_size=3")
    runs = [
        finetune(config(shop, tmp_path / name, *settings, *more)).folder
        for name, more in (("padded", ()), ("packed", ("packing=true", "pack_length=1200")))
    ]
    padded, packed = (json.loads((out / "training.json").read_text()) for out in runs)
    assert packed["tokens"] == padded["tokens"]
    assert packed["steps"] == padded["steps"] == 4
    assert [e["loss"] for e in packed["log"]] == pytest.approx([e["loss"] for e in padded["log"]], rel=1e-3)


SMALL: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "initializer_range": 0.2,
}
PACKABLE: dict[str, Callable[[], Any]] = {
    "a sliding window": lambda: MistralConfig(
        **SMALL, intermediate_size=32, num_attention_heads=2, num_key_value_heads=1, sliding_window=3
    ),
    "learnt positions": lambda: GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2),
}


@pytest.mark.parametrize("family", PACKABLE)
def test_models_with_attention_can_be_packed(family: str) -> None:
    torch.manual_seed(0)
    check_packing(AutoModelForCausalLM.from_config(PACKABLE[family]()).eval())


def test_a_recurrent_model_is_not_packed() -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(MambaConfig(**SMALL, state_size=4)).eval()
    with pytest.raises(ModelError, match="in a MambaForCausalLM the samples of a row depend on each other"):
        check_packing(model)


@pytest.mark.parametrize("fusion", ["concat", "concat-full"])
def test_visual_tokens_are_not_packed(fusion: str) -> None:
    with pytest.raises(ConfigError, match=f"packing is for text and xattn; with fusion={fusion}"):
        finetune_config("tiny", ["packing=true"], data="d", out="o", fusion=fusion)


def test_padded_batches_stay_as_they_were(samples: tuple[list[Encoded], VisualInputs]) -> None:
    encoded, visual_inputs = samples
    batch = training_batch(encoded, 0, visual_inputs.features)
    assert batch["image_counts"].tolist() == [2, 0, 1, 3, 2, 0]
    assert batch["token_items"].shape == batch["input_ids"].shape
    assert "image_groups" not in batch
