"""Statistics of a dataset folder, counted from the finished shards, with shortages and rejections."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmecinstruct.core.files import write_atomically
from mmecinstruct.dataset.manifest import STATISTICS
from mmecinstruct.dataset.shards import REJECTIONS_PATH, find_shards, parse_shard_path
from mmecinstruct.recipe import Recipe
from mmecinstruct.recipe.licences import ORIGIN_SEPARATOR, apply_licences, credits
from mmecinstruct.schemas.samples import SCHEMA_VERSION
from mmecinstruct.splits.empty_splits import empty_splits
from mmecinstruct.text.pii import TOKENS
from mmecinstruct.text.profanity import count_profanity
from mmecinstruct.version import __version__

_TEXTS = ("instruction", "input", "options", "output")
_COLUMNS = (
    *("source", "category", *_TEXTS, "image_ids", "image_urls", "image_roles", "product_ids"),
    *("visual_critical", "text_only_accuracy"),
)
_KIND_OF_TOKEN = {token: kind for kind, token in TOKENS.items()}
_TOKEN = re.compile("|".join(map(re.escape, _KIND_OF_TOKEN)))


@dataclass
class _Tally:
    """Running counts of one split of a task; memory grows with distinct products and images, not rows."""

    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    images: int = 0
    image_ids: set[str] = field(default_factory=set)
    products: set[str] = field(default_factory=set)
    rows_without_images: int = 0
    visual_known: int = 0
    visual_critical: int = 0
    accuracies: list[float] = field(default_factory=list)
    characters: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    profane: int = 0

    def add(self, row: Mapping[str, Any], swear_words: int) -> None:
        self.rows += 1
        texts = (row["input"], *row["options"])
        self.masked.update(_KIND_OF_TOKEN[token] for text in texts for token in _TOKEN.findall(text))
        self.profane += swear_words > 0
        self.labels[row["output"]] += 1
        self.categories[row["category"] or ""] += 1
        self.sources[row["source"]] += 1
        prefixes = {product.partition(":")[0] for product in row["product_ids"]}
        self.origins[ORIGIN_SEPARATOR.join(sorted(prefixes))] += 1
        # "history 3" and "option B" are counted as history and option.
        self.roles.update(role.split(" ")[0] for role in row["image_roles"])
        self.images += len(row["image_ids"])
        # An image that was not read has no id and is identified by its URL.
        self.image_ids.update(
            image_id or url for image_id, url in zip(row["image_ids"], row["image_urls"], strict=True)
        )
        self.products.update(row["product_ids"])
        self.rows_without_images += not row["image_ids"]
        if row["visual_critical"] is not None:
            self.visual_known += 1
            self.visual_critical += row["visual_critical"]
        if row["text_only_accuracy"] is not None:
            self.accuracies.append(row["text_only_accuracy"])
        for name in _TEXTS:
            value = row[name]
            self.characters[name] += len(value) if isinstance(value, str) else sum(map(len, value))

    def result(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "labels": dict(sorted(self.labels.items())),
            "categories": dict(sorted(self.categories.items())),
            "sources": dict(sorted(self.sources.items())),
            "origins": dict(sorted(self.origins.items())),
            "products": len(self.products),
            "images": self.images,
            "distinct_images": len(self.image_ids),
            "image_roles": dict(sorted(self.roles.items())),
            "rows_without_images": self.rows_without_images,
            "visual_critical_known": self.visual_known,
            "visual_critical_share": _share(self.visual_critical, self.visual_known),
            "text_only_accuracy_known": len(self.accuracies),
            "mean_text_only_accuracy": _share(math.fsum(self.accuracies), len(self.accuracies)),
            "masked": dict(sorted(self.masked.items())),
            "profanity_share": _share(self.profane, self.rows),
            "mean_characters": {name: _share(self.characters[name], self.rows) for name in _TEXTS},
        }


def collect_statistics(folder: Path) -> dict[str, Any]:
    """Count the finished shards of a folder, without reading pixels.

    Args:
        folder: The dataset folder.

    Returns:
        {"rows", "products", "images", "distinct_images", "tasks": {task: {split: counts}}}. Shares and means are null
        if nothing is known. `origins` counts samples by the prefixes of their products' ids, `masked` the tokens of
        masked personal data in the inputs, and `profanity_share` is the share of inputs with swear words. The empty
        category counts samples without one.
    """
    tallies: dict[tuple[str, str], _Tally] = {}
    for path in find_shards(folder):
        parsed = parse_shard_path(path)
        assert parsed is not None
        tally = tallies.setdefault(parsed[:2], _Tally())
        with pq.ParquetFile(folder / path) as file:
            for batch in file.iter_batches(batch_size=1000, columns=list(_COLUMNS)):
                swear_words = count_profanity(batch["input"])[0].to_pylist()
                for row, count in zip(batch.to_pylist(), swear_words, strict=True):
                    tally.add(row, count)
    tasks: dict[str, dict[str, Any]] = {}
    for (task, split), tally in tallies.items():
        tasks.setdefault(task, {})[split] = tally.result()
    return {
        "rows": sum(tally.rows for tally in tallies.values()),
        "products": len(set().union(*(tally.products for tally in tallies.values()))),
        "images": sum(tally.images for tally in tallies.values()),
        "distinct_images": len(set().union(*(tally.image_ids for tally in tallies.values()))),
        "tasks": tasks,
    }


def count_rejections(folder: Path) -> dict[str, dict[str, int]]:
    """Return the number of rejected rows per stage and reason."""
    counts: Counter[tuple[str, str]] = Counter()
    with pq.ParquetFile(folder / REJECTIONS_PATH) as file:
        for batch in file.iter_batches(columns=["stage", "reason"]):
            counts.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    stages: dict[str, dict[str, int]] = {}
    for (stage, reason), count in sorted(counts.items()):
        stages.setdefault(stage, {})[reason] = count
    return stages


def write_statistics(
    folder: Path,
    recipe: Recipe,
    sizes: Mapping[str, Mapping[str, Mapping[str, Any]]],
    missing: Mapping[str, Sequence[str]],
    stages: Sequence[Mapping[str, Any]],
    audit: Mapping[str, Any] | None = None,
    measured: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Count the shards and rejections of a folder and write statistics.json.

    Beside the counts it lists `publishers`, the publishers of the samples' records with their terms, and
    `left_out_sources`, the sources that the recipe's licences exclude, and `empty_splits`, those that the recipe wants
    and that have no sample.

    Args:
        folder: The dataset folder.
        recipe: The resolved recipe.
        sizes: Per task and split: wanted, available and chosen samples, and a note where data did not suffice.
        missing: Missing tables of each task that could not be built.
        stages: Rows in, kept, rejected and not sampled of each stage.
        audit: The summary of the audit (`AuditReport.summary`).
        measured: Counts of single stages by name: `hygiene` (tokens and swear words of all reviews and questions, and
            tokens of `queries` and `names`),
            `duplicates` (pairs, clusters and their sizes), `sampling` (rows, and rows that were not sampled), and
            `miniature` (number of synthetic raw files).

    Returns:
        The content of statistics.json.
    """
    counted = collect_statistics(folder)
    chosen = apply_licences(recipe)
    statistics = {
        "schema_version": SCHEMA_VERSION,
        "project_version": __version__,
        "recipe": recipe.name,
        **counted,
        "publishers": credits(chosen.recipe, counted["tasks"]),
        "left_out_sources": list(chosen.left_out),
        "sizes": {
            task: {split: dict(entry) for split, entry in splits.items()} for task, splits in sizes.items()
        },
        "empty_splits": empty_splits(recipe, sizes),
        "missing_tasks": {task: list(why) for task, why in missing.items()},
        "stages": [dict(stage) for stage in stages],
        **{stage: dict(counts) for stage, counts in (measured or {}).items()},
        "rejections": count_rejections(folder),
        "audit": None if audit is None else dict(audit),
    }
    text = json.dumps(statistics, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / STATISTICS, text.encode())
    return statistics


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
