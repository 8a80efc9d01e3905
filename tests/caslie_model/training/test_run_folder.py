from __future__ import annotations

from pathlib import Path

import pytest

from caslie_model.config.presets import finetune_config
from caslie_model.errors import RunError
from caslie_model.training.run_folder import CHECKPOINTS, FINGERPRINT, prepare_folder, write_run_files


@pytest.mark.parametrize("name", [FINGERPRINT, "identity.txt"])
def test_a_changed_fingerprint_stops_a_resumed_run(name: str, tmp_path: Path) -> None:
    """Runs of earlier versions have it in identity.txt."""
    config = finetune_config("tiny", [], data="d", out=tmp_path / "out")
    file = config.out / CHECKPOINTS / name
    file.parent.mkdir(parents=True)
    file.write_text("before")
    with pytest.raises(RunError, match="the base model changed since"):
        write_run_files(config, ("", ""), "after")
    write_run_files(config, ("", ""), "before")


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
def test_a_damaged_summary_of_a_finished_run_is_named(content: str, tmp_path: Path) -> None:
    config = finetune_config("tiny", [], data="d", out=tmp_path / "out")
    write_run_files(config, ("", ""), "x")
    for name in ("adapter_model.safetensors", "training.json"):
        (config.out / name).write_text(content)
    with pytest.raises(RunError, match=r"training\.json is damaged .*start again with --overwrite"):
        prepare_folder(config, resume=True, overwrite=False)


def test_overwriting_leaves_files_of_others(tmp_path: Path) -> None:
    config = finetune_config("tiny", [], data="d", out=tmp_path / "out")
    write_run_files(config, ("", ""), "x")
    kept = config.out / "tokenizer_backup"
    kept.mkdir()
    for file in (kept / "tokenizer.json", config.out / "tokenizer.old.json", config.out / "vocab.notes"):
        file.write_text("mine")
    (config.out / "tokenizer.json").write_text("of an earlier run")
    prepare_folder(config, resume=False, overwrite=True)
    names = {path.name for path in config.out.iterdir()}
    assert names == {".made-by.json", "tokenizer_backup", "tokenizer.old.json", "vocab.notes"}
    assert (kept / "tokenizer.json").read_text() == "mine"
