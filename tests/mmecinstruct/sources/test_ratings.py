"""Amazon's ratings without text: CSV without header, in the order of 2018 or of 2014."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmecinstruct.sources import ParsedBatch, parse_file, source_files
from mmecinstruct.sources.settings import AmazonRatings


def parse(tmp_path: Path, *lines: str) -> ParsedBatch:
    (tmp_path / "Tools.csv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    source = AmazonRatings(kind="amazon18_ratings", path="Tools.csv")
    (batch,) = parse_file(source, source_files(source, tmp_path)[0])
    return batch


@pytest.mark.parametrize(
    "line", ["0449819906,A3U4E9PIZ8OWH1,5.0,1383696000", "A3U4E9PIZ8OWH1,0449819906,5.0,1383696000"]
)
def test_a_rating_is_a_review_without_words_in_either_order(tmp_path: Path, line: str) -> None:
    assert parse(tmp_path, line).tables["reviews"].to_pylist() == [
        {
            "review_id": "amazon18:0449819906:A3U4E9PIZ8OWH1:1383696000-4",
            "product_id": "amazon18:0449819906",
            "user_id": "amazon18:A3U4E9PIZ8OWH1",
            "rating": 5,
            "title": "",
            "text": "",
            "timestamp": 1383696000,
            "verified": None,
            "image_urls": [],
            "origin": "Tools.csv:1",
        }
    ]


@pytest.mark.parametrize("line", ["B00004U9JP,A123456789,1,9", "A123456789,B00004U9JP,1,9"])
def test_of_two_ids_of_ten_characters_the_users_begins_with_a(tmp_path: Path, line: str) -> None:
    assert parse(tmp_path, line).tables["reviews"]["product_id"].to_pylist() == ["amazon18:B00004U9JP"]


def test_rows_that_cannot_be_used_are_rejected(tmp_path: Path) -> None:
    batch = parse(
        tmp_path,
        "item,user,rating,timestamp",
        "B00004U9JP,A3U4E9PIZ8OWH1,5.0",
        ",A3U4E9PIZ8OWH1,5.0,1",
        "B00004U9JP,A3U4E9PIZ8OWH1,6.0,1383696000",
        "",
        "B00004U9JP,A3U4E9PIZ8OWH1,4.0,soon",
        'B00004U9JP,"A3"x,4.0,1',
        '"B00004U9JP","A3U4E9PIZ8OWH1,4.0,1383696000',
        '"B00004U9JP","A3U4E9PIZ8OWH1","4.0","1383696000"',
    )
    assert [(r.reason, r.origin.rpartition(":")[2]) for r in batch.rejections] == [
        ("missing_id", "1"),
        ("bad_row", "2"),
        ("missing_id", "3"),
        ("bad_rating", "4"),
        ("bad_row", "7"),
        ("bad_row", "8"),
    ]
    assert batch.tables["reviews"]["rating"].to_pylist() == [4, 4]
    assert batch.unread == {"times": (1, "'soon'", "Tools.csv:6")}
