"""`caslie_model caption`: a caption of each image of each sample, in a sidecar of the dataset folder.

captions/<name>/<task>-<split>.parquet    a row per image of a sample, published with the dataset
captions/<name>/log.jsonl                 every reply as it came, of both steps; what a stopped run goes on from

With `two_step`, each distinct image is captioned once, and the caption is rewritten for each sample.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caslie_model.captions.ask_captioner import ask_missing
from caslie_model.captions.captioner import Captioner, CaptionRequest, captioner_name, folder_name
from caslie_model.captions.opening import (
    captioner_provenance,
    check_rewriter,
    open_captioner,
    open_rewriter,
    rewriter_provenance,
)
from caslie_model.captions.parts import Part, captions_root, is_in_data, read_parts
from caslie_model.captions.prompts import within_words
from caslie_model.captions.requests import (
    Asked,
    distinct_requests,
    general_captions,
    image_requests,
    rewriting_requests,
)
from caslie_model.captions.sidecar import (
    check_captions_are_of,
    kept_captions,
    settings_fingerprint,
    write_captions,
)
from caslie_model.config.captions import CaptionConfig
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.samples import Sample
from caslie_model.errors import ConfigError
from caslie_model.inference.prediction_log import Key, PredictionFile, open_log
from caslie_model.runtime.console import say
from caslie_model.runtime.disk_errors import explained_disk_errors
from caslie_model.runtime.processes import process_count
from mmecinstruct.core.disk_errors import check_can_write
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.output_folder import CAPTION, claim_output
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
        requests: Distinct images and prompts among them, of both steps.
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
    root = captions_root(config)
    folder = root / CAPTIONS_FOLDER / folder_name(config)
    if config.two_step is not None:
        check_rewriter(config.steps[1])
    parts = read_parts(config.data, config.tasks, config.splits, config.limit, config.seed)
    samples = [sample for part in parts for sample in part.samples]
    check_can_write(root)
    kept = "then run the same again: captions that came are kept"
    with explained_disk_errors(folder, kept), spool_images(config.data, samples) as spool:
        if not any(spool.images.values()):
            raise DatasetError(f"{config.data}: the chosen samples have no images to caption")
        run = _Run(config, samples, spool, root, folder)
        captioner, provenance = run.open_first()
        files = [root / captions_path(folder.name, part.task, part.split) for part in parts]
        with open_log(folder / LOG) as log:
            run.check_earlier(provenance, overwrite, log)
            asked = run.first(captioner, provenance, log)
            if config.two_step is not None:
                del captioner
                _free_memory()
                asked, provenance = run.second(asked, provenance, log)
            # With a batch file nothing is answered yet.
            to_write = [] if config.write_batch and run.asked else list(zip(parts, files, strict=True))
            counts = [
                _write(file, part, asked, log.records, run, provenance)
                for part, file in to_write
                if any(asked[sample.id] for sample in part.samples)
            ]
    reasons = {run.distinct[key].name: reason for key, reason in run.failed.items()}
    _tell(reasons)
    return CaptionResult(
        folder,
        tuple(file for file in files if file.is_file()),
        sum(map(len, spool.images.values())),
        sum(counts),
        len(run.distinct),
        run.asked,
        reasons,
    )


@dataclass
class _Run:
    """One run: what is asked, and what came of it.

    Attributes:
        config: The settings.
        samples: The samples.
        spool: Their images.
        root: The folder that `captions/` lies in.
        folder: The captions' own.
        distinct: All requests, each once.
        failed: Why requests have no caption.
        asked: How many were asked.
    """

    config: CaptionConfig
    samples: Sequence[Sample]
    spool: SpooledImages
    root: Path
    folder: Path
    distinct: dict[Key, CaptionRequest] = field(default_factory=dict)
    failed: dict[Key, str] = field(default_factory=dict)
    asked: int = 0

    def open_first(self) -> tuple[Captioner, dict[str, Any]]:
        """Return the captioner and what its captions depend on, and make the folder."""
        step, *more = self.config.steps
        captioner = open_captioner(step, self.spool)
        provenance = captioner_provenance(step, captioner)
        if more:
            provenance["two_step"] = captioner_name(more[0])
        if self.config.out is not None and not is_in_data(self.config):
            claim_output(self.root, CAPTION)
        self.folder.mkdir(parents=True, exist_ok=True)
        return captioner, provenance

    def check_earlier(self, provenance: Mapping[str, Any], overwrite: bool, log: PredictionFile) -> None:
        """Check that earlier captions are of the same captioner, or forget them."""
        for file in sorted(self.folder.glob("*.parquet")):
            if overwrite:
                file.unlink()
            else:
                # Of the rewriter no more than its name is known before the first step is done.
                check_captions_are_of(file, provenance, later=("rewriter",))
        if overwrite:
            log.clear()

    def first(self, captioner: Captioner, provenance: Mapping[str, Any], log: PredictionFile) -> Asked:
        """Have images captioned; return what was asked."""
        step, *more = self.config.steps
        settings = settings_fingerprint(
            {name: value for name, value in provenance.items() if name != "two_step"}
        )
        asked = image_requests(step, self.samples, self.spool.images, captioner.control_texts, settings)
        what = "general captions" if more else "captions"
        self._ask(captioner, step, asked, log, what)
        return asked

    def second(
        self, general: Asked, provenance: Mapping[str, Any], log: PredictionFile
    ) -> tuple[Asked, dict[str, Any]]:
        """Have general captions rewritten; return what was asked, and all that the captions depend on."""
        first, step = self.config.steps
        texts = general_captions(first, self.distinct.values(), log.records)
        if self.config.write_batch is not None and not texts:
            return general, dict(provenance)
        rewriter = open_rewriter(step, self.spool)
        whole = {**provenance, "rewriter": rewriter_provenance(step, rewriter)}
        for file in sorted(self.folder.glob("*.parquet")):
            check_captions_are_of(file, whole)
        asked = rewriting_requests(
            step,
            self.samples,
            self.spool.images,
            rewriter.control_texts or (),
            settings_fingerprint(whole),
            texts,
            general,
        )
        self._ask(rewriter, step, asked, log, "rewritten captions")
        return asked, whole

    def _ask(
        self, captioner: Captioner, step: CaptionConfig, asked: Asked, log: PredictionFile, what: str
    ) -> None:
        new = {key: request for key, request in distinct_requests(asked).items() if key not in self.distinct}
        missing = [request for key, request in new.items() if key not in log.records]
        say(
            f"{what}: {len(self.samples)} samples, {sum(map(len, asked.values()))} images, {len(new)} distinct "
            f"requests, {len(new) - len(missing)} captioned already"
        )
        self.distinct |= new
        self.asked += len(missing)
        if missing:
            self.failed |= ask_missing(
                captioner,
                captioner_name(step),
                self.spool,
                missing,
                log,
                what.replace("captions", "captioning"),
            )


def _free_memory() -> None:
    """Free what the captioner held: two models need not fit beside each other."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _write(
    file: Path,
    part: Part,
    asked: Asked,
    records: Mapping[Key, Mapping[str, Any]],
    run: _Run,
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
                    "image": run.spool.images[name][position].key,
                    "caption": within_words(record["prediction"], run.config.max_words) if record else None,
                    "reason": None if record else run.failed[request.key],
                    "captioner": captioner_name(run.config),
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
