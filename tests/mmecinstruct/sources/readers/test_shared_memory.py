"""Processes that read large row groups at the same time take memory from one stock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.readers.parquet import read_parquet
from mmecinstruct.sources.readers.shared_memory import (
    FREE_BYTES,
    UNIT_BYTES,
    MemoryStock,
    reading_from,
    taken_memory,
)

STOCK = 50 * UNIT_BYTES

TAKE = """
import sys, time
from pathlib import Path
from mmecinstruct.sources.readers.shared_memory import MemoryStock, reading_from, taken_memory
path, size, needed, seconds = sys.argv[1], *map(float, sys.argv[2:])
with reading_from(MemoryStock(Path(path), int(size))), taken_memory(int(needed), "a file"):
    begin = time.monotonic()
    print("taken", flush=True)
    time.sleep(seconds)
    print(begin, time.monotonic(), flush=True)
"""


def taker(path: Path, needed: int, seconds: float = 0.4) -> subprocess.Popen[str]:
    arguments = [str(path), str(STOCK), str(needed), str(seconds)]
    return subprocess.Popen([sys.executable, "-c", TAKE, *arguments], stdout=subprocess.PIPE, text=True)


def spans(takers: list[subprocess.Popen[str]]) -> list[tuple[float, float]]:
    found = []
    for process in takers:
        output, _ = process.communicate(timeout=60)
        begin, end = map(float, output.split()[1:])
        found.append((begin, end))
    return sorted(found)


@pytest.mark.parametrize(("share", "at_once"), [(0.6, 1), (0.4, 2)])
def test_no_more_is_taken_than_there_is(tmp_path: Path, share: float, at_once: int) -> None:
    found = spans([taker(tmp_path / "stock", int(share * STOCK)) for _ in range(4)])
    for begin, _ in found:
        assert sum(start <= begin < end for start, end in found) <= at_once


def test_a_killed_process_leaves_its_memory_to_others(tmp_path: Path) -> None:
    first = taker(tmp_path / "stock", STOCK, seconds=600)
    assert first.stdout is not None
    assert first.stdout.readline() == "taken\n"
    second = taker(tmp_path / "stock", STOCK, seconds=0)
    time.sleep(0.2)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert len(spans([second])) == 1


def test_a_process_does_not_wait_for_itself(tmp_path: Path) -> None:
    with (
        reading_from(MemoryStock(tmp_path / "stock", STOCK)),
        taken_memory(STOCK, "a file"),
        taken_memory(STOCK, "another"),
    ):
        pass


def test_what_needs_more_than_there_is_names_the_remedies(tmp_path: Path) -> None:
    path = tmp_path / "products.parquet"
    titles = ["t" * 7_000] * 20_000
    pq.write_table(pa.table({"title": titles}), path, use_dictionary=False, data_page_size=1_000_000_000)
    with (
        reading_from(MemoryStock(tmp_path / "stock", 200_000_000)),
        pytest.raises(
            SourceError, match=r"row group 0 may take .*resources\.memory.*--workers.*smaller row groups"
        ),
    ):
        list(read_parquet(path, {"title": "title"}))
    assert sum(isinstance(row, dict) for _, row in read_parquet(path, {"title": "title"})) == 20_000


def test_an_ordinary_row_group_takes_nothing(tmp_path: Path) -> None:
    with reading_from(MemoryStock(tmp_path / "stock", 0)), taken_memory(FREE_BYTES, "a file"):
        pass
    assert not (tmp_path / "stock").exists()
