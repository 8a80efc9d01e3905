"""Selection: sizes and balance are kept or the shortage is reported, and nothing of an earlier split is chosen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from mmecinstruct.recipe import Sizes, TaskSettings
from mmecinstruct.splits.contents import ImageHashes
from mmecinstruct.splits.select import Selection, choose, select_samples

CC, SA = "category_classification", "sentiment_analysis"
NO_IMAGES = ImageHashes(pa.table({name: pa.array([], pa.string()) for name in ImageHashes.columns}))


def chosen(labels: str, wanted: int, balance: dict[str, float] | None) -> tuple[Counter[str], str]:
    positions, note = choose([f"s{n:04d}" for n in range(len(labels))], labels, "psi", wanted, balance, 1)
    assert len(set(positions)) == len(positions)
    return Counter(labels[position] for position in positions), note


def test_no_more_than_wanted_are_chosen() -> None:
    counts, note = chosen("yn" * 50, 30, None)
    assert (counts.total(), note) == (30, "")


def test_a_shortage_is_reported_and_not_filled() -> None:
    counts, note = chosen("yn", 30, None)
    assert (counts.total(), note) == (2, "only 2 of 30 can be built")


def test_the_scarcest_label_limits_a_balanced_split() -> None:
    counts, note = chosen("y" * 10 + "n" * 90, 50, {"y": 0.5, "n": 0.5})
    assert counts == {"y": 10, "n": 10}
    assert note == "label y has 10 samples, which limits 50 to 20"


def test_thirds_add_up_to_the_wanted_size() -> None:
    counts, _ = chosen("abc" * 50, 100, {"a": 1 / 3, "b": 1 / 3, "c": 1 - 2 / 3})
    assert counts.total() == 100
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_larger_size_extends_the_smaller_choice() -> None:
    ids = [f"s{n}" for n in range(60)]
    fewer, more = (choose(ids, ids, "cc", wanted, None, 1)[0] for wanted in (10, 20))
    assert more[:10] == fewer


def table(task: str, *rows: tuple[str, str, str, str]) -> pa.Table:
    """Return candidates: id, split, text, label."""
    field = {CC: "title", SA: "review"}[task]
    ids, splits, texts, labels = zip(*rows, strict=True)
    return pa.table(
        {
            "id": ids,
            "label": labels,
            "split": splits,
            "fields": [json.dumps({field: text}) for text in texts],
            "user_id": pa.array([None] * len(rows), pa.string()),
            "image_urls": pa.array([[]] * len(rows), pa.list_(pa.string())),
        }
    )


def select(
    candidates: Mapping[str, pa.Table], images: ImageHashes | None = NO_IMAGES, **sizes: int
) -> tuple[dict[str, set[str]], Selection]:
    wanted = Sizes(**{"train": 9, "validation": 9, "test": 9, "test_ood": 9, **sizes})
    balanced = TaskSettings(label_balance={"A": 0.5, "E": 0.5})
    settings = {task: balanced if task == SA else TaskSettings() for task in candidates}
    selection = select_samples(candidates, settings, dict.fromkeys(candidates, wanted), 1, images)
    ids = {
        task: set(part["id"].take(selection.chosen[task]).to_pylist()) for task, part in candidates.items()
    }
    return ids, selection


TITLES = table(
    CC,
    ("a", "train", "Oak Mug", ""),
    ("b", "validation", "Oak Mug", ""),
    ("c", "test", "Ash Bowl", ""),
    ("d", "test_ood", "Ash bowl", ""),
    ("e", "test_ood", "Elm Bowl", ""),
)


def test_a_text_is_in_the_earliest_split_alone() -> None:
    ids, selection = select({CC: TITLES})
    assert ids == {CC: {"a", "c", "e"}}
    assert [(one.stage, one.reason, one.detail, one.record_id) for one in selection.rejections] == [
        ("select", "contaminated", f"a text of the same words as train sample a of {CC}", "b"),
        ("select", "contaminated", f"a text of the same words as test sample c of {CC}", "d"),
    ]
    assert selection.report[CC]["validation"] == {
        "wanted": 9,
        "available": 0,
        "contaminated": 1,
        "chosen": 0,
        "note": "only 0 of 9 can be built; 1 more hold what an earlier split holds",
    }


def test_only_chosen_samples_keep_others_out() -> None:
    ids, _ = select({CC: TITLES}, train=0)
    assert ids == {CC: {"b", "c", "e"}}


def test_without_comparison_all_are_candidates() -> None:
    ids, selection = select({CC: TITLES}, None)
    assert ids == {CC: {"a", "b", "c", "d", "e"}}
    assert selection.rejections == []


def test_the_next_candidates_fill_a_balanced_split() -> None:
    reviews = table(
        SA,
        *((f"t{n}", "train", f"text {n}", "AE"[n % 2]) for n in range(8)),
        *((f"v{n}", "test", f"text {n}", "AE"[n % 2]) for n in range(20)),
    )
    ids, selection = select({CC: TITLES, SA: reviews}, test=6)
    assert {f"v{n}" for n in range(8)} == {one.record_id for one in selection.rejections if one.task == SA}
    taken = sorted(int(one[1:]) for one in ids[SA] if one.startswith("v"))
    assert len(taken) == 6
    assert min(taken) >= 8
    assert sum(n % 2 for n in taken) == 3


def test_tasks_are_compared_with_each_other() -> None:
    reviews = table(SA, ("x", "test", "Oak mug", "A"), ("y", "test", "Great", "A"), ("z", "test", "Bad", "E"))
    for candidates in ({CC: TITLES, SA: reviews}, {SA: reviews, CC: TITLES}):
        ids, _ = select(candidates)
        assert ids[SA] == {"y", "z"}


def test_the_order_of_rows_changes_no_choice() -> None:
    turned = TITLES.take(list(range(TITLES.num_rows))[::-1])
    assert select({CC: turned})[0] == select({CC: TITLES})[0]
