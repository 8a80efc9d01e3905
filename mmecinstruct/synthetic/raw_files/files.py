"""The files of a miniature, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.engine.executors.local import LocalExecutor
from mmecinstruct.synthetic.raw_files.judged_products import JudgedProducts
from mmecinstruct.synthetic.raw_files.judgements import Judgements
from mmecinstruct.synthetic.raw_files.labels import Labels
from mmecinstruct.synthetic.raw_files.metadata import Metadata
from mmecinstruct.synthetic.raw_files.product_images import ProductImages
from mmecinstruct.synthetic.raw_files.questions import FILES as QUESTION_FILES
from mmecinstruct.synthetic.raw_files.questions import Questions
from mmecinstruct.synthetic.raw_files.reviews import Reviews
from mmecinstruct.synthetic.raw_files.vocabulary import DEPARTMENTS
from mmecinstruct.synthetic.raw_files.volumes import Volumes
from mmecinstruct.synthetic.raw_files.world import world_of
from mmecinstruct.synthetic.raw_files.writing import TextSource, remove_leftovers, replacing, write_text
from mmecinstruct.synthetic.shop.esci_files import EXAMPLES, PRODUCTS

# Records per part: a few megabytes of text.
_METADATA_ROWS, _REVIEW_ROWS, _QUESTION_ROWS, _SHORT_ROWS = 2_000, 8_000, 1_000, 20_000


@dataclass(frozen=True, slots=True)
class TextFile:
    """One text file: its name below the folder, how many records make a part, what makes them (in any process)."""

    name: str
    part_rows: int
    make: Callable[[], TextSource]


@dataclass(frozen=True, slots=True)
class TableFile:
    """One Parquet file: where it is written, its schema, what yields its tables (in any process)."""

    name: str
    path: Path
    schema: pa.Schema
    tables: Callable[[], Iterator[pa.Table]]


def text_files(volumes: Volumes, seed: int) -> list[TextFile]:
    """Return the text files of a miniature; those without a record are left out."""

    def file(name: str, part_rows: int, kind: str, number: int = 0) -> TextFile:
        return TextFile(name, part_rows, partial(_source, seed, volumes, kind, number))

    files = []
    for number, department in enumerate(DEPARTMENTS):
        if volumes.products[number]:
            files.append(
                file(f"amazon2018/meta_{department.file}.json.gz", _METADATA_ROWS, "metadata", number)
            )
        if volumes.reviews[number]:
            files.append(file(f"amazon2018/{department.file}_5.json.gz", _REVIEW_ROWS, "reviews", number))
    if volumes.questions:
        files += [
            file(f"amazonqa/{name}", _QUESTION_ROWS, "questions", number)
            for number, name in enumerate(QUESTION_FILES)
        ]
    if volumes.labels:
        files.append(file("mave/mave_positives_labels.jsonl", _SHORT_ROWS, "labels"))
    if sum(volumes.queries):
        files.append(file("esci/shopping_queries_dataset_sources.csv", _SHORT_ROWS, "query sources"))
        files.append(file("sqid/product_image_urls.csv", _SHORT_ROWS, "images", 0))
        files.append(file("sqid/supp_product_image_urls.csv", _SHORT_ROWS, "images", 1))
    return files


def table_files(folder: Path, volumes: Volumes, seed: int) -> list[TableFile]:
    """Return the Parquet files of a miniature."""
    if not sum(volumes.queries):
        return []
    return [
        TableFile(name, folder / name, schema, partial(_tables, seed, volumes, name))
        for name, schema in (
            ("esci/shopping_queries_dataset_examples.parquet", EXAMPLES),
            ("esci/shopping_queries_dataset_products.parquet", PRODUCTS),
        )
    ]


def file_names(volumes: Volumes) -> list[str]:
    """Return the names, below the folder, of a miniature's files."""
    tables, texts = table_files(Path(), volumes, 0), text_files(volumes, 0)
    return [*(file.name for file in tables), *(file.name for file in texts)]


@lru_cache(maxsize=2)
def _source(seed: int, volumes: Volumes, kind: str, number: int) -> TextSource:
    world = world_of(seed, volumes)
    match kind:
        case "metadata":
            return Metadata(world, number)
        case "reviews":
            return Reviews(world, number)
        case "questions":
            return Questions(world, number)
        case "labels":
            return Labels(world)
        case "query sources":
            return Judgements(world)
        case _:
            return ProductImages(world, supplement=number == 1)


def _tables(seed: int, volumes: Volumes, name: str) -> Iterator[pa.Table]:
    world = world_of(seed, volumes)
    return (
        Judgements(world).examples() if name.endswith("examples.parquet") else JudgedProducts(world).tables()
    )


def _write_table(file: TableFile) -> tuple[str, int]:
    """Write one Parquet file; return its name and size in bytes."""
    with (
        replacing(file.path) as temporary,
        pq.ParquetWriter(temporary, file.schema, compression="snappy") as writer,
    ):
        for table in file.tables():
            writer.write_table(table)
    return file.name, file.path.stat().st_size


def write_files(
    folder: Path,
    volumes: Volumes,
    seed: int,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    there: Mapping[str, int] = MappingProxyType({}),
    done: Callable[[str, int], None] | None = None,
) -> dict[str, int]:
    """Write the files of the volumes below `folder`; as `write_miniature`, for any numbers of records.

    there: files that are left as they are, with their bytes of text. done: called with each other file and its bytes
    of text when it is in its place.
    """
    names = file_names(volumes)
    written = {name: size for name, size in there.items() if name in names}

    def put(name: str, size: int) -> None:
        written[name] = size
        if done is not None:
            done(name, size)
        if progress is not None:
            progress(len(written), len(names))

    tables = [file for file in table_files(folder, volumes, seed) if file.name not in written]
    texts = [file for file in text_files(volumes, seed) if file.name not in written]
    paths = [folder / name for name in names]
    remove_leftovers(paths)
    try:
        with LocalExecutor(workers) as executor:
            for name, size in executor.run(_write_table, tables):
                put(name, size)
            for file in texts:
                put(file.name, write_text(folder / file.name, file.part_rows, file.make, executor))
    finally:
        remove_leftovers(paths)  # of workers that were stopped
    return {name: written[name] for name in names}
