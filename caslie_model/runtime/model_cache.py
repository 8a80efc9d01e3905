"""The cache of converted models."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from caslie_model.errors import ModelError
from caslie_model.runtime.disk_errors import disk_error
from mmecinstruct.core.disk_errors import check_can_write, explained
from mmecinstruct.core.errors import OutputError
from mmecinstruct.core.files import give_ordinary_permissions
from mmecinstruct.core.output_folder import CACHE, check_output

_VARIABLE = "CASLIE_MODEL_CACHE"


def cache_folder() -> Path:
    """Return the folder of converted models and features: CASLIE_MODEL_CACHE, else ~/.cache/caslie_model."""
    named = os.environ.get(_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "caslie_model"


def check_cache(folder: Path) -> None:
    """Check, before anything is computed, that a folder of the cache can be written.

    Args:
        folder: The cache, or a folder in it.

    Raises:
        ModelError: If it lies in what a command made, or its disk is full or cannot be written.
    """
    try:
        check_output(folder, CACHE, setting="cache")
        check_can_write(folder, setting="cache")
    except OutputError as error:
        raise ModelError(f"{error}; {_VARIABLE} names the cache") from error


def unwritable_cache(folder: Path, error: OSError) -> ModelError:
    """Return the error of a cache that cannot be written.

    Args:
        folder: The cache, or a folder in it.
        error: What the disk said.
    """
    return ModelError(
        f"the model cache {folder} cannot be written: {explained(error)}; or set {_VARIABLE} to another folder"
    )


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
    from safetensors import SafetensorError

    target = cache_folder() / folder_name
    if target.is_dir():
        return target
    print(f"preparing {folder_name} in {target.parent}, once", file=sys.stderr, flush=True)
    temporary = target.with_name(f".{folder_name}.{os.getpid()}.tmp")
    try:
        check_cache(target.parent)
        temporary.mkdir(parents=True)
        write(temporary)
        give_ordinary_permissions(temporary)
        try:
            temporary.rename(target)
        except OSError:
            # A folder that is there now comes from a faster process and has the same content.
            if not target.is_dir():
                raise
    except (OSError, RuntimeError, SafetensorError) as error:
        found = error if isinstance(error, OSError) else disk_error(error)
        if found is None:
            raise
        raise unwritable_cache(target.parent, found) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
