"""The card of a trained adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caslie_model.config.presets import config_yaml
from caslie_model.config.training import TrainingConfig
from caslie_model.hub.public_names import CARD_TAGS, hub_id, known_names, public_config
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.templating import compiled, rendered
from mmecinstruct.version import __version__


def write_model_card(
    config: TrainingConfig, summary: Mapping[str, Any], path: Path, merged: bool = False
) -> None:
    """Write the card of an adapter folder, or of one merged with its base model.

    Args:
        config: The settings of the training.
        summary: The content of its training.json.
        path: The card to write.
        merged: Whether it is of a merged model.
    """
    from huggingface_hub import ModelCardData

    # A card is published: it has the names of folders, but no paths of this machine.
    folders = summary.get("folders")
    shown, known = public_config(config, folders), known_names(config, folders)
    is_fusion = config.fusion != "text"
    base, data = hub_id(config.base_model, known), hub_id(config.data, known)
    head = ModelCardData(
        library_name="transformers" if merged else "caslie_model" if is_fusion else "peft",
        base_model=base,
        base_model_relation=base and ("finetune" if merged else "adapter"),
        datasets=data and [data],
        pipeline_tag="image-text-to-text" if is_fusion else "text-generation",
        tags=[*CARD_TAGS, *(["lora"] if config.trains_lora else [])],
    )
    variables = {
        "head": head.to_yaml(),
        "config": shown.model_dump(mode="json"),
        "config_yaml": config_yaml(shown),
        "summary": summary,
        "trains_lora": config.trains_lora,
        "attributes": list(getattr(config, "attributes", ())),  # of an alignment
        "version": __version__,
        "merged": merged,
        "first_loss": summary["log"][0]["loss"] if summary["log"] else None,
        "last_loss": summary["log"][-1]["loss"] if summary["log"] else None,
    }
    write_atomically(path, (rendered(compiled("model_card.md.j2"), variables) + "\n").encode())
