"""Read JSON lines into typed records, fast, with an error for each line that is none.

msgspec decodes a line straight into the fields that its source declares. What it refuses is read once more:
where a line looks like the Python literals of Amazon's 2014 files, its texts are quoted as JSON quotes them and it is
decoded again; else by the standard library, which takes NaN and lone surrogates, and by `ast.literal_eval`, which
builds values and runs nothing. Never by `eval`.
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

from mmecinstruct.sources.readers.batches import FilePart, Refusal
from mmecinstruct.sources.readers.streams import MAX_LINE_BYTES, read_line_lists

Line = TypeVar("Line")

# Syntax trees of Python literals take a hundred times their text.
MAX_LITERAL_BYTES = 1024 * 1024

_LITERAL_TOKEN = re.compile(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|\b(?:None|True|False)\b""")
_CONSTANTS = {"None": "null", "True": "true", "False": "false"}


def read_json_lines(
    path: Path, line_type: type[Line], max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[int, Line | Refusal]]:
    """Yield (line number, record or refusal) of each line, of a file or of a part, that is not blank.

    line_type: a msgspec Struct whose fields all have defaults and the type Any, so that a value of an
    unexpected type reaches the source's own rules; or dict. Reasons: broken_json, not_an_object, not_utf8,
    line_too_long, truncated_archive (of the last line, where an archive is cut short).

    Raises SourceError where the file is damaged.
    """
    for numbers, records in read_json_lists(path, line_type, max_bytes, part):
        yield from zip(numbers, records, strict=True)


def read_json_lists(
    path: Path, line_type: type[Line], max_bytes: int = MAX_LINE_BYTES, part: FilePart | None = None
) -> Iterator[tuple[Sequence[int], list[Line | Refusal]]]:
    """Yield what `read_json_lines` does, many at once: their line numbers, and the records or refusals.

    Raises SourceError as `read_json_lines` does.
    """
    decode = msgspec.json.Decoder(line_type).decode
    for first, lines in read_line_lists(path, max_bytes, part):
        records: list[Line | Refusal | None] = []
        blank = False
        undecoded = iter(lines)
        while True:
            try:
                records.extend(map(decode, undecoded))  # type: ignore[arg-type]  # a refusal is a TypeError
                break
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
                # Those before it are in the list, and the next turn begins behind it.
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
            yield numbers, cast(list[Line | Refusal], records)


def _read_otherwise(
    line: bytes | Refusal, line_type: type[Line], decode: Callable[[str], Line], error: Exception
) -> Line | Refusal | None:
    """Return the record or refusal of a line that is not JSON of the type; None where it is blank."""
    if isinstance(line, Refusal):
        return line
    if not line or line.isspace():
        return None
    if isinstance(error, UnicodeDecodeError):
        return Refusal("not_utf8", str(error))
    if isinstance(error, TypeError):
        raise error
    return _decode_leniently(line, line_type, decode, error)


def _decode_leniently(
    line: bytes, line_type: type[Line], decode: Callable[[str], Line], first_error: Exception
) -> Line | Refusal:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", str(error))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's own, about escapes that it does not know
        if text.lstrip().startswith("{'"):
            try:
                return decode(_LITERAL_TOKEN.sub(_as_json, text))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                pass  # what JSON cannot say, or no literal
        value = _parse_json_or_literal(text.strip())
    # Rejections are published, and a line may begin with a user's id: where it lies is said, not what it holds.
    if value is None:
        return Refusal("broken_json", str(first_error))
    if not isinstance(value, dict):
        return Refusal("not_an_object", f"the line is of type {type(value).__name__}")
    try:
        return msgspec.convert(_without_lone_surrogates(value), line_type)
    except RecursionError:
        return Refusal("broken_json", "nested too deeply")


def _as_json(match: re.Match[str]) -> str:
    """Return a text or constant of a Python literal as JSON writes it.

    What stands between such tokens must be JSON already, or the line is refused and read as a literal. So prefixes of
    texts (`r'…'`), tuples and comments never get a meaning here that Python would not give them.
    """
    token = match[0]
    if "\\" in token:
        return json.dumps(ast.literal_eval(token))
    if token[0] == '"':
        return token
    return _CONSTANTS.get(token) or '"' + token[1:-1].replace('"', '\\"') + '"'


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
