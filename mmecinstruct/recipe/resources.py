"""Settings of resources: how much memory and disk a build may use. They do not change its output."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from mmecinstruct.core.settings import Settings, unit

_UNITS = {
    "": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|)", re.IGNORECASE)
MIN_MEMORY = 512_000_000

# Memory of a process with its libraries and a batch of rows, before any query.
PROCESS_BYTES = 300_000_000
# DuckDB's limit covers its buffers only, not what it and Arrow need beside them.
QUERY_SHARE = 0.7
MIN_QUERY_BYTES = 200_000_000
# Left free by the default number of workers, for row groups that take more than a process is counted with.
READING_BYTES = 900_000_000


def parse_amount(text: str) -> int:
    """Return the bytes of an amount such as 4GB, 512 MiB or 1000000. Raises ValueError for another text."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no amount, as in 4GB or 512MiB")
    unit = next(name for name in _UNITS if name.lower() == match[2].lower())
    return int(float(match[1]) * _UNITS[unit])


class ResourceSettings(Settings):
    """Memory and disk of a build. They do not change its output."""

    memory: Annotated[str, unit("bytes")] = Field(
        default="4GB",
        description="Memory of all processes of the build together, in bytes or as in 4GB, 512MiB. Raise it for larger "
        "files or more workers.",
    )
    spill: Annotated[str | None, unit("bytes")] = Field(
        default=None,
        description="Bytes of the workspace's disk that a query may use when memory does not suffice, as in 200GB. "
        "Default: four fifths of the free space.",
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _is_an_amount(cls, value: object) -> str:
        text = str(value)
        if parse_amount(text) < MIN_MEMORY:
            raise ValueError(f"at least {MIN_MEMORY // 1_000_000}MB: a process alone takes half of that")
        return text

    @field_validator("spill", mode="before")
    @classmethod
    def _is_an_amount_or_none(cls, value: object) -> str | None:
        if value is None:
            return None
        parse_amount(str(value))
        return str(value)

    @property
    def memory_bytes(self) -> int:
        """The memory in bytes."""
        return parse_amount(self.memory)

    @property
    def most_workers(self) -> int:
        """The number of worker processes that fit into memory beside the main process and large row groups."""
        return max(1, (self.memory_bytes - READING_BYTES) // PROCESS_BYTES - 1)

    @property
    def spill_bytes(self) -> int | None:
        """The bytes of disk that a query may use; None for the default."""
        return None if self.spill is None else parse_amount(self.spill)

    def query_bytes(self, processes: int) -> int:
        """Return the bytes of memory that a query may use beside this many processes of the build, working or idle."""
        return max(int(self.reading_bytes(processes) * QUERY_SHARE), MIN_QUERY_BYTES)

    def reading_bytes(self, processes: int) -> int:
        """Return the bytes of memory that this many processes of the build leave for reading large row groups."""
        return self.memory_bytes - processes * PROCESS_BYTES
