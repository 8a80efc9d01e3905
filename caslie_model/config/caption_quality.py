"""Settings of measuring what captions say of a product's known attributes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from caslie_model.config.captions import OF_SERVERS
from caslie_model.config.choices import (
    Answers,
    Device,
    LimitName,
    Precision,
    Quantise,
    full_task_names,
    known_splits,
)
from caslie_model.config.evaluation import PredictConfig
from mmecinstruct.core.settings import Settings, unit
from mmecinstruct.schemas.captions import is_captioner_name
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import task_names

WORDS = "words"
# What the images of the sample shop show.
SHOP_ATTRIBUTES = ("colour", "pattern", "shape")
# Settings of asking the reader, under their names in `PredictConfig`.
_ASKING = (
    *(
        "scoring",
        "length_normalised",
        "answers",
        "max_length",
        "batch_size",
        "precision",
        "device",
        "quantise",
    ),
    *("server", "api_key_env", "concurrency", "request_timeout", "retries", "max_tokens", "limit_name"),
    *("request_temperature", "request_seed", "prices", "price_input", "price_output", "budget"),
)


def _as_in_predict(name: str) -> Any:
    """Return a field of `PredictConfig` with its default, bounds and description."""
    return copy(PredictConfig.model_fields[name])


class CaptionQualityConfig(Settings):
    """Whose captions are measured, by which attributes, and who reads them."""

    data: str = Field(description="Dataset folder, or `user/name` on the Hub, whose images are captioned.")
    captions: str = Field(description="Name of the captions: of their folder below `captions/`.")
    captions_from: Path | None = Field(
        default=None, description="Folder that has `captions/`. `null`: the dataset folder."
    )
    out: Path = Field(description="Folder to write metrics and answers to.")
    catalogue: Path | None = Field(
        default=None,
        description="Table with one product per row: CSV, TSV, JSON lines or Parquet. `null`: the ground truth of the "
        "sample shop, for a dataset that was built from it.",
    )
    id_column: str = Field(
        default="id",
        description="Column of the product ids, as in the dataset, with or without the source's prefix.",
    )
    attributes: tuple[str, ...] = Field(
        default=(),
        description="Columns of the catalogue that an image shows, such as `colour`. Of the sample shop: `colour`, "
        "`pattern`, `shape` (the default without a catalogue), `fine_category`.",
    )
    value_separator: str | None = Field(
        default="|",
        min_length=1,
        description="What divides several values in one cell, each of which is right. `null`: a cell is one value.",
    )
    synonyms: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Other words for a value that the reader `words` takes for it: `{navy: [dark blue]}`.",
    )
    reader: str = Field(
        default=WORDS,
        description="Who answers from the caption alone: `words` finds values as whole words, without a model; or "
        "any model that `predict` can ask, `openai:NAME` of a server included.",
    )
    tasks: tuple[str, ...] = Field(
        default_factory=task_names,
        description="Tasks whose captions are read, by full or short name, or `all`.",
    )
    splits: tuple[str, ...] = Field(default=SPLITS, description="Splits whose captions are read.")
    limit: Annotated[int | None, unit("products")] = Field(
        default=None, ge=1, description="Products at most, in hash order of their ids. `null`: all."
    )
    options: Annotated[int, unit("values")] = Field(
        default=12,
        ge=2,
        le=25,
        description="Values that a model may choose among at most: the right ones, and others of the catalogue by "
        "hash draw. `the description does not say` comes beside them.",
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of the hash draws: products, options, captions exchanged."
    )
    scoring: Literal["generate", "likelihood"] = Field(
        default="likelihood",
        description="A model gives the answer of the highest `likelihood`, or is asked to `generate` and read.",
    )
    length_normalised: bool = _as_in_predict("length_normalised")
    answers: Answers | None = _as_in_predict("answers")
    max_length: int | None = _as_in_predict("max_length")
    batch_size: Annotated[int, unit("questions")] = Field(
        default=16,
        ge=1,
        description="Questions per forward pass. Changes no answer; lower it to save memory.",
    )
    precision: Precision = _as_in_predict("precision")
    device: Device = _as_in_predict("device")
    quantise: Quantise | None = _as_in_predict("quantise")
    server: str | None = _as_in_predict("server")
    api_key_env: str | None = _as_in_predict("api_key_env")
    concurrency: int = _as_in_predict("concurrency")
    request_timeout: float = _as_in_predict("request_timeout")
    retries: int = _as_in_predict("retries")
    max_tokens: int | None = _as_in_predict("max_tokens")
    limit_name: LimitName = _as_in_predict("limit_name")
    request_temperature: Literal[0] | None = _as_in_predict("request_temperature")
    request_seed: int | None = _as_in_predict("request_seed")
    prices: Path | None = _as_in_predict("prices")
    price_input: float | None = _as_in_predict("price_input")
    price_output: float | None = _as_in_predict("price_output")
    budget: float | None = _as_in_predict("budget")

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    _splits = field_validator("splits")(known_splits)

    @property
    def asked_attributes(self) -> tuple[str, ...]:
        """The attributes to ask for; without a catalogue those of the sample shop."""
        return self.attributes or SHOP_ATTRIBUTES

    @property
    def asking(self) -> PredictConfig:
        """How the reader is asked, where it is a model. It is shown no image."""
        given = {name: getattr(self, name) for name in _ASKING}
        return PredictConfig(model=self.reader, data=self.data, out=self.out, images="none", **given)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if not is_captioner_name(self.captions):
            raise ValueError(
                f"captions={self.captions} is no name of captions: give the name of a folder in `captions/`"
            )
        if self.catalogue is not None and not self.attributes:
            raise ValueError("give attributes: columns of the catalogue, such as colour")
        at_server = self.reader.startswith(OF_SERVERS)
        if at_server and not self.server:
            raise ValueError(f"reader={self.reader} is asked at a server: give `server`")
        if self.server and not at_server:
            raise ValueError(f"server goes with a model of a server: give reader=openai:{self.reader}")
        return self
