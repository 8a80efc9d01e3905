"""Each kind of planted leak is found, and nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmecinstruct.auditing import AuditReport, audit_folder
from mmecinstruct.recipe import AuditSettings

AP, CC, PRP, PSI, SA, SR = (
    "answerability_prediction",
    "category_classification",
    "product_relation_prediction",
    "product_substitute_identification",
    "sentiment_analysis",
    "sequential_recommendation",
)
WITHIN, ACROSS, BY_DESIGN = "within a task", "across tasks", "by design"
Shop = Any  # of conftest.py; tests are no package
Found = tuple[str, str, str, str, str]


def found(report: AuditReport) -> set[Found]:
    return {
        (finding.kind, finding.scope, finding.earlier, finding.later, finding.task)
        for finding in report.findings
    }


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def decoded(row: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(row["images"][0]["bytes"])).convert("RGB")


def set_image(row: dict[str, Any], content: bytes) -> None:
    row["images"] = [{"bytes": content, "path": None}]


def test_a_clean_folder_has_no_findings(shop: Shop, tmp_path: Path) -> None:
    report = audit_folder(shop.write(tmp_path))
    assert report.findings == ()
    assert report.totals == {}
    assert {check.status for check in report.checks} == {"checked"}
    assert report.rows[CC] == {"train": 3, "validation": 3, "test": 3, "test_ood": 3}
    assert len(report.pairs) == 6


# --- one leak of each kind, from train to test --------------------------------------------------------


def share_product(shop: Shop) -> None:
    shop.row(CC, "test")["product_ids"] = list(shop.row(CC, "train")["product_ids"])


def share_product_of_groups(shop: Shop) -> None:
    shop.row(CC, "test")["group_ids"]["products"] = list(shop.row(CC, "train")["group_ids"]["products"])


def share_cluster(shop: Shop) -> None:
    shop.row(PRP, "test")["group_ids"]["clusters"] += shop.row(PRP, "train")["group_ids"]["clusters"][1:]


def share_group(shop: Shop) -> None:
    for split in ("train", "test"):
        shop.row(PRP, split)["group_ids"]["groups"] = [f"shop:{split}", "shop:jacket"]


def share_all_but_the_colour(shop: Shop) -> None:
    title = json.loads(shop.row(CC, "train")["input"])["title"]
    shop.set_input(shop.row(CC, "test"), title=title.rsplit(" ", 1)[0] + " teal")


def share_all_but_size_and_colour(shop: Shop) -> None:
    # Sizes and colours recur over articles.
    for split, (size, colour), other in (("train", ("XS", "Moss"), "Lamp"), ("test", ("L", "Plum"), "Table")):
        shop.set_input(shop.row(CC, split), title=f"Fern Rain Jacket-{size}-{colour}")
        for position, one in enumerate((f"{other} {size} {colour}", f"{other} {split} {colour} {size} Gold")):
            shop.set_input(shop.row(CC, split, position + 1), title=one)


def share_user(shop: Shop) -> None:
    shop.row(SR, "test")["group_ids"]["user"] = shop.row(SR, "train")["group_ids"]["user"]


def share_query(shop: Shop) -> None:
    query = json.loads(shop.row(PSI, "train")["input"])["query"]
    shop.set_input(shop.row(PSI, "test"), query=f"  {query.upper()}!")


def share_query_id(shop: Shop) -> None:
    shop.row(PSI, "test")["group_ids"]["query"] = shop.row(PSI, "train")["group_ids"]["query"]


def share_image_url(shop: Shop) -> None:
    (url,) = shop.row(CC, "train")["image_urls"]
    shop.row(CC, "test")["image_urls"] = [url.replace(".jpg", "._SX425_.jpg")]


def share_image(shop: Shop) -> None:
    set_image(shop.row(CC, "test"), shop.row(CC, "train")["images"][0]["bytes"])


def share_pixels(shop: Shop) -> None:
    set_image(shop.row(CC, "test"), encoded(decoded(shop.row(CC, "train")), "PNG"))


def share_smaller_image(shop: Shop) -> None:
    smaller = decoded(shop.row(CC, "train")).resize((60, 60))
    set_image(shop.row(CC, "test"), encoded(smaller, quality=60))


def share_recompressed_image(shop: Shop) -> None:
    set_image(shop.row(CC, "test"), encoded(decoded(shop.row(CC, "train")), "WEBP", quality=40))


def share_title(shop: Shop) -> None:
    title = json.loads(shop.row(CC, "train")["input"])["title"]
    shop.set_input(shop.row(CC, "test"), title=title.replace(" ", " - ").title())


def share_most_of_a_title(shop: Shop) -> None:
    title = " ".join(f"word{number}" for number in range(10))
    shop.set_input(shop.row(CC, "train"), title=title)
    shop.set_input(shop.row(CC, "test"), title=f"{title} new")


def share_most_of_a_title_without_blanks(shop: Shop) -> None:
    title = "简约北欧风格大容量陶瓷马克杯配竹盖和勺子三百五十毫升"
    shop.set_input(shop.row(CC, "train"), title=title)
    shop.set_input(shop.row(CC, "test"), title=f"{title}包邮")


def share_review(shop: Shop) -> None:
    review = json.loads(shop.row(SA, "train")["input"])["review"]
    shop.set_input(shop.row(SA, "test"), review=f"{review} :-)")


def share_most_of_a_review(shop: Shop) -> None:
    review = json.loads(shop.row(SA, "train")["input"])["review"]
    shop.set_input(shop.row(SA, "test"), review=review.rsplit(" ", 1)[0] + " indeed")


def share_question(shop: Shop) -> None:
    shop.set_input(shop.row(AP, "test"), question=json.loads(shop.row(AP, "train")["input"])["question"])


def share_snippet(shop: Shop) -> None:
    (snippet,) = json.loads(shop.row(AP, "train")["input"])["document"]
    shop.set_input(shop.row(AP, "test"), document=["Another one says that this here is true.", snippet])


LEAKS: list[tuple[Callable[[Shop], None], str, str]] = [
    (share_product, "product", CC),
    (share_product_of_groups, "product", CC),
    (share_cluster, "cluster", PRP),
    (share_group, "variant", PRP),
    (share_all_but_the_colour, "variant", CC),
    (share_all_but_size_and_colour, "variant", CC),
    (share_user, "user", SR),
    (share_query, "query", PSI),
    (share_query_id, "query_id", PSI),
    (share_image_url, "image_url", CC),
    (share_image, "image_bytes", CC),
    (share_pixels, "image_pixels", CC),
    (share_smaller_image, "image_near", CC),
    (share_recompressed_image, "image_near", CC),
    (share_title, "title_identical", CC),
    (share_most_of_a_title, "title_near", CC),
    (share_most_of_a_title_without_blanks, "title_near", CC),
    (share_review, "text_identical", SA),
    (share_most_of_a_review, "text_near", SA),
    (share_question, "text_identical", AP),
    (share_snippet, "text_identical", AP),
]


@pytest.mark.parametrize(
    ("plant", "kind", "task"), LEAKS, ids=lambda value: getattr(value, "__name__", value)
)
def test_only_the_planted_leak_is_found(
    shop: Shop, tmp_path: Path, plant: Callable[[Shop], None], kind: str, task: str
) -> None:
    plant(shop)
    shop.keep("train", "test")
    report = audit_folder(shop.write(tmp_path))
    assert found(report) == {(kind, WITHIN, "train", "test", task)}
    (finding,) = report.findings
    assert (finding.samples, finding.of, finding.exceeds) == (1, 3, True)
    assert report.totals == {(kind, WITHIN, "train", "test"): 1}
    (example,) = finding.examples
    assert (example.sample, example.other_sample) == (f"{task[:3]}-test-0", f"{task[:3]}-train-0")
    assert example.shared


def test_urls_of_referenced_images_are_compared(shop: Shop, tmp_path: Path) -> None:
    for rows in shop.rows.values():
        for row in rows:
            row["images"] = [None]
    share_image_url(shop)
    report = audit_folder(shop.write(tmp_path))
    assert found(report) == {("image_url", WITHIN, "train", "test", CC)}
    assert {check.kind for check in report.unchecked} == {"image_bytes", "image_pixels", "image_near"}


def test_an_ood_category_in_training_is_found(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "train", 1)["category"] = "GARDEN"
    shop.row(CC, "validation", 1)["category"] = "Garden"  # only training counts
    shop.row(PSI, "train", 1)["category"] = "Garden"  # and only the task's own
    report = audit_folder(shop.write(tmp_path))
    assert found(report) == {("category", WITHIN, "train", "test_ood", CC)}
    (finding,) = report.findings
    assert (finding.samples, finding.of) == (3, 3)
    assert finding.examples[0].shared == "garden"


def test_a_missing_category_is_compared(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "train")["category"] = shop.row(CC, "test_ood")["category"] = None
    report = audit_folder(shop.write(tmp_path))
    assert [(finding.kind, finding.samples) for finding in report.findings] == [("category", 1)]


def test_titles_of_other_articles_are_no_variants(shop: Shop, tmp_path: Path) -> None:
    """Two words that occur nowhere else name another kind of product."""
    shop.set_input(shop.row(CC, "train"), title="Fernhollow Rain Jacket-XS-Moss")
    shop.set_input(shop.row(CC, "test"), title="Fernhollow Garden Glove-XS-Moss")
    assert audit_folder(shop.write(tmp_path)).findings == ()


def test_where_groups_are_named_titles_decide_nothing(shop: Shop, tmp_path: Path) -> None:
    share_all_but_the_colour(shop)
    for split in ("train", "test"):
        shop.row(CC, split)["group_ids"]["groups"] = [f"shop:{split}"]
    assert audit_folder(shop.write(tmp_path)).findings == ()


# --- where it is found --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("train", "validation"),
        ("train", "test_ood"),
        ("validation", "test"),
        ("validation", "test_ood"),
        ("test", "test_ood"),
    ],
)
def test_every_pair_of_splits_is_compared(shop: Shop, tmp_path: Path, earlier: str, later: str) -> None:
    title = json.loads(shop.row(CC, earlier)["input"])["title"]
    shop.set_input(shop.row(CC, later), title=title)
    set_image(shop.row(CC, later), encoded(decoded(shop.row(CC, earlier)), quality=50))
    report = audit_folder(shop.write(tmp_path))
    assert found(report) == {(kind, WITHIN, earlier, later, CC) for kind in ("title_identical", "image_near")}


def test_repeats_within_a_split_are_no_leak(shop: Shop, tmp_path: Path) -> None:
    for row in shop.rows[CC, "test"]:
        row["product_ids"] = ["shop:same"]
        shop.set_input(row, title="The same title as the others")
    assert audit_folder(shop.write(tmp_path)).findings == ()


def test_tasks_are_compared_with_each_other(shop: Shop, tmp_path: Path) -> None:
    (snippet,) = json.loads(shop.row(AP, "train")["input"])["document"]
    shop.set_input(shop.row(SA, "test"), review=snippet)  # a review that training quotes in another task
    shop.row(PSI, "validation")["product_ids"] = shop.row(CC, "train", 2)["product_ids"]
    report = audit_folder(shop.write(tmp_path))
    assert found(report) == {
        ("text_identical", ACROSS, "train", "test", SA),
        ("product", ACROSS, "train", "validation", PSI),
    }
    (_, text) = report.findings
    assert text.examples[0].other_task == AP
    assert (text.examples[0].place, text.examples[0].other_place) == ("review", "document")


def test_a_sample_counts_once(shop: Shop, tmp_path: Path) -> None:
    shop.row(CC, "test")["product_ids"] = [
        product for row in shop.rows[CC, "train"] for product in row["product_ids"]
    ]
    report = audit_folder(shop.write(tmp_path))
    assert [finding.samples for finding in report.findings] == [1]


def test_products_of_a_recommendation_are_shared_by_design(shop: Shop, tmp_path: Path) -> None:
    """The task is disjoint by user only: other users and other tasks have the same products."""
    shop.row(SR, "test")["product_ids"] = shop.row(CC, "train")["product_ids"]
    shop.row(SR, "test", 1)["group_ids"]["clusters"] = shop.row(SR, "train")["group_ids"]["clusters"]
    set_image(shop.row(CC, "test"), shop.row(SR, "train")["images"][0]["bytes"])
    shop.row(SR, "validation")["options"] = [f"A: {json.loads(shop.row(CC, 'train')['input'])['title']}"]
    shop.keep("train", "validation", "test")
    folder = shop.write(tmp_path)
    report = audit_folder(folder)
    assert found(report) == {
        ("product", BY_DESIGN, "train", "test", SR),
        ("cluster", BY_DESIGN, "train", "test", SR),
        ("image_bytes", BY_DESIGN, "train", "test", CC),
        ("title_identical", BY_DESIGN, "train", "validation", SR),
    }
    assert report.exceeded == []
    strict = AuditSettings.model_validate({"by_design": {"product": 0.2}})
    assert [finding.kind for finding in audit_folder(folder, strict).exceeded] == ["product"]


def test_users_of_reviews_are_shared_by_design(shop: Shop, tmp_path: Path) -> None:
    shop.row(SA, "test")["group_ids"]["user"] = shop.row(SA, "train")["group_ids"]["user"]
    shop.row(SR, "test")["group_ids"]["user"] = shop.row(SA, "train", 1)["group_ids"]["user"]
    assert found(audit_folder(shop.write(tmp_path))) == {
        ("user", BY_DESIGN, "train", "test", SA),
        ("user", BY_DESIGN, "train", "test", SR),
    }


# --- no leaks --------- ----------------------------------------------------------------------------------


def mug(colour: str) -> Image.Image:
    image = Image.new("RGB", (96, 96), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((55, 35, 85, 70), outline=colour, width=6)
    draw.rectangle((20, 25, 65, 80), fill=colour, outline="black")
    return image


def test_colour_variants_are_no_near_images(shop: Shop, tmp_path: Path) -> None:
    set_image(shop.row(CC, "train"), encoded(mug("#c02020"), quality=95))
    set_image(shop.row(CC, "test"), encoded(mug("#2040e0"), quality=95))
    shop.keep("train", "test")
    folder = shop.write(tmp_path)
    assert audit_folder(folder).findings == ()
    # Without the comparison of colours.
    grey = AuditSettings(max_colour_difference=255)
    assert {finding.kind for finding in audit_folder(folder, grey).findings} == {"image_near"}


def test_images_without_structure_are_compared_by_bytes(shop: Shop, tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(100, 110, 96, dtype=np.uint8)[None, :, None], 96, axis=0).repeat(3, axis=2)
    set_image(shop.row(CC, "train"), encoded(Image.fromarray(ramp), "PNG"))
    set_image(shop.row(CC, "test"), encoded(Image.fromarray(ramp + 1), "PNG"))
    set_image(shop.row(SA, "validation"), shop.row(CC, "train")["images"][0]["bytes"])
    report = audit_folder(shop.write(tmp_path))
    assert found(report) == {("image_bytes", ACROSS, "train", "validation", SA)}
    notes = {check.kind: check.note for check in report.checks}
    assert "2 images have too little structure" in notes["image_near"]


@pytest.mark.parametrize("text", ["Great!", "Works as it should, thank you"])
def test_short_reviews_are_not_compared(shop: Shop, tmp_path: Path, text: str) -> None:
    for split in ("train", "test"):
        shop.set_input(shop.row(SA, split), review=text)
    shop.keep("train", "test")
    folder = shop.write(tmp_path)
    assert audit_folder(folder).findings == ()
    findings = audit_folder(folder, AuditSettings(min_text_words=1)).findings
    assert [finding.kind for finding in findings] == ["text_identical"]


def test_texts_of_different_units_are_not_compared(shop: Shop, tmp_path: Path) -> None:
    """A question may quote a title."""
    title = "a title of more than eight words as some sellers write them"
    shop.set_input(shop.row(CC, "train"), title=title)
    shop.set_input(shop.row(AP, "test"), question=title)
    assert audit_folder(shop.write(tmp_path)).findings == ()


# --- the same for any number of workers, and tolerances ------------------------------------------------


def test_the_number_of_workers_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    for plant, _, _ in LEAKS:
        plant(shop)
    folder = shop.write(tmp_path)
    alone = audit_folder(folder, workers=1)
    assert alone.findings
    assert audit_folder(folder, workers=2).to_json() == alone.to_json()


def test_a_tolerance_is_a_share_of_the_later_split(shop: Shop, tmp_path: Path) -> None:
    share_title(shop)
    shop.keep("train", "test")
    folder = shop.write(tmp_path)
    for tolerance, exceeds in ((0.33, True), (0.34, False)):
        settings = AuditSettings.model_validate({"tolerances": {"title_identical": tolerance}})
        assert bool(audit_folder(folder, settings).exceeded) is exceeds


def test_the_settings_limit_the_examples(shop: Shop, tmp_path: Path) -> None:
    for train, test in zip(shop.rows[CC, "train"], shop.rows[CC, "test"], strict=True):
        test["product_ids"] = train["product_ids"]
    shop.keep("train", "test")
    folder = shop.write(tmp_path)
    for number in (0, 2, 5):
        (finding,) = audit_folder(folder, AuditSettings(examples=number)).findings
        assert (finding.samples, len(finding.examples)) == (3, min(number, 3))
