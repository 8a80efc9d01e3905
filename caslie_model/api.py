"""The functions of `import caslie_model`. Thin; the command `caslie_model` calls the same ones.

Imports are inside the functions, so that each loads only what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from caslie_model.errors import ConfigError
from caslie_model.runtime.console import quiet_libraries_meanwhile
from mmecinstruct.core.console import comma_list
from mmecinstruct.core.disk_errors import shown
from mmecinstruct.core.output_folder import check_name

if TYPE_CHECKING:
    from pydantic import BaseModel

    from caslie_model.adapters.merge import MergeResult
    from caslie_model.config.training import AlignConfig, FinetuneConfig
    from caslie_model.publishing.push_folder import ModelPush
    from caslie_model.training.run import TrainingResult
    from caslie_model.vision import FeatureCounts

    Config = TypeVar("Config", bound=BaseModel)

AnyPath: TypeAlias = str | Path

DEFAULT_PRESET = "smollm2-135m"


@dataclass(frozen=True)
class Features:
    """Counts of images whose features were computed.

    Attributes:
        folder: The cache that holds the features.
        counts: Images and samples, and how many features were not there before.
    """

    folder: Path
    counts: FeatureCounts


def finetune(
    data: AnyPath | FinetuneConfig,
    out: AnyPath | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    resume: bool = False,
    overwrite: bool = False,
    **settings: Any,
) -> TrainingResult:
    """Fine-tune a language model, with or without images, and write an adapter folder.

    Args:
        data: A dataset folder, or user/name on the Hub; or a whole config, which replaces all but the flags.
        out: The adapter folder to write.
        preset: A built-in preset's name, or a YAML file.
        resume: Whether to continue an unfinished run from its last checkpoint.
        overwrite: Whether to delete what an earlier run left in `out`.
        **settings: Fields of `FinetuneConfig` that override the preset's, such as `fusion="xattn"`, `tasks=["sa"]` or
            `lr=1e-4`.

    Returns:
        The folder, and the content of its training.json.

    Raises:
        MmecError: Settings, data, base model or folder do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> result = caslie_model.finetune(
        ...     "dataset-sample", "adapter", preset="tiny", tasks=["sa"], samples_per_task=8, device="cpu"
        ... )
        >>> (result.folder / "adapter_model.safetensors").is_file()
        True
    """
    from caslie_model.config.presets import finetune_config
    from caslie_model.config.training import FinetuneConfig
    from caslie_model.training.finetune import finetune

    if isinstance(data, FinetuneConfig):
        config = whole_config(data, out, settings)
    else:
        config = finetune_config(preset, **config_fields({"data": data, "out": out}, settings))
    with quiet_libraries_meanwhile():
        return finetune(config, resume, overwrite)


def align(
    data: AnyPath | AlignConfig,
    catalogue: AnyPath | None = None,
    attributes: str | Sequence[str] = (),
    out: AnyPath | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    resume: bool = False,
    overwrite: bool = False,
    **settings: Any,
) -> TrainingResult:
    """Train adapters to name what images show, before any task. A fine-tuning starts from the result (`init_from`).

    Args:
        data: A dataset folder, or user/name on the Hub, whose train images are used; or a whole config.
        catalogue: CSV, JSON lines or Parquet: a product in each row.
        attributes: Columns of the catalogue that the model learns to name, in a sequence or separated by commas.
        out: The adapter folder to write.
        preset: A built-in preset's name, or a YAML file.
        resume: Whether to continue an unfinished run from its last checkpoint.
        overwrite: Whether to delete what an earlier run left in `out`.
        **settings: Fields of `AlignConfig` that override the preset's, such as `id_column="sku"` or `images=500`.

    Returns:
        The folder, and the content of its training.json; `attributes` there tells how many held-out products were
        named rightly.

    Raises:
        MmecError: Settings, data, catalogue, base model or folder do not allow it; the message has the remedy.

    Examples:
        >>> import caslie_model
        >>> result = caslie_model.align(
        ...     "dataset-sample", "products.csv", "colour", "aligned", preset="tiny", images=8, device="cpu"
        ... )
        >>> sorted(result.summary["attributes"])
        ['colour']
    """
    from caslie_model.config.presets import align_config
    from caslie_model.config.training import AlignConfig
    from caslie_model.training.align import align

    if isinstance(data, AlignConfig):
        config = whole_config(data, catalogue or attributes or out or None, settings)
    else:
        fields = {"data": data, "catalogue": catalogue, "attributes": _names(attributes), "out": out}
        config = align_config(preset, **config_fields(fields, settings))
    with quiet_libraries_meanwhile():
        return align(config, resume, overwrite)


def features(
    data: AnyPath,
    encoder: AnyPath,
    *,
    tasks: str | Sequence[str] = "all",
    splits: str | Sequence[str] = "all",
    pool: int = 7,
    layer: int | None = None,
    batch_size: int = 32,
    device: str = "auto",
    precision: str = "auto",
) -> Features:
    """Compute the features of a dataset's images into the cache that all runs share.

    Training and evaluation do this by themselves on first use; cached features are not computed again.

    Args:
        data: A dataset folder, or user/name on the Hub.
        encoder: user/name on the Hub, a folder, `package:efficientnet_lite0` or `random:tiny-vit`.
        tasks: "all", or names or short names of tasks, in a sequence or separated by commas.
        splits: "all", or names of splits, likewise.
        pool: Side of the grid that patches are averaged to; 0: all patches are kept.
        layer: An earlier layer of the encoder, such as -2. Default: its output.
        batch_size: Images at once.
        device: auto, cpu or cuda.
        precision: auto, float32 or bfloat16.

    Returns:
        The cache's folder, and counts of the computed features.

    Raises:
        ConfigError: There is no such task or split.
        DatasetError: The dataset has none of these tasks and splits.
        ModelError: There is no such encoder.

    Examples:
        >>> import caslie_model
        >>> computed = caslie_model.features("dataset-sample", "random:tiny-vit", tasks="sa", splits="test")
        >>> computed.counts.samples > 0
        True
    """
    from caslie_model.config.choices import full_task_names, known_splits
    from caslie_model.vision import features
    from mmecinstruct.schemas.samples import SPLITS

    try:
        wanted = full_task_names(_names(tasks))
        chosen = known_splits(SPLITS if splits == "all" else _names(splits))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    check_name(str(data), shown(str(data)))
    with quiet_libraries_meanwhile():
        cache, counts = features(
            str(data),
            str(encoder),
            wanted,
            chosen,
            batch_size=batch_size,
            pool=pool,
            layer=layer,
            device=device,
            precision=precision,
        )
    return Features(cache.folder, counts)


def merge(
    adapter: AnyPath, out: AnyPath, *, base: AnyPath | None = None, full_base: bool = False
) -> MergeResult:
    """Write a base model and its adapter as one model folder, which transformers loads.

    Args:
        adapter: A finished adapter folder, or user/name of one on the Hub.
        out: The model folder to write; new or empty.
        base: Where the adapter's base model is now. It must be the same one, by its fingerprint. Default: where it was
            in training.
        full_base: Whether to merge an adapter of a quantised base model too, into the whole weights.

    Returns:
        The folder, and how far its logits are from those of base model and adapter, in their spread.

    Raises:
        ModelError: The adapter is not finished, its base model is another one or was quantised, or merging changes its
            logits.
        RunError: `out` is not empty.

    Examples:
        >>> import caslie_model
        >>> caslie_model.merge("model", "merged").deviation < 1e-3
        True
    """
    from caslie_model.adapters.merge import merge

    with quiet_libraries_meanwhile():
        return merge(Path(adapter), Path(out), full_base, None if base is None else str(base))


def push_model(
    folder: AnyPath,
    repo: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    token: str | None = None,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
    evaluation: AnyPath | None = None,
    with_model_index: bool = False,
) -> ModelPush:
    """Publish an adapter folder, or a merged model, with its card on the Hugging Face Hub.

    Args:
        folder: A finished adapter folder, or a merged one. Checkpoints stay here, and so do this machine's paths.
        repo: The model repository, as user/name. It is created if need be.
        private: Whether to create it as a private one.
        dry_run: Whether to list what would be uploaded, and connect to nothing.
        token: An access token. Default: `HF_TOKEN`, or that of `hf auth login`.
        revision: Branch to push to, created if need be. Default: main.
        message: Message of the commit.
        license: For the card, such as apache-2.0. Default: the one that the card on the Hub has.
        evaluation: Folder of `evaluate` whose figures go to the Hub, as `.eval_results/*.yaml`.
        with_model_index: Whether to write the figures into the card's model-index as well.

    Returns:
        The uploaded files (or those that would be), and notes for the publisher.

    Raises:
        ModelError: The folder is not finished, or the evaluation is of another model.
        HubError: The name is wrong, or the Hub rejected the upload.

    Examples:
        >>> import caslie_model
        >>> pushed = caslie_model.push_model("model", "user/my-model", license="apache-2.0", dry_run=True)
        >>> "adapter_model.safetensors" in dict(pushed.result.files)
        True
    """
    from caslie_model.publishing.push_folder import push_model

    return push_model(
        Path(folder),
        repo,
        private=private,
        dry_run=dry_run,
        token=token,
        revision=revision,
        message=message,
        license=license,
        evaluation=None if evaluation is None else Path(evaluation),
        with_model_index=with_model_index,
    )


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return comma_list(value) if isinstance(value, str) else tuple(value)


def config_fields(given: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a config; lists of names may be texts with commas, and paths texts."""
    fields = {name: value for name, value in given.items() if value is not None} | settings
    for name in ("model", "data", "base_model", "base"):
        if fields.get(name) is not None:
            fields[name] = str(fields[name])
    for name in ("tasks", "splits", "judges"):
        if isinstance(fields.get(name), str):
            fields[name] = _names(fields[name])
    return fields


def whole_config(config: Config, other: Any, settings: dict[str, Any]) -> Config:
    """Return a whole config. Raises ConfigError where more is given beside it."""
    if other is not None or settings:
        raise ConfigError("give a config alone: its fields replace all other arguments")
    return config
