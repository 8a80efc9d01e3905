"""Safetensors files of a cache on disk: written whole or not at all, with checksums of what is in them."""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mmecinstruct.core.files import sync_folder

if TYPE_CHECKING:
    from torch import Tensor


def write_tensor_file(folder: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> Path:
    """Write tensors beside their place, then rename them to a name that nobody else draws. Return the file.

    Raises OSError when the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    name = f"{secrets.token_hex(8)}.safetensors"
    temporary = folder / f".{name}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata=header)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(folder / name)
        sync_folder(folder)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(str(error)) from error
    return folder / name


def checksum(row: Tensor) -> int:
    """Return the CRC-32 of a tensor's bytes."""
    import torch

    return zlib.crc32(row.contiguous().view(torch.uint8).numpy().data.cast("B"))


def index_hash(tensors: Mapping[str, Tensor], names: Sequence[str]) -> str:
    """Return the SHA-256 of the named tensors."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
