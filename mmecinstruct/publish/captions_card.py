"""The section of a published card about captions and judges. A build knows of neither: they come after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.markdown import markdown_text
from mmecinstruct.core.templating import compiled, rendered
from mmecinstruct.dataset.captions import find_captions
from mmecinstruct.dataset.card_parts import CAPTIONS_SECTION, with_section
from mmecinstruct.dataset.manifest import CARD
from mmecinstruct.schemas.captions import JUDGED_KEY, parse_captions_path, parse_kept_path

_TEMPLATE = "captions_card.md.j2"
# It stands before this section.
_FOLLOWING = "licence"


def card_with_captions(folder: Path) -> bytes:
    """Return the card of a folder as it is published: with a section on the captions that are there now.

    Args:
        folder: The dataset folder, valid.
    """
    paths = find_captions(folder)
    section = None
    if paths:
        values = {"md": markdown_text, "captions": _captions(folder, paths), "judged": _judged(folder, paths)}
        section = rendered(compiled(_TEMPLATE), values)
    text = (folder / CARD).read_text(encoding="utf-8")
    return with_section(text, CAPTIONS_SECTION, section, before=_FOLLOWING).encode()


def _captions(folder: Path, paths: list[str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        parsed = parse_captions_path(path)
        if parsed is None:
            continue
        one = found.setdefault(
            parsed[0], {"name": parsed[0], "captioners": set(), "images": 0, "captioned": 0}
        )
        table = pq.read_table(folder / path, columns=["caption", "captioner"])
        one["captioners"].update(pc.unique(table["captioner"]).to_pylist())
        one["images"] += table.num_rows
        one["captioned"] += table.num_rows - table["caption"].null_count
    return [{**one, "captioners": sorted(one["captioners"])} for one in found.values()]


def _judged(folder: Path, paths: list[str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        parsed = parse_kept_path(path)
        if parsed is None:
            continue
        name = f"{parsed[0]}/{parsed[1]}"
        table = pq.read_table(folder / path, columns=["kept"])
        told = json.loads(table.schema.metadata[JUDGED_KEY])
        one = found.setdefault(name, {"name": name, "judges": {}, "rules": {}, "kept": 0, "of": 0})
        judges = told.get("judges") if isinstance(told, dict) else None
        for judge in judges if isinstance(judges, list) else ():
            one["judges"][str(judge.get("model") if isinstance(judge, dict) else judge)] = None
        one["rules"][str(told.get("rule", "")) if isinstance(told, dict) else ""] = None
        one["kept"] += pc.sum(table["kept"]).as_py() or 0
        one["of"] += table.num_rows
    return [
        {**one, "judges": list(one["judges"]), "rule": "; or ".join(one["rules"])} for one in found.values()
    ]
