"""Captions of a dataset's images: a sidecar of the dataset folder, which leaves the dataset itself as it is.

captions/<captioner>/<task>-<split>.parquet                 captions
captions/<captioner>/kept/<judge>/<task>-<split>.parquet    which of them a judge keeps
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.schemas.samples import SPLITS

CAPTIONS_FOLDER = "captions"
KEPT_FOLDER = "kept"
# Keys of the files' metadata: all that captions, or decisions about them, depend on, as JSON.
PROVENANCE_KEY = b"captions"
JUDGED_KEY = b"judged"

# A row is an image of a sample. It has a caption, or the reason why it has none.
CAPTIONS = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        # Of the sample's images, from 0.
        pa.field("position", pa.int32(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        # SHA-256 of the embedded bytes, hexadecimal.
        pa.field("image", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("reason", pa.string()),
        # Public name of the model.
        pa.field("captioner", pa.string(), nullable=False),
        # Of the model, its decoding and the prompt.
        pa.field("fingerprint", pa.string(), nullable=False),
    ]
)

# A row is a caption, and whether it is kept. Images without a caption have no row.
KEPT = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        # Of the caption that was judged: of its row's fingerprint and its text.
        pa.field("caption_fingerprint", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        # From 0 to 1, by which it was decided: share of the votes, or probability that it helps. Null without one.
        pa.field("score", pa.float64()),
        # yes, no or null (abstained) by judge, in the order of the judges in the metadata. Null without votes.
        pa.field("votes", pa.list_(pa.string())),
        # Gain in log-likelihood of the right answer, of rows where it was measured, and what it means: helpful,
        # harmful, redundant or useless.
        pa.field("utility", pa.float64()),
        pa.field("effect", pa.string()),
    ]
)

_NAME = r"[A-Za-z0-9][\w.-]{0,63}"
_PATH = re.compile(rf"{CAPTIONS_FOLDER}/({_NAME})/(\w+?)-({'|'.join(SPLITS)})\.parquet", flags=re.ASCII)

_KEPT_PATH = re.compile(
    rf"{CAPTIONS_FOLDER}/({_NAME})/{KEPT_FOLDER}/({_NAME})/(\w+?)-({'|'.join(SPLITS)})\.parquet",
    flags=re.ASCII,
)


def is_captioner_name(name: str) -> bool:
    """Return whether a folder of captions, or of a judge's decisions, may have this name."""
    # Settings say `none` for no captions.
    return name != "none" and re.fullmatch(_NAME, name, flags=re.ASCII) is not None


def caption_fingerprint(row: Mapping[str, Any]) -> str:
    """Return the fingerprint of a caption that decisions are about: of how it was made, and of its text."""
    return fingerprint([row["fingerprint"], row["caption"]])[:16]


def captions_path(name: str, task: str, split: str) -> str:
    """Return the path of captions below the dataset folder."""
    return f"{CAPTIONS_FOLDER}/{name}/{task}-{split}.parquet"


def parse_captions_path(path: str) -> tuple[str, str, str] | None:
    """Return (name, task, split) of captions' path below the dataset folder, None for another path."""
    match = _PATH.fullmatch(path)
    return None if match is None else (match[1], match[2], match[3])


def kept_path(name: str, judge: str, task: str, split: str) -> str:
    """Return the path of a judge's decisions below the dataset folder."""
    return f"{CAPTIONS_FOLDER}/{name}/{KEPT_FOLDER}/{judge}/{task}-{split}.parquet"


def parse_kept_path(path: str) -> tuple[str, str, str, str] | None:
    """Return (name, judge, task, split) of decisions' path below the dataset folder, None for another path."""
    match = _KEPT_PATH.fullmatch(path)
    return None if match is None else (match[1], match[2], match[3], match[4])


def parse_choice(choice: str) -> tuple[str, str | None] | None:
    """Return (name, judge) of captions as settings name them: `NAME`, or `NAME/JUDGE` for those that a judge keeps.

    Args:
        choice: The text.

    Returns:
        The names, no judge where all captions are kept; None for a text of another form.
    """
    name, slash, judge = choice.partition("/")
    if not is_captioner_name(name) or (slash and not is_captioner_name(judge)):
        return None
    return name, judge if slash else None
