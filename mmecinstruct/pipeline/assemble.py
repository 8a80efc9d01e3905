"""Write the dataset folder under a temporary name, and rename it when it is complete."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmecinstruct.auditing import AuditReport, audit_folder
from mmecinstruct.core.disk_errors import explained
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.files import sync_tree, write_atomically
from mmecinstruct.core.hashing import fingerprint
from mmecinstruct.core.progress import Report
from mmecinstruct.core.templating import template_hash
from mmecinstruct.dataset import (
    read_manifest,
    write_manifest,
    write_recipe,
    write_rejections,
    write_statistics,
)
from mmecinstruct.dataset.card_parts import part_hashes
from mmecinstruct.dataset.manifest import AUDIT, read_card
from mmecinstruct.engine.stage import StageOutput
from mmecinstruct.pipeline.carry_over import CarryOver
from mmecinstruct.pipeline.report import BuildReport
from mmecinstruct.pipeline.target import replacing
from mmecinstruct.publish.card import CARD_TEMPLATE, write_card
from mmecinstruct.recipe import Recipe
from mmecinstruct.schemas.rejections import public_rejections
from mmecinstruct.sources import amazon2018, amazon2023
from mmecinstruct.tasks import TASKS
from mmecinstruct.text.hygiene import mask_columns
from mmecinstruct.text.pii_kinds import PersonalDataKind
from mmecinstruct.version import __version__

# Raised when changed code gives another folder from the same stages.
FOLDER_VERSION = 10
# Not names of sites, versions with the form of an address, or columns such as `@type`.
_MASKED_IN_DETAILS: tuple[PersonalDataKind, ...] = (
    *("email", "iban", "order", "card", "social_security", "phone", "address"),
)


@dataclass(frozen=True)
class Assembled:
    """A folder that was written. audit: the content that splits share. warnings: of files that got another name."""

    audit: AuditReport
    warnings: Sequence[str]


def is_up_to_date(out: Path, fingerprint: str) -> bool:
    """Return whether `out` already is the dataset folder of this fingerprint, with all its files and its card."""
    try:
        manifest = read_manifest(out)
    except DatasetError:
        return False
    try:
        if manifest.fingerprint != fingerprint or part_hashes(read_card(out)) != manifest.card:
            return False
    except (OSError, ValueError):
        return False
    return all(
        (out / entry.path).is_file() and (out / entry.path).stat().st_size == entry.bytes
        for entry in manifest.files
    )


def folder_fingerprint(recipe: Recipe, stages: Sequence[StageOutput], report: BuildReport) -> str:
    """Return a hash of everything that decides the dataset folder."""
    return fingerprint(
        {
            "version": FOLDER_VERSION,
            "project": __version__,
            "card": template_hash(CARD_TEMPLATE),
            "recipe": recipe.published(),
            "stages": [output.fingerprint for output in stages],
            "missing": {task: list(why) for task, why in report.missing.items()},
            "miniature": dict(report.measured.get("miniature", {})),
        }
    )


def assemble_folder(
    out: Path,
    recipe: Recipe,
    fingerprint: str,
    shards: Sequence[Path],
    rejections: Iterable[pa.Table],
    report: BuildReport,
    *,
    workers: int = 1,
    progress: Report | None = None,
) -> Assembled:
    """Write the dataset folder from the finished shards and reports.

    An older dataset folder is replaced only when the new one is complete, which takes over what no build wrote. The
    finished files are audited for content that splits share. A folder that shares more than the recipe tolerates is
    written nevertheless; its card reports it.

    Args:
        out: the dataset folder, links followed; the caller holds its lock.
        recipe: published with it.
        fingerprint: of `folder_fingerprint`.
        shards: the files of stage `shards`: …/<task>/<split>-….parquet.
        rejections: tables of PUBLISHED_REJECTIONS of all stages, in the order of the pipeline.
        report: the stages' counts.
        workers: processes of the audit.
        progress: called with the step of the audit.

    Returns:
        The content that splits share, and the files of the older folder that got another name.

    Raises:
        DatasetError: `out` holds something else or cannot be written.
    """
    try:
        carry_over = CarryOver(out)
        with replacing(out, carry_over) as partial:
            for source in shards:
                target = partial / source.parent.name / source.name
                target.parent.mkdir(exist_ok=True)
                # A copy, not a link: an edit of the dataset must not change the workspace.
                shutil.copyfile(source, target)
            write_rejections(partial, map(publishable, rejections))
            write_recipe(partial, recipe)
            audit = audit_folder(partial, recipe.audit, workers=workers, report=progress)
            write_atomically(partial / AUDIT, audit.to_json().encode())
            statistics = write_statistics(
                partial, recipe, report.sizes, report.missing, report.stages, audit.summary(), report.measured
            )
            write_card(partial, recipe, statistics, fingerprint, carry_over.card)
            write_manifest(partial, recipe, fingerprint)
            sync_tree(partial)
    except OSError as error:
        raise DatasetError(
            f"out={out}: cannot be written: {explained(error)}, and run again: finished stages are kept"
        ) from error
    return Assembled(audit, carry_over.warnings())


def publishable(rejections: pa.Table) -> pa.Table:
    """Return rejections (tables.REJECTIONS) whose record ids name no user, and whose texts are fit to publish.

    A detail quotes what was read, so that it is masked as texts are.
    """
    rows = zip(rejections["stage"].to_pylist(), rejections["record_id"].to_pylist(), strict=True)
    ids = pa.array([published_record_id(stage, record_id) for stage, record_id in rows], pa.string())
    index = rejections.schema.get_field_index("record_id")
    rejections = rejections.set_column(index, rejections.field(index), ids)
    return public_rejections(mask_columns(rejections, ("detail",), _MASKED_IN_DETAILS).table)


def published_record_id(stage: str, record_id: str) -> str:
    """Return a rejected record's id with a hash instead of a user's id.

    Ids of Amazon's reviews contain users (`amazon18:<product>:<user>:<time>`), and a record of a task that
    splits by user is a user.
    """
    if stage in TASKS and TASKS[stage].splits_by_user:
        return _hash(record_id)
    # A colon within the product, the user or the time makes more parts: all of them but the first two and the last are
    # taken together, among which the user is in any case.
    prefix, *parts = record_id.split(":")
    if len(parts) >= 3 and prefix in (amazon2018.PREFIX, amazon2023.PREFIX):
        return ":".join((prefix, parts[0], _hash(":".join(parts[1:-1])), parts[-1]))
    return record_id


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
