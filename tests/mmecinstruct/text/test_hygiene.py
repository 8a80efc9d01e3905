"""Reviews and questions leave curation with personal data masked, and with their language and swear words measured."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.engine.stage import Files
from mmecinstruct.schemas.tables import (
    CURATED_PRODUCTS,
    CURATED_QUESTIONS,
    CURATED_REVIEWS,
    JUDGEMENTS,
    QUESTIONS,
    REVIEWS,
)
from mmecinstruct.stages import hygiene
from mmecinstruct.text.hygiene import (
    clean_questions,
    clean_reviews,
    mask_columns,
    mask_products,
    mask_queries,
)
from mmecinstruct.text.pii_kinds import PERSONAL_DATA_KINDS
from mmecinstruct.text.profanity import count_profanity, profanity_words

Row = dict[str, object]


def reviews(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=REVIEWS)


def questions(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=QUESTIONS)


def test_a_review_is_masked_in_title_and_text_and_measured_as_a_whole() -> None:
    rows = reviews(
        {
            "review_id": "1",
            "title": "Mail a@b.com",
            "text": "or call 555-234-5678, c@d.com. The damn thing broke.",
        },
        {"review_id": "2", "title": "Gut", "text": "Die Tasse ist sehr schön und gefällt mir gut."},
        {"review_id": "3", "title": None, "text": None},
        {"review_id": "4", "title": "", "text": "Great"},
    )
    table = clean_reviews(rows, PERSONAL_DATA_KINDS)
    assert table.schema == CURATED_REVIEWS
    assert table["review_id"].to_pylist() == ["1", "2", "3", "4"]
    assert table["title"].to_pylist() == ["Mail [EMAIL]", "Gut", None, ""]
    assert table["text"].to_pylist()[0] == "or call [PHONE], [EMAIL]. The damn thing broke."
    assert table["masked"].to_pylist() == [["email", "email", "phone"], [], [], []]
    assert table["language"].to_pylist() == ["en", "de", None, None]
    assert table["profanity"].to_pylist() == [1, 0, 0, 0]
    assert table["strong_profanity"].to_pylist() == [0, 0, 0, 0]
    assert (
        table.drop_columns(["title", "text"]).select(REVIEWS.names[:4]).equals(rows.select(REVIEWS.names[:4]))
    )


def test_a_question_is_masked_with_its_snippets() -> None:
    rows = questions(
        {
            "question_id": "1",
            "question": "Can I mail you at x@y.com?",
            "document": ["No", "see www.x.org", "My name is Bob."],
        },
        {"question_id": "2", "question": "Does it fit in the sink?", "document": None},
        {"question_id": "3", "question": "Wie groß ist die Tasse eigentlich?", "document": []},
        {"question_id": "4", "question": "Is it big?", "document": ["shit", None, "8.8.8.8"]},
    )
    table = clean_questions(rows, PERSONAL_DATA_KINDS)
    assert table.schema == CURATED_QUESTIONS
    assert table["question"].to_pylist()[0] == "Can I mail you at [EMAIL]?"
    assert table["document"].to_pylist() == [
        ["No", "see [URL]", "My name is [NAME]."],
        None,
        [],
        ["shit", None, "[IP_ADDRESS]"],
    ]
    assert table["masked"].to_pylist() == [["email", "name", "url"], [], [], ["ip_address"]]
    assert table["language"].to_pylist()[2] == "de"
    assert table["profanity"].to_pylist()[:2] == [0, 0]
    # The same rows in pieces give the same table.
    pieces = [
        clean_questions(rows.slice(position, 1), PERSONAL_DATA_KINDS) for position in range(rows.num_rows)
    ]
    assert pa.concat_tables(pieces).to_pylist() == table.to_pylist()


def test_a_product_is_masked_in_all_that_it_shows() -> None:
    rows = [
        {
            "product_id": "1",
            "title": "Mug for a@b.com",
            "brand": "@jane_doe",
            "category": "Call 555-0142",
            "category_path": ["Call 555-0142", "Mugs"],
            "fine_category": "see https://example.com/u/jane",
        },
        # Sites and names are those of things.
        {"product_id": "2", "title": "Amazon.com Gift Card", "brand": "1-800-FLOWERS", "category_path": None},
        {
            "product_id": "3",
            "title": "My Name Is Red",
            "brand": None,
            "category": "Mugs",
            "category_path": [],
        },
    ]
    table = pa.Table.from_pylist(rows, schema=CURATED_PRODUCTS)
    found = mask_products(table, PERSONAL_DATA_KINDS)
    assert found.table.schema == table.schema
    first, *others = found.table.to_pylist()
    assert (first["title"], first["brand"], first["category"]) == (
        "Mug for [EMAIL]",
        "[HANDLE]",
        "Call [PHONE]",
    )
    assert (first["category_path"], first["fine_category"]) == (["Call [PHONE]", "Mugs"], "see [URL]")
    assert others == table.to_pylist()[1:]
    assert found.rows == 1
    assert found.masked == {"email": 1, "handle": 1, "phone": 2, "url": 1}
    left = mask_products(table, PERSONAL_DATA_KINDS, mask=False)
    assert left.table.equals(table)
    assert (left.rows, left.masked) == (1, found.masked)


def test_equal_queries_are_masked_equally_and_all_counted() -> None:
    texts = ["mug a@b.com", "my name is Jane Doe desk lamp", "mug a@b.com", "amazon.com card"]
    rows = [{"query_id": str(n), "query": text} for n, text in enumerate(texts)]
    found = mask_queries(pa.Table.from_pylist(rows, schema=JUDGEMENTS), PERSONAL_DATA_KINDS)
    masked = ["mug [EMAIL]", "my name is [NAME] desk lamp", "mug [EMAIL]", "amazon.com card"]
    assert found.table["query"].to_pylist() == masked
    assert found.masked == {"email": 2, "name": 1}


def test_the_category_of_a_question_is_masked_as_that_of_products() -> None:
    rows = questions({"question_id": "1", "question": "Is it big?", "category": "Mail a@b.com"})
    assert clean_questions(rows, PERSONAL_DATA_KINDS)["category"].to_pylist() == ["Mail [EMAIL]"]
    assert clean_questions(rows, PERSONAL_DATA_KINDS, False)["category"].to_pylist() == ["Mail a@b.com"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("[[VIDEOID:0123abcd]] The hinge closes softly.", "The hinge closes softly."),
        ("[[VIDEOID:0123abcd]]", ""),
        ("Like the [[ASIN:B0EXAMPL10 Oak Mug Sand]] that I had.", "Like the Oak Mug Sand that I had."),
        ("Like the [[ASIN:B0EXAMPL10 Oak Mug [Sand]]], only taller", "Like the Oak Mug [Sand], only taller"),
        ("[[ASIN:B0EXAMPL10]] is better", "is better"),
        ("Quick to dry. The media could not be loaded. Good.", "Quick to dry. Good."),
        ("[[ASIN:B0EXAMPL10 [[VIDEOID:0123abcd]] Mug]] fits", "fits"),
        ("Matrix [[1, 2]] and [video]", "Matrix [[1, 2]] and [video]"),
        ("[[VIDEOID:" * 2000, "[[VIDEOID:" * 2000),
    ],
)
def test_markers_of_amazon_leave_reviews(text: str, left: str) -> None:
    table = clean_reviews(reviews({"review_id": "1", "title": text, "text": text}), ())
    assert table["text"].to_pylist() == table["title"].to_pylist() == [left]


def test_the_recipe_chooses_the_kinds() -> None:
    rows = reviews({"review_id": "1", "title": "a@b.com", "text": "www.x.org"})
    assert clean_reviews(rows, ["url"])["title"].to_pylist() == ["a@b.com"]
    assert clean_reviews(rows, []).select(["title", "text"]).equals(rows.select(["title", "text"]))
    assert CurateSettings(mask=("phone", "email")).mask == ("email", "phone")
    assert CurateSettings().mask == PERSONAL_DATA_KINDS
    with pytest.raises(ValidationError, match="mask"):
        CurateSettings(mask=("emails",))  # type: ignore[arg-type]


def test_no_row_at_all_is_a_table_too() -> None:
    assert clean_reviews(REVIEWS.empty_table(), PERSONAL_DATA_KINDS).schema == CURATED_REVIEWS
    assert clean_questions(QUESTIONS.empty_table(), PERSONAL_DATA_KINDS).schema == CURATED_QUESTIONS


@pytest.mark.parametrize(
    ("text", "words", "strong"),
    [
        ("What the hell, this crap sucks", 3, 0),
        ("Damn. DAMNED thing!", 2, 0),
        ("bullshit, what a load of sh*t and f*** it", 3, 3),
        ("Hello, a class of shells, scrap, suction, assess, Dickens, cockpit, Scunthorpe, Matsushita", 0, 0),
        ("", 0, 0),
        (None, 0, 0),
    ],
)
def test_swear_words_are_counted_as_words(text: str | None, words: int, strong: int) -> None:
    counted = count_profanity(pa.array([text], pa.string()))
    assert [column.to_pylist() for column in counted] == [[words], [strong]]


def test_the_word_list_has_no_word_twice() -> None:
    words = [word for part in profanity_words().values() for word in part]
    assert len(words) > 50
    assert len(set(words)) == len(words)
    assert set(profanity_words()) == {"mild", "strong"}


def test_a_large_file_is_cut_at_row_groups_and_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = reviews(
        *({"review_id": f"{n:04d}", "title": f"user{n}@b.com", "text": "damn " * (n % 3)} for n in range(500))
    )
    pq.write_table(rows, tmp_path / "reviews.parquet", row_group_size=60)
    monkeypatch.setattr(hygiene, "ITEM_ROWS", 100)
    stage = hygiene.Hygiene(
        reviews=Files((tmp_path / "reviews.parquet",), {"parse": "a"}),
        questions=Files(),
        mask=PERSONAL_DATA_KINDS,
        mask_titles=True,
        word_list=Files(),
    )
    items = stage.items()
    assert len(items) == 5
    assert [item.key for item in items] == sorted(item.key for item in items)
    tables, masked, profane = [], 0, 0
    for item in items:
        folder = tmp_path / item.key
        folder.mkdir()
        counts = stage.work(item, folder)
        assert counts.extra is not None
        masked += counts.extra["masked"]["email"]
        profane += counts.extra["profane"]
        tables.append(pq.read_table(folder / "reviews.parquet"))
    table = pa.concat_tables(tables)
    assert table["review_id"].equals(rows["review_id"])
    assert set(table["title"].to_pylist()) == {"[EMAIL]"}
    assert (masked, profane) == (500, sum(n % 3 > 0 for n in range(500)))


def test_names_of_more_bytes_than_an_array_holds_are_masked() -> None:
    long = pa.array(["x" * 4_000_000])
    titles = pa.chunked_array([long] * 550 + [pa.array(["lot 112-1234567-1234567"])])
    found = mask_columns(pa.table({"title": titles}), ["title"], ["order"])
    assert found.table["title"][550].as_py() == "lot [ORDER]"
    assert (found.rows, found.masked) == (1, {"order": 1})


def test_names_are_masked_alike_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [None, [], [["Help jane@example.com", "Pots"], ["Mugs"]], [["jane@example.com"]], [["Mugs"]]] * 3
    table = pa.table({"path": pa.array(paths, pa.list_(pa.list_(pa.string())))})
    whole = mask_columns(table, ["path"], ["email"])
    monkeypatch.setattr("mmecinstruct.text.hygiene._ROWS_AT_ONCE", 4)
    assert mask_columns(table, ["path"], ["email"]) == whole
    assert whole.table["path"].to_pylist()[:4] == [
        None,
        [],
        [["Help [EMAIL]", "Pots"], ["Mugs"]],
        [["[EMAIL]"]],
    ]
    assert whole.rows == 6
