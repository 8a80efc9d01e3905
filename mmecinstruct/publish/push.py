"""Publish a dataset folder on the Hugging Face Hub; where there are captions, the card tells of them.

One commit holds the whole change: new and changed files, and the removal of shards of an earlier release. Unchanged
files are not sent again. The token is in no message.
"""

from __future__ import annotations

from pathlib import Path

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.dataset.captions import find_captions, is_captions_path
from mmecinstruct.dataset.manifest import CARD, MANIFEST, read_manifest
from mmecinstruct.dataset.shards import parse_shard_path
from mmecinstruct.dataset.validate import format_problems, validate_folder
from mmecinstruct.publish.captions_card import card_with_captions
from mmecinstruct.publish.hub_upload import (
    Content,
    PushResult,
    check_repo_name,
    hub_errors,
    hub_token,
    sizes,
    upload,
)

_SHOWN_PROBLEMS = 10


def push_folder(
    folder: Path,
    repo: str,
    private: bool,
    dry_run: bool,
    token: str | None = None,
    revision: str | None = None,
    message: str | None = None,
    decode: bool = True,
) -> PushResult:
    """Validate a dataset folder and upload it to a dataset repository.

    Args:
        folder: The dataset folder.
        repo: user/name; the repository is created if necessary.
        private: Create a private repository.
        dry_run: Only list the files; no connection is made.
        token: A token with write access; default is HF_TOKEN or the one of `hf auth login`.
        revision: A branch, created if necessary; default is main.
        message: The commit's message; the default names recipe and fingerprint.
        decode: Decode every image during validation.

    Returns:
        The changes.

    Raises:
        DatasetError: The folder is damaged.
        HubError: The name is not valid, the repository is public but `private` was requested, or the Hub rejected a
            request.
    """
    check_repo_name(repo)
    problems = validate_folder(folder, decode=decode)
    if problems:
        more = f"\n… and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        shown = format_problems(problems[:_SHOWN_PROBLEMS])
        raise DatasetError(f"{folder} is damaged and was not uploaded; build it again:\n{shown}{more}")
    manifest = read_manifest(folder)
    built = (entry.path for entry in manifest.files)
    files: dict[str, Content] = {CARD: card_with_captions(folder)}
    files |= {path: folder / path for path in (*built, MANIFEST, *find_captions(folder))}
    if dry_run:
        return PushResult(repo, private, True, sizes(files))
    secret = hub_token(token)
    with hub_errors(repo, secret):
        return upload(
            files,
            repo,
            "dataset",
            private,
            secret,
            message or f"Release {manifest.recipe} {manifest.fingerprint[:12]}",
            revision,
            f"Built with mmecinstruct {manifest.project_version}",
            {entry.path: entry.sha256 for entry in manifest.files},
            # A shard of an earlier release would match the card's patterns and be loaded with the new ones. Captions of
            # one would be of other samples.
            lambda path: parse_shard_path(path) is not None or is_captions_path(path),
        )
