"""Read response headers: Retry-After, Location, Content-Length, Content-Type and X-Robots-Tag."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

# Directives under which an image is not stored; `none` means noindex and nofollow.
FORBIDDING = ("noai", "noimageai", "noindex", "noimageindex", "none")
# Directives with a value after a colon; the word before the colon is then no crawler's name.
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")

_NO_IMAGES = ("text/html", "application/xhtml+xml", "application/json", "video/", "audio/")


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds to wait of a Retry-After header.

    Args:
        value: The header: seconds or a date; None where there is none.
        now: The present time in seconds since the epoch.

    Returns:
        Seconds; None where there is no header or it cannot be read.
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
    """Return the unchecked target URL of a Location header.

    Args:
        url: The URL that was requested.
        location: The header of the response.
    """
    location = location.strip()
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")  # http.client decodes headers as Latin-1
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # no URL; `check_url` reports that


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Return whether the body has chunked transfer encoding and so marks its own end."""
    return "chunked" in headers.get("Transfer-Encoding", "").lower()


def declared_length(headers: Mapping[str, str]) -> int | None:
    """Return the announced bytes of the body, None where the headers do not say."""
    text = headers.get("Content-Length", "").strip()
    plain = text.isascii() and text.isdecimal() and len(text) < 19
    return int(text) if plain and not is_chunked(headers) else None


def forbidding_directive(lines: Iterable[str], robots_name: str) -> str | None:
    """Return the directive of X-Robots-Tag lines that forbids storing the image, if there is one.

    A line may begin with a crawler's name and a colon; it is then for that crawler only.

    Args:
        lines: The X-Robots-Tag headers of a response.
        robots_name: The name of this crawler.
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
    """Return whether a Content-Type cannot be an image's.

    Servers use many types for images (text/plain, octet-stream); the image filter checks the bytes.
    """
    return content_type is not None and content_type.strip().lower().startswith(_NO_IMAGES)
