"""Samples asked in several ways: with other images, and with their options in other orders."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caslie_model.data.samples import Sample
from caslie_model.evaluation.image_use import image_use
from caslie_model.evaluation.position_bias import position_bias
from caslie_model.evaluation.score import score
from caslie_model.evaluation.tables import metrics_markdown, metrics_table

Make = Callable[..., Sample]
Records = dict[tuple[str, str], dict[str, Any]]


def shown(sample: Make, count: int = 10) -> list[Sample]:
    return [sample(number, "A", image_roles=("review",)) for number in range(count)]


def test_what_images_did_is_counted_per_sample(sample: Make) -> None:
    samples = shown(sample)
    own = ["A"] * 6 + ["B"] * 3 + [None]
    none = ["A"] * 2 + ["C"] * 4 + ["A"] + ["B"] * 3
    records: Records = {(s.id, ""): {"prediction": own[i]} for i, s in enumerate(samples)}
    records |= {(s.id, "images none"): {"prediction": none[i]} for i, s in enumerate(samples)}
    [row] = image_use(samples, records)
    assert [row[name] for name in ("helpful", "harmful", "redundant", "no_use")] == [4, 1, 2, 3]
    assert (row["accuracy_own"], row["accuracy_other"]) == (0.6, 0.3)
    assert row["difference"] == pytest.approx(0.3)
    assert row["difference_interval"][0] < 0.3 < row["difference_interval"][1]
    assert row["other_images"] == "none"


@pytest.mark.parametrize("lost", ["", "images none"])
def test_a_sample_answered_in_one_way_says_nothing_of_images(sample: Make, lost: str) -> None:
    samples = shown(sample)
    records: Records = {(s.id, way): {"prediction": "A"} for s in samples for way in ("", "images none")}
    del records[samples[0].id, lost]
    [row] = image_use(samples, records)
    assert (row["samples"], row["redundant"]) == (len(samples) - 1, len(samples) - 1)


def test_each_kind_of_other_images_has_a_row_of_the_samples_asked(sample: Make) -> None:
    samples = [*shown(sample, 4), sample(9, "A")]
    records: Records = {(s.id, ""): {"prediction": "A"} for s in samples}
    records |= {(s.id, "images none"): {"prediction": "A"} for s in samples}
    records |= {(s.id, "images shuffled"): {"prediction": "B"} for s in samples[:3]}
    none, shuffled = image_use(samples, records)
    # The sample without images is asked the same question, whatever is shown.
    assert (none["samples"], none["redundant"], none["difference"]) == (4, 4, 0)
    assert (shuffled["samples"], shuffled["helpful"], shuffled["difference"]) == (3, 3, 1)


def test_samples_asked_in_one_way_have_no_such_rows(sample: Make) -> None:
    samples = shown(sample)
    records: Records = {(s.id, ""): {"prediction": "A"} for s in samples}
    assert image_use(samples, records) == position_bias(samples, records) == []
    assert sorted(score(samples, records, {("sentiment_analysis", "test"): ("A", "train")})) == [
        "breakdowns",
        "results",
    ]


def ordered(samples: list[Sample], orders: int, choose: Callable[[Sample, list[str]], str]) -> Records:
    """Return records of a model that chooses a letter of the options as it is shown them."""
    random = np.random.default_rng(1)
    records: Records = {}
    for sample in samples:
        for number in range(orders + 1):
            letters = list(sample.labels)
            order = [str(x) for x in random.permutation(letters)] if number else letters
            asked = choose(sample, order)
            records[sample.id, f"order {number}" if number else ""] = {
                "prediction": order[letters.index(asked)],
                "asked": asked,
                "order": order,
            }
    return records


def test_a_model_that_always_says_a_is_all_bias(sample: Make) -> None:
    samples = [sample(number, "ABCDE"[number % 5]) for number in range(100)]
    [row] = position_bias(samples, ordered(samples, 4, lambda sample, order: "A"))
    assert [order["order"] for order in row["orders"]] == [
        "published",
        "order 1",
        "order 2",
        "order 3",
        "order 4",
    ]
    assert row["orders"][0]["accuracy"] == 0.2
    assert row["stable"] < 0.05
    assert row["letters"]["A"]["given"] == row["letters"]["A"]["recall"] == 1
    assert row["letter_distance"] == pytest.approx(1 - row["letters"]["A"]["right"])
    assert row["recall_deviation"] == pytest.approx(0.4)


def test_a_model_that_reads_the_options_has_no_bias(sample: Make) -> None:
    samples = [sample(number, "ABCDE"[number % 5]) for number in range(30)]

    def knows(sample: Sample, order: list[str]) -> str:
        return sample.labels[order.index(sample.output)]

    [row] = position_bias(samples, ordered(samples, 2, knows))
    assert {order["accuracy"] for order in row["orders"]} == {row["stable"], 1.0} == {1.0}
    assert row["accuracy_spread"] == row["letter_distance"] == row["recall_deviation"] == 0


def test_orders_that_few_options_do_not_have_are_not_missing(sample: Make) -> None:
    samples = [sample(number, "A", letters="AB" if number < 2 else "ABCDE") for number in range(4)]
    records: Records = {(s.id, ""): {"prediction": "A"} for s in samples}
    records |= {
        (s.id, "order 1"): {"prediction": "A", "asked": "B", "order": ["B", "A", *s.labels[2:]]}
        for s in samples
    }
    records["s2", "order 2"] = {"prediction": "A", "asked": "C", "order": list("CBADE")}
    [row] = position_bias(samples, records)
    assert [(order["samples"], order["accuracy"]) for order in row["orders"]] == [(4, 1), (4, 1), (2, 0.5)]
    assert row["stable"] == 0.75


def test_missing_and_unparsable_answers_are_wrong_and_unstable(sample: Make) -> None:
    samples = [sample(number, "A") for number in range(4)]
    records: Records = {(s.id, ""): {"prediction": "A"} for s in samples}
    records |= {
        ("s0", "order 1"): {"prediction": "A", "asked": "B", "order": list("BACDE")},
        ("s1", "order 1"): {"prediction": None, "order": list("BACDE")},
        ("s2", "order 1"): {"prediction": "B", "asked": "A", "order": list("BACDE")},
        ("s3", "order 1"): {"prediction": "A", "asked": "B", "order": list("BACDE")},
        ("s3", "order 2"): {"prediction": "A", "asked": "A", "order": list("ABCDE")},
    }
    [row] = position_bias(samples, records)
    assert [order["accuracy"] for order in row["orders"]] == [1.0, 0.5, 0.25]
    assert row["stable"] == 0.25
    assert row["answers"] == 8


def test_tables_show_all_ways(sample: Make) -> None:
    samples = [sample(number, "ABCDE"[number % 5], image_roles=("review",)) for number in range(40)]
    records = ordered(samples, 3, lambda sample, order: "B")
    records |= {(s.id, "images none"): {"prediction": "C"} for s in samples}
    records |= {(s.id, "images shuffled"): {"prediction": "D"} for s in samples}
    records |= {(s.id, "instruction unseen"): {"prediction": "A"} for s in samples}
    for (_, variant), record in records.items():
        if not variant:
            record |= {"scores": dict.fromkeys("ABCDE", -1.0), "tokens": dict.fromkeys("ABCDE", 1)}
    metrics = {
        "model": "m",
        "data": "d",
        "base_only": False,
        "samples_shortened": 0,
        "provenance": {"answers": "letter", "instruction": "seen", "scoring": "likelihood"},
        **score(samples, records, {("sentiment_analysis", "test"): ("A", "train")}),
    }
    json.dumps(metrics, allow_nan=False)
    text = metrics_markdown(metrics)
    for title in ("What the images did", "Position bias", "Letters", "Scores of the options", "Breakdowns"):
        assert f"## {title}" in text
    tables = text.split("\n\n")
    for table in tables:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
    for width in (80, 100, None):
        shown = metrics_table(metrics, width)
        assert "…" not in shown
        assert "What the images did" in shown
        assert "Position bias" in shown
        assert "Instruction of training, and held out" in shown
        assert max(map(len, shown.splitlines())) <= (width or 200)
    metrics["provenance"] |= {"captions": "attributes/vote"}
    assert "## What the images and their captions did" in metrics_markdown(metrics)


def test_figures_do_not_depend_on_the_order_of_samples_or_records(sample: Make) -> None:
    samples = [
        sample(number, "ABCDE"[number % 5], image_roles=("review",), visual_critical=number % 2 == 0)
        for number in range(40)
    ]
    records = ordered(samples, 2, lambda sample, order: "ABC"[len(sample.id) % 3])
    records |= {(s.id, "images none"): {"prediction": "ABCDE"[int(s.id[1:]) % 4]} for s in samples}
    baselines = {("sentiment_analysis", "test"): ("A", "train")}
    backwards = dict(reversed(records.items()))
    assert score(samples[::-1], backwards, baselines) == score(samples, records, baselines)
