"""The alignment: adapters learn to name the attributes of products from their images, before any task.

Each image of a dataset's train split is described by all attributes that a catalogue has of its product, with a short
prompt: "Describe the product in the picture: colour; kind.", "red; mug". (Asked for one attribute at a time, a model of
135 M parameters learns several times more slowly.) Products, not images, are held out for scoring: an attribute is
right when the model writes exactly its words at its position.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from caslie_model.adapters.loading import LoadedModel
from caslie_model.adapters.trainable import visual_tokens
from caslie_model.adapters.trained import load_to_answer
from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.order import order_batches
from caslie_model.config.files import TRAINING
from caslie_model.config.training import AlignConfig
from caslie_model.data.catalogue import ROLE_OF_OTHERS, SEPARATOR, catalogue_id, read_catalogue
from caslie_model.data.images import Features, SampleImage, iterate_images
from caslie_model.data.samples import Sample, read_columns
from caslie_model.errors import RunError
from caslie_model.inference.predict import predict_batch
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.console import say
from caslie_model.runtime.device import Device, choose_device
from caslie_model.runtime.processes import process_count
from caslie_model.training.init_from import vision_fingerprint_of_init_from, with_shapes_of_init_from
from caslie_model.training.inputs import TrainingInputs
from caslie_model.training.run import TrainingResult, finished_before, train
from caslie_model.training.run_folder import one_run_at_a_time
from caslie_model.vision.visual_inputs import VisualInputs, load_visual_inputs_of
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import write_atomically
from mmecinstruct.core.hashing import hash_draw, hash_fraction

SPLIT = "train"
_PROMPT = "{{ instruction }}\n"
_SCORING_BATCH = 16

Question = tuple[Sample, tuple[SampleImage]]


@one_run_at_a_time
def align(config: AlignConfig, resume: bool = False, overwrite: bool = False) -> TrainingResult:
    """Train adapters to name attributes, write the adapter folder `config.out`, and score held-out products.

    The folder is what `init_from` of a fine-tuning takes. The entry `attributes` of its training.json has for each
    attribute how many held-out images were scored and described correctly, and the share of the most frequent value.

    Args:
        config: The settings of the run.
        resume: Continue from the last checkpoint of an unfinished run with the same config; start where there is none.
        overwrite: Delete what an earlier run left in the folder.

    Returns:
        The adapter folder and the content of its training.json.

    Raises:
        MmecError: If data, catalogue, model or folder do not allow the run; the message has the remedy.
    """
    if process_count() > 1:
        raise RunError("an alignment runs in one process; start it without torchrun or accelerate launch")
    config = with_shapes_of_init_from(config)
    finished = finished_before(config, resume, overwrite)
    if finished is not None and "attributes" in finished.summary:
        return finished
    values = read_catalogue(config.catalogue, config.id_column, config.attributes)
    images = product_images(config)
    learnt, held_out = alignment_samples(config, values, images)
    device = choose_device(config.device, config.precision)
    base = load_base_model(config.base_model, device, config.quantise)
    assert config.vision is not None
    visual_inputs = load_visual_inputs_of(
        config.data,
        [(task, SPLIT) for task in config.tasks],
        images,
        config.vision,
        device,
        vision_fingerprint_of_init_from(config),
    )
    prompt_format = alignment_prompts(config, base.tokenizer, visual_inputs)
    result = finished  # stopped before its scores
    if result is None:
        encoded = [prompt_format.encode(sample, shown) for sample, shown in learnt]
        order = order_batches(config, encoded)
        result = train(config, TrainingInputs(base, prompt_format, encoded, order, visual_inputs))
    del base  # before another one is loaded to be scored
    to_score = [prompt_format.encode(sample, shown) for sample, shown in held_out]
    loaded = _load_aligned(config, device, prompt_format)
    summary = {
        **result.summary,
        "attributes": _score(loaded, config, values, to_score, visual_inputs.features),
    }
    write_atomically(
        config.out / TRAINING, (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode()
    )
    return TrainingResult(result.folder, summary)


def alignment_prompts(config: AlignConfig, tokenizer: Any, visual_inputs: VisualInputs) -> PromptFormat:
    """Return how questions about images become tokens.

    Args:
        config: The settings of the run.
        tokenizer: The base model's.
        visual_inputs: Images and features, whose shape decides the visual tokens of concat.

    Returns:
        The prompt format, whose user template is the instruction alone.
    """
    return PromptFormat(
        tokenizer,
        _PROMPT,
        packaged_templates()[1],
        "text",
        config.max_length,
        visual_tokens=visual_tokens(config, visual_inputs),
    )


def product_images(config: AlignConfig) -> dict[str, tuple[SampleImage, ...]]:
    """Return the images that the train split has of each product.

    Args:
        config: Dataset and tasks.

    Returns:
        Images by the product's id in the dataset, sorted by id.

    Raises:
        DatasetError: If there is no such dataset.
    """
    found: dict[str, dict[str, SampleImage]] = defaultdict(dict)
    for task in config.tasks:
        owners = {
            row["id"]: row["image_product_ids"]
            for row in read_columns(config.data, task, SPLIT, ("id", "image_product_ids"))
        }
        for sample, images in iterate_images(config.data, task, SPLIT) if owners else ():
            for each, owner in zip(images, owners[sample] or (), strict=False):
                if owner and each.image.role != ROLE_OF_OTHERS:
                    found[owner][each.image.key] = SampleImage("product", each.image.key)
    return {product: tuple(found[product].values()) for product in sorted(found)}


def alignment_samples(
    config: AlignConfig,
    values: Mapping[str, Mapping[str, str]],
    images: Mapping[str, Sequence[SampleImage]],
) -> tuple[list[Question], list[Question]]:
    """Return training and held-out questions, each about one image.

    A product is a row of the catalogue: datasets of several sources have it under several ids, with one image. An
    image of a held-out product is not trained on, even if another product has it too.

    Args:
        config: Attributes, the held-out share, limits and seed.
        values: Attributes by catalogue id, as `read_catalogue` returns them.
        images: Images by product id, as `product_images` returns them.

    Returns:
        The training questions and the held-out ones, each a sample with its image.

    Raises:
        DatasetError: If no product of the dataset is in the catalogue.
    """
    products: dict[str, dict[str, SampleImage]] = defaultdict(dict)
    for product, shown in images.items():
        name = catalogue_id(product, values)
        if name is not None:
            products[name] |= {image.key: image for image in shown}
    if not products:
        example = next(iter(images), None)
        raise DatasetError(
            f"no product with an image in {config.data} (such as {example}) is in {config.catalogue}; is "
            f"id_column={config.id_column} the right one?"
            if example
            else f"{config.data} shows no image of a product in its {SPLIT} split of {', '.join(config.tasks)}"
        )
    for attribute in config.attributes:
        values_there = {values[name][attribute] for name in products if attribute in values[name]}
        if len(values_there) < 2:
            say(
                f"{attribute}: {len(values_there)} different values among the products with an image: nothing to learn"
            )
    ordered = sorted(products, key=lambda name: (hash_draw(config.seed, "alignment pictures", name), name))
    kept = {
        name for name in ordered if hash_fraction(config.seed, "held-out products", name) < config.held_out
    }
    hidden = {key for name in kept for key in products[name]}
    learnt = [
        (name, image)
        for name in ordered
        for image in products[name].values()
        if name not in kept and image.key not in hidden
    ]
    held_out = [(name, image) for name in ordered if name in kept for image in products[name].values()]
    return (
        [_question(name, image, values[name]) for name, image in learnt[: config.images]],
        [_question(name, image, values[name]) for name, image in held_out[: config.scored_images]],
    )


def _question(product: str, image: SampleImage, values: Mapping[str, str]) -> Question:
    description = f"{SEPARATOR} ".join(values.values())
    names = f"{SEPARATOR} ".join(attribute.replace("_", " ") for attribute in values)
    sample = Sample(
        id=f"{product}/{image.key[:16]}",
        task="description",
        split=SPLIT,
        category="",
        instruction=f"Describe the product in the picture: {names}.",
        instruction_unseen=None,
        fields=(),
        options={description: description},
        output=description,
        visual_critical=True,
        text_only_accuracy=None,
    )
    return sample, (image,)


def correct_attributes(values: Mapping[str, str], text: str) -> dict[str, bool]:
    """Return for each attribute whether a description has exactly its words at its position.

    Args:
        values: The product's attributes, in the order of the description.
        text: The model's answer.

    Returns:
        Correctness by attribute.
    """
    parts = [part.strip() for part in text.split(SEPARATOR)]
    return {
        attribute: part == value
        for (attribute, value), part in zip_longest(values.items(), parts[: len(values)])
    }


def _load_aligned(config: AlignConfig, device: Device, prompt_format: PromptFormat) -> LoadedModel:
    base = load_base_model(config.base_model, device, config.quantise)
    return LoadedModel(load_to_answer(base, config.fusion, config.out), base.tokenizer, prompt_format, device)


def _score(
    loaded: LoadedModel,
    config: AlignConfig,
    values: Mapping[str, Mapping[str, str]],
    encoded: Sequence[Encoded],
    features: Features,
) -> dict[str, dict[str, float]]:
    """Return per attribute how many held-out images have it, how many were described correctly, and the share.

    most_frequent: the share of the most frequent value among the scored ones.
    """
    right = Counter[str]()
    true: dict[str, Counter[str]] = defaultdict(Counter)
    for start in range(0, len(encoded), _SCORING_BATCH):
        batch = encoded[start : start + _SCORING_BATCH]
        predictions = predict_batch(loaded, batch, "generate", features=features)
        for each, prediction in zip(batch, predictions, strict=True):
            product = values[each.sample.id.rpartition("/")[0]]
            for attribute, is_right in correct_attributes(product, prediction.text or "").items():
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
            f"{attribute}: {right[attribute]} of {scored} held-out images described correctly ({accuracy:.3f}; the "
            f"most frequent value {frequent:.3f})"
        )
    return scores
