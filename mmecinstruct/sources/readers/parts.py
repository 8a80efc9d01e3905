"""Parts of large files of lines, so that one file keeps several workers busy.

The rows do not depend on the cut. Plain text is cut where lines end, each part about `PART_BYTES` long. A compressed
file cannot be entered in the middle: the worker of each part unpacks what lies before it, counts its lines and throws
it away. So there are few parts, of large files only and no more than can be read at once, and the later ones are
shorter; where their lines begin is found by their workers, and how long the whole text is need only be guessed. Parquet
is cut between row groups. CSV files with a header, and JSON lines whose columns are checked over the whole file, stay
in one piece.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.sources.formats import file_format
from mmecinstruct.sources.readers.batches import FilePart, RawFile
from mmecinstruct.sources.readers.streams import line_ends
from mmecinstruct.sources.settings import (
    AboSource,
    Amazon2023Metadata,
    Amazon2023Reviews,
    AmazonMetadata,
    AmazonQaSource,
    AmazonRatings,
    AmazonReviews,
    EsciPages,
    MaveSource,
    Source,
)

PART_BYTES = 128 * 1024 * 1024
# (bytes, parts) of compressed files. Of two parts, a twentieth of the work is done again; of four, a sixth.
PACKED_PARTS = ((512 * 1024 * 1024, 4), (64 * 1024 * 1024, 2))
UNPACKING = 1 / 10  # of the time that it takes to read a compressed text into tables

_BLOCK_BYTES = 4 * 1024 * 1024
_SAMPLE_BYTES = 8 * 1024 * 1024


def file_parts(
    source: Source,
    file: RawFile,
    part_bytes: int = PART_BYTES,
    packed_parts: tuple[tuple[int, int], ...] = PACKED_PARTS,
    most_packed_parts: int | None = None,
) -> list[FilePart]:
    """Return the parts that a file is read in; none where it is read whole.

    packed_parts: (bytes, parts) of compressed files, the largest first. most_packed_parts: how many can be read at the
    same time; more would cost and gain nothing.

    Raises OSError where the file cannot be read.
    """
    outer = file_format(file.path).outer
    if outer == "parquet":
        return _row_group_parts(file.path, part_bytes)
    if not _is_read_by_lines(source, file):
        return []
    size = file.path.stat().st_size
    if outer not in ("gzip", "zstd"):
        return _plain_parts(file.path, size, part_bytes) if size > part_bytes else []
    count = next((count for least, count in packed_parts if size >= least), 1)
    count = min(count, most_packed_parts or count)
    if count == 1:
        return []
    length = _text_bytes(file.path, size, outer)
    starts = [round(length * share) for share in _packed_shares(count)[:-1]]
    if len(set(starts)) < count:
        return []
    return [FilePart(start, stop) for start, stop in zip(starts, [*starts[1:], None], strict=True)]


def packed_weight(count: int) -> float:
    """Return how long each of `count` parts of a compressed file takes, 1 being the file in one piece."""
    return _packed_shares(count)[1]


def _packed_shares(count: int) -> list[float]:
    """Return where parts that take equally long begin and, last, end, as shares of the text.

    A part that begins at s and is l long takes s * UNPACKING + l, so each is shorter than the one before by the same
    factor.
    """
    lengths = [(1 - UNPACKING) ** number for number in range(count)]
    return [sum(lengths[:number]) / sum(lengths) for number in range(count + 1)]


def _is_read_by_lines(source: Source, file: RawFile) -> bool:
    """Tell whether a source's parser reads such a file line by line, each without the others."""
    match source:
        case AmazonRatings():
            return True
        case (
            AmazonMetadata()
            | AmazonReviews()
            | Amazon2023Metadata()
            | Amazon2023Reviews()
            | AmazonQaSource()
            | MaveSource()
            | EsciPages()
            | AboSource()
        ):
            return file_format(file.path).table == "json"
        case _:
            return False


def _plain_parts(path: Path, size: int, part_bytes: int) -> list[FilePart]:
    parts = []
    begin = before = 0
    with path.open("rb") as stream:
        while begin < size:
            place, lines = begin, 0
            while place < begin + part_bytes and (
                block := stream.read(min(_BLOCK_BYTES, begin + part_bytes - place))
            ):
                lines += line_ends(block)
                place += len(block)
            while block and not block.endswith(
                b"\n"
            ):  # on to the end of the line; an endless one ends the file
                block = stream.readline(_BLOCK_BYTES)
                lines += line_ends(block)
                place += len(block)
            if place == begin:
                break  # the file became shorter, which its reader will find
            parts.append(FilePart(begin, place, before))
            begin, before = place, before + lines
    return parts


def _row_group_parts(path: Path, part_bytes: int) -> list[FilePart]:
    """Return parts of whole row groups, each of `part_bytes` unpacked or, the last one aside, somewhat more."""
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return []  # which its reader will tell
    cuts, row, waiting = [0], 0, 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        row += group.num_rows
        waiting += group.total_byte_size
        if waiting >= part_bytes and row < metadata.num_rows:
            cuts.append(row)
            waiting = 0
    if len(cuts) == 1:
        return []
    return [
        FilePart(start, stop, start) for start, stop in zip(cuts, [*cuts[1:], metadata.num_rows], strict=True)
    ]


def _text_bytes(path: Path, size: int, codec: str) -> int:
    """Guess what a compressed file unpacks to; 0 where its beginning already cannot be unpacked.

    What its first bytes unpack to tells roughly. gzip ends with the length of its last member, modulo 2**32: where that
    agrees, it is taken. A guess that is wrong makes parts of unequal length, and no other difference.
    """
    unpacked = 0
    with path.open("rb") as stream:
        stream.seek(max(0, size - 4))
        ending = int.from_bytes(stream.read(4), "little")
        stream.seek(0)
        try:
            with pa.CompressedInputStream(pa.PythonFile(stream, "r"), codec) as text:
                while (read := stream.tell()) < _SAMPLE_BYTES and (block := text.read(_BLOCK_BYTES)):
                    unpacked += len(block)
        except (OSError, pa.ArrowException):
            return 0  # damaged or no archive at all, which its reader will tell
    guess = unpacked * size // max(1, read)
    exact = ending + round((guess - ending) / 2**32) * 2**32
    return exact if codec == "gzip" and abs(exact - guess) < guess // 4 else guess
