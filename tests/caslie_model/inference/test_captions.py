"""Questions whose prompts show captions: variants, and what answers depend on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import caslie_model
from caslie_model.config.evaluation import PredictConfig
from caslie_model.config.presets import predict_config
from caslie_model.data.captions import with_captions
from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ConfigError, RunError
from caslie_model.evaluation.dry_run import estimate_evaluation
from caslie_model.inference import run
from caslie_model.inference.questions import Question, Shot
from caslie_model.inference.run import Answers, predict
from caslie_model.inference.variants import choose_other_images, in_other_orders, make_questions
from tests.caslie_model.captioned import caption_all, text_of

CC = "category_classification"


@pytest.fixture
def samples(captioned_data: Path) -> list[Sample]:
    return with_captions(read_samples(str(captioned_data), CC, "test"), str(captioned_data), "made")


def config(**fields: Any) -> PredictConfig:
    return predict_config(**{"model": "tiny", "data": "d", "out": "o", "captions": "made", **fields})


def asked_of(samples: list[Sample], shots: Any = None, **fields: Any) -> dict[tuple[str, str], Question]:
    """Return the questions to a model that takes no images."""
    asked = config(**fields)
    found = make_questions(asked, samples, None, shots or {}, choose_other_images(asked, samples, samples))
    by_key = {question.key: question for question in found}
    assert len(by_key) == len(found)
    return by_key


def test_captions_of_options_move_with_their_options(samples: list[Sample]) -> None:
    roles = ("history 1", "option A", "option C", "option C", "product")
    sample = replace(
        samples[0],
        options={letter: f"words {letter}" for letter in "ABCD"},
        image_roles=roles,
        captions=("of history 1", "of A", "first of C", None, "of the product"),
    )
    for images in ((), tuple(SampleImage(role, f"key of {role}") for role in roles)):
        for question in in_other_orders(Question(sample, images), 5, 0):
            asked, published = question.sample, dict(question.published)
            places = list(zip(asked.image_roles, asked.captions, strict=True))
            assert places[0] == ("history 1", "of history 1")
            assert places[-1] == ("product", "of the product")
            assert [role for role, _ in places[1:4]] == sorted(role for role, _ in places[1:4])
            for role, caption in places[1:4]:
                old = published[role.removeprefix("option ")]
                assert caption in {"A": ["of A"], "C": ["first of C", None]}[old]
            letter = next(new for new, old in published.items() if old == "C")
            assert [caption for role, caption in places if role == f"option {letter}"] == ["first of C", None]
            assert [image.role for image in question.images] == [role for role, _ in places][: len(images)]


def test_the_effect_of_images_is_that_of_captions_for_a_model_of_text(samples: list[Sample]) -> None:
    found = asked_of(samples, images_effect=True)
    with_images = [sample for sample in samples if sample.image_roles]
    assert len(found) == len(samples) + 2 * len(with_images)
    own = {sample.id: sample.captions for sample in with_images}
    others = {name: found[name, "images shuffled"].sample.captions for name in own}
    assert sorted(others.values()) == sorted(own.values())
    for sample in with_images:
        assert found[sample.id, ""].sample == sample
        assert found[sample.id, "images none"].sample == replace(sample, captions=())
        assert found[sample.id, "images shuffled"].sample == replace(sample, captions=others[sample.id])
        assert others[sample.id] != own[sample.id]
    shuffled = asked_of(samples, images="shuffled")
    assert {name: shuffled[name, ""].sample.captions for name in own} == others
    none = asked_of(samples, images="none")
    assert not any(question.sample.captions for question in none.values())


def test_samples_without_a_kept_caption_have_nothing_to_leave_out(samples: list[Sample]) -> None:
    kept = [replace(sample, captions=()) if number else sample for number, sample in enumerate(samples)]
    assert len(asked_of(kept, images_effect=True)) == len(samples) + 2
    none = [replace(sample, captions=()) for sample in samples]
    assert len(asked_of(none, images_effect=True)) == len(samples)


def test_without_captions_a_model_of_text_has_no_images_to_leave_out(samples: list[Sample]) -> None:
    with pytest.raises(ConfigError, match="images_effect: tiny is a text model"):
        make_questions(config(captions="none", images_effect=True), samples, None, {})


def test_demonstrations_lose_their_captions_with_their_images(samples: list[Sample]) -> None:
    shots = {sample.id: (Shot(samples[0]),) for sample in samples[1:3]}
    found = asked_of(samples[1:3], shots, images_effect=True, permute_options=1)
    for (_, variant), question in found.items():
        assert question.shots[0].sample.captions == (() if variant == "images none" else samples[0].captions)


def ask(data: Path, out: Path, overwrite: bool = False, **fields: Any) -> Answers:
    asked = {"model": "tiny", "tasks": ["cc"], "splits": ("test",), "device": "cpu", **fields}
    asked = {"scoring": "likelihood", "limit": 3, **asked}
    return predict(predict_config(data=str(data), out=out, **asked), overwrite)


def prompts(answers: Answers) -> dict[str, str]:
    return {name: record["prompt"] for (name, variant), record in answers.records.items() if not variant}


def test_an_adapter_is_asked_with_the_captions_of_its_training(
    captioned_data: Path, caption_adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ask(captioned_data, tmp_path / "own", model=str(caption_adapter))
    assert own.provenance["captions"] == "made/vote"
    assert "is asked without them" not in capsys.readouterr().err
    named = ask(captioned_data, tmp_path / "own", model=str(caption_adapter), captions="made/vote")
    assert named.records == own.records
    without = ask(captioned_data, tmp_path / "none", model=str(caption_adapter), captions="none")
    assert "captions" not in without.provenance
    assert "is asked without them" not in capsys.readouterr().err
    changed = [name for name, prompt in prompts(own).items() if prompts(without)[name] != prompt]
    assert changed == [sample.id for sample in own.samples if any(sample.captions)] != []
    # Its base model is asked the same.
    base = ask(captioned_data, tmp_path / "base", model=str(caption_adapter), base_only=True)
    assert prompts(base) == prompts(own)
    plan = predict_config(
        model=str(caption_adapter), data=str(captioned_data), out=tmp_path / "plan", tasks=["cc"]
    )
    assert estimate_evaluation(plan)["samples"] == 6


def test_answers_with_other_captions_do_not_mix(captioned_data: Path, tmp_path: Path) -> None:
    data, out = shutil.copytree(captioned_data, tmp_path / "data"), tmp_path / "out"
    first = ask(data, out, captions="made")
    assert ask(data, out, captions="made", limit=4).records.items() > first.records.items()
    for other in ("none", "made/vote"):
        with pytest.raises(RunError, match=r"another model or other settings \(captions differ\)"):
            ask(data, out, captions=other)
    caption_all(data, text=lambda sample, position: "other words")
    with pytest.raises(
        RunError, match=r"answers another prompt for sample .* the dataset changed, its captions"
    ):
        ask(data, out, captions="made")
    with pytest.raises(ConfigError, match=r"no captions 'mode' \(there are: made\)"):
        ask(data, tmp_path / "mode", captions="mode")


def test_the_effect_of_captions_is_measured(captioned_data: Path, tmp_path: Path) -> None:
    # The captions of the whole split are read, where a limit chooses few.
    effect = ask(captioned_data, tmp_path / "effect", captions="made", images_effect=True)
    shown = [sample.id for sample in effect.samples if sample.image_roles]
    assert {name for name, variant in effect.records if variant} == set(shown) != set()
    for images in ("none", "shuffled"):
        alone = ask(captioned_data, tmp_path / images, captions="made", images=images)
        for name in shown:
            assert prompts(alone)[name] == effect.records[name, f"images {images}"]["prompt"]


def test_demonstrations_show_captions_and_files_are_read_once(
    captioned_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[set[str]] = []
    questions: list[Question] = []

    def counted(samples: Any, *rest: Any) -> Any:
        found = with_captions(samples, *rest)
        reads.append({sample.split for sample in found})
        return found

    def kept(*arguments: Any) -> Any:
        questions.extend(make_questions(*arguments))
        return questions

    monkeypatch.setattr(run, "with_captions", counted)
    monkeypatch.setattr(run, "make_questions", kept)
    ask(captioned_data, tmp_path / "out", captions="made", shots=2)
    assert reads == [{"train"}]
    shots = [shot.sample for question in questions for shot in question.shots]
    assert len(shots) == 6
    for shot in shots:
        assert shot.captions == tuple(text_of(shot, n) for n in range(len(shot.image_roles)))
    assert any(shot.captions for shot in shots)
    questions.clear()
    ask(captioned_data, tmp_path / "none", captions="made", shots=2, images="none")
    assert not any(shot.sample.captions for question in questions for shot in question.shots)


def test_an_own_product_is_asked_without_captions_and_that_is_said_once(
    caption_adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    caslie_model.ask(caption_adapter, "cc", title="a mug", options=["red", "green"], device="cpu")
    said = capsys.readouterr().err
    assert said.count("was trained with captions (made/vote) and is asked without them") == 1


@pytest.fixture
def evaluated(captioned_data: Path, tmp_path: Path) -> Callable[..., Path]:
    def evaluate(name: str, **fields: Any) -> Path:
        asked = {"tasks": ["cc"], "splits": ["test"], "device": "cpu", "scoring": "likelihood", **fields}
        return caslie_model.evaluate("tiny", tmp_path / "data", tmp_path / name, **asked).folder

    shutil.copytree(captioned_data, tmp_path / "data")
    return evaluate


def test_what_was_answered_is_scored_and_compared_without_captions(
    evaluated: Callable[..., Path], tmp_path: Path
) -> None:
    own, plain = evaluated("own", captions="made"), evaluated("plain")
    assert "captions `made` in the prompts" in (own / "metrics.md").read_text()
    assert "captions" not in (plain / "metrics.md").read_text()
    shutil.rmtree(tmp_path / "data" / "captions")
    for captions in ({}, {"captions": "made"}):
        again = evaluated(f"again{len(captions)}", predictions=own, **captions)
        figures = [json.loads((folder / "metrics.json").read_text()) for folder in (own, again)]
        assert figures[0]["results"] == figures[1]["results"]
        assert figures[1]["provenance"]["captions"] == "made"
    found = caslie_model.compare(own, plain)
    models = [each["model"] for each in found.content["models"]]
    assert models == ["tiny (likelihood, captions made)", "tiny (likelihood)"]


def test_figures_of_captions_by_right_answers_say_so(evaluated: Callable[..., Path], tmp_path: Path) -> None:
    """An ablation must not be taken for a result."""
    caslie_model.judge("made", tmp_path / "data", judge="all")
    kept = tmp_path / "data" / "captions" / "made" / "kept"
    shutil.copytree(kept / "all", kept / "gold-135m")
    folders = [evaluated(name, captions=f"made/{name}") for name in ("gold-135m", "all")]
    said = [(folder / "metrics.md").read_text() for folder in folders]
    assert "chosen by the right answers (an ablation, no result)" in said[0]
    assert "chosen by the right answers" not in said[1]
    models = [each["model"] for each in caslie_model.compare(*folders).content["models"]]
    assert ["chosen by the right answers" in model for model in models] == [True, False]
