"""The pages of a Parquet column chunk, from their headers alone: nothing is unpacked.

The footer of a file may say anything of the sizes that follow. A page's header says how much memory unpacking it takes,
and no reader can be made to take more. Headers are Thrift structs in the compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

_HEADER_BYTES = 64 * 1024  # statistics within a header may be long; a longer header is refused
_MAX_DEPTH = 8

# Compact protocol: types of fields.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
# Fields of a page header, of the header of a data page within it, and the type of a dictionary page.
_TYPE, _UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_2 = 1, 2, 3, 5, 7, 8
_VALUES, _ENCODING, _ENCODING_2 = 1, 2, 4
_DICTIONARY_PAGE = 2
_DELTA_BYTE_ARRAY, _DICTIONARY_ENCODINGS = 7, (2, 8)


class PagesError(ValueError):
    """The bytes are no headers of pages."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page's header says.

    Attributes:
        start: The byte of the file at which the page's content begins.
        packed: Bytes of the content in the file.
        size: Bytes of the unpacked page.
        values: Number of values, those within lists counted.
        is_dictionary: Whether the page is the dictionary of the others.
        uses_dictionary: Whether the values are places in the dictionary.
        shares_prefixes: Whether a value may repeat the beginning of the one before without holding it.
    """

    start: int
    packed: int
    size: int
    values: int
    is_dictionary: bool
    uses_dictionary: bool
    shares_prefixes: bool


def read_pages(stream: BinaryIO, start: int, length: int) -> Iterator[Page]:
    """Yield the pages of a column chunk.

    Args:
        stream: The file.
        start: The byte at which the chunk begins.
        length: Bytes of the chunk.

    Raises:
        PagesError: The bytes there are no pages.
    """
    position, end = start, start + length
    while position < end:
        stream.seek(position)
        reader = _Reader(stream.read(min(_HEADER_BYTES, end - position)))
        header = reader.struct()
        packed, size = header.get(_PACKED), header.get(_UNPACKED)
        if not isinstance(packed, int) or not isinstance(size, int) or packed < 0 or size < 0:
            raise PagesError("a page without a size")
        inner: Any = next((header[field] for field in (_DATA, _DATA_2, _DICTIONARY) if field in header), {})
        values = inner.get(_VALUES, 0) if isinstance(inner, dict) else 0
        encoding = (
            inner.get(_ENCODING_2 if _DATA_2 in header else _ENCODING) if isinstance(inner, dict) else 0
        )
        is_dictionary = header.get(_TYPE) == _DICTIONARY_PAGE
        position += reader.position
        yield Page(
            position,
            packed,
            size,
            max(0, values) if isinstance(values, int) else 0,
            is_dictionary,
            not is_dictionary and encoding in _DICTIONARY_ENCODINGS,
            encoding == _DELTA_BYTE_ARRAY,
        )
        position += packed


def longest_text(stream: BinaryIO, page: Page, codec: str) -> int | None:
    """Return the bytes of the longest text of a dictionary page; None where this reader cannot unpack it.

    Args:
        stream: The file.
        page: The page, of a column of texts.
        codec: The compression of the column chunk, as pyarrow names it.
    """
    import pyarrow as pa

    stream.seek(page.start)
    content = stream.read(page.packed)
    if codec != "UNCOMPRESSED":
        try:
            content = pa.Codec(codec.lower()).decompress(content, page.size).to_pybytes()
        except (pa.ArrowException, OSError, ValueError):
            return None
    longest = position = 0
    while position + 4 <= len(content):
        length = int.from_bytes(content[position : position + 4], "little")
        longest = max(longest, length)
        position += 4 + length
    return longest if position == len(content) else None


class _Reader:
    """A reader of one struct from the start of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a struct by their numbers."""
        if depth > _MAX_DEPTH:
            raise PagesError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            step, kind = kind >> 4, kind & 0x0F
            number = number + step if step else _unzigzag(self._number())
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return _unzigzag(self._number())
        if kind == _DOUBLE:
            return self._skip(8)
        if kind == _BINARY:
            return self._skip(self._number())
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._number()
            for _ in range(count):
                self._value(head & 0x0F, depth + 1)
            return None
        if kind == _MAP:
            count = self._number()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._value(kinds >> 4, depth + 1)
                self._value(kinds & 0x0F, depth + 1)
            return None
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise PagesError(f"no type has the number {kind}")

    def _byte(self) -> int:
        if self.position >= len(self._data):
            raise PagesError("the header does not end")
        self.position += 1
        return self._data[self.position - 1]

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number
            if shift > 63:
                raise PagesError("a number of more than 64 bits")

    def _skip(self, count: int) -> None:
        self.position += count


def _unzigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
