"""Response headers that say what may be done: Retry-After, X-Robots-Tag, Content-Type."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime

# Directives under which a picture is not taken; `none` stands for noindex and nofollow.
FORBIDDING = ("noai", "noimageai", "noindex", "noimageindex", "none")
# Directives that have a value after a colon, which is therefore no crawler's name before one.
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")

_NO_PICTURES = ("text/html", "application/xhtml+xml", "application/json", "video/", "audio/")


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


def forbidding_directive(lines: Iterable[str], robots_name: str) -> str | None:
    """Return the directive of X-Robots-Tag lines that forbids taking the picture, if there is one.

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


def is_no_picture(content_type: str | None) -> bool:
    """Tell whether a Content-Type cannot be a picture's.

    Servers call pictures many things (text/plain, octet-stream): what the bytes are, validation says.
    """
    return content_type is not None and content_type.strip().lower().startswith(_NO_PICTURES)
