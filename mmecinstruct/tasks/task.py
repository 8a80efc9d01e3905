"""A task: one object that holds every fact about it.

Each module of a task defines one as `TASK`; `tasks/__init__.py` lists them. Recipe, sampling, splits, rendering,
validation, audit, card and metrics read these objects and have no lists of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from mmecinstruct.tasks.output import TaskOutput
from mmecinstruct.tasks.settings import TaskSettings

if TYPE_CHECKING:
    import duckdb

YES_NO = ("yes", "no")

Metric = Literal["F1", "macro F1", "accuracy", "recall@1"]
Group = Literal["product", "query", "user"]
Record = Literal["product", "query", "question", "review", "user"]
TextUnit = Literal["title", "query", "question", "review", "text"]

SettingsType = TypeVar("SettingsType", bound=TaskSettings)


@dataclass(frozen=True, slots=True)
class InputField:
    """A field of the object that a sample's input is.

    Attributes:
        unit: what its text is; the audit compares texts of the same unit only.
        required: whether every sample has it, with text in it.
        many: whether it may be a list of texts.
    """

    unit: TextUnit = "text"
    required: bool = True
    many: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """The format of a task's published rows, beside the columns of all rows.

    Attributes:
        fields: of the input object, by name. None: the input is a list of products, "1st: …".
        roles: of images, in order. `history` means one role per product of the input list (`history 1` …),
            `option` for one per option (`option A` …).
        options_are_products: the options are titles of products: the audit compares them, and two may be the same.
        any_order: the fields in another order, each with the image of its name, ask the same.
    """

    fields: Mapping[str, InputField] | None
    roles: tuple[str, ...] = ("product",)
    options_are_products: bool = False
    any_order: bool = False


@dataclass(frozen=True, slots=True)
class PredictedSplits:
    """SQL that sampling gives to a task whose samples go by user.

    Attributes:
        is_ood: condition over a column `category`: samples of this category are kept for test_ood.
        of_user: the split of a column `user_id`.
    """

    is_ood: str
    of_user: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """The records of whole tables that a task can use.

    Attributes:
        select: SELECT of one, two (the names of the record: `Sampling.one` and `Sampling.two`), split (predicted) and
            label (counted by a label balance).
        core_rounds: number of rounds that the k-core took, where the task made one as the tables `sampling_core`,
            `sampling_core_user` and `sampling_core_product` (see `create_k_core`) with `sampling_popularity`.
    """

    select: str
    core_rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Sampling(Generic[SettingsType]):
    """How records of a task are sampled from whole tables.

    Attributes:
        one: what the first id of a record names.
        two: what the second one names; None where there is none, or where it is no record of a table.
        candidates: returns the records that the task can use. Given are a connection with the raw tables as views,
            and the tables `expected_product` and `expected_query` (sampling/predicted_splits.py); the task's settings;
            and the splits that sampling predicts.
        create_offered: creates, after sampling, the table `sampling_offered` (product_id) of products that the task
            will offer as options of its records in the table `sampled`. They are kept beside those that are named by
            a record. Given are the connection, the settings and the seed.
        knows_labels: whether the candidates' labels are those of the samples, so that a label balance can be kept.
    """

    one: Record
    two: Record | None
    candidates: Callable[[duckdb.DuckDBPyConnection, SettingsType, PredictedSplits], Candidates]
    create_offered: Callable[[duckdb.DuckDBPyConnection, SettingsType, int], None] | None = None
    knows_labels: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[SettingsType]):
    """All facts about a task.

    Attributes:
        name: full name: of the task's folder, its config and its templates.
        short_name: as `--tasks` takes it.
        answer: what an answer is, as the card says it.
        labels: the answers that there are, the same for every sample: `YES_NO` or letters. None where every sample has
            options of its own.
        metric: what models are ranked by.
        requires: curated tables that the task is made from; where one has no rows, nothing can be built.
        also_reads: raw tables that add to it and that it can be built without.
        not_shared: groups that no two splits of the task may share. Samples go by product, or by user.
        split_note: text of the card about the splits of this task.
        has_ood: whether it has an out-of-domain test.
        settings: the class of its settings.
        build: builds all samples and rejections from views of the curated tables (schemas in `CURATED_TABLES`), given
            the settings, the seed, and whether the tables are part of larger ones. If they are, the views
            `sampled_records` (one, two: the task's sampled records) and `core` (user_id, product_id: the sampled users'
            part of the k-core of all) say which part, and `popularity` (product_id, item_id, category, interactions)
            what all of the core is. The view `ood_categories` (category) names those that are out of domain. Leaves no
            table behind.
        sampling: how its records are sampled from large tables.
        row: the format of a published row.
    """

    name: str
    short_name: str
    answer: str
    labels: tuple[str, ...] | None
    metric: Metric
    requires: tuple[str, ...]
    also_reads: tuple[str, ...] = ()
    not_shared: tuple[Group, ...] = ("product",)
    split_note: str = ""
    has_ood: bool = True
    settings: type[SettingsType] = field(default=TaskSettings)  # type: ignore[assignment]
    build: Callable[[duckdb.DuckDBPyConnection, SettingsType, int, bool], TaskOutput]
    sampling: Sampling[SettingsType]
    row: Row

    @property
    def is_yes_no(self) -> bool:
        """Whether the answer is yes or no."""
        return self.labels == YES_NO

    @property
    def has_label_set(self) -> bool:
        """Whether all samples have the same options, with texts in the template `options/<name>.j2`."""
        return self.labels is not None and not self.is_yes_no

    @property
    def splits_by_user(self) -> bool:
        """Whether a sample's split is that of its user; otherwise it is that of its products and its query."""
        return "user" in self.not_shared


AnyTask = Task[Any]
