"""The scheduler with a clock that the test advances."""

from __future__ import annotations

from typing import Any

from mmecinstruct.web.addresses import WebAddress, check_url
from mmecinstruct.web.images.robots import RobotsRules
from mmecinstruct.web.images.scheduler import Job, Scheduler, Turn
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.outcome import FetchFailure


class Clocked:
    """A scheduler, its clock, and the jobs of a few hosts."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        named = {"honour_robots": False, "requests_per_second": 1, "connections_per_host": 2, **settings}
        self.scheduler = Scheduler(FetchSettings.model_validate(named), clock=lambda: self.now)

    def add(self, *urls: str) -> None:
        for url in urls:
            address = check_url(f"http://{url}")
            assert isinstance(address, WebAddress)
            self.scheduler.add(Job(url, address))

    def turn(self) -> Turn | None:
        return self.scheduler.take(wait=False)

    def job(self) -> Job:
        turn = self.turn()
        assert turn is not None
        assert turn.job is not None
        assert turn.failure is None
        return turn.job

    def urls(self) -> list[str]:
        """Take all ready jobs and release each at once."""
        found = []
        while (turn := self.turn()) is not None:
            assert turn.job is not None
            found.append(turn.job.url)
            self.scheduler.release(turn.job, answered=True)
        return found


def test_one_request_per_interval_and_host() -> None:
    clocked = Clocked()
    clocked.add("a/1", "a/2", "b/1", "a/3", "b/2")
    seconds = []
    for _ in range(4):
        seconds.append(clocked.urls())
        clocked.now += 1
    assert seconds == [["a/1", "b/1"], ["a/2", "b/2"], ["a/3"], []]


def test_a_host_has_no_more_connections_than_its_limit() -> None:
    clocked = Clocked(requests_per_second=1000)
    clocked.add("a/1", "a/2", "a/3")
    first = clocked.job()
    clocked.now += 1
    clocked.job()
    clocked.now += 1
    assert clocked.turn() is None
    clocked.scheduler.release(first, answered=True)
    assert clocked.job().url == "a/3"


def test_a_failed_job_waits_while_its_host_continues() -> None:
    clocked = Clocked()
    clocked.add("a/1", "a/2")
    clocked.scheduler.failed(clocked.job(), again=5.0, host_delay=None)
    clocked.now += 1
    assert clocked.urls() == ["a/2"]
    clocked.now += 3.5
    assert clocked.urls() == []
    clocked.now += 0.5
    assert clocked.urls() == ["a/1"]


def test_a_busy_host_waits_as_a_whole() -> None:
    clocked = Clocked()
    clocked.add("a/1", "a/2", "b/1")
    clocked.scheduler.failed(clocked.job(), again=1.0, host_delay=10.0)
    clocked.now += 9
    assert clocked.urls() == ["b/1"]
    clocked.now += 1
    assert clocked.urls() == ["a/1"]
    clocked.now += 1
    assert clocked.urls() == ["a/2"]


def test_requests_that_fail_together_count_once() -> None:
    clocked = Clocked(requests_per_second=1000, connections_per_host=4)
    clocked.add("a/1", "a/2", "a/3")
    jobs = []
    for _ in range(3):
        jobs.append(clocked.job())
        clocked.now += 0.01
    for job in jobs:
        clocked.scheduler.failed(job, again=1.0, host_delay=None)
    assert clocked.scheduler.failures(jobs[0]) == 1


def test_a_closed_host_fails_waiting_and_later_jobs() -> None:
    clocked = Clocked()
    clocked.add("a/1", "a/2", "b/1")
    job = clocked.job()
    failure = FetchFailure("transient", "retry_later", "")
    clocked.scheduler.close_host(job, failure)
    clocked.scheduler.failed(job, again=1.0, host_delay=None)
    clocked.add("a/3")
    turns = [clocked.turn() for _ in range(5)]
    assert [turn.job.url for turn in turns if turn and turn.job and turn.failure is None] == ["b/1"]
    assert [turn.job.url for turn in turns if turn and turn.job and turn.failure == failure] == [
        *("a/2", "a/1", "a/3"),
    ]


def test_images_wait_for_the_rules_of_their_host_alone() -> None:
    clocked = Clocked(honour_robots=True)
    clocked.add("a/1", "a/2", "a/3", "b/1")
    robots = clocked.job()
    assert robots.address.url == "http://a/robots.txt"
    assert clocked.job().address.url == "http://b/robots.txt"
    clocked.now += 10
    assert clocked.turn() is None
    clocked.scheduler.release(robots, answered=True)
    assert robots.robots_of is not None
    rules = RobotsRules("User-agent: *\nDisallow: /2\nCrawl-delay: 3", name="x")
    clocked.scheduler.set_rules(robots.robots_of, rules)
    rejected = clocked.turn()
    assert rejected is not None
    assert rejected.job is not None
    assert rejected.job.url == "a/2"
    assert rejected.failure is not None
    seconds = []
    for _ in range(7):
        seconds.append(clocked.urls())
        clocked.now += 1
    assert seconds == [[], [], [], ["a/1"], [], [], ["a/3"]]


def test_local_tasks_need_no_host() -> None:
    clocked = Clocked()
    done: list[int] = []
    clocked.scheduler.add_task(lambda: done.append(1))
    turn = clocked.turn()
    assert turn is not None
    assert turn.task is not None
    turn.task()
    assert done == [1]


def test_a_stopped_scheduler_gives_no_turns() -> None:
    clocked = Clocked()
    clocked.add("a/1")
    clocked.scheduler.stop()
    assert clocked.scheduler.take() is None
