"""The order in which the images of one product are requested."""

from __future__ import annotations

from collections.abc import Iterable

from mmecinstruct.images.urls import full_size_url, is_placeholder, is_video_still


def candidate_urls(urls: Iterable[str]) -> list[str]:
    """Return the URLs to request, best first, each once: every image at full size, then the sizes as given.

    A server may lack the full size; the thumbnail that the publisher names is the fallback. Stills of videos, at any
    size, and known placeholders are left out. Escapes such as %2B are kept.
    """
    given = [url.strip() for url in urls if url.strip()]
    stills = {full_size_url(url) for url in given if is_video_still(url)}
    shown = [
        url for url in given if full_size_url(url) not in stills and not is_placeholder(full_size_url(url))
    ]
    return list(dict.fromkeys([*map(full_size_url, shown), *shown]))
