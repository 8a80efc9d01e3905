"""Fine-tuning on prompts that show captions, as text and beside images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from caslie_model.adapters.merge import merge
from caslie_model.config.presets import config_yaml, finetune_config, load_finetune_config
from caslie_model.config.training import FinetuneConfig
from caslie_model.errors import ConfigError, RunError
from caslie_model.inference.run import predict
from caslie_model.publishing.push_folder import model_files
from caslie_model.training.estimate import estimate
from caslie_model.training.estimate_table import estimate_table
from caslie_model.training.finetune import finetune, select_samples, select_validation
from mmecinstruct.core.errors import DatasetError
from tests.caslie_model.captioned import ABOUT, JUDGED, caption_all, text_of

SHORT = ("tasks=[cc]", "samples_per_task=8", "epochs=1", "batch_size=4", "device=cpu", "log_every=1")


def config(data: Path, out: Path, *overrides: str, **fields: Any) -> FinetuneConfig:
    return finetune_config("tiny", [*SHORT, *overrides], data=str(data), out=out, **fields)


def test_the_fusion_caption_is_text_with_captions(captioned_data: Path, caption_adapter: Path) -> None:
    saved = load_finetune_config(caption_adapter / "config.yaml")
    assert (saved.fusion, saved.captions, saved.captions_from) == ("text", "made/vote", captioned_data)
    assert yaml.safe_load((caption_adapter / "config.yaml").read_text())["fusion"] == "text"
    samples = select_samples(saved)
    shown = [caption for sample in samples for caption in sample.captions if caption]
    assert 0 < len(shown) < sum(len(sample.image_roles) for sample in samples)
    assert json.loads((caption_adapter / "training.json").read_text())["captions"] == {
        "name": "made",
        "judge": "vote",
        "images": sum(len(sample.image_roles) for sample in samples),
        "shown": len(shown),
        "written": [ABOUT],
        "judged": [JUDGED],
        "samples_cut": 0,
    }


def test_the_card_tells_captioner_judge_and_templates(caption_adapter: Path) -> None:
    card = (caption_adapter / "README.md").read_text()
    assert "fusion `text` with captions.\nIt reads no images: its prompts show captions of them" in card
    told = card.partition("Prompts show captions")[2].partition("```")[0]
    assert told.startswith(" of the images as text: `made/vote`.\n\n* ")
    assert (
        "* Written by `shop/captioner` (revision c0ffee), asked with version 3 of the caption templates, in 50 words "
        "at most.\n* Chosen by the judge `vote`: kept above a share of 0.5 of the votes; asked were shop/judge-a, "
        "shop/judge-b.\n"
    ) in told
    assert "`caslie_model caption`, then `caslie_model judge`.\n" in told
    assert "\n\n\n" not in card


def test_no_path_of_the_captions_is_published(captioned_data: Path, caption_adapter: Path) -> None:
    files, _ = model_files(caption_adapter)
    for name in ("README.md", "config.yaml", "training.json"):
        content = files[name] if isinstance(files[name], bytes) else Path(files[name]).read_bytes()
        assert str(captioned_data.parent).encode() not in content
    published = yaml.safe_load(files["config.yaml"])
    assert (published["captions"], published["captions_from"]) == ("made/vote", "data")


def test_a_card_without_captions_speaks_of_none(captioned_data: Path, tmp_path: Path) -> None:
    plain = finetune(config(captioned_data, tmp_path / "plain", "samples_per_task=4"))
    card = (plain.folder / "README.md").read_text()
    assert "captions:" in card  # a setting
    assert "Prompts show" not in card
    assert "with captions" not in card
    assert "\n\n\n" not in card
    assert "captions" not in plain.summary


def test_captions_go_with_images_too(captioned_data: Path, tmp_path: Path) -> None:
    asked = config(captioned_data, tmp_path / "both", "fusion=xattn", "captions=made", "early_stop.samples=4")
    found = estimate(asked)
    assert found.images == found.captions == 6
    result = finetune(asked)
    assert result.summary["captions"]["shown"] == result.summary["captions"]["images"] == 6
    card = (result.folder / "README.md").read_text()
    assert "fusion `xattn` with captions." in card
    assert "`caslie_model caption`.\n" in card
    answers = predict_all(result.folder, captioned_data, tmp_path / "answers")
    assert (answers.provenance["captions"], answers.provenance["fusion"]) == ("made", "xattn")


def predict_all(model: Path, data: Path, out: Path, **fields: Any) -> Any:
    from caslie_model.config.presets import predict_config

    asked = {"tasks": ["cc"], "splits": ("test",), "device": "cpu", "scoring": "likelihood", **fields}
    return predict(predict_config(model=str(model), data=str(data), out=out, **asked))


def test_validation_shows_captions(captioned_data: Path, tmp_path: Path) -> None:
    asked = config(captioned_data, tmp_path, "captions=made", "early_stop.samples=4")
    validation = select_validation(asked, select_samples(asked))
    assert {sample.split for sample in validation} == {"validation"}
    for sample in validation:
        assert sample.captions == tuple(text_of(sample, n) for n in range(len(sample.image_roles)))
    assert sum(bool(sample.captions) for sample in validation) == 3


def test_a_merged_model_is_asked_with_its_captions(
    captioned_data: Path, caption_adapter: Path, tmp_path: Path
) -> None:
    merge(caption_adapter, tmp_path / "whole")
    assert load_finetune_config(tmp_path / "whole" / "config.yaml").captions == "made/vote"
    assert "Chosen by the judge `vote`" in (tmp_path / "whole" / "README.md").read_text()
    answers = predict_all(tmp_path / "whole", captioned_data, tmp_path / "answers")
    assert answers.provenance["captions"] == "made/vote"


def test_an_estimate_counts_captions(captioned_data: Path, tmp_path: Path) -> None:
    found = estimate(
        config(captioned_data, tmp_path / "o", "fusion=caption", "captions=made", "max_length=320")
    )
    assert (found.images, found.captions) == (0, 6)
    assert found.captions_cut == found.shortened == 6
    assert "6 shortened, 0 images, 6 captions (cut in 6 samples)" in estimate_table(found)
    plain = estimate(config(captioned_data, tmp_path / "o"))
    assert (plain.captions, plain.captions_cut) == (0, 0)
    assert "captions" not in estimate_table(plain)


def test_changed_captions_are_not_trained_on_halfway(
    captioned_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: Any) -> None:
        raise KeyboardInterrupt

    data = shutil.copytree(captioned_data, tmp_path / "data")
    asked = config(data, tmp_path / "out", "fusion=caption", "captions=made", "samples_per_task=4")
    with monkeypatch.context() as patch:
        patch.setattr("caslie_model.training.run.write_loss_curve", power_cut)
        with pytest.raises(KeyboardInterrupt):
            finetune(asked)
    caption_all(data, text=lambda sample, position: "other words")
    with pytest.raises(RunError, match="the prompts or the base model changed"):
        finetune(asked, resume=True)
    with pytest.raises(RunError, match=r"another config \(captions differ\)"):
        finetune(asked.model_copy(update={"captions": None}), resume=True)


def test_captions_that_are_not_there_stop_the_run_before_it_begins(
    captioned_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no captions 'mode' \(there are: made\)"):
        finetune(config(captioned_data, tmp_path / "o", "captions=mode"))
    caption_all(captioned_data, out=tmp_path / "some", chosen=lambda sample: sample.split == "test")
    asked = config(captioned_data, tmp_path / "o", "captions=made", captions_from=tmp_path / "some")
    with pytest.raises(DatasetError, match="is not there"):
        finetune(asked)
    assert "is not there" in estimate(asked).unknown["samples"]
    assert not (tmp_path / "o").exists()


def test_settings_of_captions(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fusion=caption needs captions: give the NAME"):
        config(tmp_path, tmp_path / "o", "fusion=caption")
    with pytest.raises(ConfigError, match="fusion=caption needs captions"):
        config(tmp_path, tmp_path / "o", "fusion=caption", "captions=none")
    with pytest.raises(ConfigError, match="captions=a/b/c: give the name"):
        config(tmp_path, tmp_path / "o", "captions=a/b/c")
    assert config(tmp_path, tmp_path / "o", "captions=none") == config(tmp_path, tmp_path / "o")
    saved = yaml.safe_load(config_yaml(config(tmp_path, tmp_path / "o")))
    del saved["captions"], saved["captions_from"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(saved))
    assert load_finetune_config(tmp_path / "config.yaml") == config(tmp_path, tmp_path / "o")
