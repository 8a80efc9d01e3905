"""The command line: quick help, data on stdout, messages on stderr, messages instead of tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from mmecinstruct.api import task_names
from mmecinstruct.cli.app import app
from mmecinstruct.core.errors import RecipeError
from mmecinstruct.tasks import TASKS
from mmecinstruct.version import __version__
from mmecinstruct.web.images.takedowns import KINDS


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


def commands(group: Any, *names: str) -> dict[tuple[str, ...], Any]:
    """Return the commands of a command line by their names, those of its groups too."""
    found = {}
    for name, command in group.commands.items():
        found[(*names, name)] = command
        found |= commands(command, *names, name) if hasattr(command, "commands") else {}
    return found


COMMANDS = commands(typer.main.get_command(app))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples(names: tuple[str, ...]) -> None:
    result = mmec(*names, "-h")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Usage" in result.stdout
    if not hasattr(COMMANDS[names], "commands"):
        assert f"\n    mmec {' '.join(names)}" in result.stdout


def test_help_lists_commands_in_panels_without_escapes() -> None:
    shown = mmec("--help").stdout
    assert shown == mmec("-h").stdout
    for title in ("Build a dataset", "Raw files", "Images", "Inspect a dataset", "Publish"):
        assert f"\n{title}:\n" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("arguments", [("build", "-h"), ("build", "--taks"), ("sources",)])
def test_no_color_gives_no_escapes_on_a_terminal(arguments: tuple[str, ...]) -> None:
    ours, terminal = os.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "mmecinstruct", *arguments]
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    process.wait()
    assert len(shown) > 100
    assert b"\x1b" not in shown


def test_choices_are_shown_and_are_those_of_the_code() -> None:
    assert "<local|ray>" in mmec("build", "-h").stdout
    assert "<any|open>" in mmec("build", "-h").stdout
    assert f"<{'|'.join(KINDS)}>" in mmec("takedown", "add", "-h").stdout


def test_completion_knows_choices_and_recipes() -> None:
    def completed(*words: str) -> list[str]:
        line = " ".join(["mmec", *words])
        environment = {"_MMEC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
        code = "import sys; sys.argv[0] = 'mmec'; from mmecinstruct.cli.app import main; main()"
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        ).stdout.split()

    assert completed("build", "--executor", "r") == ["ray"]
    assert completed("build", "--recipe", "sam") == ["sample"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from mmecinstruct.cli.app import app\n"
        "assert CliRunner().invoke(app, ['build', '--help']).exit_code == 0\n"
        "heavy = ('pandas', 'pyarrow', 'datasets', 'duckdb', 'rich', 'PIL', 'torch', 'numpy', 'sklearn', 'scipy')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


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
        (("build", "--out", "a", "--workspace", "a/w"), "the workspace a/w is in it"),
        (("build", "--set", "sources=" + "[" * 4000), "nested too deeply"),
        (("build", "--set", "a." * 4000 + "b=1"), "nested too deeply"),
        (("build", "--set", "sizes={train: 1, train: 2}"), "the key 'train' is given twice"),
        (("build", "--recipe", "n" * 5000), "no recipe 'nnn"),
        (("miniature", "--out", "n" * 300), "File name too long; give a shorter name"),
        (("pull", "--recipe", "paper", "--data", "n" * 300), "File name too long; give a shorter name"),
        (("images", ".", "--out", "n" * 300), "File name too long; give a shorter name"),
    ],
)
def test_bad_input_ends_with_a_message_and_exit_code_1(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = mmec(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert said in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_clean_makes_nothing_in_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "stages" / "mine" / "old").mkdir(parents=True)
    result = mmec("clean", "--days", "0", "--workspace", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 1
    assert "it is no workspace; name the folder that builds use" in result.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine", "old", "stages"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "--taks", "all"), "No such option: --taks"),
        (("build", "--executor", "dask"), "'dask' is not one of 'local', 'ray'"),
        (("build", "--json"), "--json goes with --dry-run"),
        (("push-to-hub", "folder"), "give the dataset repository once, as user/name"),
        (("push-to-hub", "folder", "user/a", "--repo", "user/b"), "give the dataset repository once"),
        (("takedown", "add", "shop", "a"), "'shop' is not one of 'product', 'url', 'image'"),
    ],
)
def test_a_wrong_option_is_a_usage_error(arguments: tuple[str, ...], said: str) -> None:
    result = mmec(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr


def test_dry_run_shows_sizes_and_raw_files(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "reviews.json").write_text("{}\n")
    (tmp_path / "two.yaml").write_text(
        "name: two\nsizes: {train: 7}\nsources:\n"
        "  - {kind: amazon18_reviews, path: 'rev*.json'}\n"
        "  - {kind: amazon18_metadata, path: meta.json}\n"
    )
    command = ("build", "--recipe", "two.yaml", "--data", "raw", "--tasks", "sa", "--dry-run")
    shown = mmec(*command, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["amazon18_metadata", "0", "0", "meta.json"] in rows
    plan = json.loads(mmec(*command, "--json", cwd=tmp_path).stdout)
    assert plan["sizes"]["sentiment_analysis"]["train"] == 7
    assert plan["sources"][0] == {
        "kind": "amazon18_reviews",
        "files": ["reviews.json"],
        "bytes": 3,
        "missing": [],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "two.yaml"]


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("x")
    result = mmec("build", "--out", "out", cwd=tmp_path)
    assert result.returncode == 1
    assert "holds other files" in result.stderr
    assert (tmp_path / "out" / "precious.txt").read_text() == "x"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_all_workers(tmp_path: Path, workers: str) -> None:
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


def test_recipes_are_json_on_request() -> None:
    listed = json.loads(mmec("recipes", "--json").stdout)
    assert listed[0]["name"] == "abo"
    assert all(recipe["description"] for recipe in listed)


def test_reports_on_a_folder_are_json_on_request(sound_folder: Path) -> None:
    checked = mmec("validate", str(sound_folder), "--json")
    assert json.loads(checked.stdout) == {"valid": True, "folder": str(sound_folder), "problems": []}
    audited = mmec("audit", str(sound_folder), "--json", "--workers", "1")
    assert json.loads(audited.stdout)["audit_version"] == 1
    for repo in (("user/name",), ("--repo", "user/name")):
        pushed = mmec("push-to-hub", str(sound_folder), *repo, "--dry-run", "--json")
        assert json.loads(pushed.stdout)["repo"] == "user/name"


def test_a_damaged_folder_is_json_and_status_1(own_folder: Path) -> None:
    (own_folder / "README.md").unlink()
    checked = mmec("validate", str(own_folder), "--json", "--no-decode")
    assert checked.returncode == 1
    assert "card_missing" in [problem["reason"] for problem in json.loads(checked.stdout)["problems"]]


def test_task_lists_take_long_and_short_names_once() -> None:
    assert task_names("all") == tuple(TASKS)
    assert task_names("sa, cc,sentiment_analysis") == ("sentiment_analysis", "category_classification")
    assert task_names(["sa"]) == ("sentiment_analysis",)
    with pytest.raises(RecipeError, match="at least one"):
        task_names(" , ")
