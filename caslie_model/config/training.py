"""What to train and what to measure, as frozen, typed values that forbid unknown fields.

A preset is a YAML file (`pipelines/training/*.yaml` are built in); dotted overrides (`lora.rank=8`) are
applied before validation, so a wrong name or type is an error that names the field. The resolved config is
saved beside everything that is made with it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from caslie_model.config.common import Answers, Device, Fusion, Precision, Quantise, full_task_names
from caslie_model.runtime.processes import is_first_process
from mmecinstruct.core.settings import Settings
from mmecinstruct.schemas.samples import TASKS

# Trackers that the Trainer can report to, with the package of each; its module has the name of the tracker.
TRACKERS = {
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "comet_ml": "comet-ml",
    "clearml": "clearml",
    "swanlab": "swanlab",
    "codecarbon": "codecarbon",
}


class LoraSettings(Settings):
    """Size and place of the low-rank adapters."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    # "all-linear" is every linear layer but the output head; else names of modules.
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"


class VisionSettings(Settings):
    """The frozen encoder of the images."""

    # user/name on the Hub, a folder, package:efficientnet_lite0, or random:tiny-vit
    encoder: str
    pool: int = Field(default=7, ge=0)  # the grid of patches is averaged to pool x pool; 0: all patches
    layer: int | None = (
        None  # of the encoder; null: its output. An earlier one sees more of colours and textures
    )


class ConnectorSettings(Settings):
    """What connects images to the language model; sizes of 0 follow from the language model's width."""

    renamed_fields: ClassVar[Mapping[str, str]] = {
        "first_layer": "first_adapter_layer",
        "every": "adapter_every",
    }

    latents: int = Field(default=8, ge=1)  # per image
    resampler_width: int = Field(default=0, ge=0)
    resampler_blocks: int = Field(default=2, ge=1)
    adapter_width: int = Field(default=0, ge=0)
    first_adapter_layer: int | None = Field(
        default=None, ge=0
    )  # that an adapter stands before; default: a third of the depth
    adapter_every: int = Field(default=4, ge=1)  # layers from one adapter to the next
    # An adapter's output is scaled by tanh of its gate. Whether shut (0) or open, training begins as the base model.
    gate_init: float = 1.0
    guide: bool = True  # the instruction and the item's title guide what is read from an image
    mean_feature: bool = True  # add the mean of an image's features to its latents
    feature_norm: Literal["layer", "standard", "none"] = "layer"


class EarlyStopSettings(Settings):
    """When a training ends before its plan does: the validation split's figure no longer improves."""

    # loss: per answer token. score: each task's own metric (F1, recall@1, …) of the likeliest answers, their mean
    metric: Literal["loss", "score"] = "loss"
    every: int = Field(default=50, ge=1)  # steps from one validation to the next; the last step has one too
    patience: int = Field(default=3, ge=1)  # validations without improvement that end the training
    samples: int = Field(default=200, ge=1)  # at most, of all tasks alike, drawn by hash


class TrainingConfig(Settings):
    """What every training says, whatever it trains on."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"bridge": "connector", "lr_bridge": "lr_connector"}

    data: str
    out: Path
    fusion: Fusion
    # package:NAME (a Python package that carries one GGUF file), a folder, user/name, or random:tiny
    base_model: str
    quantise: Quantise = "none"  # bits in which the frozen base model's linear layers are kept (bitsandbytes)
    max_length: int = Field(default=1024, ge=64)  # tokens of prompt and answer
    with_lora: bool = False  # beside what fuses; text has nothing else to train and always has it
    lora: LoraSettings = LoraSettings()
    vision: VisionSettings | None = None
    connector: ConnectorSettings = ConnectorSettings()
    # An adapter folder, or user/name of one on the Hub, to begin with: an alignment of the same base model and encoder,
    # for example.
    init_from: Path | None = None
    lr: float = Field(default=5e-4, gt=0)  # of LoRA
    lr_connector: float = Field(default=1e-3, gt=0)  # of resampler, adapters and projector
    lr_gates: float = Field(default=5e-3, gt=0)  # shut gates (gate_init 0) want more, such as 2e-2
    warmup: float = Field(default=0.05, ge=0, lt=1)  # share of the steps
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    batch_size: int = Field(default=8, ge=1)  # samples in one forward pass
    gradient_accumulation: int = Field(default=1, ge=1)  # forward passes per step
    # Training ends with whichever is spent first. Tokens are those of prompts and answers, not padding.
    epochs: float = Field(default=1.0, gt=0)
    max_train_tokens: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    log_every: int = Field(default=5, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    precision: Precision = "auto"  # float32 on a CPU, bfloat16 on a GPU
    device: Device = "auto"
    gradient_checkpointing: bool = (
        False  # compute activations twice instead of keeping them: slower, less memory
    )
    packing: bool = False  # samples share rows of tokens instead of being padded; not with concat
    pack_length: int | None = Field(default=None, ge=64)  # tokens of such a row; null: max_length
    compile: bool = False  # by torch.compile: pays in long runs on a GPU
    report_to: tuple[str, ...] = ()  # trackers of experiments, such as tensorboard or wandb

    @field_validator("report_to", mode="before")
    @classmethod
    def _trackers_are_known(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if names in (["none"], None):
            return ()
        if isinstance(names, list | tuple) and (
            unknown := sorted({str(name) for name in names} - set(TRACKERS))
        ):
            raise ValueError(f"no such tracker: {', '.join(unknown)}; choose from: {', '.join(TRACKERS)}")
        return names

    @field_validator("fusion", mode="before")
    @classmethod
    def _fusion_is_there(cls, value: Any) -> Any:
        if value not in get_args(Fusion):
            raise ValueError(f"fusion '{value}' is not there; choose from: {', '.join(get_args(Fusion))}")
        return value

    @model_validator(mode="after")
    def _images_need_an_encoder(self) -> Self:
        if self.fusion != "text" and self.vision is None:
            raise ValueError(f"fusion={self.fusion} needs an encoder of images: give vision.encoder")
        if self.fusion == "text" and self.init_from is not None:
            raise ValueError("init_from begins with an adapter that sees: give another fusion than text")
        if self.init_from is not None and self.init_from.resolve() == self.out.resolve():
            raise ValueError("init_from is the same folder as out: give another --out")
        return self

    @model_validator(mode="after")
    def _text_can_be_packed(self) -> Self:
        if self.packing and self.fusion not in ("text", "xattn"):
            raise ValueError(
                f"packing is for text and xattn; with fusion={self.fusion} images are tokens of one sample: give "
                "packing=false"
            )
        return self

    @model_validator(mode="after")
    def _quantised_is_not_compiled(self) -> Self:
        if self.compile and self.quantise != "none":
            raise ValueError(f"compile does not go with quantise={self.quantise}: give one of them alone")
        return self

    @property
    def trains_lora(self) -> bool:
        """Whether the language model gets low-rank adapters."""
        return self.with_lora or self.fusion == "text"


class FinetuneConfig(TrainingConfig):
    """One fine-tuning run. data: a dataset folder, or user/name on the Hub."""

    fusion: Fusion = "text"
    answers: Answers = "text"
    tasks: tuple[str, ...] = TASKS
    split: str = "train"
    # At most so many samples of each task, drawn by hash; task_limits says otherwise for single tasks.
    samples_per_task: int | None = Field(default=None, ge=1)
    task_limits: dict[str, int] = Field(default_factory=dict)
    # How often the samples of a task are in an epoch: {cc: 2, sa: 0.5} repeats CC and leaves half of SA out.
    task_weights: dict[str, float] = Field(default_factory=dict)
    # null: never. With it, what is saved are the weights of the best validation.
    early_stop: EarlyStopSettings | None = None

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    @field_validator("split")
    @classmethod
    def _split_is_not_a_test(cls, value: str) -> str:
        if value not in ("train", "validation"):
            raise ValueError("train on train (or validation), never on a test split")
        return value

    @field_validator("task_limits", "task_weights", mode="before")
    @classmethod
    def _limits_name_tasks(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("give numbers per task, e.g. {sr: 100}")
        return {full_task_names([name])[0]: limit for name, limit in value.items()}

    @field_validator("task_limits")
    @classmethod
    def _limits_are_not_negative(cls, value: dict[str, int]) -> dict[str, int]:
        if any(limit < 0 for limit in value.values()):
            raise ValueError("a limit is 0 or more")
        return value

    @field_validator("task_weights")
    @classmethod
    def _weights_are_positive(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 < weight < float("inf") for weight in value.values()):
            raise ValueError("a weight is more than 0; leave a task out of `tasks` instead")
        return value

    @model_validator(mode="after")
    def _validation_is_not_trained_on(self) -> Self:
        if self.early_stop is not None and self.split == "validation":
            raise ValueError("early_stop uses the validation split: train on another one")
        return self


class AlignConfig(TrainingConfig):
    """One alignment: adapters learn to say in words what a catalogue tells of the images of a dataset.

    data: a dataset folder, or user/name on the Hub; only images of its train split are learnt from.
    """

    renamed_fields: ClassVar[Mapping[str, str]] = {
        **TrainingConfig.renamed_fields,
        "pictures": "images",
        "scored_pictures": "scored_images",
    }

    fusion: Fusion = "xattn"
    catalogue: Path  # CSV, TSV, JSON lines or Parquet: a product in each row
    id_column: str = "id"  # the product's id, as in the dataset, with or without the source's prefix
    attributes: tuple[str, ...] = Field(min_length=1)  # columns whose words are learnt
    tasks: tuple[str, ...] = TASKS  # of which the images are taken
    held_out: float = Field(default=0.1, ge=0, lt=1)  # share of the products that are kept for scoring
    images: int | None = Field(default=None, ge=1)  # at most so many to learn from, drawn by hash
    scored_images: int = Field(default=200, ge=0)  # held-out ones to score at the end

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    @model_validator(mode="after")
    def _something_sees(self) -> Self:
        if self.fusion == "text":
            raise ValueError("an alignment is of adapters that see: give fusion xattn, concat or concat-full")
        return self


# Saved configs of earlier versions hold them.
_REMOVED = ("reuse_lower_layers", "lower_layers_gigabytes")


def _without_removed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without the settings of earlier versions that changed no result. Say so where one was on."""
    if content.get("reuse_lower_layers") and is_first_process():
        print("reuse_lower_layers is ignored: this version has no such setting", file=sys.stderr)
    return {key: value for key, value in content.items() if key not in _REMOVED}
