"""Which samples of a dataset are asked, and what tells the dataset from others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from caslie_model.config.evaluation import PredictConfig
from caslie_model.data.captions import with_captions
from caslie_model.data.samples import Sample, first_by_hash, read_samples
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint

# What `limit` draws hashes for: commands with the same limit and seed choose the same samples.
LIMIT_PURPOSE = "evaluated samples"


@dataclass(frozen=True)
class Selection:
    """The samples of a run.

    Attributes:
        samples: By task, split and hash order of their ids.
        whole: All samples of these splits.
        fingerprints: Of the whole split that samples come from, by "task/split": ids and right answers of all its rows.
            Neither the folder's place nor the samples that were selected change them.
    """

    samples: tuple[Sample, ...]
    whole: tuple[Sample, ...]
    fingerprints: dict[str, str]


def select_samples(config: PredictConfig) -> Selection:
    """Return the samples to ask.

    Args:
        config: Dataset, tasks, splits, subset, limit and seed.

    Returns:
        The samples, with the fingerprints of their splits, and with captions where the settings name some.

    Raises:
        DatasetError: If the dataset has none, one id occurs twice, or captions are missing.
        ConfigError: If there are no captions of this name.
    """
    wanted = {"all": None, "visual-critical": True, "text": False}[config.subset]
    result: list[Sample] = []
    everything: list[Sample] = []
    fingerprints: dict[str, str] = {}
    for task in config.tasks:
        for split in config.splits:
            whole = read_samples(config.data, task, split)
            samples = [sample for sample in whole if wanted is None or sample.visual_critical is wanted]
            if samples:
                fingerprints[f"{task}/{split}"] = _split_fingerprint(whole)
                everything.extend(whole)
            result.extend(first_by_hash(samples, config.limit, config.seed, LIMIT_PURPOSE))
    if not result:
        raise DatasetError(
            f"{config.data} has no samples of these tasks in {', '.join(config.splits)} "
            f"(subset {config.subset})"
        )
    ids: set[str] = set()
    for sample in result:
        if sample.id in ids:
            raise DatasetError(f"sample {sample.id} is in two splits or tasks; build the dataset again")
        ids.add(sample.id)
    if config.shown_captions is None or config.images == "none":
        return Selection(tuple(result), tuple(everything), fingerprints)
    shows_others = config.images == "shuffled" or config.images_effect
    captioned = with_captions(
        everything if shows_others else result, config.data, config.shown_captions, config.captions_from
    )
    by_id = {sample.id: sample for sample in captioned}
    return Selection(
        tuple(by_id[sample.id] for sample in result),
        tuple(by_id.get(sample.id, sample) for sample in everything),
        fingerprints,
    )


def target_fingerprint(sample: Sample) -> str:
    """Return the fingerprint of a sample's right answer, its label and words: 16 hexadecimal digits."""
    return fingerprint([sample.output, sample.options.get(sample.output, "")])[:16]


def _split_fingerprint(samples: Iterable[Sample]) -> str:
    return fingerprint(sorted([sample.id, target_fingerprint(sample)] for sample in samples))[:16]
