"""Captions and decisions beside a dataset, written without a captioner and without a judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caslie_model.captions.sidecar import write_captions
from caslie_model.data.captions import caption_fingerprint, read_captions
from caslie_model.data.samples import Sample, available_splits, read_samples
from mmecinstruct.schemas.captions import JUDGED_KEY, KEPT, captions_path, kept_path
from mmecinstruct.tasks import TASKS

ABOUT = {"model": "shop/captioner", "revision": "c0ffee", "templates": 3, "max_words": 50}
JUDGED = {"rule": "kept above a share of 0.5 of the votes", "judges": ["shop/judge-a", "shop/judge-b"]}


def text_of(sample: Sample, position: int) -> str | None:
    return f"picture {position} of {sample.id}"


def caption_all(
    data: Path,
    name: str = "made",
    text: Callable[[Sample, int], str | None] = text_of,
    out: Path | None = None,
    chosen: Callable[[Sample], bool] = lambda sample: True,
) -> Path:
    """Write captions of all images of a dataset, or of chosen samples; return the folder of `captions/`."""
    root = out or data
    for task in TASKS:
        for split in available_splits(str(data), task):
            rows = [
                {
                    "sample_id": sample.id,
                    "position": position,
                    "role": role,
                    "image": "0" * 64,
                    "caption": (found := text(sample, position)),
                    "reason": None if found is not None else "no words",
                    "captioner": ABOUT["model"],
                    "fingerprint": f"{len(sample.id):016x}",
                }
                for sample in read_samples(str(data), task, split)
                if chosen(sample)
                for position, role in enumerate(sample.image_roles)
            ]
            if rows:
                write_captions(root / captions_path(name, task, split), rows, ABOUT)
    return root


def judge_all(
    root: Path,
    keeps: Callable[[dict[str, Any]], bool],
    name: str = "made",
    judge: str = "vote",
    about: Callable[[str], dict[str, Any]] = lambda task: JUDGED,
) -> None:
    """Write decisions about all captions of a name."""
    for task in TASKS:
        for path in sorted((root / "captions" / name).glob(f"{task}-*.parquet")):
            split = path.stem.rpartition("-")[2]
            rows = [
                {
                    "sample_id": row["sample_id"],
                    "position": row["position"],
                    "caption_fingerprint": caption_fingerprint(row),
                    "kept": keeps(row),
                }
                for found in read_captions(root, name, task, split).rows.values()
                for row in found
                if row["caption"] is not None
            ]
            target = root / kept_path(name, judge, task, split)
            target.parent.mkdir(parents=True, exist_ok=True)
            schema = KEPT.with_metadata({JUDGED_KEY: json.dumps(about(task))})
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), target)
