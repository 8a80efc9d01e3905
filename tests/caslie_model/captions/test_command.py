"""The command `caslie_model caption`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from caslie_model.cli.app import app
from mmecinstruct.schemas.captions import PROVENANCE_KEY

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


def test_options_override_a_preset_and_its_fields_hold(image_dataset: Path, tmp_path: Path) -> None:
    preset = tmp_path / "own.yaml"
    preset.write_text(
        "caption: {captioner: attributes, name: mine, tasks: [cc], splits: [test], max_words: 30}\n"
    )
    given = ["caption", "--data", str(image_dataset), "--preset", str(preset), "--out", str(tmp_path / "out")]
    done = RUNNER.invoke(app, [*given, "--max-words", "20"])
    assert done.exit_code == 0, done.output
    [file] = (tmp_path / "out").rglob("*.parquet")
    assert file.relative_to(tmp_path / "out") == Path("captions/mine/category_classification-test.parquet")
    assert json.loads(pq.read_schema(file).metadata[PROVENANCE_KEY])["max_words"] == 20


@pytest.mark.parametrize("preset", ["captions-paper", "captions-server"])
def test_a_built_in_preset_is_counted_without_its_model(image_dataset: Path, preset: str) -> None:
    given = [
        "caption",
        "--data",
        str(image_dataset),
        "--preset",
        preset,
        "--tasks",
        "cc",
        "--dry-run",
        "--json",
    ]
    done = RUNNER.invoke(app, given)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["requests"] > 0


def test_without_captioner_and_preset_the_option_is_named(image_dataset: Path) -> None:
    done = RUNNER.invoke(app, ["caption", "--data", str(image_dataset)])
    assert done.exit_code == 2
    assert "--captioner" in done.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--tasks", "xy"], "no such task"),
        (["--preset", "nothing"], "no preset 'nothing'"),
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
