from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caslie_model.config.presets import finetune_config
from caslie_model.errors import RunError
from caslie_model.training.finetune import finetune
from caslie_model.training.run_folder import CHECKPOINTS, FINGERPRINT, prepare_folder, write_run_files
from mmecinstruct.core.errors import DatasetError


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


def test_a_second_run_into_one_folder_is_refused(tmp_path: Path) -> None:
    """The first is in a process of its own, and has not yet made the folder."""
    config = finetune_config("tiny", [], data=str(tmp_path / "none"), out=tmp_path / "runs" / "out")
    script = (
        "import sys; from pathlib import Path; from caslie_model.adapters.output_lock import output_lock\n"
        "with output_lock(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(config.out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        message = rf"out={config.out}: another run writes there \(process {first.pid} on .*\); wait for it"
        with pytest.raises(RunError, match=message):
            finetune(config)
        first.communicate(b"\n")
    # Then it fails for its own reason, and nothing is left.
    with pytest.raises(DatasetError):
        finetune(config)
    assert not list(tmp_path.iterdir())


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
