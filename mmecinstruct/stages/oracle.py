"""The built-in shop's oracle: from the ground truth, whether a sample's answer needs its image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmecinstruct.core.parquet import read_tables, write_table
from mmecinstruct.engine.stage import Counts, Files, Stage, WorkItem
from mmecinstruct.stages.render import RENDERED_FILE, rendered_schema
from mmecinstruct.synthetic.shop import apply_oracle


@dataclass(frozen=True, kw_only=True)
class Oracle(Stage):
    """Write rendered.parquet with visual_critical and text_only_accuracy set. shop: its data root."""

    name = "oracle"
    version = 2

    task: str
    rendered: Files
    shop: Files

    @property
    def label(self) -> str:
        """The stage's name with the task."""
        return f"{self.name}-{self.task}"

    def work(self, item: WorkItem, folder: Path) -> Counts:
        """Decide on all samples of the task: some answers depend on the others."""
        table = read_tables(self.rendered.paths, rendered_schema())
        decided = apply_oracle(table, self.shop.paths[0])
        if decided["id"].to_pylist() != table["id"].to_pylist():
            raise AssertionError("the oracle changed the order of samples")
        for name in ("visual_critical", "text_only_accuracy"):
            index = table.schema.get_field_index(name)
            table = table.set_column(index, table.schema.field(name), decided[name])
        write_table(table, folder / RENDERED_FILE)
        return Counts(table.num_rows, table.num_rows, 0)
