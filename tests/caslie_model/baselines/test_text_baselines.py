"""The baselines of text give what the same pipelines of scikit-learn give, written out by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from caslie_model.baselines.baseline import FitData, Scorer
from caslie_model.baselines.classifiers import LEAVES, STRENGTHS
from caslie_model.baselines.known import BASELINES
from caslie_model.baselines.scores import in_one_thread
from caslie_model.data.samples import InputField, Sample

PSI, PRP, CC, SA = (
    "product_substitute_identification",
    "product_relation_prediction",
    "category_classification",
    "sentiment_analysis",
)
TEXT = ("title-overlap", "options-only", "tfidf", "boosting")
THINGS = ("mug", "lamp", "chair", "rug", "kettle", "clock", "shelf", "pillow")
COLOURS = ("red", "green", "blue", "white")


def make(task: str, number: int, options: Sequence[str], output: str, **fields: str) -> Sample:
    return Sample(
        id=f"{task}-{number:04d}",
        task=task,
        split="train",
        category="Home",
        instruction="Answer.",
        instruction_unseen=None,
        fields=tuple(InputField(name.replace("_", " "), (text,), False) for name, text in fields.items()),
        options=dict(zip("ABCDEFGH", options, strict=False)),
        output=output,
        visual_critical=None,
        text_only_accuracy=None,
    )


def substitutes(start: int, count: int) -> list[Sample]:
    """Queries and titles: a substitute is of the same kind; some agree in size too."""
    draw = random.Random(start)
    made = []
    for number in range(start, start + count):
        thing, colour = draw.choice(THINGS), draw.choice(COLOURS)
        same = number % 5 < 2
        other = thing if same or draw.random() < 0.2 else draw.choice(THINGS)
        made.append(
            make(
                PSI,
                number,
                (),
                "yes" if same else "no",
                query=f"{colour} {thing} {number % 4} inch",
                product_title=f"{draw.choice(COLOURS)} {other}, {number % 3} inch, no {number}",
            )
        )
    return made


def categories(start: int, count: int) -> list[Sample]:
    """Titles and four categories each; the word of the title that tells is not that of the category."""
    draw = random.Random(start)
    names = {"mug": "Cups", "lamp": "Lamps", "chair": "Seats", "rug": "Carpets", "kettle": "Kettles"}
    made = []
    for number in range(start, start + count):
        thing = draw.choice(list(names))
        others = [name for name in names.values() if name != names[thing]]
        offered = [*draw.sample(others, 3), names[thing]]
        draw.shuffle(offered)
        title = f"{draw.choice(COLOURS)} {thing} of {draw.choice(THINGS)} works, {number % 7} inch"
        made.append(make(CC, number, offered, "ABCD"[offered.index(names[thing])], title=title))
    return made


def fit(
    name: str, train: Sequence[Sample], validation: Sequence[Sample] = (), seed: int = 0, **changes: Any
) -> Scorer:
    return BASELINES[name].fit(FitData(train[0].task, train, validation, seed, **changes))


def assert_equal(scores: Any, expected: Sequence[Sequence[float]], tolerance: float = 1e-6) -> None:
    """Compare the scores of each sample's labels with log-probabilities, [samples][labels]."""
    for found, right in zip(scores, expected, strict=True):
        assert list(found.values()) == pytest.approx(list(right), abs=tolerance)


def words_and_characters(texts: Sequence[str]) -> tuple[TfidfVectorizer, TfidfVectorizer]:
    word = r"[^\W]+"
    return (
        TfidfVectorizer(token_pattern=word, ngram_range=(1, 2), sublinear_tf=True).fit(sorted(set(texts))),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(sorted(set(texts))),
    )


def text(sample: Sample, place: int) -> str:
    return sample.fields[place].texts[0]


def share(one: str, other: str) -> float:
    words = [set(each.lower().replace(",", " ").split()) for each in (one, other)]
    return len(words[0] & words[1]) / len(words[0])


def pair_of(
    vectors: Sequence[TfidfVectorizer], samples: Sequence[Sample]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the dense matrices of query and title, and how far they agree."""
    blocks = [
        vector.transform([text(each, place) for each in samples]).toarray()
        for place in (0, 1)
        for vector in vectors
    ]
    agree = [
        [
            float(blocks[0][row] @ blocks[2][row]),
            float(blocks[1][row] @ blocks[3][row]),
            share(text(sample, 0), text(sample, 1)),
            share(text(sample, 1), text(sample, 0)),
        ]
        for row, sample in enumerate(samples)
    ]
    return blocks, np.array(agree)


def test_tfidf_of_fixed_answers_is_the_pipeline_of_scikit_learn() -> None:
    train, asked = substitutes(0, 80), substitutes(1000, 20)
    vectors = words_and_characters([text(each, place) for each in train for place in (0, 1)])

    def features(samples: Sequence[Sample]) -> np.ndarray:
        blocks, agree = pair_of(vectors, samples)
        return np.hstack([*blocks, blocks[0] * blocks[2], agree])

    model = LogisticRegression(C=STRENGTHS[0], max_iter=500)
    model.fit(features(train), [each.output for each in train])
    expected = model.predict_log_proba(features(asked))[:, ::-1]  # yes before no
    assert_equal(fit("tfidf", train)(asked), expected.tolist(), 1e-4)


def similar(vectors: Sequence[TfidfVectorizer], train: Sequence[Sample], samples: Sequence[Sample]) -> Any:
    """Return numbers of each option of each sample, worked out one after the other."""
    rows = []
    known = [vector.transform([text(each, 0) for each in train]).toarray() for vector in vectors]
    answers = [each.options[each.output] for each in train]
    for sample in samples:
        for option in sample.options.values():
            row: list[float] = []
            for vector, inputs in zip(vectors, known, strict=True):
                one, other = vector.transform([option, text(sample, 0)]).toarray()
                centre = sum(
                    (
                        inputs[place]
                        for place, (each, answer) in enumerate(zip(train, answers, strict=True))
                        if answer == option and each.id != sample.id
                    ),
                    np.zeros(inputs.shape[1]),
                )
                length = float(np.linalg.norm(centre))
                near = float(other @ centre) / length if length > 1e-6 else 0.0
                cosine = float(one @ other)
                # The input is one text: the nearest entry and the last one are itself.
                row += [cosine, near, cosine, cosine]
            rows.append([*row, share(option, text(sample, 0))])
    return np.array(rows)


def options_of(samples: Sequence[Sample]) -> list[str]:
    return [option for sample in samples for option in sample.options.values()]


def is_right(samples: Sequence[Sample]) -> list[bool]:
    return [label == sample.output for sample in samples for label in sample.labels]


def over_options(odds: np.ndarray, samples: Sequence[Sample]) -> list[list[float]]:
    values = odds.reshape(len(samples), -1)
    return (values - np.log(np.exp(values).sum(axis=1, keepdims=True))).tolist()


def test_tfidf_of_own_options_is_the_pipeline_of_scikit_learn() -> None:
    train, asked = categories(0, 60), categories(1000, 20)
    vectors = words_and_characters([text(each, 0) for each in train] + options_of(train))

    def features(samples: Sequence[Sample]) -> np.ndarray:
        options = vectors[0].transform(options_of(samples)).toarray()
        inputs = vectors[0].transform([text(each, 0) for each in samples for _ in each.options]).toarray()
        return np.hstack([options, options * inputs, similar(vectors, train, samples)])

    model = LogisticRegression(C=STRENGTHS[0], max_iter=500).fit(features(train), is_right(train))
    expected = over_options(model.decision_function(features(asked)), asked)
    assert_equal(fit("tfidf", train)(asked), expected, 1e-3)


def test_boosting_of_own_options_is_the_pipeline_of_scikit_learn() -> None:
    train, asked = categories(0, 60), categories(1000, 20)
    vectors = words_and_characters([text(each, 0) for each in train] + options_of(train))

    def features(samples: Sequence[Sample]) -> np.ndarray:
        # No option has a number.
        more = [[len(each), len(each.split()), 0, -1, 0] for each in options_of(samples)]
        return np.hstack([similar(vectors, train, samples), np.array(more, dtype=float)])

    model = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.05, max_leaf_nodes=LEAVES[0], early_stopping=False, random_state=0
    ).fit(np.round(features(train), 12), is_right(train))
    expected = over_options(model.decision_function(np.round(features(asked), 12)), asked)
    scores = fit("boosting", train)(asked)
    best = [max(found, key=lambda label: found[label]) for found in scores]
    assert best == ["ABCD"[int(np.argmax(row))] for row in expected]
    assert_equal(scores, expected, 0.05)


def test_options_only_is_a_regression_on_words_place_and_length() -> None:
    train, asked = categories(0, 60), categories(1000, 20)
    words, _ = words_and_characters(options_of(train))

    def features(samples: Sequence[Sample]) -> np.ndarray:
        rows = []
        for sample in samples:
            lengths = [len(option) for option in sample.options.values()]
            for place, length in enumerate(lengths):
                at = [float(place == each) for each in range(4)]
                rows.append(
                    [
                        *at,
                        length / np.mean(lengths),
                        float(length == max(lengths)),
                        float(length == min(lengths)),
                    ]
                )
        return np.hstack([words.transform(options_of(samples)).toarray(), np.array(rows)])

    model = LogisticRegression(C=STRENGTHS[0], max_iter=500).fit(features(train), is_right(train))
    expected = over_options(model.decision_function(features(asked)), asked)
    assert_equal(fit("options-only", train)(asked), expected, 1e-4)
    # Another input is no other question to it.
    others = [
        replace(each, fields=(InputField("title", (f"x {place}",), False),))
        for place, each in enumerate(asked)
    ]
    assert fit("options-only", train)(asked) == fit("options-only", train)(others)


def test_title_overlap_chooses_a_threshold_of_shared_words_on_train() -> None:
    train, asked = substitutes(0, 80), substitutes(1000, 20)
    shares = [[[share(text(each, 0), text(each, 1))] for each in part] for part in (train, asked)]
    tree = DecisionTreeClassifier(max_leaf_nodes=2).fit(shares[0], [each.output for each in train])
    assert tree.tree_.n_leaves == 2
    expected = tree.predict(shares[1]).tolist()
    scores = fit("title-overlap", train)(asked)
    assert [max(found, key=lambda label: found[label]) for found in scores] == expected
    assert all(sum(map(math.exp, found.values())) == pytest.approx(1) for found in scores)


def test_title_overlap_takes_the_option_that_shares_most_words() -> None:
    train = categories(0, 5)
    asked = make(
        CC, 900, ("Tea Sets", "Red Cups", "Lamps", "Kettles"), "A", title="A kettle and two red cups"
    )
    (scores,) = fit("title-overlap", train)([asked])
    assert max(scores, key=lambda label: scores[label]) == "B"


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("samples", [substitutes, categories])
class TestWhatChangesNoScore:
    def test_order_of_rows_and_batch(self, name: str, samples: Callable[[int, int], list[Sample]]) -> None:
        train, validation, asked = samples(0, 60), samples(500, 20), samples(1000, 12)
        scores = fit(name, train, validation)(asked)
        shuffled = random.Random(1).sample(train, len(train)), validation[::-1]
        scorer = fit(name, *shuffled)
        assert [scorer([each])[0] for each in asked] == scores
        assert scorer(asked[::-1]) == scores[::-1]
        assert scorer([]) == []

    def test_number_of_threads(self, name: str, samples: Callable[[int, int], list[Sample]]) -> None:
        train, asked = samples(0, 60), samples(1000, 12)
        found = []
        for threads in (1, 4):
            with threadpool_limits(threads):
                found.append(fit(name, train)(asked))
        assert found[0] == found[1]

    def test_right_answers_of_what_is_asked(
        self, name: str, samples: Callable[[int, int], list[Sample]]
    ) -> None:
        train, asked = samples(0, 60), samples(1000, 12)
        wrong = [
            replace(each, output=next(label for label in each.labels if label != each.output))
            for each in asked
        ]
        scorer = fit(name, train)
        assert scorer(asked) == scorer(wrong)

    def test_order_of_options(self, name: str, samples: Callable[[int, int], list[Sample]]) -> None:
        if name == "options-only":
            pytest.skip("knows the places of options")
        train, asked = samples(0, 60), samples(1000, 12)
        turned = [
            replace(each, options=dict(zip(each.options, reversed(list(each.options.values())), strict=True)))
            for each in asked
        ]
        scorer = fit(name, train)
        for one, other in zip(scorer(asked), scorer(turned), strict=True):
            if len(one) > 2:
                assert list(one.values()) == pytest.approx(list(other.values())[::-1])


def test_fit_and_scores_take_one_thread() -> None:
    seen: list[int] = []

    def look() -> None:
        seen.extend(pool["num_threads"] for pool in threadpool_info())

    def fit_and_look(data: FitData) -> Scorer:
        look()
        return lambda samples: [{} for _ in samples if look() is None]

    with threadpool_limits(2):
        in_one_thread(fit_and_look)(FitData(PSI, substitutes(0, 2), (), 0))(substitutes(0, 1))
        assert set(seen) == {1}
        assert {pool["num_threads"] for pool in threadpool_info()} == {2}


@pytest.mark.parametrize("name", ["tfidf", "boosting", "title-overlap"])
def test_an_answer_that_training_lacks_is_the_least_probable(name: str) -> None:
    options = ("bought together", "viewed together", "similar")
    draw = random.Random(3)
    train = [
        make(
            PRP,
            number,
            options,
            "AC"[number % 2],
            product_1=draw.choice(THINGS),
            product_2=f"{draw.choice(THINGS)} {'set' if number % 2 else 'box'}",
        )
        for number in range(60)
    ]
    for scores in fit(name, train)(train[:10]):
        assert min(scores, key=lambda label: scores[label]) == "B"
        assert scores["B"] < min(scores["A"], scores["C"])
        assert sum(map(math.exp, scores.values())) == pytest.approx(1)


@pytest.mark.parametrize("name", TEXT)
def test_one_answer_in_training_is_always_given(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    train = [replace(each, output="no") for each in substitutes(0, 3)]
    scores = fit(name, train)(substitutes(1000, 4))
    assert all(found["no"] > found["yes"] for found in scores)
    if name in ("tfidf", "boosting"):
        assert (
            "training knows one answer of product_substitute_identification only" in capsys.readouterr().err
        )


@pytest.mark.parametrize("name", TEXT)
def test_texts_without_words_leave_the_most_frequent_answer(name: str) -> None:
    train = [make(PSI, number, (), "no" if number else "yes", query="!", title="…") for number in range(4)]
    assert all(found["no"] > found["yes"] for found in fit(name, train)(train))


@pytest.mark.parametrize("name", TEXT)
def test_a_field_that_is_missing_is_empty(name: str) -> None:
    train = substitutes(0, 30)
    assert len(fit(name, train)([replace(train[0], fields=())])) == 1


def test_the_setting_is_that_of_the_least_loss_on_validation(capsys: pytest.CaptureFixture[str]) -> None:
    train, validation = substitutes(0, 60), substitutes(500, 20)
    scores = fit("tfidf", train, validation)(validation)
    said = capsys.readouterr().err
    loss = -sum(found[each.output] for found, each in zip(scores, validation, strict=True)) / 20
    assert f"of 4 settings by the log loss on validation, {loss:.3f}" in said
    # Without the chance to choose, the first one is taken, which is no better.
    first = fit("tfidf", train)(validation)
    assert "tfidf: C=1: there are no validation samples to choose by" in capsys.readouterr().err
    assert loss <= -sum(found[each.output] for found, each in zip(first, validation, strict=True)) / 20


def test_all_that_are_tuned_get_the_same_number_of_trials() -> None:
    assert len(STRENGTHS) == len(LEAVES) == 4
