"""Download the captions of a dataset on the Hub: the files of one name, once, into the Hub's cache."""

from __future__ import annotations

from pathlib import Path

from caslie_model.errors import ConfigError
from caslie_model.hub.names import is_hub_name
from mmecinstruct.core.hub import reading_from_hub
from mmecinstruct.core.shown import shown_text
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER


def captions_of_hub(data: str, name: str) -> Path:
    """Return the folder that holds `captions/NAME` of a dataset on the Hub.

    Args:
        data: user/name.
        name: Name of the captions.

    Raises:
        ConfigError: If the Hub does not give them.
    """
    import httpx2
    from huggingface_hub import snapshot_download

    if not is_hub_name(data):
        raise ConfigError(f"no dataset '{data}': give a folder that mmec built, or user/name on the Hub")
    pattern = f"{CAPTIONS_FOLDER}/{name}/*.parquet"
    try:
        with reading_from_hub(data):
            # The pattern's star takes folders in, so decisions of judges come too.
            return Path(snapshot_download(data, repo_type="dataset", allow_patterns=[pattern]))
    except (httpx2.HTTPError, OSError, ValueError) as error:
        reason = shown_text(" ".join(str(error).split()))[:300]
        raise ConfigError(
            f"captions={name}: the Hub does not give those of {data} ({reason}); give captions_from, a folder that "
            "`caslie_model caption --out` wrote"
        ) from error
