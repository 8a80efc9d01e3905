"""Cut the lines of a CSV or TSV file into rows and cells.

A quote at the beginning of a cell may open a quoted cell, which may hold line breaks, or it may be a character: an inch
sign, a name in quotes that the writer did not double, a quote that somebody forgot to close. A reader that takes each
for an opening quote joins the lines up to the next quote, and rows are gone without a trace. So a cell goes on in the
next line only where that line does not look like a row of its own, and a row that cannot be read costs its own line.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.readers.batches import BATCH_BYTES, FLUSH, TRUNCATED, RowError
from mmecinstruct.sources.readers.streams import MAX_LINE_BYTES, read_lines, truncation
from mmecinstruct.sources.settings import Quoting

# Of all lines of a row.
MAX_ROW_BYTES = 2 * MAX_LINE_BYTES
# Rows from which the reader learns what a row looks like.
LEARNT_ROWS = 100
SHOWN_BYTES = 20


class _Line(NamedTuple):
    number: int
    text: str
    # Bytes of the file before it, and its own.
    offset: int
    size: int
    # What is wrong with its bytes.
    wrong: str = ""


class _NextRow(Exception):
    """The line that would go on with an open cell looks like a row of its own, or there are too many of them."""


class CellReader:
    """Read (line on which a row begins, its cells or a row error) of a file, blank lines left out.

    Args:
        path: The file.
        delimiter: The text between two cells.
        quoting: `auto` as this module says; `standard` joins whatever a quote encloses; `none` takes quotes for
            characters.
    """

    def __init__(self, path: Path, delimiter: str, quoting: Quoting = "auto") -> None:
        self._path = path
        self._delimiter = delimiter
        self._quoting = quoting
        self._raw = read_lines(path)
        self._ahead: deque[_Line] = deque()
        self._offset = 0
        # The line at which a truncated archive breaks off.
        self._broken: int | None = None
        # The cells of a row and the column of its id, known from the header on.
        self._width = 0
        self._key = 0
        # Of the first rows: their number, the kinds of characters of their ids, and whether a cell begins with a blank.
        self._learnt = 0
        self._id_kinds: set[frozenset[str]] = set()
        self._spaced = False
        # The first line of a row, for the csv reader, and the lines that it took beside.
        self._first: str | None = None
        self._start: _Line | None = None
        self._taken: list[_Line] = []
        self._csv = csv.reader(
            self,
            delimiter=delimiter,
            quoting=csv.QUOTE_NONE if quoting == "none" else csv.QUOTE_MINIMAL,
            strict=True,
        )

    def expect(self, header: Sequence[str], key: int) -> None:
        """Say what a row has: as many cells as the header, and an id in the column `key`."""
        self._width, self._key = len(header), key
        self._spaced = any(name[:1] == " " for name in header)

    def rows(self) -> Iterator[tuple[int, list[str] | RowError]]:
        """Yield the rows in order.

        Raises:
            SourceError: The file cannot be read, or not even its header.
        """
        # The csv module's default limit of 128 KiB is too small for descriptions.
        csv.field_size_limit(MAX_LINE_BYTES)
        flushed = 0
        while (line := self._take()) is not None:
            text = line.text
            if line.offset - flushed > BATCH_BYTES:
                yield line.number, FLUSH
                flushed = line.offset
            if text.endswith("\r"):
                text = text[:-1]
            if not text:
                continue
            self._taken.clear()
            if '"' in text or "\r" in text:
                cells = self._with_quotes(line, text)
                if cells is None:
                    yield line.number, truncation(self._path, line.number, line.offset)
                    return
            else:
                cells = text.split(self._delimiter)
            wrong = line.wrong or next((one.wrong for one in self._taken if one.wrong), "")
            if wrong:
                yield line.number, RowError("not_utf8", wrong)
                continue
            if self._learnt < LEARNT_ROWS and isinstance(cells, list) and len(cells) == self._width:
                self._learnt += 1
                self._id_kinds.add(_kinds(cells[self._key]))
                self._spaced = self._spaced or any(cell[:1] == " " for cell in cells)
            yield line.number, cells
        if self._broken is not None:
            yield self._broken, truncation(self._path, self._broken, self._offset)

    # --- lines ---------------------------------------------------------------------------------------

    def _take(self) -> _Line | None:
        """Return the next line, None at the end of the file."""
        if self._ahead:
            return self._ahead.popleft()
        following = next(self._raw, None)
        if following is None:
            return None
        number, raw = following
        if isinstance(raw, RowError):
            if raw.reason == TRUNCATED:
                self._broken = number
                return None
            raise SourceError(f"{self._path}:{number}: {raw.detail}")
        offset = self._offset
        self._offset += len(raw) + 1
        try:
            return _Line(number, raw.decode(), offset, len(raw) + 1)
        except UnicodeDecodeError as error:
            around = raw[max(0, error.start - SHOWN_BYTES) : error.start + SHOWN_BYTES]
            shown = around.decode("ascii", errors="backslashreplace")
            wrong = f"bytes that are not UTF-8: '{shown}'"
            return _Line(number, raw.decode(errors="replace"), offset, len(raw) + 1, wrong)

    def __iter__(self) -> CellReader:
        """Return the lines of one row, as the csv reader asks for them."""
        return self

    def __next__(self) -> str:
        """Return the first line of the row, then the lines that may go on with it."""
        if self._first is not None:
            text, self._first = self._first, None
            return text
        line = self._take()
        if line is None:
            raise StopIteration
        self._taken.append(line)
        assert self._start is not None
        if line.offset + line.size - self._start.offset > MAX_ROW_BYTES or self._is_next_row(line):
            raise _NextRow
        return line.text + "\n"

    # --- rows ----------------------------------------------------------------------------------------

    def _with_quotes(self, line: _Line, text: str) -> list[str] | RowError | None:
        """Return the cells of the row that begins with a line; None where the archive breaks off in it."""
        self._first, self._start = line.text + "\n", line
        try:
            cells = next(self._csv)
            if len(cells) == self._width or not (
                self._literal and text.count(self._delimiter) + 1 == self._width
            ):
                return cells
            why = ""
        except (csv.Error, _NextRow) as error:
            why = str(error)
        if self._broken is not None and why.startswith("unexpected end"):
            return None
        joined = bool(self._taken)
        self._give_back()
        if not self._width:
            if "new-line" in why:
                raise SourceError(
                    f"{self._path}: its lines end in carriage returns alone; save it with line feeds"
                )
            raise SourceError(
                f"{self._path}:{line.number}: {why}; is a quote opened here that is never closed?"
            )
        if self._literal and text.count(self._delimiter) + 1 == self._width:
            return [_unquoted(cell) for cell in text.split(self._delimiter)]
        if joined or why.startswith("unexpected end"):
            why = "a quote is opened in this line and not closed before the next row"
        return RowError("bad_row", f"{why}; where quotes are characters, set quoting: none")

    @property
    def _literal(self) -> bool:
        """Whether a quote may be a character at the beginning of a cell: where no cell holds the delimiter."""
        return self._delimiter == "\t" and self._quoting == "auto"

    def _give_back(self) -> None:
        """Put the lines beside the first one back: they are rows of their own."""
        self._ahead.extendleft(reversed(self._taken))
        self._taken.clear()

    def _is_next_row(self, line: _Line) -> bool:
        """Return whether a line looks like a row of its own, though a cell is open before it."""
        if not self._width or self._quoting == "standard":
            return False
        assert self._start is not None
        text = line.text.removesuffix("\r")
        literal = text.split(self._delimiter)
        if self._delimiter == "\t" and len(literal) == self._width:
            return True
        if len(literal) < self._width:
            return False
        before = self._cells_before()
        if len(before) - 1 <= self._key and len(self._start.text.split(self._delimiter)) < self._width:
            # The id comes after the open cell, where each row ends alike, and what opened the cell has too few cells to
            # be a row.
            return False
        ids = self._id_kinds | {_kinds(cell) for cell in before[:-1][self._key : self._key + 1]}
        if "0" in (kinds := _kinds(literal[self._key])) and kinds in ids:
            return True
        alone = self._cells_alone(text)
        if len(alone) != self._width:
            return False
        # Prose has blanks after its commas. Rows have none there, unless all have.
        if not self._spaced and any(cell[:1] == " " for cell in alone):
            return False
        kinds = _kinds(alone[self._key])
        return (
            bool(kinds)
            and " " not in kinds
            and ("0" in kinds or not ids or any("0" not in one for one in ids))
        )

    def _cells_alone(self, text: str) -> list[str]:
        """Return the cells of a line that is read as a row, none where it cannot be."""
        try:
            return next(csv.reader((text,), delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            return []

    def _cells_before(self) -> list[str]:
        """Return the cells of the row's first line; the last one is open."""
        assert self._start is not None
        return next(csv.reader((self._start.text,), delimiter=self._delimiter), [""])


def _kinds(text: str) -> frozenset[str]:
    """Return the kinds of a text's characters: `a` for letters, `0` for digits, others as they are."""
    return frozenset("a" if one.isalpha() else "0" if one.isdigit() else one for one in text)


def _unquoted(cell: str) -> str:
    """Return the content of a quoted cell; another cell as it is."""
    if len(cell) > 1 and cell[0] == '"' == cell[-1]:
        inner = cell[1:-1].replace('""', "")
        if '"' not in inner:
            return cell[1:-1].replace('""', '"')
    return cell
