"""Predictions on disk: JSON lines by sample id and variant, only ever appended to, and a header with their provenance.

A killed run leaves at most one torn last line, which is cut off when the file is opened again. Other damaged lines are
dropped then, and told: their samples are answered again. A file of another model, of other settings or of other data is
rejected. Of several processes the first writes to the file itself, each other one to a part of its own, which the first
takes over at the end, or the next run does, whatever its number of processes.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, TypeAlias

from caslie_model.errors import RunError
from caslie_model.runtime.console import say
from caslie_model.runtime.strict_json import strict_json
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import fingerprint

PREDICTIONS = "predictions.jsonl"
HEADER = "predictions.header.json"
_PART, _PARTS = "predictions.part-{}.jsonl", "predictions.part-*.jsonl"

_COST = "cost_of_failed"
# No likelihood and no number of tokens is larger; infinity is.
_LARGEST = 1e12

# Id of the sample, and variant.
Key: TypeAlias = tuple[str, str]


def key_of(record: Mapping[str, Any]) -> Key:
    """Return what tells a record from all others of its file; earlier versions wrote no variant."""
    return record["id"], record.get("variant", "")


@contextmanager
def open_predictions(
    folder: Path,
    provenance: Mapping[str, Any],
    overwrite: bool,
    data: Mapping[str, str] | None = None,
) -> Iterator[PredictionFile]:
    """Open a folder's predictions to read those that are there and append others.

    Args:
        folder: Where predictions and header are; created if need be.
        provenance: All that the answers depend on, by name (`Predictor.provenance`, and the settings of asking).
        overwrite: Delete earlier predictions.
        data: Fingerprints of the data by the name of a part, such as "task/split". Parts may be added later.

    Yields:
        The open file.

    Raises:
        RunError: If another process writes there, or the predictions are of another provenance or other data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / PREDICTIONS) as stream:
        parts = sorted(folder.glob(_PARTS))
        if overwrite:
            stream.truncate(0)
            (folder / HEADER).unlink(missing_ok=True)
            for part in parts:
                part.unlink()
            parts = []
        _check_header(folder, provenance, data or {}, empty=not parts and stream.seek(0, 2) == 0)
        file = PredictionFile(folder / PREDICTIONS, stream)
        file.take_parts()
        if provenance.get("length_normalised") and any(
            record.get("scores") and not record.get("tokens") for record in file.records.values()
        ):
            raise RunError(
                f"{folder} holds likelihoods that an earlier version divided by their tokens, which do not mix with "
                "sums; give another folder, or --overwrite"
            )
        yield file


@contextmanager
def open_part(folder: Path, number: int) -> Iterator[PredictionFile]:
    """Open the part of a process that is not the first, after the first has opened the folder's predictions.

    Args:
        folder: Where the predictions are.
        number: The number of the process, from 1.

    Yields:
        The open file, without records.

    Raises:
        RunError: If another process writes there.
    """
    with open_log(folder / _PART.format(number)) as log:
        yield log


@contextmanager
def open_log(path: Path) -> Iterator[PredictionFile]:
    """Open a file of answers that needs no header, as each answer's key says what it depends on.

    Args:
        path: The file; created if need be.

    Yields:
        The open file.

    Raises:
        RunError: If another process writes to it.
    """
    with _locked(path) as stream:
        yield PredictionFile(path, stream)


def keep_data(folder: Path, data: Mapping[str, str]) -> None:
    """Add the fingerprints of data to the header, once the answers are known to be of it.

    Args:
        folder: Where the header is.
        data: Fingerprints as `open_predictions` takes them.
    """
    header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    known = header.get("data", {})
    if not data.keys() <= known.keys():
        _write_header(folder / HEADER, header, {**known, **data})


def cost_of_failed(folder: Path) -> float:
    """Return what requests cost that came after the last answer of a run and got none; it is in the header.

    Args:
        folder: Where the header is, or none.
    """
    try:
        cost = json.loads((folder / HEADER).read_text(encoding="utf-8"))[_COST]
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    return float(cost) if _is_number(cost, 0) else 0.0


def add_cost_of_failed(folder: Path, cost: float) -> None:
    """Add to that cost.

    Args:
        folder: Where the header is.
        cost: Money.
    """
    if cost:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        header[_COST] = round(cost_of_failed(folder) + cost, 9)
        _write_header(folder / HEADER, header, header.get("data", {}))


def read_records(folder: Path) -> dict[Key, dict[str, Any]]:
    """Return the predictions that a folder holds, without a lock and without mending anything.

    Args:
        folder: Where predictions are, or none.

    Returns:
        Records by sample id and variant; damaged lines are left out.
    """
    return read_log(folder / PREDICTIONS, *sorted(folder.glob(_PARTS)))


def read_log(*paths: Path) -> dict[Key, dict[str, Any]]:
    """Return the records of files of answers, without a lock and without mending anything.

    Args:
        *paths: The files, or none; of a key that several have the first goes.

    Returns:
        Records by sample id and variant; damaged lines are left out.
    """
    records: dict[Key, dict[str, Any]] = {}
    for path in paths:
        for line in path.read_bytes().split(b"\n")[:-1] if path.is_file() else ():
            record = _record(line)
            if record is not None:
                records.setdefault(key_of(record), record)
    return records


class PredictionFile:
    """An open predictions file.

    Attributes:
        path: The file.
        records: Predictions by sample id and variant.
    """

    def __init__(self, path: Path, stream: FileIO) -> None:
        self.path = path
        self._stream = stream
        self.records = self._read()

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append one line per record and hand them to the operating system.

        Args:
            records: Predictions, each with the `id` of its sample and its `variant`.

        Raises:
            RunError: If the disk takes no more.
        """
        new = {key_of(record): dict(record) for record in records}
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

    def take_parts(self) -> None:
        """Append what other processes wrote into parts of their own, and delete the parts.

        Raises:
            RunError: If a process still writes to a part, or the disk takes no more.
        """
        for path in sorted(self.path.parent.glob(_PARTS)):
            with _locked(path) as stream:
                part = PredictionFile(path, stream)
                self.append(record for key, record in part.records.items() if key not in self.records)
            path.unlink()

    def clear(self) -> None:
        """Forget all."""
        self._stream.truncate(0)
        self.records = {}

    def drop(self, keys: Collection[Key]) -> None:
        """Drop predictions that no model gave.

        Args:
            keys: Their sample ids and variants.
        """
        self.records = {key: record for key, record in self.records.items() if key not in keys}
        self._rewrite(self.records, len(keys))

    def _read(self) -> dict[Key, dict[str, Any]]:
        self._stream.seek(0)
        content = self._stream.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            self._stream.truncate(whole)
        read = [_record(line) for line in content[:whole].split(b"\n")[:-1]]
        records = {key_of(record): record for record in read if record is not None}
        if len(records) < len(read):
            self._rewrite(records, len(read) - len(records))
        return records

    def _rewrite(self, records: Mapping[Key, Mapping[str, Any]], dropped: int) -> None:
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


@contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    # Unbuffered: what a full disk rejects would be written, and fail, again on closing.
    with path.open("a+b", buffering=0) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another run writes to {path.parent}; give another folder") from None
        yield stream


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    # Half a pair of UTF-16, which JSON can hold, is no text.
    return "".join(lines).encode(errors="replace")


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the prediction in a line, None where it is damaged: `NaN`, which is no JSON, counts as damage too."""
    try:
        record = strict_json(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and is_prediction(record) else None


def is_prediction(record: Mapping[str, Any]) -> bool:
    """Return whether the fields of a record have the types of a prediction's.

    Args:
        record: The object of a line.
    """
    texts = ("prediction", "text", "prompt", "target")
    scores, tokens = record.get("scores") or {}, record.get("tokens") or {}
    return (
        isinstance(record.get("id"), str)
        and "prediction" in record
        and all(isinstance(record.get(name), str | None) for name in texts)
        and isinstance(record.get("variant", ""), str)
        and isinstance(scores, dict)
        and all(value is None or _is_number(value, -_LARGEST) for value in scores.values())
        and isinstance(tokens, dict)
        and all(_is_number(value, 1) for value in tokens.values())
        and isinstance(record.get("absent") or [], list)
    )


def _is_number(value: Any, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= _LARGEST


# Names in headers that earlier versions wrote, and those that they did not write yet.
_OLD_NAMES = {"base_identity": "base_fingerprint", "pictures": "images"}
_NEW_NAMES = frozenset({"revision", "adapter_revision"})


def _check_header(folder: Path, provenance: Mapping[str, Any], data: Mapping[str, str], empty: bool) -> None:
    path = folder / HEADER
    if empty or not path.is_file():
        # Without answers, what an earlier run was to ask decides nothing.
        if not empty:
            raise RunError(f"{folder / PREDICTIONS} has no {HEADER}; give another folder, or --overwrite")
        spent = cost_of_failed(folder)
        header = {"fingerprint": fingerprint(dict(provenance)), "provenance": provenance}
        _write_header(path, {**header, **({_COST: spent} if spent else {})}, data)
        return
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        saved = header["provenance"] if "provenance" in header else header["identity"]
        there = {_OLD_NAMES.get(name, name): value for name, value in saved.items()}
        known = dict(header.get("data", {}))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path} is damaged; give another folder, or --overwrite") from None
    other = sorted(
        name
        for name in {*there, *provenance}
        if there.get(name, _NOTHING) != provenance.get(name, _NOTHING)
        and not (name in _NEW_NAMES and name not in there)
    )
    if other:
        raise RunError(
            f"{folder} holds predictions of another model or other settings ({', '.join(other)} differ); give "
            "another folder, or --overwrite"
        )
    if changed := sorted(part for part in data if known.get(part, data[part]) != data[part]):
        raise RunError(
            f"{folder} holds predictions of other data: the dataset changed ({', '.join(changed)}); give another "
            "folder, or --overwrite"
        )


_NOTHING = object()


def _write_header(path: Path, header: Mapping[str, Any], data: Mapping[str, str]) -> None:
    content = {**header, **({"data": data} if data else {})}
    write_atomically(
        path, (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )
