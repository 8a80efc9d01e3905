"""Fine-tuning on the tasks of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from caslie_model.base_model import choose_device, load_base_model
from caslie_model.config import FinetuneConfig
from caslie_model.data import Sample, first_by_hash, read_samples
from caslie_model.mixing import mixed
from caslie_model.prompts import Encoded, PromptFormat, packaged_templates
from caslie_model.run_folder import say
from caslie_model.sight import Sight, look_at
from caslie_model.trainable import visual_tokens
from caslie_model.training import TrainingResult, finished_before, train
from caslie_model.training_report import write_model_card
from mmecinstruct.errors import DatasetError
from mmecinstruct.samples import TASKS


def finetune(config: FinetuneConfig, resume: bool = False, overwrite: bool = False) -> TrainingResult:
    """Fine-tune as the config says and write the adapter folder `config.out`.

    resume: go on from the last checkpoint of an unfinished run with the same config (or begin, if there is
    none). overwrite: delete what an earlier run left in the folder. Raises MmecError with the remedy when
    data, model or folder do not allow it.
    """
    finished = finished_before(config, resume, overwrite)
    if finished is not None:
        return finished
    samples = select_samples(config)  # first: a missing dataset is told before torch is loaded
    device, precision = choose_device(config.device, config.precision)
    # On a GPU mixed precision: trained tensors stay float32.
    base = load_base_model(config.base_model, precision, device)
    sight = None
    if config.vision is not None and config.fusion != "text":
        sight = look_at(config.data, samples, config.vision, device, precision)
    encoded = encode_samples(config, base.tokenizer, samples, sight)
    card = partial(write_model_card, config)
    return train(config, base, sight, encoded, packaged_templates(), device, precision, card)


def encode_samples(
    config: FinetuneConfig, tokenizer: Any, samples: Sequence[Sample], sight: Sight | None
) -> list[Encoded]:
    """Return what is learnt, in tokens, as often as the weights of tasks say."""
    prompt_format = PromptFormat(
        tokenizer,
        *packaged_templates(),
        config.answers,
        config.max_length,
        visual_tokens=visual_tokens(config, sight),
    )
    encoded = prompt_format.encode_all(samples, sight.pictures if sight else None)
    return mixed(encoded, config.task_weights, config.seed)


def select_samples(config: FinetuneConfig) -> list[Sample]:
    """Return the training samples, ordered by task and draw.

    Raises DatasetError when the dataset has none of a wanted task.
    """
    result, missing = [], []
    for task in config.tasks:
        limit = config.task_limits.get(task, config.samples_per_task)
        samples = read_samples(config.data, task, config.split)
        if not samples:
            missing.append(task)
        result.extend(first_by_hash(samples, limit, config.seed, "training samples"))
    if missing and (config.tasks != TASKS or not result):
        raise DatasetError(
            f"{config.data} has no {config.split} samples of {', '.join(missing)}; choose others with --tasks"
        )
    for task in missing:
        say(f"no {config.split} samples of {task}")
    return result
