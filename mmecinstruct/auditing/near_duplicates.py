"""Find near images and near texts between a later split and the earlier ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.auditing.texts import TITLE
from mmecinstruct.duplicates.images import CELLS, Images, near_images_between
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.duplicates.titles import near_texts_between
from mmecinstruct.recipe import AuditSettings

# left: a key of an earlier split; right: a key of the later one. detail: the distance, for a person.
LINKS = pa.schema(
    [("kind", pa.string()), ("left", pa.string()), ("right", pa.string()), ("detail", pa.string())]
)


def near_images(earlier: pa.Table, later: pa.Table, settings: AuditSettings) -> pa.Table:
    """Return LINKS of near images with different pixels.

    Args:
        earlier: Columns pixel_id, phash, thumbnail of the earlier splits' images with enough structure, each once.
        later: The same of the later split.
        settings: Thresholds of near images.
    """
    thresholds = DuplicateSettings(
        image_radius=settings.image_radius, max_colour_difference=settings.max_colour_difference
    )
    left, right = _to_match(earlier), _to_match(later)
    rows = []
    for i, j, bits, colours in near_images_between(left, right, thresholds):
        a, b = left.image_ids[i], right.image_ids[j]
        if a != b:
            detail = f"{bits} of 64 bits, colours {colours:.1f} of 255 levels apart"
            rows.append({"kind": "image_near", "left": a, "right": b, "detail": detail})
    return pa.Table.from_pylist(rows, schema=LINKS)


def _to_match(images: pa.Table) -> Images:
    thumbnails = b"".join(images["thumbnail"].to_pylist())
    return Images(
        images["pixel_id"].to_pylist(),
        images["phash"].to_numpy().astype(np.uint64),
        np.frombuffer(thumbnails, np.uint8).reshape(-1, CELLS, 3),
    )


def near_texts(earlier: pa.Table, later: pa.Table, settings: AuditSettings) -> pa.Table:
    """Return LINKS of texts of one unit with nearly the same words; identical texts are left out.

    Args:
        earlier: Columns key, unit, words (normalised) of the earlier splits' texts, each once.
        later: The same of the later split.
        settings: Threshold of near texts.
    """
    rows = []
    for unit in pc.unique(later["unit"]).to_pylist():
        left, right = (table.filter(pc.equal(table["unit"], unit)) for table in (earlier, later))
        left_keys, right_keys = left["key"].to_pylist(), right["key"].to_pylist()
        pairs, similarities = near_texts_between(
            left["words"].to_pylist(), right["words"].to_pylist(), settings.text_similarity
        )
        kind = "title_near" if unit == TITLE else "text_near"
        for (a, b), similarity in zip(pairs.tolist(), similarities.tolist(), strict=True):
            if left_keys[a] != right_keys[b]:
                detail = f"similarity {similarity:.2f}"
                rows.append({"kind": kind, "left": left_keys[a], "right": right_keys[b], "detail": detail})
    return pa.Table.from_pylist(rows, schema=LINKS)
