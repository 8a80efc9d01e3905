"""Pairs of pictures and of texts that are alike, between what a later split holds and what the earlier ones hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmecinstruct.audit.texts import TITLE
from mmecinstruct.duplicates.hash_index import iterate_matches_between
from mmecinstruct.duplicates.pictures import CELLS, colour_difference
from mmecinstruct.duplicates.titles import near_texts_between
from mmecinstruct.recipe.audit import AuditSettings

# left: a key of an earlier split; right: one of the later. detail: what a person is told of the likeness.
LINKS = pa.schema(
    [("kind", pa.string()), ("left", pa.string()), ("right", pa.string()), ("detail", pa.string())]
)


def near_pictures(earlier: pa.Table, later: pa.Table, settings: AuditSettings) -> pa.Table:
    """Return LINKS of pictures with other pixels that look alike.

    earlier, later: columns pixel_id, phash, thumbnail of the pictures with enough structure, each picture once.
    """
    left, right = _hashes(earlier), _hashes(later)
    left_colours, right_colours = _thumbnails(earlier), _thumbnails(later)
    left_ids, right_ids = earlier["pixel_id"].to_pylist(), later["pixel_id"].to_pylist()
    rows = []
    for pairs, distances in iterate_matches_between(left, right, settings.image_radius):
        difference = colour_difference(left_colours[pairs[:, 0]], right_colours[pairs[:, 1]])
        close = np.flatnonzero(difference <= settings.max_colour_difference)
        for place in close.tolist():
            a, b = left_ids[pairs[place, 0]], right_ids[pairs[place, 1]]
            if a != b:
                detail = f"{distances[place]} of 64 bits, colours {difference[place]:.1f} of 255 levels apart"
                rows.append({"kind": "image_near", "left": a, "right": b, "detail": detail})
    return pa.Table.from_pylist(rows, schema=LINKS)


def _hashes(pictures: pa.Table) -> NDArray[np.uint64]:
    return pictures["phash"].to_numpy().astype(np.uint64)


def _thumbnails(pictures: pa.Table) -> NDArray[np.uint8]:
    data = b"".join(pictures["thumbnail"].to_pylist())
    return np.frombuffer(data, np.uint8).reshape(-1, CELLS, 3)


def near_texts(earlier: pa.Table, later: pa.Table, settings: AuditSettings) -> pa.Table:
    """Return LINKS of texts of one unit that have nearly the same words, but not the same in the same order.

    earlier, later: columns key, unit, words (normalised), each text once.
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
