"""Datasets with captions, and judges at a server that answer as they are told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from caslie_model.captions.sidecar import write_captions
from mmecinstruct.schemas.captions import captions_path
from tests.servers.chat_server import Asked, Canned, completion

CC = "category_classification"


def caption_row(sample: str, position: int, role: str, caption: str | None) -> dict[str, Any]:
    return {
        "sample_id": sample,
        "position": position,
        "role": role,
        "image": "0" * 64,
        "caption": caption,
        "reason": None if caption else "cannot be read",
        "captioner": "writer",
        "fingerprint": "f" * 16,
    }


def write_captions_of(
    data: Path, name: str, task: str, split: str, captions: Mapping[str, str | None]
) -> None:
    """Write a caption of the only image of each sample."""
    rows = [caption_row(sample, 0, "product", caption) for sample, caption in captions.items()]
    write_captions(data / captions_path(name, task, split), rows, {"model": "writer"})


def captioned_data(data: Path, row: Any, write_rows: Any, captions: list[str | None]) -> Path:
    """Return a dataset of products to sort, one image each, with these captions under the name `said`."""
    rows = [
        row(
            number,
            CC,
            "test",
            input=json.dumps({"title": f"thing {number}"}),
            images=[None],
            image_roles=["product"],
        )
        for number in range(len(captions))
    ]
    write_rows(data, rows)
    write_captions_of(
        data, "said", CC, "test", {each["id"]: caption for each, caption in zip(rows, captions, strict=True)}
    )
    return data


def caption_of(asked: Asked) -> str:
    """Return the caption that a request is about."""
    [line] = [line for line in asked.text.splitlines() if line.startswith("caption of the image: ")]
    return str(json.loads(line.removeprefix("caption of the image: ")))


def by_caption(answers: Callable[[str, str], str | None]) -> Callable[[Asked], Canned]:
    """Return a server that answers by model and caption in words; None: it refuses."""

    def answer(asked: Asked) -> Canned:
        text = answers(asked.body["model"], caption_of(asked))
        if text is None:
            return Canned({"error": {"message": "refused"}}, status=400)
        return Canned(completion(text))

    return answer


def likelihoods(shares: Mapping[str, float]) -> Canned:
    """Return an answer with the probabilities of first tokens."""
    top = [{"token": token, "logprob": math.log(share)} for token, share in shares.items()]
    return Canned(completion("", logprobs={"content": [{**top[0], "top_logprobs": top}]}))


def kept_rows(data: Path, name: str, judge: str, task: str = CC, split: str = "test") -> list[dict[str, Any]]:
    found: pa.Table = pq.read_table(data / "captions" / name / "kept" / judge / f"{task}-{split}.parquet")
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows
