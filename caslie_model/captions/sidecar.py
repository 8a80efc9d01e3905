"""Captions on disk: Parquet files beside a dataset's samples."""

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
from mmecinstruct.schemas.captions import CAPTIONS, PROVENANCE_KEY


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
        names = {*found, *provenance} - set(later)
        other = sorted(name for name in names if found.get(name) != provenance.get(name))
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException):
        raise RunError(f"{path} is damaged; give another name, or --overwrite") from None
    if other:
        raise RunError(
            f"{path} holds captions of another model or other settings ({', '.join(other)} differ); give another "
            "name, or --overwrite"
        )


def kept_captions(path: Path, ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of captions that are there, by sample id.

    Args:
        path: The file, or none.
        ids: The samples whose rows are returned.

    Raises:
        RunError: If the file is damaged.
    """
    if not path.is_file():
        return {}
    rows: dict[str, list[dict[str, Any]]] = {}
    try:
        for row in pq.read_table(path, schema=CAPTIONS).to_pylist():
            if row["sample_id"] in ids:
                rows.setdefault(row["sample_id"], []).append(row)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RunError(f"{path} is damaged ({error}); give another name, or --overwrite") from None
    return rows


def write_captions(path: Path, rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write captions atomically; the same rows give the same bytes.

    Args:
        path: The file.
        rows: With the columns of `CAPTIONS`.
        provenance: All that they depend on; kept in the file.
    """
    schema = CAPTIONS.with_metadata({PROVENANCE_KEY: json.dumps(provenance, sort_keys=True)})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), sink, compression="zstd")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, sink.getvalue().to_pybytes())


def settings_fingerprint(provenance: Mapping[str, Any]) -> str:
    """Return the fingerprint of all that captions depend on beside image and prompt."""
    return fingerprint(dict(provenance))
