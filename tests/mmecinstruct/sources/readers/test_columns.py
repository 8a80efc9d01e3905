"""Cleaning a column gives the same as cleaning its values one by one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.parquet import TableWriters
from mmecinstruct.sources import RawFile, amazon2018
from mmecinstruct.sources.readers import columns
from mmecinstruct.sources.readers.batches import (
    BATCH_BYTES,
    BATCH_LISTS,
    ParsedBatch,
    RowError,
    parse_lists,
    parse_records,
)
from mmecinstruct.sources.readers.fields import rating_value, text_value
from mmecinstruct.sources.readers.json_lines import read_json_lines, read_json_lists
from mmecinstruct.sources.readers.times import utc_seconds
from mmecinstruct.text import normalise

PIECES = [
    *(
        "word",
        "Word",
        "a",
        "x y",
        "1.5",
        "~",
        "}",
        "{",
        "getTime",
        "/>",
        ">",
        "é",
        "—",
        "🦄",
        "\u200b",
        "e\u0301",
        "日本",
    ),
    *(" ", "  ", "\n", "\t", "\x00", "\x7f", "\x85", "\xa0", "\ufeff", "&", "&amp;", "&lt;b&gt;", "<", "<3"),
    *("<br>", "<br />", "<BR/>", "<p>", "</p>", "<b>", "</b>", "<li>", "</ul>", "<span>", "<h2>", "</div>"),
    *("<a href=x>", "<table>", "<td>", "<script>", "</script>", "<!--", "-->", "<b", "b>", "< b>", "<pre>"),
]


def drawn_text(noise: random.Random) -> str:
    if noise.random() < 0.3:
        return noise.choice(
            ["", "plain", "two words", "ends with a blank ", " begins with one", "a  b", "x" * 700]
        )
    return "".join(noise.choices(PIECES, k=noise.randrange(1, 9)))


@pytest.mark.parametrize("slice_bytes", [1, 2, 7, columns._SLICE_BYTES])
def test_texts_are_shown_as_one_by_one(slice_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_SLICE_BYTES", slice_bytes)
    noise = random.Random(slice_bytes)
    for count in (0, 1, 2, 3, 500):
        texts = [drawn_text(noise) for _ in range(count)]
        assert columns.cleaned_texts(texts).to_pylist() == [normalise.html_to_text(one) for one in texts]


def test_only_texts_that_cleaning_could_change_need_it() -> None:
    tidy = ["", "a", "a b", "~!'(){}[]", "", "x" * 300_000, "-"]
    needs_cleaning = [" ", "a ", " a", "a  b", "a<b", "a&b", "é", "\x7f", "a\nb", "x" * 300_000 + "\x1f"]
    mixed = [one for pair in zip(tidy, needs_cleaning, strict=False) for one in pair]
    for texts in (tidy, needs_cleaning, mixed):
        array = pa.array(["cut off", *texts, "too"]).slice(1, len(texts))
        assert columns.needs_cleaning(array).tolist() == [one in needs_cleaning for one in texts]


def test_lists_of_texts_are_cleaned_as_one_by_one() -> None:
    noise = random.Random(5)
    odd: list[object] = [
        None,
        "",
        [],
        {},
        3,
        ["", None, 4],
        [[]],
        "getTi",
        [["x"]],
        {"a": "b"},
        ["getTi", "me"],
    ]
    values: list[object] = [[drawn_text(noise) for _ in range(noise.randrange(5))] for _ in range(1_500)]
    values += [drawn_text(noise) for _ in range(100)] + odd
    for _ in range(3):
        noise.shuffle(values)
        assert columns.description_column(values).to_pylist() == [
            normalise.description_text(one) for one in values
        ]
        assert columns.feature_column(values).to_pylist() == [normalise.feature_texts(one) for one in values]
    assert columns.feature_column([]).to_pylist() == columns.description_column([]).to_pylist() == []
    assert (
        columns.feature_column([["a"]]).type == columns.feature_column([None]).type == pa.list_(pa.string())
    )


def test_plain_tags_are_taken_away_as_a_parser_would() -> None:
    noise, fast = random.Random(6), 0
    for number in range(20_000):
        markup = "".join(noise.choices(PIECES, k=noise.randrange(1, 12))) * (100 if number % 500 == 0 else 1)
        if shown := normalise._without_plain_tags(markup):
            fast += "<" in markup
            assert normalise.normalise_text(shown) == normalise.normalise_text(normalise._shown(markup)), (
                markup
            )
    assert fast > 500


def test_usual_values_equal_those_of_the_field_rules() -> None:
    values: list[Any] = [
        *range(-2, 8),
        1.0,
        5.0,
        4.5,
        float("nan"),
        "5",
        True,
        None,
        [],
        2**70,
        10**11,
        10**11 - 1,
    ]
    ratings = columns.usual_ratings(values).tolist()
    assert [(value, rating) for value, rating in zip(values, ratings, strict=True) if rating] == [
        (value, rating_value(value)) for value in (1, 2, 3, 4, 5, 1.0, 5.0)
    ]
    for value, seconds in zip(values, columns.usual_seconds(values).tolist(), strict=True):
        usual = type(value) is int and 10**8 <= value < 10**11
        assert seconds == (utc_seconds(value) if usual else -1)
    ids = ["B1", " B1", "B1 ", "", "é", 5, None, "a b", "a&b", "\x1c", "B2"]
    array, plain = columns.plain_ids(ids)
    assert [one for one, is_plain in zip(array.to_pylist(), plain, strict=True) if is_plain] == [
        "B1",
        "a b",
        "B2",
    ]
    assert all(text_value(one) == one for one in ("B1", "a b", "B2"))


REVIEW = {"asin": "B1", "reviewerID": "A1", "overall": 4.0, "unixReviewTime": 1393372800, "verified": True}
ODD_VALUES = [
    None,
    "",
    " A1 ",
    "é",
    5,
    5.0,
    4.5,
    -1,
    "4",
    "1393372800",
    1393372800000,
    True,
    [],
    {},
    2**70,
    "&",
    "<b>x",
]


def review_lines(count: int, share: float) -> list[str]:
    """Return lines of reviews; a share of them has an unusual field, another share is no record."""
    noise = random.Random(f"{count} {share}")
    lines = []
    for number in range(count):
        row: dict[str, Any] = REVIEW | {
            "asin": f"B{number % 97:09}", "reviewText": drawn_text(noise), "summary": drawn_text(noise)
        }  # fmt: skip
        if number % 9 == 0:
            row["image"] = ["https://h/images/I/a._SY88.jpg", "https://h/images/I/01RmK+J4pJL.jpg"]
        if noise.random() < share:
            row[noise.choice(["asin", "reviewerID", "overall", "unixReviewTime", *row])] = noise.choice(
                ODD_VALUES
            )
        lines.append(
            json.dumps(row) if noise.random() > share / 4 else noise.choice(["", " ", "{", "[]", "null", "?"])
        )
    return lines


@pytest.mark.parametrize(("count", "share"), [(0, 0), (1, 0), (1, 1), (400, 0), (400, 0.5), (12_000, 0.01)])
def test_reviews_many_at_once_are_those_one_by_one(tmp_path: Path, count: int, share: float) -> None:
    path = tmp_path / "r.json"
    path.write_text("\n".join(review_lines(count, share)) + "\n", encoding="utf-8")
    batches = list(amazon2018.parse_reviews(RawFile("reviews", path, "r.json")))
    lines = read_json_lines(path, amazon2018.ReviewLine)
    expected = list(parse_records(lines, amazon2018.parse_review, ("reviews",), "r.json"))
    assert together(batches) == together(expected)


def together(batches: list[ParsedBatch]) -> tuple[Any, ...]:
    tables = [batch.tables["reviews"] for batch in batches]
    rejections = [rejection for batch in batches for rejection in batch.rejections]
    counts = sum(batch.records for batch in batches), sum(batch.kept for batch in batches)
    return pa.concat_tables(tables).to_pylist() if tables else [], rejections, counts


def test_a_batch_holds_few_records_where_they_are_long(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    long = json.dumps(REVIEW | {"reviewText": "x" * 200_000})
    path.write_text("\n".join([long] * (BATCH_LISTS + 20)), encoding="utf-8")
    batches = list(amazon2018.parse_reviews(RawFile("reviews", path, "r.json")))
    assert sum(batch.kept for batch in batches) == BATCH_LISTS + 20
    assert all(batch.kept * len(long) <= BATCH_BYTES for batch in batches)


def test_row_errors_of_reader_and_parser_keep_the_order_of_lines() -> None:
    lists = [([3, 5, 9], ["a", RowError("unread", "1"), "bad"]), ([10, 11], [RowError("unread", "2"), "odd"])]

    def parse_list(records: Any) -> tuple[pa.Table, Any]:
        plain = columns.np.array([record == "a" for record in records], dtype=bool)
        return pa.table({"query_id": ["a"] * plain.sum(), "kind": ["plain"] * plain.sum()}), plain

    def parse(record: str, number: int, rows: Any) -> RowError | None:
        if record == "bad":
            return RowError("bad", "", "id")
        rows["query_kinds"].append((record, str(number)))
        return None

    (batch,) = parse_lists(lists, parse_list, parse, "query_kinds", "f")
    assert batch.tables["query_kinds"].to_pylist() == [
        {"query_id": "a", "kind": "plain"},
        {"query_id": "odd", "kind": "11"},
    ]
    assert [(one.reason, one.origin) for one in batch.rejections] == [
        ("unread", "f:5"),
        ("bad", "f:9"),
        ("unread", "f:10"),
    ]
    assert (batch.records, batch.kept) == (5, 2)


def test_lines_come_in_lists_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"asin": 1}\n\n?\n{"asin": 2}\n' * 5_000, encoding="utf-8")
    lists = list(read_json_lists(path, amazon2018.ReviewLine))
    assert len(lists) > 1
    numbers = [number for some, _ in lists for number in some]
    assert numbers == [number for number in range(1, 20_001) if number % 4 != 2]
    assert sum(len(records) for _, records in lists) == 15_000


def test_tables_with_dictionaries_are_read_as_written(tmp_path: Path) -> None:
    table = pa.table(
        {"product_id": ["a", "b"] * 50, "text": ["x", None] * 50, "category_path": [["c"], []] * 50}
    )
    with TableWriters(tmp_path) as writers:
        writers.append(table, "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").equals(table)
    group = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
    encoded = {group.column(i).path_in_schema: group.column(i).encodings for i in range(3)}
    assert {name for name, how in encoded.items() if "RLE_DICTIONARY" in how} == {
        "product_id",
        "category_path.list.element",
    }
