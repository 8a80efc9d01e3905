"""The base of all settings: units, nested classes, old names of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import pytest
from pydantic import Field, ValidationError

from mmecinstruct.core import settings
from mmecinstruct.core.settings import (
    QUIET,
    Seconds,
    Settings,
    nested_settings,
    settings_classes,
    unit,
    wrong_fields,
)


class Leaf(Settings):
    renamed_fields: ClassVar[Mapping[str, str]] = {"wait": "timeout", "pause": "timeout"}

    timeout: Seconds = Field(default=1.0, gt=0, description="Seconds to wait.")
    tokens: Annotated[int | None, unit("tokens")] = Field(default=None, ge=1)


class Tree(Settings):
    leaf: Leaf = Leaf()
    leaves: dict[str, Leaf] = Field(default_factory=dict)
    more: tuple[Leaf, ...] | None = None


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_told", set())


def test_a_unit_and_limits_belong_to_one_field() -> None:
    for name, unit_name in (("timeout", "seconds"), ("tokens", "tokens")):
        assert Leaf.model_fields[name].json_schema_extra == {"unit": unit_name}
        with pytest.raises(ValidationError, match=name):
            Leaf.model_validate({name: 0})


def test_nested_classes_are_found_once() -> None:
    assert nested_settings(Tree.model_fields["more"].annotation) == [Leaf]
    assert settings_classes(Tree) == [Tree, Leaf]


def test_old_names_are_read_at_any_depth(capsys: pytest.CaptureFixture[str]) -> None:
    tree = Tree.model_validate({"leaf": {"wait": 2}, "leaves": {"a": {"pause": 3}}, "more": [{"wait": 4}]})
    assert (tree.leaf.timeout, tree.leaves["a"].timeout) == (2, 3)
    assert tree.more == (Leaf(timeout=4),)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["setting wait is now called timeout", "setting pause is now called timeout"]


def test_old_names_are_read_quietly_in_saved_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Tree.model_validate({"leaf": {"wait": 2}}, context=QUIET).leaf.timeout == 2
    assert capsys.readouterr().err == ""


def test_two_names_of_one_field_are_an_error() -> None:
    for other in ("timeout", "wait"):
        with pytest.raises(ValidationError, match="pause is the old name of timeout: give timeout alone"):
            Leaf.model_validate({"pause": 1, other: 2})


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        ({}, "wait", "wait"),
        ({"timeout": 1}, "wait", "timeout"),
        ({"wait": 1}, "timeout", "wait"),
        ({"pause": 1}, "wait", "pause"),
        ({"tokens": 1}, "tokens", "tokens"),
    ],
)
def test_a_field_is_found_under_any_of_its_names(content: dict[str, int], name: str, found: str) -> None:
    assert Leaf.name_in(content, name) == found


def test_a_wrong_name_is_answered_with_the_closest_one() -> None:
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate({"leaf": {"timeot": 1}, "zzz": 1, "leaves": {"a": {"timeout": 0}}})
    assert wrong_fields(caught.value, Tree) == [
        "  leaf.timeot: there is no such field; did you mean 'timeout'?",
        "  leaves.a.timeout: Input should be greater than 0",
        "  zzz: there is no such field",
    ]


def test_a_name_like_an_old_one_leads_to_the_new_name() -> None:
    with pytest.raises(ValidationError) as caught:
        Tree.model_validate({"leaf": {"wiat": 3}})
    assert wrong_fields(caught.value, Tree) == [
        "  leaf.wiat: there is no such field; did you mean 'timeout'?"
    ]
