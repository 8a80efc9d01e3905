"""Settings of captioning a dataset's images."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from caslie_model.config.choices import Device, Precision, Quantise, full_task_names, known_splits
from caslie_model.config.evaluation import PredictConfig
from mmecinstruct.core.settings import Settings, unit
from mmecinstruct.schemas.captions import is_captioner_name
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import task_names

ATTRIBUTES = "attributes"
OF_SERVERS = "openai:"
AttributePart = Literal["colours", "surface", "form", "classes", "text"]
ATTRIBUTE_PARTS: tuple[AttributePart, ...] = get_args(AttributePart)
# More tokens than words of English have in the usual tokenizers.
_TOKENS_PER_WORD = 3
# A general caption that is rewritten has room for what any of its contexts may ask.
_GENERAL_TIMES = 2


def _as_in_predict(name: str) -> Any:
    """Return a field of `PredictConfig` with its default, bounds and description."""
    return copy(PredictConfig.model_fields[name])


class CaptionConfig(Settings):
    """Who captions which images of a dataset, and how."""

    captioner: str = Field(
        description="`attributes` for colours, shapes, classes and text without a large model, an image-text model "
        "of transformers (a folder, or `user/name` on the Hub), or `openai:NAME` with `server`, or batch files."
    )
    two_step: str | None = Field(
        default=None,
        description="Caption each distinct image once, whatever sample shows it, and have this model rewrite the "
        "caption for each sample, from text alone: any model that `predict` takes, but none that was trained with "
        "images, or `openai:NAME` at the same server.",
    )
    general: bool = Field(
        default=False,
        description="Caption each distinct image once, and give that caption to all samples that show it.",
    )
    data: str = Field(description="Dataset folder, or `user/name` on the Hub.")
    out: Path | None = Field(
        default=None,
        description="Folder to write `captions/` into. `null`: the dataset folder, which otherwise stays as it is.",
    )
    name: str | None = Field(
        default=None,
        description="Name of the captions' folder. `null`: the model's name without what no folder name has, with "
        "`-general` or `-rewritten` behind it.",
    )
    tasks: tuple[str, ...] = Field(
        default_factory=task_names, description="Tasks to caption, by full or short name (`sa`), or `all`."
    )
    splits: tuple[str, ...] = Field(default=SPLITS, description="Splits to caption.")
    limit: Annotated[int | None, unit("samples")] = Field(
        default=None,
        ge=1,
        description="Samples per task and split at most, in hash order of their ids. `null`: all.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the hash order of `limit`.")
    max_words: Annotated[int, unit("words")] = Field(
        default=50, ge=5, le=500, description="Words of a caption; a longer one is cut."
    )
    max_tokens: Annotated[int | None, unit("tokens")] = Field(
        default=None, ge=1, description="Tokens that a model generates at most. `null`: three for each word."
    )
    max_pixels: int = _as_in_predict("max_pixels")
    batch_size: Annotated[int, unit("images")] = Field(
        default=8, ge=1, description="Images per forward pass. Changes no caption; lower it to save memory."
    )
    precision: Precision = _as_in_predict("precision")
    device: Device = _as_in_predict("device")
    quantise: Quantise = Field(
        default="none",
        description="Load captioner and rewriter in 4 or 8 bits through bitsandbytes.",
    )
    server: str | None = _as_in_predict("server")
    api_key_env: str | None = _as_in_predict("api_key_env")
    concurrency: int = _as_in_predict("concurrency")
    request_timeout: float = _as_in_predict("request_timeout")
    retries: int = _as_in_predict("retries")
    request_seed: int | None = _as_in_predict("request_seed")
    prices: Path | None = _as_in_predict("prices")
    price_input: float | None = _as_in_predict("price_input")
    price_output: float | None = _as_in_predict("price_output")
    budget: float | None = _as_in_predict("budget")
    write_batch: Path | None = _as_in_predict("write_batch")
    read_batch: tuple[Path, ...] = _as_in_predict("read_batch")
    attribute_parts: tuple[AttributePart, ...] = Field(
        default=ATTRIBUTE_PARTS,
        min_length=1,
        description="What `attributes` tells: `colours`, `surface`, `form`, `classes` of ImageNet, and `text` in "
        "the image. Parts whose package is missing are left out.",
    )

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    _splits = field_validator("splits")(known_splits)

    @property
    def model(self) -> str:
        """The captioner, under the name that the settings of a server have for it."""
        return self.captioner

    @property
    def asks_server(self) -> bool:
        """Whether a server answers, not a model that is loaded here."""
        return self.captioner.startswith(OF_SERVERS)

    @property
    def reply_tokens(self) -> int:
        """Tokens that a model generates at most."""
        return self.max_tokens or _TOKENS_PER_WORD * self.max_words

    @property
    def steps(self) -> tuple[CaptionConfig, ...]:
        """The settings of each step: captioning, and with `two_step` rewriting, whose model is its `captioner`."""
        if self.two_step is None:
            return (self,)
        first = {"two_step": None, "general": True, "max_words": _GENERAL_TIMES * self.max_words}
        second: dict[str, Any] = {"two_step": None, "captioner": self.two_step}
        if self.write_batch is not None and self.asks_server:
            # The requests of a batch file are to one model.
            file = self.write_batch
            second["write_batch"] = file.with_name(f"{file.stem}-rewriting{file.suffix}")
        return self.model_copy(update=first), self.model_copy(update=second)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.general and self.two_step:
            raise ValueError(
                "general leaves captions as they are, two_step rewrites them: give one of the two"
            )
        if self.general and self.captioner == ATTRIBUTES:
            raise ValueError(
                f"general: {ATTRIBUTES} is asked nothing, its captions are general: leave it out"
            )
        if self.two_step == ATTRIBUTES:
            raise ValueError(f"two_step={ATTRIBUTES}: it writes no texts; give a language model")
        return self

    @model_validator(mode="after")
    def _fit(self) -> Self:
        given = [name for name in ("server", "write_batch", "read_batch") if getattr(self, name)]
        models = [name for name in (self.captioner, self.two_step) if name]
        asked = [name for name in models if name.startswith(OF_SERVERS)]
        if asked and not given:
            field = "captioner" if asked[0] == self.captioner else "two_step"
            raise ValueError(
                f"{field}={asked[0]} is asked at a server: give `server`, `write_batch` or `read_batch`"
            )
        if given and not asked:
            raise ValueError(
                f"{given[0]} goes with a model of a server: give captioner=openai:{self.captioner}"
                + (f", or two_step=openai:{self.two_step}" if self.two_step else "")
            )
        if len(set(asked)) > 1 and self.price_input is not None:
            raise ValueError(
                "price_input and price_output are of one model, and two are asked: give `prices`, a file with both"
            )
        if self.name is not None and not is_captioner_name(self.name):
            raise ValueError(f"name={self.name}: write up to 64 letters, digits, '-', '_' and '.'")
        return self
