"""Hash draws and fingerprints.

Every random choice of a build (split, instruction, candidates) is a hash draw: a hash of (seed, purpose, stable ids)
instead of the state of a generator. So a new row changes no other row, and the number of workers changes nothing. The
same hash draw exists in Python (`hash_draw`) and in DuckDB SQL (`hash_draw_sql`); a test compares them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")

_SEPARATOR = "\x1f"


def hash_draw(seed: int, purpose: str, *ids: str) -> int:
    """Return an unsigned 64-bit integer that depends on the arguments alone.

    Args:
        seed: The recipe's seed.
        purpose: Name of the choice; hash draws of different purposes are independent.
        *ids: Stable ids of the record.
    """
    text = _SEPARATOR.join((str(seed), purpose, *ids))
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "little")


def hash_fraction(seed: int, purpose: str, *ids: str) -> float:
    """Return a hash draw as a number in [0, 1); see `hash_draw`."""
    return (hash_draw(seed, purpose, *ids) >> 11) / 2**53


def hash_choice(items: Sequence[Item], seed: int, purpose: str, *ids: str) -> Item:
    """Return one of `items`, each with the same probability; see `hash_draw`."""
    return items[hash_draw(seed, purpose, *ids) % len(items)]


def hash_order(items: Sequence[Item], seed: int, purpose: str, *ids: str) -> list[Item]:
    """Return `items` in an order given by hash draws of their positions, so that repeats are kept."""
    keyed = sorted(range(len(items)), key=lambda i: (hash_draw(seed, purpose, *ids, str(i)), i))
    return [items[i] for i in keyed]


def hash_draw_sql(seed: int, purpose: str, *columns: str) -> str:
    """Return the DuckDB expression (UBIGINT) of `hash_draw`.

    Args:
        seed: The recipe's seed.
        purpose: Name of the choice.
        *columns: VARCHAR expressions of the ids.
    """
    quoted = purpose.replace("'", "''")
    return f"md5_number_upper(concat_ws(chr(31), '{seed}', '{quoted}', {', '.join(columns)}))"


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no optional white space, so that equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(value: Any) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
