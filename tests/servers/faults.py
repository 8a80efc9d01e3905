"""Faults of a server, by the number of what it is asked."""

from __future__ import annotations

from tests.servers.chat_server import Canned, completion


def fault_of(number: int) -> Canned | None:
    """Return what goes wrong at the first try of a request, None for most of them."""
    if number in (300, 1300):
        return Canned(completion("late"), delay=30)
    return {
        3: Canned(status=429, headers={"Retry-After": "1"} if number in (103, 1103) else {}),
        17: Canned({"error": {"message": "out of memory"}}, 500),
        31: Canned(b"<html>"),
        47: Canned({"choices": []}),
        59: Canned(drops=True),
        71: Canned(completion("", finish_reason="length")),
    }.get(number % 100)
