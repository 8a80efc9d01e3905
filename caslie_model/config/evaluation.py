"""Settings of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from caslie_model.config.choices import Answers, Device, Precision, Quantise, full_task_names, known_splits
from mmecinstruct.core.settings import Settings, unit
from mmecinstruct.tasks import task_names


class EvaluateConfig(Settings):
    """One evaluation of a model on a dataset."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    model: str = Field(
        description="Adapter: a folder, or `user/name` on the Hub. With `base_only` also a preset or a base model."
    )
    base: str | None = Field(
        default=None,
        description="Where the adapter's base model is now: a folder, or `user/name` on the Hub. It must be the same "
        "one, by its fingerprint. `null`: where it was in training.",
    )
    any_base: bool = Field(
        default=False,
        description="Evaluate an adapter on another base model than that of its training all the same, of the same "
        "shape: after a change of its weights, tokenizer or chat template. Metrics record both fingerprints.",
    )
    data: str = Field(description="Dataset folder, or `user/name` on the Hub.")
    out: Path = Field(description="Folder to write predictions and metrics to.")
    splits: tuple[str, ...] = Field(default=("test", "test_ood"), description="Splits to evaluate.")
    tasks: tuple[str, ...] = Field(
        default_factory=task_names, description="Tasks to evaluate, by full or short name (`sa`), or `all`."
    )
    base_only: bool = Field(default=False, description="Evaluate the base model without the adapter.")
    limit: Annotated[int | None, unit("samples")] = Field(
        default=None,
        ge=1,
        description="Samples per task and split at most, in hash order of their ids. `null`: all.",
    )
    subset: Literal["all", "visual-critical", "text"] = Field(
        default="all",
        description="Evaluate all samples, those that need their image (`visual-critical`), or the others (`text`).",
    )
    instruction: Literal["seen", "unseen"] = Field(
        default="seen", description="Use the instruction of training or the held-out variant (`unseen`)."
    )
    scoring: Literal["generate", "likelihood"] = Field(
        default="generate",
        description="`generate` and parse an answer, or take the allowed answer of the highest `likelihood`.",
    )
    images: Literal["own", "shuffled", "none"] = Field(
        default="own",
        description="Images shown to an image-text model: its `own`, `shuffled` ones of other samples of the task and "
        "split, or `none`. A model that scores as well with the last two does not use images.",
    )
    length_normalised: bool = Field(
        default=False,
        description="Compare likelihoods per token instead of the probability of the whole answer.",
    )
    answers: Answers | None = Field(
        default=None,
        description="Ask for the words of an option (`text`) or its letter. `null`: as in training, or `text`.",
    )
    max_length: Annotated[int | None, unit("tokens")] = Field(
        default=None, ge=64, description="Tokens of prompt and answer. `null`: as in training."
    )
    batch_size: Annotated[int, unit("samples")] = Field(
        default=8, ge=1, description="Samples per forward pass. Changes no answer; lower it to save memory."
    )
    bootstrap_resamples: int = Field(
        default=1000, ge=100, description="Bootstrap resamples of the confidence intervals."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the bootstrap and of shuffled images.")
    precision: Precision = Field(
        default="auto",
        description="Number format of the computation. `auto`: float32 on a CPU, bfloat16 on a GPU.",
    )
    device: Device = Field(
        default="auto", description="Device to evaluate on. `auto`: a GPU where there is one."
    )
    quantise: Quantise | None = Field(
        default=None,
        description="Load the base model in 4 or 8 bits through bitsandbytes. `null`: as in training, or `none`.",
    )

    predictions: Path | None = Field(
        default=None,
        description="Score the predictions in this file, JSON lines or CSV, or in a folder of an earlier run, and load "
        "no model. `model` may then be any name, or be left out.",
    )
    lenient: bool = Field(
        default=False,
        description="Add what the paper's released code would report of the same texts, with its faults: it leaves "
        "answers that it cannot read out of the denominator.",
    )
    export: tuple[Literal["lm-eval"], ...] = Field(
        default=(),
        description="Write the results in other shapes as well: `lm-eval` for the files of lm-evaluation-harness.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_of_predictions(cls, fields: Any) -> Any:
        """Where no model is given, predictions of a file have its name, and those of a run that of its folder."""
        if isinstance(fields, dict) and fields.get("predictions") and fields.get("model") is None:
            file = Path(str(fields["predictions"])).absolute()
            folder = file.parent if file.name == "predictions.jsonl" else file
            name = folder.name if folder.is_dir() else folder.stem
            return {**fields, "model": name or "predictions"}
        return fields

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    _splits = field_validator("splits")(known_splits)
