"""Score predictions of a file: our own predictions.jsonl, or another program's JSON lines or CSV. No model is loaded.

A foreign row has `id` and one of `text`, `prediction`, `answer`, `output`, which is read like a model's text.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.data.answers import parse_answer
from caslie_model.data.samples import Sample
from caslie_model.errors import RunError
from caslie_model.inference.prediction_log import HEADER, PREDICTIONS, is_prediction
from caslie_model.inference.select_samples import target_fingerprint
from caslie_model.runtime.console import say
from caslie_model.runtime.strict_json import strict_json
from mmecinstruct.core.disk_errors import shown
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import fingerprint, sha256_file

# Columns of the answer in foreign files; the first that is there is read.
ANSWER_COLUMNS = ("text", "prediction", "answer", "output")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}$")


@dataclass(frozen=True)
class SavedPredictions:
    """Predictions that were read from a file.

    Attributes:
        records: Records by id of the sample and variant, as predictions.jsonl has them.
        provenance: All that the answers depend on, as far as the file tells.
    """

    records: dict[tuple[str, str], dict[str, Any]]
    provenance: dict[str, Any]

    @property
    def published(self) -> dict[str, dict[str, Any]]:
        """The records of the samples as they are published, by id; variants are no answers to them."""
        return {name: record for (name, variant), record in self.records.items() if not variant}


def read_predictions(
    file: Path, samples: Sequence[Sample], answers: str = "letter", instruction: str = "seen"
) -> SavedPredictions:
    """Return the predictions in a file, and say what it lacks. Samples without a row stay missing, which is wrong.

    Args:
        file: JSON lines or, by the end of its name, CSV. With `predictions.header.json` beside it, it is ours.
        samples: The samples that were to be answered.
        answers: letter or text, as a foreign model was asked to answer.
        instruction: Which instruction a foreign model was given.

    Returns:
        Records and provenance.

    Raises:
        RunError: If it cannot be read, has no id of these samples, has one twice, or answers other samples than these.
    """
    header = _header(file)
    by_id = {sample.id: sample for sample in samples}
    lines: dict[tuple[str, str], int] = {}
    records: dict[tuple[str, str], dict[str, Any]] = {}
    unknown: list[str] = []
    damaged: list[int] = []
    line = 0
    for line, row in _rows(file):
        name, variant = row and row.get("id"), row and row.get("variant")
        if row is None or not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            damaged.append(line)
            continue
        key = str(name), str(variant or "")
        if key in lines:
            raise RunError(
                f"{shown(file)}: lines {lines[key]} and {line} both answer {' '.join(key).strip()}; keep one of them"
            )
        lines[key] = line
        sample = by_id.get(key[0])
        if sample is None:
            unknown.append(key[0])
            continue
        _check_target(file, line, row, sample)
        records[key] = _own(file, line, row, sample) if header else _foreign(file, line, row, sample, answers)
        records[key] |= {"id": sample.id, "variant": key[1], "task": sample.task, "split": sample.split}
    if damaged and damaged[-1] == line and not file.read_bytes().endswith(b"\n"):
        say(f"{shown(file)}: its last line ({line}) is torn: the file was cut short")
        damaged.pop()
    _tell(file, samples, records, unknown, damaged)
    return SavedPredictions(
        records,
        {"instruction": instruction, "answers": answers, "scoring": "generate", **header}
        if header
        else {
            "predictions": file.name,
            "predictions_sha256": sha256_file(file),
            "answers": answers,
            "instruction": instruction,
            "scoring": "generate",
        },
    )


def write_predictions(folder: Path, file: Path, saved: SavedPredictions, overwrite: bool) -> None:
    """Write predictions into an evaluation's folder, so that it is like any other; a file already there is kept.

    Args:
        folder: The folder of the evaluation.
        file: Where the predictions came from.
        saved: The predictions.
        overwrite: Replace other predictions.

    Raises:
        RunError: If the folder holds other predictions.
    """
    target = folder / PREDICTIONS
    if target.exists() and target.resolve() == file.resolve():
        return
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in saved.records.values())
    # Half a pair of UTF-16, which JSON can hold, is no text.
    content = "".join(f"{line}\n" for line in lines).encode(errors="replace")
    if target.exists() and not overwrite and target.read_bytes() not in (b"", content):
        raise RunError(f"{shown(folder)} holds other predictions; give another folder, or --overwrite")
    header = {"fingerprint": fingerprint(saved.provenance), "provenance": saved.provenance}
    write_atomically(folder / HEADER, (json.dumps(header, indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(target, content)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield line numbers and rows; None for a line that is no row."""
    try:
        if file.suffix.lower() == ".csv":
            with file.open(encoding="utf-8-sig", newline="") as stream:
                reader = csv.DictReader(stream)
                _check_commas(file, reader.fieldnames or ())
                for row in reader:
                    yield reader.line_num, {str(key).strip(): value for key, value in row.items()}
            return
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise RunError(f"{shown(file)}: there is no such file of predictions") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{shown(file)}: no predictions can be read: {error}") from error
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = strict_json(line)
        except ValueError:
            value = None
        yield number, value if isinstance(value, dict) else None


def _check_commas(file: Path, names: Sequence[str]) -> None:
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and "id" in names[0].split(separator) and separator in names[0]:
            raise RunError(f"{shown(file)}: its cells are separated by {name}; save it with commas")


def _header(file: Path) -> dict[str, Any]:
    """Return the provenance beside our own predictions; nothing for a foreign file."""
    path = file.with_name(HEADER)
    if file.name != PREDICTIONS or not path.is_file():
        return {}
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        found = header.get("provenance") or header["identity"]
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{shown(path)} is damaged; delete it, and answers are read from their texts"
        ) from error


def _check_target(file: Path, line: int, row: Mapping[str, Any], sample: Sample) -> None:
    target = row.get("target")
    if isinstance(target, str) and _FINGERPRINT.match(target) and target != target_fingerprint(sample):
        raise RunError(
            f"{shown(file)}:{line}: sample {sample.id} had another right answer when it was asked; give --data the "
            "dataset that was asked, or ask again"
        )


def _own(file: Path, line: int, row: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    label = row.get("prediction")
    if not is_prediction({"prediction": None, **row}) or not set(row.get("scores") or ()) <= set(
        sample.labels
    ):
        raise RunError(
            f"{shown(file)}:{line}: is no prediction of ours; delete the line: it then counts as wrong"
        )
    if label is not None and label not in sample.labels:
        raise RunError(
            f"{shown(file)}:{line}: answers {str(label)[:40]!r}, and sample {sample.id} allows "
            f"{', '.join(sample.labels)}; give --data the dataset that was asked"
        )
    return {**row, "prediction": label}


def _foreign(file: Path, line: int, row: Mapping[str, Any], sample: Sample, answers: str) -> dict[str, Any]:
    column = next((name for name in ANSWER_COLUMNS if name in row), None)
    if column is None:
        raise RunError(
            f"{shown(file)}:{line}: has none of {', '.join(ANSWER_COLUMNS)}; name the column of the answer so"
        )
    text = "" if row[column] is None else str(row[column])
    return {
        "target": target_fingerprint(sample),
        "prediction": parse_answer(text, sample.options, answers),
        "text": text,
    }


def _tell(
    file: Path,
    samples: Sequence[Sample],
    records: Mapping[tuple[str, str], Any],
    unknown: Sequence[str],
    damaged: Sequence[int],
) -> None:
    if not records:
        raise RunError(
            f"{shown(file)}: answers none of the {len(samples)} samples"
            + (
                f" (its first id is {unknown[0]})"
                if unknown
                else ": it has no row with an id, as JSON lines or, named .csv, as CSV"
            )
            + "; check --data, --tasks and --splits"
        )
    if damaged:
        say(
            f"{shown(file)}: {len(damaged)} lines are damaged or have no id, the first is line {damaged[0]}; left out"
        )
    if unknown:
        say(
            f"{shown(file)}: {len(unknown)} rows answer samples that are not evaluated, such as {unknown[0]}; left out"
        )
    missing = [sample for sample in samples if (sample.id, "") not in records]
    if missing:
        whole = {(sample.task, sample.split) for sample in samples}
        absent = sorted(whole - {(record["task"], record["split"]) for record in records.values()})
        say(
            f"{shown(file)}: {len(missing)} of {len(samples)} samples have no answer and count as wrong: "
            f"{', '.join(sample.id for sample in missing[:3])}{', …' if len(missing) > 3 else ''}"
        )
        if absent:
            say(
                f"it has nothing of {', '.join('/'.join(each) for each in absent)}; --tasks and --splits leave out "
                "what was not asked"
            )
