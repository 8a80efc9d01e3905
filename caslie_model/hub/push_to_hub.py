"""Upload a fusion model in memory, whole or as an adapter, with a card: `CaslieForCausalLM.push_to_hub`.

The folder of a training has more to publish, such as its settings and figures: `caslie_model push` uploads that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import ModelCardData

from caslie_model.hub.model_files import CARD, chosen_files, is_weights
from caslie_model.hub.public_names import CARD_TAGS, hub_id, public_name
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
    """Upload a fusion model in memory, with a card unless the repository has one.

    Args:
        model: A `CaslieForCausalLM`.
        repo_id: The model repository, as user/name.
        adapter_only: Upload the adapter without its base model.
        commit_message: Title of the commit.
        private: Create the repository as a private one.
        token: Default: HF_TOKEN or that of `hf auth login`.
        revision: Branch to push to, created if need be; default: main.
        max_shard_size: Largest file of weights of a whole model.
        tags: For the card, beside the project's own.

    Returns:
        The URL of the commit, or of the repository when nothing changed.

    Raises:
        HubError: If the name is wrong or the Hub rejects the upload; the message has the remedy.
        ModelError: If a file that was saved cannot be read.
    """
    check_repo_name(repo_id)
    secret = hub_token(token)
    with TemporaryDirectory() as folder:
        # Outside `hub_errors`: a full disk, or weights that cannot be saved, is no failure of the upload.
        if adapter_only:
            model.save_adapter(folder)
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
