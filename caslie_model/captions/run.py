"""`caslie_model caption`: a caption of each image of each sample, in a sidecar of the dataset folder.

captions/<name>/<task>-<split>.parquet    a row per image of a sample, published with the dataset
captions/<name>/log.jsonl                 every reply as it came; what a stopped run goes on from
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caslie_model.captions.attributes import AttributeCaptioner
from caslie_model.captions.captioner import (
    Captioner,
    CaptionReply,
    CaptionRequest,
    captioner_name,
    folder_name,
)
from caslie_model.captions.prompts import TEMPLATES_VERSION, caption_prompt, within_words
from caslie_model.captions.sidecar import (
    check_captions_are_of,
    kept_captions,
    settings_fingerprint,
    write_captions,
)
from caslie_model.config.captions import ATTRIBUTES, CaptionConfig
from caslie_model.data.answers import without_reasoning
from caslie_model.data.image_bytes import ImageBytes, spool_images
from caslie_model.data.images import SampleImage, decode_image
from caslie_model.data.samples import Sample, first_by_hash, read_samples
from caslie_model.errors import ConfigError
from caslie_model.inference.answer_questions import append_answers
from caslie_model.inference.prediction_log import Key, PredictionFile, open_log
from caslie_model.inference.select_samples import LIMIT_PURPOSE
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.processes import process_count
from caslie_model.runtime.progress import Progress
from mmecinstruct.core.disk_errors import check_can_write
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.output_folder import CAPTION, check_output, claim_output
from mmecinstruct.schemas.captions import CAPTIONS_FOLDER, captions_path

LOG = "log.jsonl"
_NAMED = 5


@dataclass(frozen=True)
class CaptionResult:
    """What a run captioned.

    Attributes:
        folder: Where the captions are: `captions/<name>`.
        files: The Parquet files.
        images: Images of the samples, each as often as samples show it.
        captions: How many of them have a caption; the others have a reason.
        requests: Distinct images and prompts among them.
        asked: How many of these were asked in this run.
        reasons: Why requests failed, by sample and image.
    """

    folder: Path
    files: tuple[Path, ...]
    images: int
    captions: int
    requests: int
    asked: int
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class _Part:
    """A split of a task: all of its sample ids in stored order, and the samples that are captioned."""

    task: str
    split: str
    ids: tuple[str, ...]
    samples: tuple[Sample, ...]


def caption(config: CaptionConfig, overwrite: bool = False) -> CaptionResult:
    """Caption what has no caption yet, and write the captions of all chosen samples.

    Args:
        config: The settings.
        overwrite: Forget earlier captions of the same name.

    Returns:
        The captions' files and counts.

    Raises:
        MmecError: If data, captioner or folder do not allow it; the message has the remedy.
    """
    if process_count() > 1:
        raise ConfigError(f"caption is run by one process, not by {process_count()}")
    root = _root(config)
    folder = root / CAPTIONS_FOLDER / folder_name(config)
    parts = _parts(config)
    samples = [sample for part in parts for sample in part.samples]
    check_can_write(root)
    kept = "then run the same again: captions that came are kept"
    with explained_disk_errors(folder, kept), spool_images(config.data, samples) as spool:
        if not any(spool.images.values()):
            raise DatasetError(f"{config.data}: the chosen samples have no images to caption")
        captioner = _open(config, spool)
        provenance = _provenance(config, captioner)
        files = [root / captions_path(folder.name, part.task, part.split) for part in parts]
        if config.out is not None and not _is_data(config):
            claim_output(root, CAPTION)
        folder.mkdir(parents=True, exist_ok=True)
        asked = _requests(config, samples, spool.images, captioner, provenance)
        distinct: dict[Key, CaptionRequest] = {}
        for requests in asked.values():
            for request in requests:
                distinct.setdefault(request.key, request)
        with open_log(folder / LOG) as log:
            for file in sorted(folder.glob("*.parquet")):
                if overwrite:
                    file.unlink()
                else:
                    check_captions_are_of(file, provenance)
            if overwrite:
                log.clear()
            missing = [request for key, request in distinct.items() if key not in log.records]
            say(
                f"{len(samples)} samples, {sum(map(len, asked.values()))} images, {len(distinct)} distinct requests, "
                f"{len(distinct) - len(missing)} captioned already"
            )
            failed = _ask(captioner, spool, missing, log) if missing else {}
            # With a batch file nothing is answered yet.
            to_write = [] if config.write_batch and missing else list(zip(parts, files, strict=True))
            counts = [
                _write(file, part, asked, log.records, failed, config, provenance)
                for part, file in to_write
                if any(asked[sample.id] for sample in part.samples)
            ]
    reasons = {distinct[key].name: reason for key, reason in failed.items()}
    _tell(reasons)
    return CaptionResult(
        folder,
        tuple(file for file in files if file.is_file()),
        sum(map(len, asked.values())),
        sum(counts),
        len(distinct),
        len(missing),
        reasons,
    )


def estimate_captions(config: CaptionConfig) -> dict[str, Any]:
    """Return how much there would be to caption. No model is loaded, nothing is asked or written.

    Args:
        config: The settings.

    Returns:
        `samples`, `images` of them, `distinct_images`, and `requests`: distinct pairs of image and prompt. What is
        captioned already is not left out.

    Raises:
        MmecError: If data or folder do not allow it.
    """
    _root(config)
    parts = _parts(config)
    samples = [sample for part in parts for sample in part.samples]
    with spool_images(config.data, samples) as spool:
        images = [(sample, image) for sample in samples for image in spool.images[sample.id]]
        pairs = {
            (
                image.key,
                "" if _is_attributes(config) else caption_prompt(sample, image.role, config.max_words),
            )
            for sample, image in images
        }
    return {
        "samples": len(samples),
        "images": len(images),
        "distinct_images": len({image.key for _, image in images}),
        "requests": len(pairs),
    }


def _root(config: CaptionConfig) -> Path:
    """Return the folder that `captions/` lies in, checked."""
    folder_name(config)
    if config.out is None or _is_data(config):
        if not Path(config.data).is_dir():
            raise ConfigError(
                f"data={config.data} is no folder here, in which its captions could lie; give `out`, a folder for them"
            )
        return Path(config.data)
    check_output(config.out, CAPTION, [config.data])
    return config.out


def _is_data(config: CaptionConfig) -> bool:
    data = Path(config.data)
    return config.out is not None and data.is_dir() and config.out.resolve() == data.resolve()


def _parts(config: CaptionConfig) -> list[_Part]:
    parts = []
    for task in config.tasks:
        for split in config.splits:
            whole = read_samples(config.data, task, split)
            chosen = {sample.id for sample in first_by_hash(whole, config.limit, config.seed, LIMIT_PURPOSE)}
            if whole:
                ids = tuple(sample.id for sample in whole)
                parts.append(
                    _Part(task, split, ids, tuple(sample for sample in whole if sample.id in chosen))
                )
    if not parts:
        raise DatasetError(f"{config.data} has no samples of these tasks in {', '.join(config.splits)}")
    names = [name for part in parts for name in part.ids]
    if len(set(names)) < len(names):
        raise DatasetError(f"{config.data}: a sample is in two splits or tasks; build the dataset again")
    return parts


def _is_attributes(config: CaptionConfig) -> bool:
    return config.captioner == ATTRIBUTES


def _open(config: CaptionConfig, images: ImageBytes) -> Captioner:
    if _is_attributes(config):
        return AttributeCaptioner(images, config.max_words, config.attribute_parts)
    # torch is loaded for models alone.
    from caslie_model.captions.models import ImageTextCaptioner, ServerCaptioner

    return (ServerCaptioner if config.asks_server else ImageTextCaptioner)(config, images)


def _provenance(config: CaptionConfig, captioner: Captioner) -> dict[str, Any]:
    asked = {} if captioner.control_texts is None else {"templates": TEMPLATES_VERSION}
    return {**captioner.provenance, **asked, "max_words": config.max_words}


def _requests(
    config: CaptionConfig,
    samples: Sequence[Sample],
    images: Mapping[str, tuple[SampleImage, ...]],
    captioner: Captioner,
    provenance: Mapping[str, Any],
) -> dict[str, list[CaptionRequest]]:
    """Return what is asked of the images of each sample, by its id."""
    settings, controls = settings_fingerprint(provenance), captioner.control_texts
    asked: dict[str, list[CaptionRequest]] = {}
    for sample in samples:
        asked[sample.id] = []
        for position, image in enumerate(images[sample.id]):
            prompt = ""
            if controls is not None:
                prompt = caption_prompt(sample, image.role, config.max_words, controls)
            name = f"sample {sample.id}, image {position} ({image.role})"
            request = CaptionRequest(image.key, prompt, fingerprint([settings, prompt])[:16], name)
            asked[sample.id].append(request)
    return asked


def _ask(
    captioner: Captioner, images: ImageBytes, missing: Sequence[CaptionRequest], log: PredictionFile
) -> dict[Key, str]:
    """Ask, and append what comes; return why requests failed."""
    problems = _problems(images, list(dict.fromkeys(request.image for request in missing)))
    failed = {request.key: problems[request.image] for request in missing if request.image in problems}
    readable = [request for request in missing if request.image not in problems]
    captioner.resume(list(log.records.values()))

    def records() -> Iterator[list[dict[str, Any]]]:
        for group in captioner.captions(readable):
            good = []
            for request, reply in group:
                text = " ".join((without_reasoning(reply.text or "") or "").split())
                if text:
                    good.append(_record(request, text, reply))
                else:
                    failed[request.key] = reply.reason or "the captioner wrote nothing, or reasoning alone"
            yield good

    append_answers(log, records(), len(readable), "captions", "captioning")
    return failed


def _problems(images: ImageBytes, keys: Sequence[str]) -> dict[str, str]:
    """Return why images cannot be read, by the keys of those that cannot."""
    problems = {}
    with Progress("reading", len(keys), "images") as progress:
        for count, key in enumerate(keys, 1):
            try:
                decode_image(images.content(key), f"image {key[:16]}")
            except DatasetError as error:
                problems[key] = str(error)
            progress.update(count)
    return problems


def _record(request: CaptionRequest, text: str, reply: CaptionReply) -> dict[str, Any]:
    usage = {} if reply.usage is None else {"usage": dict(reply.usage)}
    return {"id": request.image, "variant": request.fingerprint, "prediction": text, **usage}


def _write(
    file: Path,
    part: _Part,
    asked: Mapping[str, Sequence[CaptionRequest]],
    records: Mapping[Key, Mapping[str, Any]],
    failed: Mapping[Key, str],
    config: CaptionConfig,
    provenance: Mapping[str, Any],
) -> int:
    """Write the captions of a split: those of the run, and earlier ones of other samples. Return those of the run."""
    chosen = {sample.id: sample for sample in part.samples}
    earlier = kept_captions(file, set(part.ids) - set(chosen))
    rows: list[Mapping[str, Any]] = []
    count = 0
    for name in part.ids:
        if name not in chosen:
            rows += earlier.get(name, [])
            continue
        for position, request in enumerate(asked[name]):
            record = records.get(request.key)
            count += record is not None
            rows.append(
                {
                    "sample_id": name,
                    "position": position,
                    "role": chosen[name].image_roles[position],
                    "image": request.image,
                    "caption": within_words(record["prediction"], config.max_words) if record else None,
                    "reason": None if record else failed[request.key],
                    "captioner": captioner_name(config),
                    "fingerprint": request.fingerprint,
                }
            )
    write_captions(file, rows, provenance)
    return count


def _tell(reasons: Mapping[str, str]) -> None:
    if reasons:
        named = "; ".join(f"{name}: {reason}" for name, reason in [*reasons.items()][:_NAMED])
        more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        say(f"{len(reasons)} requests have no caption and are asked again next time: {named}{more}")
