"""Builds that sample: all tasks reach their sizes from a part of the rows, with the same result for any workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmecinstruct.core.errors import RecipeError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset.validate import validate_folder
from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import load_recipe
from mmecinstruct.tasks import TASKS

SHOP = ["sample.images=false", "sample.products=1500"]
SAMPLING = ["sampling.oversample=1.6", "scale=0.25"]
SR = "sequential_recommendation"


class Built:
    """A dataset folder and the workspace that it was built in."""

    def __init__(self, home: Path, *overrides: str, workers: int = 1) -> None:
        self.folder, self.stages = home / "dataset", home / "workspace" / "stages"
        self.report = build(
            load_recipe("sample", [*SHOP, *overrides]),
            self.folder,
            workspace=home / "workspace",
            workers=workers,
        )
        self.statistics = json.loads((self.folder / "statistics.json").read_text())

    def table(self, stage: str, name: str) -> list[dict[str, Any]]:
        (path,) = self.stages.glob(f"{stage}/*/all/{name}.parquet")
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows

    def hashes(self) -> dict[str, str]:
        return {
            path.relative_to(self.folder).as_posix(): sha256_file(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("sampled"), *SAMPLING)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("whole"), "scale=0.25")


@pytest.mark.slow
def test_all_tasks_reach_their_sizes_from_a_part_of_the_rows(sampled: Built) -> None:
    assert set(sampled.report.sizes) == set(TASKS)
    for task, splits in sampled.report.sizes.items():
        for split, entry in splits.items():
            assert entry["chosen"] == entry["wanted"], (task, split)
            # Records were sampled for this task alone, and not many more than wanted.
            assert entry["available"] <= 2 * entry["wanted"] + 2
    assert validate_folder(sampled.folder) == []
    rows, not_sampled = (sampled.statistics["sampling"][name] for name in ("rows", "not_sampled"))
    for table in ("reviews", "relations", "judgements", "questions"):
        assert not_sampled[table] > rows[table] / 2


@pytest.mark.slow
def test_every_row_is_kept_rejected_or_not_sampled(sampled: Built) -> None:
    stages = {stage["stage"]: stage for stage in sampled.statistics["stages"]}
    for stage in stages.values():
        assert stage["records"] == stage["kept"] + stage["rejected"] + stage.get("not_sampled", 0)
    not_sampled = sampled.statistics["sampling"]["not_sampled"]
    assert stages["sample"]["not_sampled"] == sum(not_sampled.values())
    assert {stage for stage in stages if "not_sampled" in stages[stage]} == {"sample"}
    assert stages["curate_relations"]["records"] == (
        sampled.statistics["sampling"]["rows"]["relations"] - not_sampled["relations"]
    )
    # What was not sampled is not listed as rejected.
    assert "sample" not in sampled.statistics["rejections"]
    card = (sampled.folder / "README.md").read_text()
    assert f"| relations | {sampled.statistics['sampling']['rows']['relations']} |" in card


@pytest.mark.slow
def test_workers_and_memory_change_no_byte(sampled: Built, tmp_path: Path) -> None:
    other = Built(tmp_path, *SAMPLING, "resources.memory=512MB", workers=2)
    assert other.hashes() == sampled.hashes()


@pytest.mark.slow
def test_histories_equal_those_of_a_build_without_sampling(sampled: Built, whole: Built) -> None:
    everything = {row["id"]: row for row in whole.table(f"task-{SR}", "samples")}
    chosen = sampled.table(f"task-{SR}", "samples")
    assert 0 < len(chosen) < len(everything)
    for row in chosen:
        other = everything[row["id"]]
        # Input, and the first reviews of history and target.
        assert (row["fields"], row["record_ids"]) == (other["fields"], other["record_ids"])
    # Candidates too, as far as the popularity of the raw rows is that of the curated ones.
    same = sum(set(row["product_ids"]) == set(everything[row["id"]]["product_ids"]) for row in chosen)
    assert same > 0.9 * len(chosen)


@pytest.mark.slow
def test_no_candidate_belongs_to_the_user_already(sampled: Built, whole: Built) -> None:
    owned: dict[str, set[str]] = {}
    for row in whole.table("curate_reviews", "reviews"):
        owned.setdefault(row["user_id"], set()).add(row["product_id"])
    rows = sampled.table(f"task-{SR}", "samples")
    for row in rows:
        items = row["product_ids"]
        history = len(json.loads(row["fields"]))
        assert set(items[: history + 1]) <= owned[row["user_id"]]
        assert not set(items[history + 1 :]) & owned[row["user_id"]]
        assert len(row["options"]) == 20


@pytest.mark.slow
def test_tasks_that_are_built_alone_have_the_same_samples(sampled: Built, tmp_path: Path) -> None:
    task = "product_relation_prediction"
    recipe = load_recipe("sample", [*SHOP, *SAMPLING])
    build(recipe, tmp_path / "d", workspace=tmp_path / "w", tasks=[task])
    for path in sorted((tmp_path / "d" / task).glob("*.parquet")):
        ids = pq.read_table(path, columns=["id"])
        assert ids.equals(pq.read_table(sampled.folder / task / path.name, columns=["id"]))


def test_settings_that_cannot_be_estimated_are_an_error() -> None:
    with pytest.raises(RecipeError, match=r"split\.scheme clusters"):
        load_recipe("sample", ["sampling.oversample=2", "split.scheme=communities"])
    balance = "tasks.category_classification.label_balance={Mugs: 0.5, Pots: 0.5}"
    with pytest.raises(RecipeError, match="labelled_only to true"):
        load_recipe("sample", ["sampling.oversample=2", balance])
    load_recipe("sample", [balance])
    load_recipe(
        "sample", ["sampling.oversample=2", balance, "tasks.category_classification.labelled_only=true"]
    )
    with pytest.raises(RecipeError, match=r"sampling\.oversample"):
        load_recipe("sample", ["sampling.oversample=0.5"])
