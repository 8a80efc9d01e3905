"""The command line: quick help, data on stdout, talk on stderr, messages instead of tracebacks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmecinstruct.cli.app import parse_task_list
from mmecinstruct.core.errors import RecipeError
from mmecinstruct.tasks import TASKS
from mmecinstruct.version import __version__


def mmec(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mmecinstruct", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def test_version_is_data() -> None:
    assert mmec("--version").stdout == f"mmec {__version__}\n"


@pytest.mark.parametrize(
    "command",
    ["build", "pull", "validate", "audit", "push-to-hub", "recipes", "sources", "clean", "miniature"],
)
def test_every_command_has_help(command: str) -> None:
    result = mmec(command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; import mmecinstruct.cli.app\n"
        "heavy = ('pandas', 'pyarrow', 'datasets', 'duckdb', 'rich', 'PIL', 'torch', 'numpy')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "--recipe", "smaple"), "no recipe 'smaple'"),
        (("build", "--tasks", "ap,xx"), "no task 'xx'"),
        (("build", "--set", "sizes.trian=1"), "sizes.trian"),
        (("build", "--recipe", "catalog", "--data", "nowhere"), "no such folder"),
        (("build", "--recipe", "catalog"), "products"),
        (("validate", "nowhere"), "nowhere"),
        (("clean",), ".mmec: there is no such folder"),
        (("build", "--recipe", "."), "no recipe '.'"),
        (("build", "--out", "a", "--workspace", "a/w"), "the workspace a/w lies in it"),
    ],
)
def test_bad_input_ends_with_a_message_and_exit_code_1(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = mmec(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert said in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_a_wrong_flag_is_a_usage_error() -> None:
    assert mmec("build", "--taks", "all").returncode == 2


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("x")
    result = mmec("build", "--out", "out", cwd=tmp_path)
    assert result.returncode == 1
    assert "holds other files" in result.stderr
    assert (tmp_path / "out" / "precious.txt").read_text() == "x"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_with_a_message_and_leaves_nobody_at_work(tmp_path: Path, workers: str) -> None:
    command = [sys.executable, "-m", "mmecinstruct", "build", "--set", "sample.products=120"]
    process = subprocess.Popen(
        [*command, "--workers", workers],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("parse-"):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]  # ends when no worker holds stderr any more
    assert process.returncode == 130
    assert said.endswith("interrupted; run the same command again: it continues where it stopped\n")
    assert "Traceback" not in said


def test_recipes_are_listed_as_data() -> None:
    assert [line.split("\t")[0] for line in mmec("recipes").stdout.splitlines()] == [
        "abo",
        "amazon2023",
        "catalog",
        "luma-shop",
        "paper",
        "sample",
    ]


def test_task_lists_take_long_and_short_names_once() -> None:
    assert parse_task_list("all") == list(TASKS)
    assert parse_task_list("sa, cc,sentiment_analysis") == ["sentiment_analysis", "category_classification"]
    with pytest.raises(RecipeError, match="at least one"):
        parse_task_list(" , ")
