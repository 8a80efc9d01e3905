"""Every field of every stage is in its fingerprint, but those that this file names."""

from __future__ import annotations

import typing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from mmecinstruct.engine.stage import Files, Stage
from mmecinstruct.sources.settings import MaveSource
from mmecinstruct.stages import kept_libraries, stage_classes

# What changes no byte.
RUNTIME_FIELDS = {
    *(
        (f"curate_{table}", "budget")
        for table in ("products", "reviews", "relations", "judgements", "questions")
    ),
    *((stage, "budget") for stage in ("filter", "references", "sample", "task")),
    ("parse", "memory"),
    ("parse", "most_packed_parts"),
    ("parse", "stamps"),
}
# Two values of the fields that a label reads; the others may hold anything.
VALUES: dict[str, tuple[Any, Any]] = {
    "number": (1, 2),
    "source": tuple(MaveSource(kind="mave", path=path) for path in ("a.jsonl", "b.jsonl")),
}
FIELDS = [(stage, one.name) for stage in stage_classes() for one in fields(stage)]


def values(stage: type[Stage], name: str) -> tuple[Any, Any]:
    if typing.get_type_hints(stage)[name] is Files:
        return Files((Path("a"),), {"stage": "a"}), Files((Path("a"),), {"stage": "b"})
    return VALUES.get(name, ("one", "two"))


@pytest.mark.parametrize(("stage", "name"), FIELDS, ids=[f"{stage.name}-{name}" for stage, name in FIELDS])
def test_a_field_is_in_the_fingerprint_or_named_here(stage: type[Stage], name: str) -> None:
    one: Any = stage(**{each.name: values(stage, each.name)[0] for each in fields(stage)})
    other = replace(one, **{name: values(stage, name)[1]})
    assert (one.fingerprint() == other.fingerprint()) == ((stage.name, name) in RUNTIME_FIELDS)


def test_every_name_of_this_file_exists() -> None:
    assert {(stage.name, name) for stage, name in FIELDS} >= RUNTIME_FIELDS


def test_names_are_distinct_and_one_file_holds_each_stage() -> None:
    stages = stage_classes()
    assert len({stage.name for stage in stages}) == len(stages) == 24
    folder = Path("mmecinstruct") / "stages"
    assert all(stage.__module__.startswith(".".join(folder.parts)) for stage in stages)


def test_a_cluster_is_asked_for_the_libraries_of_all_stages() -> None:
    assert {"datasets", "duckdb", "jinja2", "msgspec", "pillow", "pyarrow"} <= set(kept_libraries())
