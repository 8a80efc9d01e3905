"""Write the card (README.md): YAML for `load_dataset` and the Hub, and a page for people.

A card that is there keeps what people added to it (`dataset.card_parts`).

Names of categories, the recipe's description and notes are untrusted text: huggingface_hub writes the YAML, and
`markdown_text` escapes tables, links and HTML in the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.markdown import markdown_text
from mmecinstruct.core.templating import compiled, rendered
from mmecinstruct.dataset.card_parts import CardParts, card_text, split_page, with_edits
from mmecinstruct.dataset.configs import card_configs
from mmecinstruct.dataset.manifest import CARD
from mmecinstruct.recipe import Recipe
from mmecinstruct.recipe.licences import cannot_pass_on
from mmecinstruct.schemas.samples import SPLITS, TEST_OOD
from mmecinstruct.sources.publishers import publishers
from mmecinstruct.tasks import TASKS
from mmecinstruct.version import __version__

CARD_TEMPLATE = "card.md.j2"
_PAIR_KINDS = {
    "same_item": "the same item number",
    "exact_title": "the same title",
    "near_title": "nearly the same title",
    "identical_bytes": "an image of the same bytes",
    "identical_pixels": "an image of the same pixels",
    "near_image": "an image that looks nearly the same",
    "mirrored_image": "an image that is mirrored",
    "edited_image": "an image that is cropped, has a border or is covered in part",
}
# The smallest cluster size of each column of the card's table.
_CLUSTER_SIZES = (1, 2, 3, 6, 11, 51)
_SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
# Categories or reasons that a page lists at most.
_LISTED = 30


def card_metadata(recipe: Recipe, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of the card's YAML.

    Args:
        recipe: The resolved recipe.
        statistics: The content of statistics.json.
    """
    rows = statistics["rows"]
    shards = [
        f"{task}/{split}-00000-of-00001.parquet"
        for task, splits in statistics["tasks"].items()
        for split in splits
    ]
    return {
        "pretty_name": " ".join(recipe.publish.pretty_name.split()),
        "license": recipe.publish.license,
        "language": list(recipe.publish.language),
        "task_categories": ["image-text-to-text", "text-classification"],
        "size_categories": [next((name for limit, name in _SIZE_CATEGORIES if rows < limit), "n>10M")],
        "tags": ["e-commerce", "multimodal", "instruction-tuning", "image", "mmecinstruct"],
        "configs": card_configs(shards),
    }


def write_card(
    folder: Path,
    recipe: Recipe,
    statistics: Mapping[str, Any],
    fingerprint: str,
    previous: CardParts | None = None,
) -> None:
    """Write README.md.

    Args:
        folder: The dataset folder.
        recipe: The resolved recipe.
        statistics: The statistics that `write_statistics` returned.
        fingerprint: Fingerprint of everything that decided the content.
        previous: The card that this one replaces; what people added to it is kept.
    """
    # Imported here: it takes 0.3 s.
    from huggingface_hub import DatasetCardData

    tasks = [task for task in TASKS if task in statistics["tasks"]]
    summaries = [_task_summary(task, statistics["tasks"][task]) for task in tasks]
    ood_categories = {
        name for task in tasks for name in statistics["tasks"][task].get(TEST_OOD, {}).get("categories", ())
    }
    page = rendered(
        compiled(CARD_TEMPLATE),
        {
            "md": markdown_text,
            "percent": _percent,
            "recipe": recipe,
            "fingerprint": fingerprint,
            "version": __version__,
            "statistics": statistics,
            "all_splits": [
                split for split in SPLITS if any(split in statistics["tasks"][task] for task in tasks)
            ],
            "tasks": summaries,
            "sources": _sum_counters(statistics, "sources"),
            "masked": _sum_counters(statistics, "masked"),
            "swearing": [task for task in summaries if task["profanity"]],
            "ood_categories": sorted(ood_categories)[:_LISTED],
            "embedded": recipe.images.publish == "embed",
            **_credits(recipe, statistics),
            "audit": _audit(statistics),
            "duplicates": _duplicates(statistics),
            "pair_kinds": _pair_kinds(recipe, statistics),
            "hygiene": statistics.get("hygiene"),
            **_searched(recipe, statistics),
            "sampling": statistics.get("sampling"),
            "miniature": statistics.get("miniature"),
            "shortages": _shortages(statistics["sizes"]),
            "rejections": _rejections(statistics["rejections"]),
            "rejected": sum(sum(reasons.values()) for reasons in statistics["rejections"].values()),
        },
    )
    card = CardParts(card_metadata(recipe, statistics), split_page(page))
    if previous is not None:
        card = with_edits(card, previous)
    metadata = DatasetCardData(**card.metadata).to_yaml(original_order=list(card.metadata))
    write_atomically(folder / CARD, card_text(card, metadata).encode())


def _task_summary(task: str, splits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = sum(split["rows"] for split in splits.values())

    def mean(name: str, known: str) -> float | None:
        total = sum(split[known] for split in splits.values())
        return (
            sum((split[name] or 0.0) * split[known] for split in splits.values()) / total if total else None
        )

    return {
        "name": task,
        "short": TASKS[task].short_name,
        "answer": TASKS[task].answer,
        "split_note": TASKS[task].split_note,
        "sizes": {name: split["rows"] for name, split in splits.items()},
        "rows": rows,
        "images_per_row": sum(split["images"] for split in splits.values()) / rows,
        "without": sum(split["rows_without_images"] for split in splits.values()) / rows,
        "profanity": mean("profanity_share", "rows"),
        "critical": mean("visual_critical_share", "visual_critical_known"),
        "text_only": mean("mean_text_only_accuracy", "text_only_accuracy_known"),
    }


def _credits(recipe: Recipe, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card's variables of publishers: their terms, what must not be passed on, how to cite them."""
    found = statistics.get("publishers", [])
    names = {one["name"] for one in found}
    embedded = recipe.images.publish == "embed" and statistics["images"] > 0
    return {
        "publishers": found,
        "left_out": statistics.get("left_out_sources", []),
        "closed_texts": [one for one in found if cannot_pass_on(one["texts"])],
        "closed_images": [one for one in found if embedded and cannot_pass_on(one["images"])],
        "category_is_lent": "esci" in names
        and not names.isdisjoint({"amazon2014", "amazon2018", "amazon2023"}),
        "citations": [
            citation.bibtex() for one in publishers() if one.name in names for citation in one.citations
        ],
    }


def _searched(recipe: Recipe, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card's variables of masking: texts that were searched, and the counts of names left as they are."""
    hygiene = statistics.get("hygiene") or {}
    names, queries = hygiene.get("names"), hygiene.get("queries")
    left = names if names and not (recipe.curate.mask_titles and recipe.curate.mask) else None
    texts = {
        "reviews and questions": {"searched": hygiene.get("records", 0), "masked": hygiene.get("masked", {})},
        "queries": queries,
        "products: title, brand, categories": None if left else names,
    }
    searched = {name: found for name, found in texts.items() if found and found["searched"]}
    return {"searched": searched if recipe.curate.mask else {}, "names_left": left}


def _audit(statistics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the card's variables of the audit: lines that are not all 0, and the kinds without overlap."""
    summary = statistics.get("audit")
    if summary is None:
        return None
    rows: Counter[str] = Counter()
    for splits in statistics["tasks"].values():
        rows.update({split: entry["rows"] for split, entry in splits.items()})

    def cell(samples: int, later: str) -> str:
        return f"{samples} ({100 * samples / rows[later]:.1f} %)" if samples else "0"

    shared = {
        line["kind"] for line in summary["lines"] if any(line["samples"]) and line["scope"] != "by design"
    }
    return {
        "pairs": [f"{earlier} / {later}" for earlier, later in summary["pairs"]],
        "lines": [
            {
                "means": line["means"],
                "scope": line["scope"],
                "cells": [
                    cell(samples, later)
                    for samples, (_, later) in zip(line["samples"], summary["pairs"], strict=True)
                ],
            }
            for line in summary["lines"]
            if any(line["samples"])
        ],
        "clean": [
            check["means"]
            for kind, check in summary["checks"].items()
            if check["status"] == "checked" and kind not in shared
        ],
        "unchecked": [
            check
            for check in summary["checks"].values()
            if check["status"] in ("not checked", "partly checked")
        ],
        "by_design": any(line["scope"] == "by design" and any(line["samples"]) for line in summary["lines"]),
        "exceeded": summary["exceeded"][:_LISTED],
        "shortcuts": summary.get("shortcuts"),
    }


def _duplicates(statistics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the card's variables of duplicates: the counts, and the number of clusters by size."""
    counts = statistics.get("duplicates")
    if counts is None:
        return None
    # Keys of JSON are texts.
    sizes = {int(size): number for size, number in counts["cluster_sizes"].items()}
    columns = []
    for first, following in zip(_CLUSTER_SIZES, (*_CLUSTER_SIZES[1:], None), strict=True):
        last = None if following is None else following - 1
        name = f"{first}+" if last is None else f"{first}" if first == last else f"{first}–{last}"
        inside = (n for size, n in sizes.items() if size >= first and (last is None or size <= last))
        columns.append({"name": name, "clusters": sum(inside)})
    return {**counts, "columns": columns, "largest": max(sizes, default=0)}


def _pair_kinds(recipe: Recipe, statistics: Mapping[str, Any]) -> dict[str, str]:
    """Return the kinds of pairs that were searched, and what they are with."""
    counted = (statistics.get("duplicates") or {"pairs": {}})["pairs"]
    left_out = set() if recipe.duplicates.second_look else {"edited_image"}
    return {kind: what for kind, what in _PAIR_KINDS.items() if kind in counted and kind not in left_out}


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{100 * share:.1f} %"


def _sum_counters(statistics: Mapping[str, Any], name: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for splits in statistics["tasks"].values():
        for split in splits.values():
            for key, count in split[name].items():
                total[key] = total.get(key, 0) + count
    return dict(sorted(total.items()))


def _shortages(sizes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {"task": task, "split": split, **entry}
        for task, splits in sizes.items()
        for split, entry in splits.items()
        if entry["chosen"] < entry["wanted"]
    ]


def _rejections(stages: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, int]]:
    rows = [(stage, reason, count) for stage, reasons in stages.items() for reason, count in reasons.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))[:_LISTED]
