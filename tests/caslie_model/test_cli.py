from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmecinstruct.version import __version__

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "caslie_model", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.mark.parametrize("command", [[], ["finetune"], ["evaluate"]])
def test_help_shows_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.returncode == 0
    assert ("--data my-dataset" in result.stdout) == bool(command)


def test_help_loads_nothing_heavy() -> None:
    check = (
        "import sys, caslie_model.cli\n"
        "heavy = {'torch', 'transformers', 'peft', 'pyarrow', 'datasets', 'pandas', 'numpy', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    assert run("--version").stdout == f"caslie_model {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune", "--data", "nowhere", "--out", "o", "--preset", "tiny"), "error: no dataset 'nowhere'"),
        (("finetune", "--data", "d", "--out", "o", "--fusion", "caption"), "choose from: text, xattn"),
        (("evaluate", "--model", "m", "--data", "d", "--out", "o", "--scoring", "guess"), "scoring"),
        (("push", "nowhere", "user/name", "--dry-run"), "nowhere is no adapter folder"),
        (("push", "nowhere", "name"), "write user/name"),
    ],
)
def test_a_known_error_is_a_message_and_status_1(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def dry_run(data: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run(
        *("finetune", "--data", str(data), "--preset", "tiny", "--out", str(out), "--tasks", "sa"),
        *("--set", "samples_per_task=8", "--set", "device=cpu", *options),
    )


@pytest.mark.parametrize("option", ["--dry-run", "--plan"])
def test_dry_run_prints_a_table_and_writes_nothing(dataset: Path, tmp_path: Path, option: str) -> None:
    told = dry_run(dataset, tmp_path / "adapter", option)
    assert told.returncode == 0, told.stderr
    lines = [line.split() for line in told.stdout.splitlines()]
    assert ["steps", "2"] in [line[:2] for line in lines]
    assert ["trained", "parameters", "8,192", "lora", "8,192"] in lines
    assert ("--plan is now called --dry-run" in told.stderr) == (option == "--plan")
    assert not (tmp_path / "adapter").exists()


def test_dry_run_prints_json(dataset: Path, tmp_path: Path) -> None:
    content = json.loads(dry_run(dataset, tmp_path / "adapter", "--dry-run", "--json").stdout)
    assert (content["steps"], content["trained_parameters"]) == (2, 8192)
    refused = dry_run(dataset, tmp_path / "adapter", "--json")
    assert (refused.returncode, refused.stderr) == (1, "error: --json is for --dry-run\n")


def test_the_road_from_a_dataset_to_a_table(dataset: Path, tmp_path: Path) -> None:
    adapter, results = tmp_path / "adapter", tmp_path / "results"
    made = run(
        *("finetune", "--data", str(dataset), "--preset", "tiny", "--out", str(adapter), "--tasks", "sa"),
        *("--set", "samples_per_task=8", "--set", "device=cpu"),
    )
    assert (made.returncode, made.stdout) == (0, f"{adapter}\n"), made.stderr
    shown = run(
        *("evaluate", "--model", str(adapter), "--data", str(dataset), "--out", str(results)),
        *("--splits", "test", "--tasks", "sa", "--limit", "4", "--set", "device=cpu"),
    )
    assert shown.returncode == 0, shown.stderr
    assert "macro F1" in shown.stdout
    assert "4 samples, 0 answered already" in shown.stderr
    assert len((results / "predictions.jsonl").read_text().splitlines()) == 4
