"""JSON lines are read fast, and each line that cannot be read is named."""

from __future__ import annotations

import ast
import gzip
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.readers.batches import RowError
from mmecinstruct.sources.readers.json_lines import MAX_LITERAL_BYTES, read_json_lines


class Line(msgspec.Struct):
    a: Any = None


def read(path: Path, content: bytes, **options: int) -> list[tuple[int, object]]:
    path.write_bytes(content)
    return [
        (number, record.reason if isinstance(record, RowError) else record.a)
        for number, record in read_json_lines(path, Line, **options)
    ]


def test_each_record_has_its_line_number_and_blank_lines_count(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": [2]}\n{"b": 3}'
    assert read(tmp_path / "x.json", content) == [(1, 1), (4, [2]), (5, None)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "broken_json"),
        (b'{"a": 1} {"a": 2}', "broken_json"),
        (b"not json", "broken_json"),
        (b"[1, 2]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"{1, 2}", "not_an_object"),
        (b'{"a": "caf\xe9"}', "not_utf8"),
        (b'{"a": "' + b"x" * 100 + b'"}', "line_too_long"),
    ],
)
def test_an_unreadable_line_is_rejected_and_the_next_is_read(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    content = b'{"a": 1}\n' + line + b'\n{"a": 3}\n'
    assert read(tmp_path / "x.json", content, max_bytes=80) == [(1, 1), (2, reason), (3, 3)]


def test_a_line_of_exactly_the_greatest_length_is_read(tmp_path: Path) -> None:
    line = b'{"a": "xxxx"}\n'
    assert read(tmp_path / "x.json", line * 2, max_bytes=len(line)) == [(1, "xxxx"), (2, "xxxx")]
    assert read(tmp_path / "x.json", line * 2, max_bytes=len(line) - 1) == [
        (1, "line_too_long"),
        (2, "line_too_long"),
    ]


def test_python_literals_of_2014_are_read_without_running_them(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    content = b"{'a': \"it's\", 'b': None}\n" + f"{{'a': open('{victim}', 'w')}}\n".encode()
    assert read(tmp_path / "x.json", content) == [(1, "it's"), (2, "broken_json")]
    assert not victim.exists()


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"{'a': " + b"-" * 500_000 + b"1}",
        b"{'a': " + b"(" * 50_000 + b"}",
        b"{'a': '" + b"x" * MAX_LITERAL_BYTES + b"'}",
        b"{'a': " + b"9" * 10_000 + b"}",
    ],
    ids=["deep", "nearly too deep", "signs", "brackets", "large literal", "digits"],
)
def test_hostile_lines_give_a_record_or_a_row_error(tmp_path: Path, line: bytes) -> None:
    ((number, result), last) = read(tmp_path / "x.json", line + b'\n{"a": 2}\n')
    assert number == 1
    assert result == "broken_json" or isinstance(result, list) or result == "x" * MAX_LITERAL_BYTES
    assert last == (2, 2)


def test_lone_surrogates_and_nan_do_not_lose_the_record(tmp_path: Path) -> None:
    content = b'{"a": ["\\ud800x", "\\ud83d\\ude00", {"k": "\\udc00"}]}\n{"a": NaN}\n'
    (_, texts), (_, number) = read(tmp_path / "x.json", content)
    assert texts == ["\ufffdx", "\U0001f600", {"k": "\ufffd"}]
    assert isinstance(number, float)
    assert number != number


def test_compressed_files_are_read_like_plain_ones(tmp_path: Path) -> None:
    content = b'{"a": 1}\n{"a": 2}\n'
    assert read(tmp_path / "x.json.gz", gzip.compress(content)) == [(1, 1), (2, 2)]
    zstandard = pa.Codec("zstd").compress(content, asbytes=True)
    assert read(tmp_path / "x.jsonl.zst", zstandard) == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "{'a': 'plain', 'b': None, 'c': True}",
        """{'a': "it's", 'b': [1, 2.5, -3], 'c': {'d': 'e'}}""",
        """{'a': 'say "hi", it is "None" and True', 'b': ""}""",
        r"""{'a': 'it\'s \\ \x41 \u00e9 \n "q"', 'b': "tab\there's"}""",
        "{'a': ('x', 'y'), 'b': {'n', 'm'}}",
        "{'a': r'raw', 'b': u'text', 'c': b'bytes'}",
        "{'a': 'two' 'parts'}",
        "{'a': 0x1f, 'b': 1_000}",
        "{'a': 'x'} # a comment",
        "{'a': True, 'b': [None, False]}",
    ],
)
def test_a_literal_has_the_value_that_python_gives_it(tmp_path: Path, text: str) -> None:
    expected = ast.literal_eval(text)["a"]
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    ((_, record),) = read_json_lines(tmp_path / "x.json", Line)
    assert isinstance(record, Line)
    assert record.a == (list(expected) if isinstance(expected, tuple) else expected)


@pytest.mark.parametrize("text", ["{'a': nothing}", "{'a': 1 + 1}", "{'a': f'{1}'}", "{'a': 'x'", "{'a': '"])
def test_text_that_is_no_literal_is_rejected(tmp_path: Path, text: str) -> None:
    assert read(tmp_path / "x.json", text.encode()) == [(1, "broken_json")]


@pytest.mark.parametrize("damage", ["not gzip", "flipped", "empty", "cut in the first line", "trailing"])
def test_a_damaged_archive_is_an_error_that_names_it(tmp_path: Path, damage: str) -> None:
    packed = bytearray(gzip.compress(b'{"a": 1}\n' * 1000))
    if damage == "not gzip":
        packed = bytearray(b'{"a": 1}\n')
    elif damage == "flipped":
        packed[len(packed) // 2] ^= 0xFF
    elif damage == "trailing":
        packed += b"<html>not found</html>"
    else:
        packed = packed[: 0 if damage == "empty" else 12]
    with pytest.raises(SourceError, match=r"x\.json\.gz"):
        read(tmp_path / "x.json.gz", bytes(packed))
