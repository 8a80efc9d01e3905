"""Our own contestants in `training.py`: the project's finetune, and variants without a part of it.

    python training_ways.py JOB WAY

Each builds what `caslie_model.training.finetune` and `caslie_model.training.run` build, from the same config, and
trains when it is its turn.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from training_turns import Batches, Line, order_of, train_in_turns

from caslie_model.adapters.trainable import trainable_model
from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.labels_and_padding import IGNORED, training_batch
from caslie_model.batching.order import BatchOrder
from caslie_model.config.presets import finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.data.images import Features, decode_image, iterate_images, read_images
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.device import CPU
from caslie_model.training.finetune import select_samples
from caslie_model.training.hf_trainer import build_trainer
from caslie_model.training.inputs import TrainingInputs
from caslie_model.vision.encoder import load_vision_encoder
from caslie_model.vision.feature_cache import open_feature_cache
from caslie_model.vision.feature_computation import compute_features
from caslie_model.vision.visual_inputs import VisualInputs

SPLIT = "train"
EFFICIENTNET = "package:efficientnet_lite0"
# SigLIP base in two sizes of image: folders beside the job, with the side in pixels.
SIGLIP = {"siglip-base-224": 224, "siglip-base-384": 384}


@dataclass(frozen=True)
class Way:
    """How one of ours trains. encoder: of the images, none for text."""

    encoder: str = ""
    packing: bool = False
    lora: bool = True
    recompute: bool = False  # the features, in every step
    plain: bool = False  # by transformers' Trainer as it comes


WAYS = {
    "text": Way(),
    "text, packed": Way(packing=True),
    "xattn and LoRA": Way(EFFICIENTNET),
    "EfficientNet, cached": Way(EFFICIENTNET, lora=False),
    "EfficientNet, recomputed": Way(EFFICIENTNET, lora=False, recompute=True),
    "EfficientNet, recomputed by Trainer": Way(EFFICIENTNET, lora=False, recompute=True, plain=True),
    "SigLIP, cached": Way("siglip-base-224", lora=False),
    "SigLIP, recomputed": Way("siglip-base-224", lora=False, recompute=True),
    "SigLIP 384, cached": Way("siglip-base-384", lora=False),
    "SigLIP 384, recomputed": Way("siglip-base-384", lora=False, recompute=True),
}


def config_of(job: dict[str, Any], folder: Path, way: Way) -> FinetuneConfig:
    """Return the preset's config with the job's settings."""
    optimiser, lora = job["settings"]["optimiser"], job["settings"]["lora"]
    settings = {
        **{name: optimiser[name] for name in ("seed", "weight_decay", "max_grad_norm")},
        "lr": optimiser["learning_rate"],
        # One rate for all kinds of weights: a Trainer as it comes has no other.
        "lr_connector": optimiser["learning_rate"],
        "lr_gates": optimiser["learning_rate"],
        "warmup": 0,
        "batch_size": len(job["orders"]["planned"][0][0]),
        "max_length": job["max_length"],
        "max_train_tokens": None,
        "checkpoint_every": 1_000_000,
        "precision": "float32",
        "device": "cpu",
        "lora": lora,
        "packing": way.packing,
        "with_lora": way.lora,
    }
    if way.encoder:
        settings["vision"] = vision_of(folder, way.encoder)
    fusion = "xattn" if way.encoder else "text"
    return finetune_config(
        job["preset"], [], data=job["data"], out=folder / "ours", fusion=fusion, **settings
    )


def vision_of(folder: Path, encoder: str) -> dict[str, Any]:
    """Return the settings of an encoder; EfficientNet's are those of the preset smollm2-135m."""
    if encoder == EFFICIENTNET:
        return {"encoder": encoder, "layer": 10}
    return {"encoder": str(folder / encoder)}


def write_siglip(folder: Path, side: int) -> None:
    """Write an encoder of the shape of SigLIP base (patches of 16, images of side x side), with random weights.

    What it costs does not depend on its weights.
    """
    import torch
    from transformers import SiglipVisionConfig, SiglipVisionModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    if (folder / "config.json").is_file():
        return
    torch.manual_seed(0)
    SiglipVisionModel(SiglipVisionConfig(image_size=side, patch_size=16)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)


def inputs_of(config: FinetuneConfig, folder: Path, ids: set[str]) -> tuple[VisualInputs, dict[str, Any]]:
    """Return the vision inputs, with a feature cache of the benchmark's own, and the time of filling it."""
    assert config.vision is not None
    vision = config.vision
    encoder = load_vision_encoder(vision.encoder, CPU, vision.pool, vision.layer)
    cache = open_feature_cache(encoder, folder)
    begin = time.process_time()
    counts = compute_features(config.data, config.tasks, [SPLIT], encoder, cache)
    images = {}
    for task in config.tasks:
        images |= read_images(config.data, task, SPLIT)
    about_images = {"images": counts.images, "distinct": counts.distinct}
    if counts.computed == counts.distinct:
        about_images["seconds_of_features"] = time.process_time() - begin
    shown = {one: images[one] for one in ids}
    return VisualInputs(
        shown, cache, encoder.name, encoder.fingerprint, (encoder.patches, encoder.width)
    ), about_images


def recomputing(config: FinetuneConfig, rounded: bool) -> Features:
    """Return features that are decoded and encoded anew whenever asked for; rounded: as the cache keeps them."""
    assert config.vision is not None
    vision = config.vision
    encoder = load_vision_encoder(vision.encoder, CPU, vision.pool, vision.layer)
    contents = {
        each.image.key: each.content
        for task in config.tasks
        for _, shown in iterate_images(config.data, task, SPLIT)
        for each in shown
    }

    def features(keys: Sequence[str]) -> Any:
        found = encoder.encode([decode_image(contents[key], key) for key in keys])
        return found.half().float() if rounded else found

    return features


def plain_trainer(model: Any, rows: Sequence[Encoded], job: dict[str, Any], features: Features) -> Any:
    """Return transformers' own Trainer on a fusion model: labels of whole rows, features from the collator."""
    import torch
    from transformers import Trainer, TrainingArguments

    batches = order_of(job, "planned")

    def collate(examples: Sequence[Encoded]) -> dict[str, Any]:
        batch = training_batch(examples, model.generation_config.pad_token_id, features)
        missing = batch["input_ids"].shape[1] - batch["labels"].shape[1]
        batch["labels"] = torch.nn.functional.pad(batch["labels"], (missing, 0), value=IGNORED)
        return batch

    arguments = TrainingArguments(
        output_dir=str(Path(job["data"]).parent / "plain"),
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        per_device_train_batch_size=len(batches[0]),
        max_steps=len(batches),
        **job["settings"]["optimiser"],
    )
    data = [rows[index] for batch in batches for index in batch]
    return Trainer(model=model, args=arguments, train_dataset=data, data_collator=collate)


def prompts_of(config: FinetuneConfig, tokenizer: Any) -> PromptFormat:
    """Return how samples become tokens."""
    return PromptFormat(tokenizer, *packaged_templates(), config.answers, config.max_length)


def encoded_rows(config: FinetuneConfig, tokenizer: Any, visual_inputs: VisualInputs | None) -> list[Encoded]:
    """Return the samples in tokens, in the order that the indices of a job mean."""
    prompts = prompts_of(config, tokenizer)
    return prompts.encode_all(select_samples(config), visual_inputs.images if visual_inputs else None)


def main() -> None:
    """Train one way."""
    import torch
    from transformers import set_seed

    torch.set_num_threads(1)
    line = Line()
    path = Path(sys.argv[1])
    way = WAYS[sys.argv[2]]
    job = json.loads(path.read_text(encoding="utf-8"))
    config = config_of(job, path.parent, way)
    visual_inputs, about = None, {}
    if way.encoder:
        if way.encoder in SIGLIP:
            write_siglip(path.parent / way.encoder, SIGLIP[way.encoder])
        visual_inputs, about = inputs_of(config, path.parent, {each.id for each in select_samples(config)})
    base = load_base_model(config.base_model, CPU)
    rows = encoded_rows(config, base.tokenizer, visual_inputs)
    features = visual_inputs.features if visual_inputs else None
    if way.recompute:
        features = recomputing(config, rounded=not way.plain)
    batches: Batches = order_of(job, "planned")
    set_seed(config.seed)
    model = trainable_model(base, config, visual_inputs)
    if way.plain:
        assert features is not None
        trainer = plain_trainer(model, rows, job, features)
    else:
        order = BatchOrder(tuple(map(tuple, batches)), 0, "epochs")
        if visual_inputs is not None:
            visual_inputs = replace(visual_inputs, cache=SimpleNamespace(features=features))
        inputs = TrainingInputs(base, prompts_of(config, base.tokenizer), rows, order, visual_inputs)
        trainer = build_trainer(config, model, inputs)
    train_in_turns(line, trainer, job["orders"]["planned"], **about)


if __name__ == "__main__":
    main()
