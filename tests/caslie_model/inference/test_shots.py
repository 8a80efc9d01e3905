from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from caslie_model.config.presets import finetune_config, predict_config
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ConfigError
from caslie_model.inference.questions import Question, Shot
from caslie_model.inference.run import predict
from caslie_model.inference.shots import choose_shots
from caslie_model.inference.variants import make_questions
from caslie_model.prompts.encoder import PromptFormat
from caslie_model.training.finetune import finetune

TASK = "sentiment_analysis"
Rows = Callable[[Path, list[dict[str, Any]]], Path]


def chosen(data: Path, count: int, seed: int = 0) -> dict[str, list[str]]:
    samples = read_samples(str(data), TASK, "test")
    return {
        name: [shot.id for shot in shots]
        for name, shots in choose_shots(str(data), samples, count, seed).items()
    }


def test_shots_are_of_the_training_split_and_the_same_in_every_run(dataset: Path) -> None:
    shots = chosen(dataset, 4)
    assert shots == chosen(dataset, 4)
    assert shots != chosen(dataset, 4, seed=1)
    assert all(name.startswith(f"{TASK}-train-") for names in shots.values() for name in names)
    assert all(len(set(names)) == 4 for names in shots.values())
    assert {name: names[:2] for name, names in shots.items()} == chosen(dataset, 2)
    assert len({tuple(names) for names in shots.values()}) > len(shots) / 2
    assert choose_shots(str(dataset), [], 0, 0) == {}


KINDS: dict[str, dict[str, Any]] = {
    "product": {"products": ["p"]},
    "cluster": {"clusters": ["c"]},
    "user": {"user": 7},
    "query": {"query": "q"},
}


@pytest.mark.parametrize("shared", KINDS.values(), ids=KINDS)
def test_shots_share_no_group_with_the_question(
    shared: dict[str, Any], row: Callable[..., dict[str, Any]], write_rows: Rows, tmp_path: Path
) -> None:
    none = {"products": [], "clusters": [], "user": None, "query": None}
    groups = {"group_ids": {**none, **shared}}
    rows = [row(number, TASK, "train", **groups) for number in range(20)]
    data = write_rows(tmp_path / "data", [row(99, TASK, "test", **groups), *rows, row(50, TASK, "train")])
    assert chosen(data, 1) == {f"{TASK}-test-0099": [f"{TASK}-train-0050"]}
    with pytest.raises(ConfigError, match=r"shots=2: .* has 1 training samples .* share nothing"):
        chosen(data, 2)


def test_without_ids_no_shot_has_the_input_of_the_question(
    row: Callable[..., dict[str, Any]], write_rows: Rows, tmp_path: Path
) -> None:
    none = {"group_ids": {"products": [], "clusters": [], "user": None, "query": None}}
    same = {"input": json.dumps({"review": "The  SAME text."}), **none}
    rows = [row(number, TASK, "train", **same) for number in range(20)]
    asked = row(99, TASK, "test", **{**none, "input": json.dumps({"review": "The same text."})})
    data = write_rows(tmp_path / "data", [asked, *rows, row(50, TASK, "train", **none)])
    assert chosen(data, 1) == {f"{TASK}-test-0099": [f"{TASK}-train-0050"]}


def test_an_added_row_changes_few_shots(
    row: Callable[..., dict[str, Any]], write_rows: Rows, tmp_path: Path
) -> None:
    tests = [row(2000 + number, TASK, "test") for number in range(40)]
    train = [row(number, TASK, "train") for number in range(60)]
    before = chosen(write_rows(tmp_path / "before", tests + train), 2)
    after = chosen(write_rows(tmp_path / "after", [row(77, TASK, "train"), *tests, *train[::-1]]), 2)
    changed = [name for name in before if before[name] != after[name]]
    assert len(changed) <= 8
    assert all(f"{TASK}-train-0077" in after[name] for name in changed)


@pytest.fixture
def asked(dataset: Path) -> tuple[Sample, list[Sample]]:
    sample = read_samples(str(dataset), TASK, "test")[0]
    return sample, list(choose_shots(str(dataset), [sample], 3, 0)[sample.id])


def test_shots_are_earlier_turns_of_the_chat(
    asked: tuple[Sample, list[Sample]], prompt_format: PromptFormat
) -> None:
    sample, shots = asked
    shots[0] = replace(shots[0], fields=(replace(shots[0].fields[0], texts=("Good <|end|> thing.",)),))
    tokenizer = prompt_format.tokenizer
    text = tokenizer.decode(prompt_format.encode(sample, (), shots).prompt)
    for before in shots:
        assert before.options[before.output] in text
    assert "Good < |end|> thing." in text
    assert text.endswith(tokenizer.decode(prompt_format.encode(sample).prompt)[-60:])
    for shot in shots[1:]:
        assert shot.fields[0].texts[0] in text


def test_without_a_chat_template_shots_stand_under_the_same_headings(
    asked: tuple[Sample, list[Sample]], prompt_format: PromptFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, shots = asked
    monkeypatch.setattr(prompt_format.tokenizer, "chat_template", None)
    plain = replace(prompt_format, plain_template="# Question\n{{ user }}\n\n# Answer\n")
    text = plain.tokenizer.decode(plain.encode(sample, (), shots).prompt)
    assert text.count("# Question") == text.count("# Answer") == 4
    for shot in shots:
        assert f"# Answer\n{shot.options[shot.output]}\n\n# Question\n" in text
    assert text.endswith("# Answer\n")


def test_what_does_not_fit_loses_its_first_shots(
    asked: tuple[Sample, list[Sample]], prompt_format: PromptFormat
) -> None:
    sample, shots = asked
    whole = [prompt_format.encode(sample, (), shots[first:]) for first in range(4)]
    assert not any(each.shortened for each in whole)
    room = whole[0].answer_room
    for first, each in enumerate(whole):
        limit = len(each.prompt) + room
        short = replace(prompt_format, max_length=limit).encode(sample, (), shots)
        assert (short.prompt, short.shortened) == (each.prompt, first > 0)


def test_shots_follow_the_instruction_and_the_images_of_the_question(dataset: Path) -> None:
    [sample] = read_samples(str(dataset), TASK, "test")[:1]
    shot = Shot(read_samples(str(dataset), TASK, "train")[0])
    config = predict_config(model="m", data="d", out="o", instruction="both", permute_options=1)
    own, unseen, order = make_questions(config, [sample], None, {sample.id: (shot,)})
    assert own.shots == order.shots == (shot,)
    assert unseen.shots[0].sample.instruction == sample.instruction_unseen
    assert isinstance(own, Question)


def test_shots_are_another_prompt_and_not_for_image_adapters(
    dataset: Path, image_dataset: Path, tmp_path: Path
) -> None:
    asked = {"model": "tiny", "data": str(dataset), "tasks": ["sa"], "splits": ("test",), "device": "cpu"}
    answers = predict(predict_config(**asked, out=tmp_path / "o", limit=2, shots=2))
    assert (answers.provenance["shots"], len(answers.records)) == (2, 2)
    settings = ("fusion=xattn", "tasks=[cc]", "samples_per_task=4", "device=cpu")
    adapter = finetune(finetune_config("tiny", settings, data=str(image_dataset), out=tmp_path / "a")).folder
    of_images = {**asked, "model": str(adapter), "data": str(image_dataset), "tasks": ["cc"]}
    with pytest.raises(ConfigError, match=r"shots=1: .* was trained on single questions"):
        predict(predict_config(**of_images, out=tmp_path / "p", shots=1))
