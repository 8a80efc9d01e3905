from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import pytest

from caslie_model.errors import RunError
from caslie_model.inference.prediction_log import HEADER, PREDICTIONS, open_predictions

PROVENANCE = {"model": "m", "answers": "text"}


def write(folder: Path, *ids: str) -> None:
    with open_predictions(folder, PROVENANCE, overwrite=False) as file:
        file.append([{"id": name, "prediction": "A"} for name in ids])


def test_predictions_are_kept_and_appended_to(tmp_path: Path) -> None:
    write(tmp_path, "one", "two")
    write(tmp_path, "three")
    with open_predictions(tmp_path, PROVENANCE, overwrite=False) as file:
        assert list(file.records) == ["one", "two", "three"]


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path, "one", "two")
    path = tmp_path / PREDICTIONS
    path.write_bytes(path.read_bytes()[:-9])
    write(tmp_path, "three")
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["one", "three"]


def test_a_full_disk_loses_no_earlier_answer(tmp_path: Path) -> None:
    write(tmp_path, "one")
    path = tmp_path / PREDICTIONS
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(RunError, match="free some space and run the same again"):
            write(tmp_path, "two", "three")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    write(tmp_path, "two")
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["one", "two"]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    write(tmp_path, "one", "two")
    path = tmp_path / PREDICTIONS
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(RunError, match=r"predictions\.jsonl:1: not a prediction"):
        write(tmp_path, "three")


def test_predictions_of_another_model_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with (
        pytest.raises(RunError, match=r"\(answers differ\).*--overwrite"),
        open_predictions(tmp_path, {**PROVENANCE, "answers": "letter"}, overwrite=False),
    ):
        pass
    with open_predictions(tmp_path, {**PROVENANCE, "answers": "letter"}, overwrite=True) as file:
        assert file.records == {}


def test_predictions_without_a_header_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "one")
    (tmp_path / HEADER).unlink()
    with pytest.raises(RunError, match=r"has no predictions\.header\.json"):
        write(tmp_path, "two")


def test_two_evaluations_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with (
        open_predictions(tmp_path, PROVENANCE, overwrite=False),
        pytest.raises(RunError, match="another evaluation"),
    ):
        write(tmp_path, "one")


def test_a_header_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    now = {"base_model": "m", "base_fingerprint": "abc", "images": "shuffled"}
    with open_predictions(tmp_path, now, overwrite=False) as file:
        file.append([{"id": "one", "prediction": "A"}])
    old = {
        "fingerprint": "f",
        "identity": {"base_model": "m", "base_identity": "abc", "pictures": "shuffled"},
    }
    (tmp_path / HEADER).write_text(json.dumps(old))
    with open_predictions(tmp_path, now, overwrite=False) as file:
        assert list(file.records) == ["one"]
    other = {**now, "base_fingerprint": "xyz"}
    with (
        pytest.raises(RunError, match="base_fingerprint differ"),
        open_predictions(tmp_path, other, overwrite=False),
    ):
        pass
