"""Settings of judging captions: which of them a dataset's prompts show."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from caslie_model.config.choices import Device, Precision, Quantise, full_task_names, known_splits
from caslie_model.config.evaluation import PredictConfig
from mmecinstruct.core.settings import Settings, unit
from mmecinstruct.schemas.captions import is_captioner_name
from mmecinstruct.schemas.samples import SPLITS
from mmecinstruct.tasks import task_names

Judge = Literal["utility", "vote", "gold", "all", "none"]
OF_SERVERS = "openai:"


def _as_in_predict(name: str) -> Any:
    """Return a field of `PredictConfig` with its default, bounds and description."""
    return copy(PredictConfig.model_fields[name])


class JudgeConfig(Settings):
    """Which captions of a dataset are kept, and who decides."""

    data: str = Field(description="Dataset folder, or `user/name` on the Hub.")
    captions: str = Field(description="Name of the captions, as `caslie_model caption` wrote them.")
    captions_from: Path | None = _as_in_predict("captions_from")
    judge: Judge = Field(
        default="utility",
        description="`utility`: a predictor of what a caption does for the right answer, which sees no answer; `vote`: "
        "models say whether a caption is useful. For comparison: `gold` keeps what raises the likelihood of the right "
        "answer, which no test may use; `all` and `none` keep all captions, or none.",
    )
    judges: tuple[str, ...] = Field(
        default=(),
        description="Models that are asked: one for utility and gold, one or more for a vote. Named as in `predict`: a "
        "folder, `user/name` on the Hub, `package:NAME`, or `openai:NAME` with `server`.",
    )
    out: Path | None = Field(
        default=None,
        description="Folder that holds `captions/`, to write decisions into. `null`: where the captions are.",
    )
    name: str | None = Field(
        default=None, description="Name of the decisions. `null`: that of the kind of judge, such as `vote`."
    )
    tasks: tuple[str, ...] = Field(
        default_factory=task_names, description="Tasks to judge, by full or short name (`sa`), or `all`."
    )
    splits: tuple[str, ...] = Field(default=SPLITS, description="Splits to judge.")
    threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A caption is kept above this share of the votes, or this probability that it helps. A change asks "
        "nobody again.",
    )
    ties: Literal["keep", "drop"] = Field(
        default="drop", description="What becomes of a caption whose share of the votes is the threshold."
    )
    least_votes: Annotated[int, unit("votes")] = Field(
        default=1,
        ge=1,
        description="Judges that must have answered, not abstained; with fewer a caption is not kept.",
    )
    scoring: Literal["likelihood", "generate"] = Field(
        default="likelihood",
        description="How judges vote: by the likelihood of the two answers, or by what they `generate`, for servers "
        "that give no likelihoods.",
    )
    allow_captioner: bool = Field(
        default=False, description="Let the model that wrote the captions judge them."
    )
    folds: int = Field(
        default=5,
        ge=2,
        le=20,
        description="Parts of the measured rows, by group: the predictor that decides about a part has not seen it.",
    )
    measured: Annotated[int | None, unit("samples")] = Field(
        default=None,
        ge=10,
        description="Samples per task of train and validation whose utility is measured at most, chosen by hash. "
        "`null`: all.",
    )
    likelihoods: bool = Field(
        default=True,
        description="Ask the model about each caption of all splits, so that the predictor knows what it changes in "
        "the model's answers. `false`: about `measured` samples alone; the predictor knows words and images.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of folds and of `measured`.")
    max_length: Annotated[int | None, unit("tokens")] = Field(
        default=None,
        ge=64,
        description="Tokens of prompt and answer. `null`: as the model is asked by default.",
    )
    batch_size: Annotated[int, unit("samples")] = Field(
        default=16,
        ge=1,
        description="Questions per forward pass. Changes no decision; lower it to save memory.",
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
    request_seed: int | None = _as_in_predict("request_seed")
    prices: Path | None = _as_in_predict("prices")
    price_input: float | None = _as_in_predict("price_input")
    price_output: float | None = _as_in_predict("price_output")
    budget: float | None = _as_in_predict("budget")
    write_batch: Path | None = _as_in_predict("write_batch")
    read_batch: tuple[Path, ...] = _as_in_predict("read_batch")

    _tasks = field_validator("tasks", mode="before")(full_task_names)

    _splits = field_validator("splits")(known_splits)

    @property
    def folder(self) -> str:
        """Name of the folder of the decisions."""
        return self.name or self.judge

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if not is_captioner_name(self.captions):
            raise ValueError(f"captions={self.captions}: give the NAME of captions, without a judge")
        if self.name is not None and not is_captioner_name(self.name):
            raise ValueError(
                f"name={self.name}: write up to 64 letters, digits, '-', '_' and '.', and not `none`"
            )
        if self.judge in ("all", "none") and self.judges:
            raise ValueError(f"judge={self.judge} asks nobody: leave judges out")
        if self.judge in ("utility", "gold") and len(self.judges) != 1:
            raise ValueError(f"judge={self.judge} asks one model: name it as judges")
        if self.judge == "vote" and not self.judges:
            raise ValueError("judge=vote: name the models that vote as judges")
        if len(set(self.judges)) < len(self.judges):
            raise ValueError("judges: a model votes once")
        given = [name for name in ("server", "write_batch", "read_batch") if getattr(self, name)]
        served = [judge for judge in self.judges if judge.startswith(OF_SERVERS)]
        if served and not given:
            raise ValueError(
                f"{served[0]} is asked at a server: give `server`, `write_batch` or `read_batch`"
            )
        if given and not served:
            raise ValueError(f"{given[0]} goes with a model of a server: give judges as openai:NAME")
        return self
