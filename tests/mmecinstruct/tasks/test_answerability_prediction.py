from __future__ import annotations

from typing import Any

TASK = "answerability_prediction"


def test_a_question_becomes_a_sample(shop: Any, samples: Any) -> None:
    shop.product("p", category="Kitchen", image_urls=["1.jpg", "2.jpg"])
    shop.question("q", "p", question="Is it <heavy>?", document=["No & yes.", "", "  ", 'It\'s "light".'])
    (sample,) = samples(shop.build(TASK))
    assert sample["fields"] == {"question": "Is it <heavy>?", "document": ["No & yes.", 'It\'s "light".']}
    assert (sample["output"], sample["label"], sample["options"]) == ("yes", "yes", [])
    assert (sample["category"], sample["source"]) == ("Kitchen", "shop")
    assert sample["images"] == [{"role": "product", "product_id": "p", "image_urls": ["1.jpg", "2.jpg"]}]
    assert (sample["product_ids"], sample["record_ids"]) == (["p"], ["q"])
    assert sample["user_id"] is None
    assert sample["query_id"] is None


def test_not_answerable_is_no(shop: Any, samples: Any) -> None:
    shop.product("p")
    shop.question("q", "p", answerable=False)
    assert samples(shop.build(TASK))[0]["output"] == "no"


def test_a_product_without_images_keeps_its_role(shop: Any, samples: Any) -> None:
    shop.product("p", image_urls=None)
    shop.question("q", "p")
    assert samples(shop.build(TASK))[0]["images"] == [
        {"role": "product", "product_id": "p", "image_urls": []}
    ]


def test_records_that_cannot_be_asked_about_are_rejected(shop: Any, reasons: Any) -> None:
    shop.product("p")
    shop.question("good", "p")
    shop.question("lost", "other")
    shop.question("silent", "p", question=" ")
    shop.question("empty", "p", document=[])
    shop.question("blank", "p", document=["", " "])
    shop.question("null", "p", document=None)
    shop.question("unlabelled", "p", answerable=None)
    output = shop.build(TASK)
    assert (output.records_in, output.samples.num_rows) == (7, 1)
    assert reasons(output) == {
        "lost": "no_product",
        "silent": "no_question",
        "empty": "no_document",
        "blank": "no_document",
        "null": "no_document",
        "unlabelled": "no_label",
    }


def test_row_order_and_new_rows_change_no_other_sample(shop: Any, samples: Any) -> None:
    for number in range(20):
        shop.product(f"p{number}")
        shop.question(f"q{number}", f"p{number}", answerable=number % 2 == 0)
    before = shop.build(TASK)
    assert shop.build(TASK, reverse=True) == before
    shop.question("new", "p3")
    after = samples(shop.build(TASK))
    assert len(after) == 21
    assert all(sample in after for sample in samples(before))
