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
        assert list(file.records) == [("one", ""), ("two", ""), ("three", "")]


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


DAMAGED = {
    "no JSON": b"nonsense",
    "no UTF-8": b'{"id": "\xff", "prediction": "A"}',
    "a number": b"3",
    "no id": b'{"prediction": "A"}',
    "an id that is a list": b'{"id": ["one"], "prediction": "A"}',
    "no prediction": b'{"id": "one"}',
    "a prediction that is a list": b'{"id": "one", "prediction": ["A"]}',
    "scores that are a number": b'{"id": "one", "prediction": "A", "scores": 5}',
    "a score that is a text": b'{"id": "one", "prediction": "A", "scores": {"A": "1"}}',
    "a score beyond all numbers": b'{"id": "one", "prediction": "A", "scores": {"A": 1e999}}',
    "tokens that are a list": b'{"id": "one", "prediction": "A", "scores": {"A": 1}, "tokens": [1]}',
    "a number of tokens that is a text": b'{"id": "one", "prediction": "A", "tokens": {"A": "1"}}',
    "absent labels that are a number": b'{"id": "one", "prediction": "A", "absent": 5}',
    "NaN": b'{"id": "one", "prediction": "A", "scores": {"A": NaN}}',
    "nesting without end": b"[" * 100_000,
    "an empty line": b"",
    "the same sample": b'{"id": "two", "prediction": "A"}',
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_damaged_lines_are_dropped_and_told(
    tmp_path: Path, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "two")
    path = tmp_path / PREDICTIONS
    path.write_bytes(line + b"\n" + path.read_bytes() + line + b"\n")
    with open_predictions(tmp_path, PROVENANCE, overwrite=False) as file:
        assert list(file.records) == [("two", "")]
        with pytest.raises(RunError, match="another run"):
            write(tmp_path, "one")
        file.append([{"id": "three", "prediction": None, "scores": {"A": None}}])
    assert "dropped 2 damaged or repeated lines" in capsys.readouterr().err
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["two", "three"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [HEADER, PREDICTIONS]
    with open_predictions(tmp_path, PROVENANCE, overwrite=False) as file:
        assert list(file.records) == [("two", ""), ("three", "")]
    assert "dropped" not in capsys.readouterr().err


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
        pytest.raises(RunError, match="another run"),
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
        assert list(file.records) == [("one", "")]
    other = {**now, "base_fingerprint": "xyz"}
    with (
        pytest.raises(RunError, match="base_fingerprint differ"),
        open_predictions(tmp_path, other, overwrite=False),
    ):
        pass


def test_half_a_character_is_replaced_when_the_file_is_mended(tmp_path: Path) -> None:
    write(tmp_path, "one")
    with (tmp_path / PREDICTIONS).open("ab") as stream:
        stream.write(b'{"id": "two", "prediction": "A", "text": "\\ud800"}\nnonsense\n')
    write(tmp_path, "three")
    lines = [json.loads(line) for line in (tmp_path / PREDICTIONS).read_text().splitlines()]
    assert [line.get("text") for line in lines] == [None, "?", None]


def test_divided_likelihoods_of_earlier_versions_do_not_mix_with_sums(tmp_path: Path) -> None:
    per_token = {**PROVENANCE, "length_normalised": True}
    with open_predictions(tmp_path, per_token, overwrite=False) as file:
        file.append([{"id": "one", "prediction": "A", "scores": {"A": -0.5, "B": -0.7}}])
    with (
        pytest.raises(RunError, match="an earlier version divided by their tokens"),
        open_predictions(tmp_path, per_token, overwrite=False),
    ):
        pass
    with open_predictions(tmp_path, per_token, overwrite=True) as file:
        file.append([{"id": "one", "prediction": "A", "scores": {"A": -1}, "tokens": {"A": 2}}])
    with open_predictions(tmp_path, per_token, overwrite=False) as file:
        assert len(file.records) == 1


def test_a_run_without_an_answer_binds_no_settings(tmp_path: Path) -> None:
    write(tmp_path)
    other = {**PROVENANCE, "answers": "letter"}
    with open_predictions(tmp_path, other, overwrite=False) as file:
        file.append([{"id": "one", "prediction": "A"}])
    with pytest.raises(RunError, match="answers differ"):
        write(tmp_path, "two")
