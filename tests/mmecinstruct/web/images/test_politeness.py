"""No host gets more or faster requests than it and the recipe allow; a waiting host blocks no other."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from mmecinstruct.web.headers import retry_after
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.images.worker import backoff

TEXT = (("Content-Type", "text/plain"),)


def robots(answer: Any, *lines: str) -> Any:
    return answer(body="\n".join(lines).encode(), headers=TEXT)


def test_robots_is_requested_once_per_origin(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    hosts = ("a.example", "b.example")
    fetch([images.url(f"/{n}.jpg", host) for n in range(20) for host in hosts])
    for host in hosts:
        assert images.asked("/robots.txt", host) == 1
        assert next(r.path for r in images.log if r.host == host) == "/robots.txt"
    fetch([images.url("/later.jpg", "a.example")])
    assert images.asked("/robots.txt", "a.example") == 1
    fetch([images.url("/expired.jpg", "a.example")], robots_max_age=0)
    assert images.asked("/robots.txt", "a.example") == 2


def test_disallowed_urls_are_not_requested(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    images.routes["/robots.txt"] = robots(
        answer, "User-agent: *", "Disallow: /private/", "", "User-agent: otherbot", "Disallow: /"
    )
    urls = [images.url(path) for path in ("/private/a.jpg", "/b.jpg")]
    report = fetch(urls)
    assert report.counts == {"fetched": 1, "robots_disallowed": 1}
    assert images.paths() == ["/b.jpg"]
    assert report.snapshot["status"].to_pylist() == ["fetched", "permanent"]
    assert fetch(urls, honour_robots=False).counts == {"fetched": 2}


def test_rules_for_our_name_are_found(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    images.routes["/robots.txt"] = robots(
        answer, "User-agent: *", "Allow: /", "User-agent: MMECInstruct", "Disallow: /"
    )
    assert fetch.reason(images.url("/a.jpg")) == ("permanent", "robots_disallowed")
    own = "shopcrawler/2 ({contact})"
    assert fetch.reason(images.url("/b.jpg"), user_agent=own) == ("fetched", "")


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_host_without_robots_allows_all(fetch: Any, images: Any, answer: Any, status: int) -> None:
    images.default = answer(body=b"x")
    images.routes["/robots.txt"] = answer(status)
    assert fetch.reason(images.url("/a.jpg")) == ("fetched", "")


@pytest.mark.parametrize("trouble", [{"status": 500}, {"status": 429}, {"hang_up": True}])
def test_a_host_whose_robots_is_unavailable_is_left_alone(
    fetch: Any, images: Any, answer: Any, trouble: dict[str, Any]
) -> None:
    images.default = answer(body=b"x")
    images.routes["/robots.txt"] = answer(**trouble)
    report = fetch([images.url(f"/{n}.jpg") for n in range(5)])
    assert report.counts == {"robots_unavailable": 5}
    assert set(report.snapshot["status"].to_pylist()) == {"transient"}
    assert images.paths() == []
    assert images.asked("/robots.txt") == 2


def test_robots_may_be_redirected(fetch: Any, images: Any, answer: Any, redirect: Any) -> None:
    images.default = answer(body=b"x")
    images.routes["a.example", "/robots.txt"] = redirect(images.url("/rules.txt", "b.example"))
    images.routes["b.example", "/rules.txt"] = robots(answer, "User-agent: *", "Disallow: /a")
    report = fetch([images.url(path, "a.example") for path in ("/a.jpg", "/b.jpg")])
    assert report.counts == {"fetched": 1, "robots_disallowed": 1}


@pytest.mark.parametrize("line", ["Crawl-delay: 0.2", "Request-rate: 5/1"])
def test_the_crawl_delay_is_kept(fetch: Any, images: Any, answer: Any, line: str) -> None:
    images.default = answer(body=b"x")
    images.routes["slow.example", "/robots.txt"] = robots(answer, "User-agent: *", line, "Disallow:")
    urls = [images.url(f"/{n}", host) for n in range(4) for host in ("slow.example", "other.example")]
    assert fetch(urls).counts == {"fetched": 8}
    times = [request.time for request in images.log if request.host == "slow.example"]
    assert len(times) == 5  # robots.txt too
    # A busy machine lets the server read its clock late; the exact times are for the scheduler's tests.
    assert times[-1] - times[0] >= 0.6


def test_a_crawl_delay_beyond_the_recipes_patience(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    images.routes["/robots.txt"] = robots(answer, "User-agent: *", "Crawl-delay: 3600")
    assert fetch.reason(images.url("/a.jpg")) == ("transient", "crawl_delay_too_long")
    assert images.paths() == []


def test_the_rate_per_host_is_kept(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    hosts = ("a.example", "b.example")
    fetch([images.url(f"/{n}", host) for n in range(8) for host in hosts], requests_per_second=20)
    for host in hosts:
        times = [request.time for request in images.log if request.host == host]
        assert times[-1] - times[0] >= 0.3  # 8 intervals of 0.05
    # Side by side, not one host after the other.
    assert {request.host for request in images.log[:8]} == set(hosts)


def test_connections_per_host_are_limited_and_kept_open(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x", delay=0.02)
    hosts = ("a.example", "b.example", "c.example")
    fetch(
        [images.url(f"/{n}", host) for n in range(20) for host in hosts],
        connections_per_host=2,
        threads=12,
    )
    for host in hosts:
        assert images.most_at_once[host] == 2
        assert len({request.connection for request in images.log if request.host == host}) <= 2


def test_a_failed_response_keeps_its_connection_open(
    fetch: Any, images: Any, answer: Any, redirect: Any
) -> None:
    images.routes["/moved"] = redirect("/there")
    images.routes["/there"] = answer(body=b"x")
    images.routes["/gone"] = answer(410, body=b"a page that says so" * 100)
    fetch([images.url(path) for path in ("/moved", "/gone", "/missing", "/there")], threads=1)
    assert len(images.log) == 6
    assert len({request.connection for request in images.log}) == 1


def test_a_host_that_waits_delays_no_other(fetch: Any, images: Any, answer: Any) -> None:
    """Also with a single thread and ten images of the waiting host."""
    images.default = answer(body=b"x", delay=0.005)
    wait = answer(429, headers=(("Retry-After", "1"),))
    images.routes["busy.example", "/0"] = (wait, answer(body=b"x"))
    busy = [images.url(f"/{n}", "busy.example") for n in range(10)]
    free = [images.url(f"/{n}", "free.example") for n in range(12)]
    report = fetch([*busy, *free], threads=1)
    assert report.counts == {"fetched": 22}
    hosts = [request.host for request in images.log if request.path != "/robots.txt"]
    first = hosts.index("busy.example")
    again = hosts.index("busy.example", first + 1)
    assert hosts[first + 1 : again].count("free.example") == 12 - hosts[:first].count("free.example")
    times = [r.time for r in images.log if r.host == "busy.example" and r.path != "/robots.txt"]
    assert times[1] - times[0] >= 0.99


def test_retry_after_as_a_date_is_kept(fetch: Any, images: Any, answer: Any) -> None:
    date = int(time.time()) + 2
    header = ("Retry-After", formatdate(date, usegmt=True))
    images.routes["/a.jpg"] = (answer(503, headers=(header,)), answer(body=b"x"))
    assert fetch.reason(images.url("/a.jpg")) == ("fetched", "")
    again = [request.time for request in images.log if request.path == "/a.jpg"][1]
    assert again + time.time() - time.monotonic() > date - 0.05


def test_a_host_that_asks_for_too_long_a_wait_is_left_alone(fetch: Any, images: Any, answer: Any) -> None:
    images.default = answer(body=b"x")
    images.routes["busy.example", "/0"] = answer(429, headers=(("Retry-After", "86400"),))
    urls = [images.url(f"/{n}", host) for host in ("busy.example", "free.example") for n in range(6)]
    report = fetch(urls, threads=1)
    assert report.counts == {"fetched": 6, "retry_later": 6}
    assert images.paths("busy.example") == ["/0"]
    again = fetch(urls, retry_failed=True)
    assert again.asked == 6


def test_a_host_that_fails_and_fails_is_given_up(fetch: Any, images: Any, answer: Any) -> None:
    images.routes.update({f"/{n}": answer(500) for n in range(50)})
    report = fetch([images.url(f"/{n}") for n in range(50)], threads=1, host_failures=6)
    assert report.counts["host_failing"] >= 44
    assert sum(report.counts.values()) == 50
    assert len(images.paths()) == 6


def test_an_answer_ends_a_row_of_failures(fetch: Any, images: Any, answer: Any) -> None:
    for number in range(20):
        images.routes[f"/{number}"] = (answer(500), answer(body=b"x"))
    report = fetch([images.url(f"/{n}") for n in range(20)], threads=1, host_failures=21)
    assert report.counts == {"fetched": 20}


def test_backoff_doubles_to_its_cap_and_is_spread() -> None:
    settings = FetchSettings(backoff_base=1, backoff_cap=60)
    for failures, whole in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
        waits = {backoff(settings, f"url {n}", failures) for n in range(50)}
        assert len(waits) == 50
        assert all(0.5 * whole <= wait < 1.5 * whole for wait in waits)
    assert backoff(settings, "url", 3) == backoff(settings, "url", 3)
    assert backoff(settings, "url", 10_000) <= 90


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 400, 999_999_999.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_retry_after_as_seconds_and_dates(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=100.0) == seconds
