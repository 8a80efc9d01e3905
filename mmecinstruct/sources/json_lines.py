"""Read JSON lines into typed records, fast, with an error for each line that is none.

msgspec decodes a line straight into the fields that its source declares. What it refuses is read once more:
by the standard library, which takes NaN and lone surrogates, and, where a line looks like the Python literals
of Amazon's 2014 files, by `ast.literal_eval`, never by `eval`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mmecinstruct.sources.batches import Refusal
from mmecinstruct.sources.streams import MAX_LINE_BYTES, open_bytes, read_lines

Line = TypeVar("Line")

# Syntax trees of Python literals take a hundred times their text.
MAX_LITERAL_BYTES = 1024 * 1024


def read_json_lines(
    path: Path, line_type: type[Line], max_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, Line | Refusal]]:
    """Yield (line number, record or refusal) of each line that is not blank.

    line_type: a msgspec Struct whose fields all have defaults and the type Any, so that a value of an
    unexpected type reaches the source's own rules; or dict. Reasons: broken_json, not_an_object, not_utf8,
    line_too_long.

    Raises SourceError where the file is damaged.
    """
    decode = msgspec.json.Decoder(line_type).decode
    with open_bytes(path) as stream:
        for number, line in read_lines(stream, max_bytes):
            if line is None:
                yield number, Refusal("line_too_long", f"the line has more than {max_bytes} bytes")
                continue
            try:
                record: Line | Refusal = decode(line)
            except UnicodeDecodeError as error:
                record = Refusal("not_utf8", str(error))
            except (msgspec.DecodeError, RecursionError) as error:
                record = _decode_leniently(line, line_type, error)
            yield number, record


def _decode_leniently(line: bytes, line_type: type[Line], first_error: Exception) -> Line | Refusal:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", str(error))
    value = _parse_json_or_literal(text.strip())
    if value is None:
        return Refusal("broken_json", f"{first_error}: {text[:80].strip()}")
    if not isinstance(value, dict):
        return Refusal("not_an_object", f"{type(value).__name__}: {text[:80].strip()}")
    try:
        return msgspec.convert(_without_lone_surrogates(value), line_type)
    except RecursionError:
        return Refusal("broken_json", f"nested too deeply: {text[:80].strip()}")


def _parse_json_or_literal(text: str) -> Any:
    """Return the value of a JSON text or a Python literal, None where it is neither (or null)."""
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
    """Return a decoded value whose texts can be stored as UTF-8; keys too."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_lone_surrogates(key): _without_lone_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_lone_surrogates(item) for item in value]
    return value
