"""Every template that samples are worded with: complete, different, valid whatever the data holds."""

from __future__ import annotations

import json
import re

import pytest
from jinja2 import meta

from mmecinstruct.core.errors import RenderError
from mmecinstruct.core.package_data import templates_folder
from mmecinstruct.core.templating import compiled, environment, ordinal, rendered, template_hash
from mmecinstruct.tasks import TASKS
from mmecinstruct.tasks.render import IMAGES, VARIANTS, input_name, instruction_name, options_name

VARIABLES = {
    "answerability_prediction": {"question", "document"},
    "category_classification": {"title"},
    "product_relation_prediction": {"product_1", "product_2"},
    "product_substitute_identification": {"query", "product_title"},
    "multiclass_product_classification": {"query", "product_title"},
    "sentiment_analysis": {"review"},
    "sequential_recommendation": {"items"},
}
LABEL_SET_TASKS = [name for name, task in TASKS.items() if task.has_label_set]
NUMBERS = range(VARIANTS + 1)


def source(name: str) -> str:
    return (templates_folder() / name).read_text(encoding="utf-8")


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def instructions(task: str, images: str = "all") -> list[str]:
    return [rendered(compiled(instruction_name(task, number)), {"images": images}) for number in NUMBERS]


def test_every_template_compiles() -> None:
    # Those of pages have filters of their own.
    names = [
        name
        for name in environment().list_templates()
        if name.endswith(".j2") and not name.startswith("pages/")
    ]
    assert len(names) >= len(TASKS) * (len(NUMBERS) + 1) + len(LABEL_SET_TASKS)
    for name in names:
        compiled(name)


def test_there_are_no_templates_of_unknown_tasks() -> None:
    expected = {instruction_name(task, number) for task in TASKS for number in NUMBERS}
    expected |= {input_name(task) for task in TASKS} | {options_name(task) for task in LABEL_SET_TASKS}
    found = {
        name
        for name in environment().list_templates()
        if name.startswith(("instructions/", "inputs/", "options/"))
    }
    assert found == expected


@pytest.mark.parametrize("task", TASKS)
def test_an_input_uses_the_tasks_fields_and_nothing_else(task: str) -> None:
    tree = environment().parse(source(input_name(task)))
    assert meta.find_undeclared_variables(tree) == VARIABLES[task]


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("task", TASKS)
def test_instructions_vary_by_images_alone_and_are_one_line(task: str, images: str) -> None:
    for number, text in zip(NUMBERS, instructions(task, images), strict=True):
        tree = environment().parse(source(instruction_name(task, number)))
        assert meta.find_undeclared_variables(tree) == {"images"}
        assert "\n" not in text
        assert "  " not in text
        assert text.endswith(".")
        assert len(text) > 80


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("task", TASKS)
def test_the_six_instructions_differ_in_wording(task: str, images: str) -> None:
    texts = instructions(task, images)
    for position, one in enumerate(texts):
        for other in texts[:position]:
            shared = len(words(one) & words(other)) / len(words(one) | words(other))
            assert shared < 0.6, f"{one}\n{other}"


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("task", TASKS)
def test_every_instruction_says_how_to_answer(task: str, images: str) -> None:
    yes_no = task in ("answerability_prediction", "product_substitute_identification")
    for text in instructions(task, images):
        if yes_no:
            assert {"yes", "no"} <= words(text), text
        else:
            assert "letter" in words(text), text


@pytest.mark.parametrize("task", TASKS)
def test_instructions_speak_of_images_where_there_are_some(task: str) -> None:
    of_images = {"picture", "pictures", "image", "images", "pictured", "photo", "shown"}
    for images in IMAGES:
        for text in instructions(task, images):
            assert bool(words(text) & of_images) == (images != "none"), text


def test_no_instruction_is_used_twice() -> None:
    texts = [text for task in TASKS for images in ("all", "none") for text in instructions(task, images)]
    assert len(texts) == len(set(texts)) == 84


@pytest.mark.parametrize(
    ("task", "count"),
    [
        ("product_relation_prediction", 3),
        ("multiclass_product_classification", 4),
        ("sentiment_analysis", 5),
    ],
)
def test_label_sets_have_one_option_per_line(task: str, count: int) -> None:
    lines = rendered(compiled(options_name(task)), {}).splitlines()
    assert len(lines) == len(set(lines)) == count
    assert all(line == line.strip() != "" for line in lines)


NASTY = [
    'She said "quote" and \\ backslash\\',
    "line\nbreak\r\n\ttab \u2028 \u0000 \u001f",
    "{{ x }} {% raw %} {# no #} ${y} {0} %s",
    "<b>&amp; 'single' </script>",
    "Überraschung 日本語 😀 e\u0301",
    "",
    '"}],"',
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("text", NASTY)
def test_inputs_are_json_whatever_the_text(task: str, text: str) -> None:
    values = {name: [text, text] if name in ("document", "items") else text for name in VARIABLES[task]}
    parsed = json.loads(rendered(compiled(input_name(task)), values))
    if task == "sequential_recommendation":
        assert parsed == [f"1st: {text}", f"2nd: {text}"]
    else:
        # Blanks of the published keys are underscores of the variables.
        assert {key.replace(" ", "_"): value for key, value in parsed.items()} == values


def test_nothing_is_escaped_for_html_or_ascii() -> None:
    text = rendered(compiled(input_name("category_classification")), {"title": "Tom's <b> & ü"})
    assert text == '{"title": "Tom\'s <b> & ü"}'


def test_ordinals() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 10)] == ["1st", "2nd", "3rd", "4th", "10th"]
    assert [ordinal(number) for number in (11, 12, 13, 111, 112)] == [
        "11th",
        "12th",
        "13th",
        "111th",
        "112th",
    ]
    assert [ordinal(number) for number in (21, 22, 23, 101)] == ["21st", "22nd", "23rd", "101st"]


def test_a_missing_variable_is_an_error_that_names_the_template() -> None:
    with pytest.raises(RenderError, match=r"inputs/category_classification\.j2.*title"):
        rendered(compiled(input_name("category_classification")), {})


def test_a_missing_template_is_an_error() -> None:
    with pytest.raises(RenderError, match=r"instructions/none/0\.j2"):
        compiled("instructions/none/0.j2")
    with pytest.raises(RenderError, match=r"instructions/none/0\.j2"):
        template_hash("instructions/none/0.j2")


def test_the_sandbox_holds() -> None:
    for attack in (
        "{{ ''.__class__.__mro__ }}",
        "{{ items.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
    ):
        with pytest.raises(RenderError):
            rendered(environment().from_string(attack), {"items": []})
