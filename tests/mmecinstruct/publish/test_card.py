"""The card's YAML and page are complete, and untrusted text breaks neither."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from mmecinstruct.auditing import audit_folder
from mmecinstruct.auditing.shortcuts import Shortcuts, Unguessed
from mmecinstruct.auditing.shortcuts.result import make_guess
from mmecinstruct.core.markdown import markdown_text
from mmecinstruct.dataset.configs import card_configs
from mmecinstruct.dataset.statistics import collect_statistics
from mmecinstruct.publish.card import write_card
from mmecinstruct.recipe import AuditSettings
from mmecinstruct.tasks import TASKS

OOD_TASKS = [name for name, task in TASKS.items() if task.has_ood]

CATEGORIES, REVIEWS = "category_classification", "sentiment_analysis"


def metadata(folder):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", (folder / "README.md").read_text(), re.DOTALL)[1])


def test_yaml_has_the_fields_of_the_hub(sound_folder):
    content = metadata(sound_folder)
    assert content["license"] == "cc0-1.0"
    assert content["language"] == ["en"]
    assert content["pretty_name"] == 'Small: "shop"'
    assert content["size_categories"] == ["n<1K"]


def test_one_config_per_task_and_one_for_all(sound_folder):
    configs = {config["config_name"]: config for config in metadata(sound_folder)["configs"]}
    assert list(configs) == ["all", *TASKS]
    assert configs["all"]["default"] is True
    for task in TASKS:
        splits = {entry["split"]: entry["path"] for entry in configs[task]["data_files"]}
        assert ("test_ood" in splits) == (task in OOD_TASKS)
        # `test*` would match test_ood as well.
        assert splits["test"] == f"{task}/test-*.parquet"
    everything = {entry["split"]: entry["path"] for entry in configs["all"]["data_files"]}
    assert everything["test_ood"] == [f"{task}/test_ood-*.parquet" for task in OOD_TASKS]


def test_only_splits_that_exist_are_listed():
    configs = card_configs(["sentiment_analysis/test-00000-of-00001.parquet"])
    assert [config["config_name"] for config in configs] == ["all", "sentiment_analysis"]
    assert [[entry["split"] for entry in config["data_files"]] for config in configs] == [["test"], ["test"]]


@pytest.mark.parametrize(
    ("rows", "category"), [(999, "n<1K"), (1000, "1K<n<10K"), (75_000, "10K<n<100K"), (10**8, "n>10M")]
)
def test_size_category(small, sound_folder, rows, category):
    from mmecinstruct.publish.card import card_metadata

    statistics = {**collect_statistics(sound_folder), "rows": rows}
    assert card_metadata(small.recipe, statistics)["size_categories"] == [category]


def test_page_lists_sizes_shortages_and_rejections(sound_folder):
    text = (sound_folder / "README.md").read_text()
    assert re.search(r"\| sequential_recommendation \| sr \| .* \| 4 \| 2 \| 2 \| 2 \|\n", text)
    assert re.search(r"\| multiclass_product_classification \| mpc \| .* \| 4 \| 2 \| 2 \| – \|\n", text)
    assert "answerability_prediction, train: 4 of 9" in text
    assert "| parse | not\\_json | 2 |" in text
    assert "arXiv" in text
    assert "fingerprint `ffff" in text
    assert "{{" not in text
    assert "{%" not in text


def test_hostile_text_breaks_neither_yaml_nor_tables(small, tmp_path):
    evil = "x |\n---\nlicense: mit\n# head <script>alert(1)</script> [a](http://x) {{ 7 * 7 }} `\"'\\"
    recipe = small.recipe.model_copy(
        update={
            "description": evil,
            "publish": small.recipe.publish.model_copy(update={"pretty_name": evil, "license": "other"}),
        }
    )
    rows = small.rows("sentiment_analysis", "test_ood")
    for row in rows:
        row.update(category=evil, source=evil)
    small.write(tmp_path, {("sentiment_analysis", "test_ood"): rows})
    statistics = {
        **collect_statistics(tmp_path),
        "schema_version": "1.0",
        "sizes": {},
        "missing_tasks": {next(iter(TASKS)): [evil]},
        "rejections": {evil: {evil: 1}},
    }
    write_card(tmp_path, recipe, statistics, "f" * 32)
    text = (tmp_path / "README.md").read_text()
    assert metadata(tmp_path)["license"] == "other"
    assert metadata(tmp_path)["pretty_name"] == " ".join(evil.split())
    page = text.split("\n---\n", 1)[1]
    assert "<script" not in page
    assert "](http" not in page
    assert "\n---\n" not in page
    assert "49" not in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables if "script" in line} == {3, 4}


def test_markdown_text_is_one_short_line():
    assert markdown_text("a\n\n b\t<c> & *d*") == "a b &lt;c&gt; &amp; \\*d\\*"
    assert len(markdown_text("x" * 1000)) == 300


def page_of_audit(small, folder, audit):
    statistics = {
        **collect_statistics(folder),
        "schema_version": "1.0",
        "sizes": {},
        "missing_tasks": {},
        "rejections": {},
        "audit": audit,
    }
    write_card(folder, small.recipe, statistics, "f" * 32)
    return (folder / "README.md").read_text().partition("## Splits")[2].partition("## Images")[0]


def test_page_lists_overlaps_of_splits(small, own_folder):
    report = audit_folder(own_folder)
    # The fixture's tasks ask about one "Mug" in all splits.
    assert report.exceeded
    page = page_of_audit(small, own_folder, report.summary())
    # Two samples of each of two tasks, of the 14 of a split.
    shown = "| a query of the same words | within a task | 4 (28.6 %) | 4 (28.6 %) | 0 | 4 (28.6 %) | 0 | 0 |"
    assert shown in page.splitlines()
    assert "**The splits share more than the recipe tolerates:** " in page
    assert "product\\_substitute\\_identification, train / test: 2 of 2 samples have a query" in page
    assert "Found between no two splits, except by design: " in page
    assert "the same query id" in page.partition("Found between no two splits")[2].partition("\n")[0]


def test_page_lists_tolerances_and_unchecked_kinds(small, own_folder):
    tolerant = AuditSettings.model_validate(
        {"tolerances": dict.fromkeys(AuditSettings().tolerances.model_dump(), 1.0)}
    )
    summary = audit_folder(own_folder, tolerant).summary()
    summary["checks"]["user"].update(status="not checked", note="no column <b>")
    page = page_of_audit(small, own_folder, summary)
    assert "This is within the tolerances of the recipe." in page
    assert "more than the recipe tolerates" not in page
    assert "Not checked: the same user (no column &lt;b&gt;)." in page


def test_page_lists_what_guessers_score(small, own_folder):
    def guess(guesser, right):
        return make_guess("category_classification", "test", guesser, right, 100, 100, 0.1, 0.05)

    guesses = (guess("first_option", 11), guess("position", 90), guess("overlap", 95))
    unguessed = (Unguessed("sentiment_analysis", "test", "3 rows, fewer than 30"),)
    report = replace(audit_folder(own_folder), guessed=Shortcuts(guesses, unguessed))
    page = page_of_audit(small, own_folder, report.summary())
    line = "| category\\_classification | test | 100 | 0.100 | 0.900 (position) | 0.950 (overlap) |"
    assert line in page.splitlines()
    assert (
        "a guesser that takes the letter that is right most often in training is right on 0.900 of 100 samples"
        in page
    )
    assert "Not guessed: sentiment\\_analysis, test (3 rows, fewer than 30)." in page
    report = replace(report, guessed=Shortcuts(guesses[::2]))
    assert "No blind guesser exceeds chance by more than 0.05" in page_of_audit(
        small, own_folder, report.summary()
    )


def test_page_without_an_audit_mentions_none(sound_folder):
    assert "mmec audit" not in (sound_folder / "README.md").read_text()


DUPLICATES = {
    "pairs": {
        "same_item": 3,
        "exact_title": 4,
        "near_title": 5,
        "identical_bytes": 6,
        "identical_pixels": 7,
        "near_image": 8,
        "mirrored_image": 12,
        "edited_image": 13,
        "images_unhashed": 0,
        "images_too_little_structure": 9,
        "products_without_title": 10,
    },
    "products": 90,
    "clusters": 21,
    "cluster_sizes": {"1": 15, "2": 3, "4": 1, "5": 1, "60": 1},
    "split_components": 2,
    "dropped_pairs": 11,
    "same_product_sizes": {"1": 80, "2": 5},
    "duplicate_products": 5,
    "merged": 5,
    "groups": 7,
    "variants": 14,
    "split_units": 19,
    "largest_split_unit": 62,
}


def test_page_lists_clusters_and_kinds_of_pairs(small, own_folder):
    statistics = {
        **collect_statistics(own_folder),
        "schema_version": "1.0",
        "sizes": {},
        "missing_tasks": {},
        "rejections": {},
        "duplicates": DUPLICATES,
        "hygiene": {"records": 40, "masked": {"email": 2, "social_security": 1}, "profane": 3},
    }
    write_card(own_folder, small.recipe, statistics, "f" * 32)
    card = (own_folder / "README.md").read_text()
    page = card.partition("## Duplicates")[2].partition("## Images")[0]
    assert "90 products form 21 clusters; the largest holds 60." in page
    assert (
        "Variants: 7 groups that a source names; 14 products that differ from another one only in words"
        in page
    )
    assert "forms 19 units; the largest holds 62 products." in page
    assert "groups of variants" in card.partition("## Columns")[2].partition("## Splits")[0]
    assert "every group of variants" in card.partition("## Splits")[2].partition("## Duplicates")[0]
    assert "| products in a cluster | 1 | 2 | 3–5 | 6–10 | 11–50 | 51+ |\n" in page
    assert "| clusters | 15 | 3 | 2 | 0 | 0 | 1 |\n" in page
    assert "3 with the same item number, 4 with the same title, 5 with nearly the same title" in page
    # Edited images were not searched: the recipe does not ask for a second look.
    assert "8 with an image that looks nearly the same, 12 with an image that is mirrored." in page
    assert "9 images with too little structure" in page
    assert "2 groups of more than 200 products were split by dropping their weakest pairs (11)." in page
    assert "5 records name the same product as another one; they were merged into it." in page
    assert "Of 40 reviews and questions 3 have swear words" in card
    assert "| reviews and questions | 40 | 2 email, 1 social security |\n" in card
    assert "queries" not in card.partition("## Texts")[2]


def texts_of_card(small, folder, recipe, hygiene) -> str:
    counted = {**collect_statistics(folder), "schema_version": "1.0"}
    statistics = {**counted, "sizes": {}, "missing_tasks": {}, "rejections": {}, "hygiene": hygiene}
    write_card(folder, recipe, statistics, "f" * 32)
    return (folder / "README.md").read_text().partition("## Texts")[2].partition("## Sources")[0]


def test_card_claims_nothing_of_texts_that_nobody_searched(small, own_folder):
    names = {"searched": 30, "suspicious": 6, "masked": {"phone": 2}}
    queries = {"searched": 0, "masked": {}}
    hygiene = {"records": 0, "masked": {}, "profane": 0, "names": names, "queries": queries}
    page = texts_of_card(small, own_folder, small.recipe, hygiene)
    assert "| products: title, brand, categories | 30 | 2 phone |\n" in page
    assert "| queries |" not in page
    assert "| reviews and questions |" not in page
    curate = small.recipe.curate
    left = small.recipe.model_copy(update={"curate": curate.model_copy(update={"mask_titles": False})})
    page = texts_of_card(small, own_folder, left, {**hygiene, "records": 4})
    assert "| products: title, brand, categories |" not in page
    assert "those of 6 of 30 products look as though they hold personal data" in page
    none = small.recipe.model_copy(update={"curate": curate.model_copy(update={"mask": ()})})
    page = texts_of_card(small, own_folder, none, hygiene)
    assert "No text was searched for personal data." in page


def test_page_mentions_users_only_with_reviews(small, tmp_path):
    small.write(tmp_path / "cc", {(CATEGORIES, "train"): small.rows(CATEGORIES, "train")})
    page = (tmp_path / "cc" / "README.md").read_text().partition("## Splits")[2].partition("## Images")[0]
    assert "users" not in page
    assert "sequential_recommendation" not in page
    small.write(tmp_path / "sa", {(REVIEWS, "train"): small.rows(REVIEWS, "train")})
    page = (tmp_path / "sa" / "README.md").read_text().partition("## Splits")[2].partition("## Images")[0]
    assert "a user may have written reviews of several splits; no text names users." in page
