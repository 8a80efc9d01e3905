"""Check the files of a dataset folder: that they, the manifest and the card are of one build."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.dataset.card_parts import CAPTIONS_SECTION, YAML, part_hashes
from mmecinstruct.dataset.configs import card_configs
from mmecinstruct.dataset.manifest import (
    AUDIT,
    CARD,
    MANIFEST,
    RECIPE,
    STATISTICS,
    Manifest,
    read_card,
    read_manifest,
)
from mmecinstruct.dataset.problems import ProblemLog
from mmecinstruct.dataset.shards import REJECTIONS_PATH, looks_like_shard, parse_shard_path
from mmecinstruct.schemas.samples import SCHEMA_VERSION

_OTHER_BUILD = "it was edited, or is of another build; move it away and build again"


def check_manifest(folder: Path, shards: Sequence[str], log: ProblemLog) -> Manifest | None:
    """Check that the folder has the manifest's files and no other shards, and return the manifest if it is valid."""
    for path in (RECIPE, STATISTICS, REJECTIONS_PATH):
        if not (folder / path).is_file():
            log.add(path, "file_missing", "a dataset folder has this file")
    for file in sorted(folder.rglob("*.parquet")):
        path = file.relative_to(folder).as_posix()
        if looks_like_shard(path) and parse_shard_path(path) is None and path != REJECTIONS_PATH:
            log.add(path, "file_unexpected", "not named <task>/<split>-00000-of-00001.parquet")
    _check_numbering(shards, log)
    if not (folder / MANIFEST).is_file():
        log.add(MANIFEST, "manifest_missing", "without it the files of the folder are not known")
        return None
    try:
        manifest = read_manifest(folder)
    except DatasetError as error:
        log.add(MANIFEST, "manifest_invalid", str(error))
        return None
    if not known_version(manifest.schema_version):
        log.add(MANIFEST, "schema_version", f"{manifest.schema_version}; this program reads {SCHEMA_VERSION}")
    listed = {entry.path for entry in manifest.files}
    for path in (*shards, AUDIT):
        if path not in listed and (folder / path).is_file():
            log.add(path, "file_unlisted", "the manifest does not list it; it may be from another build")
    for entry in manifest.files:
        file = folder / entry.path
        if not file.is_file():
            if entry.path not in (RECIPE, STATISTICS, REJECTIONS_PATH):
                log.add(entry.path, "file_missing", "the manifest lists it")
            continue
        size = file.stat().st_size
        if size != entry.bytes:
            log.add(
                entry.path, "file_changed", f"{size} bytes; the manifest says {entry.bytes}: {_OTHER_BUILD}"
            )
        elif sha256_file(file) != entry.sha256:
            log.add(entry.path, "file_changed", f"its SHA-256 is not the manifest's: {_OTHER_BUILD}")
    return manifest


def _check_numbering(shards: Sequence[str], log: ProblemLog) -> None:
    """Check that the shards of each task and split are numbered completely."""
    numbers: dict[tuple[str, str], dict[int, set[int]]] = {}
    for path in shards:
        task, split, index, count = parse_shard_path(path) or ("", "", 0, 0)
        numbers.setdefault((task, split), {}).setdefault(count, set()).add(index)
    for (task, split), counts in numbers.items():
        if len(counts) > 1:
            totals = ", ".join(map(str, sorted(counts)))
            log.add(f"{task}/{split}", "shards_incomplete", f"shards of different builds: of {totals}")
        for count, indexes in counts.items():
            if indexes != set(range(count)):
                lost = [index for index in range(min(count, 100_000)) if index not in indexes]
                log.add(f"{task}/{split}", "shards_incomplete", f"no shard {lost[:5]} of {count}")


def check_card(folder: Path, shards: Sequence[str], manifest: Manifest | None, log: ProblemLog) -> None:
    """Check that the card's YAML assigns exactly its shards to each config and split, and that its parts are as built.

    What people write between the generated sections, and keys that they add to the YAML, are no problem.
    """
    try:
        card = read_card(folder)
    except FileNotFoundError:
        log.add(CARD, "card_missing", "without its YAML load_dataset mixes tasks and splits")
        return
    except (OSError, ValueError) as error:
        log.add(CARD, "card_invalid", str(error))
        return
    if _check_configs(card.metadata, shards, log) and manifest is not None and manifest.card is not None:
        found = part_hashes(card)
        found.pop(CAPTIONS_SECTION, None)
        names = dict.fromkeys([*manifest.card, *found])
        if wrong := [name for name in names if found.get(name) != manifest.card.get(name)]:
            parts = ", ".join("the YAML" if name == YAML else f"section {name}" for name in wrong)
            log.add(CARD, "card_changed", f"{parts}: {_OTHER_BUILD}; write your own text outside the marks")


def _check_configs(metadata: Mapping[str, Any], shards: Sequence[str], log: ProblemLog) -> bool:
    """Check the YAML's configs; return whether they are valid."""
    valid = True
    try:
        found, expected = _data_files(metadata["configs"]), _data_files(card_configs(shards))
        for name in [*expected, *(name for name in found if name not in expected)]:
            have = {split: _matched(paths, shards) for split, paths in found.get(name, {}).items()}
            want = {split: _matched(paths, shards) for split, paths in expected.get(name, {}).items()}
            wrong = sorted(split for split in {*have, *want} if have.get(split) != want.get(split))
            if wrong:
                detail = f"config {name}: the files of {', '.join(wrong)} are not its shards"
                log.add(CARD, "card_configs", detail)
                valid = False
    except (KeyError, TypeError, AttributeError):
        log.add(CARD, "card_invalid", "its YAML does not list configs with data_files of split and path")
        return False
    return valid


def _data_files(configs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        config["config_name"]: {entry["split"]: entry["path"] for entry in config["data_files"]}
        for config in configs
    }


def _matched(paths: str | Sequence[str], shards: Sequence[str]) -> set[str]:
    """Return the shards that match glob patterns; `*` does not match `/`."""
    patterns = [paths] if isinstance(paths, str) else list(paths)
    regexes = [re.compile(re.escape(pattern).replace(r"\*", "[^/]*")) for pattern in patterns]
    return {path for path in shards if any(regex.fullmatch(path) for regex in regexes)}


def known_version(version: str) -> bool:
    """Return whether the version has the known major number; minor versions only add columns."""
    return version.partition(".")[0] == SCHEMA_VERSION.partition(".")[0]
