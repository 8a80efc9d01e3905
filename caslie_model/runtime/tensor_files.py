"""Safetensors files of a cache on disk: written completely or not at all, with checksums of their content."""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from caslie_model.runtime.disk_errors import disk_error
from mmecinstruct.core.files import give_ordinary_permissions, sync_folder

if TYPE_CHECKING:
    from torch import Tensor


def write_tensor_file(folder: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> Path:
    """Write tensors to a temporary file, then rename it to a random name.

    Args:
        folder: The cache folder; created if need be.
        tensors: Tensors by name.
        header: Metadata of the file.

    Returns:
        The file.

    Raises:
        OSError: If the folder cannot be written.
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
        give_ordinary_permissions(temporary)
        temporary.replace(folder / name)
        sync_folder(folder)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        found = error if isinstance(error, OSError) else disk_error(error)
        raise found or OSError(str(error)) from error
    return folder / name


def checksum(row: Tensor) -> int:
    """Return the CRC-32 of a tensor's bytes.

    Args:
        row: A tensor on the CPU, of any shape.

    Returns:
        The checksum, an unsigned 32-bit integer.
    """
    import torch

    return zlib.crc32(row.contiguous().view(torch.uint8).numpy().data.cast("B"))


def index_hash(tensors: Mapping[str, Tensor], names: Sequence[str]) -> str:
    """Return the SHA-256 of the named tensors.

    Args:
        tensors: Tensors by name, on the CPU.
        names: Which of them, in the order of hashing.

    Returns:
        The hash, hexadecimal.
    """
    digest = hashlib.sha256()
    for name in names:
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
