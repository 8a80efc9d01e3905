"""Presets of captioning and judging."""

from __future__ import annotations

from pathlib import Path

import pytest

from caslie_model.config.presets import caption_config, caption_presets, judge_config, with_preset
from caslie_model.errors import ConfigError
from mmecinstruct.recipe import built_in_recipes

PAPER = "captions-paper"


@pytest.mark.parametrize("name", sorted(caption_presets()))
def test_built_in_presets_are_valid_and_fit_together(name: str) -> None:
    captions = caption_config(**with_preset(name, "caption", {"data": "d"}))
    judge = judge_config(**with_preset(name, "judge", {"data": "d"}))
    assert captions.name == judge.captions
    assert (captions.max_words, captions.reply_tokens) == (50, 128)
    assert (judge.judge, len(judge.judges), judge.allow_captioner) == ("vote", 5, True)
    # The paper's captioner is one of its judges.
    assert captions.captioner in judge.judges
    assert bool(captions.server) is bool(judge.server) is captions.asks_server


def test_they_are_no_recipes() -> None:
    assert sorted(caption_presets()) == [PAPER, "captions-server"]
    assert not set(caption_presets()) & set(built_in_recipes())


def test_what_is_given_overrides_a_preset_and_none_is_not_given() -> None:
    given = {"data": "d", "max_words": 30, "max_tokens": None}
    fields = with_preset(PAPER, "caption", given)
    assert (fields["max_words"], fields["max_tokens"]) == (30, 128)
    assert with_preset(None, "caption", given) == {"data": "d", "max_words": 30}
    assert caption_config(["max_words=20"], **fields).max_words == 20


def test_a_file_may_have_one_section_alone(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("judge: {judge: all, captions: mine}\n")
    assert judge_config(**with_preset(str(path), "judge", {"data": "d"})).captions == "mine"
    with pytest.raises(ConfigError, match="has no section 'caption'"):
        with_preset(str(path), "caption", {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("captions: {}\njudge: {judge: all}", "no such section: captions; there are caption and judge"),
        ("judge: all", "no section 'judge' of fields"),
        ("judge:", "no section 'judge' of fields"),
        ("- judge", "a preset is a mapping"),
        ("1: {}", "no such section: 1"),
    ],
)
def test_wrong_sections_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        with_preset(str(path), "judge", {})


def test_wrong_fields_of_a_section_are_named(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("caption: {captoner: attributes, max_words: many}\n")
    with pytest.raises(ConfigError) as error:
        caption_config(**with_preset(str(path), "caption", {"data": "d"}))
    assert "captoner: there is no such field; did you mean 'captioner'?" in str(error.value)
    assert "max_words: " in str(error.value)


@pytest.mark.parametrize("name", ["sample", "caslie-m", "nothing"])
def test_other_presets_are_none_of_captions(name: str) -> None:
    with pytest.raises(ConfigError, match="give a YAML file or one of captions-paper, captions-server"):
        with_preset(name, "caption", {})
