"""Curate the tables that refer to products: reviews, relations, judgements, questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from mmecinstruct.core.duckdb import Budget, create_view, working_connection
from mmecinstruct.core.parquet import write_table
from mmecinstruct.curate.records import curate_questions, curate_records, curate_reviews
from mmecinstruct.curate.settings import CurateSettings
from mmecinstruct.engine.stage import RUNTIME, Counts, Files, Stage, StageOutput, WorkItem, only
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, CURATED_TABLES
from mmecinstruct.stages.files import write_rejections
from mmecinstruct.text.hygiene import mask_queries
from mmecinstruct.text.pii_kinds import PersonalDataKind

if TYPE_CHECKING:
    import duckdb

# The settings that decide which texts are kept.
LANGUAGE = ("languages", "min_language_score")


@dataclass(frozen=True, kw_only=True)
class CurateRecords(Stage):
    """Write `<table>.parquet`: the common part of all four stages."""

    table: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ("duckdb",)

    records: Files
    budget: Budget = field(metadata=RUNTIME)

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Curate a table at once."""
        with working_connection(folder, self.budget) as connection:
            create_view(connection, self.table, self.records.paths, CURATED_TABLES[self.table])
            table, rejections = self.curated(connection)
        table, found = self.masked(table)
        write_table(table, folder / f"{self.table}.parquet")
        write_rejections(rejections, folder)
        return Counts(table.num_rows + len(rejections), table.num_rows, len(rejections), found)

    def masked(self, table: pa.Table) -> tuple[pa.Table, dict[str, Any] | None]:
        """Return the table without personal data in names, and what was counted. Reviews and questions are masked."""
        return table, None

    def curated(self, connection: duckdb.DuckDBPyConnection) -> tuple[pa.Table, list[Rejection]]:
        """Return the rows kept and the rejections of the table's view."""
        return curate_records(connection, self.table)


@dataclass(frozen=True, kw_only=True)
class CurateRelations(CurateRecords):
    """Write relations.parquet."""

    name = "curate_relations"
    version = 3
    table = "relations"


@dataclass(frozen=True, kw_only=True)
class CurateJudgements(CurateRecords):
    """Write judgements.parquet, with queries masked."""

    name = "curate_judgements"
    version = 4
    libraries = ("duckdb", "pyarrow")
    table = "judgements"

    mask: tuple[PersonalDataKind, ...]

    def masked(self, table: pa.Table) -> tuple[pa.Table, dict[str, Any] | None]:
        """Mask the queries."""
        found = mask_queries(table, self.mask)
        queries = {"searched": table.num_rows, "masked": dict(sorted(found.masked.items()))}
        return found.table, {"queries": queries}


@dataclass(frozen=True, kw_only=True)
class CurateReviews(CurateRecords):
    """Write reviews.parquet. settings: LANGUAGE alone."""

    name = "curate_reviews"
    version = 4
    table = "reviews"

    products: Files
    settings: CurateSettings

    def curated(self, connection: duckdb.DuckDBPyConnection) -> tuple[pa.Table, list[Rejection]]:
        """Return the reviews kept, of known products and in the recipe's languages, and the rejections."""
        create_view(connection, "products", self.products.paths, CURATED_PRODUCTS)
        return curate_reviews(connection, self.settings)


@dataclass(frozen=True, kw_only=True)
class CurateQuestions(CurateRecords):
    """Write questions.parquet. settings: LANGUAGE alone."""

    name = "curate_questions"
    version = 4
    table = "questions"

    settings: CurateSettings

    def curated(self, connection: duckdb.DuckDBPyConnection) -> tuple[pa.Table, list[Rejection]]:
        """Return the questions kept, in the recipe's languages, and the rejections."""
        return curate_questions(connection, self.settings)


def curate_records_stages(
    raw: Sequence[StageOutput],
    cleaned: StageOutput,
    products: Files,
    settings: CurateSettings,
    budget: Budget,
) -> list[CurateRecords]:
    """Return the four stages. cleaned: the output of `hygiene`."""
    language = only(settings, LANGUAGE)
    return [
        CurateReviews(
            records=Files.of(cleaned, "reviews.parquet"), products=products, settings=language, budget=budget
        ),
        CurateRelations(records=Files.of(raw, "relations.parquet"), budget=budget),
        CurateJudgements(records=Files.of(raw, "judgements.parquet"), mask=settings.mask, budget=budget),
        CurateQuestions(records=Files.of(cleaned, "questions.parquet"), settings=language, budget=budget),
    ]
