"""The present location of a file: its URL, or the storage that the Hugging Face Hub redirects to.

huggingface_hub asks the Hub for the file's version, size and location. The bytes are then downloaded like all others,
because `hf_hub_download` restarts a download whose process was killed. The token is sent to the Hub only and appears in
no message.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from mmecinstruct.core.errors import PullError
from mmecinstruct.core.shown import shown_text
from mmecinstruct.sources.remote_file import HubFile, RemoteFile
from mmecinstruct.web.raw_files.partial import Version
from mmecinstruct.web.raw_files.transport import Failed, permanent, shown, transient
from mmecinstruct.web.statuses import LOGIN_WANTED, status_failure

_HUB = "https://huggingface.co"
_SHA256_DIGITS, _SHA1_DIGITS = 64, 40
_METADATA_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Location:
    """The location of a file.

    Attributes:
        url: The URL to request.
        version: The version of the file, where it is known before the request.
        authorization: The Authorization header for the URL's own host.
        sha256: The hexadecimal SHA-256 of the file, where known.
        git_blob: The SHA-1 of the git blob, for small files on the Hub.
    """

    url: str
    version: Version | None = None
    authorization: str | None = None
    sha256: str | None = None
    git_blob: str | None = None


def find_location(file: RemoteFile) -> Location | Failed:
    """Return the location of a file, or why it cannot be found.

    Raises:
        PullError: The file has to be downloaded by hand.
    """
    if file.hub is not None:
        return _on_the_hub(file.hub)
    if file.url is None:
        raise PullError(f"{file.origin}: there is no URL to download it from")
    return Location(file.url, sha256=file.sha256)


def address_of(file: RemoteFile) -> str:
    """Return the URL of a file for messages and records, without its query; empty where it has none."""
    if file.hub is not None:
        return shown(_hub_url(file.hub))
    return shown(file.url) if file.url is not None else ""


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def _hub_url(file: HubFile) -> str:
    from huggingface_hub import hf_hub_url

    return hf_hub_url(
        file.repo_id, file.filename, repo_type=file.repo_type, revision=file.revision, endpoint=_endpoint()
    )


def _on_the_hub(file: HubFile) -> Location | Failed:
    import httpx2
    from huggingface_hub import get_hf_file_metadata, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    token = (get_token() or "").strip()
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        return permanent("bad_token", "the token holds characters that no token has; copy it again")
    try:
        url = _hub_url(file)
        # False: without a token, even where the environment has one.
        found = get_hf_file_metadata(
            url, token=token or False, timeout=_METADATA_TIMEOUT, endpoint=_endpoint()
        )
    except HfHubHTTPError as error:
        return _hub_failed(file, error)
    except OfflineModeIsEnabled:
        return permanent("offline", f"{file.repo_id}: HF_HUB_OFFLINE is set; unset it to fetch")
    except (HFValidationError, ValueError) as error:
        detail = shown_text(f"{type(error).__name__}: {error}".replace(token or "\0", "***"))
        return permanent("bad_repository", f"{file.repo_id}: {detail[:200]}")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return transient(
            "connection_failed", f"{shown(_endpoint())} cannot be reached ({type(error).__name__})"
        )
    location = urljoin(url, found.location)
    etag = found.etag or None
    own = urlsplit(location)[:2] == urlsplit(url)[:2]
    return Location(
        location,
        Version(shown(url), etag=etag, length=found.size),
        f"Bearer {token}" if token and own else None,
        sha256=etag if etag and len(etag) == _SHA256_DIGITS else None,
        git_blob=etag if etag and len(etag) == _SHA1_DIGITS else None,
    )


def _hub_failed(file: HubFile, error: Any) -> Failed:
    status, repo = error.response.status_code, f"{file.repo_type}s/{file.repo_id}"
    page = f"{shown(_endpoint())}/{repo}"
    if status in LOGIN_WANTED:
        return permanent(
            f"http_{status}",
            f"the Hub answered {status} for {repo}: it is private or wants its terms accepted on {page}; then run "
            "`hf auth login` or set HF_TOKEN",
        )
    if status == 404:
        return permanent(
            "http_404", f"the Hub has no {file.filename} in {repo} at revision {file.revision}, or hides it"
        )
    detail = f"the Hub answered {status} for {repo}"
    return Failed(*status_failure(status, error.response.headers, detail))
