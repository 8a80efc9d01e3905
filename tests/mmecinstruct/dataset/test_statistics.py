"""Statistics are counted from the finished files."""

from __future__ import annotations

import json

from mmecinstruct.dataset.statistics import collect_statistics, count_rejections
from mmecinstruct.tasks import TASKS

SR = "sequential_recommendation"


def test_counts_of_a_split(small, sound_folder):
    counted = collect_statistics(sound_folder)["tasks"][SR]["train"]
    rows = small.rows(SR, "train")
    assert counted["rows"] == 4
    assert counted["labels"] == {"B": 4}
    assert counted["categories"] == {"Kitchen": 4}
    assert counted["sources"] == {"shop": 4}
    assert counted["images"] == 16
    assert counted["image_roles"] == {"history": 8, "option": 8}
    # One popular product in all four rows, three of its own in each.
    assert counted["distinct_images"] == counted["products"] == 1 + 4 * 3
    assert counted["rows_without_images"] == 0
    assert (counted["visual_critical_known"], counted["visual_critical_share"]) == (4, 0.25)
    assert (counted["text_only_accuracy_known"], counted["mean_text_only_accuracy"]) == (1, 0.5)
    assert counted["mean_characters"]["input"] == sum(len(row["input"]) for row in rows) / 4


def test_tokens_and_swear_words_of_the_inputs_are_counted(small, tmp_path):
    rows = small.rows("sentiment_analysis", "train")
    for row, review in zip(
        rows,
        ("Mail [EMAIL] or [EMAIL]", "damn [PHONE] [PHONES]", "a shitty mug", "[email] hello"),
        strict=True,
    ):
        row["input"] = json.dumps({"review": review})
    small.write(tmp_path, {("sentiment_analysis", "train"): rows})
    counted = collect_statistics(tmp_path)["tasks"]["sentiment_analysis"]["train"]
    assert counted["masked"] == {"email": 2, "phone": 1}
    assert counted["profanity_share"] == 0.5
    card = (tmp_path / "README.md").read_text()
    assert "Tokens in these samples: 2 `[EMAIL]`, 1 `[PHONE]`." in card
    assert "sentiment_analysis has them in 50.0 % of its samples." in card


def test_folder_counts_shared_images_once(sound_folder):
    counted = collect_statistics(sound_folder)
    splits = [split for splits in counted["tasks"].values() for split in splits.values()]
    assert counted["rows"] == sum(split["rows"] for split in splits)
    assert counted["images"] == sum(split["images"] for split in splits)
    assert counted["distinct_images"] < sum(split["distinct_images"] for split in splits)


def test_unknown_oracle_values_are_null_not_zero(small, tmp_path):
    rows = small.rows("sentiment_analysis", "train")
    for row in rows:
        row.update(visual_critical=None, text_only_accuracy=None, category=None)
        row.update(images=None, image_roles=[], image_urls=[], image_ids=[], image_product_ids=[])
        del row["images"]
    small.write(tmp_path, {("sentiment_analysis", "train"): rows})
    counted = collect_statistics(tmp_path)["tasks"]["sentiment_analysis"]["train"]
    assert counted["visual_critical_share"] is None
    assert counted["mean_text_only_accuracy"] is None
    assert counted["categories"] == {"": 4}
    assert counted["rows_without_images"] == 4
    assert "not known" in (tmp_path / "README.md").read_text()


def test_rejections_are_counted_per_stage_and_reason(sound_folder):
    assert count_rejections(sound_folder) == {"images": {"truncated": 1}, "parse": {"not_json": 2}}


def test_the_file_has_sizes_and_stages(sound_folder):
    content = json.loads((sound_folder / "statistics.json").read_text())
    assert content["sizes"][next(iter(TASKS))]["train"]["wanted"] == 9
    assert content["stages"] == [{"stage": "parse", "records": 10, "kept": 8, "rejected": 2}]
    assert content["tasks"] == collect_statistics(sound_folder)["tasks"]
