"""What a training would take, told before it is begun: nothing is trained, encoded or written.

The samples are read and become tokens, so that the plan of batches is that of the run; of the base model only the
configuration and the tokenizer are read. (What comes as a package is converted into the model cache on first use.)
"""

from __future__ import annotations

from caslie_model.alignment import (
    SPLIT,
    alignment_prompts,
    alignment_samples,
    product_pictures,
    read_catalogue,
)
from caslie_model.base_model import BaseModel, choose_device, load_base_model
from caslie_model.beginning import vision_identity_of_beginning, with_shapes_of_beginning
from caslie_model.config import AlignConfig, FinetuneConfig, TrainingConfig
from caslie_model.cost import Forecast, run_cost
from caslie_model.finetuning import encode_samples, select_samples, select_validation, task_prompts
from caslie_model.plan import plan_run
from caslie_model.prompts import Encoded
from caslie_model.sight import Sight, glance_at, pictures_of, places_of


def forecast(config: FinetuneConfig | AlignConfig) -> Forecast:
    """Return what a fine-tuning or an alignment with this config would take, without its scores at the end.

    A GPU that this machine lacks is taken for one with bfloat16; then no time is told. Raises MmecError as the run
    would for data, base model and settings; `out` does not matter.
    """
    config = with_shapes_of_beginning(config)
    is_here = _device_is_here(config)
    if is_here:
        device, precision = choose_device(config.device, config.precision)
    else:
        device, precision = "cuda", "bfloat16" if config.precision == "auto" else config.precision
    place = device if is_here else "cpu"
    if isinstance(config, AlignConfig):
        base, sight, encoded, missing = _alignment(config, place, precision)
    else:
        base, sight, encoded, missing = _fine_tuning(config, place, precision)
    plan = plan_run(config, encoded)
    return run_cost(config, base, sight, encoded, plan, device, precision, is_here, missing)


Questions = tuple[BaseModel, Sight | None, list[Encoded], int | None]


def _fine_tuning(config: FinetuneConfig, device: str, precision: str) -> Questions:
    samples = select_samples(config)
    shown = [*samples, *select_validation(config, samples)]
    base = load_base_model(config.base_model, precision, "meta")
    sight = missing = None
    if config.vision is not None and config.fusion != "text":
        pictures = pictures_of(config.data, shown)
        looked_with = vision_identity_of_beginning(config)
        sight, missing = glance_at(
            config.data, places_of(shown), pictures, config.vision, device, precision, looked_with
        )
    prompt_format = task_prompts(config, base.tokenizer, sight)
    return base, sight, encode_samples(config, prompt_format, samples, sight), missing


def _alignment(config: AlignConfig, device: str, precision: str) -> Questions:
    values = read_catalogue(config.catalogue, config.id_column, config.attributes)
    shown = product_pictures(config)
    learnt, _ = alignment_samples(config, values, shown)
    base = load_base_model(config.base_model, precision, "meta")
    assert config.vision is not None
    places = [(task, SPLIT) for task in config.tasks]
    looked_with = vision_identity_of_beginning(config)
    sight, missing = glance_at(config.data, places, shown, config.vision, device, precision, looked_with)
    prompt_format = alignment_prompts(config, base.tokenizer, sight)
    return base, sight, [prompt_format.encode(sample, pictures) for sample, pictures in learnt], missing


def _device_is_here(config: TrainingConfig) -> bool:
    if config.device != "cuda":
        return True
    import torch

    return torch.cuda.is_available()
