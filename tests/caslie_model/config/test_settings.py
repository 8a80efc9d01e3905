"""All settings of both packages: descriptions, units, and old names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic.fields import FieldInfo

from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.presets import align_config, config_yaml, finetune_config, load_config
from caslie_model.config.training import AlignConfig, ConnectorSettings, FinetuneConfig
from caslie_model.errors import ConfigError
from mmecinstruct.core import settings
from mmecinstruct.core.settings import Settings, settings_classes
from mmecinstruct.recipe import ImageCheckSettings, Recipe

CLASSES = settings_classes(Recipe, ImageCheckSettings, FinetuneConfig, AlignConfig, EvaluateConfig)
RENAMED = [(kind, old, new) for kind in CLASSES for old, new in kind.renamed_fields.items()]
TRAINING: dict[str, Any] = {
    "data": "d",
    "out": "o",
    "base_model": "random:tiny",
    "vision": {"encoder": "random:tiny-vit"},
}
REQUIRED: dict[type[Settings], dict[str, Any]] = {
    FinetuneConfig: TRAINING,
    EvaluateConfig: {"model": "m", "data": "d", "out": "o"},
    AlignConfig: {**TRAINING, "catalogue": "c.csv", "attributes": ["color"]},
}


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_told", set())


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_setting_has_a_description_with_its_unit(kind: type[Settings]) -> None:
    for name, field in kind.model_fields.items():
        text = field.description or ""
        assert len(text) >= 10, f"{kind.__name__}.{name} has no description"
        assert text.endswith("."), f"{kind.__name__}.{name}: end the description with a full stop"
        if isinstance(field.json_schema_extra, dict):
            noun = re.split(r"\W", str(field.json_schema_extra["unit"]))[0]
            assert noun in text.lower(), f"{kind.__name__}.{name}: say {noun}"


def other_value(field: FieldInfo) -> Any:
    """Return a valid value that is not the field's default."""
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, Settings):
        name, nested = next(iter(type(default).model_fields.items()))
        return {name: other_value(nested)}
    if isinstance(default, bool):
        return not default
    if isinstance(default, str):
        return next(value for value in get_args(field.annotation) if value != default)
    return 1 if default is None else default + 1


@pytest.mark.parametrize(("kind", "old", "new"), RENAMED)
def test_an_old_name_is_read_as_the_new_one(
    kind: type[Settings], old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    required, value = REQUIRED.get(kind, {}), other_value(kind.model_fields[new])
    expected = kind.model_validate({**required, new: value})
    assert expected != kind.model_validate(required)
    assert capsys.readouterr().err == ""
    for _ in range(2):
        assert kind.model_validate({**required, old: value}) == expected
    assert capsys.readouterr().err == f"setting {old} is now called {new}\n"
    with pytest.raises(ValueError, match=f"{old} is the old name of {new}: give {new} alone"):
        kind.model_validate({**required, old: value, new: value})


OLD = ["bridge.every=2", "bridge={first_layer: 1, latents: 3}", "lr_bridge=1e-2"]
NEW = ["connector.adapter_every=2", "connector={first_adapter_layer: 1, latents: 3}", "lr_connector=1e-2"]


@pytest.mark.parametrize(("old", "new"), list(zip(OLD, NEW, strict=True)))
def test_overrides_may_give_old_names(old: str, new: str) -> None:
    fields = {"data": "d", "out": "o"}
    assert finetune_config("tiny", [old], **fields) == finetune_config("tiny", [new], **fields)
    fields |= {"catalogue": "c.csv", "attributes": ["color"]}
    assert align_config("tiny", [old], **fields) == align_config("tiny", [new], **fields)


@pytest.mark.parametrize(
    "names", [("lr_bridge", "bridge", "every"), ("lr_connector", "connector", "adapter_every")]
)
def test_an_override_replaces_a_value_under_either_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    preset = tmp_path / "old.yaml"
    preset.write_text("base_model: random:tiny\n{}: 0.5\n{}: {{{}: 9, latents: 3}}\n".format(*names))
    for overrides in (
        ["lr_bridge=0.25", "bridge.every=2"],
        ["lr_connector=0.25", "connector.adapter_every=2"],
    ):
        config = finetune_config(str(preset), overrides, data="d", out="o")
        assert config.lr_connector == 0.25
        assert config.connector == ConnectorSettings(adapter_every=2, latents=3)


def test_a_saved_config_with_old_names_is_read_without_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = finetune_config("tiny", ["connector.adapter_every=2"], data="d", out="o")
    saved = tmp_path / "config.yaml"
    text = config_yaml(config)
    for new, old in (
        ("lr_connector", "lr_bridge"),
        ("connector", "bridge"),
        ("first_adapter_layer", "first_layer"),
        ("adapter_every", "every"),
    ):
        assert new in text
        text = text.replace(new, old)
    saved.write_text(text)
    assert load_config(FinetuneConfig, saved) == config
    assert capsys.readouterr().err == ""


def test_a_misspelt_setting_names_the_closest_one() -> None:
    with pytest.raises(
        ConfigError, match=r"connector\.latent: there is no such field; did you mean 'latents'\?"
    ):
        finetune_config("tiny", ["connector.latent=2"], data="d", out="o")
