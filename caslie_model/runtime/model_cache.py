"""The cache of converted models."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from caslie_model.errors import ModelError
from mmecinstruct.core.files import give_ordinary_permissions


def cache_folder() -> Path:
    """Return the folder of converted models and features: CASLIE_MODEL_CACHE, else ~/.cache/caslie_model."""
    named = os.environ.get("CASLIE_MODEL_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "caslie_model"


def written_once(folder_name: str, write: Callable[[Path], None]) -> Path:
    """Return a cached folder, which is written on first use: under a temporary name, and renamed when complete.

    Args:
        folder_name: Name in the cache.
        write: Writes the content into the folder that it is given.

    Returns:
        The folder.

    Raises:
        ModelError: If the cache cannot be written.
    """
    target = cache_folder() / folder_name
    if target.is_dir():
        return target
    print(f"preparing {folder_name} in {target.parent}, once", file=sys.stderr, flush=True)
    temporary = target.with_name(f".{folder_name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        give_ordinary_permissions(temporary)
        try:
            temporary.rename(target)
        except OSError:
            # A folder that is there now comes from a faster process and has the same content.
            if not target.is_dir():
                raise
    except OSError as error:
        raise ModelError(
            f"the model cache {target.parent} cannot be written: {error}; set CASLIE_MODEL_CACHE"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
