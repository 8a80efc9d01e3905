"""Publish a dataset folder on the Hugging Face Hub as it is.

One commit holds the whole change: new and changed files, and the removal of shards that an earlier release
left. What the Hub has already is not sent again. The token is in no message.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmecinstruct.dataset_folder.manifest import CARD, MANIFEST, Manifest, read_manifest
from mmecinstruct.dataset_folder.shards import parse_shard_path
from mmecinstruct.errors import DatasetError, HubError
from mmecinstruct.hashing import sha256_file
from mmecinstruct.validate import format_problems, validate_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", flags=re.ASCII)
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class PushResult:
    """What a push did, or would do (`dry_run`).

    files: every file of the folder with its size in bytes. uploaded, unchanged, deleted: paths in the
    repository. commit is empty when nothing changed.
    """

    repo: str
    private: bool
    dry_run: bool
    files: tuple[tuple[str, int], ...]
    uploaded: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    commit: str = ""
    url: str = ""

    def __str__(self) -> str:
        if self.dry_run:
            visibility = "private" if self.private else "public"
            lines = [f"{size:>12,}  {path}" for path, size in self.files]
            total = sum(size for _, size in self.files)
            return "\n".join(
                [*lines, f"{total:>12,}  bytes in {len(lines)} files would go to {visibility} {self.repo}"]
            )
        if not self.commit:
            return f"{self.url}: unchanged, nothing was uploaded"
        sent = dict(self.files)
        size = sum(sent[path] for path in self.uploaded)
        return (
            f"{self.url}: {len(self.uploaded)} files uploaded ({size:,} bytes), "
            f"{len(self.unchanged)} unchanged, {len(self.deleted)} removed"
        )


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
    """Validate a dataset folder and upload it to the dataset repository `repo` (user/name).

    The repository is created if need be, private if asked. token: default is HF_TOKEN or the one of
    `hf auth login`. revision: a branch, created if need be; default main. decode: validate every picture too.
    With `dry_run` no connection is made.

    Raises DatasetError for a damaged folder; HubError when the repository's name is wrong, when it is public
    but private was asked for, and for whatever the Hub refuses.
    """
    if not _REPO.fullmatch(repo) or "--" in repo or ".." in repo or repo.endswith((".git", "-", ".")):
        raise HubError(
            f"--repo {repo}: write user/name, each of at most 96 letters, digits, '-', '_' and '.'"
        )
    problems = validate_folder(folder, decode=decode)
    if problems:
        more = f"\n… and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        shown = format_problems(problems[:_SHOWN_PROBLEMS])
        raise DatasetError(f"{folder} is damaged and was not uploaded; build it again:\n{shown}{more}")
    manifest = read_manifest(folder)
    paths = [CARD, *(entry.path for entry in manifest.files), MANIFEST]
    files = tuple((path, (folder / path).stat().st_size) for path in paths)
    if dry_run:
        return PushResult(repo, private, True, files)
    secret = _token(token)
    with _hub_errors(repo, secret):
        return _push(folder, repo, private, secret, revision, message, manifest, files)


def _token(given: str | None) -> str:
    """Return the token to use. One that cannot be sent is refused here: the client's error would show it."""
    from huggingface_hub import get_token

    token = (given or get_token() or "").strip()
    if not token:
        raise HubError("there is no token: run `hf auth login` or set HF_TOKEN to one with write access")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise HubError("the token holds characters that no token has; copy it again")
    return token


def _push(
    folder: Path,
    repo: str,
    private: bool,
    token: str,
    revision: str | None,
    message: str | None,
    manifest: Manifest,
    files: tuple[tuple[str, int], ...],
) -> PushResult:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(token=token)
    url = str(api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True))
    present = api.repo_info(repo, repo_type="dataset")
    if private and not present.private:
        raise HubError(
            f"{repo} exists and is public, and --private was asked for; nothing was uploaded. Make it "
            "private in its settings on the Hub, or choose another name"
        )
    if revision is not None:
        api.create_branch(repo, branch=revision, repo_type="dataset", exist_ok=True)
        present = api.repo_info(repo, repo_type="dataset", revision=revision)
    remote = _remote_files(api, repo, revision)
    hashes = {entry.path: entry.sha256 for entry in manifest.files}
    changed = [path for path, _ in files if not _is_same(folder / path, hashes.get(path), remote.get(path))]
    local = {path for path, _ in files}
    # A shard of an earlier release would match the card's patterns and come back with the new ones.
    stale = sorted(path for path in remote if path not in local and parse_shard_path(path))
    commit = ""
    if changed or stale:
        commit = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(path, folder / path) for path in changed),
                *(CommitOperationDelete(path, is_folder=False) for path in stale),
            ],
            commit_message=message or f"Release {manifest.recipe} {manifest.fingerprint[:12]}",
            commit_description=f"Built with mmecinstruct {manifest.project_version}",
            repo_type="dataset",
            revision=revision,
            parent_commit=present.sha,
        ).oid
    return PushResult(
        repo=repo,
        private=bool(present.private),
        dry_run=False,
        files=files,
        uploaded=tuple(changed),
        unchanged=tuple(path for path, _ in files if path not in set(changed)),
        deleted=tuple(stale),
        commit=commit,
        url=url,
    )


def _remote_files(api: HfApi, repo: str, revision: str | None) -> dict[str, RepoFile]:
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(repo, repo_type="dataset", revision=revision, recursive=True)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _is_same(file: Path, sha256: str | None, remote: RepoFile | None) -> bool:
    """Say whether the Hub has the file's content: by SHA-256 of large files, by git's own hash of others."""
    if remote is None or remote.size != file.stat().st_size:
        return False
    if remote.lfs is not None:
        return remote.lfs.sha256 == (sha256 or sha256_file(file))
    content = file.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return remote.blob_id == blob.hexdigest()


@contextmanager
def _hub_errors(repo: str, token: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a HubError that says what to do and never holds the token."""
    import httpx2

    try:
        yield
    except HubError:
        raise
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        raise HubError(_explain(repo, error).replace(token, "***")) from None


def _explain(repo: str, error: BaseException) -> str:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # An upload thread's error hides the answer of the Hub in its cause.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (HfHubHTTPError, httpx2.TransportError)):
        cause = cause.__cause__
    if isinstance(cause, HfHubHTTPError):
        return _explain_answer(repo, cause)
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repo}: HF_HUB_OFFLINE is set; unset it to upload"
    if cause is not None:
        return (
            f"{repo}: {endpoint} cannot be reached ({_brief(cause)}); what was uploaded is kept, run it again"
        )
    return f"{repo}: the upload failed ({_brief(error)})"


def _explain_answer(repo: str, error: Any) -> str:
    status = error.response.status_code
    said = f" ({error.server_message})" if error.server_message else ""
    if status == 401:
        return f"{repo}: the Hub does not accept the token{said}; run `hf auth login` or set HF_TOKEN"
    if status == 403:
        return (
            f"{repo}: the token may not write there{said}; it needs write access to {repo.partition('/')[0]}"
        )
    if status == 404:
        return (
            f"{repo}: the Hub does not find it{said}; check user, name and revision, and the token's access"
        )
    if status == 412:
        return f"{repo}: somebody changed it during the upload{said}; run it again"
    if status == 429:
        return f"{repo}: too many requests{said}; wait some minutes and run it again"
    if status == 400:
        return f"{repo}: the Hub refuses the content{said}; check the license and language of the recipe"
    return f"{repo}: the Hub answered {status}{said}; run it again later"


def _brief(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
