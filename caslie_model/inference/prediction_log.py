"""Predictions on disk: JSON lines by sample id, only ever appended to, and a header with their provenance.

A killed run leaves at most one torn last line, which is cut off when the file is opened again. Other damaged lines are
dropped then, and told: their samples are answered again. A file of another model or of other settings is rejected.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from caslie_model.errors import RunError
from caslie_model.runtime.console import say
from mmecinstruct.core.hashing import fingerprint

PREDICTIONS = "predictions.jsonl"
HEADER = "predictions.header.json"


@contextmanager
def open_predictions(
    folder: Path, provenance: Mapping[str, Any], overwrite: bool
) -> Iterator[PredictionFile]:
    """Open a folder's predictions to read those that are there and append others.

    Args:
        folder: Where predictions and header are; created if need be.
        provenance: All that the answers depend on, by name (`LoadedModel.provenance`, and the settings of scoring).
        overwrite: Delete earlier predictions.

    Yields:
        The open file.

    Raises:
        RunError: If another process writes there, or the predictions are of another provenance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Unbuffered: what a full disk rejects would be written, and fail, again on closing.
    with (folder / PREDICTIONS).open("a+b", buffering=0) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another evaluation writes to {folder}; give another folder") from None
        if overwrite:
            stream.truncate(0)
            (folder / HEADER).unlink(missing_ok=True)
        _check_header(folder, provenance, empty=stream.seek(0, 2) == 0)
        yield PredictionFile(folder / PREDICTIONS, stream)


class PredictionFile:
    """An open predictions file.

    Attributes:
        path: The file.
        records: Predictions by sample id.
    """

    def __init__(self, path: Path, stream: FileIO) -> None:
        self.path = path
        self._stream = stream
        self.records = self._read()

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append one line per record and hand them to the operating system.

        Args:
            records: Predictions, each with the `id` of its sample.

        Raises:
            RunError: If the disk takes no more.
        """
        new = {record["id"]: dict(record) for record in records}
        left = memoryview(_lines(new.values()))
        try:
            while left:
                left = left[self._stream.write(left) :]
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be written: {error.strerror}; free some space and run the same again: earlier "
                "answers are kept"
            ) from error
        self.records.update(new)

    def _read(self) -> dict[str, dict[str, Any]]:
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            self._stream.truncate(whole)
        read = [_record(line) for line in content[:whole].split(b"\n")[:-1]]
        records = {record["id"]: record for record in read if record is not None}
        if len(records) < len(read):
            self._rewrite(records, len(read) - len(records))
        return records

    def drop(self, names: Collection[str]) -> None:
        """Drop predictions that no model gave.

        Args:
            names: Ids of their samples.
        """
        self.records = {name: record for name, record in self.records.items() if name not in names}
        self._rewrite(self.records, len(names))

    def _rewrite(self, records: Mapping[str, Mapping[str, Any]], dropped: int) -> None:
        """Replace the file at once, and go on with the new one under the same lock."""
        say(
            f"{self.path}: dropped {dropped} damaged or repeated lines; samples without an answer are answered again"
        )
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("a+b", buffering=0) as new:
            fcntl.flock(new, fcntl.LOCK_EX)
            new.truncate(0)
            left = memoryview(_lines(records.values()))
            while left:
                left = left[new.write(left) :]
            temporary.replace(self.path)
            # The lock belongs to the open file, which both descriptors name from now on.
            os.dup2(new.fileno(), self._stream.fileno())


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    return "".join(lines).encode()


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the prediction in a line, None where it is damaged: `NaN`, which is no JSON, counts as damage too."""
    try:
        record = json.loads(line, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("id"), str) or "prediction" not in record:
        return None
    scores = record.get("scores", {})
    is_text = all(isinstance(record.get(name), str | None) for name in ("prediction", "text", "prompt"))
    is_scores = isinstance(scores, dict) and all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        for value in scores.values()
    )
    return record if is_text and is_scores else None


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# Names in headers that earlier versions wrote.
_OLD_NAMES = {"base_identity": "base_fingerprint", "pictures": "images"}


def _check_header(folder: Path, provenance: Mapping[str, Any], empty: bool) -> None:
    path = folder / HEADER
    if not path.is_file():
        if not empty:
            raise RunError(f"{folder / PREDICTIONS} has no {HEADER}; give another folder, or --overwrite")
        header = {"fingerprint": fingerprint(dict(provenance)), "provenance": provenance}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(
            json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
        temporary.replace(path)
        return
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        saved = header["provenance"] if "provenance" in header else header["identity"]
        there = {_OLD_NAMES.get(name, name): value for name, value in saved.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path} is damaged; give another folder, or --overwrite") from None
    other = sorted(
        name
        for name in {*there, *provenance}
        if name not in there or name not in provenance or there[name] != provenance[name]
    )
    if other:
        raise RunError(
            f"{folder} holds predictions of another model or other settings ({', '.join(other)} differ); give "
            "another folder, or --overwrite"
        )
