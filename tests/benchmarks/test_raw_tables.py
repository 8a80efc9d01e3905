"""The benchmark of relations and sequences: the baseline on hand-made rows, and ours on synthetic files."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def baseline() -> ModuleType:
    """Return the baseline as a module."""
    spec = importlib.util.spec_from_file_location(
        "raw_tables_baseline", BENCHMARKS / "raw_tables_baseline.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSON lines, texts as they are."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def product(
    asin: str, bought: str = "", viewed: str = "", similar: str = "", title: str = "A lamp"
) -> dict[str, Any]:
    table = "".join(f'<a href="/dp/{linked}/ref=x">' for linked in similar.split())
    return {
        "asin": asin,
        "title": title,
        "also_buy": bought.split(),
        "also_view": viewed.split(),
        "similar_item": table,
    }


def test_the_baselines_pairs_are_unordered_and_have_relations(baseline: ModuleType, tmp_path: Path) -> None:
    a, b, c, d = (f"B00000000{letter}" for letter in "ABCD")
    rows = [
        product(a, bought=f"{b} {a} B0UNKNOWN1", similar=f"{a} {c}"),
        "",
        '{"asin": "B0',
        product(b, bought=a, viewed=f"{c} {d}"),
        product(c, bought=b),
        product(a, viewed=d),
        product(d, bought=a, title="<span class"),
    ]
    found = baseline.related_pairs(written(tmp_path / "meta.json.gz", rows))
    assert found == {
        (a, b): baseline.BOUGHT,
        (a, c): baseline.SIMILAR,
        (b, c): baseline.BOUGHT | baseline.VIEWED,
    }


def test_the_baselines_sequences_are_the_most_recent_of_the_core(
    baseline: ModuleType, tmp_path: Path
) -> None:
    def review(user: str, item: str, day: int | None, rating: float = 5.0) -> dict[str, Any]:
        return {"reviewerID": user, "asin": item, "overall": rating, "unixReviewTime": day}

    rows = [review(user, item, day) for user in "uvw" for item, day in (("x", 3), ("z", 1), ("y", 1))]
    rows += [
        review("u", "x", 2),  # the earlier one counts
        review("u", "rare", 9),
        review("scarce", "x", 1),
        review("v", "x", None),
        review("v", "x", 0, rating=float("nan")),
    ]
    source = written(tmp_path / "reviews.json.gz", rows)
    assert baseline.sequences(source, 2, 50) == {user: ["y", "z", "x"] for user in "uvw"}
    assert baseline.sequences(source, 2, 2) == {user: ["z", "x"] for user in "uvw"}
    assert baseline.sequences(source, 4, 50) == {}


@pytest.mark.slow
def test_ours_and_the_baseline_have_the_same_results(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, str(BENCHMARKS / "raw_tables.py"), "--products", "2000", "--reviews", "12000",
            "--repeats", "2", "--times", "2", "--workers", "1", "--folder", str(tmp_path / "work"),
            "--results", str(tmp_path),
        ],
        cwd=elsewhere(tmp_path),
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "raw_tables.json").read_text())
    assert result["relations"]["pairs"] > 2 * result["relations"]["several"] > 0
    assert result["sequences"]["users"] > 0
    assert result["sequences"]["rounds"] > 1
    assert result["large"]["relations"]["pairs"] > result["relations"]["pairs"]
    for what in ("relations", "sequences"):
        assert len(result[what]["sha256_of_sorted_results"]) == 64
        assert result[what]["ours"]["runs"] == result[what]["baseline"]["runs"] == 2
    assert (tmp_path / "raw_tables.md").read_text() == done.stdout
    assert list((tmp_path / "work").iterdir()) == []
    assert list(elsewhere(tmp_path).iterdir()) == []


def elsewhere(tmp_path: Path) -> Path:
    """Return a working folder in which nothing is to be left."""
    folder = tmp_path / "elsewhere"
    folder.mkdir(exist_ok=True)
    return folder
