"""Captions of a dataset's images: a sidecar of the dataset folder, which leaves the dataset itself as it is.

captions/<captioner>/<task>-<split>.parquet
"""

from __future__ import annotations

import re

import pyarrow as pa

from mmecinstruct.schemas.samples import SPLITS

CAPTIONS_FOLDER = "captions"
# Key of the file's metadata: all that its captions depend on, as JSON.
PROVENANCE_KEY = b"captions"

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

_NAME = r"[A-Za-z0-9][\w.-]{0,63}"
_PATH = re.compile(rf"{CAPTIONS_FOLDER}/({_NAME})/(\w+?)-({'|'.join(SPLITS)})\.parquet", flags=re.ASCII)


def is_captioner_name(name: str) -> bool:
    """Return whether a folder of captions may have this name."""
    return re.fullmatch(_NAME, name, flags=re.ASCII) is not None


def captions_path(name: str, task: str, split: str) -> str:
    """Return the path of captions below the dataset folder."""
    return f"{CAPTIONS_FOLDER}/{name}/{task}-{split}.parquet"


def parse_captions_path(path: str) -> tuple[str, str, str] | None:
    """Return (name, task, split) of captions' path below the dataset folder, None for another path."""
    match = _PATH.fullmatch(path)
    return None if match is None else (match[1], match[2], match[3])
