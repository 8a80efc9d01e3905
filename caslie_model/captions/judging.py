"""`caslie_model judge`: which captions a dataset's prompts show, in a sidecar beside the captions.

captions/<name>/kept/<judge>/<task>-<split>.parquet    a row per caption, published with the dataset
captions/<name>/kept/<judge>/report.json               counts and figures of the last run; not published
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caslie_model.captions.asking import estimate_questions
from caslie_model.captions.decisions import Decision, Decisions, JudgedCaption
from caslie_model.captions.usefulness import usefulness_question
from caslie_model.captions.utility import decide_by_right_answer, decide_by_utility, utility_questions
from caslie_model.captions.votes import check_judges, decide_by_vote
from caslie_model.config.judging import JudgeConfig
from caslie_model.data.captions import captions_root, read_captions
from caslie_model.data.samples import read_samples
from caslie_model.errors import ConfigError
from caslie_model.runtime.console import say
from caslie_model.runtime.processes import process_count
from mmecinstruct.core.disk_errors import check_can_write
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.output_folder import CAPTION, check_output, claim_output
from mmecinstruct.schemas.captions import (
    CAPTIONS_FOLDER,
    JUDGED_KEY,
    KEPT,
    KEPT_FOLDER,
    caption_fingerprint,
    captions_path,
    kept_path,
)

REPORT = "report.json"


@dataclass(frozen=True)
class JudgeResult:
    """What a run decided.

    Attributes:
        folder: Where the decisions are: `captions/<name>/kept/<judge>`.
        files: The Parquet files.
        captions: How many captions were judged, by task.
        kept: How many of these are kept, by task.
        report: Figures of the judge.
    """

    folder: Path
    files: tuple[Path, ...]
    captions: Mapping[str, int]
    kept: Mapping[str, int]
    report: Mapping[str, Any]


def judge(config: JudgeConfig) -> JudgeResult:
    """Decide about all captions of the chosen tasks and splits, and write the decisions.

    What a model was asked before is not asked again; decisions are written anew.

    Args:
        config: The settings.

    Returns:
        Files and counts.

    Raises:
        MmecError: If captions, models or folder do not allow it; the message has the remedy.
    """
    if process_count() > 1:
        raise ConfigError(f"judge is run by one process, not by {process_count()}")
    source, root = judged_roots(config)
    items = read_judged(config, source)
    check_can_write(root)
    if root != source:
        claim_output(root, CAPTION)
    folder = root / CAPTIONS_FOLDER / config.captions / KEPT_FOLDER / config.folder
    decisions = _decide(config, items, root)
    captions = Counter(item.sample.task for item in items)
    if config.write_batch is not None:
        say("nothing is decided before the batch is answered and read")
        return JudgeResult(folder, (), captions, {}, decisions.report)
    if root != source:
        _copy_captions(config, items, source, root)
    files = _write(config, items, decisions, root)
    kept = Counter(dict.fromkeys(captions, 0))
    kept.update(item.sample.task for item in items if decisions.of[item.place].kept)
    report = {
        "judge": config.judge,
        "splits": list(config.splits),
        "captions": dict(captions),
        "kept": dict(kept),
        "report": dict(decisions.report),
    }
    write_atomically(folder / REPORT, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    _tell_others(folder, files)
    return JudgeResult(folder, files, captions, kept, decisions.report)


def estimate_judging(config: JudgeConfig) -> dict[str, Any]:
    """Return how much there would be to judge. No model is loaded, nothing is asked or written.

    Args:
        config: The settings.

    Returns:
        `captions`, and what each judge would be asked (`judges`), as `estimate_questions` returns it.

    Raises:
        MmecError: If captions, judges or folder do not allow it.
    """
    source, root = judged_roots(config)
    items = read_judged(config, source)
    estimate: dict[str, Any] = {"captions": len(items)}
    if config.judge == "vote":
        check_judges(config, items)
        questions = [usefulness_question(item) for item in items]
        estimate["judges"] = [
            estimate_questions(config, model, questions, root, config.scoring) for model in config.judges
        ]
    elif config.judges:
        asked = utility_questions(config, items)
        estimate["judges"] = [estimate_questions(config, config.judges[0], asked, root, "likelihood")]
    return estimate


def judged_roots(config: JudgeConfig) -> tuple[Path, Path]:
    """Return the folder that the judged `captions/` lies in, and the one that decisions are written below.

    Args:
        config: The settings.

    Raises:
        ConfigError: If there are no such captions, or `out` is needed.
        OutputError: If `out` is another command's folder.
    """
    source = captions_root(config.data, config.captions_from, config.captions)
    if config.out is None:
        if config.captions_from is None and not Path(config.data).is_dir():
            raise ConfigError(
                f"data={config.data} is no folder here, in which its decisions could lie; give `out`, a folder for them"
            )
        return source, source
    if config.out.resolve() == source.resolve():
        return source, source
    check_output(config.out, CAPTION, [config.data, source])
    return source, config.out


def read_judged(config: JudgeConfig, root: Path) -> list[JudgedCaption]:
    """Return the captions of the chosen tasks and splits; images without a caption are left out.

    Args:
        config: Dataset, captions, tasks and splits.
        root: The folder that `captions/` lies in.

    Raises:
        DatasetError: If there are none, or they are of samples that the dataset has not.
    """
    items: list[JudgedCaption] = []
    for task in config.tasks:
        for split in config.splits:
            if not (root / captions_path(config.captions, task, split)).is_file():
                continue
            rows = read_captions(root, config.captions, task, split).rows
            samples = {sample.id: sample for sample in read_samples(config.data, task, split)}
            for name, found in rows.items():
                if name not in samples or tuple(row["role"] for row in found) != samples[name].image_roles:
                    raise DatasetError(
                        f"captions '{config.captions}' of sample {name} ({task}/{split}) are of another dataset, or of "
                        "other images; run `caslie_model caption` again"
                    )
                items.extend(
                    JudgedCaption(
                        samples[name],
                        row["position"],
                        row["caption"],
                        caption_fingerprint(row),
                        row["captioner"],
                    )
                    for row in found
                    if row["caption"] is not None
                )
    if not items:
        raise DatasetError(
            f"{root} has no captions '{config.captions}' of these tasks in {', '.join(config.splits)}"
        )
    return items


def _decide(config: JudgeConfig, items: Sequence[JudgedCaption], root: Path) -> Decisions:
    if config.judge in ("all", "none"):
        keeps = config.judge == "all"
        rule = "all captions are kept" if keeps else "no caption is kept"
        return Decisions({item.place: Decision(keeps) for item in items}, {"rule": rule})
    if config.judge == "vote":
        return decide_by_vote(config, items, root)
    if config.judge == "utility":
        return decide_by_utility(config, items, root)
    return decide_by_right_answer(config, items, root)


def _tell_others(folder: Path, written: Sequence[Path]) -> None:
    """Say which earlier decisions of this name are left that were made in another way."""
    made = (pq.read_schema(written[0]).metadata or {}).get(JUDGED_KEY)
    others = [
        file.name
        for file in sorted(folder.glob("*.parquet"))
        if file not in written and (pq.read_schema(file).metadata or {}).get(JUDGED_KEY) != made
    ]
    if others:
        say(
            f"warning: {folder} also holds {', '.join(others)}, decided in another way: judge these tasks and splits "
            "again, or give another name"
        )


def _copy_captions(config: JudgeConfig, items: Sequence[JudgedCaption], source: Path, root: Path) -> None:
    """Put the captions beside decisions that lie elsewhere: the two are read from one folder."""
    for task, split in dict.fromkeys((item.sample.task, item.sample.split) for item in items):
        path = captions_path(config.captions, task, split)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(root / path, (source / path).read_bytes())


def _write(
    config: JudgeConfig, items: Sequence[JudgedCaption], decisions: Decisions, root: Path
) -> tuple[Path, ...]:
    """Write the decisions, a file a split, atomically; the same decisions give the same bytes."""
    rows: dict[Path, list[dict[str, Any]]] = {}
    for item in items:
        decision = decisions.of[item.place]
        path = root / kept_path(config.captions, config.folder, item.sample.task, item.sample.split)
        rows.setdefault(path, []).append(
            {
                "sample_id": item.sample.id,
                "position": item.position,
                "caption_fingerprint": item.fingerprint,
                "kept": decision.kept,
                "score": decision.score,
                "votes": None if decision.votes is None else list(decision.votes),
                "utility": decision.utility,
                "effect": decision.effect,
            }
        )
    schema = KEPT.with_metadata({JUDGED_KEY: json.dumps(dict(decisions.provenance), sort_keys=True)})
    for path, found in rows.items():
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(found, schema=schema), sink, compression="zstd")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, sink.getvalue().to_pybytes())
    return tuple(rows)
