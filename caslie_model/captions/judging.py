"""`caslie_model judge`: which captions a dataset's prompts show, in a sidecar beside the captions.

captions/<name>/kept/<judge>/<task>-<split>.parquet    a row per caption, published with the dataset
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from caslie_model.config.judging import JudgeConfig
from caslie_model.data.captions import caption_fingerprint, captions_root, read_captions
from caslie_model.data.samples import Sample, read_samples
from caslie_model.errors import ConfigError
from caslie_model.runtime.console import say
from caslie_model.runtime.processes import process_count
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER, JUDGED_KEY, KEPT, captions_path, kept_path

# Id of the sample, and which of its images.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class JudgedCaption:
    """A caption that is judged.

    Attributes:
        sample: The sample, without captions.
        position: Which of its images.
        caption: The text.
        fingerprint: `caption_fingerprint` of its row.
        captioner: Public name of the model that wrote it.
    """

    sample: Sample
    position: int
    caption: str
    fingerprint: str
    captioner: str

    @property
    def place(self) -> Place:
        """What tells it from all others."""
        return self.sample.id, self.position

    @property
    def role(self) -> str:
        """The item that its image shows."""
        return self.sample.image_roles[self.position]


@dataclass(frozen=True)
class Decision:
    """Whether a caption is kept.

    Attributes:
        kept: Whether it is.
        score: By which it was decided, from 0 to 1; None without one.
        votes: yes, no or None (abstained) of each judge; None without votes.
        utility: Gain in log-likelihood of the right answer where it was measured.
        effect: helpful, harmful, redundant or useless, where it was measured.
    """

    kept: bool
    score: float | None = None
    votes: tuple[str | None, ...] | None = None
    utility: float | None = None
    effect: str | None = None


@dataclass(frozen=True)
class Decisions:
    """What a judge decided, and all that it depends on.

    Attributes:
        of: A decision for each caption.
        provenance: `rule` in words, `judges`, and settings; without a path of this machine.
        report: Figures that are printed and kept beside the decisions: agreement, kept shares, …
    """

    of: Mapping[Place, Decision]
    provenance: Mapping[str, Any]
    report: Mapping[str, Any] = field(default_factory=dict)


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
    source = captions_root(config.data, config.captions_from, config.captions)
    root = config.out or source
    items = read_judged(config, source)
    decisions = _decide(config, items, root)
    files = _write(config, items, decisions, root)
    captions = Counter(item.sample.task for item in items)
    kept = Counter(item.sample.task for item in items if decisions.of[item.place].kept)
    folder = root / CAPTIONS_FOLDER / config.captions / "kept" / config.folder
    for task, count in captions.items():
        say(f"{task}: {kept[task]} of {count} captions kept ({kept[task] / count:.0%})")
    return JudgeResult(folder, files, captions, kept, decisions.report)


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
    raise NotImplementedError(config.judge)


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
