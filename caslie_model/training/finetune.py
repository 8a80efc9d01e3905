"""Fine-tuning on the tasks of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from caslie_model.adapters.trainable import visual_tokens
from caslie_model.backbones.language_model import load_base_model
from caslie_model.batching.order import order_batches
from caslie_model.batching.task_weights import mixed
from caslie_model.config.training import FinetuneConfig
from caslie_model.data.captions import caption_provenance, with_captions
from caslie_model.data.samples import Sample, first_by_hash, read_samples
from caslie_model.errors import ConfigError
from caslie_model.prompts.encoder import Encoded, PromptFormat
from caslie_model.prompts.templates import packaged_templates
from caslie_model.runtime.console import say
from caslie_model.runtime.device import choose_device
from caslie_model.training.early_stopping import EarlyStop
from caslie_model.training.init_from import vision_fingerprint_of_init_from, with_shapes_of_init_from
from caslie_model.training.inputs import TrainingInputs
from caslie_model.training.run import TrainingResult, finished_before, train
from caslie_model.training.run_folder import CHECKPOINTS, one_run_at_a_time
from caslie_model.vision.visual_inputs import VisualInputs, load_visual_inputs
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.tasks import task_names

VALIDATION = "validation"


@one_run_at_a_time
def finetune(config: FinetuneConfig, resume: bool = False, overwrite: bool = False) -> TrainingResult:
    """Fine-tune as the config says and write the adapter folder `config.out`.

    Args:
        config: The settings of the run.
        resume: Continue from the last checkpoint of an unfinished run with the same config; start where there is none.
        overwrite: Delete what an earlier run left in the folder.

    Returns:
        The adapter folder and the content of its training.json.

    Raises:
        MmecError: If data, model or folder do not allow the run; the message has the remedy.
    """
    config = with_shapes_of_init_from(config)
    finished = finished_before(config, resume, overwrite)
    if finished is not None:
        return finished
    # First: a missing dataset is reported before torch is loaded.
    samples = select_samples(config)
    validation = select_validation(config, samples)
    device = choose_device(config.device, config.precision)
    # On a GPU mixed precision: trained tensors stay float32.
    base = load_base_model(config.base_model, device, config.quantise)
    visual_inputs = None
    if config.vision is not None and config.fusion != "text":
        visual_inputs = load_visual_inputs(
            config.data,
            [*samples, *validation],
            config.vision,
            device,
            vision_fingerprint_of_init_from(config),
        )
    prompt_format = task_prompts(config, base.tokenizer, visual_inputs)
    encoded = encode_samples(config, prompt_format, samples, visual_inputs)
    early_stop = None
    if config.early_stop is not None:
        early_stop = EarlyStop(
            config.early_stop,
            prompt_format.encode_all(validation, visual_inputs.images if visual_inputs else None),
            prompt_format,
            config.out / CHECKPOINTS,
            config.batch_size,
            device,
            visual_inputs.features if visual_inputs else None,
        )
    if visual_inputs is not None and validation:
        # `trainable_model` checks that the training samples have images at all.
        visual_inputs = replace(
            visual_inputs, images={sample.id: visual_inputs.images[sample.id] for sample in samples}
        )
    order = order_batches(config, encoded)
    captions = {}
    if config.captions is not None:
        captions = caption_provenance(samples, config.data, config.captions, config.captions_from)
        say(
            f"captions {config.captions}: {captions['shown']} of {captions['images']} images have one that is shown"
        )
    inputs = TrainingInputs(base, prompt_format, encoded, order, visual_inputs, early_stop, captions)
    return train(config, inputs)


def task_prompts(config: FinetuneConfig, tokenizer: Any, visual_inputs: VisualInputs | None) -> PromptFormat:
    """Return how the tasks' samples become tokens.

    Args:
        config: The settings of the run.
        tokenizer: The base model's.
        visual_inputs: Images and features, None for text.

    Returns:
        The prompt format with the packaged templates.
    """
    return PromptFormat(
        tokenizer,
        *packaged_templates(),
        config.answers,
        config.max_length,
        visual_tokens=visual_tokens(config, visual_inputs),
    )


def encode_samples(
    config: FinetuneConfig,
    prompt_format: PromptFormat,
    samples: Sequence[Sample],
    visual_inputs: VisualInputs | None,
) -> list[Encoded]:
    """Return the training samples in tokens, as often as the weights of their tasks say.

    Args:
        config: The settings of the run.
        prompt_format: How samples become tokens.
        samples: The samples, as `select_samples` returns them.
        visual_inputs: Their images, None for text.

    Returns:
        The samples in tokens, in their order.

    Raises:
        DatasetError: If a sample does not fit into `max_length`.
        ConfigError: If a task's weight leaves none of its samples.
    """
    encoded = prompt_format.encode_all(samples, visual_inputs.images if visual_inputs else None)
    return mixed(encoded, config.task_weights, config.seed)


def select_samples(config: FinetuneConfig) -> list[Sample]:
    """Return the training samples, ordered by task and hash draw.

    Args:
        config: Dataset, split, tasks, limits and seed.

    Returns:
        The samples, with captions where the settings name some.

    Raises:
        DatasetError: If the dataset has none of a wanted task, or lacks captions of one.
        ConfigError: If there are no captions of this name.
    """
    result, missing = [], []
    for task in config.tasks:
        limit = config.task_limits.get(task, config.samples_per_task)
        samples = read_samples(config.data, task, config.split)
        if not samples:
            missing.append(task)
        result.extend(first_by_hash(samples, limit, config.seed, "training samples"))
    if missing and (config.tasks != task_names() or not result):
        raise DatasetError(
            f"{config.data} has no {config.split} samples of {', '.join(missing)}; choose other tasks"
        )
    for task in missing:
        say(f"no {config.split} samples of {task}")
    return _captioned(config, result)


def select_validation(config: FinetuneConfig, samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that decide on an early stop: equally many of each trained task, where it has enough.

    Args:
        config: Dataset, tasks, `early_stop` and seed.
        samples: The training samples.

    Returns:
        Samples of the validation split; none without `early_stop`.

    Raises:
        DatasetError: If the validation split has none of these tasks.
        ConfigError: If there are more tasks than `early_stop.samples`.
    """
    if config.early_stop is None:
        return []
    limit, seed = config.early_stop.samples, config.seed
    trained = {sample.task for sample in samples}
    tasks = [task for task in config.tasks if task in trained]
    if limit < len(tasks):
        raise ConfigError(f"early_stop.samples={limit} is less than one for each of {len(tasks)} tasks")
    found = {
        task: first_by_hash(read_samples(config.data, task, VALIDATION), limit, seed, "validated samples")
        for task in tasks
    }
    if not any(found.values()):
        raise DatasetError(
            f"early_stop: {config.data} has no validation samples of {', '.join(tasks)}; build it with a validation "
            "split, or leave early_stop out"
        )
    for task, sampled in found.items():
        if not sampled:
            say(f"no validation samples of {task}: they do not decide when to stop")
    ranked = [(rank, index) for index, task in enumerate(tasks) for rank in range(len(found[task]))]
    chosen = [found[tasks[index]][rank] for rank, index in sorted(ranked)[:limit]]
    names = {sample.id for sample in samples}
    for sample in chosen:
        if sample.id in names:
            raise DatasetError(f"sample {sample.id} is in two splits or tasks; build the dataset again")
    return _captioned(config, chosen)


def _captioned(config: FinetuneConfig, samples: list[Sample]) -> list[Sample]:
    if config.captions is None:
        return samples
    return with_captions(samples, config.data, config.captions, config.captions_from)
