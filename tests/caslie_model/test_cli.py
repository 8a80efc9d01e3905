from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from caslie_model.config.choices import Fusion
from caslie_model.config.evaluation import EvaluateConfig
from caslie_model.config.presets import built_in_presets
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


@pytest.mark.parametrize(
    "command",
    ["finetune", "align", "features", "evaluate", "compare", "ask", "predict", "merge", "push-to-hub"],
)
def test_every_command_has_help_with_examples(command: str) -> None:
    result = run(command, "-h")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"\n    caslie_model {command} " in result.stdout


def test_help_lists_commands_in_panels_without_escapes_or_alias() -> None:
    shown = run("--help").stdout
    assert shown == run("-h").stdout
    for title in ("Train", "Evaluate", "Publish"):
        assert f"\n{title}:\n" in shown
    assert "\x1b" not in shown
    assert "  push  " not in shown


def test_choices_are_shown_and_are_those_of_the_configs() -> None:
    finetune, evaluate = run("finetune", "-h").stdout, run("evaluate", "-h").stdout
    text, *others = get_args(Fusion)
    assert f"<{'|'.join((text, 'caption', *others))}>" in finetune
    assert all(name in finetune for name in built_in_presets())
    for name in ("subset", "scoring"):
        assert f"<{'|'.join(get_args(EvaluateConfig.model_fields[name].annotation))}>" in evaluate


def test_help_loads_nothing_heavy() -> None:
    check = (
        "import sys; from typer.testing import CliRunner; from caslie_model.cli.app import app\n"
        "assert CliRunner().invoke(app, ['finetune', '--help']).exit_code == 0\n"
        "heavy = {'torch', 'transformers', 'peft', 'pyarrow', 'datasets', 'pandas', 'numpy', 'rich'}\n"
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
        (("push-to-hub", "nowhere", "user/name", "--dry-run"), "nowhere is no adapter folder"),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune", "--data", "d", "--out", "o", "--fusion", "images"), "'images' is not one of 'text'"),
        (("evaluate", "--model", "m", "--data", "d", "--out", "o", "--scoring", "guess"), "'guess' is not"),
        (("evaluate", "--data", "d", "--out", "o"), "give a model, or --predictions"),
        (("finetune", "--date", "d"), "No such option"),
    ],
)
def test_a_wrong_option_is_a_usage_error(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


def dry_run(data: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run(
        *("finetune", "--data", str(data), "--preset", "tiny", "--out", str(out), "--tasks", "sa"),
        *("--set", "samples_per_task=8", "--set", "device=cpu", *options),
    )


@pytest.mark.parametrize("option", ["--dry-run", "--plan"])
def test_dry_run_prints_a_table(dataset: Path, tmp_path: Path, option: str) -> None:
    done = dry_run(dataset, tmp_path / "adapter", option)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["steps", "2"] in [line[:2] for line in lines]
    assert ["trained", "parameters", "8,192", "lora", "8,192"] in lines
    assert ("--plan is now called --dry-run" in done.stderr) == (option == "--plan")
    assert not (tmp_path / "adapter").exists()


def test_dry_run_prints_json(dataset: Path, tmp_path: Path) -> None:
    content = json.loads(dry_run(dataset, tmp_path / "adapter", "--dry-run", "--json").stdout)
    assert (content["steps"], content["trained_parameters"]) == (2, 8192)
    failed = dry_run(dataset, tmp_path / "adapter", "--json")
    assert failed.returncode == 2
    assert "--json goes with --dry-run" in failed.stderr


def test_a_model_is_trained_and_measured(dataset: Path, tmp_path: Path) -> None:
    adapter, results = tmp_path / "adapter", tmp_path / "results"
    made = run(
        *("finetune", "--data", str(dataset), "--preset", "tiny", "--out", str(adapter), "--tasks", "sa"),
        *("--set", "samples_per_task=8", "--set", "device=cpu"),
    )
    assert (made.returncode, made.stdout) == (0, f"{adapter}\n"), made.stderr
    evaluation = (
        *("evaluate", "--model", str(adapter), "--data", str(dataset), "--out", str(results)),
        *("--splits", "test", "--tasks", "sa", "--limit", "4", "--set", "device=cpu"),
    )
    assert ["sentiment_analysis", "test", "4", "4", "0"] in [
        line.split() for line in run(*evaluation, "--dry-run").stdout.splitlines()
    ]
    assert not results.exists()
    shown = run(*evaluation)
    assert shown.returncode == 0, shown.stderr
    assert "macro F1" in shown.stdout
    assert "4 samples, 0 answered already" in shown.stderr
    assert len((results / "predictions.jsonl").read_text().splitlines()) == 4
    plan = json.loads(run(*evaluation, "--dry-run", "--json").stdout)
    assert (plan["samples"], plan["questions"], plan["answered"]) == (4, 4, 4)
    metrics = json.loads(run(*evaluation, "--json").stdout)
    assert metrics["results"][0]["samples"] == 4
