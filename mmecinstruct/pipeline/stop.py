"""What a build says that has nothing to write: which records were rejected, why, and what to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.duckdb import Budget
from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.shown import shown_text
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import REJECTIONS_FILE
from mmecinstruct.pipeline.assemble import publishable
from mmecinstruct.pipeline.origins import traced_rejections
from mmecinstruct.schemas.tables import PUBLISHED_REJECTIONS
from mmecinstruct.stages.files import CuratedTables

# The reasons that the message names.
LISTED_REASONS = 6

_COLUMN = "see that the recipe names the right column"
_IDS = "the ids must be those of the product table"
_IMAGE = "map a column of images, mend them, or set tasks.<task>.require_images: none"
_LOCAL = "put the files below images.folders, or correct the paths"
_CATEGORY = "map products.category, or add a source with categories"
REMEDIES = {
    "bad_label": "say in the recipe's names what the value means",
    "bad_rating": "ratings are 1 to 5 whole stars",
    "bad_row": "mend the rows, or set quoting: none where quotes are characters",
    "blank": "lower images.min_deviation if the images are right",
    "broken_json": "write one JSON object per line",
    "crosses_splits": "set split.scheme: communities, or give split.train a larger share",
    "dead_path": _LOCAL,
    "k_core": "lower tasks.sequential_recommendation.k_core",
    "missing_id": _COLUMN,
    "missing_image": _IMAGE,
    "missing_text": _COLUMN,
    "missing_title": _COLUMN,
    "no_category": _CATEGORY,
    "no_fine_category": _CATEGORY,
    "no_local_copy": "set fetch.enabled: true, or name a folder of the images in images.mirrors",
    "no_text": _COLUMN,
    "no_timestamp": "map reviews.timestamp, and say reviews.day_first where days and months are numbers",
    "no_user": "map reviews.user",
    "no_web_address": "publish images that are files with images.read: true",
    "not_utf8": "save the file as UTF-8",
    "other_language": "add the language to curate.languages",
    "other_locale": "name the locale in the source",
    "outside_folders": "add their folder to images.folders, or choose a data root that holds it (--data)",
    "placeholder": "raise images.max_products_per_image if products share the image rightly, or group them",
    "too_few_candidates": "lower tasks.sequential_recommendation.candidates",
    "too_few_categories": "products need two categories at least",
    "too_few_items": "lower tasks.sequential_recommendation.min_history",
    "too_small": "lower images.min_side if the images are right",
    "unknown_product": _IDS,
    "no_product": _IDS,
    "unmapped_relation": "add the word to relations.names",
}


class NothingToBuild(RecipeError):
    """There is no product, or no sample of any task. tables: the curated tables, where there are any."""

    def __init__(self, message: str, tables: CuratedTables | None = None) -> None:
        """Take the message and the tables."""
        super().__init__(message)
        self.tables = tables


def rejections_of_stop(workspace: Path) -> Path:
    """Return where a build that stops writes its rejections."""
    return workspace / REJECTIONS_FILE


def explained_stop(run: Run, stop: NothingToBuild, budget: Budget) -> RecipeError:
    """Write the rejections of a build that stops into its workspace; return the error that names them.

    Args:
        run: The stages that were run.
        stop: Why there is nothing to write.
        budget: The resources of the queries.
    """
    paths = [path for output in run.outputs for path in output.files(REJECTIONS_FILE)]
    run.verify_read(paths)
    target = rejections_of_stop(run.workspace.folder)
    if not paths:
        return RecipeError(str(stop))
    with traced_rejections(paths, stop.tables, (), target.with_name("origins"), budget) as parts:
        found = list(parts)
    rejections = pa.concat_tables([PUBLISHED_REJECTIONS.empty_table(), *map(publishable, found)])
    sink = pa.BufferOutputStream()
    pq.write_table(rejections, sink, compression="zstd")
    write_atomically(target, sink.getvalue().to_pybytes())
    lines = frequent_reasons(found)
    return RecipeError(
        "\n  ".join([str(stop), f"rejections, the most frequent first (all: {target}):", *lines])
    )


def frequent_reasons(parts: Iterable[pa.Table]) -> list[str]:
    """Return a line for each of the most frequent reasons: how many, an example, and the remedy.

    Args:
        parts: Tables of PUBLISHED_REJECTIONS.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], dict[str, str]] = {}
    for part in parts:
        rows = part.select(["stage", "reason", "detail", "origin", "record_id", "image_url"])
        for row in rows.to_pylist():
            key = row["stage"], row["reason"], _cause(row)
            counts[key] += 1
            examples.setdefault(key, row)
    lines = []
    for key, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:LISTED_REASONS]:
        stage, reason, cause = key
        named = f"{reason}: {cause}" if cause else reason
        lines.append(
            f"{count} {named} ({stage}), such as {_example(examples[key])}{_remedy(cause or reason)}"
        )
    return lines


def _cause(row: Mapping[str, str]) -> str:
    """Return why the first image of a sample is missing: `product: placeholder, a.jpg` says placeholder."""
    if row["reason"] != "missing_image":
        return ""
    cause = row["detail"].partition(": ")[2].partition(", ")[0]
    return cause if cause in REMEDIES else ""


def _example(row: dict[str, str]) -> str:
    named: Sequence[str | None] = (row["origin"], row["image_url"] or row["record_id"])
    where = ", ".join(one for one in named if one)
    return shown_text(f"{where}: {row['detail']}" if row["detail"] else where)


def _remedy(reason: str) -> str:
    return f"; {REMEDIES[reason]}" if reason in REMEDIES else ""
