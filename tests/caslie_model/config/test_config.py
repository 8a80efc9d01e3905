"""Presets, overrides and saved configs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from caslie_model.config.presets import (
    built_in_presets,
    config_yaml,
    evaluate_config,
    finetune_config,
    load_finetune_config,
)
from caslie_model.errors import ConfigError
from mmecinstruct.tasks import TASKS


@pytest.mark.parametrize("preset", ["caslie-l", "caslie-m", "caslie-s", "smollm2-135m", "tiny"])
def test_built_in_presets_are_valid_and_survive_saving(preset: str, tmp_path: Path) -> None:
    assert preset in built_in_presets()
    config = finetune_config(preset, data="d", out=tmp_path / "out")
    path = tmp_path / "config.yaml"
    path.write_text(config_yaml(config))
    assert load_finetune_config(path) == config


def test_overrides_are_dotted_and_typed() -> None:
    config = finetune_config(
        "tiny", ["lr=1e-4", "lora.rank=2", "tasks=[sa, ap]", "task_limits={sr: 5}"], data="d", out="o"
    )
    assert (config.lr, config.lora.rank) == (1e-4, 2)
    assert config.tasks == ("answerability_prediction", "sentiment_analysis")  # in the tasks' own order
    assert config.task_limits == {"sequential_recommendation": 5}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rate=1", "learning_rate: there is no such field"),
        ("lora.rank=none", "lora.rank"),
        ("tasks=[xy]", "no such task: xy"),
        ("split=test", "never on a test split"),
        ("fusion=images", "fusion 'images' is not there; choose from: text, xattn, concat, concat-full"),
        ("fusion=xattn init_from=o", "init_from is the same folder as out"),
        ("fusion=xattn vision=null", "fusion=xattn needs a vision encoder: give vision.encoder"),
        ("answers=number", "answers"),
        ("lr", "FIELD=VALUE"),
    ],
)
def test_wrong_settings_name_the_field(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        finetune_config("tiny", override.split(), data="d", out="o")


def test_a_removed_setting_is_ignored_with_a_line_if_it_was_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = finetune_config("tiny", data="d", out="o")
    saved = tmp_path / "config.yaml"
    saved.write_text(f"{config_yaml(expected)}reuse_lower_layers: false\nlower_layers_gigabytes: 8.0\n")
    assert load_finetune_config(saved) == expected
    assert capsys.readouterr().err == ""
    assert finetune_config("tiny", ["reuse_lower_layers=true"], data="d", out="o") == expected
    assert capsys.readouterr().err == "reuse_lower_layers is ignored: this version has no such setting\n"


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="smollm2-135m, tiny"):
        finetune_config("huge", data="d", out="o")


def test_a_preset_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"base_model": "random:tiny", "lr": 0.01}))
    assert finetune_config(str(path), data="d", out="o").lr == 0.01


def test_evaluation_settings_are_checked() -> None:
    config = evaluate_config(model="m", data="d", out="o", splits=("test_ood", "test"), tasks="all")
    assert config.splits == ("test", "test_ood")
    assert config.tasks == tuple(TASKS)
    with pytest.raises(ConfigError, match="no such split: dev"):
        evaluate_config(model="m", data="d", out="o", splits=("dev",))
