"""Render a task's selected samples: instruction, input, options and output from templates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.core.shown import published_url
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem
from mmecinstruct.recipe import InstructionSettings, Recipe
from mmecinstruct.schemas.samples import SCHEMA_VERSION, published_schema
from mmecinstruct.stages.index import USERS, USERS_FILE
from mmecinstruct.stages.select_samples import SELECTED_FILE
from mmecinstruct.web.addresses import MAX_URL_LENGTH

RENDERED_FILE = "rendered.parquet"
ITEM_ROWS = 1000  # some tenths of a second


@dataclass(frozen=True, kw_only=True)
class Render(Stage):
    """Write rendered.parquet: published rows without pixels, on which the oracle has not yet decided."""

    name = "render"
    version = 4
    libraries = ("jinja2",)

    task: str
    selected: Files
    users: Files
    templates: Files
    instructions: InstructionSettings
    seed: int

    @property
    def label(self) -> str:
        """The stage's name with the task."""
        return f"{self.name}-{self.task}"

    def items(self) -> Sequence[WorkItem]:
        """Cut the selected samples by their number; a payload is the range of an item."""
        (path,) = self.selected.paths
        rows = pq.read_metadata(path).num_rows
        return [
            WorkItem(f"{start // ITEM_ROWS:06d}", (start, min(start + ITEM_ROWS, rows)))
            for start in range(0, rows, ITEM_ROWS)
        ]

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Render a range of the selected samples."""
        from mmecinstruct.tasks.render import render_samples

        selected = read_rows(self.selected.paths[0], *item.payload)
        rendered = render_samples(selected, self.instructions, self.seed)
        users = read_tables(self.users.paths, USERS)
        users = users.filter(pc.is_in(users["user_id"], selected["user_id"]))
        numbers = dict(zip(users["user_id"].to_pylist(), users["number"].to_pylist(), strict=True))
        rows = []
        for source, text in zip(selected.to_pylist(), rendered.to_pylist(), strict=True):
            if source["id"] != text["id"]:
                raise AssertionError("rendering changed the order of samples")
            row = {name: source[name] for name in ("task", "split", "setting", "category", "source")}
            row |= {
                name: source[name]
                for name in ("image_roles", "image_ids", "image_product_ids", "product_ids")
            }
            row["image_urls"] = [published_url(url, MAX_URL_LENGTH) for url in source["image_urls"]]
            row |= text
            row["group_ids"] = {
                "products": sorted(set(source["product_ids"])),
                "clusters": source["clusters"],
                "user": numbers.get(source["user_id"]),
                "query": source["query_id"],
            }
            row |= {"visual_critical": None, "text_only_accuracy": None, "schema_version": SCHEMA_VERSION}
            row["record_ids"] = source["record_ids"]
            rows.append(row)
        write_table(pa.Table.from_pylist(rows, schema=rendered_schema()), folder / RENDERED_FILE)
        return Counts(len(rows), len(rows), 0)


def read_rows(path: Path, start: int, stop: int) -> pa.Table:
    """Return rows start to stop - 1 of a file, reading only the row groups that contain them."""
    file = pq.ParquetFile(path)
    groups, skipped, position = [], 0, 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if position + rows <= start:
            skipped += rows
        elif position < stop:
            groups.append(group)
        position += rows
    return file.read_row_groups(groups).slice(start - skipped, stop - start)


def rendered_schema() -> pa.Schema:
    """Return the published schema without pixels, plus record_ids for the oracle."""
    fields = [field for field in published_schema() if field.name != "images"]
    return pa.schema([*fields, pa.field("record_ids", pa.list_(pa.string()))])


def shortened_urls(selected: Iterable[StageOutput]) -> list[str]:
    """Return a warning where image URLs of the selected samples are published shortened, and where some become one.

    Args:
        selected: The outputs with the selected samples.
    """
    urls: set[str] = set()
    for path in Files.of(list(selected), SELECTED_FILE).paths:
        for batch in pq.ParquetFile(path).iter_batches(columns=["image_urls"]):
            urls.update(filter(None, batch["image_urls"].flatten().to_pylist()))
    return warn_of_shortened(urls)


def warn_of_shortened(urls: Collection[str]) -> list[str]:
    """Return a warning where URLs are published shortened (`published_url`), and where some become one.

    Args:
        urls: Each once.
    """
    published = {url: published_url(url, MAX_URL_LENGTH) for url in sorted(urls)}
    shortened = [url for url, shown in published.items() if shown != url]
    if not shortened:
        return []
    merged = len(urls) - len(set(published.values()))
    same = f", {merged} of them to a URL that another image has too" if merged else ""
    return [
        f"image_urls: {len(shortened)} URLs were shortened{same}, as what signs a request or lets somebody in is not "
        f"published, such as that of {published[shortened[0]]}; give URLs that anybody can open"
    ]


def render_stage(recipe: Recipe, task: str, selected: StageOutput, index: StageOutput) -> Render:
    """Return the stage of a task."""
    from mmecinstruct.tasks.render import template_hashes

    return Render(
        task=task,
        selected=Files.of(selected, SELECTED_FILE),
        users=Files.of(index, USERS_FILE),
        templates=Files(fingerprints=template_hashes([task])),
        instructions=recipe.instructions,
        seed=recipe.seed,
    )
