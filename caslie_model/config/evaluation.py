"""Settings of asking a model, and of an evaluation, which scores its answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from caslie_model.config.choices import (
    Answers,
    Device,
    LimitName,
    Precision,
    Quantise,
    full_task_names,
    known_captions,
    known_splits,
)
from mmecinstruct.core.settings import Settings, unit
from mmecinstruct.tasks import task_names


class PredictConfig(Settings):
    """What a model is asked, and how it answers."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    model: str = Field(
        description="An adapter or merged model of ours, a preset, or a language or image-text model of transformers: "
        "a folder, `user/name` on the Hub, `package:NAME` or `random:tiny`. With `server`: `openai:` and the name by "
        "which the server knows its model."
    )
    base: str | None = Field(
        default=None,
        description="Where the adapter's base model is now: a folder, or `user/name` on the Hub. It must be the same "
        "one, by its fingerprint. `null`: where it was in training.",
    )
    any_base: bool = Field(
        default=False,
        description="Ask an adapter on another base model than that of its training all the same, of the same "
        "shape: after a change of its weights, tokenizer or chat template. Metrics record both fingerprints.",
    )
    data: str = Field(description="Dataset folder, or `user/name` on the Hub.")
    out: Path = Field(description="Folder to write predictions to, and metrics.")
    splits: tuple[str, ...] = Field(default=("test", "test_ood"), description="Splits to ask of.")
    tasks: tuple[str, ...] = Field(
        default_factory=task_names, description="Tasks to ask of, by full or short name (`sa`), or `all`."
    )
    base_only: bool = Field(
        default=False,
        description="Ask the base model of an adapter without the adapter, or of an image-text model its language "
        "model alone. A base model itself needs no such word.",
    )
    limit: Annotated[int | None, unit("samples")] = Field(
        default=None,
        ge=1,
        description="Samples per task and split at most, in hash order of their ids. `null`: all.",
    )
    subset: Literal["all", "visual-critical", "text"] = Field(
        default="all",
        description="Ask all samples, those that need their image (`visual-critical`), or the others (`text`).",
    )
    instruction: Literal["seen", "unseen", "both"] = Field(
        default="seen",
        description="Use the instruction of training, the held-out variant (`unseen`), or ask with each of the two "
        "(`both`).",
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
    captions: str | None = Field(
        default=None,
        description="Captions of the images that the prompts show as text: `NAME`, or `NAME/JUDGE` for those that a "
        "judge keeps. `null`: as in training; `none`: none.",
    )
    captions_from: Path | None = Field(
        default=None,
        description="Folder that holds `captions/`. `null`: the dataset, in its folder or on the Hub.",
    )
    images_effect: bool = Field(
        default=False,
        description="Measure what the images do: ask samples with images also without them, and with images of other "
        "samples. Captions go with their images.",
    )
    permute_options: Annotated[int, unit("orders")] = Field(
        default=0,
        ge=0,
        le=25,
        description="Ask again with the options in so many other orders, which shows whether a model prefers letters. "
        "Tasks whose answers are yes and no have none.",
    )
    shots: Annotated[int, unit("samples")] = Field(
        default=0,
        ge=0,
        le=100,
        description="Samples of the training split that are shown with their answers before each question. They share "
        "no product, user or query with it.",
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
        default=None,
        ge=64,
        description="Tokens of prompt and answer. `null`: as in training, or 16,384 for an image-text model.",
    )
    max_pixels: Annotated[int, unit("pixels")] = Field(
        default=262_144,
        ge=784,
        description="Pixels of an image at most that an image-text model of transformers, or a server, is shown: "
        "larger ones are shrunk first. A processor that enlarges images in order to split them stops there too. The "
        "default is 512 x 512.",
    )
    batch_size: Annotated[int, unit("samples")] = Field(
        default=8, ge=1, description="Samples per forward pass. Changes no answer; lower it to save memory."
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Seed of the bootstrap, of shuffled images, of other orders of options and of shots.",
    )
    precision: Precision = Field(
        default="auto",
        description="Number format of the computation. `auto`: float32 on a CPU, bfloat16 on a GPU.",
    )
    device: Device = Field(
        default="auto", description="Device to compute on. `auto`: a GPU where there is one."
    )
    quantise: Quantise | None = Field(
        default=None,
        description="Load the base model in 4 or 8 bits through bitsandbytes. `null`: as in training, or `none`.",
    )

    server: str | None = Field(
        default=None,
        description="Base URL of a server with OpenAI's interface, such as `http://127.0.0.1:8000/v1`; one of your own "
        "network is allowed.",
    )
    api_key_env: str | None = Field(
        default=None,
        description="Environment variable that holds the server's key, which itself is written nowhere. `null`: "
        "`OPENAI_API_KEY` for OpenAI's own server, none for others.",
    )
    concurrency: Annotated[int, unit("requests")] = Field(
        default=8, ge=1, le=1024, description="Requests that the server gets at a time."
    )
    request_timeout: Annotated[float, unit("seconds")] = Field(
        default=120.0, gt=0, description="Seconds to wait for the answer to a request."
    )
    retries: Annotated[int, unit("requests")] = Field(
        default=5, ge=0, description="Requests after the first that failed, with growing pauses between them."
    )
    max_tokens: Annotated[int | None, unit("tokens")] = Field(
        default=None,
        ge=1,
        description="Tokens that a server generates at most for an answer. `null`: as many as the longest allowed "
        "answer needs, and some more.",
    )
    limit_name: LimitName = Field(
        default="max_tokens",
        description="Name of that limit in requests. A server that asks for the newer one gets it by itself; a batch "
        "file needs it said.",
    )
    request_temperature: Literal[0] | None = Field(
        default=0,
        description="Temperature that requests carry. `null`: none, where a model takes none; its answers may then "
        "vary from run to run.",
    )
    request_seed: int | None = Field(
        default=0, description="Seed that requests carry. `null`: none, where a server takes none."
    )
    prices: Path | None = Field(
        default=None,
        description="YAML or JSON file with prices by name of the model, in money per million tokens: "
        "`NAME: {input: 0.4, output: 1.6, cached_input: 0.1}`.",
    )
    price_input: Annotated[float | None, unit("money per million tokens")] = Field(
        default=None, ge=0, description="Money per million tokens of prompts. `null`: as `prices` says."
    )
    price_output: Annotated[float | None, unit("money per million tokens")] = Field(
        default=None, ge=0, description="Money per million tokens of answers. `null`: as `prices` says."
    )
    budget: Annotated[float | None, unit("money")] = Field(
        default=None,
        gt=0,
        description="Money at most, in the currency of the prices; asking stops before it is spent.",
    )
    write_batch: Path | None = Field(
        default=None,
        description="Write what is to be asked as an OpenAI batch file, and ask nothing.",
    )
    read_batch: tuple[Path, ...] = Field(
        default=(), description="Read the answers from the output files of an OpenAI batch, and ask nothing."
    )

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    _splits = field_validator("splits")(known_splits)

    _captions = field_validator("captions")(known_captions)

    @property
    def asks_server(self) -> bool:
        """Whether a server or a batch file answers, not a model that is loaded here."""
        return self.model.startswith("openai:")

    @property
    def shown_captions(self) -> str | None:
        """The captions that prompts show, None without."""
        return None if self.captions == "none" else self.captions

    @model_validator(mode="after")
    def _fit(self) -> Self:
        given = [name for name in ("server", "write_batch", "read_batch") if getattr(self, name)]
        if self.asks_server and not given:
            raise ValueError(
                f"model={self.model} is asked at a server: give `server`, `write_batch` or `read_batch`"
            )
        if given and not self.asks_server:
            raise ValueError(f"{given[0]} goes with a model of a server: give model=openai:{self.model}")
        if self.images_effect and self.images != "own":
            raise ValueError("images_effect asks with own, other and no images: leave out `images`")
        return self


class EvaluateConfig(PredictConfig):
    """One evaluation of a model on a dataset: what it is asked, and how its answers are scored."""

    bootstrap_resamples: int = Field(
        default=1000,
        ge=100,
        description="Resamples of whole units for the bootstrap's percentile interval in metrics.json.",
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

    @property
    def asks_server(self) -> bool:
        """Whether a server or a batch file answers, not a model that is loaded here."""
        return super().asks_server and self.predictions is None

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
