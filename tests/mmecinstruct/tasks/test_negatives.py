"""Candidates beside the target: popularity does not tell the target from them, and each way keeps its promise."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mmecinstruct.recipe import load_recipe
from mmecinstruct.tasks.sequential_recommendation import SequentialRecommendationSettings

TASK = "sequential_recommendation"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SMALL: dict[str, Any] = {"k_core": 1, "min_history": 2, "candidates": 4}
WAYS = ("popularity", "uniform", "category", "hard", "metadata")


def buy(shop: Any, user: str, products: list[str]) -> None:
    for position, product in enumerate(products):
        shop.review(f"{user}/{product}", product, user, timestamp=100 + position, text=None)


def guessed_by_popularity(samples: list[dict[str, Any]]) -> float:
    """Return how often the candidate seen most often in training histories and targets is the target.

    Seven of ten users are for training. Of equally popular candidates each is guessed as often.
    """
    train = [one for one in samples if int(one["user_id"][1:]) % 10 < 7]
    seen = Counter(product for one in train for product in one["product_ids"][: len(one["fields"]) + 1])
    right = []
    for one in samples:
        if int(one["user_id"][1:]) % 10 < 7:
            continue
        target, *others = (seen[product] for product in one["product_ids"][len(one["fields"]) :])
        right.append(0.0 if max(others) > target else 1 / (1 + others.count(target)))
    assert len(right) > 40
    return sum(right) / len(right)


def test_popularity_answers_nothing_where_few_products_were_bought(shop: Any, samples: Any) -> None:
    """600 products, of which users bought 30 at random."""
    generator = np.random.default_rng(1)
    for number in range(600):
        shop.product(f"p{number:03}")
    for user in range(240):
        buy(shop, f"u{user}", [f"p{number * 20:03}" for number in generator.permutation(30)[:7]])
    built = samples(shop.build(TASK))
    assert len(built) == 240
    assert guessed_by_popularity(built) <= 0.15
    assert guessed_by_popularity(samples(shop.build(TASK, negatives="metadata"))) > 0.6
    bought = {row["product_id"] for row in shop.rows["reviews"]}
    owned = {(row["user_id"], row["product_id"]) for row in shop.rows["reviews"]}
    for one in built:
        others = one["product_ids"][len(one["fields"]) + 1 :]
        assert set(others) <= bought
        assert not [product for product in others if (one["user_id"], product) in owned]


@pytest.mark.slow
def test_popularity_guesses_within_the_simulated_bounds(shop: Any, samples: Any) -> None:
    """Purchases with a popularity like Zipf's, of a shop with as many products that nobody bought."""
    generator = np.random.default_rng(2)
    products, users = 400, 2500
    share = 1 / np.arange(1, products + 1)
    share /= share.sum()
    for number in range(2 * products):
        shop.product(f"p{number:03}")
    for user in range(users):
        bought = generator.choice(products, size=generator.integers(5, 12), replace=False, p=share)
        buy(shop, f"u{user}", [f"p{number:03}" for number in bought])
    score = {
        name: guessed_by_popularity(samples(shop.build(TASK, **settings)))
        for name, settings in {
            "1": {},
            ".75": {"negatives_exponent": 0.75},
            "uniform": {"negatives": "uniform"},
            "metadata": {"negatives": "metadata"},
        }.items()
    }
    assert 0.05 <= score["1"] <= 0.13
    assert score["1"] < score[".75"] <= 0.18
    assert score[".75"] < score["uniform"] < score["metadata"]


def test_popularity_answers_little_on_real_purchases(shop: Any, samples: Any) -> None:
    """Of 2,320 magazines, 157 were reviewed; most titles of the file are HTML, so products are named by their ids."""
    root = os.environ.get("MMEC_REAL_DATA")
    folder = Path(root or "", "amazon2018_magazines_reviews")
    if not root or not folder.is_dir():
        pytest.skip(f"MMEC_REAL_DATA names no folder with {folder.name}")
    with gzip.open(folder / "meta_Magazine_Subscriptions.json.gz", "rt") as lines:
        products = {json.loads(line)["asin"] for line in lines}
    with gzip.open(folder / "Magazine_Subscriptions_5.json.gz", "rt") as lines:
        reviews = [json.loads(line) for line in lines]
    for product in sorted(products):
        shop.product(product)
    users = {user: f"u{number}" for number, user in enumerate(sorted({one["reviewerID"] for one in reviews}))}
    for number, one in enumerate(reviews):
        shop.review(str(number), one["asin"], users[one["reviewerID"]], timestamp=one["unixReviewTime"])
    score = {way: guessed_by_popularity(samples(shop.build(TASK, negatives=way))) for way in WAYS}
    assert score["popularity"] <= 0.15
    assert score["metadata"] > 0.5


def negatives_of(shop: Any, samples: Any, **settings: Any) -> dict[str, list[str]]:
    """Return the negatives of each user's sample."""
    built = samples(shop.build(TASK, **SMALL | settings))
    return {one["user_id"]: one["product_ids"][len(one["fields"]) + 1 :] for one in built}


def shelf(shop: Any, names: list[str], **columns: Any) -> list[str]:
    for name in names:
        shop.product(name, **columns)
    return names


def test_negatives_follow_popularity_to_the_exponent(shop: Any, samples: Any) -> None:
    """Of two products, one bought nine times as often, 200 users are offered one."""
    own = shelf(shop, ["own 1", "own 2", "own 3"])
    shelf(shop, ["often", "seldom", "filler 1", "filler 2"])
    for user in range(200):
        buy(shop, f"u{user}", own)
    for user in range(9):
        buy(shop, f"often {user}", ["often"])
    buy(shop, "seldom", ["seldom"])
    share = {}
    for name, settings in {
        "1": {},
        ".5": {"negatives_exponent": 0.5},
        "0": {"negatives_exponent": 0.0},
        "uniform": {"negatives": "uniform"},
    }.items():
        found = negatives_of(shop, samples, candidates=2, **settings)
        others = [found[f"u{user}"] for user in range(200)]
        assert {one for (one,) in others} == {"often", "seldom"}, "nobody bought the fillers"
        share[name] = others.count(["often"]) / 200
    assert share["1"] == pytest.approx(0.9, abs=0.07)
    assert share[".5"] == pytest.approx(0.75, abs=0.1)
    assert share["uniform"] == share["0"] == pytest.approx(0.5, abs=0.12)


def test_popularity_counts_within_the_core(shop: Any, samples: Any) -> None:
    own, rest = shelf(shop, [f"own {n}" for n in range(4)]), shelf(shop, [f"rest {n}" for n in range(4)])
    for user in range(4):
        buy(shop, f"u{user}", own)
        buy(shop, f"v{user}", rest)
    shelf(shop, ["bought by many who bought nothing else"])
    for user in range(50):
        buy(shop, f"once {user}", ["bought by many who bought nothing else"])
    found = negatives_of(shop, samples, k_core=4, min_history=3)
    assert found
    assert all(set(others) <= {*own, *rest} for others in found.values())


def test_out_of_domain_users_are_counted_among_themselves(shop: Any, samples: Any) -> None:
    """Sequences of users who also have one out of domain are in no other split."""
    home = shelf(shop, ["h0", "h1", "h2", "theirs", "ours"])
    garden = shelf(shop, ["g0", "g1", "g2", "g3", "g4"], category="Garden")
    for user in range(200):
        buy(shop, f"u{user}", home[:3])
    for user in range(9):
        buy(shop, f"ours {user}", ["ours"])
    for user in range(81):
        buy(shop, f"outsider {user}", ["theirs", *garden[:3]])
    for user in range(60):
        buy(shop, f"visitor {user}", [garden[4], "h0", "h1", "h2"])
    buy(shop, "gardener", ["g3", "g0", "g1"])

    def share(product: str, other: str, users: list[str], **settings: Any) -> float:
        found = negatives_of(shop, samples, candidates=2, **settings)
        counts = Counter(found[user][0] for user in users)
        assert set(counts) <= {product, other}
        return counts[product] / sum(counts.values())

    insiders = [f"u{user}" for user in range(200)]
    assert share("theirs", "ours", insiders) == pytest.approx(0.9, abs=0.07)
    # Of the outsiders' interactions none counts: at least 1, against 9.
    assert share("theirs", "ours", insiders, ood_categories=("Garden",)) == pytest.approx(0.1, abs=0.07)
    # Of the visitors, who have no sequence in the garden, none counts there.
    gardeners = [f"outsider {user}" for user in range(81)]
    built = samples(shop.build(TASK, **SMALL | {"candidates": 2}, ood_categories=("Garden",)))
    counts = Counter(
        one["product_ids"][-1] for one in built if one["user_id"] in gardeners and one["category"] == "Garden"
    )
    assert set(counts) == {"g3", "g4"}
    assert counts["g3"] == pytest.approx(40, abs=16)


@pytest.mark.parametrize("negatives", WAYS)
def test_own_products_clusters_and_titles_are_never_offered(
    shop: Any, samples: Any, reasons: Any, negatives: str
) -> None:
    own = shelf(shop, ["own 1", "own 2", "own 3"])
    shop.product("cluster of own 1", cluster_id="own 1")
    shop.product("title of own 2", title="TITLE of own-2!")
    shop.product("cluster of the target", cluster_id="own 3")
    shop.product("elsewhere", category="Garden", cluster_id="owned elsewhere")
    shop.product("no kin of elsewhere", cluster_id="elsewhere")
    shop.product("cluster of another category", cluster_id="owned elsewhere")
    fine = shelf(shop, ["a", "b", "c"])
    shop.product("a again", title="title of A")
    buy(shop, "u0", [*own, "elsewhere"])
    for user, row in enumerate([*shop.rows["products"]], start=1):
        buy(shop, f"u{user}", [row["product_id"]])
    (sample,) = samples(shop.build(TASK, **SMALL, negatives=negatives))
    others = set(sample["product_ids"][3:]) - {"a again", "a", "no kin of elsewhere"}
    assert others <= set(fine)
    assert len(set(sample["product_ids"][3:])) == 3
    assert {"a", "a again"} - set(sample["product_ids"])
    output = shop.build(TASK, **SMALL | {"candidates": 6}, negatives=negatives)
    assert reasons(output)["u0 Home"] == "too_few_candidates"
    details = dict(
        zip(output.rejections["record_id"].to_pylist(), output.rejections["detail"].to_pylist(), strict=True)
    )
    assert details["u0 Home"] == "5 of 6 candidates"


def test_category_offers_the_fine_category_first(shop: Any, samples: Any) -> None:
    for number in range(30):
        fine = ["Mugs", "Pots"][number % 2]
        shop.product(f"p{number:02}", category_path=["Home", fine])
        buy(shop, f"fan {number}", [f"p{number:02}"])
    shop.product("never bought", category_path=["Home", "Mugs"])
    for user in range(20):
        buy(shop, f"u{user}", [f"p{number:02}" for number in range(user % 2, user % 2 + 6, 2)])
    mugs, pots = ({f"p{number:02}" for number in range(odd, 30, 2)} for odd in (0, 1))
    found = negatives_of(shop, samples, candidates=11, negatives="category")
    assert {
        user: set(others) <= [mugs, pots][int(user[1:]) % 2] for user, others in found.items()
    } == dict.fromkeys([f"u{user}" for user in range(20)], True)
    found = negatives_of(shop, samples, candidates=20, negatives="category")
    for user, others in found.items():
        assert len(set(others) & [mugs, pots][int(user[1:]) % 2]) == 12, "all of them, then others"
        assert "never bought" not in others


@pytest.mark.parametrize(
    ("own", "near", "far"),
    [
        (
            ["Blue kettle", "Brown jug", "Steel travel mug with green lid"],
            ["Steel travel mug with red lid", "Travel mug with lid", "Glass mug with green lid"],
            ["Wool socks", "Garden hose", "Desk lamp", "Paper towels", "Bed linen"],
        ),
        (
            ["蓝色水壶", "棕色罐子", "不锈钢旅行杯绿色杯盖"],
            ["不锈钢旅行杯红色杯盖", "旅行杯带杯盖", "玻璃旅行杯绿色"],
            ["羊毛袜子", "花园软管", "台灯", "纸巾", "床单"],
        ),
    ],
)
def test_hard_offers_the_nearest_titles_first(
    shop: Any, samples: Any, own: list[str], near: list[str], far: list[str]
) -> None:
    for title in (*own, *near, *far):
        shop.product(title, title=title)
        buy(shop, f"fan of {title}", [title])
    shop.product("unbought", title=f"{own[2]} 2")
    buy(shop, "u", own)
    assert set(negatives_of(shop, samples, negatives="hard")["u"]) == set(near)
    six = negatives_of(shop, samples, negatives="hard", candidates=6)["u"]
    assert set(near) < set(six)
    assert set(six) < {*near, *far}


def test_few_other_samples_change_with_a_new_interaction(shop: Any, samples: Any) -> None:
    ids = shelf(shop, [f"p{number:03}" for number in range(300)])
    for user in range(150):
        buy(shop, f"u{user}", [ids[(user * 7 + step * 11) % 300] for step in range(6)])
    before = negatives_of(shop, samples)
    buy(shop, "new", ids[4:8])
    after = negatives_of(shop, samples)
    changed = [user for user in before if before[user] != after[user]]
    assert len(changed) < 30
    for user in changed:
        assert set(after[user]) - set(before[user]) <= set(ids[4:8]), "only what became more popular"


def test_sampled_users_are_offered_the_products_of_the_whole_core(shop: Any, samples: Any) -> None:
    """Not each product of the core is in the tables, and popularity is that of the core."""
    own = shelf(shop, ["own 1", "own 2", "own 3"])
    others = shelf(shop, ["often", "seldom"])
    users = [f"u{user}" for user in range(200)]
    for user in users:
        buy(shop, user, own)
    output = shop.build(
        TASK,
        **SMALL | {"candidates": 2},
        sampled_records=[(user, "Home") for user in users],
        core=[(user, product) for user in users for product in own],
        popularity={**dict.fromkeys(own, 200), "often": 900, "seldom": 100, "not sampled": 5000},
    )
    counts = Counter(one["product_ids"][-1] for one in samples(output))
    assert set(counts) == set(others)
    assert counts["often"] == pytest.approx(180, abs=14)


def test_the_old_name_of_metadata_is_read() -> None:
    settings = SequentialRecommendationSettings.model_validate({"negatives": "random"})
    assert settings.negatives == "metadata"
    with pytest.raises(ValidationError, match="popularity"):
        SequentialRecommendationSettings.model_validate({"negatives": "nearest"})


@pytest.mark.parametrize("name", ["paper", "sample", "amazon2023", "catalog", "abo", "luma-shop"])
def test_recipes_choose_by_popularity(name: str) -> None:
    settings = load_recipe(name).task(TASK)
    assert isinstance(settings, SequentialRecommendationSettings)
    assert (settings.negatives, settings.negatives_exponent) == ("popularity", 1.0)
