"""Put samples into words: instruction, input, options and output, all from templates.

Per task there are instructions 0 (base) to 5 (variants). One variant is held out: it is only in
`instruction_unseen` of test rows, so that a model can be asked in words that no training row has. The
others are chosen by hash draws over the samples' ids. The only variable of an instruction is `images`, which of the
wanted images a sample has: "all", "some" or "none". An instruction promises no image that is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from jinja2 import Template

from mmecinstruct.core.errors import RenderError
from mmecinstruct.core.hashing import hash_choice
from mmecinstruct.core.templating import compiled, rendered, template_hash
from mmecinstruct.schemas.samples import TEST, TEST_OOD
from mmecinstruct.tasks import TASKS, InstructionSettings
from mmecinstruct.tasks.task import YES_NO

VARIANTS = 5

# Which of the wanted images a sample has, and what the id of an instruction in other words says of it.
IMAGES = {"all": "", "some": "-some-images", "none": "-no-images"}

RENDERED = pa.schema(
    [
        ("id", pa.string()),
        ("instruction", pa.string()),
        # <task>/<number>@<first 8 digits of the template's SHA-256>; where the wording for samples that lack images
        # differs: <task>/<number>-some-images@… or <task>/<number>-no-images@…
        ("instruction_id", pa.string()),
        ("instruction_unseen", pa.string()),  # test and test_ood only, else null
        ("instruction_unseen_id", pa.string()),
        ("input", pa.string()),  # JSON text
        ("options", pa.list_(pa.string())),  # "A: …"; empty for yes/no tasks
        ("output", pa.string()),
    ]
)


def instruction_name(task: str, number: int) -> str:
    """Return the template's name of an instruction: 0 is the base, 1 to 5 are the variants."""
    return f"instructions/{task}/{number}.j2"


def input_name(task: str) -> str:
    """Return the name of the template of a task's input."""
    return f"inputs/{task}.j2"


def options_name(task: str) -> str:
    """Return the name of the template of a task's label set, one option per line."""
    return f"options/{task}.j2"


def template_hashes(tasks: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of every template that the samples of these tasks are rendered with, by name.

    Raises RenderError where one is missing.
    """
    names = []
    for task in tasks:
        names += [instruction_name(task, number) for number in range(VARIANTS + 1)]
        names.append(input_name(task))
        if TASKS[task].has_label_set:
            names.append(options_name(task))
    return {name: template_hash(name) for name in sorted(names)}


@dataclass(frozen=True)
class _Wording:
    """A task's templates, read once."""

    instructions: dict[str, list[tuple[str, str]]]  # by IMAGES, of each number: text, id
    input: Template
    label_set: list[str]


def _wording(task: str) -> _Wording:
    instructions: dict[str, list[tuple[str, str]]] = {images: [] for images in IMAGES}
    for number in range(VARIANTS + 1):
        name = instruction_name(task, number)
        texts = {images: rendered(compiled(name), {"images": images}) for images in IMAGES}
        if not all(texts.values()):
            raise RenderError(f"templates/{name}: the instruction is empty")
        for images, text in texts.items():
            addition = "" if text == texts["all"] else IMAGES[images]
            instructions[images].append((text, f"{task}/{number}{addition}@{template_hash(name)[:8]}"))
    label_set: list[str] = []
    if TASKS[task].has_label_set:
        lines = rendered(compiled(options_name(task)), {}).splitlines()
        label_set = [line.strip() for line in lines if line.strip()]
    return _Wording(instructions, compiled(input_name(task)), label_set)


def render_samples(samples: pa.Table, instructions: InstructionSettings, seed: int) -> pa.Table:
    """Render samples, in their order.

    samples: samples.UNRENDERED with `split` and `image_roles`, the roles of the images that are there; several tasks
    may be mixed. Returns RENDERED.
    Raises RenderError where a template is missing or wrong, makes an input that is not JSON, or has no
    option for a sample's output.
    """
    wordings: dict[str, _Wording] = {}
    rows = []
    columns = ("id", "task", "split", "fields", "options", "output", "images", "image_roles")
    for sample in samples.select(columns).to_pylist():
        task = sample["task"]
        if task not in wordings:
            wordings[task] = _wording(task)
        rows.append(_render(sample, wordings[task], instructions, seed))
    return pa.Table.from_pylist(rows, schema=RENDERED)


def _render(
    sample: dict[str, Any], wording: _Wording, instructions: InstructionSettings, seed: int
) -> dict[str, Any]:
    present = len(sample["image_roles"] or ())
    images = "all" if present and present == len(sample["images"]) else "some" if present else "none"
    worded = wording.instructions[images]
    used = [worded[number] for number in range(VARIANTS + 1) if number != instructions.held_out]
    text, text_id = hash_choice(used, seed, "instruction", sample["id"])
    unseen, unseen_id = worded[instructions.held_out] if sample["split"] in (TEST, TEST_OOD) else (None, None)
    texts = wording.label_set or sample["options"]
    options = [f"{chr(ord('A') + number)}: {option}" for number, option in enumerate(texts)]
    _check_output(sample, options)
    return {
        "id": sample["id"],
        "instruction": text,
        "instruction_id": text_id,
        "instruction_unseen": unseen,
        "instruction_unseen_id": unseen_id,
        "input": render_input(wording.input, sample["fields"], sample["id"]),
        "options": options,
        "output": sample["output"],
    }


def _check_output(sample: dict[str, Any], options: list[str]) -> None:
    is_yes_no = TASKS[sample["task"]].is_yes_no
    allowed = YES_NO if is_yes_no else [option.partition(":")[0] for option in options]
    if sample["output"] not in allowed:
        raise RenderError(
            f"{sample['task']} {sample['id']}: output '{sample['output']}' is none of {', '.join(allowed)}"
        )


def render_input(template: Template, fields: str, sample_id: str) -> str:
    """Return a sample's input, JSON text, from its `fields`.

    An object's fields are the template's variables, blanks in their names as underscores; a list is `items`.
    Raises RenderError where the template's text is not JSON.
    """
    values = json.loads(fields)
    if isinstance(values, list):
        variables = {"items": values}
    else:
        variables = {name.replace(" ", "_"): value for name, value in values.items()}
    text = rendered(template, variables)
    try:
        json.loads(text)
    except ValueError as error:
        raise RenderError(f"templates/{template.name}: sample {sample_id}: not JSON: {error}") from error
    return text
