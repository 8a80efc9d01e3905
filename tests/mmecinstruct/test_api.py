"""The public functions: tables as DataFrames, known errors, paths as texts."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmecinstruct as mm


def test_problems_of_a_damaged_folder_are_a_table(own_folder: Path) -> None:
    (own_folder / "README.md").unlink()
    checked = mm.validate(str(own_folder), decode=False)
    assert not checked.valid
    assert list(checked.table.columns) == ["file", "row", "sample_id", "reason", "detail"]
    assert "card_missing" in set(checked.table["reason"])
    assert len(checked.table) == len(checked.problems)


def test_findings_of_an_audit_are_a_table(sound_folder: Path) -> None:
    report = mm.audit(str(sound_folder), "sample", examples=0, workers=1)
    assert len(report.table) == len(report.findings) > 0
    first = report.table.iloc[0]
    assert (first["kind"], first["share"]) == (report.findings[0].kind, report.findings[0].share)


def test_a_split_is_loaded_by_the_short_name_of_its_task(
    sound_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    rows = mm.load(sound_folder, "mpc", split="test")
    assert set(rows["task"]) == {"multiclass_product_classification"}
    with pytest.raises(mm.MmecError, match="cannot load test_ood of multiclass"):
        mm.load(sound_folder, "mpc", split="test_ood")


def test_nothing_to_pull_is_a_known_error(tmp_path: Path) -> None:
    with pytest.raises(mm.MmecError, match="needs no publisher's files"):
        mm.pull("sample", tmp_path)


def test_a_missing_data_root_is_a_known_error(tmp_path: Path) -> None:
    with pytest.raises(mm.MmecError, match="no such folder"):
        mm.build("catalog", tmp_path / "out", data=tmp_path / "nowhere", workspace=tmp_path / "w")
