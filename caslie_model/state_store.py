"""States of token sequences on disk: computed once, read through memory maps in later epochs and later runs.

A folder holds the states of one base model up to one layer in one precision. Its shards are safetensors files:

states      [sum of T, d] in the type that the model computes in, so nothing is rounded
keys        [n, 32] uint8: SHA-256 of a sequence's tokens
ends        [n] int64: the row behind a sequence's last
checksums   [n] int64: CRC-32 of each sequence's states, compared when it is first read

Shards are written beside their place and renamed, so a process that is killed loses those that it had not written yet,
and several lose nothing to each other. What all folders may take together is limited; beyond it nothing is kept.
"""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from caslie_model.errors import ModelError
from caslie_model.run_folder import say
from caslie_model.shards import checksum, index_hash, write_shard

if TYPE_CHECKING:
    from torch import Tensor

SHARD_BYTES = 64 * 2**20  # held in memory until they are written together
_ABANDONED = 3600  # seconds after which a half-written shard is that of a killed process
_FORMAT = "1"
_INDEX = ("keys", "ends", "checksums")


class StateStore:
    """The states of one folder. limit: bytes that its parent folder, with those of other models, may take."""

    def __init__(self, folder: Path, limit: int, shard_bytes: int = SHARD_BYTES) -> None:
        """Open a folder, which need not be there yet. Raises ModelError when a shard is damaged."""
        self.folder = folder
        self._limit, self._shard_bytes = limit, shard_bytes
        self._shards: list[_Shard] = []
        self._names: set[str] = set()
        self._places: dict[bytes, tuple[int, int]] = {}
        self._waiting: dict[bytes, Tensor] = {}
        self._waiting_bytes = 0
        self._keeps = True
        for leftover in folder.glob(".*.tmp"):
            with suppress(OSError):  # another process was faster
                if time.time() - leftover.stat().st_mtime > _ABANDONED:
                    leftover.unlink()
        self.refresh()

    def __len__(self) -> int:
        return len(self._places.keys() | self._waiting.keys())

    def get(self, tokens: Sequence[int]) -> Tensor | None:
        """Return the states [T, d] of a sequence, or None. Raises ModelError when its shard is damaged."""
        key = _key(tokens)
        if key in self._waiting:
            return self._waiting[key]
        place = self._places.get(key)
        return None if place is None else self._shards[place[0]].states(place[1])

    def put(self, tokens: Sequence[int], states: Tensor) -> None:
        """Keep the states [T, d] of a sequence; once the limit is reached, do nothing."""
        key = _key(tokens)
        if not self._keeps or key in self._waiting or key in self._places:
            return
        self._waiting[key] = states.detach().to("cpu", copy=True).contiguous()
        self._waiting_bytes += states.numel() * states.element_size()
        if self._waiting_bytes >= self._shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what waits. A full or unwritable folder is told, once, and is no error: states are computed anew."""
        import torch

        waiting, self._waiting = self._waiting, {}
        size, self._waiting_bytes = self._waiting_bytes, 0
        if not waiting or not self._keeps:
            return
        root = self.folder.parent
        used = 0
        for path in root.rglob("*.safetensors"):
            with suppress(OSError):  # deleted meanwhile
                used += path.stat().st_size
        if used + size > self._limit:
            self._stop(
                f"{root} holds {used / 1e9:.1f} of at most {self._limit / 1e9:.1f} GB (lower_layers_gigabytes): the "
                "states of further samples are computed anew each time; delete folders in it to make room"
            )
            return
        rows = list(waiting.values())
        tensors = {
            "states": torch.cat(rows),
            "keys": torch.frombuffer(bytearray(b"".join(waiting)), dtype=torch.uint8).view(-1, 32),
            "ends": torch.tensor([len(row) for row in rows]).cumsum(dim=0),
            "checksums": torch.tensor([checksum(row) for row in rows]),
        }
        header = {"format": _FORMAT, "model": self.folder.name, "index": index_hash(tensors, _INDEX)}
        try:
            path = write_shard(self.folder, tensors, header)
        except OSError as error:
            self._stop(
                f"{self.folder} cannot be written ({error}): states are computed anew each time; set CASLIE_MODEL_CACHE"
            )
            return
        self._take_in(path)

    def refresh(self) -> None:
        """Take in what other processes have written meanwhile. Raises ModelError when a shard is damaged."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in self._names:
                self._take_in(path)

    def _stop(self, reason: str) -> None:
        self._keeps = False
        say(reason)

    def _take_in(self, path: Path) -> None:
        shard = _Shard(path, self.folder.name)
        self._names.add(path.name)
        self._shards.append(shard)
        for row, key in enumerate(shard.keys):
            self._places.setdefault(key, (len(self._shards) - 1, row))


class _Shard:
    """One file, mapped into memory: nothing is read but what is asked for."""

    def __init__(self, path: Path, model: str) -> None:
        from safetensors import SafetensorError, safe_open

        self._path = path
        try:
            self._file = safe_open(path, framework="pt")
            header = self._file.metadata() or {}
            index = {name: self._file.get_tensor(name) for name in _INDEX}
            self._states = self._file.get_slice("states")
            shape = self._states.get_shape()
        except (OSError, SafetensorError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        if header.get("format") != _FORMAT or header.get("model") != model:
            raise _damaged(path, "it is of another model or of another version")
        if len(shape) != 2 or header.get("index") != index_hash(index, _INDEX):
            raise _damaged(path, "its index does not have the checksum that was written")
        flat = index["keys"].numpy().tobytes()
        self.keys = [flat[start : start + 32] for start in range(0, len(flat), 32)]
        self._ends = [0, *index["ends"].tolist()]
        self._checksums = index["checksums"].tolist()
        self._checked = bytearray(len(self.keys))

    def states(self, row: int) -> Tensor:
        """Return the states [T, d] of one sequence."""
        states: Tensor = self._states[self._ends[row] : self._ends[row + 1]]
        if not self._checked[row]:
            if checksum(states) != self._checksums[row]:
                raise _damaged(self._path, f"the states of its sequence {row} do not have their checksum")
            self._checked[row] = 1
        return states


def _key(tokens: Sequence[int]) -> bytes:
    return hashlib.sha256(array("q", tokens).tobytes()).digest()


def _damaged(path: Path, detail: str) -> ModelError:
    return ModelError(f"{path} is damaged: {detail}; delete it: its states are computed again")
