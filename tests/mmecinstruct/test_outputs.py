"""No command of `mmec` writes into what another one made."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import mmecinstruct as mm
from mmecinstruct.cli.app import app
from mmecinstruct.core.errors import OutputError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.synthetic.raw_files import write_miniature


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()
    }


def test_a_finished_dataset_stays_as_it_is(own_folder: Path, tmp_path: Path) -> None:
    before = contents(own_folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    for out in (own_folder, own_folder / "raw"):
        with pytest.raises(OutputError, match=f"^out={out} .*holds a dataset"):
            write_miniature(out, 0.0001)
        with pytest.raises(OutputError, match=f"^data={out} .*holds a dataset"):
            mm.pull("paper", out, only=["esci"])
        with pytest.raises(OutputError, match=f"^out={out} .*holds a dataset"):
            mm.check_images(tmp_path / "photos", out, workspace=tmp_path / "ws")
    with pytest.raises(OutputError, match=f"^workspace={own_folder} holds a dataset"):
        mm.check_images(tmp_path / "photos", tmp_path / "out", workspace=own_folder)
    for name in ("audit.json", "README.md", "new.md"):
        arguments = ["audit", str(own_folder), "--workers", "1", "--out", str(own_folder / name)]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert "holds a dataset; give a path outside of it" in done.stderr
    arguments = ["takedown", "add", "product", "shop:1", "--workspace", str(own_folder)]
    assert "holds a dataset" in str(CliRunner().invoke(app, arguments).exception)
    assert contents(own_folder) == before


def test_a_miniature_and_a_pull_share_a_folder_and_the_workspace_is_none(tmp_path: Path) -> None:
    write_miniature(tmp_path / "raw", 0.0001)
    write_miniature(tmp_path / "raw", 0.0001)
    (tmp_path / "ws" / "stages").mkdir(parents=True)
    (tmp_path / "ws" / "lock").touch()
    with pytest.raises(OutputError, match="holds a workspace"):
        write_miniature(tmp_path / "ws", 0.0001)
