"""The command `caslie_model judge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from caslie_model.cli.app import app
from tests.caslie_model.captions.judges import CC, by_caption, captioned_data
from tests.servers.chat_server import ChatServer

RUNNER = CliRunner()


@pytest.fixture
def given(tmp_path: Path, row: Any, write_rows: Any) -> list[str]:
    data = captioned_data(tmp_path / "data", row, write_rows, ["Red.", "Blue.", None])
    return ["judge", "--data", str(data), "--captions", "said", "--judge", "vote"]


def test_the_command_prints_a_table_or_json(given: list[str]) -> None:
    with ChatServer(by_caption(lambda model, caption: "yes" if caption == "Red." else "no")) as server:
        given += ["--judges", "openai:a,openai:b", "--server", server.url, "--set", "scoring=generate"]
        counted = RUNNER.invoke(app, [*given, "--dry-run"])
        assert counted.exit_code == 0, counted.output
        assert "captions  2" in counted.stdout
        assert server.asked == []
        shown = RUNNER.invoke(app, given)
        assert shown.exit_code == 0, shown.output
        printed = RUNNER.invoke(app, [*given, "--json"])
    head, line, whole, _, _, *judges = shown.stdout.splitlines()
    assert head.split() == ["task", "captions", "kept", "share", "alpha", "units"]
    assert line.split() == [CC, "2", "1", "0.500", "1.000", "2"]
    assert whole.split() == ["all", "2", "1", "0.500", "1.000", "2"]
    assert [each.split()[:4] for each in judges] == [["a", "2", "1", "1"], ["b", "2", "1", "1"]]
    assert "written:" in shown.stderr
    found = json.loads(printed.stdout)
    assert found["kept"] == {CC: 1}
    assert found["report"]["agreement"]["alpha"] == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "name the models that vote as judges"),
        (["--judges", "openai:a"], "give `server`"),
        (["--judges", "random:tiny", "--server", "http://127.0.0.1:9"], "goes with a model of a server"),
        (["--judges", "random:tiny", "--captions", "said/vote"], "without a judge"),
        (["--judges", "random:tiny", "--captions", "other"], "there are: said"),
        (["--judges", "random:tiny", "--tasks", "sa"], "no captions 'said' of these tasks"),
        (["--judges", "no/such folder"], "no model"),
    ],
)
def test_bad_input_is_a_message(given: list[str], more: list[str], said: str) -> None:
    result = RUNNER.invoke(app, [*given, *more])
    assert result.exit_code != 0
    assert said in str(result.exception) + result.output
