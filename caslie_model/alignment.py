"""The alignment stage: adapters learn to put into words what a picture shows, before any task.

Each picture of a dataset's train split is asked for each attribute that a catalogue tells of its product, with a short
prompt and one answer: "What is the colour of the product in the picture?", "red". Products, not pictures, are held out
for scoring: an answer is right when the true words are the likeliest of all words of that attribute, or of a hundred
drawn ones where there are more.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from caslie_model.base_model import choose_device, load_base_model
from caslie_model.config import AlignConfig
from caslie_model.data import Sample, read_columns
from caslie_model.errors import RunError
from caslie_model.pictures import Picture, iterate_pictures
from caslie_model.processes import process_count
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
MOST_WORDS = 100  # of an attribute, to find the right ones among

Question = tuple[Sample, tuple[Picture]]


def align(config: AlignConfig, resume: bool = False, overwrite: bool = False) -> TrainingResult:
    """Train adapters to name attributes, write the adapter folder `config.out`, and score held-out products.

    The folder is what `init_from` of a fine-tuning takes. training.json has `attributes`: of each how many were scored,
    among how many words, and how many of these were named rightly. resume, overwrite: as for `finetune`. Raises
    MmecError with the remedy.
    """
    if process_count() > 1:
        raise RunError("an alignment runs in one process; start it without torchrun or accelerate launch")
    finished = finished_before(config, resume, overwrite)
    if finished is not None and "attributes" in finished.summary:
        return finished
    values = read_catalogue(config.catalogue, config.id_column, config.attributes)
    shown = product_pictures(config)
    learnt, held_out = alignment_samples(config, values, shown)
    device, precision = choose_device(config.device, config.precision)
    base = load_base_model(config.base_model, precision, device)
    assert config.vision is not None
    sight = look_at_pictures(config.data, config.tasks, SPLIT, shown, config.vision, device, precision)
    prompt_format = alignment_prompts(config, base.tokenizer, sight)
    result = finished  # but stopped before its scores
    if result is None:
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


def alignment_prompts(config: AlignConfig, tokenizer: Any, sight: Sight) -> PromptFormat:
    """Return how questions about pictures become tokens."""
    return PromptFormat(
        tokenizer,
        _PROMPT,
        packaged_templates()[1],
        "text",
        config.max_length,
        visual_tokens=visual_tokens(config, sight),
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
    for _, row in _rows(path, columns):
        if not isinstance(row, Refusal):
            unseen -= row.keys()
        name = "" if isinstance(row, Refusal) else text_value(row.get(id_column))
        if isinstance(row, Refusal) or not name:
            refused += 1
            continue
        said = {attribute: " ".join(text_value(row.get(attribute)).split()) for attribute in attributes}
        too_long += sum(len(value) > _LONGEST_VALUE for value in said.values())
        products[name] = {key: value for key, value in said.items() if 0 < len(value) <= _LONGEST_VALUE}
    if unseen:  # of JSON lines, that declare no columns, or of an empty table
        told = ", ".join(f"{column} ({option})" for option, column in columns.items() if column in unseen)
        raise SourceError(f"{path}: no row has {told}")
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
) -> tuple[list[Question], list[Question]]:
    """Return what is learnt and what is held out: a question about one picture each, with the picture.

    A product is a row of the catalogue: datasets of several sources show it under several ids, with one picture. What
    a held-out product shows is not learnt from, whatever else shows it. Raises DatasetError when no product of the
    dataset is in the catalogue.
    """
    products: dict[str, dict[str, Picture]] = defaultdict(dict)
    for product, pictures in shown.items():
        name = _catalogue_id(product, values)
        if name is not None:
            products[name] |= {picture.key: picture for picture in pictures}
    if not products:
        example = next(iter(shown), None)
        raise DatasetError(
            f"no product with a picture in {config.data} (such as {example}) is in {config.catalogue}; is "
            f"--id-column {config.id_column} the right one?"
            if example
            else f"{config.data} shows no picture of a product in its {SPLIT} split of {', '.join(config.tasks)}"
        )
    words = {attribute: _words(config, attribute, products, values) for attribute in config.attributes}
    drawn = sorted(products, key=lambda name: (draw(config.seed, "alignment pictures", name), name))
    kept = {name for name in drawn if draw_fraction(config.seed, "held-out products", name) < config.held_out}
    hidden = {key for name in kept for key in products[name]}
    learnt = [
        (name, picture)
        for name in drawn
        for picture in products[name].values()
        if name not in kept and picture.key not in hidden
    ]
    held_out = [(name, picture) for name in drawn if name in kept for picture in products[name].values()]
    return (
        [
            question
            for name, picture in learnt[: config.pictures]
            for question in _questions(name, picture, values[name], {})
        ],
        [
            question
            for name, picture in held_out[: config.scored_pictures]
            for question in _questions(name, picture, values[name], words)
        ],
    )


def _catalogue_id(product: str, values: Mapping[str, Mapping[str, str]]) -> str | None:
    """A dataset puts the source before an id, `luma:24-WG086`; a catalogue need not know of it."""
    return next((name for name in (product, product.partition(":")[2]) if values.get(name)), None)


def _words(
    config: AlignConfig, attribute: str, products: Iterable[str], values: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return the words among which a held-out product's are to be the likeliest."""
    words = {values[name][attribute] for name in products if attribute in values[name]}
    if len(words) < 2:
        say(f"{attribute}: {len(words)} different values among the products with a picture: nothing to tell")
    # A title is another one for every product: to compare with all of them would take longer than the training.
    drawn = sorted(words, key=lambda word: (draw(config.seed, "compared words", attribute, word), word))
    return sorted(drawn[:MOST_WORDS])


def _questions(
    product: str, picture: Picture, said: Mapping[str, str], words: Mapping[str, Sequence[str]]
) -> Iterator[Question]:
    """Yield a question per attribute; words: to compare with, none where it is learnt from."""
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
            # In alphabetical order: of equal scores the first is taken, which must not be the right one.
            options={word: word for word in sorted({value, *words.get(attribute, ())})},
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
    """Return per attribute how many held-out questions there were, how many were answered rightly, and the share.

    words: how many were compared; one of as many is right by chance.
    """
    from caslie_model.adapter import LoadedModel
    from caslie_model.prediction import predict_batch

    base = load_base_model(config.base_model, precision, device)
    model = load_trained(base, config, config.out, precision)
    loaded = LoadedModel(model, base.tokenizer, prompt_format, device, precision)
    right: dict[str, list[bool]] = {attribute: [] for attribute in config.attributes}
    words = Counter[str]()
    for start in range(0, len(encoded), _SCORING_BATCH):
        batch = encoded[start : start + _SCORING_BATCH]
        predictions = predict_batch(loaded, batch, "likelihood", features=sight.features)
        for each, prediction in zip(batch, predictions, strict=True):
            right[each.sample.task].append(prediction.label == each.sample.output)
            words[each.sample.task] = max(words[each.sample.task], len(each.answers))
    scores = {
        attribute: {
            "scored": len(found),
            "words": words[attribute],
            "right": sum(found),
            "accuracy": sum(found) / len(found),
        }
        for attribute, found in right.items()
        if found
    }
    for attribute, score in scores.items():
        say(
            f"{attribute}: {score['right']} of {score['scored']} held-out pictures named ({score['accuracy']:.3f}), "
            f"among {score['words']} values"
        )
    return scores
