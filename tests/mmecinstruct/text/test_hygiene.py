"""Reviews and questions leave curation with personal data masked, and with their language and swear words measured."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.engine.stage import Files
from mmecinstruct.schemas.tables import CURATED_QUESTIONS, CURATED_REVIEWS, QUESTIONS, REVIEWS
from mmecinstruct.stages import hygiene
from mmecinstruct.text.hygiene import clean_questions, clean_reviews
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
