from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.presets import predict_config
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ConfigError
from caslie_model.inference.questions import Question
from caslie_model.inference.variants import choose_other_images, in_other_orders, make_questions
from mmecinstruct.core.errors import DatasetError

Images = dict[str, tuple[SampleImage, ...]]


@pytest.fixture(scope="module")
def samples(dataset: Path) -> list[Sample]:
    """All but the last sample have an image."""
    found = read_samples(str(dataset), "sentiment_analysis", "test")
    return [*(replace(sample, image_roles=("product",)) for sample in found[:-1]), found[-1]]


def config(**fields: Any) -> PredictConfig:
    return predict_config(**{"model": "tiny", "data": "d", "out": "o", **fields})


def shown(samples: list[Sample]) -> Images:
    return {
        sample.id: tuple(SampleImage(role, f"key of {sample.id}") for role in sample.image_roles)
        for sample in samples
    }


def asked_of(config: PredictConfig, samples: list[Sample], count: int | None = None) -> list[Question]:
    asked = samples[:count]
    return make_questions(config, asked, shown(samples), {}, choose_other_images(config, samples, asked))


def test_each_order_is_another_one(samples: list[Sample]) -> None:
    for sample in samples:
        orders = ["".join(dict(each.published).values()) for each in in_other_orders(Question(sample), 6, 0)]
        assert len({*orders, "ABCDE"}) == 7
        assert all(sorted(order) == list("ABCDE") for order in orders)
        more = in_other_orders(Question(sample), 9, 0)
        assert ["".join(dict(each.published).values()) for each in more][:6] == orders
        assert [each.variant for each in in_other_orders(Question(sample), 2, 0)] == ["order 1", "order 2"]
    firsts = {next(in_other_orders(Question(sample), 1, 0)).published for sample in samples}
    assert len(firsts) > len(samples) / 2
    other = [
        next(in_other_orders(Question(sample), 1, seed)).published for seed in (0, 1) for sample in samples
    ]
    assert other[: len(samples)] != other[len(samples) :]


def test_letters_right_answer_and_published_labels_follow_the_options(samples: list[Sample]) -> None:
    for sample in samples:
        for asked in in_other_orders(Question(sample), 4, 0):
            published = dict(asked.published)
            assert list(asked.sample.options) == list(sample.options)
            for letter, words in asked.sample.options.items():
                assert words == sample.options[published[letter]]
            assert published[asked.sample.output] == sample.output
            assert asked.sample.id == sample.id


def test_images_of_options_move_with_their_options(samples: list[Sample]) -> None:
    roles = ("history 1", "option A", "option C", "option D", "product")
    images = tuple(SampleImage(role, f"of {role}") for role in roles)
    question = Question(replace(samples[0], image_roles=roles), images)
    for asked in in_other_orders(question, 5, 0):
        published = dict(asked.published)
        found = [image.role for image in asked.images]
        assert found == list(asked.sample.image_roles)
        assert (found[0], found[-1]) == ("history 1", "product")
        assert found[1:4] == sorted(found[1:4])
        for image in asked.images[1:4]:
            assert image.key == f"of option {published[image.role.removeprefix('option ')]}"


def test_few_options_have_few_orders_and_yes_no_none(samples: list[Sample]) -> None:
    two = replace(samples[0], options={"A": "red", "B": "blue"}, output="B")
    assert [each.published for each in in_other_orders(Question(two), 5, 0)] == [(("A", "B"), ("B", "A"))]
    for options, output in (({}, "yes"), ({"A": "red"}, "A")):
        few = replace(samples[0], options=options, output=output)
        assert list(in_other_orders(Question(few), 5, 0)) == []


def test_variants_change_one_thing_each(samples: list[Sample]) -> None:
    images = shown(samples)
    asked = config(instruction="both", images_effect=True, permute_options=2)
    questions = asked_of(asked, samples)
    variants = ["", "instruction unseen", "order 1", "order 2", "images none", "images shuffled"]
    by_key = {question.key: question for question in questions}
    assert len(by_key) == len(questions) == len(samples) * 6 - 2
    for sample in samples[:-1]:
        found = {variant: by_key[sample.id, variant] for variant in variants}
        assert found[""] == Question(sample, images[sample.id])
        assert found["instruction unseen"].sample == replace(
            sample, instruction=sample.instruction_unseen or ""
        )
        assert found["instruction unseen"].images == images[sample.id]
        assert found["images none"] == Question(sample, (), "images none")
        [other] = found["images shuffled"].images
        assert (other.role, other.key != images[sample.id][0].key) == ("product", True)
        assert found["order 1"].images == images[sample.id]
    # Without images there is nothing to leave out.
    assert [q.variant for q in questions if q.sample.id == samples[-1].id] == variants[:4]


def test_the_own_way_of_asking_follows_the_settings(samples: list[Sample]) -> None:
    images = shown(samples)
    unseen = make_questions(config(instruction="unseen"), samples, images, {})
    assert {question.sample.instruction for question in unseen} == {samples[0].instruction_unseen}
    assert {question.variant for question in unseen} == {""}
    none = make_questions(config(images="none"), samples, images, {})
    assert {question.images for question in none} == {()}
    shuffled = asked_of(config(images="shuffled"), samples)
    effect = asked_of(config(images_effect=True), samples)
    moved = {q.sample.id: q.images for q in effect if q.variant == "images shuffled"}
    assert {q.sample.id: q.images for q in shuffled if q.images} == moved


def test_a_limit_changes_no_images_of_other_samples(samples: list[Sample]) -> None:
    asked = config(images_effect=True)
    few, all_of_them = asked_of(asked, samples, 3), asked_of(asked, samples)
    assert len(few) == 9
    assert all_of_them[:9] == few


def test_impossible_variants_are_errors(samples: list[Sample]) -> None:
    for fields, said in (
        ({"images_effect": True}, "images_effect: tiny is a text model"),
        ({"images": "none"}, "images=none: tiny is a text model"),
    ):
        with pytest.raises(ConfigError, match=said):
            make_questions(config(**fields), samples, None, {})
    with pytest.raises(ConfigError, match="leave out `images`"):
        config(images_effect=True, images="none")
    without = [replace(samples[0], instruction_unseen=None)]
    with pytest.raises(DatasetError, match="has no instruction_unseen"):
        make_questions(config(instruction="unseen"), without, None, {})
    assert len(make_questions(config(instruction="both"), without, None, {})) == 1
