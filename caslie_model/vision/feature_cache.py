"""Features of images on disk: computed once, shared by runs, read through memory maps.

A cache is a folder named by its encoder's fingerprint, so a changed encoder never reads stale features. It has tensor
files of a few hundred images each, safetensors with three tensors and the fingerprint in their header:

features    [n, P, dv] float16
keys        [n, 32] uint8: SHA-256 of the embedded image
checksums   [n] int64: CRC-32 of each image's features, compared when a row is first read

Files are written under temporary names and renamed to random names; the index from key to row is read from them. So a
process that is killed loses the file it was filling, and several processes do not disturb each other.
"""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from caslie_model.errors import ModelError
from caslie_model.runtime.model_cache import cache_folder, check_cache, unwritable_cache
from caslie_model.runtime.processes import is_first_process
from caslie_model.runtime.tensor_files import checksum, index_hash, write_tensor_file
from mmecinstruct.core.files import write_atomically

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from caslie_model.vision.encoder import VisionEncoder

IMAGES_PER_FILE = 256
DESCRIPTION = "encoder.json"
_LOCK = ".lock"
_FORMAT = "1"
_INDEX = ("keys", "checksums")


class FeatureCache:
    """The features of one encoder. When it is pickled for another process, that process opens the folder again.

    Attributes:
        folder: The cache folder.
    """

    def __init__(self, folder: Path) -> None:
        """Open a cache folder.

        Args:
            folder: It need not exist yet.

        Raises:
            ModelError: If a tensor file is damaged.
        """
        self.folder = folder
        self._files: list[_TensorFile] = []
        self._names: set[str] = set()
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._described: tuple[int, int] | None = None
        self.refresh()

    def __reduce__(self) -> tuple[type[FeatureCache], tuple[Path]]:
        return FeatureCache, (self.folder,)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._rows

    @property
    def shape(self) -> tuple[int, int] | None:
        """P, patches of an image, and dv, numbers of a patch; None as long as nothing was computed."""
        return self._files[0].shape if self._files else self._described

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the keys without features, each once, in their order."""
        return [key for key in dict.fromkeys(keys) if key not in self]

    def features(self, keys: Sequence[str], dtype: torch.dtype | None = None) -> Tensor:
        """Return the features of images, in the order of the keys.

        Args:
            keys: SHA-256 of n images.
            dtype: Type of the result; default: float32.

        Returns:
            [n, P, dv].

        Raises:
            ModelError: If an image has none, or its file is damaged.
        """
        import torch

        result = torch.empty((len(keys), *(self.shape or (0, 0))), dtype=dtype or torch.float32)
        for position, key in enumerate(keys):
            entry = self._rows.get(bytes.fromhex(key))
            if entry is None:
                raise ModelError(
                    f"{self.folder} has no features of image {key}; compute them first: `caslie_model features`"
                )
            result[position] = self._files[entry[0]].row(entry[1])
        return result

    def append(self, keys: Sequence[str], features: Tensor) -> None:
        """Write the features of images as one tensor file, completely or not at all.

        Args:
            keys: SHA-256 of n images.
            features: [n, P, dv].

        Raises:
            ModelError: If they have another shape than the others, are not finite in float16, or the folder cannot be
                written.
        """
        import torch

        if self.shape not in (None, tuple(features.shape[1:])):
            raise ModelError(
                f"{self.folder}: features of {tuple(features.shape[1:])} do not fit in, the cache has {self.shape}"
            )
        stored = features.to(torch.float16).contiguous()
        if not torch.isfinite(stored).all():
            raise ModelError(
                f"{self.folder.name}: the encoder gives values that are no numbers or beyond float16; load it "
                "with precision=float32, or use another encoder"
            )
        tensors = {
            "features": stored,
            "keys": torch.frombuffer(bytearray(b"".join(map(bytes.fromhex, keys))), dtype=torch.uint8).view(
                -1, 32
            ),
            "checksums": torch.tensor([checksum(row) for row in stored]),
        }
        header = {"format": _FORMAT, "encoder": self.folder.name, "index": index_hash(tensors, _INDEX)}
        try:
            path = write_tensor_file(self.folder, tensors, header)
        except OSError as error:
            raise unwritable_cache(self.folder, error) from error
        self._take_in(path)

    def describe(self, encoder: VisionEncoder) -> None:
        """Write the encoder's settings, and the shape of its features, beside the tensor files. Loads the encoder.

        Args:
            encoder: The encoder of this cache.

        Raises:
            ModelError: If the folder cannot be written.
        """
        content = {
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "settings": encoder.settings,
            "patches": encoder.patches,
            "width": encoder.width,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / DESCRIPTION, (json.dumps(content, indent=1) + "\n").encode())
        except OSError as error:
            raise unwritable_cache(self.folder, error) from error
        self._described = (encoder.patches, encoder.width)

    def refresh(self) -> None:
        """Read the tensor files that other processes have written meanwhile.

        Raises:
            ModelError: If one is damaged.
        """
        description = self.folder / DESCRIPTION
        if self._described is None and description.is_file():
            try:
                content = json.loads(description.read_text(encoding="utf-8"))
                self._described = (int(content["patches"]), int(content["width"]))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ModelError(
                    f"{description} is damaged ({error}); delete it: it is written again"
                ) from error
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in self._names:
                self._take_in(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock of the process that computes features for this cache; wait for another that has it.

        Files of others are read, and half-written ones of killed processes are removed. The lock ends with its process.

        Yields:
            Nothing.

        Raises:
            ModelError: If the folder cannot be written.
        """
        check_cache(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / _LOCK).open("wb")
        except OSError as error:
            raise unwritable_cache(self.folder, error) from error
        with stream:
            if _lock(stream, self.folder):
                for leftover in self.folder.glob(".*.tmp"):
                    leftover.unlink(missing_ok=True)
            self.refresh()
            yield

    def _take_in(self, path: Path) -> None:
        file = _TensorFile(path, self.folder.name)
        if self.shape is not None and file.shape != self.shape:
            raise _damaged(path, f"its features are {file.shape}, those of the cache {self.shape}")
        self._names.add(path.name)
        self._files.append(file)
        for row, key in enumerate(file.keys):
            self._rows.setdefault(key, (len(self._files) - 1, row))


class _TensorFile:
    """One file, mapped into memory: only the requested rows are read."""

    def __init__(self, path: Path, encoder: str) -> None:
        from safetensors import SafetensorError, safe_open

        self._path = path
        try:
            self._file = safe_open(path, framework="pt")
            header = self._file.metadata() or {}
            index = {name: self._file.get_tensor(name) for name in _INDEX}
            self._features = self._file.get_slice("features")
            shape = self._features.get_shape()
        except (OSError, SafetensorError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        if header.get("format") != _FORMAT or header.get("encoder") != encoder:
            raise _damaged(path, "it is of another encoder or of another version")
        if len(shape) != 3 or header.get("index") != index_hash(index, _INDEX):
            raise _damaged(path, "its index does not have the checksum that was written")
        self.shape: tuple[int, int] = (shape[1], shape[2])
        flat = index["keys"].numpy().tobytes()
        self.keys = [flat[start : start + 32] for start in range(0, len(flat), 32)]
        self._checksums = index["checksums"].tolist()
        if not len(self.keys) == len(self._checksums) == shape[0]:
            raise _damaged(path, f"{len(self.keys)} keys, {shape[0]} features")
        self._checked = bytearray(shape[0])

    def row(self, row: int) -> Tensor:
        """Return the features [P, dv] of one image, float16."""
        features: Tensor = self._features[row]
        if not self._checked[row]:
            if checksum(features) != self._checksums[row]:
                raise _damaged(self._path, f"the features of its image {row} do not have their checksum")
            self._checked[row] = 1
        return features


def open_feature_cache(encoder: VisionEncoder, root: Path | None = None) -> FeatureCache:
    """Return the cache of an encoder.

    Args:
        encoder: The encoder.
        root: The folder of all model caches; default: `cache_folder()`.

    Returns:
        The cache, empty if nothing was computed.

    Raises:
        ModelError: If a tensor file is damaged.
    """
    return FeatureCache((root or cache_folder()) / "features" / encoder.fingerprint)


def _lock(stream: IO[bytes], folder: Path) -> bool:
    """Lock a file, waiting for it; return False where the file system knows no locks (work is then done twice)."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if is_first_process():
            print(f"waiting: another process computes features into {folder}", file=sys.stderr, flush=True)
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _damaged(path: Path, detail: str) -> ModelError:
    return ModelError(
        f"{path} is damaged: {detail}; delete it, and `caslie_model features` computes it again"
    )
