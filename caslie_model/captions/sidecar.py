"""Captions and decisions about them, written: Parquet files beside a dataset's samples."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caslie_model.errors import RunError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.schemas.captions import CAPTIONS, JUDGED_KEY, KEPT, PROVENANCE_KEY


def check_captions_are_of(path: Path, provenance: Mapping[str, Any], later: Collection[str] = ()) -> None:
    """Check that captions which are there, if any, are of the same captioner and settings.

    Args:
        path: The file.
        provenance: All that captions depend on.
        later: Names of what is not known yet and not compared.

    Raises:
        RunError: If they are not, or the file is damaged.
    """
    if not path.is_file():
        return
    try:
        found = json.loads((pq.read_schema(path).metadata or {})[PROVENANCE_KEY])
    except (OSError, KeyError, ValueError, RecursionError, pa.ArrowException):
        found = None
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged; give another name, or --overwrite")
    names = {*found, *provenance} - set(later)
    other = sorted(name for name in names if found.get(name) != provenance.get(name))
    if other:
        raise RunError(
            f"{path} holds captions of another model or other settings ({', '.join(other)} differ); give another "
            "name, or --overwrite"
        )


def write_captions(path: Path, rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write captions atomically; the same rows give the same bytes.

    Args:
        path: The file.
        rows: With the columns of `CAPTIONS`.
        provenance: All that they depend on; kept in the file.
    """
    _write(path, rows, CAPTIONS, PROVENANCE_KEY, provenance)


def write_decisions(path: Path, rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write decisions about captions atomically; the same rows give the same bytes.

    Args:
        path: The file.
        rows: With the columns of `KEPT`.
        provenance: All that they depend on; kept in the file.
    """
    _write(path, rows, KEPT, JUDGED_KEY, provenance)


def _write(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    schema: pa.Schema,
    key: bytes,
    provenance: Mapping[str, Any],
) -> None:
    told = schema.with_metadata({key: json.dumps(dict(provenance), sort_keys=True)})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=told), sink, compression="zstd")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, sink.getvalue().to_pybytes())


def settings_fingerprint(provenance: Mapping[str, Any]) -> str:
    """Return the fingerprint of all that captions depend on beside image and prompt."""
    return fingerprint(dict(provenance))
