"""A source's files are found below the data root, the same on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources import ParsedBatch, source_files
from mmecinstruct.sources.settings import (
    AmazonMetadata,
    AmazonQaSource,
    CatalogSource,
    EsciSource,
    MaveSource,
    Source,
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_globs_are_expanded_in_order_with_origins_below_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "raw/meta_B.json.gz", "raw/meta_A.json.gz", "raw/other.json.gz", "meta_C.json.gz")
    (tmp_path / "raw/meta_folder.json.gz").mkdir()
    source = AmazonMetadata(kind="amazon18_metadata", path="raw/meta_*.json.gz")
    files = source_files(source, tmp_path)
    assert [(f.role, f.origin) for f in files] == [
        ("metadata", "raw/meta_A.json.gz"),
        ("metadata", "raw/meta_B.json.gz"),
    ]
    assert all(f.path == tmp_path / f.origin for f in files)


def test_a_name_with_brackets_is_found_literally(tmp_path: Path) -> None:
    touch(tmp_path, "meta [1].json")
    source = AmazonMetadata(kind="amazon18_metadata", path="meta [1].json")
    assert [f.origin for f in source_files(source, tmp_path)] == ["meta [1].json"]


def test_each_table_of_a_source_has_its_role(tmp_path: Path) -> None:
    touch(tmp_path, "e.parquet", "p.parquet", "products.csv", "reviews.csv")
    esci = EsciSource(kind="esci", examples="e.parquet", products="p.parquet")
    assert [f.role for f in source_files(esci, tmp_path)] == ["examples", "products"]
    shop = CatalogSource.model_validate(
        {
            "kind": "catalog",
            "products": {"path": "products.csv", "id": "i", "title": "t"},
            "reviews": {"path": "reviews.csv", "product": "i", "rating": "r", "text": "t"},
        }
    )
    assert [f.role for f in source_files(shop, tmp_path)] == ["products", "reviews"]


@pytest.mark.parametrize(
    ("source", "field"),
    [
        (AmazonMetadata(kind="amazon18_metadata", path="meta_*.json"), "field path: 'meta_\\*.json'"),
        (EsciSource(kind="esci", examples="e.parquet", products="p.parquet"), "field examples"),
        (
            CatalogSource.model_validate(
                {"kind": "catalog", "products": {"path": "p.csv", "id": "i", "title": "t"}}
            ),
            "field products.path",
        ),
    ],
)
def test_nothing_found_names_the_recipe_field_and_the_remedy(
    tmp_path: Path, source: Source, field: str
) -> None:
    with pytest.raises(SourceError, match=rf"{field}.*--data"):
        source_files(source, tmp_path)


@pytest.mark.parametrize(
    ("source", "pulled"),
    [
        (AmazonMetadata(kind="amazon18_metadata", path="amazon2018/meta_Electronics.json.gz"), True),
        (MaveSource(kind="mave", path="mave/mave_positives_labels.jsonl"), True),
        (AmazonQaSource(kind="amazonqa", path="amazonqa/*-qar.jsonl"), True),
        (AmazonQaSource(kind="amazonqa", path="amazonqa/test-qar.jsonl"), False),  # had by hand only
        (AmazonMetadata(kind="amazon18_metadata", path="amazon2018/meta_*.json.gz"), False),  # which ones?
        (AmazonMetadata(kind="amazon18_metadata", path="my/own.json"), False),
        (
            CatalogSource.model_validate(
                {"kind": "catalog", "products": {"path": "p.csv", "id": "i", "title": "t"}}
            ),
            False,
        ),
    ],
)
def test_published_files_can_be_pulled(tmp_path: Path, source: Source, pulled: bool) -> None:
    with pytest.raises(SourceError, match="put the file there") as error:
        source_files(source, tmp_path)
    assert ("run `mmec pull` with the same recipe" in str(error.value)) == pulled


def test_a_table_that_may_be_absent_is_left_out_but_products_never_are(tmp_path: Path) -> None:
    touch(tmp_path, "products.csv")
    reviews = {"path": "reviews.csv", "optional": True, "product": "i", "rating": "r", "text": "t"}
    products = {"path": "products.csv", "id": "i", "title": "t"}
    shop = {"kind": "catalog", "products": products, "reviews": reviews}
    assert [f.role for f in source_files(CatalogSource.model_validate(shop), tmp_path)] == ["products"]
    touch(tmp_path, "reviews.csv")
    assert len(source_files(CatalogSource.model_validate(shop), tmp_path)) == 2
    (tmp_path / "products.csv").unlink()
    with pytest.raises(SourceError, match=r"products\.path"):
        source_files(CatalogSource.model_validate(shop), tmp_path)


@pytest.mark.parametrize("path", ["../meta.json", "raw/../../meta.json", "/etc/hostname", ""])
def test_paths_stay_below_the_data_root(tmp_path: Path, path: str) -> None:
    touch(tmp_path, "meta.json")
    (tmp_path / "root").mkdir()
    with pytest.raises(SourceError, match="below the data root"):
        source_files(AmazonMetadata(kind="amazon18_metadata", path=path), tmp_path / "root")


def test_a_batch_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(AssertionError, match="3 records"):
        ParsedBatch(tables={}, rejections=[], records=3, kept=2)
