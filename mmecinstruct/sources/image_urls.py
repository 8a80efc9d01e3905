"""Picture URLs of Amazon-style metadata: every candidate at full size, best first.

Amazon's picture server scales by a code in the file name: `…/I/51q4dzMwpFL._SX38_SY50_CR,0,0,38,50_.jpg` is a
thumbnail of `…/I/51q4dzMwpFL.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# An id has no point; what begins with `._` after it, up to the extension, are codes.
_SIZE_CODE = re.compile(r"^([^?#]*/I/[^/.?#]+)\._[^/?#]*(\.[A-Za-z]{3,4})$")

# Known pictures that say "no picture": of Amazon's picture server by id, the older icons, and the backdrop
# that SQID names for videos.
_PLACEHOLDERS = (
    "/01RmK+J4pJL.",
    "/01RmK%2BJ4pJL.",
    "/01QFb8SNuTL.",
    "/01PkLIhTX3L.",
    "/01MKUOLsA5L.",
    "/no-img-",
    "/Default_Background_Art_LTR.",
)

# A thumbnail with a play button is a still of a video, not a picture of the product.
_VIDEO_STILLS = ("play-button-overlay", "play-icon-overlay")


def full_size_url(url: str) -> str:
    """Return the URL without its size codes; URLs of other servers unchanged."""
    match = _SIZE_CODE.match(url) if "._" in url else None
    return match[1] + match[2] if match else url


def is_placeholder(url: str) -> bool:
    """Tell whether a URL is known to show no product."""
    return any(placeholder in url for placeholder in _PLACEHOLDERS)


def is_video_still(url: str) -> bool:
    """Tell whether a thumbnail's URL says that it is a still of a video."""
    return "-overlay" in url and any(mark in url for mark in _VIDEO_STILLS)


def image_urls(*candidates: object) -> list[str]:
    """Return the full-size URLs of candidate fields in their order, each once.

    candidates: values of picture fields, best field first: a URL, a list of URLs, a list of objects with
    `hi_res`, `large` or `thumb`, or an object of such lists. Placeholders and stills of videos are left out.
    """
    urls: dict[str, None] = {}
    stills: set[str] = set()
    for candidate in candidates:
        for url in _flat(candidate):
            full_size = full_size_url(url)
            if is_video_still(url):
                stills.add(full_size)
            elif full_size not in urls and not is_placeholder(full_size):
                urls[full_size] = None
    # The full-size URL of a still has no mark: only its thumbnail, maybe in another field, tells.
    return [url for url in urls if url not in stills] if stills else list(urls)


def _flat(candidate: object) -> Iterator[str]:
    if isinstance(candidate, str):
        candidate = [candidate]
    elif isinstance(candidate, dict):
        candidate = _rows_of_lists(candidate)
    if isinstance(candidate, list):
        for item in candidate:
            url = _best_of(item) if isinstance(item, dict) else item
            if isinstance(url, str) and (url := url.strip()):
                yield url


def _rows_of_lists(pictures: dict[str, object]) -> list[object]:
    """Return one object per position of an object of parallel lists."""
    columns = {name: column for name, column in pictures.items() if isinstance(column, list)}
    length = max(map(len, columns.values()), default=0)
    return [{name: column[i] for name, column in columns.items() if i < len(column)} for i in range(length)]


def _best_of(picture: dict[str, object]) -> str:
    sizes = (picture.get(name) for name in ("hi_res", "large", "thumb"))
    return next((url for url in sizes if isinstance(url, str) and url), "")
