"""The command `caslie_model baseline`, and the function behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import caslie_model
from caslie_model.baselines.baseline import Baseline
from caslie_model.baselines.known import BASELINES
from caslie_model.baselines.trivial import fit_first_option, fit_majority
from caslie_model.cli.app import app
from mmecinstruct.core.errors import MmecError


def test_list_names_all_baselines_and_what_they_do() -> None:
    shown = CliRunner().invoke(app, ["baseline", "list"])
    assert shown.exit_code == 0
    for baseline in BASELINES.values():
        assert f"{baseline.name} " in shown.stdout
        assert baseline.what in shown.stdout
    rows = json.loads(CliRunner().invoke(app, ["baseline", "list", "--json"]).stdout)
    assert [row["name"] for row in rows] == list(BASELINES)


def test_a_name_writes_a_folder_as_evaluate_does(dataset: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(dataset), "--tasks", "sa", "--splits", "test"]
    out = tmp_path / "command"
    done = CliRunner().invoke(app, ["baseline", "majority", *arguments, "--out", str(out)])
    assert done.exit_code == 0, done.output
    caslie_model.evaluate("baseline:majority", dataset, tmp_path / "asked", tasks=["sa"], splits=["test"])
    for name in ("predictions.jsonl", "predictions.header.json", "metrics.json"):
        assert (out / name).read_bytes() == (tmp_path / "asked" / name).read_bytes()
    compared = caslie_model.compare(out, tmp_path / "asked", resamples=100)
    assert compared.table["difference"].tolist() == [0.0]


def test_all_writes_a_folder_for_each_baseline_that_fits(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {
        "majority": Baseline("majority", "x", fit_majority),
        "of-sr": Baseline("of-sr", "x", fit_first_option, tasks=("sr",)),
        "of-cc": Baseline("of-cc", "x", fit_first_option, tasks=("cc",)),
    }
    # In reverse, as they are put back from the last one on.
    for name in reversed(list(BASELINES)):
        monkeypatch.delitem(BASELINES, name)
    for name, baseline in few.items():
        monkeypatch.setitem(BASELINES, name, baseline)
    done = CliRunner().invoke(app, ["baseline", "all", "--data", str(dataset), "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["majority", "of-sr"]
    assert f"of-cc: left out: {dataset} has no training samples of cc" in done.stderr
    tasks = {each["task"] for each in json.loads((tmp_path / "of-sr/metrics.json").read_text())["results"]}
    assert tasks == {"sequential_recommendation"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["tfidf", "--out", "o"], 2, "needed but with `list`"),
        (["nothing", "--data", "{data}", "--out", "{out}"], 1, "no baseline 'nothing'; there are majority,"),
    ],
)
def test_wrong_use_is_a_message_and_a_status(
    arguments: list[str], status: int, message: str, dataset: Path, tmp_path: Path
) -> None:
    filled = [each.format(data=dataset, out=tmp_path / "out") for each in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "caslie_model", "baseline", *filled],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("data", "tasks", "message"),
    [
        ("no-such-folder", "all", "no dataset 'no-such-folder'"),
        (None, "xx", "no such task: xx"),
        (None, "cc", "no task with training samples"),
    ],
)
def test_data_and_tasks_that_do_not_fit_are_named(
    data: str | None, tasks: str, message: str, dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(MmecError, match=message):
        caslie_model.baseline("all", data or dataset, tmp_path / "out", tasks=tasks)
