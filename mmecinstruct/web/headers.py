"""Response headers: how long to wait, where a redirect leads, how much comes, and whether it may be taken."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

# Directives under which an image is not taken; `none` stands for noindex and nofollow.
FORBIDDING = ("noai", "noimageai", "noindex", "noimageindex", "none")
# Directives that have a value after a colon, which is therefore no crawler's name before one.
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")

_NO_IMAGES = ("text/html", "application/xhtml+xml", "application/json", "video/", "audio/")


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds to wait that a Retry-After header asks for, as a number or a date.

    now: seconds since the epoch. None where there is no header or it makes no sense.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, date.timestamp() - (time.time() if now is None else now))
    except (ValueError, TypeError, OverflowError):
        return None


def redirect_target(url: str, location: str) -> str:
    """Return where the Location header of a URL's answer leads, not yet checked."""
    location = location.strip()
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")  # http.client takes headers for Latin-1
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # no URL, as its check will say


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Tell whether the body marks its own end."""
    return "chunked" in headers.get("Transfer-Encoding", "").lower()


def declared_length(headers: Mapping[str, str]) -> int | None:
    """Return the bytes of the body that follows, where the headers say."""
    text = headers.get("Content-Length", "").strip()
    plain = text.isascii() and text.isdecimal() and len(text) < 19
    return int(text) if plain and not is_chunked(headers) else None


def forbidding_directive(lines: Iterable[str], robots_name: str) -> str | None:
    """Return the directive of X-Robots-Tag lines that forbids taking the image, if there is one.

    A line may begin with a crawler's name and a colon; then it is for that crawler alone.
    """
    for line in lines:
        agent: str | None = None
        for token in line.split(","):
            name, colon, rest = token.strip().lower().partition(":")
            name = name.strip()
            if colon and name not in _VALUED:
                agent, name = name, rest.strip()
            if name in FORBIDDING and agent in (None, "*", robots_name.lower()):
                return name
    return None


def is_no_image(content_type: str | None) -> bool:
    """Tell whether a Content-Type cannot be an image's.

    Servers call images many things (text/plain, octet-stream): what the bytes are, validation says.
    """
    return content_type is not None and content_type.strip().lower().startswith(_NO_IMAGES)
