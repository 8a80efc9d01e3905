"""The alignment stage: adapters learn to put into words what an image shows, before any task.

Each image of a dataset's train split is to be described by all attributes that a catalogue tells of its product, with
a short prompt: "Describe the product in the image: colour; kind.", "red; mug". (Asked for one attribute at a time, a
model of 135 M parameters learns several times more slowly: docs/concepts/fusion.md.) Products, not images, are held
out for scoring: an attribute is right when the model writes its very words in its place.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from caslie_model.adapters.model_card import write_model_card
from caslie_model.adapters.trainable import load_trained, visual_tokens
from caslie_model.backbones.language_model import load_base_model
from caslie_model.config.files import TRAINING
from caslie_model.config.training import AlignConfig
from caslie_model.data.images import SampleImage, iterate_images
from caslie_model.data.samples import Sample, read_columns
from caslie_model.errors import RunError
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.console import say
from caslie_model.runtime.device import choose_device
from caslie_model.runtime.processes import process_count
from caslie_model.training.init_from import vision_fingerprint_of_init_from, with_shapes_of_init_from
from caslie_model.training.run import TrainingResult, finished_before, train
from caslie_model.vision.visual_inputs import VisualInputs, load_visual_inputs_of
from mmecinstruct.core.errors import DatasetError, SourceError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import hash_draw, hash_fraction
from mmecinstruct.sources.readers.batches import Refusal
from mmecinstruct.sources.readers.fields import text_value
from mmecinstruct.sources.readers.tabular import read_rows

SPLIT = "train"
_ROLE_OF_OTHERS = "review"  # a reviewer's photograph may show anything
_PROMPT = "{{ instruction }}\n"
_LONGEST_VALUE = 100  # characters; a description is no attribute
_SCORING_BATCH = 16
_MARK = ";"  # between the attributes of a description

Question = tuple[Sample, tuple[SampleImage]]


def align(config: AlignConfig, resume: bool = False, overwrite: bool = False) -> TrainingResult:
    """Train adapters to name attributes, write the adapter folder `config.out`, and score held-out products.

    The folder is what `init_from` of a fine-tuning takes. training.json has `attributes`: of each how many were scored,
    how many of these were named rightly, and how many the most frequent value alone would. resume, overwrite: as for
    `finetune`. Raises MmecError with the remedy.
    """
    if process_count() > 1:
        raise RunError("an alignment runs in one process; start it without torchrun or accelerate launch")
    config = with_shapes_of_init_from(config)
    finished = finished_before(config, resume, overwrite)
    if finished is not None and "attributes" in finished.summary:
        return finished
    values = read_catalogue(config.catalogue, config.id_column, config.attributes)
    shown = product_images(config)
    learnt, held_out = alignment_samples(config, values, shown)
    device, precision = choose_device(config.device, config.precision)
    base = load_base_model(config.base_model, precision, device, config.quantise)
    assert config.vision is not None
    looked_with = vision_fingerprint_of_init_from(config)
    visual_inputs = load_visual_inputs_of(
        config.data, config.tasks, SPLIT, shown, config.vision, device, precision, looked_with
    )
    prompt_format = alignment_prompts(config, base.tokenizer, visual_inputs)
    result = finished  # but stopped before its scores
    if result is None:
        encoded = [prompt_format.encode(sample, images) for sample, images in learnt]
        card = partial(write_model_card, config)
        templates = (_PROMPT, prompt_format.plain_template)
        result = train(config, base, visual_inputs, encoded, templates, device, precision, card)
    del base  # before another one is loaded to be scored
    to_score = [prompt_format.encode(sample, images) for sample, images in held_out]
    summary = {
        **result.summary,
        "attributes": _score(config, values, to_score, visual_inputs, prompt_format, device, precision),
    }
    write_atomically(
        config.out / TRAINING, (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode()
    )
    return TrainingResult(result.folder, summary)


def alignment_prompts(config: AlignConfig, tokenizer: Any, visual_inputs: VisualInputs) -> PromptFormat:
    """Return how questions about images become tokens."""
    return PromptFormat(
        tokenizer,
        _PROMPT,
        packaged_templates()[1],
        "text",
        config.max_length,
        visual_tokens=visual_tokens(config, visual_inputs),
    )


def read_catalogue(path: Path, id_column: str, attributes: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the attributes of each product, by its id; those that it lacks are absent.

    Rows that cannot be read, and values longer than 100 characters, are left out and counted on stderr. Raises
    SourceError when the file is not there, of no known kind, or has no row with one of the columns.
    """
    if not path.is_file():
        raise SourceError(f"--catalogue {path}: there is no such file")
    columns = {"--id-column": id_column, **{f"--attributes {name}": name for name in attributes}}
    products: dict[str, dict[str, str]] = {}
    refused = too_long = 0
    unseen = set(columns.values())
    for _, row in read_rows(path, columns):
        if not isinstance(row, Refusal):
            unseen -= row.keys()
        name = "" if isinstance(row, Refusal) else text_value(row.get(id_column))
        if isinstance(row, Refusal) or not name:
            refused += 1
            continue
        said = {
            attribute: " ".join(text_value(row.get(attribute)).replace(_MARK, ",").split())
            for attribute in attributes
        }
        too_long += sum(len(value) > _LONGEST_VALUE for value in said.values())
        products[name] = {key: value for key, value in said.items() if 0 < len(value) <= _LONGEST_VALUE}
    if unseen:  # of a table without rows
        told = ", ".join(f"{column} ({option})" for option, column in columns.items() if column in unseen)
        raise SourceError(f"{path}: no row has {told}")
    if refused or too_long:
        say(f"{path}: {refused} rows without an id or not readable, {too_long} values too long: left out")
    return products


def product_images(config: AlignConfig) -> dict[str, tuple[SampleImage, ...]]:
    """Return the images that the train split's samples show of each product, by its id in the dataset.

    Raises DatasetError when there is no such dataset.
    """
    found: dict[str, dict[str, SampleImage]] = defaultdict(dict)
    for task in config.tasks:
        owners = {
            row["id"]: row["image_product_ids"]
            for row in read_columns(config.data, task, SPLIT, ("id", "image_product_ids"))
        }
        for sample, images in iterate_images(config.data, task, SPLIT) if owners else ():
            for each, owner in zip(images, owners[sample] or (), strict=False):
                if owner and each.image.role != _ROLE_OF_OTHERS:
                    found[owner][each.image.key] = SampleImage("product", each.image.key)
    return {product: tuple(found[product].values()) for product in sorted(found)}


def alignment_samples(
    config: AlignConfig,
    values: Mapping[str, Mapping[str, str]],
    shown: Mapping[str, Sequence[SampleImage]],
) -> tuple[list[Question], list[Question]]:
    """Return what is learnt and what is held out: a question about one image each, with the image.

    A product is a row of the catalogue: datasets of several sources show it under several ids, with one image. What
    a held-out product shows is not learnt from, whatever else shows it. Raises DatasetError when no product of the
    dataset is in the catalogue.
    """
    products: dict[str, dict[str, SampleImage]] = defaultdict(dict)
    for product, images in shown.items():
        name = _catalogue_id(product, values)
        if name is not None:
            products[name] |= {image.key: image for image in images}
    if not products:
        example = next(iter(shown), None)
        raise DatasetError(
            f"no product with an image in {config.data} (such as {example}) is in {config.catalogue}; is "
            f"--id-column {config.id_column} the right one?"
            if example
            else f"{config.data} shows no image of a product in its {SPLIT} split of {', '.join(config.tasks)}"
        )
    for attribute in config.attributes:
        values_there = {values[name][attribute] for name in products if attribute in values[name]}
        if len(values_there) < 2:
            say(
                f"{attribute}: {len(values_there)} different values among the products with an image: nothing to tell"
            )
    drawn = sorted(products, key=lambda name: (hash_draw(config.seed, "alignment pictures", name), name))
    kept = {name for name in drawn if hash_fraction(config.seed, "held-out products", name) < config.held_out}
    hidden = {key for name in kept for key in products[name]}
    learnt = [
        (name, image)
        for name in drawn
        for image in products[name].values()
        if name not in kept and image.key not in hidden
    ]
    held_out = [(name, image) for name in drawn if name in kept for image in products[name].values()]
    return (
        [_question(name, image, values[name]) for name, image in learnt[: config.images]],
        [_question(name, image, values[name]) for name, image in held_out[: config.scored_images]],
    )


def _catalogue_id(product: str, values: Mapping[str, Mapping[str, str]]) -> str | None:
    """A dataset puts the source before an id, `luma:24-WG086`; a catalogue need not know of it."""
    return next((name for name in (product, product.partition(":")[2]) if values.get(name)), None)


def _question(product: str, image: SampleImage, said: Mapping[str, str]) -> Question:
    description = f"{_MARK} ".join(said.values())
    names = f"{_MARK} ".join(attribute.replace("_", " ") for attribute in said)
    sample = Sample(
        id=f"{product}/{image.key[:16]}",
        task="description",
        split=SPLIT,
        category="",
        instruction=f"Describe the product in the image: {names}.",
        instruction_unseen=None,
        fields=(),
        options={description: description},
        output=description,
        visual_critical=True,
        text_only_accuracy=None,
    )
    return sample, (image,)


def described_rightly(said: Mapping[str, str], text: str) -> dict[str, bool]:
    """Return of each attribute whether a description has its very words in its place."""
    parts = [part.strip() for part in text.split(_MARK)]
    return {
        attribute: part == value for (attribute, value), part in zip_longest(said.items(), parts[: len(said)])
    }


def _score(
    config: AlignConfig,
    values: Mapping[str, Mapping[str, str]],
    encoded: Sequence[Encoded],
    visual_inputs: VisualInputs,
    prompt_format: PromptFormat,
    device: str,
    precision: str,
) -> dict[str, dict[str, float]]:
    """Return per attribute how many held-out images tell it, how many were described rightly, and the share.

    most_frequent: the share that the most frequent value of the scored ones is.
    """
    from caslie_model.adapters.loading import LoadedModel
    from caslie_model.inference.predict import predict_batch

    base = load_base_model(config.base_model, precision, device, config.quantise)
    model = load_trained(base, config, config.out, precision)
    loaded = LoadedModel(model, base.tokenizer, prompt_format, device, precision)
    right = Counter[str]()
    true: dict[str, Counter[str]] = defaultdict(Counter)
    for start in range(0, len(encoded), _SCORING_BATCH):
        batch = encoded[start : start + _SCORING_BATCH]
        predictions = predict_batch(loaded, batch, "generate", features=visual_inputs.features)
        for each, prediction in zip(batch, predictions, strict=True):
            product = values[each.sample.id.rpartition("/")[0]]
            for attribute, is_right in described_rightly(product, prediction.text or "").items():
                true[attribute][product[attribute]] += 1
                right[attribute] += is_right
    scores = {}
    for attribute in config.attributes:
        scored = true[attribute].total()
        if not scored:
            continue
        accuracy, frequent = right[attribute] / scored, max(true[attribute].values()) / scored
        scores[attribute] = {
            "scored": scored,
            "right": right[attribute],
            "accuracy": accuracy,
            "most_frequent": frequent,
        }
        say(
            f"{attribute}: {right[attribute]} of {scored} held-out images described rightly ({accuracy:.3f}; the "
            f"most frequent value {frequent:.3f})"
        )
    return scores
