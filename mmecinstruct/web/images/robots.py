"""robots.txt: which URLs of a host may be requested, and how often (RFC 9309)."""

from __future__ import annotations

from protego import Protego

from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, FetchFailure

ROBOTS_PATH = "/robots.txt"
# The rest of a longer file is ignored.
MAX_ROBOTS_BYTES = 512 * 1024


class RobotsRules:
    """The rules of one origin for this crawler.

    Attributes:
        crawl_delay: The seconds between two requests that the rules ask for.
    """

    def __init__(self, text: str = "", *, name: str = "*", failure: FetchFailure | None = None) -> None:
        """Parse a robots.txt.

        Args:
            text: The file; empty allows everything.
            name: The name of this crawler.
            failure: Why no URL of this origin may be requested, where that is so.
        """
        self._parsed = Protego.parse(text) if text.strip() else None
        self._name = name
        self._failure = failure
        self.crawl_delay = self._delay()

    def _delay(self) -> float:
        if self._parsed is None:
            return 0.0
        delay = float(self._parsed.crawl_delay(self._name) or 0.0)
        rate = self._parsed.request_rate(self._name)
        if rate is not None and rate.requests > 0:
            delay = max(delay, rate.seconds / rate.requests)
        return max(0.0, delay)

    def failure_for(self, url: str) -> FetchFailure | None:
        """Return why a URL may not be requested, or None."""
        if self._failure is not None:
            return self._failure
        if self._parsed is None or self._parsed.can_fetch(url, self._name):
            return None
        return FetchFailure(PERMANENT, "robots_disallowed", f"the host's {ROBOTS_PATH} disallows it")


def rules_from_answer(http_status: int, text: str, settings: FetchSettings) -> RobotsRules:
    """Return the rules of a response to /robots.txt: 4xx allows everything, 5xx nothing for now.

    Args:
        http_status: The status of the response.
        text: The body of the response.
        settings: The name of this crawler and the longest accepted delay.
    """
    if http_status == 429 or http_status >= 500:
        detail = f"{ROBOTS_PATH} answers {http_status}, so no request is allowed"
        return RobotsRules(failure=FetchFailure(TRANSIENT, "robots_unavailable", detail))
    if http_status != 200:
        return RobotsRules()
    rules = RobotsRules(text, name=settings.robots_name)
    if rules.crawl_delay > settings.max_crawl_delay:
        detail = (
            f"{ROBOTS_PATH} asks for {rules.crawl_delay:g} s between requests, "
            f"more than fetch.max_crawl_delay ({settings.max_crawl_delay:g} s)"
        )
        return RobotsRules(failure=FetchFailure(TRANSIENT, "crawl_delay_too_long", detail))
    return rules
