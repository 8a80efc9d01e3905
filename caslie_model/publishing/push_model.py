"""`CaslieForCausalLM.push_to_hub`: a model in memory goes to the Hub, whole or as an adapter, with a card.

A folder of a training has more to tell; `caslie_model push` publishes it with all of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import ModelCardData

from caslie_model.backbones.quantisation import is_quantised
from caslie_model.errors import ModelError
from caslie_model.fusion.adapter_files import save_adapter
from caslie_model.hub.public_names import CARD_TAGS, hub_id, public_name
from caslie_model.publishing.hub_card import CARD
from caslie_model.publishing.push_folder import chosen_files, is_weights
from mmecinstruct.core.templating import compiled, rendered
from mmecinstruct.publish.hub_upload import check_repo_name, hub_errors, hub_token, upload
from mmecinstruct.version import __version__


def push(
    model: Any,
    repo_id: str,
    adapter_only: bool,
    *,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    max_shard_size: int | str = "50GB",
    tags: Sequence[str] = (),
) -> str:
    """Upload as `CaslieForCausalLM.push_to_hub` says, and return where it is."""
    check_repo_name(repo_id)
    if not adapter_only and model._keys_to_ignore_on_save:
        raise ModelError(
            "the base model is left out of what this model saves: push the adapter (adapter_only=True), or call "
            "leave_base_out_of_checkpoints(False) before"
        )
    if not adapter_only and is_quantised(model.language_model):
        raise ModelError(
            "its base model is quantised, and a whole model of quantised weights is not read back: push the adapter "
            "(adapter_only=True), or load the base model with quantise=none"
        )
    secret = hub_token(token)
    with TemporaryDirectory() as folder:
        # Outside `hub_errors`: a full disk, or weights that cannot be saved, are no failure of the upload.
        if adapter_only:
            save_adapter(model, folder)
        else:
            model.save_pretrained(folder, max_shard_size=max_shard_size)
        files = chosen_files(Path(folder))
        files[CARD] = _card(model.config, repo_id, adapter_only, tags).encode()
        title = commit_message or "Upload model"
        with hub_errors(repo_id, secret):
            result = upload(
                files,
                repo_id,
                "model",
                bool(private),
                secret,
                title,
                revision,
                is_stale=is_weights,
                keep=(CARD,),
            )
    return result.commit_url or result.url


def _card(config: Any, repo: str, adapter_only: bool, tags: Sequence[str]) -> str:
    base = hub_id(config.base_model)
    head = ModelCardData(
        library_name="caslie_model" if adapter_only else "transformers",
        base_model=base,
        base_model_relation=base and ("adapter" if adapter_only else "finetune"),
        pipeline_tag="image-text-to-text",
        tags=[*CARD_TAGS, *tags],  # each once
    )
    variables = {
        "head": head.to_yaml(),
        "config": config,
        "adapter_only": adapter_only,
        "repo": repo,
        "base_model": public_name(config.base_model) if config.base_model else "",
        "vision_encoder": public_name(config.vision_encoder) if config.vision_encoder else "",
        "version": __version__,
    }
    return rendered(compiled("pushed_model_card.md.j2"), variables) + "\n"
