"""Predictions on disk: JSON lines by sample id, only ever appended to, and a header with their provenance.

A killed run leaves at most one torn last line, which is cut off when the file is opened again. A file of another model
or of other settings is rejected.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from caslie_model.errors import RunError
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
        RunError: If another process writes there, or the predictions are of another provenance or damaged.
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
        lines = "".join(
            json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in new.values()
        )
        left = memoryview(lines.encode())
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
        records = {}
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                # Earlier versions wrote NaN, which is no JSON.
                record = json.loads(line, parse_constant=lambda _: None)
                records[record["id"]] = record
            except (ValueError, TypeError, KeyError):
                raise RunError(
                    f"{self.path}:{number}: not a prediction; delete the line, or start over with --overwrite"
                ) from None
        return records


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
