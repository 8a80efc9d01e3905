"""What a folder holds is known by its mark or its files, and no command writes into another's."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from mmecinstruct.core.disk_errors import check_can_write, explained, writing_to
from mmecinstruct.core.errors import OutputError
from mmecinstruct.core.locks import hold_folder
from mmecinstruct.core.output_folder import (
    ALIGN,
    BUILD,
    CHECK_IMAGES,
    EVALUATE,
    FINETUNE,
    KINDS,
    MARK,
    MERGE,
    MINIATURE,
    PREDICT,
    PULL,
    check_output,
    check_output_file,
    claim_output,
    is_marked,
    made_by,
)
from mmecinstruct.core.partial_folder import partial_folder
from tests.small_disk import run_on_small_disk

COMMANDS = [command for kind in KINDS for command in kind.commands]
# Files as earlier versions, the Hub and other tools leave them, without a mark.
UNMARKED = {
    "a dataset": ["README.md", "manifest.json", "recipe.yaml", "statistics.json"],
    "checked images": ["images.parquet", "rejections.parquet", "pixels/00000.parquet"],
    "a workspace": ["lock", "stages/parse-a/x/manifest.json"],
    "raw files": [".mmec-pull.json", "esci/examples.parquet"],
    "synthetic raw files": ["miniature.json", "esci/examples.parquet"],
    "an adapter": ["config.yaml", "training.json", "adapter_config.json", "adapter_model.safetensors"],
    "an adapter of peft": ["adapter_config.json", "adapter_model.safetensors"],
    "an image-text adapter": ["caslie_config.json", "caslie_adapter.safetensors"],
    "an unfinished run": ["config.yaml", "checkpoints/checkpoint-2/trainer_state.json"],
    "an evaluation": ["predictions.jsonl", "metrics.json", "metrics.md", "config.yaml"],
    "an evaluation that was stopped": ["predictions.jsonl", "predictions.header.json"],
    "a model": ["config.json", "model.safetensors", "tokenizer.json"],
    "a model in parts": ["config.json", "model.safetensors.index.json"],
    "cached features": ["features/" + "0" * 64 + "/encoder.json"],
}


def write(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", UNMARKED)
def test_a_folder_without_a_mark_is_known_by_its_files(command: str, name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "out", UNMARKED[name])
    (made,) = made_by(folder)
    if command in made.kind.commands:
        check_output(folder, command)
    else:
        with pytest.raises(OutputError, match=f"out={folder} holds {made.kind.made}, .*give another folder"):
            check_output(folder, command)


def test_an_alignment_without_a_mark_is_known_by_its_settings(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", UNMARKED["an adapter"])
    (folder / "config.yaml").write_text("data: d\ncatalogue: products.csv\n")
    check_output(folder, ALIGN)
    with pytest.raises(OutputError, match="holds an alignment"):
        check_output(folder, FINETUNE)
    claim_output(folder, ALIGN)
    assert [made.command for made in made_by(folder)] == [ALIGN]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("other", COMMANDS)
def test_a_marked_folder_is_of_one_command(command: str, other: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    claim_output(out, other)
    assert json.loads((out / MARK).read_text())["command"] == other
    assert oct((out / MARK).stat().st_mode)[-3:] == "644"
    if command == other or {command, other} in ({PULL, MINIATURE}, {PREDICT, EVALUATE}):
        check_output(out, command)
    else:
        with pytest.raises(OutputError, match=f"of `{other}`, which `{command}` would write over"):
            check_output(out, command)


def test_a_new_an_empty_and_an_unknown_folder_are_free(tmp_path: Path) -> None:
    check_output(tmp_path / "new" / "out", EVALUATE)
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty", EVALUATE)
    write(tmp_path / "other", ["log.txt", "manifest.json"])
    check_output(tmp_path / "other", EVALUATE, writes=("config.yaml",))
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_file_of_another_program_is_not_replaced(tmp_path: Path) -> None:
    write(tmp_path / "other", ["config.yaml"])
    with pytest.raises(OutputError, match=r"has a file config\.yaml that `caslie_model evaluate` did not"):
        check_output(tmp_path / "other", EVALUATE, writes=("metrics.json", "config.yaml"))
    claim_output(tmp_path / "other", EVALUATE)
    check_output(tmp_path / "other", EVALUATE, writes=("metrics.json", "config.yaml"))


@pytest.mark.parametrize("content", ["", "[]", '{"command": 1}', "[" * 100_000, "\xff"])
def test_a_damaged_mark_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / MARK).write_text(content)
    assert made_by(tmp_path) == []
    claim_output(tmp_path, MERGE)
    assert is_marked(tmp_path, MERGE)


def test_an_output_is_neither_an_input_nor_around_or_in_one(tmp_path: Path) -> None:
    data = write(tmp_path / "data", ["sentiment_analysis/test-00000-of-00001.parquet"])
    model = write(tmp_path / "model", ["a.txt"])
    (tmp_path / "link").symlink_to(data, target_is_directory=True)
    inputs = ["user/name", str(model), data]
    for out, said in (
        (model, "is a folder that `caslie_model evaluate` reads"),
        (model / "results", f"lies inside {model}, which"),
        (tmp_path / "link" / "results", f"lies inside {data}, which"),
        (tmp_path, f"has {model} in it, which"),
    ):
        with pytest.raises(OutputError, match=said):
            check_output(out, EVALUATE, inputs)
    check_output(tmp_path / "results", EVALUATE, inputs)


def test_nothing_is_written_into_what_a_rebuild_would_replace(tmp_path: Path) -> None:
    write(tmp_path / "data", UNMARKED["a dataset"])
    with pytest.raises(OutputError, match=r"lies inside .*data, which holds a dataset"):
        check_output(tmp_path / "data" / "results" / "mine", EVALUATE)
    write(tmp_path / "workspace", UNMARKED["a workspace"])
    with pytest.raises(OutputError, match="holds a workspace"):
        check_output(tmp_path / "workspace" / "results", FINETUNE)
    # Raw files are often in the working folder, with all else below it.
    write(tmp_path, UNMARKED["raw files"])
    check_output(tmp_path / "results", BUILD)


def test_a_report_is_not_written_into_another_commands_folder(tmp_path: Path) -> None:
    data = write(tmp_path / "data", UNMARKED["a dataset"])
    for path in (data / "audit.json", data / "notes" / "audit.md"):
        path.parent.mkdir(exist_ok=True)
        with pytest.raises(OutputError, match="holds a dataset"):
            check_output_file(path, "mmec audit")
    with pytest.raises(OutputError, match="is a folder; give the name of a file"):
        check_output_file(tmp_path, "mmec audit")
    with pytest.raises(OutputError, match="there is no folder"):
        check_output_file(tmp_path / "nowhere" / "audit.md", "mmec audit")
    check_output_file(tmp_path / "audit.md", "mmec audit")


def test_a_path_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path, ["file"])
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    long = tmp_path / ("n" * 300)
    for path, said in (
        (tmp_path / "file", "is a file; give a folder"),
        (tmp_path / "file" / "out", "file is no folder; give another path"),
        (tmp_path / "loop", "Too many levels of symbolic links; a symbolic link there leads back to itself"),
        (tmp_path / "loop" / "out", "leads back to itself"),
        (tmp_path / "dangling", "is a symbolic link to nothing"),
        (long, "File name too long; give a shorter name"),
        (tmp_path / os.fsdecode(b"\xff"), "is not UTF-8 text; give another"),
        (tmp_path / "a\0b", "is not UTF-8 text; give another"),
    ):
        with pytest.raises(OutputError, match=said) as caught:
            check_output(path, MERGE)
        assert str(caught.value).startswith("out=")
        str(caught.value).encode()
    with pytest.raises(OutputError, match=r"a\\udcff: the name is not UTF-8 text; .* rename it"):
        check_output(tmp_path / "out", EVALUATE, [os.fsdecode(b"a\xff")])


def test_a_full_disk_is_found_beforehand(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the disk is full: .* MB are needed; free space"):
        check_can_write(tmp_path / "new" / "out", 10**18)
    check_can_write(tmp_path / "new" / "out")


def test_errors_of_the_system_say_what_to_do() -> None:
    assert explained(OSError(errno.ENOSPC, "No space left on device", "a/b")) == (
        "a/b: No space left on device; free space there"
    )
    assert "ulimit -n" in explained(OSError(errno.EMFILE, "Too many open files"))
    assert explained(OSError("odd"), Path("p")) == "p: odd; mend it, or give another path"
    with (
        pytest.raises(OutputError, match="out=p cannot be written: q: Permission denied; change"),
        writing_to(Path("p")),
    ):
        raise OSError(errno.EACCES, "Permission denied", "q")


def test_a_partial_folder_is_removed_unless_it_was_moved(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), partial_folder(tmp_path / "out", MERGE) as partial:
        partial.write_text("x")
    assert list(tmp_path.iterdir()) == []
    with partial_folder(tmp_path / "out", MERGE) as partial:
        partial.rename(tmp_path / "out")
    assert is_marked(tmp_path / "out", MERGE)


def test_raw_files_named_as_shards_are_no_dataset(tmp_path: Path) -> None:
    write(tmp_path / "raw", ["raw_meta_All_Beauty/full-00000-of-00001.parquet"])
    check_output(tmp_path / "raw", PULL)


def test_only_leftovers_of_the_same_command_are_removed(tmp_path: Path) -> None:
    theirs = write(tmp_path / ".out.01234567.partial", ["precious"])
    others = tmp_path / ".out.12345678.partial"
    claim_output(others, CHECK_IMAGES)
    running = tmp_path / ".out.23456789.partial"
    claim_output(running, MERGE)
    left = tmp_path / ".out.3456789a.partial"
    claim_output(left, MERGE)
    with hold_folder(running), partial_folder(tmp_path / "out", MERGE):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([theirs, others, running])


def look_at_a_read_only_disk(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(
        OutputError, match=rf"^out={disk}/out cannot be written: {disk} is read-only, or of another"
    ):
        check_can_write(disk / "out")
    with pytest.raises(
        OutputError, match=r"out=.*out cannot be written: .*Read-only file system; give a path on"
    ):
        claim_output(disk / "out", MERGE)
    check_output(disk / "out", MERGE)


def test_a_read_only_disk_is_found_before_anything_is_written(tmp_path: Path) -> None:
    run_on_small_disk(look_at_a_read_only_disk, tmp_path / "disk")
