"""Sampling: the chosen records, the records kept with them, and changes that leave them as they are."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.recipe import SamplingSettings, Sizes, SplitSettings, TaskSettings
from mmecinstruct.sampling.plan import SamplingPlan
from mmecinstruct.sampling.quotas import quotas
from mmecinstruct.sampling.sample_tables import Sampled, sample_tables
from mmecinstruct.schemas.tables import RAW_TABLES
from mmecinstruct.splits.assign import split_by_hash
from mmecinstruct.tasks import TASKS, build_task

AP, CC, PRP, PSI, MPC, SA, SR = TASKS

SPLIT = SplitSettings(train=0.5, validation=0.2, test=0.3, ood_categories=("Garden",))
FEW = Sizes(train=4, validation=2, test=2, test_ood=2)
SEED = 3


class Outcome:
    """The files that sampling wrote."""

    def __init__(self, folder: Path, sampled: Sampled) -> None:
        self.folder, self.sampled = folder, sampled

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a file, none where it was not written."""
        path = self.folder / f"{name}.parquet"
        return pq.read_table(path).to_pylist() if path.exists() else []

    def sampled_records(self, task: str) -> set[tuple[str, str, str | None]]:
        """Return (split, one, two) of the records sampled for a task."""
        return {(row["split"], row["one"], row["two"]) for row in self.rows("drawn") if row["task"] == task}


@pytest.fixture
def sample(raw: Any, tmp_path: Path) -> Any:
    def run(
        *tasks: str, sizes: Sizes = FEW, oversample: float = 1.5, reverse: bool = False, **settings: Any
    ) -> Outcome:
        taken_down = frozenset(settings.pop("taken_down", ()))
        asked = {task: (TASKS[task].settings(**settings), sizes) for task in tasks}
        plan = SamplingPlan(SamplingSettings(oversample=oversample), SPLIT, asked, SEED, taken_down)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with raw.connected(reverse) as connection:
            sampled = sample_tables(connection, plan, folder)
        assert set(sampled.rows) == set(RAW_TABLES)
        for name, kept in sampled.kept.items():
            assert sampled.rows[name] == len(raw.rows[name])
            schema = RAW_TABLES[name]
            path = folder / f"{name}.parquet"
            assert kept == (pq.read_metadata(path).num_rows if path.exists() else 0)
            if path.exists():
                assert pq.read_schema(path).equals(schema)
        return Outcome(folder, sampled)

    return run


def fill(raw: Any, products: int = 120) -> list[str]:
    return [raw.product(f"shop:{n:03}", "Garden" if n % 4 == 3 else "Home") for n in range(products)]


def expected_split(product: str) -> str:
    number = int(product.partition(":")[2])
    return "test_ood" if number % 4 == 3 else split_by_hash(SPLIT, SEED, "split:product", product)


def question(raw: Any, number: int, product: str, **columns: Any) -> None:
    row = {"question": "Does it fit?", "document": ["It fits."], "answerable": number % 3 == 0}
    raw.add("questions", question_id=f"q{number:03}", product_id=product, **(row | columns))


def test_each_split_gets_its_size_times_the_oversampling(raw: Any, sample: Any) -> None:
    for number, product in enumerate(fill(raw)):
        question(raw, number, product)
    chosen = sample(AP).sampled_records(AP)
    counts = {
        split: sum(row[0] == split for row in chosen) for split in ("train", "validation", "test", "test_ood")
    }
    assert counts == {"train": 6, "validation": 3, "test": 3, "test_ood": 3}
    assert all(expected_split(product) == split for split, _, product in chosen)


def test_records_with_the_smallest_hashes_are_sampled(raw: Any, sample: Any) -> None:
    products = fill(raw)
    for number, product in enumerate(products):
        question(raw, number, product)
    rows = [(f"q{number:03}", product) for number, product in enumerate(products)]
    train = [row for row in rows if expected_split(row[1]) == "train"]
    smallest = sorted(train, key=lambda row: hash_draw(SEED, f"sampling:{AP}", *row))[:6]
    for outcome in (sample(AP), sample(AP, reverse=True)):
        assert {row[1:] for row in outcome.sampled_records(AP) if row[0] == "train"} == set(smallest)


def test_unusable_rows_change_no_sample(raw: Any, sample: Any) -> None:
    for number, product in enumerate(fill(raw)):
        question(raw, number, product)
    before = sample(AP)
    bare = raw.product("shop:900", image_urls=[])
    question(raw, 901, bare)
    question(raw, 902, "shop:unheard-of")
    question(raw, 903, "shop:001", question=" ")
    question(raw, 904, "shop:001", document=["", " "])
    question(raw, 905, "shop:001", document=None)
    question(raw, 906, "shop:001", answerable=None)
    raw.product("shop:950")
    after = sample(AP)
    assert after.sampled_records(AP) == before.sampled_records(AP)
    assert after.rows("questions") == before.rows("questions")
    assert after.rows("products") == before.rows("products")
    assert sample(AP, require_images="none").sampled.statistics["available"][AP]["train"] > 0


def test_labels_are_sampled_by_the_recipes_balance(raw: Any, sample: Any) -> None:
    for number, product in enumerate(fill(raw)):
        question(raw, number, product)
    outcome = sample(AP, label_balance={"yes": 0.5, "no": 0.5})
    labels = [row["answerable"] for row in outcome.rows("questions")]
    assert labels.count(True) == 3 + 2 + 2 + 2  # each half rounded up
    assert labels.count(False) == 3 + 2 + 2 + 2
    assert quotas(
        SamplingSettings(oversample=2), FEW, TaskSettings(label_balance={"yes": 1.0, "no": 0.0})
    ) == {
        ("train", "yes"): 8,
        ("validation", "yes"): 4,
        ("test", "yes"): 4,
        ("test_ood", "yes"): 4,
    }


def test_pairs_across_splits_or_of_two_relations_are_not_sampled(raw: Any, sample: Any) -> None:
    products = fill(raw)
    for number, product in enumerate(products):
        for step in (1, 3, 7):
            other = products[(number + step) % len(products)]
            raw.add("relations", product_a=product, product_b=other, relation="also_bought")
    two = next((a, b) for a, b in pairwise(products) if expected_split(a) == expected_split(b))
    raw.add("relations", product_a=two[1], product_b=two[0], relation="similar")
    raw.add("relations", product_a=products[0], product_b=products[0], relation="similar")
    outcome = sample(PRP, sizes=Sizes(train=500, validation=500, test=500, test_ood=500))
    chosen = outcome.sampled_records(PRP)
    assert chosen
    assert all(expected_split(one) == expected_split(other) == split for split, one, other in chosen)
    assert two not in {row[1:] for row in chosen}
    kept = {(row["product_a"], row["product_b"]) for row in outcome.rows("relations")}
    assert {tuple(sorted(pair)) for pair in kept} == {row[1:] for row in chosen}


@pytest.mark.parametrize(("require", "with_image"), [("all", 2), ("any", 1), ("none", 0)])
def test_pairs_have_the_images_that_the_recipe_requires(
    raw: Any, sample: Any, require: str, with_image: int
) -> None:
    products = fill(raw, 60)
    for row in raw.rows["products"][::2]:
        row["image_urls"] = []
    bare = set(products[::2])
    pairs = [(one, other) for one in products for other in products if one < other]
    for one, other in pairs:
        raw.add("relations", product_a=one, product_b=other, relation="similar")
    plenty = Sizes(train=2000, validation=2000, test=2000, test_ood=2000)
    chosen = {row[1:] for row in sample(PRP, sizes=plenty, require_images=require).sampled_records(PRP)}
    assert chosen == {
        pair
        for pair in pairs
        if expected_split(pair[0]) == expected_split(pair[1]) and len({*pair} - bare) >= with_image
    }


def test_queries_and_their_products_share_an_in_domain_split(raw: Any, sample: Any) -> None:
    products = fill(raw)
    for number in range(400):
        raw.add(
            "judgements",
            query_id=f"q{number // 10}",
            query=f"query {number // 10}",
            product_id=products[(number * 7) % 120],
            label="ESCI"[number % 4],
        )
    raw.add("judgements", query_id="q0", query="query 0", product_id=products[0], label="C")  # was judged E
    plenty = Sizes(train=500, validation=500, test=500, test_ood=0)
    outcome = sample(MPC, sizes=plenty)
    chosen = outcome.sampled_records(MPC)
    assert chosen
    of_product, of_query = {}, {}
    for split, query, product in chosen:
        assert expected_split(product) != "test_ood"
        assert of_product.setdefault(product, split) == split
        assert of_query.setdefault(query, split) == split
    assert len(set(of_query.values())) == 3
    judged = {row["product_id"]: row["split"] for row in outcome.rows("judged")}
    assert of_product.items() <= judged.items()
    assert ("q0", products[0]) not in {row[1:] for row in chosen}
    assert {row[1:] for row in sample(PSI, sizes=plenty).sampled_records(PSI)} == {row[1:] for row in chosen}


def test_reviews_have_words_and_an_image(raw: Any, sample: Any) -> None:
    products = fill(raw)
    with_image = [raw.review(product, f"u{n}") for n, product in enumerate(products)]
    bare = [raw.review(product, f"v{n}", image_urls=[]) for n, product in enumerate(products)]
    short = [raw.review(product, f"w{n}", text="Fine.") for n, product in enumerate(products)]
    plenty = Sizes(train=500, validation=500, test=500, test_ood=500)
    assert {row[1] for row in sample(SA, sizes=plenty, min_words=3).sampled_records(SA)} == set(with_image)
    both = sample(SA, sizes=plenty, min_words=3, product_image=True).sampled_records(SA)
    assert {row[1] for row in both} == {*with_image, *bare}
    assert {row[1] for row in sample(SA, sizes=plenty).sampled_records(SA)} == {*with_image, *short}


def test_labelled_only_samples_labelled_products(raw: Any, sample: Any) -> None:
    products = fill(raw)
    for product in products[::2]:
        raw.add("category_labels", product_id=product, fine_category="Mugs")
    raw.product("shop:500", category_path=[])
    plenty = Sizes(train=500, validation=500, test=500, test_ood=500)
    assert {row[1] for row in sample(CC, sizes=plenty, labelled_only=True).sampled_records(CC)} == set(
        products[::2]
    )
    assert {row[1] for row in sample(CC, sizes=plenty).sampled_records(CC)} == set(products)


def buy(raw: Any, user: str, products: list[str], start: int = 0) -> None:
    for position, product in enumerate(products):
        raw.review(product, user, timestamp=start + position, image_urls=[])


def test_all_reviews_of_sampled_users_are_kept(raw: Any, sample: Any) -> None:
    products = fill(raw, 40)
    home = [product for product in products if expected_split(product) != "test_ood"]
    for user in range(30):
        buy(raw, f"u{user:02}", [home[(user + step) % 12] for step in range(5)])
    buy(raw, "lonely", home[20:26])  # bought by nobody else
    raw.review(home[29], "u00")  # not in the core: bought once
    raw.review("shop:unheard-of", "u00")
    settings = {"k_core": 3, "min_history": 3, "require_images": "any"}
    everybody = sample(SR, sizes=Sizes(train=50, validation=50, test=50, test_ood=50), **settings)
    users = {one for _, one, _ in everybody.sampled_records(SR)}
    assert users == {f"u{user:02}" for user in range(30)}
    assert {row["user_id"] for row in everybody.rows("reviews")} == users
    few = sample(SR, sizes=Sizes(train=2, validation=1, test=1, test_ood=0), oversample=1, **settings)
    chosen = {one for _, one, _ in few.sampled_records(SR)}
    assert len(chosen) == 4
    assert all(
        split == split_by_hash(SPLIT, SEED, "split:user", one) for split, one, _ in few.sampled_records(SR)
    )
    whole = {(row["user_id"], row["product_id"]) for row in everybody.rows("core")}
    assert {(row["user_id"], row["product_id"]) for row in few.rows("core")} == {
        pair for pair in whole if pair[0] in chosen
    }
    assert ("u00", home[29]) not in whole
    reviews = [row for row in raw.rows["reviews"] if row["user_id"] in chosen]
    assert [row["review_id"] for row in few.rows("reviews")] == [row["review_id"] for row in reviews]
    owned = {row["product_id"] for row in reviews} - {"shop:unheard-of"}
    kept = {row["product_id"] for row in few.rows("products")}
    assert owned <= kept <= owned | {product for _, product in whole}


def test_the_popularity_of_the_whole_core_is_written(raw: Any, sample: Any) -> None:
    """Of the users who are not sampled too, but not of those out of domain."""
    products = fill(raw, 40)
    home = [product for product in products if expected_split(product) != "test_ood"]
    garden = [product for product in products if expected_split(product) == "test_ood"]
    for user in range(30):
        buy(raw, f"u{user:02}", [home[(user + step) % 12] for step in range(5)])
    for user in range(3):
        buy(raw, f"outsider {user}", [*garden[:4], home[0], home[12]])
    buy(raw, "once", home[20:21])
    settings = {"k_core": 3, "min_history": 3, "require_images": "none"}
    few = sample(SR, sizes=Sizes(train=2, validation=1, test=1, test_ood=1), oversample=1, **settings)
    counted = {row["product_id"]: row for row in few.rows("popularity")}
    assert list(counted) == sorted(counted)
    assert (
        {one: counted[one]["interactions"] for one in counted}
        == {
            **Counter(home[(user + step) % 12] for user in range(30) for step in range(5)),
            home[12]: 1,  # bought by outsiders only
            **dict.fromkeys(garden[:4], 3),
        }
    )
    assert {counted[one]["category"] for one in garden[:4]} == {"Garden"}


@pytest.mark.parametrize("negatives", ["popularity", "uniform", "metadata"])
def test_products_that_will_be_offered_are_kept(raw: Any, sample: Any, negatives: str) -> None:
    """They are those that a build of all rows offers, whoever else was sampled."""
    home = [product for product in fill(raw, 400) if expected_split(product) != "test_ood"]
    for user in range(90):
        buy(raw, f"u{user:02}", [home[(user * 3 + step * step) % len(home)] for step in range(8)])
    settings = {"k_core": 1, "candidates": 6, "require_images": "none", "negatives": negatives}
    few = sample(SR, sizes=Sizes(train=4, validation=1, test=1, test_ood=0), oversample=1, **settings)
    kept = {row["product_id"] for row in few.rows("products")}
    owned = {row["product_id"] for row in few.rows("reviews")}
    if negatives == "metadata":
        assert kept == owned
        return
    assert owned < kept
    users = {one for _, one, _ in few.sampled_records(SR)}
    with raw.connected() as connection:
        curated = """
            SELECT *, NULL::VARCHAR AS fine_category, product_id AS cluster_id, product_id AS split_unit,
                NULL::VARCHAR[][] AS other_category_paths
            FROM products
        """
        table = connection.sql(curated).to_arrow_table()
        connection.unregister("products")
        connection.register("products", table)
        built = build_task(SR, connection, TASKS[SR].settings(**settings), SEED).samples.to_pylist()
    offered = {one for row in built if row["user_id"] in users for one in row["product_ids"]}
    assert offered <= kept
    assert {row["user_id"] for row in built} > users


@pytest.mark.parametrize(("require", "users"), [("all", "ab"), ("any", "abc"), ("none", "abcd")])
def test_sequences_have_the_images_that_the_recipe_requires(
    raw: Any, sample: Any, require: str, users: str
) -> None:
    home = [product for product in fill(raw, 60) if expected_split(product) != "test_ood"]
    bare = {home[0], *home[20:26]}
    for row in raw.rows["products"]:
        if row["product_id"] in bare:
            row["image_urls"] = []
    buy(raw, "a", home[:6])  # the one without an image is older than what is shown
    buy(raw, "b", home[6:12])
    buy(raw, "c", [*home[12:16], home[0]])
    buy(raw, "d", home[20:26])
    plenty = Sizes(train=9, validation=9, test=9, test_ood=9)
    settings = {"k_core": 1, "min_history": 3, "max_history": 4, "require_images": require}
    assert {one for _, one, _ in sample(SR, sizes=plenty, **settings).sampled_records(SR)} == set(users)


def test_unsampled_out_of_domain_products_are_counted(raw: Any, sample: Any) -> None:
    for number, product in enumerate(fill(raw)):
        question(raw, number, product)
    outcome = sample(AP, sizes=Sizes(train=4, validation=0, test=0, test_ood=0))
    assert {row["category"] for row in outcome.rows("products")} == {"Home"}
    assert outcome.sampled.statistics["ood_products"] == {"Garden": 30}


def test_a_user_of_an_ood_sequence_is_sampled_for_it_alone(raw: Any, sample: Any) -> None:
    products = fill(raw, 40)
    for user in range(20):
        buy(raw, f"u{user:02}", products[:16])  # both domains
    chosen = sample(SR, k_core=2, require_images="none", sizes=Sizes(train=9, test_ood=50)).sampled_records(
        SR
    )
    assert {split for split, _, _ in chosen} == {"test_ood"}
    assert len(chosen) == 20


def test_all_records_of_a_kept_item_are_kept(raw: Any, sample: Any) -> None:
    raw.product("amazon18:B1")
    raw.product("esci:B1", "")
    raw.product("amazon18:B1", title="Again")
    raw.product("esci:B2", "")
    raw.add("product_images", product_id="esci:B1", image_url="x.jpg")
    raw.add("product_images", product_id="esci:B2", image_url="y.jpg")
    question(raw, 1, "esci:B1")
    outcome = sample(AP)
    assert [(row["product_id"], row["title"]) for row in outcome.rows("products")] == [
        ("amazon18:B1", "Title of amazon18:B1"),
        ("esci:B1", "Title of esci:B1"),
        ("amazon18:B1", "Again"),
    ]
    assert [row["image_url"] for row in outcome.rows("product_images")] == ["x.jpg"]


def test_taken_down_products_are_kept_for_curation_to_reject(raw: Any, sample: Any) -> None:
    for number, product in enumerate(fill(raw, 8)):
        question(raw, number, product)
    plenty = Sizes(train=50, validation=50, test=50, test_ood=50)
    outcome = sample(AP, sizes=plenty, taken_down=["shop:002"])
    assert "shop:002" not in {two for _, _, two in outcome.sampled_records(AP)}
    assert "shop:002" in {row["product_id"] for row in outcome.rows("products")}
    assert len(outcome.rows("questions")) == 7
