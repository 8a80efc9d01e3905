"""Baselines of sequential recommendation: what decides, settings chosen on validation, right answers not read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from caslie_model.baselines.baseline import FitData, Scorer
from caslie_model.baselines.content_neighbours import IMAGE_SETTINGS, TITLE_SETTINGS, fit_title_knn
from caslie_model.baselines.item_neighbours import (
    NEIGHBOUR_SETTINGS,
    POPULARITY_SETTINGS,
    fit_item_knn,
    fit_popularity,
)
from caslie_model.baselines.known import BASELINES
from caslie_model.baselines.purchases import TRIALS, bought_sequence, purchases_of, ranked_scores
from caslie_model.baselines.sasrec import SASREC_SETTINGS
from caslie_model.data.samples import InputField, Sample
from mmecinstruct.core.hashing import hash_fraction

TASK = "sequential_recommendation"
FITS = {"popularity": fit_popularity, "item-knn": fit_item_knn, "title-knn": fit_title_knn}


def sample(name: str, history: Sequence[str], options: Sequence[str], output: str = "A") -> Sample:
    texts = tuple(f"{place}th: {item}" for place, item in enumerate(history, start=1))
    labels = dict(zip("ABCDEFGHIJ", options, strict=False))
    field = InputField("", texts, is_list=True)
    return Sample(name, TASK, "train", "Home", "Recommend.", None, (field,), labels, output, None, None)


def fitted(name: str, train: Sequence[Sample], validation: Sequence[Sample] = (), seed: int = 0) -> Scorer:
    return FITS[name](FitData(TASK, train, validation, seed))


def order(scorer: Scorer, asked: Sample) -> list[str]:
    """Return the items of a sample, best first."""
    (scores,) = scorer([asked])
    return [asked.options[label] for label in sorted(scores, key=lambda label: -scores[label])]


TRAIN = [
    sample("t1", ["Red Mug", "Blue Lamp"], ["Kettle", "Clock"], "A"),
    sample("t2", ["Red Mug", "Rug"], ["Clock", "Kettle"], "B"),
    sample("t3", ["Rug", "Blue Lamp"], ["Clock", "Kettle"], "A"),
    sample("t4", ["Shelf", "Rug"], ["Kettle", "Pillow"], "B"),
]


def test_an_item_is_its_text_without_its_place() -> None:
    found = purchases_of(sample("s", ["Red  MUG", "2nd: Edition"], ["red mug", "Clock"]))
    assert found.history == ("red mug", "2nd: edition")
    assert found.options == {"A": "red mug", "B": "clock"}
    assert bought_sequence(TRAIN[1]) == ("red mug", "rug", "kettle")


def test_popularity_counts_purchases_of_histories_and_targets() -> None:
    scorer = fitted("popularity", TRAIN)
    asked = sample("s", ["Shelf"], ["Unseen", "Clock", "Rug", "Kettle"])
    assert order(scorer, asked) == ["Rug", "Kettle", "Clock", "Unseen"]
    (scores,) = scorer([asked])
    # Three purchases, two, one, none; one more of each.
    assert {label: math.exp(score) for label, score in scores.items()} == pytest.approx(
        {"A": 0.1, "B": 0.2, "C": 0.4, "D": 0.3}
    )


def test_item_knn_sums_cosines_over_the_history() -> None:
    scorer = fitted("item-knn", TRAIN)
    asked = sample("s", ["Red Mug", "Rug"], ["Pillow", "Kettle", "Clock", "Unseen"])
    # Pillow: 0 + 1/sqrt(3); kettle: 2/2 + 1/sqrt(6); clock: 0 + 1/sqrt(3); unseen: 0.
    expected = {"A": 1 / math.sqrt(3), "B": 1 + 1 / math.sqrt(6), "C": 1 / math.sqrt(3), "D": 0.0}
    (scores,) = scorer([asked])
    for label in "ABC":
        gap = scores[label] - scores["D"]
        assert gap == pytest.approx(expected[label], abs=0.0015)
    assert scores["A"] != scores["C"]


def test_title_knn_prefers_shared_words_even_those_that_training_lacks() -> None:
    scorer = fitted("title-knn", TRAIN)
    asked = sample("s", ["Red Mug", "Green Rug"], ["Yellow Clock", "Green Carpet", "Grey Pillow"])
    assert order(scorer, asked)[0] == "Green Carpet"


def test_title_knn_is_the_cosine_of_scikit_learns_vectors() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    scorer = fitted("title-knn", TRAIN)
    asked = sample("s", ["Red Mug", "Blue Lamp"], ["Red Lamp", "Blue Clock", "Kettle"])
    texts = {
        text for each in TRAIN for text in (*purchases_of(each).history, *purchases_of(each).options.values())
    }
    vectoriser = TfidfVectorizer(sublinear_tf=True).fit(sorted(texts))
    near = (
        vectoriser.transform(asked.options.values())
        @ vectoriser.transform(["red mug", "blue lamp"]).sum(axis=0).A1
    )
    (scores,) = scorer([asked])
    assert scores["A"] - scores["C"] == pytest.approx(near[0] - near[2], abs=1e-6)
    assert scores["B"] - scores["C"] == pytest.approx(near[1] - near[2], abs=1e-6)


@pytest.mark.parametrize("history", [(), ("!!!",)])
def test_title_knn_takes_samples_without_words(history: tuple[str, ...]) -> None:
    (scores,) = fitted("title-knn", TRAIN)([sample("s", history, ["???", "Clock"])])
    assert len(set(scores.values())) == 2


@pytest.mark.parametrize("name", FITS)
def test_equal_options_are_ordered_by_hash_draw_and_not_by_letter(name: str) -> None:
    unseen = ["qqq", "www", "xxx", "zzz"]
    asked = [sample(f"s{number}", ["vvv"], unseen) for number in range(200)]
    first = [max(scores, key=scores.__getitem__) for scores in fitted(name, TRAIN)(asked)]
    assert all(30 <= first.count(label) <= 70 for label in "ABCD")
    turned = [replace(each, options=dict(zip("ABCD", unseen[::-1], strict=True))) for each in asked]
    again = [max(scores, key=scores.__getitem__) for scores in fitted(name, TRAIN)(turned)]
    assert again == ["DCBA"["ABCD".index(label)] for label in first]


def test_equal_options_stay_apart_when_scores_are_rounded() -> None:
    asked = sample("s", ["a"], list("bcdefghijk"))
    scores = ranked_scores(asked, dict.fromkeys(asked.labels, 0.5), seed=0)
    assert len({round(score, 4) for score in scores.values()}) == 10
    assert sum(map(math.exp, scores.values())) == pytest.approx(1)


@pytest.mark.parametrize("name", FITS)
def test_answers_do_not_depend_on_order_or_on_right_answers(name: str) -> None:
    def draw(number: int, place: int, count: int) -> int:
        return int(count * hash_fraction(0, "test", str(number), str(place)))

    def made(number: int) -> Sample:
        history = [f"item {draw(number, place, 30)} of {draw(number, place, 5)}" for place in range(5)]
        options = [f"item {draw(number, place, 30)} of {draw(number, place, 5)}" for place in range(10, 16)]
        return sample(f"s{number:02d}", history, options, "ABCDEF"[draw(number, 9, 6)])

    samples = [made(number) for number in range(60)]
    train, validation, asked = samples[:30], samples[30:40], samples[40:]
    scores = fitted(name, train, validation)(asked)
    other = fitted(name, train[::-1], validation[::-1])([replace(each, output="B") for each in asked[::-1]])
    assert list(other)[::-1] == list(scores)


def test_the_setting_is_the_best_on_validation() -> None:
    train = [sample(f"t{number}", ["Mug", "Rug"], ["Kettle", "Clock"], "A") for number in range(3)]
    train += [sample(f"u{number}", ["Clock", "Rug"], ["Lamp", "Clock"], "A") for number in range(4)]
    asked = sample("s", ["Rug"], ["Kettle", "Clock", "Lamp"])
    # Clock is bought in histories alone, and as often as a lamp is.
    targets = [
        sample("v", ["Rug"], ["Clock", "Kettle", "Lamp"], "B"),
        sample("w", ["Rug"], ["Clock", "Lamp"], "B"),
    ]
    assert order(fitted("popularity", train, targets), asked)[-1] == "Clock"
    histories = [sample("v", ["Rug"], ["Clock", "Kettle", "Lamp"], "A")]
    assert order(fitted("popularity", train, histories), asked)[0] == "Clock"


def test_each_baseline_tries_as_many_settings() -> None:
    tried = [POPULARITY_SETTINGS, NEIGHBOUR_SETTINGS, TITLE_SETTINGS, IMAGE_SETTINGS, SASREC_SETTINGS]
    assert [len(set(settings)) for settings in tried] == [TRIALS] * len(tried)


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    write_rows: Callable[[Path, list[dict[str, Any]]], Path],
    row: Callable[..., dict[str, Any]],
    render: Callable[[str, int], bytes],
) -> Path:
    """Users who buy one colour, which images alone show; some options have no image."""
    rows = []
    for split, count in (("train", 12), ("validation", 6), ("test", 24)):
        for number in range(count):
            colours = [("red", "green", "blue")[(number + shift) % 3] for shift in range(3)]
            answer = "BCA"[number // 3 % 3]
            roles = {f"history {place}": colours[0] for place in (1, 2)}
            others = iter(colours[1:])
            roles |= {f"option {label}": colours[0] if label == answer else next(others) for label in "ABC"}
            if number % 6 == 5:
                del roles["option " + "CAB"["BCA".index(answer)]]
            images = [render(colour, 1000 * number + place) for place, colour in enumerate(roles.values())]
            rows.append(
                row(
                    number,
                    TASK,
                    split,
                    input=json.dumps([f"{place}: thing {number} {place}" for place in (1, 2)]),
                    options=[f"{label}: offer {number} {label}" for label in "ABC"],
                    output=answer,
                    images=[{"bytes": image, "path": "a.jpg"} for image in images],
                    image_roles=list(roles),
                    image_urls=[""] * len(images),
                    image_ids=[f"{number} {role}" for role in roles],
                    image_product_ids=[f"{number} {role}" for role in roles],
                )
            )
    return write_rows(tmp_path_factory.mktemp("shop"), rows)


def evaluated(shop: Path, out: Path, name: str, **settings: Any) -> dict[str, Any]:
    from caslie_model.config.evaluation import EvaluateConfig
    from caslie_model.evaluation.evaluate import evaluate

    config = EvaluateConfig(
        model=f"baseline:{name}",
        data=str(shop),
        out=out,
        tasks=("sr",),
        baseline_encoder="random:tiny-vit",
        device="cpu",
        **settings,
    )
    return evaluate(config).metrics


def test_image_knn_sees_the_colour_that_a_user_buys(shop: Path, tmp_path: Path) -> None:
    seen = evaluated(shop, tmp_path / "own", "image-knn", permute_options=1)
    assert seen["results"][0]["accuracy"] > 0.9
    assert seen["provenance"]["vision_encoder"] == "random:tiny-vit"
    lines = [json.loads(line) for line in (tmp_path / "own" / "predictions.jsonl").read_text().splitlines()]
    variants = [line for line in lines if line.get("variant")]
    assert len(variants) == 24
    right = [line["prediction"] == "BCA"[int(line["id"][-4:]) // 3 % 3] for line in variants]
    assert sum(right) > 20
    blind = evaluated(shop, tmp_path / "none", "image-knn", images="none")
    assert blind["results"][0]["accuracy"] < 0.7


@pytest.mark.parametrize(
    "name", ["popularity", "item-knn", "title-knn", pytest.param("sasrec", marks=pytest.mark.slow)]
)
def test_every_baseline_is_evaluated_by_its_name(shop: Path, tmp_path: Path, name: str) -> None:
    metrics = evaluated(shop, tmp_path / "out", name)
    assert metrics["results"][0]["samples"] == 24
    assert BASELINES[name].tasks == ("sr",)
