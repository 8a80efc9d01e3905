"""Read JSON lines into typed records, fast, with a row error for each line that is no record.

msgspec decodes a line straight into the fields that its source declares. A line that it cannot decode is read again:
a line in the form of Amazon's 2014 Python literals is rewritten with JSON quotes and decoded by msgspec; any other is
read by the standard library, which accepts NaN and lone surrogates, and then by `ast.literal_eval`, which builds
values and runs no code. `eval` is never used.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from mmecinstruct.sources.readers.batches import BATCH_BYTES, FLUSH, FilePart, RowError
from mmecinstruct.sources.readers.streams import BLOCK_BYTES, MAX_LINE_BYTES, read_line_lists

Line = TypeVar("Line")

# A syntax tree of a Python literal takes a hundred times the memory of its text.
MAX_LITERAL_BYTES = 1024 * 1024

_LITERAL_TOKEN = re.compile(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|\b(?:None|True|False)\b""")
_CONSTANTS = {"None": "null", "True": "true", "False": "false"}


def read_json_lines(
    path: Path, line_type: type[Line], max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[int, Line | RowError]]:
    """Yield (line number, record or row error) for each line that is not blank.

    Reasons: broken_json, not_an_object, not_utf8, line_too_long, truncated_archive (for the last line of a truncated
    archive).

    Args:
        path: The file, compressed or not.
        line_type: A msgspec Struct whose fields all have defaults and the type Any, so that a value of an unexpected
            type reaches the source's own rules; or dict.
        max_bytes: The largest line, in bytes.
        part: The part of the file to read; None for the whole file.

    Raises:
        SourceError: The file is damaged.
    """
    for numbers, records in read_json_lists(path, line_type, max_bytes, part):
        yield from zip(numbers, records, strict=True)


def read_json_lists(
    path: Path, line_type: type[Line], max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[Sequence[int], list[Line | RowError]]]:
    """Yield lists of line numbers and of records or row errors, as `read_json_lines` yields them one by one.

    `FLUSH` stands between them wherever the lines so far have `BATCH_BYTES`.

    Args:
        path: The file, compressed or not.
        line_type: As for `read_json_lines`.
        max_bytes: The largest line, in bytes.
        part: The part of the file to read; None for the whole file.

    Raises:
        SourceError: The file is damaged.
    """
    decode = msgspec.json.Decoder(line_type).decode
    waiting = 0
    for first, lines in read_line_lists(path, max_bytes, part):
        # Only the first line of a block may be longer than a block.
        first_line = lines[0]
        waiting += BLOCK_BYTES + (0 if isinstance(first_line, RowError) else len(first_line))
        if waiting > BATCH_BYTES:
            yield [0], [FLUSH]
            waiting = 0
        records: list[Line | RowError | None] = []
        blank = False
        undecoded = iter(lines)
        while True:
            try:
                records.extend(map(decode, undecoded))  # type: ignore[arg-type]  # a row error is a TypeError
                break
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
                # The records before this line are in the list; the next iteration begins after it.
                record = _read_otherwise(lines[len(records)], line_type, decode, error)
                blank |= record is None
                records.append(record)
        numbers = range(first, first + len(lines))
        if blank:
            kept = [
                (number, record)
                for number, record in zip(numbers, records, strict=True)
                if record is not None
            ]
            yield [number for number, _ in kept], [record for _, record in kept]
        else:
            yield numbers, cast(list[Line | RowError], records)


def _read_otherwise(
    line: bytes | RowError, line_type: type[Line], decode: Callable[[str], Line], error: Exception
) -> Line | RowError | None:
    """Return the record or row error of a line that msgspec did not decode; None where it is blank."""
    if isinstance(line, RowError):
        return line
    if not line or line.isspace():
        return None
    if isinstance(error, UnicodeDecodeError):
        return RowError("not_utf8", str(error))
    if isinstance(error, TypeError):
        raise error
    return _decode_leniently(line, line_type, decode, error)


def _decode_leniently(
    line: bytes, line_type: type[Line], decode: Callable[[str], Line], first_error: Exception
) -> Line | RowError:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return RowError("not_utf8", str(error))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns about unknown escapes
        if text.lstrip().startswith("{'"):
            try:
                return decode(_LITERAL_TOKEN.sub(_as_json, text))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                pass  # not expressible in JSON, or no literal
        value = _parse_json_or_literal(text.strip())
    # Rejections are published, and a line may begin with a user's id: the detail gives the position, not the content.
    if value is None:
        return RowError("broken_json", str(first_error))
    if not isinstance(value, dict):
        return RowError("not_an_object", f"the line is of type {type(value).__name__}")
    try:
        return msgspec.convert(_without_lone_surrogates(value), line_type)
    except RecursionError:
        return RowError("broken_json", "nested too deeply")


def _as_json(match: re.Match[str]) -> str:
    """Return a text or constant of a Python literal as JSON writes it.

    The text between tokens must be JSON already, else decoding fails and the line is read as a Python literal. So
    string prefixes (`r'…'`), tuples and comments keep the meaning that Python gives them.
    """
    token = match[0]
    if "\\" in token:
        return json.dumps(ast.literal_eval(token))
    if token[0] == '"':
        return token
    return _CONSTANTS.get(token) or '"' + token[1:-1].replace('"', '\\"') + '"'


def _parse_json_or_literal(text: str) -> Any:
    """Return the value of a JSON text or a Python literal, None where it is neither."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        pass
    else:
        return "null" if value is None else value
    if not text.startswith("{") or len(text) > MAX_LITERAL_BYTES:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _without_lone_surrogates(value: Any) -> Any:
    """Return a decoded value whose texts and keys can be stored as UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_lone_surrogates(item) for item in value]
    return value
