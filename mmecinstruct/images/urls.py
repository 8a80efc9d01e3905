"""Read image URLs from Amazon-style metadata: every candidate at full size, best first.

Amazon's image server scales by a code in the file name: `…/I/51q4dzMwpFL._SX38_SY50_CR,0,0,38,50_.jpg` is a
thumbnail of `…/I/51q4dzMwpFL.jpg`.
"""

from __future__ import annotations

import re

from mmecinstruct.core.shown import published_url, unsigned_url

# An id has no point; the part from `._` to the extension is made of codes.
_SIZE_CODE = re.compile(r"^([^?#]*/I/[^/.?#]+)\._[^/?#]*(\.[A-Za-z]{3,4})$")

# Known "no image" placeholders: Amazon's by id, the older icons, and the backdrop that SQID gives for videos.
_PLACEHOLDER = re.compile(
    r"/(?:01RmK(?:\+|%2B)J4pJL\.|01QFb8SNuTL\.|01PkLIhTX3L\.|01MKUOLsA5L\.|no-img-|Default_Background_Art_LTR\.)"
)

# The usual form of a full-size URL, several of them separated by blanks, and the code that their thumbnails add.
# URLs that may be placeholders and the codes of stills, which have a hyphen, do not match.
_USUAL_URL = r"https?://(?!01)[^/?# ]+/images/I/(?!01)[^/.?# ]+\.[A-Za-z]{3,4}"
_USUAL = re.compile(f"{_USUAL_URL}(?: {_USUAL_URL})*")
_UNUSUAL = ("-overlay", "/no-img-", "/Default_")
_USUAL_CODE = re.compile(r"\._[^/?# -]*(?=\.[A-Za-z]{3,4}(?: |$))")

# A thumbnail with a play button is a still of a video, not an image of the product.
_VIDEO_STILLS = ("play-button-overlay", "play-icon-overlay")


def full_size_url(url: str) -> str:
    """Return the URL without its size codes. URLs of other servers are returned unchanged."""
    match = _SIZE_CODE.match(url) if "._" in url else None
    return match[1] + match[2] if match else url


def one_form(url: str) -> str:
    """Return the form in which URLs of one image are compared: at full size, without what signs a request."""
    return full_size_url(unsigned_url(url))


def forms(url: str) -> set[str]:
    """Return the forms by which a takedown may name an image: `one_form`, and that of the URL as published."""
    return {one_form(url), full_size_url(published_url(url, len(url) * 3))}


def is_placeholder(url: str) -> bool:
    """Return whether a URL is known to show no product."""
    # Every placeholder holds one of these three texts, which are found faster.
    return ("/01" in url or "/no-img-" in url or "/Default_" in url) and _PLACEHOLDER.search(url) is not None


def is_video_still(url: str) -> bool:
    """Return whether a thumbnail's URL is that of a still of a video."""
    return "-overlay" in url and any(code in url for code in _VIDEO_STILLS)


def web_address(text: object) -> str:
    """Return a value as a stripped http or https URL; empty where it is none.

    A URL without a scheme (`//host/…`) gets https. Embedded images (`data:`), paths and words are no URLs.
    """
    if not isinstance(text, str):
        return ""
    url = text.strip()
    if url.startswith(("https://", "http://")):
        return url
    return f"https:{url}" if url.startswith("//") else ""


def image_urls(*candidates: object) -> list[str]:
    """Return the full-size URLs of candidate fields, without placeholders and stills of videos.

    Args:
        *candidates: Values of image fields, best field first: a URL, a list of URLs, a list of objects with one URL for
            each size (metadata: `hi_res`, `large`, `thumb`; reviews: `large_image_url` …), or an object of such lists.

    Returns:
        The URLs in the order of the fields, each once.
    """
    if len(candidates) > 1 and not any(candidates[2:]) and (usual := _usual_urls(*candidates[:2])):
        return usual
    urls: dict[str, None] = {}
    stills: set[str] = set()
    for candidate in candidates:
        for item in _items(candidate) if candidate else ():
            url = web_address(_best_of(item) if isinstance(item, dict) else item)
            full_size = full_size_url(url) if "._" in url else url
            if "-overlay" in url and is_video_still(url):
                stills.add(full_size)
            elif full_size and full_size not in urls and not is_placeholder(full_size):
                urls[full_size] = None
    # The full-size URL of a still has no code: only its thumbnail, maybe in another field, identifies it.
    return [url for url in urls if url not in stills] if stills else list(urls)


def _usual_urls(full: object, thumbnails: object) -> list[str]:
    """Return the first of two lists of usual URLs if the second has the same URLs with size codes, else an empty list.

    This takes half the time of cleaning them one by one.
    """
    if not isinstance(full, list) or not isinstance(thumbnails, list) or len(full) != len(thumbnails):
        return []
    try:
        joined = " ".join(full)
        usual = (
            _USUAL_CODE.sub("", " ".join(thumbnails)) == joined
            and joined.count(" ") == len(full) - 1
            and _USUAL.fullmatch(joined) is not None
            and not any(text in joined for text in _UNUSUAL)
        )
    # Not all are texts.
    except TypeError:
        return []
    return list(dict.fromkeys(full)) if usual else []


def _items(candidate: object) -> list[object]:
    if isinstance(candidate, list):
        return candidate
    if isinstance(candidate, dict):
        return _rows_of_lists(candidate)
    return [candidate]


def _rows_of_lists(images: dict[str, object]) -> list[object]:
    """Return one object per position of an object of parallel lists, or the object itself where it has no list."""
    columns = {name: column for name, column in images.items() if isinstance(column, list)}
    if not columns:
        return [images]
    length = max(map(len, columns.values()))
    return [{name: column[i] for name, column in columns.items() if i < len(column)} for i in range(length)]


_SIZES = ("hi_res", "large", "thumb", "large_image_url", "medium_image_url", "small_image_url")


def _best_of(image: dict[str, object]) -> object:
    sizes = (image.get(name) for name in _SIZES)
    return next((url for url in sizes if isinstance(url, str) and url), None)
