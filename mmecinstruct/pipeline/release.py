"""What a worker does for the stages between a task's samples and its shards: select, render, judge, shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts
from mmecinstruct.pipeline.work import Paths, write_rejections
from mmecinstruct.recipe import InstructionSettings, PublishSettings, Sizes, SplitSettings, TaskSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.samples import SCHEMA_VERSION, SPLITS, TEST_OOD, UNRENDERED, published_schema
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, IMAGES, RELATIONS
from mmecinstruct.splits.assign import SR, Assignment, assign_products, assign_samples
from mmecinstruct.splits.select import select_samples

ASSIGNED = pa.schema([("product_id", pa.string()), ("cluster_id", pa.string()), ("split", pa.string())])
_STRINGS = pa.list_(pa.string())
SELECTED = pa.schema(
    [
        *UNRENDERED,
        ("split", pa.string()),
        ("setting", pa.string()),
        ("clusters", _STRINGS),
        ("image_roles", _STRINGS),
        ("image_urls", _STRINGS),
        ("image_ids", _STRINGS),
        ("image_product_ids", _STRINGS),
    ]
)
USERS = pa.schema([("user_id", pa.string()), ("number", pa.int64())])
PIXEL_INDEX = pa.schema(
    [("image_id", pa.string()), ("file", pa.int32()), ("row_group", pa.int32()), ("row", pa.int32())]
)


# Samples put into words by one task of work: some tenths of a second.
RENDER_ROWS = 1000


@dataclass(frozen=True)
class AssignPayload:
    """Assign products to splits."""

    products: Paths
    relations: Paths
    settings: SplitSettings
    seed: int


def assign_work(payload: AssignPayload, folder: Path) -> Counts:
    """Write assignment.parquet: each product's cluster and split."""
    products = read_tables(payload.products, CURATED_PRODUCTS)
    pairs: list[tuple[str, str]] = []
    if payload.settings.scheme == "communities":
        relations = read_tables(payload.relations, RELATIONS)
        pairs = list(zip(relations["product_a"].to_pylist(), relations["product_b"].to_pylist(), strict=True))
    cluster_of, split_of = assign_products(products, pairs, payload.settings, payload.seed)
    table = pa.table(
        {
            "product_id": list(cluster_of),
            "cluster_id": list(cluster_of.values()),
            "split": [split_of[cluster] for cluster in cluster_of.values()],
        },
        schema=ASSIGNED,
    )
    write_table(table, folder / "assignment.parquet")
    counts = {split: sum(1 for name in split_of.values() if name == split) for split in SPLITS}
    return Counts(table.num_rows, table.num_rows, 0, {"clusters": counts})


@dataclass(frozen=True)
class SelectPayload:
    """Split and select one task's samples."""

    task: str
    samples: Paths
    assignment: Paths
    images: Paths
    split: SplitSettings
    settings: TaskSettings
    sizes: Sizes
    seed: int


def select_work(payload: SelectPayload, folder: Path) -> Counts:
    """Write selected.parquet: the chosen samples with split, clusters and resolved images.

    Samples that lack a wanted image or cross splits are rejected; of the rest as many are chosen as the recipe wants.
    """
    rows = read_tables(payload.samples, UNRENDERED).to_pylist()
    assigned = read_tables(payload.assignment, ASSIGNED)
    cluster_of = dict(
        zip(assigned["product_id"].to_pylist(), assigned["cluster_id"].to_pylist(), strict=True)
    )
    split_of = dict(zip(assigned["cluster_id"].to_pylist(), assigned["split"].to_pylist(), strict=True))
    ood = frozenset(payload.split.ood_categories)
    ood_users = frozenset(row["user_id"] for row in rows if payload.task == SR and row["category"] in ood)
    assignment = Assignment(cluster_of, split_of, ood, ood_users)
    splits, rejections = assign_samples(rows, payload.task, assignment, payload.split, payload.seed)

    images = read_tables(payload.images, IMAGES)
    valid = images.filter(pc.equal(images["status"], "ok"))
    image_ids = dict(zip(valid["image_url"].to_pylist(), valid["image_id"].to_pylist(), strict=True))
    for place, row in enumerate(rows):
        if splits[place] is None:
            continue
        missing = _resolve_images(row, image_ids)
        required = payload.settings.require_images
        present = len(row["image_roles"])
        if (missing and required == "all") or (not present and row["images"] and required == "any"):
            splits[place] = None
            rejections.append(
                Rejection("split", "missing_image", ", ".join(missing), payload.task, row["id"])
            )
    selection = select_samples(
        [row["id"] for row in rows],
        [row["label"] for row in rows],
        splits,
        payload.task,
        payload.settings,
        payload.sizes,
        payload.seed,
    )
    chosen = []
    for split in SPLITS:
        for place in selection.chosen[split]:
            row = rows[place]
            row["split"] = split
            row["setting"] = "OOD" if split == TEST_OOD else "IND"
            row["clusters"] = sorted({cluster_of[product] for product in row["product_ids"]})
            chosen.append(row)
    pq.write_table(
        pa.Table.from_pylist(chosen, schema=SELECTED),
        folder / "selected.parquet",
        compression="zstd",
        row_group_size=RENDER_ROWS,  # a renderer reads its own rows only
    )
    write_rejections(rejections, folder)
    return Counts(len(rows), len(rows) - len(rejections), len(rejections), {"sizes": selection.report})


def _resolve_images(row: dict[str, object], image_ids: dict[str, str]) -> list[str]:
    """Set the row's image columns from its wanted images; return the roles without a valid image."""
    images: list[dict[str, object]] = row["images"]  # type: ignore[assignment]
    found: dict[str, list[object]] = {
        name: [] for name in ("image_roles", "image_urls", "image_ids", "image_product_ids")
    }
    missing = []
    for image in images:
        urls: list[str] = image["image_urls"] or []  # type: ignore[assignment]
        url = next((url for url in urls if url in image_ids), None)
        if url is None:
            missing.append(str(image["role"]))
            continue
        found["image_roles"].append(image["role"])
        found["image_urls"].append(url)
        found["image_ids"].append(image_ids[url])
        found["image_product_ids"].append(image["product_id"])
    row.update(found)
    return missing


@dataclass(frozen=True)
class ReleasePayload:
    """Number users and index pixels over all tasks."""

    selected: Paths
    pixels: Paths
    seed: int


def release_work(payload: ReleasePayload, folder: Path) -> Counts:
    """Write users.parquet (running numbers of this release, in drawn order) and pixel_index.parquet."""
    selected = read_tables(payload.selected, SELECTED)
    users = sorted(
        {user for user in selected["user_id"].to_pylist() if user is not None},
        key=lambda user: (hash_draw(payload.seed, "release:user", user), user),
    )
    write_table(
        pa.table({"user_id": users, "number": range(len(users))}, schema=USERS), folder / "users.parquet"
    )
    wanted = set(pc.unique(pc.list_flatten(selected["image_ids"])).to_pylist())
    index: dict[str, tuple[int, int, int]] = {}
    for number, path in enumerate(payload.pixels):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["image_id"])["image_id"].to_pylist()
            for row, image_id in enumerate(ids):
                if image_id in wanted and image_id not in index:
                    index[image_id] = (number, group, row)
    rows = [
        {"image_id": image_id, "file": place[0], "row_group": place[1], "row": place[2]}
        for image_id, place in sorted(index.items())
    ]
    write_table(pa.Table.from_pylist(rows, schema=PIXEL_INDEX), folder / "pixel_index.parquet")
    return Counts(selected.num_rows, selected.num_rows, 0)


@dataclass(frozen=True)
class RenderPayload:
    """Render a slice of one task's selected samples."""

    selected: Path
    start: int
    stop: int
    users: Paths
    instructions: InstructionSettings
    seed: int


def render_work(payload: RenderPayload, folder: Path) -> Counts:
    """Write rendered.parquet: published rows without pixels, not yet judged."""
    from mmecinstruct.tasks.render import render_samples

    selected = read_rows(payload.selected, payload.start, payload.stop)
    rendered = render_samples(selected, payload.instructions, payload.seed)
    numbers_table = read_tables(payload.users, USERS)
    numbers_table = numbers_table.filter(pc.is_in(numbers_table["user_id"], selected["user_id"]))
    numbers = dict(
        zip(numbers_table["user_id"].to_pylist(), numbers_table["number"].to_pylist(), strict=True)
    )
    rows = []
    for source, text in zip(selected.to_pylist(), rendered.to_pylist(), strict=True):
        if source["id"] != text["id"]:
            raise AssertionError("rendering changed the order of samples")
        row = {name: source[name] for name in ("task", "split", "setting", "category", "source")}
        row |= {
            name: source[name]
            for name in ("image_roles", "image_urls", "image_ids", "image_product_ids", "product_ids")
        }
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
    write_table(pa.Table.from_pylist(rows, schema=rendered_schema()), folder / "rendered.parquet")
    return Counts(len(rows), len(rows), 0)


def read_rows(path: Path, start: int, stop: int) -> pa.Table:
    """Return rows start to stop - 1 of a file, reading no more row groups than they lie in."""
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
    """Return the published schema without pixels, plus record_ids for the judge."""
    fields = [field for field in published_schema() if field.name != "images"]
    return pa.schema([*fields, pa.field("record_ids", _STRINGS)])


@dataclass(frozen=True)
class JudgePayload:
    """Judge one task's samples of the built-in shop from its latent attributes."""

    task: str
    rendered: Paths
    shop: Path


def judge_work(payload: JudgePayload, folder: Path) -> Counts:
    """Write rendered.parquet with visual_critical and text_only_accuracy set."""
    from mmecinstruct.synthetic.shop import apply_oracle

    table = read_tables(payload.rendered, rendered_schema())
    verdicts = apply_oracle(table, payload.shop)
    if verdicts["id"].to_pylist() != table["id"].to_pylist():
        raise AssertionError("judging changed the order of samples")
    for name in ("visual_critical", "text_only_accuracy"):
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), verdicts[name])
    write_table(table, folder / "rendered.parquet")
    return Counts(table.num_rows, table.num_rows, 0)


@dataclass(frozen=True)
class ShardPayload:
    """Write one published shard. embed: with its images' pixels."""

    rendered: Paths  # those that the rows lie in
    split: str
    start: int  # counted from the split's first row in these files
    stop: int
    pixel_index: Path
    pixels: Paths
    path: str  # below the shard's folder
    settings: PublishSettings
    embed: bool


def shard_work(payload: ShardPayload, folder: Path) -> Counts:
    """Write one Parquet shard, its images embedded or referenced."""
    from mmecinstruct.dataset import write_shard

    table = read_tables(payload.rendered, rendered_schema())
    rows = table.filter(pc.equal(table["split"], payload.split))
    rows = rows.slice(payload.start, payload.stop - payload.start).drop_columns(["record_ids"])
    rows = rows.combine_chunks()  # a shard's bytes do not tell how many files its rows came from
    pixels = _read_pixels(rows, payload) if payload.embed else None
    path = folder / payload.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_shard(rows, pixels, path, payload.settings.row_group_rows)
    return Counts(rows.num_rows, rows.num_rows, 0)


def _read_pixels(rows: pa.Table, payload: ShardPayload) -> dict[str, bytes]:
    wanted = pc.unique(pc.list_flatten(rows["image_ids"]))
    index = pq.read_table(payload.pixel_index)
    places: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for place in index.filter(pc.is_in(index["image_id"], value_set=wanted)).to_pylist():
        places.setdefault((place["file"], place["row_group"]), []).append((place["image_id"], place["row"]))
    pixels = {}
    for (file, group), entries in sorted(places.items()):
        jpegs = pq.ParquetFile(payload.pixels[file]).read_row_group(group, columns=["jpeg"])["jpeg"]
        for image_id, row in entries:
            pixels[image_id] = jpegs[row].as_py()
    return pixels


@dataclass(frozen=True)
class SplitRows:
    """Where a split's rows lie: the files that have any, in order, and how many each has."""

    files: Paths
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """The number of the split's rows."""
        return sum(self.counts)

    def part(self, start: int, stop: int) -> tuple[Paths, int, int]:
        """Return the files that rows start to stop - 1 lie in, and the same range counted within these files."""
        files, skipped, position = [], 0, 0
        for file, count in zip(self.files, self.counts, strict=True):
            if position + count <= start:
                skipped += count
            elif position < stop:
                files.append(file)
            position += count
        return tuple(files), start - skipped, stop - skipped


def splits_of(paths: Sequence[Path]) -> dict[str, SplitRows]:
    """Return where the rendered rows of each split lie."""
    found: dict[str, list[tuple[Path, int]]] = {}
    for path in paths:
        counts = pc.value_counts(pq.read_table(path, columns=["split"])["split"])
        for entry in counts.to_pylist():
            found.setdefault(entry["values"], []).append((path, entry["counts"]))
    return {
        split: SplitRows(tuple(path for path, _ in places), tuple(count for _, count in places))
        for split, places in found.items()
    }
