"""Cut large files of lines into parts, so that several workers can read one file.

The rows do not depend on the cuts. Plain text is cut at line ends into parts of about `PART_BYTES`. A compressed file
cannot be read from the middle: the worker of each part unpacks the text before it, counts its lines and discards it.
So only large files are cut, into few parts, no more than can be read at the same time, and later parts are shorter.
Each worker finds the first line of its part, so the length of the whole text may be an estimate. Parquet files are cut
between row groups. CSV files with a header, and JSON lines whose columns are checked over the whole file, are not cut.
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
# (bytes, parts) of compressed files. Two parts repeat a twentieth of the work, four a sixth.
PACKED_PARTS = ((512 * 1024 * 1024, 4), (64 * 1024 * 1024, 2))
# The time to unpack a compressed text, as a share of the time to read it into tables.
UNPACKING = 1 / 10

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

    Args:
        source: The recipe's source that names the file.
        file: The whole file.
        part_bytes: The size of a part of an uncompressed file, in bytes.
        packed_parts: (bytes, parts) of compressed files, the largest first.
        most_packed_parts: The number of parts of a compressed file that can be read at the same time.

    Raises:
        OSError: The file cannot be read.
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
    """Return the time that each of `count` parts of a compressed file takes, as a share of the whole file's."""
    return _packed_shares(count)[1]


def _packed_shares(count: int) -> list[float]:
    """Return the starts of parts that take equally long and, last, the end, as shares of the text.

    A part that begins at s and has length l takes s * UNPACKING + l, so each part is shorter than the one before by the
    same factor.
    """
    lengths = [(1 - UNPACKING) ** number for number in range(count)]
    return [sum(lengths[:number]) / sum(lengths) for number in range(count + 1)]


def _is_read_by_lines(source: Source, file: RawFile) -> bool:
    """Return whether a source's parser reads each line of such a file independently of the others."""
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
            position, lines = begin, 0
            while position < begin + part_bytes and (
                block := stream.read(min(_BLOCK_BYTES, begin + part_bytes - position))
            ):
                lines += line_ends(block)
                position += len(block)
            # Go on to the end of the line.
            while block and not block.endswith(b"\n"):
                block = stream.readline(_BLOCK_BYTES)
                lines += line_ends(block)
                position += len(block)
            if position == begin:
                # The file became shorter; its reader reports that.
                break
            parts.append(FilePart(begin, position, before))
            begin, before = position, before + lines
    return parts


def _row_group_parts(path: Path, part_bytes: int) -> list[FilePart]:
    """Return parts of whole row groups; each but the last has at least `part_bytes` uncompressed."""
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return []  # its reader reports the error
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
    """Estimate the uncompressed bytes of a file; 0 where its first bytes cannot be unpacked.

    The compression ratio of the first bytes gives a rough estimate. A gzip file ends with the length of its last
    member modulo 2**32; where that agrees with the estimate, it is taken. A wrong estimate makes the parts unequal.
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
            # Damaged or no archive; its reader reports the error.
            return 0
    guess = unpacked * size // max(1, read)
    exact = ending + round((guess - ending) / 2**32) * 2**32
    return exact if codec == "gzip" and abs(exact - guess) < guess // 4 else guess
