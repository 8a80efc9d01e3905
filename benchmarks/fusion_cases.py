"""The ways of fusing that `fusion.py` compares, as models of random weights, and one prompt for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from caslie_model.fusion import CaslieForCausalLM
from caslie_model.fusion.lora import inject_lora

VISION_WIDTH, GUIDE, ANSWER, DECODED, LORA_RANK = 768, 48, 8, 5, 16
# Repetitions of measurements that take milliseconds.
REPETITIONS = 15
XATTN_AIM, RATIO_AIM = 1.15, 0.20
LORA = {"rank": LORA_RANK, "alpha": 32, "dropout": 0.05, "target_modules": "all-linear"}
SHAPES: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "Llama-3.2-1B": {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
SMALL = "SmolLM2-135M"


@dataclass(frozen=True)
class Way:
    """A fusion and the number of patches of its images."""

    fusion: str
    patches: int = 49


WAYS = {
    "text": Way("text"),
    "xattn": Way("xattn"),
    "concat": Way("concat"),
    "concat-full 49": Way("concat-full"),
    "xattn 576": Way("xattn", 576),
    "concat-full 576": Way("concat-full", 576),
}
CASES = ((1, 300), (2, 300), (10, 1100), (30, 1100))  # images, text tokens
ANSWERING = ("prefill", "decode")
PHASES = (*ANSWERING, "training, frozen", "training, LoRA")

Result = dict[str, Any]

# Repetitions of every case; fewer of longer ones, so that all fit into minutes.
ROUNDS = {
    "answer": {1: 3, 2: 2, 10: 1, 30: 3},
    "training, frozen": {1: 0, 2: 0, 10: 0, 30: 2},
    "training, LoRA": {1: 2, 2: 1, 10: 3, 30: 2},
}


def rounds_of(name: str, phase: str, images: int, effort: int) -> int:
    """Return how often a cell is timed."""
    often = ROUNDS[phase][images] * effort
    if name == "concat-full 576":
        last = {"answer": 30, "training, LoRA": 2}.get(phase, 0)
        return 0 if images > last else min(often, 1 if images in (10, last) else often)
    if name == "xattn 576":
        # Beside those steps of concat-full that fit into memory.
        if phase != "answer":
            return often if phase == "training, LoRA" and images <= 2 else 0
        return often if images <= 2 else 1
    return often if phase != "training, frozen" or name in ("xattn", "concat-full 49") else 0


# -- models and inputs -------------------------------------------------------------------------------------


def build(shape: str, way: Way, device: str = "cpu") -> Any:
    """Return a model of random weights in evaluation mode, without LoRA."""
    config = LlamaConfig(
        **SHAPES[shape],
        max_position_embeddings=131072,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(config)
        if way.fusion != "text":
            model = CaslieForCausalLM.from_base(
                model,
                fusion=way.fusion,
                vision_width=VISION_WIDTH,
                vision_patches=way.patches,
                visual_scale=0.02,
                gate_init=0.5,
            )
    return model.eval()


def add_lora(model: Any) -> None:
    """Put LoRA into the language model, and train nothing else of it."""
    if isinstance(model, CaslieForCausalLM):
        model.add_lora(LORA["rank"], LORA["alpha"], LORA["dropout"], LORA["target_modules"])
    else:
        inject_lora(model, LORA)


def inputs_for(model: Any, way: Way, images: int, tokens: int, device: str = "cpu") -> dict[str, Tensor]:
    """Return one prompt of an instruction, the text of each item and an end, with an image per item."""
    torch.manual_seed(1)
    on = {"device": device}
    length = tokens
    item_inputs: dict[str, Tensor] = {}
    if way.fusion == "xattn":
        texts = torch.zeros(1, tokens, dtype=torch.long)
        first, last = tokens // 5, tokens * 4 // 5
        texts[0, first:last] = 1 + torch.arange(last - first) * images // (last - first)
        item_inputs = {"token_items": texts.to(device)}
    elif way.fusion != "text":
        visual = images * model.config.tokens_per_image
        length = tokens + visual
        slots = torch.full((1, length), -1)
        slots[0, tokens // 5 : tokens // 5 + visual] = torch.arange(visual)
        item_inputs = {"token_slots": slots.to(device)}
    inputs = {"input_ids": torch.randint(1, 1000, (1, length), **on), **item_inputs}
    if device == "cpu":
        inputs["attention_mask"] = torch.ones(1, length, dtype=torch.long)
    if way.fusion != "text":
        inputs |= {
            "image_features": torch.randn(images, way.patches, VISION_WIDTH, **on),
            "image_counts": torch.tensor([images]),
            "guide_ids": torch.randint(1, 1000, (images, GUIDE), **on),
            "guide_mask": torch.ones(images, GUIDE, dtype=torch.long, **on),
        }
        if device == "cpu":
            inputs["image_items"] = torch.arange(1, images + 1)
            inputs["image_roles"] = torch.ones(images, dtype=torch.long)
    return inputs


def prefill(model: Any, inputs: dict[str, Tensor]) -> Any:
    """Return the output of a pass over the prompt, with the cache."""
    with torch.inference_mode():
        return model(**inputs, use_cache=True, logits_to_keep=1)


def decode(model: Any, way: Way, inputs: dict[str, Tensor], output: Any) -> Any:
    """Return the output of the next token, as `generate` asks for it."""
    token = output.logits[:, -1:].argmax(dim=-1)
    more: dict[str, Any] = {}
    if "attention_mask" in inputs:
        inputs["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1)
        more["attention_mask"] = inputs["attention_mask"]
    if way.fusion == "xattn":
        more |= {"media": output.media, "token_items": torch.zeros_like(token)}
    elif way.fusion != "text" and not token.is_meta:
        # On meta, whether a slot is taken cannot be read.
        more |= {"media": output.media, "token_slots": torch.full_like(token, -1)}
    with torch.inference_mode():
        return model(
            input_ids=token, past_key_values=output.past_key_values, use_cache=True, logits_to_keep=1, **more
        )


def loss_of(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Return the loss on the last ANSWER tokens, with logits for these alone."""
    labels = inputs["input_ids"][:, -ANSWER - 1 :].clone()
    labels[:, 0] = -100
    return model(**inputs, labels=labels, logits_to_keep=ANSWER + 1, use_cache=False).loss
