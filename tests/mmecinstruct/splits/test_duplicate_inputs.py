"""Samples of a task that ask the same: one stays, none where the answers differ."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.splits.contents import ImageHashes
from mmecinstruct.splits.duplicate_inputs import reject_repeats
from mmecinstruct.tasks import TASKS

AP, CC, MPC, PRP, PSI, SA, SR = (
    *("answerability_prediction", "category_classification", "multiclass_product_classification"),
    *("product_relation_prediction", "product_substitute_identification", "sentiment_analysis"),
    "sequential_recommendation",
)
MUG, MUG_AGAIN, BOWL = (f"https://img.example.com/{name}.jpg" for name in ("mug", "mug-again", "bowl"))
IMAGES = ImageHashes(
    pa.table(
        {
            "image_url": [MUG, MUG_AGAIN, BOWL],
            "pixel_id": ["mug", "mug", "bowl"],
            "dhash": ["0" * 16] * 3,
            "phash": ["0" * 16] * 3,
            "structure": [9.0] * 3,
        }
    )
)
Row = dict[str, Any]
# An input of each task, and another one of which the recipe's records make two samples.
INPUTS: dict[str, tuple[Any, Any]] = {
    AP: (
        {"question": "Is it heavy?", "document": ["Not at all.", "Light."]},
        {"question": "Is it heavy?", "document": ["Not at all."]},
    ),
    CC: ({"title": "Oak Mug"}, {"title": "Oak Mug, 300 ml"}),
    MPC: ({"query": "mug", "product title": "Oak Mug"}, {"query": "mug", "product title": "Ash Mug"}),
    PSI: ({"query": "mug", "product title": "Oak Mug"}, {"query": "oak mug", "product title": "Oak Mug"}),
    PRP: ({"product 1": "Oak Mug", "product 2": "Bowl"}, {"product 1": "Oak Mug", "product 2": "Plate"}),
    SA: ({"review": "Holds well."}, {"review": "Holds very well."}),
    SR: (["Oak Mug", "Bowl", "Plate"], ["Bowl", "Oak Mug", "Plate"]),
}
ANSWERS = {AP: ("yes", "no"), PSI: ("yes", "no")}


def row(
    number: int, task: str, fields: Any, answer: int = 0, image: str = MUG, user: str | None = None
) -> Row:
    options = ["Mugs", "Bowls"] if task in (CC, SR) else []
    role = {SR: "history 1", PRP: "product 1"}.get(task, "product")
    return {
        "id": f"{number:02d}",
        "fields": json.dumps(fields),
        "options": options,
        "output": ANSWERS.get(task, ("A", "B"))[answer],
        "user_id": user or (f"u{number}" if task == SR else None),
        "image_roles": [role],
        "image_urls": [image],
    }


def reject(task: str, *rows: Row, seed: int = 1) -> tuple[set[str], list[Rejection]]:
    """Return the ids that keep their split, and the rejections."""
    splits: list[str | None] = ["train"] * len(rows)
    rejections = reject_repeats(rows, splits, task, IMAGES, seed)
    kept = {one["id"] for one, split in zip(rows, splits, strict=True) if split}
    assert kept.isdisjoint(one.record_id for one in rejections)
    assert len(kept) + len(rejections) == len(rows)
    return kept, rejections


@pytest.mark.parametrize("task", INPUTS)
def test_of_equal_inputs_with_equal_answers_one_stays(task: str) -> None:
    one, other = INPUTS[task]
    shouted = json.loads(json.dumps(one).replace("Oak Mug", "OAK MUG!"))
    kept, rejections = reject(
        task, row(1, task, one), row(2, task, shouted, image=MUG_AGAIN), row(3, task, other)
    )
    assert len(kept) == 2
    assert "03" in kept
    assert [(found.stage, found.reason, found.task) for found in rejections] == [
        ("split", "duplicate_input", task)
    ]
    assert rejections[0].detail == f"input and answer of {min(kept)}"


@pytest.mark.parametrize("task", INPUTS)
def test_of_equal_inputs_with_different_answers_none_stays(task: str) -> None:
    one, other = INPUTS[task]
    rows = (row(1, task, one), row(2, task, one, answer=1), row(3, task, one), row(4, task, other))
    kept, rejections = reject(task, *rows)
    assert kept == {"04"}
    assert {found.reason for found in rejections} == {"contradicting_input"}
    # Nothing names itself.
    assert all(found.record_id not in found.detail for found in rejections)


@pytest.mark.parametrize("task", INPUTS)
def test_another_image_makes_another_input(task: str) -> None:
    one, _ = INPUTS[task]
    kept, _ = reject(task, row(1, task, one), row(2, task, one, answer=1, image=BOWL))
    assert kept == {"01", "02"}


def pair(number: int, first: tuple[str, str], second: tuple[str, str], answer: int = 0) -> Row:
    """Return a row of two products, each a title and an image."""
    fields = {"product 1": first[0], "product 2": second[0]}
    images = {"product 1": first[1], "product 2": second[1]}
    return row(number, PRP, fields, answer) | {
        "image_roles": [role for role, url in images.items() if url],
        "image_urls": [url for url in images.values() if url],
    }


def test_the_order_of_two_related_products_does_not_count() -> None:
    mug, bowl = ("Oak Mug", MUG), ("Bowl", BOWL)
    kept, rejections = reject(PRP, pair(1, mug, bowl), pair(2, bowl, ("OAK mug", MUG_AGAIN)))
    assert len(kept) == 1
    assert [found.reason for found in rejections] == ["duplicate_input"]
    kept, rejections = reject(PRP, pair(1, mug, bowl), pair(2, bowl, mug, answer=1))
    assert kept == set()
    assert {found.reason for found in rejections} == {"contradicting_input"}
    # With one image each: the same where the same product has it.
    kept, _ = reject(PRP, pair(1, mug, ("Bowl", "")), pair(2, ("Bowl", ""), mug))
    assert len(kept) == 1


def test_related_products_with_each_others_images_are_other_products() -> None:
    rows = (
        pair(1, ("Oak Mug", MUG), ("Bowl", BOWL)),
        pair(2, ("Oak Mug", BOWL), ("Bowl", MUG), answer=1),
        pair(3, ("Oak Mug", MUG), ("Bowl", ""), answer=1),
        pair(4, ("Oak Mug", ""), ("Bowl", MUG)),
    )
    assert reject(PRP, *rows)[0] == {"01", "02", "03", "04"}


def test_the_order_of_other_inputs_counts() -> None:
    assert {task for task in INPUTS if TASKS[task].row.any_order} == {PRP}
    history = INPUTS[SR][0]
    assert reject(SR, row(1, SR, history), row(2, SR, history[::-1]))[0] == {"01", "02"}


def test_options_and_their_images_do_not_count() -> None:
    history = INPUTS[SR][0]
    one, other = row(1, SR, history), row(2, SR, history)
    one |= {"image_roles": ["history 1", "option A"], "image_urls": [MUG, BOWL]}
    other |= {"options": ["Plates", "Mugs"], "output": "B"}
    kept, rejections = reject(SR, one, other)
    assert len(kept) == 1
    assert rejections[0].reason == "duplicate_input"


def test_letters_of_own_options_are_no_answers() -> None:
    one, other = row(1, CC, INPUTS[CC][0]), row(2, CC, INPUTS[CC][0])
    other["options"] = ["Bowls", "Mugs"]
    _, rejections = reject(CC, one, other)
    assert {found.reason for found in rejections} == {"contradicting_input"}


def test_one_review_under_many_products_counts_once_for_its_user() -> None:
    review = INPUTS[SA][0]
    rows = [row(n, SA, review, image=(MUG, BOWL)[n % 2], user="u1") for n in range(4)]
    kept, rejections = reject(SA, *rows, row(9, SA, review, image="https://img.example.com/x.jpg", user="u2"))
    assert len(kept) == 2
    assert "09" in kept
    assert Counter(found.detail.partition(" of ")[0] for found in rejections) == {
        "input and answer": 2,
        "text and answer": 1,
    }


def test_other_ratings_of_a_user_for_other_images_stay() -> None:
    review = INPUTS[SA][0]
    kept, _ = reject(SA, row(1, SA, review, user="u1"), row(2, SA, review, 1, BOWL, "u1"))
    assert kept == {"01", "02"}


def test_texts_without_words_are_compared_as_they_are() -> None:
    rows = [
        row(n, SA, {"review": text}, answer)
        for n, (text, answer) in enumerate([("👍", 0), ("👎", 1), ("👍", 0)])
    ]
    kept, _ = reject(SA, *rows)
    assert len(kept) == 2
    assert "01" in kept


def test_a_rejected_sample_is_no_repeat() -> None:
    rows = [row(n, CC, INPUTS[CC][0]) for n in range(2)]
    splits: list[str | None] = [None, "test"]
    assert reject_repeats(rows, splits, CC, IMAGES, 1) == []
    assert splits == [None, "test"]


def test_the_first_by_hash_stays_whatever_the_order() -> None:
    rows = [row(n, CC, INPUTS[CC][0]) for n in range(9)]
    kept = [reject(CC, *rows, seed=seed)[0] for seed in range(5)]
    assert kept == [reject(CC, *rows[::-1], seed=seed)[0] for seed in range(5)]
    assert len(set().union(*kept)) > 1
