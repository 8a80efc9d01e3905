"""Lines of raw files, compressed or not; truncated archives are read up to their end."""

from __future__ import annotations

import gzip
import random
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources import RawFile, parse_file
from mmecinstruct.sources.readers import streams
from mmecinstruct.sources.readers.batches import RowError
from mmecinstruct.sources.readers.streams import read_lines
from mmecinstruct.sources.readers.tabular import read_csv, read_rows
from mmecinstruct.sources.settings import AmazonReviews, SqidSource


def numbered(count: int) -> list[bytes]:
    """Return lines that compress badly."""
    noise = random.Random(1)
    return [b'{"n": %d, "x": "%032x"}' % (number, noise.getrandbits(128)) for number in range(count)]


def pack(content: bytes, suffix: str) -> bytes:
    return gzip.compress(content) if suffix == ".gz" else pa.Codec("zstd").compress(content, asbytes=True)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_archive_gives_the_lines_before_its_end(
    tmp_path: Path, suffix: str, share: float
) -> None:
    lines = numbered(40_000)
    packed = pack(b"\n".join(lines) + b"\n", suffix)
    path = tmp_path / f"x.json{suffix}"
    path.write_bytes(packed[: int(len(packed) * share)])
    *before, (number, row_error) = read_lines(path)
    assert [line for _, line in before] == lines[: len(before)]
    # All but what one block of the compressed form holds; zstd's blocks hold up to 128 KiB.
    assert len(before) > len(lines) * share - 3_000
    assert number == len(before) + 1
    assert isinstance(row_error, RowError)
    assert row_error.reason == "truncated_archive"
    offset = sum(len(line) + 1 for line in lines[: len(before)])
    assert f"line {number}, which begins at byte {offset};" in row_error.detail


@pytest.mark.parametrize("content", [b"<html>Too many requests</html>", b"{}\n", b"\x1f-", b"\0\x1f\x8b"])
def test_a_file_that_is_no_gzip_has_a_plain_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.json.gz"
    path.write_bytes(content)
    with pytest.raises(
        SourceError, match=r"rows\.json\.gz: not a gzip file; get the file again, or take \.gz"
    ):
        list(read_lines(path))


def test_a_truncated_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SourceError, match=r"rows\.parquet: not readable as Parquet: .*; get the file again"):
        list(read_rows(path, {"field": "id"}))


def test_members_of_a_gzip_file_are_one_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(
        gzip.compress(b"one\ntw") + b"\0" * 7 + gzip.compress(b"") + gzip.compress(b"o\n") + b"\0" * 900_000
    )
    assert list(read_lines(path)) == [(1, b"one"), (2, b"two")]
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n")[:-3])
    assert [number for number, _ in read_lines(path)] == [1, 2, 3]


def damaged(packed: bytes, noise: random.Random) -> bytes:
    """Return an archive that is truncated, has flipped bits or trailing bytes, or is intact."""
    content, kind = bytearray(packed), noise.randrange(5)
    if kind == 0:
        content = content[: noise.randrange(len(content))]
    elif kind == 1:
        content[noise.randrange(len(content))] ^= 1 << noise.randrange(8)
    elif kind == 2:
        content[noise.randrange(12)] ^= 1 << noise.randrange(8)
    elif kind == 3:
        content += noise.randbytes(noise.randrange(1, 30))
    return bytes(content)


@pytest.mark.skipif(streams.inflating is zlib, reason="the faster decoder is not installed")
def test_the_faster_decoder_equals_the_standard_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, noise, read = tmp_path / "x.gz", random.Random(4), set()
    for number in range(150):
        lines = b"\n".join(numbered(noise.choice((1, 40, 4_000))))
        packed = gzip.compress(lines, noise.choice((0, 1, 6, 9)))
        path.write_bytes(damaged(packed if number % 3 else packed + gzip.compress(lines), noise))
        found = []
        for decoder in (streams.inflating, zlib):
            with monkeypatch.context() as patch:
                patch.setattr(streams, "inflating", decoder)
                try:
                    found.append(list(read_lines(path)))
                except SourceError:
                    found.append(["an error"])
        assert found[0] == found[1]
        read.add(str(found[0][-1])[:30])
    assert len(read) > 3


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_lines_are_put_together_over_blocks(tmp_path: Path, suffix: str) -> None:
    lines = [b"a" * 700_000, b"", b"b" * 1_300_000, b"c"]
    path = tmp_path / f"x.json{suffix}"
    content = b"\xef\xbb\xbf" + b"\n".join(lines)
    path.write_bytes(pack(content, suffix) if suffix else content)
    assert [line for _, line in read_lines(path)] == lines
    long = [line.reason if isinstance(line, RowError) else line for _, line in read_lines(path, 1_000_000)]
    assert long == [lines[0], b"", "line_too_long", b"c"]


def test_a_parsed_archive_has_one_rejection_for_the_break(tmp_path: Path) -> None:
    row = '{"asin": "B%09d", "reviewerID": "A%d", "overall": 5.0, "unixReviewTime": 1393372800}'
    packed = gzip.compress("".join(row % (n, n * 7919) + "\n" for n in range(30_000)).encode())
    path = tmp_path / "x.json.gz"
    path.write_bytes(packed[: len(packed) // 2])
    source = AmazonReviews(kind="amazon18_reviews", path=path.name)
    batches = list(parse_file(source, RawFile("reviews", path, path.name)))
    (rejection,) = [rejection for batch in batches for rejection in batch.rejections]
    kept = sum(batch.kept for batch in batches)
    assert (rejection.reason, rejection.origin) == ("truncated_archive", f"x.json.gz:{kept + 1}")
    assert 10_000 < kept < 20_000
    assert sum(batch.tables["reviews"].num_rows for batch in batches) == kept


def test_a_truncated_csv_file_keeps_its_whole_rows(tmp_path: Path) -> None:
    noise = random.Random(2)
    rows = "".join(
        f'{noise.getrandbits(64):x},"https://x/{noise.getrandbits(64):x}\n.jpg"\n' for _ in range(9_000)
    )
    path = tmp_path / "x.csv.gz"
    packed = gzip.compress(("product_id,image_url\n" + rows).encode())
    ends = set()
    for share in range(40, 60):
        path.write_bytes(packed[: len(packed) * share // 100])
        *whole, (number, last) = read_csv(path, {})
        assert isinstance(last, RowError)
        assert last.reason == "truncated_archive"
        assert number == 2 + 2 * len(whole)  # each row has two lines: where its first is
        assert all(isinstance(row, dict) and row["image_url"].endswith(".jpg") for _, row in whole)
        ends.add(len(whole))
    assert len(ends) > 5
    source = SqidSource(kind="sqid", path=path.name)
    (*_, batch) = parse_file(source, RawFile("images", path, path.name))
    assert batch.rejections[-1].reason == "truncated_archive"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_lines(tmp_path / "none.json.zst"))
