"""The alignment stage: adapters learn to put into words what a picture shows, before any task.

Each picture of a dataset's train split is asked for each attribute that a catalogue tells of its product, with a short
prompt and one answer: "What is the colour of the product in the picture?", "red". Products, not pictures, are held out
for scoring: an answer is right when the true words are the likeliest of all words of that attribute.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from caslie_model.base_model import choose_device, load_base_model
from caslie_model.config import AlignConfig
from caslie_model.data import Sample, read_columns
from caslie_model.pictures import Picture, iterate_pictures
from caslie_model.prompts import Encoded, PromptFormat, packaged_templates
from caslie_model.run_folder import TRAINING, say
from caslie_model.sight import Sight, look_at_pictures
from caslie_model.trainable import load_trained, visual_tokens
from caslie_model.training import TrainingResult, finished_before, train
from caslie_model.training_report import write_model_card
from mmecinstruct.errors import DatasetError, SourceError
from mmecinstruct.hashing import draw, draw_fraction
from mmecinstruct.sources.batches import Refusal
from mmecinstruct.sources.fields import text_value
from mmecinstruct.sources.json_lines import read_json_lines
from mmecinstruct.sources.streams import data_suffix
from mmecinstruct.sources.tabular import read_csv, read_parquet
from mmecinstruct.workspace import write_atomically

SPLIT = "train"
_ROLE_OF_OTHERS = "review"  # a reviewer's photograph may show anything
_PROMPT = "{{ instruction }}\n"
_LONGEST_VALUE = 100  # characters; a description is no attribute
_SCORING_BATCH = 16


def align(config: AlignConfig, resume: bool = False, overwrite: bool = False) -> TrainingResult:
    """Train adapters to name attributes, write the adapter folder `config.out`, and score held-out products.

    The folder is what `init_from` of a fine-tuning takes. training.json has `attributes`: of each how many were scored
    and how many of these were named rightly. resume, overwrite: as for `finetune`. Raises MmecError with the remedy.
    """
    finished = finished_before(config, resume, overwrite)
    if finished is not None:
        return finished
    values = read_catalogue(config.catalogue, config.id_column, config.attributes)
    shown = product_pictures(config)
    learnt, held_out = alignment_samples(config, values, shown)
    device, precision = choose_device(config.device, config.precision)
    base = load_base_model(config.base_model, precision, device)
    assert config.vision is not None
    sight = look_at_pictures(config.data, config.tasks, SPLIT, shown, config.vision, device, precision)
    prompt_format = PromptFormat(
        base.tokenizer,
        _PROMPT,
        packaged_templates()[1],
        "text",
        config.max_length,
        visual_tokens=visual_tokens(config, sight),
    )
    encoded = [prompt_format.encode(sample, pictures) for sample, pictures in learnt]
    card = partial(write_model_card, config)
    templates = (_PROMPT, prompt_format.plain_template)
    result = train(config, base, sight, encoded, templates, device, precision, card)
    to_score = [prompt_format.encode(sample, pictures) for sample, pictures in held_out]
    summary = {
        **result.summary,
        "attributes": _score(config, to_score, sight, prompt_format, device, precision),
    }
    write_atomically(
        config.out / TRAINING, (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode()
    )
    return TrainingResult(result.folder, summary)


def read_catalogue(path: Path, id_column: str, attributes: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the attributes of each product, by its id; those that it lacks are absent.

    Rows that cannot be read, and values longer than 100 characters, are left out and counted on stderr. Raises
    SourceError when the file is not there, of no known kind, or lacks a column.
    """
    if not path.is_file():
        raise SourceError(f"--catalogue {path}: there is no such file")
    columns = {"--id-column": id_column, **{f"--attributes {name}": name for name in attributes}}
    products: dict[str, dict[str, str]] = {}
    refused = too_long = 0
    for _, row in _rows(path, columns):
        name = "" if isinstance(row, Refusal) else text_value(row.get(id_column))
        if isinstance(row, Refusal) or not name:
            refused += 1
            continue
        said = {attribute: " ".join(text_value(row.get(attribute)).split()) for attribute in attributes}
        too_long += sum(len(value) > _LONGEST_VALUE for value in said.values())
        products[name] = {key: value for key, value in said.items() if 0 < len(value) <= _LONGEST_VALUE}
    if refused or too_long:
        say(f"{path}: {refused} rows without an id or not readable, {too_long} values too long: left out")
    return products


def product_pictures(config: AlignConfig) -> dict[str, tuple[Picture, ...]]:
    """Return the pictures that the train split's samples show of each product, by its id in the dataset.

    Raises DatasetError when there is no such dataset.
    """
    found: dict[str, dict[str, Picture]] = defaultdict(dict)
    for task in config.tasks:
        owners = {
            row["id"]: row["image_product_ids"]
            for row in read_columns(config.data, task, SPLIT, ("id", "image_product_ids"))
        }
        for sample, pictures in iterate_pictures(config.data, task, SPLIT) if owners else ():
            for each, owner in zip(pictures, owners[sample] or (), strict=False):
                if owner and each.picture.role != _ROLE_OF_OTHERS:
                    found[owner][each.picture.key] = Picture("product", each.picture.key)
    return {product: tuple(found[product].values()) for product in sorted(found)}


def alignment_samples(
    config: AlignConfig,
    values: Mapping[str, Mapping[str, str]],
    shown: Mapping[str, Sequence[Picture]],
) -> tuple[list[tuple[Sample, tuple[Picture]]], list[tuple[Sample, tuple[Picture]]]]:
    """Return what is learnt and what is held out: a question about one picture each, with the picture.

    Raises DatasetError when no product of the dataset is in the catalogue.
    """
    known = {product: _said_of(product, values) for product in shown}
    known = {product: said for product, said in known.items() if said}
    if not known:
        example = next(iter(shown), "(none)")
        raise DatasetError(
            f"no product with a picture in {config.data} (such as {example}) is in {config.catalogue}; is "
            f"--id-column {config.id_column} the right one?"
        )
    words = {
        attribute: {
            value: value
            for value in sorted({said[attribute] for said in known.values() if attribute in said})
        }
        for attribute in config.attributes
    }
    learnt: list[tuple[str, Picture]] = []
    held_out: list[tuple[str, Picture]] = []
    for product in sorted(known, key=lambda name: (draw(config.seed, "alignment pictures", name), name)):
        kept = draw_fraction(config.seed, "held-out products", product) < config.held_out
        target, limit = (held_out, config.scored_pictures) if kept else (learnt, config.pictures)
        for picture in shown[product]:
            if limit is None or len(target) < limit:
                target.append((product, picture))
    return (
        [
            question
            for product, picture in learnt
            for question in _questions(product, picture, known[product], words)
        ],
        [
            question
            for product, picture in held_out
            for question in _questions(product, picture, known[product], words)
        ],
    )


def _said_of(product: str, values: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """A dataset puts the source before an id, `luma:24-WG086`; a catalogue need not know of it."""
    return values.get(product) or values.get(product.partition(":")[2]) or {}


def _questions(
    product: str, picture: Picture, said: Mapping[str, str], words: Mapping[str, dict[str, str]]
) -> Iterator[tuple[Sample, tuple[Picture]]]:
    for attribute, value in said.items():
        name = attribute.replace("_", " ")
        sample = Sample(
            id=f"{product}/{picture.key[:16]}/{attribute}",
            task=attribute,
            split=SPLIT,
            category="",
            instruction=f"What is the {name} of the product in the picture? Reply with the {name} and nothing else.",
            instruction_unseen=None,
            fields=(),
            options=words[attribute],
            output=value,
            visual_critical=True,
            text_only_accuracy=None,
        )
        yield sample, (picture,)


def _rows(path: Path, columns: dict[str, str]) -> Iterable[tuple[int, Any]]:
    suffix = data_suffix(path)
    if suffix in (".csv", ".tsv"):
        return read_csv(path, columns)
    if suffix in (".jsonl", ".json", ".ndjson"):
        return read_json_lines(path, dict)
    if suffix == ".parquet":
        return read_parquet(path, columns)
    raise SourceError(
        f"--catalogue {path}: a table ends with .csv, .tsv, .jsonl or .parquet (also .gz, .zst)"
    )


def _score(
    config: AlignConfig,
    encoded: Sequence[Encoded],
    sight: Sight,
    prompt_format: PromptFormat,
    device: str,
    precision: str,
) -> dict[str, dict[str, float]]:
    """Return per attribute how many held-out questions there were, how many were answered rightly, and the share."""
    from caslie_model.adapter import LoadedModel
    from caslie_model.prediction import predict_batch

    base = load_base_model(config.base_model, precision, device)
    model = load_trained(base, config, config.out, precision)
    loaded = LoadedModel(model, base.tokenizer, prompt_format, device, precision)
    right: dict[str, list[bool]] = {attribute: [] for attribute in config.attributes}
    for start in range(0, len(encoded), _SCORING_BATCH):
        batch = encoded[start : start + _SCORING_BATCH]
        predictions = predict_batch(loaded, batch, "likelihood", features=sight.features)
        for each, prediction in zip(batch, predictions, strict=True):
            right[each.sample.task].append(prediction.label == each.sample.output)
    scores = {
        attribute: {"scored": len(found), "right": sum(found), "accuracy": sum(found) / len(found)}
        for attribute, found in right.items()
        if found
    }
    for attribute, score in scores.items():
        say(
            f"{attribute}: {score['right']} of {score['scored']} held-out pictures named ({score['accuracy']:.3f})"
        )
    return scores
