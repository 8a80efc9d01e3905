"""Publishers: their terms, the URLs of the files of a recipe's sources, and how they are shown."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from mmecinstruct.core.errors import SourceError
from mmecinstruct.sources.publishers import (
    absent_files,
    find_publisher,
    publishers,
    publishers_of,
    remote_files,
)
from mmecinstruct.sources.publishers.facts import NOTHING, YES, Publisher
from mmecinstruct.sources.publishers.show import details, publisher_record, table
from mmecinstruct.sources.remote_file import HubFile
from mmecinstruct.sources.settings import Source
from mmecinstruct.tasks import TASKS

SHORT_NAMES = {name: task.short_name for name, task in TASKS.items()}
BY_NAME = pytest.mark.parametrize("publisher", publishers(), ids=lambda one: one.name)


def source(kind: str, **fields: str) -> Any:
    """A source of a recipe, with only a kind and paths."""
    return SimpleNamespace(kind=kind, **fields)


def test_every_kind_of_source_has_a_publisher() -> None:
    union = get_args(Source)[0]
    kinds = {get_args(model.model_fields["kind"].annotation)[0] for model in get_args(union)}
    assert kinds <= {kind for one in publishers() for kind in one.kinds}


@BY_NAME
def test_a_publisher_is_stated_whole(publisher: Publisher) -> None:
    assert publisher.tasks == "all" or set(publisher.tasks) <= set(TASKS)
    assert {file.kind for file in publisher.files} <= set(publisher.kinds)
    assert publisher.licence.words
    for file in publisher.files:
        assert [file.url, file.hub, file.by_hand].count(None) == 2
        assert file.url is None or file.url.startswith("https://")
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.by_hand is None or "{origin}" in file.by_hand


@BY_NAME
def test_citations_are_bibtex(publisher: Publisher) -> None:
    for citation in publisher.citations:
        text = citation.bibtex()
        assert text.startswith(f"@{citation.entry}{{{citation.key},\n")
        assert text.count("{") == text.count("}")
        assert dict(citation.fields)["title"]


def test_amazons_reviews_are_not_open() -> None:
    for name in ("amazon2018", "amazon2014", "amazon2023", "amazonqa"):
        assert find_publisher(name).licence.texts == "not stated"
    assert "product_relation_prediction" not in find_publisher("amazon2023").tasks
    assert find_publisher("abo").licence.images == YES
    assert find_publisher("sqid").licence.images not in (YES, NOTHING)


def test_an_unknown_name_lists_the_known_names() -> None:
    with pytest.raises(SourceError, match="no source 'amazon'; there are amazon2018, amazon2014"):
        find_publisher("amazon")


SMALL = "https://jmcauley.ucsd.edu/data/amazon_v2/categoryFilesSmall"
RAW_2023 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
ABO = "https://amazon-berkeley-objects.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("kind", "path", "publisher", "url"),
    [
        (
            "amazon18_metadata",
            "amazon2018/meta_Electronics.json.gz",
            "amazon2018",
            "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2/metaFiles2/meta_Electronics.json.gz",
        ),
        (
            "amazon18_reviews",
            "amazon2018/AMAZON_FASHION_5.json.gz",
            "amazon2018",
            f"{SMALL}/AMAZON_FASHION_5.json.gz",
        ),
        ("amazon18_ratings", "amazon2018/All_Beauty.csv", "amazon2018", f"{SMALL}/All_Beauty.csv"),
        (
            "amazon18_metadata",
            "amazon2014/meta_Beauty.json.gz",
            "amazon2014",
            "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_Beauty.json.gz",
        ),
        (
            "amazon18_reviews",
            "amazon2014/reviews_Beauty_5.json.gz",
            "amazon2014",
            "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Beauty_5.json.gz",
        ),
        (
            "amazon18_ratings",
            "mine/ratings_Beauty.csv",
            "amazon2014",
            "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/ratings_Beauty.csv",
        ),
        (
            "amazon23_metadata",
            "amazon2023/meta_Electronics.jsonl.gz",
            "amazon2023",
            f"{RAW_2023}/meta_categories/meta_Electronics.jsonl.gz",
        ),
        (
            "amazon23_reviews",
            "amazon2023/Gift_Cards.jsonl.gz",
            "amazon2023",
            f"{RAW_2023}/review_categories/Gift_Cards.jsonl.gz",
        ),
        ("esci_s", "esci_s/esci.json.zst", "esci_s", "https://esci-s.s3.amazonaws.com/esci.json.zst"),
    ],
)
def test_a_path_leads_to_its_address_with_the_category_in_it(
    kind: str, path: str, publisher: str, url: str
) -> None:
    (file,) = remote_files(source(kind, path=path))
    assert (file.origin, file.publisher, file.url) == (path, publisher, url)
    assert file.hub is None
    assert file.by_hand is None


def test_sizes_and_hashes_are_given_where_the_publisher_states_them() -> None:
    examples, products = remote_files(
        source(
            "esci",
            examples="esci/shopping_queries_dataset_examples.parquet",
            products="esci/shopping_queries_dataset_products.parquet",
        )
    )
    assert (examples.size, products.size) == (51_286_808, 1_108_857_465)
    assert examples.sha256 is not None
    assert examples.sha256 != products.sha256
    (labels,) = remote_files(source("mave", path="mave/mave_positives_labels.jsonl"))
    assert labels.size == 744_855_753


def test_files_that_are_not_compressed_come_from_the_hub() -> None:
    (file,) = remote_files(source("amazon23_metadata", path="amazon2023/meta_Electronics.jsonl"))
    assert file.hub == HubFile(
        "McAuley-Lab/Amazon-Reviews-2023", "raw/meta_categories/meta_Electronics.jsonl"
    )


def test_a_manual_file_is_listed_with_instructions_and_path() -> None:
    (file,) = remote_files(source("amazon18_reviews", path="raw/Electronics.json.gz"))
    assert file.by_hand is not None
    assert "https://forms.gle/UEkkJs69e7Z5A5Ps9" in file.by_hand
    assert "category Electronics" in file.by_hand
    assert file.by_hand.endswith("put the file there as raw/Electronics.json.gz")


def test_a_glob_means_the_published_files() -> None:
    files = remote_files(source("amazonqa", path="amazonqa/*-qar.jsonl"))
    assert [file.origin for file in files] == [
        "amazonqa/train-qar.jsonl",
        "amazonqa/val-qar.jsonl",
        "amazonqa/test-qar.jsonl",
    ]
    assert [file.by_hand is not None for file in files] == [False, False, True]
    assert "1A_gaYbyBUOfwi8CQ7d5OO_b91lEvSnwr" in (files[2].by_hand or "")
    listings = remote_files(source("abo", listings="abo/listings_*.json.gz", images="abo/images.csv.gz"))
    assert len(listings) == 16 + 1
    assert listings[0].url == f"{ABO}/listings/metadata/listings_0.json.gz"
    assert listings[15].origin == "abo/listings_f.json.gz"
    assert listings[16].url == f"{ABO}/images/metadata/images.csv.gz"
    (one,) = remote_files(source("sqid", path="sqid/supp*.csv"))
    assert one.origin == "sqid/supp_product_image_urls.csv"


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        (
            "amazon18_metadata",
            "amazon2018/meta_*.json.gz",
            "names no category.*as amazon2018/meta_Electronics.json.gz",
        ),
        ("amazon18_reviews", "amazon2018/*_5.json.gz", "names no category.*amazon2018/Electronics_5.json.gz"),
        ("amazon18_metadata", "*/meta_Electronics.json.gz", "name the folder"),
        ("amazon18_metadata", "amazon2018/Electronics.parquet", "is the name of no file that is published"),
        ("amazonqa", "amazonqa/dev-qar.jsonl", "train-qar.jsonl"),
        ("abo", "abo/listings_g.json.gz", "is the name of no file"),
        ("sqid", "sqid/*.parquet", "matches none of the files"),
        ("amazon18_ratings", "amazon2014/Beauty.csv", "is the name of no file.*ratings_CATEGORY"),
        ("amazon18_ratings", "amazon2018/ratings_Beauty.csv", "is the name of no file"),
    ],
)
def test_a_name_without_a_file_is_an_error_with_the_remedy(kind: str, path: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        remote_files(source(kind, path=path, listings=path))
    assert f"source '{kind}', field" in str(caught.value)
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "path", "lying"),
    [
        ("amazon18_metadata", "amazon2018/meta_*.json.gz", ["meta_A.json.gz", "meta_B.json.gz"]),
        ("amazon23_metadata", "amazon2018/meta_A.parquet", ["meta_A.parquet"]),
        ("sqid", "amazon2018/urls [mine].csv", ["urls [mine].csv"]),
    ],
)
def test_unpublished_files_in_the_raw_folder_are_used(
    kind: str, path: str, lying: list[str], tmp_path: Path
) -> None:
    with pytest.raises(SourceError):
        remote_files(source(kind, path=path), tmp_path)
    (tmp_path / "amazon2018").mkdir()
    for name in [*lying, "other.txt"]:
        (tmp_path / "amazon2018" / name).write_text("")
    files = remote_files(source(kind, path=path), tmp_path)
    assert [file.origin for file in files] == [f"amazon2018/{name}" for name in lying]
    assert all(file.url is file.hub is None and "your own file" in str(file.by_hand) for file in files)


def test_published_names_and_outside_paths_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "train-qar.jsonl").write_text("")
    (tmp_path / "mine.jsonl").write_text("")
    questions = remote_files(source("amazonqa", path="train-qar.jsonl"), tmp_path)
    assert questions[0].url is not None
    for path in ("../mine.jsonl", str(tmp_path / "mine.jsonl")):
        with pytest.raises(SourceError, match="is the name of no file"):
            remote_files(source("amazonqa", path=path), tmp_path / "raw")


def test_files_that_are_not_there_beside_others_of_their_set_are_named(tmp_path: Path) -> None:
    questions = source("amazonqa", path="amazonqa/*-qar.jsonl")
    assert absent_files(questions, tmp_path) == []  # none is there: the build says so itself
    (tmp_path / "amazonqa").mkdir()
    (tmp_path / "amazonqa" / "val-qar.jsonl").write_text("")
    (tmp_path / "amazonqa" / "test-qar.jsonl.partial").write_text("")
    assert absent_files(questions, tmp_path) == ["amazonqa/train-qar.jsonl", "amazonqa/test-qar.jsonl"]
    for name in ("train", "test"):
        (tmp_path / "amazonqa" / f"{name}-qar.jsonl").write_text("")
    assert absent_files(questions, tmp_path) == []
    assert absent_files(source("amazon18_metadata", path="amazon2018/meta_*.json.gz"), tmp_path) == []


def test_a_catalogue_belongs_to_its_owner() -> None:
    products = {"path": "products.csv", "id": "id", "title": "title"}
    own = TypeAdapter(Source).validate_python({"kind": "catalog", "products": products})
    assert remote_files(own) == []
    assert [one.name for one in publishers_of(own)] == ["catalogue"]


def test_the_folder_decides_between_publishers_of_equal_file_names() -> None:
    for folder, name in (("amazon2014", "amazon2014"), ("amazon2018", "amazon2018"), ("mine", "amazon2018")):
        (one,) = publishers_of(source("amazon18_metadata", path=f"{folder}/meta_*.json.gz"))
        assert one.name == name


def test_the_table_has_a_line_for_each_publisher() -> None:
    lines = table(publishers(), SHORT_NAMES).splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(publishers())]] == [
        one.name for one in publishers()
    ]
    abo = next(line for line in lines if line.startswith("abo "))
    assert re.split(r" {2,}", abo) == ["abo", "cc", "abo", "web", "CC-BY-4.0", "yes", "yes"]
    ways = {line.split()[0]: re.split(r" {2,}", line)[3] for line in lines[1 : 1 + len(publishers())]}
    assert (ways["amazon2018"], ways["amazon2023"], ways["catalogue"]) == ("web, by hand", "web, Hub", "-")


@BY_NAME
def test_details_and_records_are_complete(publisher: Publisher) -> None:
    text, record = details(publisher, SHORT_NAMES), publisher_record(publisher, TASKS)
    unwrapped = " ".join(text.split())
    assert publisher.title in text
    assert " ".join(publisher.licence.words.split()) in unwrapped
    for file in publisher.files:
        assert file.path.replace("{category}", "CATEGORY").replace("{part}", "[0-f]") in text
    for citation, shown in zip(publisher.citations, record["citations"], strict=True):
        assert citation.bibtex() in text
        assert shown["bibtex"] == citation.bibtex()
    assert record["licence"]["texts"] == publisher.licence.texts
    assert set(record["tasks"]) <= set(TASKS)
