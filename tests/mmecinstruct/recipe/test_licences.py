"""Licences: the sources a recipe may use, the publishers of its samples, and what the card states of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmecinstruct.cli.app import app
from mmecinstruct.core.errors import RecipeError
from mmecinstruct.dataset.statistics import collect_statistics
from mmecinstruct.publish.card import write_card
from mmecinstruct.recipe import Recipe, load_recipe
from mmecinstruct.recipe.licences import apply_licences, credits

AMAZON: dict[str, Any] = {"kind": "amazon18_metadata", "path": "amazon2018/meta_Electronics.json.gz"}
REVIEWS: dict[str, Any] = {"kind": "amazon18_reviews", "path": "amazon2018/Electronics_5.json.gz"}
QUESTIONS: dict[str, Any] = {"kind": "amazonqa", "path": "amazonqa/*-qar.jsonl"}
MAVE: dict[str, Any] = {"kind": "mave", "path": "mave/mave_positives_labels.jsonl"}
ESCI: dict[str, Any] = {"kind": "esci", "examples": "esci/e.parquet", "products": "esci/p.parquet"}
SQID: dict[str, Any] = {"kind": "sqid", "path": "sqid/product_image_urls.csv"}
OWN: dict[str, Any] = {"kind": "catalog", "products": {"path": "p.csv", "id": "id", "title": "title"}}
EVERYTHING = (AMAZON, REVIEWS, QUESTIONS, MAVE, ESCI, SQID)


def recipe(*sources: dict[str, Any], **fields: Any) -> Recipe:
    return Recipe.model_validate({"name": "test", "sources": list(sources), **fields})


def kinds(chosen: Recipe) -> list[str]:
    return [one.kind for one in chosen.sources]


def test_open_leaves_out_unlicensed_and_non_commercial_sources() -> None:
    chosen = apply_licences(recipe(*EVERYTHING, licences="open", images={"publish": "reference"}))
    assert kinds(chosen.recipe) == ["esci", "sqid"]
    assert chosen.left_out == (
        "amazon18_metadata (amazon2018: none stated)",
        "amazon18_reviews (amazon2018: none stated)",
        "amazonqa (amazonqa: none stated)",
        "mave (mave: CC-BY-NC-4.0)",
    )
    assert chosen.warnings == ()


def test_any_keeps_all_sources_and_warns() -> None:
    wanted = recipe(*EVERYTHING)
    chosen = apply_licences(wanted)
    assert chosen.recipe == wanted
    texts, images = chosen.warnings
    assert "amazon2018, amazonqa, mave" in texts
    assert "images of amazon2018, sqid" in images
    assert "images.publish=reference" in images
    assert len(apply_licences(recipe(*EVERYTHING, images={"publish": "reference"})).warnings) == 1


def test_open_does_not_embed_images_without_terms() -> None:
    with pytest.raises(RecipeError, match=r"images of sqid; set images.publish to reference"):
        apply_licences(recipe(ESCI, SQID, licences="open"))
    assert kinds(apply_licences(recipe(ESCI, licences="open")).recipe) == ["esci"]


def test_an_error_names_the_sources_left_out_where_none_is_left() -> None:
    with pytest.raises(RecipeError, match=r"no source is left. Left out: amazon18_metadata \(amazon2018"):
        apply_licences(recipe(AMAZON, REVIEWS, licences="open"))
    with pytest.raises(RecipeError, match="no source of products is left"):
        apply_licences(recipe(AMAZON, SQID, licences="open"))


def test_your_own_catalogue_is_open_with_a_stated_licence() -> None:
    with pytest.raises(RecipeError, match=r"publish\.license names no licence"):
        apply_licences(recipe(OWN, licences="open"))
    stated = recipe(OWN, licences="open", publish={"license": "cc-by-4.0"})
    assert kinds(apply_licences(stated).recipe) == ["catalog"]
    assert apply_licences(recipe(OWN)).warnings == ()


def test_the_sample_shop_is_open_in_every_format() -> None:
    sample = load_recipe("sample", ["licences=open"])
    assert apply_licences(sample).recipe == sample


def tasks(**origins: dict[str, int]) -> dict[str, dict[str, dict[str, Any]]]:
    return {task: {"train": {"origins": counts}} for task, counts in origins.items()}


def counted(wanted: Recipe, **origins: dict[str, int]) -> dict[str, int]:
    return {one["name"]: one["samples"] for one in credits(wanted, tasks(**origins))}


def test_a_sample_counts_for_every_possible_publisher() -> None:
    assert counted(
        recipe(*EVERYTHING),
        answerability_prediction={"amazon18": 5},
        category_classification={"amazon18": 7},
        sentiment_analysis={"amazon18": 11},
        multiclass_product_classification={"esci": 13},
    ) == {"amazon2018": 23, "amazonqa": 5, "esci": 13, "sqid": 13, "mave": 7}


def test_both_metadata_sets_are_credited_for_shared_ids() -> None:
    older = {**AMAZON, "path": "amazon2014/meta_Electronics.json.gz"}
    assert counted(recipe(AMAZON, older), product_relation_prediction={"amazon18": 2}) == {
        "amazon2018": 2,
        "amazon2014": 2,
    }


def test_reviews_of_2014_are_not_credited_to_the_set_of_2018() -> None:
    older = [
        {**AMAZON, "path": "amazon2014/meta_Electronics.json.gz"},
        {**REVIEWS, "path": "amazon2014/reviews_*_5.json.gz"},
    ]
    assert counted(recipe(*older), sentiment_analysis={"amazon18": 2}) == {"amazon2014": 2}


def test_a_sample_of_several_sources_counts_for_each() -> None:
    mixed = recipe(AMAZON, REVIEWS, OWN)
    found = counted(mixed, sequential_recommendation={"amazon18+shop": 3, "shop": 4})
    assert found == {"amazon2018": 3, "catalogue": 7}


def test_ids_of_no_source_have_unknown_terms() -> None:
    (entry,) = credits(recipe(MAVE), tasks(category_classification={"moon": 2}))
    assert (entry["name"], entry["licence"], entry["texts"], entry["samples"]) == (
        *("moon", "not known", "not stated", 2),
    )


def page(small: Any, folder: Path, wanted: Recipe) -> str:
    statistics = {
        **collect_statistics(folder),
        "schema_version": "1.0",
        "sizes": {},
        "missing_tasks": {},
        "rejections": {},
        "publishers": credits(
            wanted, tasks(category_classification={"amazon18": 7}, answerability_prediction={"amazon18": 2})
        ),
        "left_out_sources": list(apply_licences(wanted).left_out) if wanted.licences == "open" else [],
    }
    write_card(folder, wanted, statistics, "f" * 32)
    return (folder / "README.md").read_text()


def test_the_card_states_terms_warns_and_cites(small: Any, own_folder: Path) -> None:
    text = page(small, own_folder, recipe(AMAZON, QUESTIONS, MAVE))
    assert "| Amazon Reviews 2018 | 9 | none stated | not stated | not stated |" in text
    assert "| AmazonQA | 2 | none stated | not stated | none |" in text
    assert (
        "| MAVE | 7 | Creative Commons Attribution\\-NonCommercial 4.0, of the labels | non-commercial |"
        in text
    )
    licence = text.partition("## Licence")[2].partition("## Citation")[0]
    assert "**Not everyone may pass this on.** For Amazon Reviews 2018 (none stated; 9 samples), " in licence
    assert (
        "**Images are embedded without a statement that they may be passed on:** those of Amazon Reviews 2018."
        in licence
    )
    citation = text.partition("## Citation")[2]
    for key in ("ling2024captions", "ni2019justifying", "gupta2019amazonqa", "yang2022mave"):
        assert citation.count(f"{{{key},") == 1
    assert "reddy2022shopping" not in citation


def test_the_card_of_referenced_images_warns_only_of_texts(small: Any, own_folder: Path) -> None:
    text = page(small, own_folder, recipe(AMAZON, images={"publish": "reference", "read": False}))
    assert "**Not everyone may pass this on.**" in text
    assert "Images are embedded" not in text
    assert "referenced by URL" in text
    assert "The images were not downloaded" in text


def test_the_card_names_sources_left_out_by_open(small: Any, own_folder: Path) -> None:
    wanted = recipe(*EVERYTHING, licences="open", images={"publish": "reference"})
    text = page(small, own_folder, wanted)
    assert "(`licences: open`): amazon18\\_metadata \\(amazon2018: none stated\\), " in text


def test_a_pull_under_licences_names_omitted_files(tmp_path: Path) -> None:
    arguments = [
        "--set",
        "licences=open",
        "--dry-run",
        "--data",
        str(tmp_path),
        "--mirror",
        "http://127.0.0.1:1",
    ]
    done = CliRunner().invoke(app, ["pull", "--recipe", "paper", *arguments])
    assert done.exit_code == 0, done.output
    assert "Left out, as licences: open allows" in done.stderr
    assert "mave (mave: CC-BY-NC-4.0)" in done.stderr
    assert "4 files: 0 there, 4 to fetch" in done.stdout
    assert "amazon" not in done.stdout


def test_the_command_shows_sources_and_builds_under_licences(tmp_path: Path) -> None:
    run = CliRunner().invoke
    shown = run(app, ["sources"])
    assert shown.exit_code == 0
    assert "esci " in shown.stdout
    assert "SHA-256 4a735b693b4a" in run(app, ["sources", "esci"]).stdout
    assert '"name": "mave"' in run(app, ["sources", "mave", "--json"]).stdout
    assert (
        run(app, ["sources", "--json"]).stdout.count('"homepage"')
        == len(shown.stdout.split("\n\n")[0].splitlines()) - 1
    )
    (tmp_path / "closed.yaml").write_text(
        "name: closed\nsources:\n  - {kind: amazon18_metadata, path: amazon2018/meta_Electronics.json.gz}\n"
    )
    arguments = ["build", "--recipe", str(tmp_path / "closed.yaml"), "--data", str(tmp_path), "--out"]
    ended = run(app, [*arguments, str(tmp_path / "out"), "--licences", "open"])
    assert isinstance(ended.exception, RecipeError)
    assert "no source is left" in str(ended.exception)
    ended = run(app, [*arguments, str(tmp_path / "out"), "--licences", "free"])
    assert ended.exit_code == 2
    assert "'free' is not one of 'any', 'open'" in ended.stderr
    assert not (tmp_path / "out").exists()
