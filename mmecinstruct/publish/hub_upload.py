"""Upload files to a repository of the Hugging Face Hub in one commit.

Unchanged files are not sent again. The token is in no message.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmecinstruct.core.errors import HubError
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.shown import shown_text, shown_url

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", flags=re.ASCII)
# The content of a file to upload.
Content = Path | bytes


@dataclass(frozen=True)
class PushResult:
    """The changes that a push made, or would make (`dry_run`).

    Attributes:
        repo: Name of the repository.
        private: The repository is private.
        dry_run: Nothing was sent.
        files: Every file of the folder with its size in bytes.
        uploaded: Paths of changed files.
        unchanged: Paths of files that the repository had already.
        deleted: Paths of removed files.
        commit: Id of the commit; empty when nothing changed.
        url: URL of the repository.
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

    @property
    def commit_url(self) -> str:
        """The URL of the commit; empty when nothing changed."""
        return f"{self.url}/commit/{self.commit}" if self.commit else ""

    def to_json(self) -> str:
        """Return the result as JSON."""
        return json.dumps(asdict(self) | {"commit_url": self.commit_url}, indent=1)

    def __str__(self) -> str:
        if self.dry_run:
            # Without `private` a new repository has the visibility that its owner has set as default.
            where = f"private {self.repo}" if self.private else self.repo
            lines = [f"{size:>12,}  {path}" for path, size in self.files]
            total = sum(size for _, size in self.files)
            return "\n".join([*lines, f"{total:>12,}  bytes in {len(lines)} files would go to {where}"])
        if not self.commit:
            return f"{self.url}: unchanged, nothing was uploaded"
        sent = dict(self.files)
        size = sum(sent[path] for path in self.uploaded)
        return (
            f"{self.url}: {len(self.uploaded)} files uploaded ({size:,} bytes), "
            f"{len(self.unchanged)} unchanged, {len(self.deleted)} removed"
        )


def check_repo_name(repo: str) -> None:
    """Check the name of a repository.

    Raises:
        HubError: The name is not valid.
    """
    if not _REPO.fullmatch(repo) or "--" in repo or ".." in repo or repo.endswith((".git", "-", ".")):
        raise HubError(
            f"'{repo}' is not a repository name: write user/name, each of at most 96 letters, digits, '-', '_' and '.'"
        )


def hub_token(given: str | None) -> str:
    """Return the given token, or the one of HF_TOKEN or `hf auth login`.

    Raises:
        HubError: There is no token, or it cannot be sent; the client's own error would show it.
    """
    from huggingface_hub import get_token

    token = (given or get_token() or "").strip()
    if not token:
        raise HubError("there is no token: run `hf auth login` or set HF_TOKEN to one with write access")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise HubError("the token holds characters that no token has; copy it again")
    return token


def upload(
    files: Mapping[str, Content],
    repo: str,
    repo_type: str,
    private: bool,
    token: str,
    message: str,
    revision: str | None = None,
    description: str | None = None,
    hashes: Mapping[str, str] | None = None,
    is_stale: Callable[[str], bool] = lambda path: False,
    keep: Collection[str] = (),
) -> PushResult:
    """Upload files to a repository in one commit, or in none where it has them already.

    Exceptions of the client are converted by `hub_errors`.

    Args:
        files: Content by path in the repository.
        repo: user/name.
        repo_type: dataset or model.
        private: Create a private repository; else its owner's default applies.
        token: A token with write access.
        message: The commit's message.
        revision: A branch, created if necessary; None is main.
        description: The commit's description.
        hashes: SHA-256 by path, where it is known.
        is_stale: Whether a remote path that is not in `files` is removed.
        keep: Paths that are not replaced where the repository has them.

    Returns:
        The changes.

    Raises:
        HubError: The repository is public, but `private` was requested.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(token=token)
    url = shown_url(str(api.create_repo(repo, repo_type=repo_type, private=private or None, exist_ok=True)))
    present = api.repo_info(repo, repo_type=repo_type)
    if private and not present.private:
        raise HubError(
            f"{repo} exists and is public, and --private was asked for; nothing was uploaded. Make it "
            "private in its settings on the Hub, or choose another name"
        )
    if revision is not None:
        api.create_branch(repo, branch=revision, repo_type=repo_type, exist_ok=True)
        present = api.repo_info(repo, repo_type=repo_type, revision=revision)
    remote = remote_files(repo, repo_type, token, revision)
    known = hashes or {}
    changed = [
        path
        for path, content in files.items()
        if not (path in keep and path in remote) and not has_same(content, remote.get(path), known.get(path))
    ]
    stale = sorted(path for path in remote if path not in files and is_stale(path))
    commit = ""
    if changed or stale:
        commit = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(path, files[path]) for path in changed),
                *(CommitOperationDelete(path, is_folder=False) for path in stale),
            ],
            commit_message=message,
            commit_description=description,
            repo_type=repo_type,
            revision=revision,
            parent_commit=present.sha,
        ).oid
    return PushResult(
        repo=repo,
        private=bool(present.private),
        dry_run=False,
        files=sizes(files),
        uploaded=tuple(changed),
        unchanged=tuple(path for path in files if path not in set(changed)),
        deleted=tuple(stale),
        commit=commit,
        url=url,
    )


def sizes(files: Mapping[str, Content]) -> tuple[tuple[str, int], ...]:
    """Return each path with its size in bytes."""
    return tuple(
        (path, len(content) if isinstance(content, bytes) else content.stat().st_size)
        for path, content in files.items()
    )


def remote_files(repo: str, repo_type: str, token: str, revision: str | None = None) -> dict[str, RepoFile]:
    """Return the files of a repository by path; exceptions of the client are converted by `hub_errors`."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    tree = HfApi(token=token).list_repo_tree(repo, repo_type=repo_type, revision=revision, recursive=True)
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def has_same(content: Content, remote: RepoFile | None, sha256: str | None = None) -> bool:
    """Return whether the remote file has the content, by SHA-256 of large files and by git's hash of others.

    Args:
        content: The local file.
        remote: The remote file; None where there is none.
        sha256: SHA-256 of the content, where it is known.
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if remote is None or remote.size != size:
        return False
    if remote.lfs is not None and isinstance(content, Path):
        return remote.lfs.sha256 == (sha256 or sha256_file(content))
    data = content if isinstance(content, bytes) else content.read_bytes()
    if remote.lfs is not None:
        return remote.lfs.sha256 == hashlib.sha256(data).hexdigest()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
    return remote.blob_id == blob.hexdigest()


@contextmanager
def hub_errors(repo: str, token: str) -> Iterator[None]:
    """Convert exceptions of huggingface_hub.

    Args:
        repo: Name of the repository.
        token: The token, which is removed from messages.

    Raises:
        HubError: The client failed; the message names the remedy.
    """
    import httpx2

    try:
        yield
    except HubError:
        raise
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        raise HubError(shown_text(_explain(repo, error).replace(token, "***"))) from None


def _explain(repo: str, error: BaseException) -> str:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The error of an upload thread has the Hub's response as its cause.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (HfHubHTTPError, httpx2.TransportError)):
        cause = cause.__cause__
    if isinstance(cause, HfHubHTTPError):
        return _explain_answer(repo, cause)
    endpoint = shown_url(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repo}: HF_HUB_OFFLINE is set; unset it to upload"
    if cause is not None:
        return (
            f"{repo}: {endpoint} cannot be reached ({_brief(cause)}); uploaded files are kept, run it again"
        )
    return f"{repo}: the upload failed ({_brief(error)})"


def _explain_answer(repo: str, error: Any) -> str:
    status = error.response.status_code
    reply = f" ({error.server_message})" if error.server_message else ""
    if status == 401:
        return f"{repo}: the Hub does not accept the token{reply}; run `hf auth login` or set HF_TOKEN"
    if status == 403:
        return (
            f"{repo}: the token may not write there{reply}; it needs write access to {repo.partition('/')[0]}"
        )
    if status == 404:
        return (
            f"{repo}: the Hub does not find it{reply}; check user, name and revision, and the token's access"
        )
    if status == 412:
        return f"{repo}: somebody changed it during the upload{reply}; run it again"
    if status == 429:
        return f"{repo}: too many requests{reply}; wait some minutes and run it again"
    if status == 400:
        return f"{repo}: the Hub rejects the content{reply}; check the license and the language in its card"
    return f"{repo}: the Hub answered {status}{reply}; run it again later"


def _brief(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
