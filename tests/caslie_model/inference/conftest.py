"""Small random image-text models, one folder a family, with the files that published checkpoints have."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

IM_TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UTTERANCES = (
    "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}: {% for c in m.content %}{% if c.type == 'image' %}"
    "<image>{% else %}{{ c.text }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
# As of LLaVA 1.5: the tokenizer begins the prompt, the end-of-sequence token closes an answer, and all images of a turn
# are written before its text.
CAPITALS = (
    "{% for m in messages %}{{ m.role | upper }}: {% for c in m.content | selectattr('type', 'equalto', 'image') %}"
    "<image>\n{% endfor %}{% for c in m.content | selectattr('type', 'equalto', 'text') %}{{ c.text }}{% endfor %}"
    "{% if m.role == 'assistant' %}</s>{% endif %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
MODEL_TURNS = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% for c in m.content %}{% if c.type == 'image' %}<start_of_image>{% else %}{{ c.text | trim }}{% endif %}"
    "{% endfor %}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 7,
    "initializer_range": 0.2,
}
QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


@dataclass(frozen=True)
class Family:
    """How to make the checkpoint of a family.

    Attributes:
        template: The chat template.
        ends: The token that closes a turn.
        tokens: Other control tokens.
        named: Names of control tokens in the tokenizer's settings.
        processor: Class of the processor, and its settings.
        images: Settings of the image processor, with its class.
        config: Settings of the model, by the ids of control tokens.
        begins: A token that begins a prompt, if there is one.
        post: Whether the tokenizer puts it there.
        model_type: Type of the model, where it is not the family's name.
    """

    template: str
    ends: str
    tokens: tuple[str, ...]
    processor: dict[str, Any]
    images: dict[str, Any]
    config: Callable[[dict[str, int]], dict[str, Any]]
    named: dict[str, str] | None = None
    begins: str | None = None
    post: bool = False
    model_type: str | None = None


def qwen(processor: str, vision: dict[str, Any], patch: int = 14) -> Family:
    """Return a family with positions in rows and columns of images."""
    sections = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    return Family(
        IM_TURNS,
        "<|im_end|>",
        ("<|im_start|>", *QWEN_TOKENS),
        {"processor_class": processor},
        {
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "size": {"shortest_edge": (2 * patch) ** 2, "longest_edge": 16 * (2 * patch) ** 2},
            "patch_size": patch,
            "temporal_patch_size": 2,
            "merge_size": 2,
        },
        lambda ids: {
            "text_config": {**TEXT, "head_dim": 8, "rope_parameters": sections},
            "vision_config": {
                "num_heads": 4,
                "depth": 2,
                "patch_size": patch,
                "initializer_range": 0.2,
                **vision,
            },
            "image_token_id": ids["<|image_pad|>"],
            "video_token_id": ids["<|video_pad|>"],
            "vision_start_token_id": ids["<|vision_start|>"],
            "vision_end_token_id": ids["<|vision_end|>"],
        },
    )


def idefics(kind: str, text: str) -> Family:
    """Return a family that splits images into tiles."""
    return Family(
        UTTERANCES,
        "<end_of_utterance>",
        (
            "<|im_start|>",
            "<image>",
            "<fake_token_around_image>",
            "<global-img>",
            *(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)),
        ),
        {"processor_class": f"{kind}Processor", "image_seq_len": 4},
        {
            "image_processor_type": f"{kind}ImageProcessor",
            "size": {"longest_edge": 56},
            "max_image_size": {"longest_edge": 28},
        },
        lambda ids: {
            "text_config": {**TEXT, "model_type": text},
            "vision_config": TOWER,
            "image_token_id": ids["<image>"],
            "scale_factor": 2,
        },
    )


FAMILIES: dict[str, Family] = {
    "qwen2_vl": qwen("Qwen2VLProcessor", {"embed_dim": 32, "hidden_size": 32}),
    "qwen2_5_vl": qwen(
        "Qwen2_5_VLProcessor",
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
    ),
    "qwen3_vl": qwen(
        "Qwen3VLProcessor",
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        patch=16,
    ),
    "smolvlm": idefics("SmolVLM", "llama"),
    "idefics3": idefics("Idefics3", "llama"),
    "llava": Family(
        CAPITALS,
        "</s>",
        ("<s>", "<image>"),
        {
            "processor_class": "LlavaProcessor",
            "patch_size": 7,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 28},
            "crop_size": {"height": 28, "width": 28},
        },
        lambda ids: {
            "text_config": {**TEXT, "model_type": "llama"},
            "vision_config": {**TOWER, "model_type": "clip_vision_model"},
            "image_token_index": ids["<image>"],
            "image_seq_length": 16,
        },
        begins="<s>",
        post=True,
    ),
    "llava_next": Family(
        CAPITALS.replace("<image>\n", "<image>"),
        "</s>",
        ("<s>", "<image>"),
        {
            "processor_class": "LlavaNextProcessor",
            "patch_size": 7,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        },
        {
            "image_processor_type": "LlavaNextImageProcessor",
            "size": {"shortest_edge": 28},
            "crop_size": {"height": 28, "width": 28},
            "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]],
        },
        lambda ids: {
            "text_config": {**TEXT, "model_type": "mistral", "sliding_window": None},
            "vision_config": {**TOWER, "model_type": "clip_vision_model"},
            "image_token_index": ids["<image>"],
            "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]],
        },
        begins="<s>",
        post=True,
    ),
    "llava_onevision": Family(
        IM_TURNS.replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>\n"),
        "<|im_end|>",
        ("<|im_start|>", "<image>", "<video>"),
        {
            "processor_class": "LlavaOnevisionProcessor",
            "num_image_tokens": 16,
            "vision_feature_select_strategy": "full",
        },
        {
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "size": {"height": 28, "width": 28},
            "image_grid_pinpoints": [[28, 28], [28, 56], [56, 28], [56, 56]],
        },
        lambda ids: {
            "text_config": {**TEXT, "model_type": "qwen2"},
            "vision_config": {**TOWER, "model_type": "siglip_vision_model", "vision_use_head": False},
            "image_token_index": ids["<image>"],
            "video_token_index": ids["<video>"],
            "image_grid_pinpoints": [[28, 28], [28, 56], [56, 28], [56, 56]],
        },
    ),
    "internvl": Family(
        IM_TURNS.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n"),
        "<|im_end|>",
        ("<|im_start|>", "<IMG_CONTEXT>", "<img>", "</img>", "<video>"),
        {"processor_class": "InternVLProcessor", "image_seq_length": 4},
        {
            "image_processor_type": "GotOcr2ImageProcessor",
            "size": {"height": 28, "width": 28},
            "crop_to_patches": True,
            "max_patches": 4,
        },
        lambda ids: {
            "text_config": {**TEXT, "model_type": "qwen2"},
            "vision_config": {**TOWER, "image_size": [28, 28], "patch_size": [7, 7]},
            "image_token_id": ids["<IMG_CONTEXT>"],
            "image_seq_length": 4,
        },
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "gemma3": Family(
        MODEL_TURNS,
        "<end_of_turn>",
        ("<bos>", "<start_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        {"processor_class": "Gemma3Processor", "image_seq_length": 4},
        {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 28, "width": 28}},
        lambda ids: {
            # A window that is shorter than every prompt.
            "text_config": {
                **TEXT,
                "head_dim": 8,
                "query_pre_attn_scalar": 1,
                "sliding_window": 64,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "vision_config": {**TOWER, "model_type": "siglip_vision_model", "vision_use_head": False},
            "mm_tokens_per_image": 4,
            "image_token_index": ids["<image_soft_token>"],
            "boi_token_index": ids["<start_of_image>"],
            "eoi_token_index": ids["<end_of_image>"],
        },
        {
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        "<bos>",
    ),
    # One of those that are not tested.
    "aya_vision": Family(
        IM_TURNS.replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>"),
        "<|im_end|>",
        (
            "<|im_start|>",
            "<image>",
            "<|START_OF_IMG|>",
            "<|END_OF_IMG|>",
            "<|IMG_PATCH|>",
            "<|IMG_LINE_BREAK|>",
            "TILE",
            "TILE_GLOBAL",
        ),
        {"processor_class": "AyaVisionProcessor", "patch_size": 14, "img_size": 28, "downsample_factor": 1},
        {
            "image_processor_type": "GotOcr2ImageProcessor",
            "size": {"height": 28, "width": 28},
            "crop_to_patches": True,
            "max_patches": 4,
        },
        lambda ids: {
            "text_config": {
                **TEXT,
                "model_type": "cohere2",
                "head_dim": 8,
                "sliding_window": 64,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "vision_config": {
                **TOWER,
                "patch_size": 14,
                "model_type": "siglip_vision_model",
                "vision_use_head": False,
            },
            "image_token_index": ids["<|IMG_PATCH|>"],
            "downsample_factor": 1,
        },
    ),
}


LEARNT = {
    "model_type": "gpt2",
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 2048,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
# A language model with learnt positions, not rotary ones, which a shift of all leaves as they are.
FAMILIES["llava_gpt2"] = replace(
    FAMILIES["llava"],
    config=lambda ids: FAMILIES["llava"].config(ids) | {"text_config": {**LEARNT}},
    model_type="llava",
)


def write_model(name: str, folder: Path) -> Path:
    """Write a random model of a family."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

    family = FAMILIES[name]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    controls = ("<|pad|>", family.ends, *family.tokens)
    ids = {token: number for number, token in enumerate((*controls, *letters))}
    made = Tokenizer(models.BPE(vocab=ids, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(controls))
    if family.post:
        begin = str(family.begins)
        made.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, ids[begin])]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=family.ends,
        pad_token="<|pad|>",
        bos_token=family.begins,
        extra_special_tokens=family.named or {},
    )
    tokenizer.save_pretrained(folder)
    settings = family.config(ids)
    settings["text_config"] |= {"vocab_size": len(ids), "eos_token_id": ids[family.ends]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = AutoConfig.for_model(family.model_type or name, **settings)
        model = AutoModelForImageTextToText.from_config(config)
        # Some projectors begin at 0, and would show the model nothing.
        for weights in model.parameters():
            if weights.dim() > 1 and not weights.any():
                torch.nn.init.normal_(weights, std=0.2)
        # Sampling settings of a checkpoint, which must not reach an answer.
        model.generation_config.do_sample, model.generation_config.temperature = True, 3.0
        model.save_pretrained(folder)
    for file, content in (
        (
            "preprocessor_config.json",
            family.images | {"processor_class": family.processor["processor_class"]},
        ),
        ("processor_config.json", family.processor),
    ):
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(family.template, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def image_text_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a family's model, written once."""

    @cache
    def folder(name: str) -> Path:
        return write_model(name, tmp_path_factory.mktemp(name))

    return folder
