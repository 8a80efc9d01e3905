"""Samples in words."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.core.errors import RenderError
from mmecinstruct.core.package_data import templates_folder
from mmecinstruct.core.templating import environment, rendered
from mmecinstruct.schemas.samples import UNRENDERED
from mmecinstruct.tasks import TASKS, InstructionSettings
from mmecinstruct.tasks.render import RENDERED, render_samples, template_hashes

SCHEMA = pa.schema(
    [
        *UNRENDERED,
        ("split", pa.string()),
        ("setting", pa.string()),
        ("image_roles", pa.list_(pa.string())),
    ]
)

PROMISES = re.compile(r"\b(?:pictures?|pictured|images?|photos?|shown|shows?)\b", re.IGNORECASE)

FIELDS: dict[str, Any] = {
    "answerability_prediction": {"document": ["It fits."], "question": "Does it fit?"},
    "category_classification": {"title": "Blue mug"},
    "product_relation_prediction": {"product 1": "Mug", "product 2": "Cup"},
    "product_substitute_identification": {"product title": "Blue mug", "query": "red mug"},
    "multiclass_product_classification": {"product title": "Blue mug", "query": "red mug"},
    "sentiment_analysis": {"review": "Came like this."},
    "sequential_recommendation": ["Mug", "Cup (Acme)", "Bowl"],
}
OPTIONS = {
    "category_classification": ["Mugs", "Cups: small", "Bowls"],
    "sequential_recommendation": ["Plate", "Fork"],
}
OUTPUTS = {"answerability_prediction": "yes", "product_substitute_identification": "no"}


def sample(task: str, number: int = 0, split: str = "train", **columns: Any) -> dict[str, Any]:
    row = {
        "id": f"{number:024x}",
        "task": task,
        "fields": json.dumps(FIELDS[task], ensure_ascii=False),
        "options": OPTIONS.get(task, []),
        "output": OUTPUTS.get(task, "B"),
        "split": split,
        "setting": "OOD" if split == "test_ood" else "IND",
        "images": [{"role": "product"}],
        "image_roles": ["product"],
    }
    return row | columns


def render(rows: list[dict[str, Any]], held_out: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    table = render_samples(
        pa.Table.from_pylist(rows, schema=SCHEMA), InstructionSettings(held_out=held_out), seed
    )
    assert table.schema.equals(RENDERED)
    result: list[dict[str, Any]] = table.to_pylist()
    return result


@pytest.mark.parametrize("task", TASKS)
def test_each_task_in_words(task: str) -> None:
    (row,) = render([sample(task)])
    if task == "sequential_recommendation":
        assert json.loads(row["input"]) == ["1st: Mug", "2nd: Cup (Acme)", "3rd: Bowl"]
    else:
        assert json.loads(row["input"]) == FIELDS[task]
    letters = "".join(option[0] for option in row["options"])
    assert (
        letters
        == {
            "answerability_prediction": "",
            "category_classification": "ABC",
            "product_relation_prediction": "ABC",
            "product_substitute_identification": "",
            "multiclass_product_classification": "ABCD",
            "sentiment_analysis": "ABCDE",
            "sequential_recommendation": "AB",
        }[task]
    )
    assert all(option[1:3] == ": " for option in row["options"])
    assert row["output"] == OUTPUTS.get(task, "B")


def test_keys_stand_in_the_order_a_reader_expects() -> None:
    texts = {task: render([sample(task)])[0]["input"] for task in TASKS}
    assert texts["answerability_prediction"] == '{"question": "Does it fit?", "document": ["It fits."]}'
    assert texts["multiclass_product_classification"] == ('{"query": "red mug", "product title": "Blue mug"}')


def test_candidates_keep_their_order_and_label_sets_the_references() -> None:
    assert render([sample("category_classification")])[0]["options"] == [
        "A: Mugs",
        "B: Cups: small",
        "C: Bowls",
    ]
    sentiments = render([sample("sentiment_analysis")])[0]["options"]
    assert (sentiments[0], sentiments[4]) == ("A: very positive", "E: very negative")
    relevance = render([sample("multiclass_product_classification")])[0]["options"]
    # The first word distinguishes the options: a small model that answers in words learns it from few samples.
    assert [one.split()[1] for one in relevance] == ["exact", "substitute", "complement", "irrelevant"]
    relations = render([sample("product_relation_prediction")])[0]["options"]
    assert [one.split()[1] for one in relations] == ["bought", "viewed", "similar"]


@pytest.mark.parametrize("held_out", [1, 5])
def test_only_test_rows_have_the_held_out_instruction(held_out: int) -> None:
    task = "sentiment_analysis"
    splits = ("train", "validation", "test", "test_ood")
    rows = render([sample(task, number, splits[number % 4]) for number in range(400)], held_out)
    used = Counter(row["instruction_id"] for row in rows)
    assert {one.split("/")[1][0] for one in used} == set("012345") - {str(held_out)}
    assert min(used.values()) > 50  # 80 expected
    for number, row in enumerate(rows):
        if splits[number % 4].startswith("test"):
            assert row["instruction_unseen_id"].startswith(f"{task}/{held_out}@")
            assert row["instruction_unseen"] not in {other["instruction"] for other in rows}
        else:
            assert row["instruction_unseen"] is None
            assert row["instruction_unseen_id"] is None


def test_an_instruction_id_names_task_number_and_content() -> None:
    (row,) = render([sample("category_classification")])
    task_and_number, digits = row["instruction_id"].split("@")
    content = (templates_folder() / f"instructions/{task_and_number}.j2").read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith(digits)
    assert len(digits) == 8
    template = environment().from_string(content.decode())
    assert rendered(template, {"images": "all"}) == row["instruction"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("held_out", [2, 5])
def test_an_instruction_promises_no_image_that_is_not_there(task: str, held_out: int) -> None:
    wanted = [{"role": "product 1"}, {"role": "product 2"}]
    rows = {
        count: render(
            [
                sample(task, number, "test", images=wanted, image_roles=["product 1", "product 2"][:count])
                for number in range(60)
            ],
            held_out,
        )
        for count in range(3)
    }
    for one, some, every in zip(*rows.values(), strict=True):
        assert not PROMISES.search(one["instruction"])
        assert not PROMISES.search(one["instruction_unseen"])
        assert PROMISES.search(every["instruction"])
        assert one["instruction_id"].split("@")[0] == every["instruction_id"].split("@")[0] + "-no-images"
        assert one["instruction_unseen_id"].startswith(f"{task}/{held_out}-no-images@")
        if task == "product_relation_prediction":
            assert not re.search(r"both pictures|pictures? of each|\bimages\b", some["instruction"])
            assert "-some-images@" in some["instruction_id"]
        else:
            assert some["instruction_id"] == every["instruction_id"]


def test_the_instruction_depends_on_id_and_seed_alone() -> None:
    rows = [sample("category_classification", number) for number in range(50)]
    together = render(rows)
    assert render(rows[::-1])[::-1] == together
    assert [render([row])[0] for row in rows[:5]] == together[:5]
    assert render(rows, seed=1) != together


def test_rows_of_several_tasks_keep_their_order() -> None:
    rows = [sample(list(TASKS)[number % 7], number) for number in range(21)]
    assert [row["id"] for row in render(rows)] == [row["id"] for row in rows]
    assert render([]) == []


@pytest.mark.parametrize(
    "text", ['"quoted" \\', "new\nline", "{{ x }}{% endraw %}", "<b>&amp;'", "ü 日本 😀", "\u2028"]
)
def test_nasty_texts_come_through(text: str) -> None:
    rows = [
        sample("category_classification", fields=json.dumps({"title": text}), options=[text, "x"]),
        sample("sequential_recommendation", 1, fields=json.dumps([text]), options=["x", text]),
        sample("answerability_prediction", 2, fields=json.dumps({"question": text, "document": [text]})),
    ]
    one, two, three = render(rows)
    assert json.loads(one["input"]) == {"title": text}
    assert one["options"][0] == f"A: {text}"
    assert json.loads(two["input"]) == [f"1st: {text}"]
    assert json.loads(three["input"]) == {"question": text, "document": [text]}


@pytest.mark.parametrize(
    ("task", "output"),
    [
        ("sentiment_analysis", "F"),
        ("category_classification", "D"),
        ("answerability_prediction", "A"),
        ("product_substitute_identification", "maybe"),
    ],
)
def test_an_output_without_an_option_is_an_error(task: str, output: str) -> None:
    with pytest.raises(RenderError, match=f"{task} .*'{output}'"):
        render([sample(task, output=output)])


def test_a_missing_field_of_a_template_is_an_error() -> None:
    with pytest.raises(RenderError, match="review"):
        render([sample("sentiment_analysis", fields="{}")])


def test_template_hashes_cover_all_rendered_templates() -> None:
    hashes = template_hashes(["sentiment_analysis"])
    assert sorted(hashes) == [
        "inputs/sentiment_analysis.j2",
        *(f"instructions/sentiment_analysis/{number}.j2" for number in range(6)),
        "options/sentiment_analysis.j2",
    ]
    for name, digits in hashes.items():
        assert digits == hashlib.sha256((templates_folder() / name).read_bytes()).hexdigest()
    assert len(template_hashes(TASKS)) == 52
