"""The page of a comparison: tables, charts, and the samples on which models differ, with their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from caslie_model.data.images import EmbeddedImage, decode_image, iterate_images
from caslie_model.evaluation.compare_tables import (
    Content,
    answer_words,
    cell_name,
    differences_table,
    group_title,
    improvement_table,
    model_lines,
    published_table,
    scores_table,
    signed,
)
from mmecinstruct.core.errors import MmecError
from mmecinstruct.reporting.charts import Interval, interval_chart
from mmecinstruct.reporting.images import ImageBudget
from mmecinstruct.reporting.page import Section, fragment, page, paragraphs, table_html
from mmecinstruct.version import __version__

_LONGEST_TEXT = 2000  # characters of one text of a sample


def comparison_page(content: Content, data: str, budget: ImageBudget | None = None) -> str:
    """Return a comparison as one self-contained page.

    Args:
        content: The comparison.
        data: Where the dataset is, for its images.
        budget: Bounds of the images.
    """
    sections = [
        Section("scores", "Scores", table_html(scores_table(content))),
        Section("differences", "Differences", _charts(content) + table_html(differences_table(content))),
        Section("improvement", "Average improvement", table_html(improvement_table(content))),
    ]
    if content["published"]:
        sections.append(Section("published", "Published scores", table_html(published_table(content))))
    sections.append(
        Section("samples", "Samples on which models differ", _samples(content, data, budget or ImageBudget()))
    )
    return page(
        f"Comparison on {content['public_data']}",
        fragment("list.html.j2", texts=model_lines(content)),
        sections,
        f"Made by caslie_model {__version__}. This page asks for nothing from elsewhere and runs no script.",
    )


def _charts(content: Content) -> Markup:
    charts = []
    for model in content["models"]:
        letter = model["letter"]
        if letter == content["reference"]:
            continue
        found = [(cell, cell["comparisons"][letter]) for cell in content["cells"]]
        intervals = [
            Interval(
                f"{cell_name(cell)} ({cell['metric']})",
                each["difference"],
                each["interval"][0],
                each["interval"][1],
                f"{signed(each['difference'])} ({signed(each['interval'][0])} to {signed(each['interval'][1])})"
                + (f", {each['better']} better" if each["better"] else ""),
                is_marked=each["better"] is not None,
            )
            for cell, each in found
        ]
        caption = (
            f"{letter} minus {content['reference']}, with 95 % intervals; right of the middle {letter} is better. "
            "Coloured: significant after the correction over all comparisons."
        )
        charts.append(interval_chart(caption, intervals, symmetric=True))
    return Markup("\n").join(charts)


def _samples(content: Content, data: str, budget: ImageBudget) -> Markup:
    groups = [group for group in content["samples"] if group["samples"]]
    if not groups:
        return paragraphs("No samples to show: the models are right on the same ones, or --samples is 0.")
    images, notes = _images(groups, data, budget)
    shown = [
        {
            "title": group_title(group),
            "samples": [_shown(sample, images.get(sample["id"], [])) for sample in group["samples"]],
        }
        for group in groups
    ]
    if budget.left_out:
        notes.append(f"{budget.left_out} images were left out to keep the page small.")
    return paragraphs(*notes) + fragment("compared_samples.html.j2", groups=shown)


def _shown(sample: Content, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    right = sample["right_answer"]
    return {
        "id": sample["id"],
        "category": sample["category"],
        "instruction": _cut(sample["instruction"]),
        "fields": [
            {"name": field["name"] or "input", "texts": [_cut(text) for text in field["texts"]]}
            for field in sample["input"]
        ],
        "options": [
            {"text": f"{label}: {_cut(words)}", "is_right": label == right}
            for label, words in sample["options"].items()
        ],
        "right": _cut(answer_words(sample, right)),
        "answers": [
            {
                "letter": letter,
                "words": _cut(answer_words(sample, answer["label"])),
                "is_right": answer["label"] == right,
                "text": _cut(answer["text"] or ""),
            }
            for letter, answer in sample["answers"].items()
        ],
        "images": images,
    }


def _images(
    groups: Sequence[Content], data: str, budget: ImageBudget
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Return the images of the shown samples by id, and what could not be read in words."""
    found: dict[str, list[dict[str, Any]]] = {}
    wanted: dict[tuple[str, str], set[str]] = {}
    for group in groups:
        of_split = wanted.setdefault((group["task"], group["split"]), set())
        of_split.update(sample["id"] for sample in group["samples"])
    unreadable = 0
    for (task, split), ids in wanted.items():
        try:
            for name, embedded in iterate_images(data, task, split, ids):
                made = [_page_image(each, name, budget) for each in embedded]
                unreadable += made.count(None)
                found[name] = [each for each in made if each]
        except MmecError as error:
            return found, [f"Images are missing: {error}"]
    return found, [f"{unreadable} images cannot be read."] if unreadable else []


def _page_image(each: EmbeddedImage, sample: str, budget: ImageBudget) -> dict[str, Any] | None:
    """Return an image with its role, an empty one where the page has no room; None where it cannot be read."""
    try:
        image = decode_image(each.content, f"sample {sample}: image {each.image.role}")
    except MmecError:
        return None
    made = budget.add(image)
    return {"role": each.image.role, "image": made} if made else {}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
