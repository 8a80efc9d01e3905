"""robots.txt: what a host lets us ask for, and how often (RFC 9309)."""

from __future__ import annotations

from protego import Protego

from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, Failure

ROBOTS_PATH = "/robots.txt"
MAX_ROBOTS_BYTES = 512 * 1024  # of a longer file the beginning counts


class RobotsRules:
    """The rules of one origin, for our name."""

    def __init__(self, text: str = "", *, name: str = "*", failure: Failure | None = None) -> None:
        """text: the file. failure: the reason why nothing of this origin may be asked for."""
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

    def refusal(self, url: str) -> Failure | None:
        """Return why a URL may not be asked for, or None."""
        if self._failure is not None:
            return self._failure
        if self._parsed is None or self._parsed.can_fetch(url, self._name):
            return None
        return Failure(PERMANENT, "robots_disallowed", f"the host's {ROBOTS_PATH} disallows it")


def rules_from_answer(http_status: int, text: str, settings: FetchSettings) -> RobotsRules:
    """Return the rules that an answer to /robots.txt stands for: 4xx allows all, 5xx nothing for now."""
    if http_status == 429 or http_status >= 500:
        detail = f"{ROBOTS_PATH} answers {http_status}, so nothing may be asked for"
        return RobotsRules(failure=Failure(TRANSIENT, "robots_unavailable", detail))
    if http_status != 200:
        return RobotsRules()
    rules = RobotsRules(text, name=settings.robots_name)
    if rules.crawl_delay > settings.max_crawl_delay:
        detail = (
            f"{ROBOTS_PATH} asks for {rules.crawl_delay:g} s between requests, "
            f"more than fetch.max_crawl_delay ({settings.max_crawl_delay:g} s)"
        )
        return RobotsRules(failure=Failure(TRANSIENT, "crawl_delay_too_long", detail))
    return rules
