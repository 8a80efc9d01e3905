"""The predictor of utility, its folds and its report, on numbers that are known."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from caslie_model.captions.decisions import Decision, JudgedCaption
from caslie_model.captions.utility import effect_of, utility_of, utility_questions
from caslie_model.captions.utility_features import Answers, features_of
from caslie_model.captions.utility_folds import Folds, fold_samples
from caslie_model.captions.utility_predictor import LEAST_ROWS, Lesson, cross_fit, fit_predictor
from caslie_model.captions.utility_report import in_words, report_of
from caslie_model.config.judging import JudgeConfig
from caslie_model.data.samples import Groups, InputField, Sample


def sample(name: str, output: str = "A", **changes: object) -> Sample:
    fields: dict[str, object] = {
        "id": name,
        "task": "category_classification",
        "split": "train",
        "category": "",
        "instruction": "Which?",
        "instruction_unseen": None,
        "fields": (InputField("title", ("a red lamp",), False),),
        "options": {"A": "red lamps", "B": "blue mugs"},
        "output": output,
        "visual_critical": None,
        "text_only_accuracy": None,
        "image_roles": ("product",),
        **changes,
    }
    return Sample(**fields)  # type: ignore[arg-type]


def caption(of: Sample, text: str = "The lamp is red.", position: int = 0) -> JudgedCaption:
    return JudgedCaption(of, position, text, "0", "planted")


def lessons(count: int, signal: float, seed: int = 0) -> list[Lesson]:
    """Captions of which a feature tells by how much it is probable that they help."""
    generator = random.Random(seed)
    made = []
    for number in range(count):
        told, noise = generator.gauss(0, 1), generator.gauss(0, 1)
        helps = generator.random() < 1 / (1 + math.exp(-signal * told))
        made.append(Lesson({"told": told, "noise": noise, "always": 1.0}, helps, number % 5))
    return made


@pytest.mark.parametrize(
    ("alone", "shown", "right", "expected"),
    [
        ({"A": 0.4, "B": 0.6}, {"A": 0.8, "B": 0.2}, "A", "helpful"),
        ({"A": 0.8, "B": 0.2}, {"A": 0.4, "B": 0.6}, "A", "harmful"),
        ({"A": 0.8, "B": 0.2}, {"A": 0.81, "B": 0.19}, "A", "redundant"),
        ({"A": 0.8, "B": 0.2}, {"A": 0.81, "B": 0.19}, "B", "useless"),
    ],
)
def test_effects_of_captions(
    alone: dict[str, float], shown: dict[str, float], right: str, expected: str
) -> None:
    answers = Answers(alone, shown)
    utility = utility_of(answers, right)
    assert utility == pytest.approx(math.log(shown[right] / alone[right]), abs=1e-4)
    assert effect_of(utility, answers, right) == expected


def test_features_do_not_know_the_right_answer() -> None:
    answers = Answers({"A": 0.4, "B": 0.6}, {"A": 0.8, "B": 0.2})
    features = features_of(caption(sample("a", "A")), answers)
    assert features == features_of(caption(sample("a", "B")), answers)
    assert features["another answer"] == 1
    assert features["first answer, change"] == pytest.approx(-0.4)
    assert features["distance"] == pytest.approx(0.4)
    assert features["divergence"] == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(1 / 3))
    assert features["option named"] == 0.5
    assert features["share in text"] == 0.5
    assert features["task category_classification"] == features["image of product"] == 1


def test_features_of_one_option_and_an_empty_input() -> None:
    odd = sample("a", fields=(), options={"A": ""}, image_roles=("history 1", "history 2"))
    features = features_of(caption(odd, "…", 1), Answers({"A": 1.0}, {"A": 1.0}))
    assert all(math.isfinite(value) for value in features.values())
    assert features["image of history"] == 1
    assert features["images behind"] == 0


def test_each_caption_is_asked_about_alone() -> None:
    config = JudgeConfig(data="d", captions="c", judges=("m",))
    history = sample("a", image_roles=("history 1", "history 2", "option A"))
    items = [caption(history, text, position) for position, text in ((2, "three"), (0, "one"))]
    asked = [each.sample.captions for each in utility_questions(config, items)]
    assert asked == [(), ("one", None, None), (None, None, "three")]


def test_questions_are_those_of_measured_samples_where_these_suffice() -> None:
    items = [caption(sample(f"s{number}")) for number in range(30)]
    items += [caption(sample(f"t{number}", split="test")) for number in range(30)]
    settings: dict[str, Any] = {
        "data": "d",
        "captions": "c",
        "judges": ("m",),
        "measured": 10,
        "likelihoods": False,
    }
    few = utility_questions(JudgeConfig(**settings), items)
    assert len(few) == 20
    assert {each.sample.split for each in few} == {"train"}
    assert len(utility_questions(JudgeConfig(**settings, judge="gold"), items)) == 120


def test_the_predictor_finds_what_tells_and_is_calibrated() -> None:
    predictor = fit_predictor(lessons(3000, 2.0))
    new = lessons(4000, 2.0, seed=1)
    scores = [predictor.probability(each.features) for each in new]
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        bin_ = [
            (score, each.helps) for score, each in zip(scores, new, strict=True) if low <= score < low + 0.2
        ]
        assert len(bin_) > 100
        assert sum(helps for _, helps in bin_) / len(bin_) == pytest.approx(
            sum(score for score, _ in bin_) / len(bin_), abs=0.06
        )
    weights = dict(zip(predictor.names, predictor.weights, strict=True))
    assert weights["told"] > 10 * abs(weights["noise"])
    assert weights["always"] == 0


def test_a_predictor_that_learns_nothing_stays_near_the_base_rate() -> None:
    for seed in range(5):
        predictor = fit_predictor(lessons(200, 0.0, seed))
        made = lessons(200, 0.0, seed)
        rate = sum(each.helps for each in made) / len(made)
        assert all(abs(predictor.probability(each.features) - rate) < 0.2 for each in made)


def test_too_few_of_a_class_give_one_probability() -> None:
    helpful = [Lesson({"x": 1.0}, True, number % 5) for number in range(30)]
    harmful = [Lesson({"x": 0.0}, False, number % 5) for number in range(LEAST_ROWS - 1)]
    predictor = fit_predictor([*helpful, *harmful])
    assert predictor.why_constant == f"30 captions help and 9 harm: {LEAST_ROWS} of each are needed"
    assert predictor.probability({"x": 0.0}) == predictor.probability({}) == pytest.approx(31 / 41)
    assert fit_predictor([]).probability({}) == 0.5


def test_lessons_of_one_fold_give_one_probability() -> None:
    made = [Lesson({"x": float(number % 2)}, number % 2 == 0, 0) for number in range(40)]
    assert fit_predictor(made).why_constant == "all that help, or all that harm, are of one group of samples"


def test_a_predictor_has_not_seen_its_fold() -> None:
    made = lessons(200, 1.0)
    turned = [
        Lesson(each.features, not each.helps if each.fold == 2 else each.helps, each.fold) for each in made
    ]
    before, after = cross_fit(made, 5), cross_fit(turned, 5)
    assert before[2] == after[2]
    assert all(before[fold] != after[fold] for fold in (0, 1, 3, 4))


def test_what_shares_a_key_is_in_one_fold() -> None:
    rows = [sample(f"s{number:03}", groups=Groups(products=(f"p{number // 2}",))) for number in range(100)]
    rows.append(sample("u1", groups=Groups(products=("p0",), user="x"), split="test"))
    rows.append(sample("u2", groups=Groups(user="x")))
    folds = fold_samples(rows, 5, 0)
    assert all(folds.of[f"s{2 * pair:03}"] == folds.of[f"s{2 * pair + 1:03}"] for pair in range(50))
    assert folds.of["u1"] == folds.of["u2"] == folds.of["s000"]
    assert folds.group["u1"] == folds.group["s001"]
    assert set(folds.of.values()) == set(range(5))
    assert folds.cut == 0
    assert fold_samples(rows[::-1], 5, 0) == folds


def test_a_group_that_holds_all_is_cut_between_users() -> None:
    rows = [
        sample(f"s{number:03}", groups=Groups(products=("bestseller", f"p{number}"), user=f"u{number // 4}"))
        for number in range(100)
    ]
    folds = fold_samples(rows, 5, 0)
    assert folds.cut > 0
    assert len(set(folds.of.values())) > 1
    for user in range(25):
        assert len({folds.group[f"s{4 * user + number:03}"] for number in range(4)}) == 1


def reported(scores: dict[str, float], helps: dict[str, bool]) -> dict[str, object]:
    items = [caption(sample(name)) for name in scores]
    decided = {
        (name, 0): Decision(
            scores[name] > 0.5,
            scores[name],
            utility=1.0 if helps[name] else -2.0,
            effect="helpful" if helps[name] else "harmful",
        )
        for name in scores
    }
    folds = Folds(
        {name: number % 2 for number, name in enumerate(scores)}, {name: name for name in scores}, 0
    )
    return report_of(items, decided, folds, 0.1)


def test_the_report_of_a_predictor_that_knows() -> None:
    names = [f"s{number}" for number in range(40)]
    helps = {name: number % 4 < 2 for number, name in enumerate(names)}
    report = reported({name: 0.9 if helps[name] else 0.1 for name in names}, helps)
    assert report["effects"] == {
        "category_classification": {"helpful": 20, "harmful": 20, "redundant": 0, "useless": 0}
    }
    assert report["kept"] == {"category_classification": {"train": 0.5}}
    assert report["utility"] == {
        "category_classification": {"all": -0.5, "kept": 0.5, "by_right_answer": 0.5}
    }
    quality = report["predictor"]
    assert isinstance(quality, dict)
    assert (quality["auc"], quality["brier"], quality["brier_of_base_rate"]) == (1.0, 0.01, 0.25)
    assert quality["log_loss"] == pytest.approx(-math.log(0.9), abs=1e-4)
    assert quality["better_than_chance"]


def test_the_report_says_that_a_predictor_knows_nothing() -> None:
    generator = random.Random(3)
    names = [f"s{number}" for number in range(60)]
    report = reported(
        {name: generator.random() for name in names}, {name: generator.random() < 0.5 for name in names}
    )
    assert any("no better than chance" in line and "judge=all" in line for line in in_words(report))


def test_the_report_of_captions_that_all_help() -> None:
    report = reported({"a": 0.8, "b": 0.9}, {"a": True, "b": True})
    assert "cannot be told" in list(in_words(report))[-1]
