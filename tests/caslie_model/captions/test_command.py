"""The command `caslie_model caption`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from caslie_model.cli.app import app

RUNNER = CliRunner()


def test_the_command_captions_and_prints_counts(image_dataset: Path, tmp_path: Path) -> None:
    given = [
        "caption",
        "--data",
        str(image_dataset),
        "--captioner",
        "attributes",
        "--out",
        str(tmp_path / "out"),
    ]
    counted = RUNNER.invoke(app, [*given, "--tasks", "cc", "--dry-run", "--json"])
    assert counted.exit_code == 0, counted.output
    estimate = json.loads(counted.stdout)
    assert not (tmp_path / "out").exists()
    done = RUNNER.invoke(app, [*given, "--tasks", "cc", "--json"])
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout)
    assert counts["captions"] == counts["images"] == estimate["images"]
    assert counts["asked"] == counts["requests"] == estimate["requests"]
    assert "written:" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--tasks", "xy"], "no such task"),
        (["--set", "captoner=x"], "did you mean 'captioner'"),
        (["--captioner", "openai:x"], "give `server`"),
        (["--data", "nothing-here"], "no folder here"),
    ],
)
def test_bad_input_is_a_message(image_dataset: Path, more: list[str], said: str) -> None:
    given = ["caption", "--data", str(image_dataset), "--captioner", "attributes", *more]
    result = RUNNER.invoke(app, given)
    assert result.exit_code != 0
    assert said in str(result.exception) + result.output
