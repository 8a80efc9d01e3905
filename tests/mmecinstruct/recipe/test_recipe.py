"""Recipes are typed, forbid unknown fields, and name the field that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import mmecinstruct as mm
from mmecinstruct.core.errors import RecipeError
from mmecinstruct.recipe import Recipe, apply_override, built_in_recipes, find_recipe, load_recipe
from mmecinstruct.recipe.resources import MIN_QUERY_BYTES, PROCESS_BYTES, READING_BYTES
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.sentiment_analysis import SentimentAnalysisSettings


@pytest.mark.parametrize("name", sorted(built_in_recipes()))
def test_every_built_in_recipe_is_valid_and_named_as_its_file(name: str) -> None:
    assert load_recipe(name).name == name


def test_overrides_reach_nested_fields_and_list_items() -> None:
    recipe = load_recipe("sample", ["sizes.train=7", "sources.0.path=x", "sample.images=false"])
    assert recipe.sizes.train == 7
    assert recipe.sources[0].path == "x"  # type: ignore[union-attr]
    assert recipe.sample is not None
    assert not recipe.sample.images


def test_an_override_creates_missing_mappings() -> None:
    recipe = load_recipe("sample", ["tasks.sentiment_analysis.sizes.test=3"])
    assert recipe.task_sizes("sentiment_analysis").test == 3


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("sizes.trian=1", "sizes.trian"),
        ("sizes.train=many", "sizes.train"),
        ("sizes.train", "FIELD=VALUE"),
        ("sources.9.path=x", "sources.9.path"),
        ("seed.deep=1", "seed.deep"),
        ("split.train=0.9", "sum to 1"),
        ("tasks.sentiment=1", "sentiment"),
        ("tasks.sentiment_analysis.label_balance={A: 0.9}", "sum to 1"),
        ("sources.0.kind=tape", "kind"),
        ("name=A B", "name"),
        ("name=2024-13-45", "name=2024-13-45"),
        ("sources.².path=x", "sources.²"),
        ("sources.0.path=a**b", "sources.0.amazon18_metadata.path"),
        ('curate.languages=["e\'n"]', "curate.languages.0"),
        ("images.folders=[/etc]", "images.folders.0"),
        ("images.mirrors=[{url: 'https://x.example/', folder: ../x}]", "images.mirrors.0.folder"),
        ("images.mirrors=[{url: x.example, folder: x}]", "images.mirrors.0.url"),
        ("tasks.sentiment_analysis.label_balance={A: .nan}", "finite"),
        ("tasks.sentiment_analysis.label_balance={a: 1}", "no label a; there are A, B, C, D, E"),
        ("tasks.sentiment_analysis.candidates=5", "only sequential_recommendation uses it"),
        ("images.max_aspect=.inf", "images.max_aspect"),
        ("scal=0.01", "scal: there is no such field; did you mean 'scale'?"),
        ("images.raed=true", "images.raed: there is no such field; did you mean 'read'?"),
        ("zzz=1", "with its overrides: not a valid recipe:\n  zzz: there is no such field"),
    ],
)
def test_a_wrong_override_names_its_field(override: str, named: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(named)):
        load_recipe("sample", [override])


def test_scale_multiplies_all_sizes_and_leaves_none_empty() -> None:
    recipe = load_recipe("paper", ["scale=0.01"])
    assert recipe.task_sizes("sentiment_analysis").model_dump() == {
        "train": 80,
        "validation": 10,
        "test": 10,
        "test_ood": 10,
    }
    assert recipe.task_sizes("multiclass_product_classification").test_ood == 0
    # A task's own sizes too; and what is wanted at all is wanted at least once.
    shop = load_recipe(
        "sample", ["scale=0.001", "tasks.sentiment_analysis.sizes.test=7000", "sizes.test_ood=0"]
    )
    assert shop.task_sizes("sentiment_analysis").test == 7
    assert shop.task_sizes("category_classification").validation == 1
    assert shop.task_sizes("category_classification").test_ood == 0


def test_the_paper_recipe_has_75_000_samples() -> None:
    recipe = load_recipe("paper")
    sizes = [recipe.task_sizes(task) for task in TASKS]
    assert sum(size.train for size in sizes) == 56_000
    assert sum(size.validation for size in sizes) == sum(size.test for size in sizes) == 7_000
    assert sum(size.test_ood for size in sizes) == 5_000
    paths = [
        path for source in recipe.sources for path in source.model_dump(exclude={"kind"}).values() if path
    ]
    assert not any("*" in path for path in paths)  # what `mmec pull` fetches must be named


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("4GB", 4 * 10**9),
        ("512MiB", 512 * 2**20),
        ("1.5 GB", 15 * 10**8),
        ("2gib", 2**31),
        ("600000000", 6 * 10**8),
    ],
)
def test_memory_is_an_amount(text: str, amount: int) -> None:
    assert load_recipe("sample", [f"resources.memory={text}"]).resources.memory_bytes == amount


@pytest.mark.parametrize("text", ["much", "4 elephants", "-1GB", "100MB", "GB"])
def test_invalid_or_too_little_memory_is_rejected(text: str) -> None:
    with pytest.raises(RecipeError, match=r"resources\.memory"):
        load_recipe("sample", [f"resources.memory={text}"])


def test_the_disk_for_queries_is_an_amount() -> None:
    assert load_recipe("sample").resources.spill_bytes is None
    assert load_recipe("sample", ["resources.spill=200GB"]).resources.spill_bytes == 200 * 10**9
    with pytest.raises(RecipeError, match=r"resources\.spill"):
        load_recipe("sample", ["resources.spill=lots"])


def test_a_query_gets_the_memory_that_processes_leave() -> None:
    resources = load_recipe("paper").resources
    assert resources.memory_bytes == 4 * 10**9
    assert 2 * 10**9 < resources.query_bytes(3) < resources.memory_bytes - 3 * PROCESS_BYTES
    assert resources.query_bytes(100) == MIN_QUERY_BYTES


@pytest.mark.parametrize(
    ("memory", "workers"), [("512MB", 1), ("1GB", 1), ("1.6GB", 1), ("2.5GB", 4), ("4GB", 9)]
)
def test_memory_limits_the_number_of_workers(memory: str, workers: int) -> None:
    resources = load_recipe("paper", [f"resources.memory={memory}"]).resources
    assert resources.most_workers == workers
    left = resources.memory_bytes - (1 + workers) * PROCESS_BYTES
    assert left >= READING_BYTES or workers == 1


def test_resources_are_not_published() -> None:
    assert load_recipe("paper", ["resources.memory=9GB"]).published() == load_recipe("paper").published()


def test_texts_are_published_as_they_are_and_urls_without_secrets() -> None:
    recipe = load_recipe(
        "sample",
        [
            'description="Tables by shop; key=front, user=all, token=x"',
            "images.mirrors=[{url: 'https://me:pw@h.example/?token=x&key=front', folder: a}]",
        ],
    )
    published = yaml.safe_load(yaml.safe_dump(recipe.published()))
    assert published["description"] == "Tables by shop; key=front, user=all, token=x"
    assert published["images"]["mirrors"][0]["url"] == "https://h.example/?key=front/"


def test_yes_and_no_need_no_quotes() -> None:
    recipe = load_recipe("sample", ["tasks.answerability_prediction.label_balance={yes: 0.3, no: 0.7}"])
    assert recipe.task("answerability_prediction").label_balance == {"yes": 0.3, "no": 0.7}


def test_settings_of_another_task_at_their_defaults_are_left_out() -> None:
    """The resolved recipes of earlier versions name every setting in every task."""
    recipe = load_recipe(
        "sample", ["tasks.sentiment_analysis={options: 10, product_picture: true, min_words: 2}"]
    )
    settings = recipe.task("sentiment_analysis")
    assert isinstance(settings, SentimentAnalysisSettings)
    assert (settings.product_image, settings.min_words) == (True, 2)
    other = load_recipe(
        "sample",
        ["tasks.category_classification={product_picture: false, require_pictures: any, negatives: random}"],
    )
    assert other.task("category_classification").require_images == "any"
    with pytest.raises(RecipeError, match=r"product_picture: only sentiment_analysis uses it"):
        load_recipe("sample", ["tasks.category_classification={product_picture: true}"])


def test_a_mistyped_setting_of_a_task_is_recognised() -> None:
    with pytest.raises(
        RecipeError, match=r"tasks\.sentiment_analysis\.min_wrods: .*did you mean 'min_words'"
    ):
        load_recipe("sample", ["tasks.sentiment_analysis.min_wrods=5"])


def test_sampling_cannot_balance_the_categories_of_paths() -> None:
    balance = "tasks.category_classification.label_balance={Mugs: 1}"
    with pytest.raises(RecipeError, match=r"tasks\.category_classification\.label_balance: sampling knows"):
        load_recipe("sample", [balance, "sampling={oversample: 2}"])
    load_recipe(
        "sample", [balance, "sampling={oversample: 2}", "tasks.category_classification.labelled_only=true"]
    )


def test_an_empty_separator_is_rejected() -> None:
    with pytest.raises(RecipeError, match="category_separator"):
        load_recipe("catalog", ["sources.0.products.category_separator=''"])


def test_separators_of_paths_and_of_categories_differ() -> None:
    with pytest.raises(
        RecipeError, match=r"products: category_list_separator and category_separator are both '>'"
    ):
        load_recipe("catalog", ["sources.0.products.category_list_separator='>'"])


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="sample"):
        find_recipe("smaple")


def test_a_file_without_a_yaml_mapping_is_rejected(tmp_path: Path) -> None:
    for content in ("[1, 2]", "a: [", "\x00"):
        path = tmp_path / "r.yaml"
        path.write_text(content)
        with pytest.raises(RecipeError, match=r"r\.yaml"):
            load_recipe(str(path))


def test_tasks_without_an_ood_test_have_no_ood_samples() -> None:
    recipe = load_recipe("sample")
    assert recipe.task_sizes("product_substitute_identification").test_ood == 0
    assert recipe.task_sizes("category_classification").test_ood == 60


def test_a_shop_without_images_requires_none() -> None:
    task = "category_classification"
    assert load_recipe("sample").task(task).require_images == "all"
    assert load_recipe("sample", ["sample.images=false"]).task(task).require_images == "none"


def test_a_resolved_recipe_reads_back_as_the_same_recipe() -> None:
    recipe = load_recipe("sample", ["seed=5"])
    assert Recipe.model_validate(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))) == recipe


def test_an_override_through_a_list_of_scalars_is_rejected() -> None:
    with pytest.raises(RecipeError, match="there is no field"):
        apply_override({"a": [1]}, "a.5=2")


@pytest.mark.parametrize("written", ["product_image", "product_picture"])
@pytest.mark.parametrize("given", ["product_image", "product_picture"])
def test_an_override_of_a_task_may_give_the_old_name(tmp_path: Path, written: str, given: str) -> None:
    content = yaml.safe_load(find_recipe("catalog").read_text())
    content["tasks"]["sentiment_analysis"] = {written: True}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    recipe = load_recipe(str(file), [f"tasks.sentiment_analysis.{given}=false"])
    settings = recipe.task("sentiment_analysis")
    assert isinstance(settings, SentimentAnalysisSettings)
    assert settings.product_image is False


def test_both_names_of_a_setting_are_an_error_wherever_they_are_given(tmp_path: Path) -> None:
    content = yaml.safe_load(find_recipe("sample").read_text(encoding="utf-8"))
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump({**content, "sample": {"pictures": False, "images": True}}))
    said = re.escape(
        "two.yaml: not a valid recipe:\n  sample: pictures is the old name of images: give images alone"
    )
    with pytest.raises(RecipeError, match=said):
        load_recipe(str(file))
    with pytest.raises(RecipeError, match="pictures is the old name of images"):
        load_recipe("sample", ["sample={pictures: false, images: true}"])


def test_an_old_name_is_told_with_its_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(find_recipe("catalog").read_text(encoding="utf-8"))
    file = tmp_path / "old.yaml"
    tasks = {"sentiment_analysis": {"require_pictures": "any"}}
    file.write_text(yaml.safe_dump({**content, "duplicates": {"picture_radius": 3}, "tasks": tasks}))
    for _ in range(2):
        load_recipe(str(file), ["fetch.pictures_per_product=3"])
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "setting duplicates.picture_radius is now called image_radius",
        "setting fetch.pictures_per_product is now called images_per_product",
        "setting tasks.sentiment_analysis.require_pictures is now called require_images",
    ]


def test_a_value_within_itself_is_an_error() -> None:
    circular: dict[str, object] = {}
    circular["a"] = circular
    with pytest.raises(RecipeError, match="setting sizes: nested too deeply, or within itself"):
        mm.load_recipe("sample", {"sizes": circular})
