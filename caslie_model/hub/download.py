"""Download adapters from the Hub: only the files of an adapter, once, into the Hub's cache."""

from __future__ import annotations

from pathlib import Path

from caslie_model.errors import ModelError
from caslie_model.hub.names import is_hub_name
from mmecinstruct.core.shown import shown_text

# No pickle, no code.
FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "config.yaml",
    "training.json",
    "prompts/*.j2",
    "README.md",
)


def adapter_folder(name: str | Path) -> Path:
    """Return the folder of an adapter; `user/name` on the Hub is downloaded into the Hub's cache.

    Args:
        name: A path, or user/name on the Hub.

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
        found = Path(snapshot_download(str(name), allow_patterns=list(FILES)))
    except (httpx2.HTTPError, OSError, ValueError) as error:
        reason = shown_text(" ".join(str(error).split()))[:300]
        raise ModelError(
            f"{name}: there is no such folder, and the Hub does not give it ({type(error).__name__}: {reason}); check "
            "the name, or run `hf auth login` for a private one"
        ) from error
    if not (found / FILES[0]).is_file():
        raise ModelError(f"{name}: the repository on the Hub holds no adapter ({FILES[0]})")
    return found
