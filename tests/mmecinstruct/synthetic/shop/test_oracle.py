"""The oracle of the sample shop, on samples made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import SourceError
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.synthetic.shop import apply_oracle, write_sample_shop
from mmecinstruct.synthetic.shop.vocabulary import CATEGORY_BY_NAME, PAIRS

STRINGS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("split", pa.string()),
        ("input", pa.string()),
        ("options", STRINGS),
        ("output", pa.string()),
        ("product_ids", STRINGS),
        ("record_ids", STRINGS),
        ("image_roles", STRINGS),
        ("image_product_ids", STRINGS),
    ]
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_sample_shop(SampleShopSettings(images=False, dirt=False), 5, folder)
    return folder


@pytest.fixture(scope="module")
def products(folder: Path) -> list[Row]:
    return pq.read_table(folder / "latents/products.parquet").to_pylist()


def ground_truth(folder: Path, name: str) -> list[Row]:
    return pq.read_table(folder / "latents" / f"{name}.parquet").to_pylist()


def sample(task: str, **fields: Any) -> Row:
    row = {
        name: [] if field == STRINGS else "" for name, field in zip(SCHEMA.names, SCHEMA.types, strict=True)
    }
    row |= {"id": "s", "task": task, "split": "test", "input": "{}"} | fields
    return row


def oracle(rows: list[Row], folder: Path) -> list[tuple[bool | None, float | None]]:
    table = apply_oracle(pa.Table.from_pylist(rows, schema=SCHEMA), folder)
    assert table["id"].to_pylist() == [row["id"] for row in rows]
    return list(
        zip(table["visual_critical"].to_pylist(), table["text_only_accuracy"].to_pylist(), strict=True)
    )


def find(products: list[Row], **wanted: Any) -> list[Row]:
    return [row for row in products if all(row[name] == value for name, value in wanted.items())]


def with_images(*rows: Row, prefix: str = "amazon18") -> dict[str, Any]:
    ids = [f"{prefix}:{row['asin']}" for row in rows]
    return {
        "product_ids": ids,
        "image_product_ids": ids,
        "image_roles": [f"product {n}" for n in range(len(ids))],
    }


# --- category classification -------------------------------------------------------------------------


def test_an_exact_noun_determines_the_category(folder: Path, products: list[Row]) -> None:
    product = find(products, fine_category="Mugs", names_category=True)[0]
    row = sample(
        "category_classification", options=["A: Mugs", "B: Tumblers"], output="A", **with_images(product)
    )
    assert oracle([row], folder) == [(False, 1.0)]


def test_an_ambiguous_noun_leaves_as_many_options_as_fit(folder: Path, products: list[Row]) -> None:
    product = find(products, fine_category="Mugs", names_category=False)[0]
    both = sample(
        "category_classification",
        options=["A: Kites", "B: Mugs", "C: Tumblers"],
        output="B",
        **with_images(product),
    )
    alone = both | {"options": ["A: Kites", "B: Mugs"]}
    assert oracle([both, alone], folder) == [(True, 0.5), (False, 1.0)]


def test_the_oracle_is_null_without_the_deciding_image(folder: Path, products: list[Row]) -> None:
    product = find(products, fine_category="Mugs", names_category=False)[0]
    row = sample(
        "category_classification", options=["A: Mugs", "B: Tumblers"], output="A", **with_images(product)
    )
    assert oracle([row | {"image_product_ids": []}], folder) == [(None, None)]


def test_the_oracle_is_null_for_unknown_records(folder: Path) -> None:
    stranger = {"product_ids": ["shop:1"], "image_product_ids": ["shop:1"], "record_ids": ["shop:9"]}
    tasks = ("answerability_prediction", "category_classification", "sentiment_analysis",
             "product_substitute_identification", "multiclass_product_classification")  # fmt: skip
    rows = [sample(task, **stranger) for task in tasks]
    assert oracle(rows, folder) == [(None, None)] * len(tasks)


# --- queries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names_category", "shows_look", "same_category", "same_colour", "critical"),
    [
        (True, False, True, True, True),  # exact noun, hidden look
        (False, False, True, True, True),  # ambiguous noun, hidden look
        (False, True, True, True, True),  # ambiguous noun, right look
        (True, True, True, True, False),
        (True, True, True, False, False),
        (False, True, True, False, False),  # wrong look: a substitute in either category
        (True, False, False, True, False),  # the other category of the pair
    ],
)
def test_query_samples_need_the_image_where_the_text_fits_two_labels(
    folder: Path,
    products: list[Row],
    names_category: bool,
    shows_look: bool,
    same_category: bool,
    same_colour: bool,
    critical: bool,
) -> None:
    rows = []
    for query in ground_truth(folder, "queries"):
        if query["colour"] is None or query["pattern"] is not None:
            continue
        names = PAIRS[CATEGORY_BY_NAME[query["fine_category"]].pair].names
        partner = names[0] if names[1] == query["fine_category"] else names[1]
        wanted = query["fine_category"] if same_category else partner
        fitting = [
            row
            for row in find(
                products, fine_category=wanted, names_category=names_category, shows_look=shows_look
            )
            if (row["colour"] == query["colour"]) == same_colour
        ]
        for product in fitting[:1]:
            rows.append(
                sample(
                    "multiclass_product_classification",
                    record_ids=[f"esci:{query['query_id']}"],
                    output="AB"[len(rows) % 2],
                    **with_images(product, prefix="esci"),
                )
            )
    rows = rows[: len(rows) // 2 * 2]  # as many of either label
    assert len(rows) > 10
    assert set(oracle(rows, folder)) == {(critical, 0.5 if critical else 1.0)}


def test_a_class_with_enough_samples_gives_its_own_share(folder: Path, products: list[Row]) -> None:
    query = next(row for row in ground_truth(folder, "queries") if row["colour"] and not row["pattern"])
    product = find(products, fine_category=query["fine_category"], names_category=True, shows_look=False)[0]
    row = sample(
        "product_substitute_identification",
        record_ids=[f"esci:{query['query_id']}"],
        **with_images(product, prefix="esci"),
    )
    many = [row | {"id": str(n), "output": "yes" if n < 24 else "no"} for n in range(40)]
    assert set(oracle(many, folder)) == {(True, 0.6)}
    assert set(oracle(many[:20], folder)) == {(True, 0.5)}, "too few to tell"


# --- relations and reviews ---------------------------------------------------------------------------


def test_relations_need_images_where_a_look_is_hidden(folder: Path, products: list[Row]) -> None:
    mugs = find(products, fine_category="Mugs")
    shown, hidden = find(mugs, shows_look=True), find(mugs, shows_look=False)
    bowl = find(products, fine_category="Bowls", shows_look=False)[0]
    task = "product_relation_prediction"
    rows = [
        sample(task, output="C", **with_images(shown[0], shown[1])),
        sample(task, output="C", **with_images(shown[0], hidden[1])),
        sample(task, output="B", **with_images(hidden[0], hidden[1])),
        sample(task, output="A", **with_images(hidden[0], bowl)),
        sample(task, output="B", **(with_images(hidden[0], hidden[1]) | {"image_product_ids": []})),
    ]
    assert oracle(rows, folder) == [(False, 1.0), (True, 0.5), (True, 0.5), (False, 1.0), (None, None)]


def test_a_neutral_review_needs_its_own_image(folder: Path) -> None:
    reviews = ground_truth(folder, "reviews")
    neutral = find(reviews, neutral=True)[0]["review_id"]
    rated = find(reviews, neutral=False)[0]["review_id"]
    task = "sentiment_analysis"
    rows = [
        sample(task, record_ids=[neutral], image_roles=["review"], output="A"),
        sample(task, record_ids=[neutral], image_roles=["product"], output="A"),
        sample(task, record_ids=[rated], image_roles=[], output="A"),
    ]
    assert oracle(rows, folder) == [(True, 0.2), (None, None), (False, 1.0)]


# --- sequences ---------------------------------------------------------------------------------------


def sequence(user: Row, history: list[Row], candidates: list[Row], answer: int, roles: list[str]) -> Row:
    texts = [f"{position}th: {row['title']}" for position, row in enumerate(history, start=1)]
    return sample(
        "sequential_recommendation",
        input=json.dumps(texts),
        options=[f"{chr(65 + position)}: {row['title']}" for position, row in enumerate(candidates)],
        output=chr(65 + answer),
        product_ids=[f"amazon18:{row['asin']}" for row in [*history, *candidates]],
        record_ids=[f"amazon18:{user['bought'][0]}:{user['user_id']}:1400000000"],
        image_roles=roles,
    )


def look_loyal_case(
    folder: Path, products: list[Row], taste_shown: bool
) -> tuple[Row, list[Row], Row, list[Row]]:
    """Return a user, a history that shows the taste or not, a hidden target and its category."""
    by_asin = {row["asin"]: row for row in products}
    for user in ground_truth(folder, "users"):
        if user["brand"] is not None:
            continue
        *history, target = (by_asin[asin] for asin in user["bought"])
        hidden = [row for row in history if not row["shows_look"]]
        shown = [row for row in history if row["shows_look"]]
        if not target["shows_look"] and hidden and (shown or not taste_shown):
            others = [
                row
                for row in find(products, fine_category=target["fine_category"])
                if row["asin"] not in user["bought"]
            ]
            return user, shown[:1] if taste_shown else hidden, target, others
    raise AssertionError("no such user")


def test_a_shown_taste_excludes_candidates_with_another_look(folder: Path, products: list[Row]) -> None:
    user, history, target, others = look_loyal_case(folder, products, taste_shown=True)
    taste = (user["colour"], user["pattern"])
    wrong = [row for row in others if row["shows_look"] and (row["colour"], row["pattern"]) != taste][:3]
    hidden = [row for row in others if not row["shows_look"]][:3]
    row = sequence(user, history, [*wrong, target, *hidden], 3, ["option D"])
    critical, accuracy = oracle([row], folder)[0]
    assert critical
    assert accuracy == pytest.approx(1 / 4), "the target and three that hide their look"
    alone = sequence(user, history, [*wrong, target], 3, [])
    assert oracle([alone], folder) == [(False, 1.0)], "no other is left, so no image is needed"


def test_a_taste_that_titles_hide_leaves_candidates_equally_likely(folder: Path, products: list[Row]) -> None:
    user, history, target, others = look_loyal_case(folder, products, taste_shown=False)
    candidates = [target, *others[:9]]
    complete = sequence(user, history, candidates, 0, ["history 1", "option A"])
    blind = sequence(user, history, candidates, 0, ["option A"])
    faceless = sequence(user, history, candidates, 0, ["history 1", "option B"])
    assert oracle([complete, blind, faceless], folder) == [(True, 0.1), (None, None), (None, None)]


def test_the_brand_determines_a_brand_loyal_users_target(folder: Path, products: list[Row]) -> None:
    by_asin = {row["asin"]: row for row in products}
    user = next(row for row in ground_truth(folder, "users") if row["brand"] is not None)
    *history, target = (by_asin[asin] for asin in user["bought"])
    others = [
        row for row in find(products, fine_category=target["fine_category"]) if row["brand"] != user["brand"]
    ]
    twin = next(row for row in find(products, brand=user["brand"]) if row["asin"] not in user["bought"][-1:])
    rows = [
        sequence(user, history, [target, *others[:5]], 0, []),
        sequence(user, history, [target, twin, *others[:5]], 0, []),
    ]
    assert oracle(rows, folder) == [(False, 1.0), (False, 0.5)]


# --- the folder --------------------------------------------------------------------------------------


def test_a_folder_that_holds_no_shop_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a sample shop"):
        apply_oracle(SCHEMA.empty_table(), tmp_path)


def test_no_samples_give_an_empty_table(folder: Path) -> None:
    assert oracle([], folder) == []
