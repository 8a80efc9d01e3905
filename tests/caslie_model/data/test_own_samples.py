from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from caslie_model.data.images import SampleImage
from caslie_model.data.own_samples import (
    image_roles,
    own_input,
    own_options,
    own_sample,
    own_task,
    training_options,
)
from caslie_model.data.samples import parse_input, split_options
from caslie_model.errors import ConfigError
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.schemas.samples import UNRENDERED
from mmecinstruct.tasks import TASKS, InstructionSettings
from mmecinstruct.tasks.render import render_samples

TEXTS: dict[str, dict[str, list[str]]] = {
    "ap": {"question": ["Is it heavy?"], "review": ["It is light.", "A nice lid."]},
    "cc": {"title": ["A lovely mug"]},
    "prp": {"title": ["A lovely mug", "A bright lamp"]},
    "psi": {"query": ["red mug"], "title": ["A lovely mug"]},
    "mpc": {"query": ["red mug"], "title": ["A lovely mug"]},
    "sa": {"review": ["It broke at once."]},
    "sr": {"history": ["A lovely mug", "A bright lamp"]},
}
OPTIONS = {"cc": ["mugs", "lamps", "a\nred  rug"], "sr": ["Mug set", "Lamp set"]}


def published(short: str, content: Any, options: list[str], roles: list[str], wanted: int) -> dict[str, Any]:
    """Return the question as a build renders it with its base instruction, which hash draws give to some ids."""
    task = own_task(short)
    images = [{"role": f"r{i}", "product_id": "p", "image_urls": []} for i in range(wanted)]
    rows = [
        {
            "id": f"{number}",
            "task": task.name,
            "fields": json.dumps(content),
            "options": options,
            "output": "yes" if task.is_yes_no else "A",
            "images": images,
        }
        for number in range(60)
    ]
    table = pa.Table.from_pylist(rows, schema=UNRENDERED)
    table = table.append_column("split", pa.array(["train"] * len(rows)))
    table = table.append_column("image_roles", pa.array([roles] * len(rows), pa.list_(pa.string())))
    rendered = render_samples(table, InstructionSettings(), 0).to_pylist()
    return next(row for row in rendered if "/0@" in row["instruction_id"] or "/0-" in row["instruction_id"])


@pytest.mark.parametrize("short", TEXTS)
@pytest.mark.parametrize("shown", ["all", "some", "none"])
def test_a_question_is_worded_as_a_build_words_it(short: str, shown: str) -> None:
    task = own_task(short)
    content = own_input(task, TEXTS[short])
    options = own_options(task, OPTIONS.get(short, []))
    roles = list(image_roles(task, content, options))
    kept = roles if shown == "all" else roles[:1] if shown == "some" else []
    sample = own_sample(task, content, options, [SampleImage(role, "0" * 64) for role in kept])
    row = published(short, content, [] if task.labels else list(options), kept, len(roles))
    assert sample.instruction == row["instruction"]
    assert sample.fields == parse_input(row["input"], "x")
    assert sample.options == split_options(row["options"], "x")
    assert sample.labels == task.labels or task.labels is None


def test_all_tasks_can_be_asked() -> None:
    assert {own_task(short).name for short in TEXTS} == set(TASKS)


def test_the_id_is_a_hash_of_all_that_is_asked() -> None:
    task = own_task("cc")
    image = SampleImage("product", "1" * 64)
    asked = [
        own_sample(task, {"title": title}, options, images).id
        for title in ("a mug", "a lamp")
        for options in (("x", "y"), ("y", "x"))
        for images in ((), (image,))
    ]
    assert len(set(asked)) == 8
    assert asked[0] == own_sample(task, {"title": "a mug"}, ("x", "y")).id


@pytest.mark.parametrize(
    ("short", "texts", "message"),
    [
        ("cc", {}, "cc asks about a title: give a title"),
        ("cc", {"title": ["  "]}, "cc asks about a title"),
        ("psi", {"title": ["mug"]}, "psi asks about a query"),
        ("prp", {"title": ["mug"]}, "prp asks about a product 2: give a title"),
        ("cc", {"title": ["mug"], "query": ["red"]}, "does not ask about the query 'red'"),
        ("cc", {"title": ["mug", "lamp"]}, "does not ask about the title 'lamp'"),
        ("sr", {"title": ["mug"]}, "sr asks about a history"),
        ("sr", {"history": ["mug"], "review": ["good"]}, "does not ask about the review"),
    ],
)
def test_a_missing_or_unknown_text_is_named(short: str, texts: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own_input(own_task(short), texts)


def test_snippets_may_be_missing() -> None:
    assert own_input(own_task("ap"), {"question": ["Is it?"]}) == {"question": "Is it?", "document": []}


@pytest.mark.parametrize(
    ("short", "options", "message"),
    [
        ("cc", ["mugs", " "], "option 2 of 2 has no words"),
        ("cc", ["mugs"], "two different ones or more, not 1"),
        ("cc", ["mugs", "mugs "], "two different ones or more, not 1"),
        ("sr", [], "two different ones or more, not 0"),
        ("sa", ["good", "bad"], "sa has its own answers"),
        ("psi", ["yes", "no"], "psi has its own answers"),
    ],
)
def test_wrong_options_are_named(short: str, options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        own_options(own_task(short), options)


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ConfigError, match="no such task: xx; there are"):
        own_task("xx")


def test_options_of_the_training_split_are_collected(
    tmp_path: Path, row: Callable[..., dict[str, Any]], write_rows: Callable[..., Path]
) -> None:
    cc = "category_classification"
    data = write_rows(
        tmp_path,
        [
            row(1, cc, "train", options=["A: mugs", "B: Lamps"], output="A"),
            row(2, cc, "train", options=["A: rugs", "B: mugs", "C: beds"], output="A"),
            row(3, cc, "test", options=["A: secret", "B: mugs"], output="A"),
        ],
    )
    assert training_options(str(data), own_task("cc")) == (("beds", "Lamps", "mugs", "rugs"), 3)
    with pytest.raises(DatasetError, match="has no options of sequential_recommendation in its training"):
        training_options(str(data), own_task("sr"))
