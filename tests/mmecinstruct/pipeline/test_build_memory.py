"""A build keeps to `resources.memory`, whatever its files unpack to."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

MEGABYTE = 1_000_000


def resident(session: int) -> int:
    """Return the bytes that the processes of a session hold together, shared pages counted once."""
    total = 0
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, TypeError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if folder.name.isdigit() and int(fields[3]) == session:
                (found,) = re.findall(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.MULTILINE)
                total += int(found) * 1024
    return total


@pytest.mark.slow
def test_workers_read_large_row_groups_in_turn(tmp_path: Path) -> None:
    """Four files with a title of 200 MB each: two at once would take more than the recipe has."""
    for number in range(4):
        titles = ["Mug"] * 9 + ["y" * (200 * MEGABYTE + number)]
        ids = [f"{number}-{row}" for row in range(10)]
        pq.write_table(
            pa.table({"id": ids, "title": titles, "category": ["Kitchen"] * 10}),
            tmp_path / f"products{number}.parquet",
            compression="zstd",
        )
    source = {
        "kind": "catalog",
        "products": {"path": "products*.parquet", "id": "id", "title": "title", "category": "category"},
    }
    recipe = {"name": "memory", "sources": [source], "resources": {"memory": "1.8GB"}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    options = [
        "--recipe",
        "recipe.yaml",
        "--data",
        ".",
        "--out",
        "out",
        "--workspace",
        "ws",
        "--workers",
        "2",
    ]
    build = subprocess.Popen(
        [sys.executable, "-m", "mmecinstruct", "build", *options],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    peak = 0
    while build.poll() is None:
        peak = max(peak, resident(build.pid))
        time.sleep(0.01)
    assert build.stderr is not None
    said = build.stderr.read()
    assert "Traceback" not in said
    rejections = list((tmp_path / "ws/stages/parse-00-catalog").glob("*/*/rejections.parquet"))
    assert [reason for path in rejections for reason in pq.read_table(path)["reason"].to_pylist()] == [
        "row_too_long"
    ] * 4, said
    assert 800 * MEGABYTE < peak < 1800 * MEGABYTE
