"""Settings of trainings, as frozen, typed values that forbid unknown fields.

A preset is a YAML file (`pipelines/training/*.yaml` are built in). Dotted overrides (`lora.rank=8`) are applied before
validation, so a wrong name or type is an error that names the field. Each run saves its complete config.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from caslie_model.config.choices import (
    Answers,
    Device,
    Fusion,
    Precision,
    Quantise,
    full_task_names,
    known_captions,
)
from mmecinstruct.core.settings import Settings, unit
from mmecinstruct.tasks import task_names

# Trackers that the Trainer can report to, each with its package. The module has the tracker's name.
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
    """Low-rank adapters of the language model."""

    rank: int = Field(default=16, ge=1, description="Rank of the adapters. Raise it for more capacity.")
    alpha: int = Field(
        default=32, ge=1, description="Scale of the adapters: their output times alpha / rank."
    )
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout before the adapters, 0 to 1.")
    target_modules: Literal["all-linear"] | tuple[str, ...] = Field(
        default="all-linear",
        description="Layers with an adapter: `all-linear` is every linear layer but the output head, else give module "
        "names.",
    )
    modules_to_save: tuple[str, ...] = Field(
        default=(),
        description="Modules that are trained whole and saved with the adapter, by name: `embed_tokens`, `lm_head`. An "
        "output head that is tied to the embeddings stays tied.",
    )


class VisionSettings(Settings):
    """The frozen vision encoder."""

    encoder: str = Field(
        description="Vision encoder: `user/name` on the Hub, a folder, `package:efficientnet_lite0` or "
        "`random:tiny-vit`."
    )
    pool: int = Field(
        default=7,
        ge=0,
        description="Side of the grid that patch features are averaged to: 7 gives 49 per image. 0 keeps every patch.",
    )
    layer: int | None = Field(
        default=None,
        description="Layer of the encoder whose output is used; `null` is the last. Earlier layers keep more of colour "
        "and texture.",
    )


class ConnectorSettings(Settings):
    """The connector between images and the language model: resampler, cross-attention adapters or projector."""

    renamed_fields: ClassVar[Mapping[str, str]] = {
        "first_layer": "first_adapter_layer",
        "every": "adapter_every",
    }

    latents: int = Field(default=8, ge=1, description="Latents that the resampler makes of an image.")
    resampler_width: int = Field(
        default=0,
        ge=0,
        description="Width of the resampler. 0: half the language model's width, at most 512.",
    )
    resampler_blocks: int = Field(default=2, ge=1, description="Number of blocks of the resampler.")
    adapter_width: int = Field(
        default=0,
        ge=0,
        description="Width of the cross-attention adapters. 0: half the language model's width, at most 512.",
    )
    first_adapter_layer: int | None = Field(
        default=None,
        ge=0,
        description="First layer of the language model with an adapter before it. `null`: a third of the depth.",
    )
    adapter_every: Annotated[int, unit("layers")] = Field(
        default=4, ge=1, description="Layers from one adapter to the next. Lower it for more adapters."
    )
    gate_init: float = Field(
        default=1.0,
        description="Initial gate of an adapter, whose output is scaled by its tanh. Training starts as the base model "
        "with an open gate and with a closed one (0).",
    )
    guide: bool = Field(
        default=True, description="Let the instruction and the item's title guide the resampler."
    )
    mean_feature: bool = Field(
        default=True, description="Add the projected mean of an image's features to each of its latents."
    )
    feature_norm: Literal["layer", "standard", "none"] = Field(
        default="layer",
        description="Normalisation of image features: per patch (`layer`), by the statistics of the training images "
        "(`standard`), or none.",
    )


class EarlyStopSettings(Settings):
    """End a training when its figure on the validation split no longer improves."""

    metric: Literal["loss", "score"] = Field(
        default="loss",
        description="`loss` per answer token, or `score`: the mean of the tasks' own metrics (F1, recall@1, …) of the "
        "most likely answers.",
    )
    every: Annotated[int, unit("steps")] = Field(
        default=50, ge=1, description="Steps from one validation to the next. The last step has one too."
    )
    patience: int = Field(
        default=3, ge=1, description="Validations without improvement after which training ends."
    )
    samples: Annotated[int, unit("samples")] = Field(
        default=200,
        ge=1,
        description="Validation samples at most, equally many of each task, chosen by hash.",
    )


class TrainingConfig(Settings):
    """Settings of every training."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"bridge": "connector", "lr_bridge": "lr_connector"}

    data: str = Field(description="Dataset folder, or `user/name` on the Hub.")
    out: Path = Field(description="Folder to write the adapter to.")
    fusion: Fusion = Field(
        description="How images reach the language model: not at all (`text`), by cross-attention (`xattn`), or as "
        "tokens (`concat`: latents, `concat-full`: every patch)."
    )
    base_model: str = Field(
        description="Language model: `package:NAME` (a Python package with one GGUF file), a folder, `user/name` on "
        "the Hub, or `random:tiny`."
    )
    quantise: Quantise = Field(
        default="none",
        description="Load the frozen base model in 4 or 8 bits through bitsandbytes. Saves memory.",
    )
    max_length: Annotated[int, unit("tokens")] = Field(
        default=1024,
        ge=64,
        description="Tokens of prompt and answer. Longer prompts lose history and ends of texts.",
    )
    with_lora: bool = Field(
        default=False,
        description="Train LoRA beside the connector. With `fusion: text` it is always trained.",
    )
    lora: LoraSettings = Field(default=LoraSettings(), description="Low-rank adapters of the language model.")
    vision: VisionSettings | None = Field(
        default=None, description="Vision encoder. Needed by every fusion other than `text`."
    )
    connector: ConnectorSettings = Field(
        default=ConnectorSettings(), description="The connector between images and the language model."
    )
    init_from: Path | None = Field(
        default=None,
        description="Adapter to start from: a folder, or `user/name` on the Hub, of the same base model and vision "
        "encoder, such as an alignment.",
    )
    lr: float = Field(default=5e-4, gt=0, description="Learning rate of LoRA.")
    lr_connector: float = Field(
        default=1e-3, gt=0, description="Learning rate of resampler, adapters and projector."
    )
    lr_gates: float = Field(
        default=5e-3,
        gt=0,
        description="Learning rate of the gates. Closed gates (`connector.gate_init: 0`) need more, such as 2e-2.",
    )
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="Share of the steps in which the learning rates rise from 0."
    )
    weight_decay: float = Field(default=0.0, ge=0, description="Weight decay of AdamW.")
    max_grad_norm: float = Field(default=1.0, gt=0, description="Norm that gradients are clipped to.")
    batch_size: Annotated[int, unit("samples")] = Field(
        default=8, ge=1, description="Samples per forward pass, of all processes together."
    )
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        description="Forward passes per step. Raise it for larger steps in the same memory.",
    )
    epochs: float = Field(
        default=1.0,
        gt=0,
        description="Passes over the training samples. Training ends here or at `max_train_tokens`, whichever comes "
        "first.",
    )
    max_train_tokens: Annotated[int | None, unit("tokens")] = Field(
        default=None,
        ge=1,
        description="Tokens of prompts and answers, without padding, after which training ends. `null`: no limit.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of initial weights, order and sampling.")
    log_every: Annotated[int, unit("steps")] = Field(
        default=5, ge=1, description="Steps from one logged loss to the next."
    )
    checkpoint_every: Annotated[int, unit("steps")] = Field(
        default=50,
        ge=1,
        description="Steps from one checkpoint to the next. `--resume` continues from the last one.",
    )
    precision: Precision = Field(
        default="auto",
        description="Number format of the computation. `auto`: float32 on a CPU, bfloat16 on a GPU.",
    )
    device: Device = Field(
        default="auto", description="Device to train on. `auto`: a GPU where there is one."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations instead of keeping them: less memory, slower."
    )
    packing: bool = Field(
        default=False,
        description="Put several samples into one row of tokens instead of padding them. For `text` and `xattn`; "
        "faster where lengths differ.",
    )
    pack_length: Annotated[int | None, unit("tokens")] = Field(
        default=None, ge=64, description="Tokens per packed row. `null`: `max_length`."
    )
    compile: bool = Field(
        default=False, description="Compile the model with torch.compile. Pays off in long runs on a GPU."
    )
    report_to: tuple[str, ...] = Field(
        default=(), description="Experiment trackers to log to, such as tensorboard or wandb."
    )

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
            raise ValueError(f"fusion={self.fusion} needs a vision encoder: give vision.encoder")
        if self.fusion == "text" and self.init_from is not None:
            raise ValueError("init_from needs an image-text adapter: give another fusion than text")
        if self.init_from is not None and self.init_from.resolve() == self.out.resolve():
            raise ValueError("init_from is the same folder as out: give another")
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
    """One fine-tuning run."""

    fusion: Fusion = Field(
        default="text",
        description="How images reach the language model: not at all (`text`), by cross-attention (`xattn`), or as "
        "tokens (`concat`: latents, `concat-full`: every patch).",
    )
    captions: str | None = Field(
        default=None,
        description="Captions of the images that the prompts show as text: `NAME` of those that `caslie_model caption` "
        "wrote, or `NAME/JUDGE` for those among them that `caslie_model judge` keeps. They go with every fusion; "
        "`fusion: caption` is `text` with captions.",
    )
    captions_from: Path | None = Field(
        default=None,
        description="Folder that holds `captions/`. `null`: the dataset, in its folder or on the Hub.",
    )
    answers: Answers = Field(
        default="text",
        description="Train on the words of an option (`text`) or on its letter (`letter`). Letters need a larger "
        "model.",
    )
    tasks: tuple[str, ...] = Field(
        default_factory=task_names, description="Tasks to train on, by full or short name (`sa`), or `all`."
    )
    split: str = Field(default="train", description="Split to train on: `train` or `validation`.")
    samples_per_task: Annotated[int | None, unit("samples")] = Field(
        default=None, ge=1, description="Samples of each task at most, chosen by hash. `null`: all."
    )
    task_limits: Annotated[dict[str, int], unit("samples")] = Field(
        default_factory=dict,
        description="Samples at most of single tasks, instead of `samples_per_task`: `{sr: 100}`.",
    )
    task_weights: dict[str, float] = Field(
        default_factory=dict,
        description="How often the samples of a task occur in an epoch: `{cc: 2, sa: 0.5}` repeats CC and leaves out "
        "half of SA.",
    )
    early_stop: EarlyStopSettings | None = Field(
        default=None,
        description="Stop when validation no longer improves, and save the best weights. `null`: never.",
    )

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    @field_validator("captions")
    @classmethod
    def _captions_have_a_name(cls, value: str | None) -> str | None:
        return None if value == "none" else known_captions(value)

    @model_validator(mode="before")
    @classmethod
    def _captions_are_text(cls, fields: Any) -> Any:
        """Read `fusion: caption` as text with captions, which it is."""
        if not isinstance(fields, Mapping) or fields.get("fusion") != "caption":
            return fields
        if fields.get("captions") in (None, "none"):
            raise ValueError(
                "fusion=caption needs captions: give the NAME of those that `caslie_model caption` wrote, or "
                "NAME/JUDGE for those that `caslie_model judge` keeps"
            )
        return {**fields, "fusion": "text"}

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
    """One alignment: the connector learns to describe a dataset's images by the attributes of a catalogue.

    Only images of the train split are used.
    """

    renamed_fields: ClassVar[Mapping[str, str]] = {
        **TrainingConfig.renamed_fields,
        "pictures": "images",
        "scored_pictures": "scored_images",
    }

    fusion: Fusion = Field(
        default="xattn",
        description="How images reach the language model: `xattn`, `concat` or `concat-full`.",
    )
    catalogue: Path = Field(description="Table with one product per row: CSV, TSV, JSON lines or Parquet.")
    id_column: str = Field(
        default="id",
        description="Column of the product ids, as in the dataset, with or without the source's prefix.",
    )
    attributes: tuple[str, ...] = Field(
        min_length=1, description="Columns whose values the model learns to name."
    )
    tasks: tuple[str, ...] = Field(
        default_factory=task_names,
        description="Tasks whose images are used, by full or short name, or `all`.",
    )
    held_out: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the products that are kept for scoring."
    )
    images: Annotated[int | None, unit("images")] = Field(
        default=None, ge=1, description="Images to train on at most, chosen by hash. `null`: all."
    )
    scored_images: Annotated[int, unit("images")] = Field(
        default=200, ge=0, description="Held-out images that are scored at the end, at most."
    )

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    @model_validator(mode="after")
    def _images_are_used(self) -> Self:
        if self.fusion == "text":
            raise ValueError("an alignment trains on images: give fusion xattn, concat or concat-full")
        return self
