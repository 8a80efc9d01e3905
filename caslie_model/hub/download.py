"""Download adapters from the Hub: only the files of an adapter, once, into the Hub's cache."""

from __future__ import annotations

from pathlib import Path

from caslie_model.config.files import (
    FUSION_CONFIG,
    FUSION_WEIGHTS,
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    adapter_config,
)
from caslie_model.errors import ModelError
from caslie_model.hub.errors import not_loaded
from caslie_model.hub.names import is_hub_name
from mmecinstruct.core.hub import reading_from_hub


class NoAdapterError(ModelError):
    """A repository on the Hub that holds no adapter.

    Attributes:
        folder: What of it was downloaded.
    """

    def __init__(self, message: str, folder: Path) -> None:
        super().__init__(message)
        self.folder = folder


# No pickle, no code.
FILES = (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    FUSION_CONFIG,
    FUSION_WEIGHTS,
    "config.yaml",
    "training.json",
    "prompts/*.j2",
    "README.md",
)


def adapter_folder(name: str | Path, cached: bool = False) -> Path:
    """Return the folder of an adapter; `user/name` on the Hub is downloaded into the Hub's cache.

    Args:
        name: A path, or user/name on the Hub.
        cached: Take what an earlier call downloaded, without asking the Hub again.

    Returns:
        The folder. A path is returned as it is, whether it exists or not.

    Raises:
        ModelError: If the Hub does not give it, or has no adapter there.
    """
    path = Path(name)
    if path.exists() or not is_hub_name(str(name)):
        return path
    import httpx2
    from huggingface_hub import snapshot_download

    try:
        with reading_from_hub(name):
            found = Path(snapshot_download(str(name), allow_patterns=list(FILES), local_files_only=cached))
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise not_loaded("adapter", str(name), error) from error
    if adapter_config(found) is None:
        raise NoAdapterError(
            f"{name}: the repository on the Hub holds no adapter ({PEFT_CONFIG} or {FUSION_CONFIG})", found
        )
    return found
