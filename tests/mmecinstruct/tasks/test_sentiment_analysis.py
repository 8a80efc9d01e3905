from __future__ import annotations

from typing import Any

import pytest

TASK = "sentiment_analysis"


@pytest.mark.parametrize(("rating", "letter"), [(5, "A"), (4, "B"), (3, "C"), (2, "D"), (1, "E")])
def test_stars_become_letters(shop: Any, samples: Any, rating: int, letter: str) -> None:
    shop.product("p", category="Home")
    shop.review("r", "p", "someone", rating=rating, image_urls=["review.jpg"])
    (sample,) = samples(shop.build(TASK))
    assert (sample["output"], sample["label"], sample["options"]) == (letter, letter, [])
    assert sample["images"] == [{"role": "review", "product_id": "p", "image_urls": ["review.jpg"]}]
    assert (sample["product_ids"], sample["user_id"]) == (["p"], "someone")
    assert (sample["record_ids"], sample["category"]) == (["r"], "Home")


@pytest.mark.parametrize(
    ("title", "text", "review"),
    [
        ("Good mug", "Keeps the heat.", "Good mug. Keeps the heat."),
        ("Good mug!", "Keeps the heat.", "Good mug! Keeps the heat."),
        ("Good mug", "good mug, keeps the heat.", "good mug, keeps the heat."),
        ("Good mug...", "Good mug, keeps the heat.", "Good mug, keeps the heat."),
        ("I", "It leaks.", "I. It leaks."),
        ("Five Stars", "Keeps the heat.", "Keeps the heat."),
        ("1 star", "Leaks.", "Leaks."),
        ("Two-star quality", "Leaks.", "Two-star quality. Leaks."),
        (None, "Leaks.", "Leaks."),
        ("Leaks", None, "Leaks"),
        (" ", " Leaks. ", "Leaks."),
        ("Hübsch 😀", "Ja.", "Hübsch 😀 Ja."),
    ],
)
def test_title_and_text_are_one(
    shop: Any, samples: Any, title: str | None, text: str | None, review: str
) -> None:
    shop.product("p")
    shop.review("r", "p", title=title, text=text)
    assert samples(shop.build(TASK))[0]["fields"] == {"review": review}


def test_the_image_is_the_reviews_else_the_products_if_wanted(shop: Any, samples: Any) -> None:
    shop.product("p", image_urls=["product.jpg"])
    shop.review("with", "p", image_urls=["a.jpg", "b.jpg"])
    shop.review("without", "p", image_urls=None)

    def images(**settings: Any) -> dict[str, Any]:
        built = samples(shop.build(TASK, **settings))
        return {one["record_ids"][0]: one["images"] for one in built}

    own = [{"role": "review", "product_id": "p", "image_urls": ["a.jpg", "b.jpg"]}]
    assert images() == {
        "with": own,
        "without": [{"role": "review", "product_id": "p", "image_urls": []}],
    }
    assert images(product_image=True) == {
        "with": own,
        "without": [{"role": "product", "product_id": "p", "image_urls": ["product.jpg"]}],
    }


def test_reviews_that_say_nothing_are_rejected(shop: Any, reasons: Any) -> None:
    shop.product("p")
    shop.review("good", "p", text="One two three.")
    shop.review("lost", "gone")
    shop.review("unrated", "p", rating=None)
    shop.review("zero", "p", rating=0)
    shop.review("six", "p", rating=6)
    shop.review("empty", "p", title="", text=None)
    shop.review("stars only", "p", title="Five Stars", text="")
    shop.review("short", "p", text="Too  short")
    shop.review("foreign", "p", title=None, text=None, language="de", language_score=0.9)
    output = shop.build(TASK, min_words=3)
    assert (output.records_in, output.samples.num_rows) == (9, 1)
    assert reasons(output) == {
        "lost": "unknown_product",
        "unrated": "no_rating",
        "zero": "no_rating",
        "six": "no_rating",
        "empty": "no_text",
        "stars only": "no_text",
        "short": "too_few_words",
        "foreign": "other_language",
    }
    assert "de (0.90)" in output.rejections["detail"].to_pylist()


def test_an_anonymous_review_is_fine(shop: Any, samples: Any) -> None:
    shop.product("p")
    shop.review("r", "p", user_id=None)
    assert samples(shop.build(TASK))[0]["user_id"] is None


def test_row_order_and_new_rows_change_no_other_sample(shop: Any, samples: Any) -> None:
    shop.product("p")
    for number in range(20):
        shop.review(f"r{number}", "p", rating=1 + number % 5)
    before = shop.build(TASK)
    assert shop.build(TASK, reverse=True) == before
    shop.review("new", "p")
    after = samples(shop.build(TASK))
    assert len(after) == 21
    assert all(sample in after for sample in samples(before))
