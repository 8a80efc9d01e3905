"""Schemas of samples: as a task builder returns them, and as they are published.

`SCHEMA_VERSION` follows semantic versioning in two parts: a new column that may be ignored raises the
second number; a removed, renamed or re-interpreted column raises the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from datasets import Features

SCHEMA_VERSION = "1.1"
# Versions that are read: 1.0 has no `group_ids.groups`.
READ_VERSIONS = ("1.0", SCHEMA_VERSION)

TRAIN, VALIDATION, TEST, TEST_OOD = "train", "validation", "test", "test_ood"
SPLITS: tuple[str, ...] = (TRAIN, VALIDATION, TEST, TEST_OOD)

_STRINGS = pa.list_(pa.string())

# The output of a task builder: everything but the wording.
UNRENDERED = pa.schema(
    [
        ("id", pa.string()),  # hash of the task and the source records
        ("task", pa.string()),
        # Top-level product category; the first product's where there are two.
        ("category", pa.string()),
        ("source", pa.string()),
        # Canonical JSON: an object of input fields; sr: a list of item texts.
        ("fields", pa.string()),
        # Texts without letters; empty for yes/no tasks and for fixed label sets.
        ("options", _STRINGS),
        ("output", pa.string()),  # yes | no | a letter
        # Counted by a label balance: the output; for cc the answer's category.
        ("label", pa.string()),
        (
            # Wanted images in order. Of each role's candidates the first valid one is taken.
            "images",
            pa.list_(
                pa.struct(
                    [
                        ("role", pa.string()),
                        ("product_id", pa.string()),
                        ("image_urls", _STRINGS),
                    ]
                )
            ),
        ),
        ("product_ids", _STRINGS),
        ("user_id", pa.string()),  # null where no user is involved
        ("query_id", pa.string()),  # null where no query is involved
        # Source records besides products: question_id, review_id and others.
        ("record_ids", _STRINGS),
    ]
)


def published_features(version: str = SCHEMA_VERSION) -> Features:
    """Return the `datasets` features of a published sample of this version, or of an earlier one."""
    from datasets import Features, Image, List, Value

    string, strings = Value("string"), List(Value("string"))
    groups = {"products": strings, "clusters": strings, "user": Value("int64"), "query": string}
    if version != "1.0":
        groups["groups"] = strings  # of variants, as the source names them
    return Features(
        {
            "id": string,
            "task": string,
            "split": string,
            "setting": string,  # IND | OOD
            "category": string,
            "source": string,
            "instruction": string,
            "instruction_id": string,
            "instruction_unseen": string,  # test rows only, else null
            "instruction_unseen_id": string,
            "input": string,  # JSON text
            "options": strings,  # "A: …"; empty for yes/no tasks
            "output": string,  # yes | no | a letter
            "images": List(Image()),
            "image_roles": strings,
            "image_urls": strings,
            "image_ids": strings,
            "image_product_ids": strings,
            "product_ids": strings,
            "group_ids": groups,
            "visual_critical": Value("bool"),
            "text_only_accuracy": Value("float64"),
            "schema_version": string,
        }
    )


def published_schema(version: str = SCHEMA_VERSION) -> pa.Schema:
    """Return the Arrow schema of a published shard, with the `huggingface` metadata that makes images."""
    schema: Any = published_features(version).arrow_schema
    return schema
