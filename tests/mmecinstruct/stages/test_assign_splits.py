"""Products are assigned by split unit; what a cut cluster parts is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.parquet import write_table
from mmecinstruct.duplicates.pairs import PRODUCT_PAIRS
from mmecinstruct.engine.stage import Files, WorkItem
from mmecinstruct.recipe import SplitSettings
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, JUDGEMENTS, RELATIONS
from mmecinstruct.splits.assign import Assignment, assign_samples
from mmecinstruct.stages.assign_splits import ASSIGNED_FILE, Assign

SPLIT = SplitSettings(train=0.5, validation=0.2, test=0.3)


def _assign(
    products: Sequence[Mapping[str, object]], pairs: Sequence[Mapping[str, object]], folder: Path
) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of ASSIGNED and the number of products that are cut off."""
    for name, rows, schema in (
        ("products", products, CURATED_PRODUCTS),
        ("pairs", pairs, PRODUCT_PAIRS),
        ("relations", [], RELATIONS),
        ("judgements", [], JUDGEMENTS),
    ):
        write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{name}.parquet")
    stage = Assign(
        **{
            name: Files((folder / f"{name}.parquet",), {name: name})
            for name in ("products", "pairs", "relations", "judgements")
        },
        split=SPLIT,
        seed=1,
        predicted=None,
        merged=Files(),
    )
    extra = stage.work(WorkItem("all", None), folder).extra
    assert extra is not None
    return pq.read_table(folder / ASSIGNED_FILE).to_pylist(), extra["cut_off_products"]


def test_units_share_a_split_and_products_near_an_earlier_split_are_cut_off(tmp_path: Path) -> None:
    products = [
        {"product_id": f"p{n}", "cluster_id": f"p{n}", "split_unit": f"u{n // 2}", "group_id": f"g{n % 3}"}
        for n in range(40)
    ]
    pairs = [{"product_a": f"p{n}", "product_b": f"p{n + 1}", "kind": "near_title"} for n in range(39)]
    pairs.append({"product_a": "merged", "product_b": "p0", "kind": "same_item"})
    found, cut_off_products = _assign(products, pairs, tmp_path)
    splits = [row["split"] for row in found]
    assert splits[::2] == splits[1::2]
    assert len(set(splits)) == 3
    assert [row["group_id"] for row in found[:4]] == ["g0", "g1", "g2", "g0"]
    rank = {"train": 0, "validation": 1, "test": 2}
    for n, row in enumerate(found):
        near = [splits[other] for other in (n - 1, n + 1) if 0 <= other < 40]
        assert row["cut_off"] == any(rank[split] < rank[row["split"]] for split in near)
    assert cut_off_products == sum(row["cut_off"] for row in found) > 0


@pytest.mark.parametrize("kinds", [("exact_title", "near_title"), ("identical_bytes", "near_image")])
@pytest.mark.parametrize("merged", [False, True])
def test_all_products_of_a_title_or_an_image_are_cut_off(
    tmp_path: Path, kinds: tuple[str, str], merged: bool
) -> None:
    # Three products of each title or image, of which only the first is paired with the next title or image.
    products: list[dict[str, object]] = [
        {"product_id": f"p{n:02}{k}", "cluster_id": f"p{n:02}{k}", "split_unit": f"u{n}"}
        for n in range(20)
        for k in range(3)
        if k or not merged
    ]
    same, near = kinds
    pairs: list[dict[str, object]] = []
    for n in range(20):
        pairs += [_pair((n, 0), (n, k), same) for k in (1, 2)]
        pairs += [_pair((n, 0), (n + 1, 0), near)] if n < 19 else []
    found, _ = _assign(products, pairs, tmp_path)
    rank = {"train": 0, "validation": 1, "test": 2}
    splits = {row["product_id"][:3]: row["split"] for row in found}
    cut_off = {row["product_id"] for row in found if row["cut_off"]}
    assert cut_off == {
        row["product_id"]
        for row in found
        for other in (int(row["product_id"][1:3]) - 1, int(row["product_id"][1:3]) + 1)
        if 0 <= other < 20 and rank[splits[f"p{other:02}"]] < rank[row["split"]]
    }
    assert cut_off


def _pair(one: tuple[int, int], other: tuple[int, int], kind: str) -> dict[str, object]:
    (a, k), (b, m) = one, other
    similarity = {"exact_title": 1.0, "near_title": 0.9}.get(kind)
    images = {"image_a": f"i{a}", "image_b": f"i{b}"} if similarity is None else {}
    return {
        "product_a": f"p{a:02}{k}",
        "product_b": f"p{b:02}{m}",
        "kind": kind,
        "similarity": similarity,
        **images,
    }


def test_a_sample_of_a_cut_off_product_is_rejected() -> None:
    assignment = Assignment({"a": "a", "b": "b"}, {"a": "test", "b": "test"}, cut_off=frozenset({"b"}))
    samples = [
        {"id": name, "product_ids": [name], "query_id": None, "user_id": None, "category": ""}
        for name in "ab"
    ]
    splits, rejections = assign_samples(samples, "category_classification", assignment, SPLIT, 1)
    assert splits == ["test", None]
    assert [(one.reason, one.record_id) for one in rejections] == [("cut_off", "b")]
    assert "max_cluster_size" in rejections[0].detail
