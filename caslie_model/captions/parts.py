"""The parts of a dataset that are captioned or judged, and the folder that their captions lie in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from caslie_model.captions.captioner import folder_name
from caslie_model.config.captions import CaptionConfig
from caslie_model.data.samples import Sample, first_by_hash, read_samples
from caslie_model.errors import ConfigError
from caslie_model.inference.select_samples import LIMIT_PURPOSE
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.output_folder import CAPTION, check_output


@dataclass(frozen=True)
class Part:
    """A split of a task.

    Attributes:
        task: Full name of the task.
        split: The split.
        ids: All of its sample ids in stored order.
        samples: Those that are chosen, in stored order.
    """

    task: str
    split: str
    ids: tuple[str, ...]
    samples: tuple[Sample, ...]


def read_parts(
    data: str, tasks: tuple[str, ...], splits: tuple[str, ...], limit: int | None = None, seed: int = 0
) -> list[Part]:
    """Return the splits of tasks that a dataset has.

    Args:
        data: Dataset folder, or `user/name` on the Hub.
        tasks: Full names of tasks.
        splits: Names of splits.
        limit: Samples chosen per task and split at most, in hash order of their ids; None: all.
        seed: Seed of that order.

    Raises:
        DatasetError: If there is none, or a sample is in two of them.
    """
    parts = []
    for task in tasks:
        for split in splits:
            whole = read_samples(data, task, split)
            chosen = {sample.id for sample in first_by_hash(whole, limit, seed, LIMIT_PURPOSE)}
            if whole:
                ids = tuple(sample.id for sample in whole)
                parts.append(Part(task, split, ids, tuple(sample for sample in whole if sample.id in chosen)))
    if not parts:
        raise DatasetError(f"{data} has no samples of these tasks in {', '.join(splits)}")
    names = [name for part in parts for name in part.ids]
    if len(set(names)) < len(names):
        raise DatasetError(f"{data}: a sample is in two splits or tasks; build the dataset again")
    return parts


def captions_root(config: CaptionConfig) -> Path:
    """Return the folder that `captions/` lies in, checked.

    Args:
        config: The settings.

    Raises:
        ConfigError: If there is none, or the captions' folder gets no name.
        OutputError: If `out` is another command's folder.
    """
    folder_name(config)
    if config.out is None or is_in_data(config):
        if not Path(config.data).is_dir():
            raise ConfigError(
                f"data={config.data} is no folder here, in which its captions could lie; give `out`, a folder for them"
            )
        return Path(config.data)
    check_output(config.out, CAPTION, [config.data])
    return config.out


def is_in_data(config: CaptionConfig) -> bool:
    """Return whether `out` is the dataset folder itself."""
    data = Path(config.data)
    return config.out is not None and data.is_dir() and config.out.resolve() == data.resolve()
