from __future__ import annotations

import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from caslie_model.errors import RunError
from caslie_model.inference import server_client, server_queue
from caslie_model.inference.prices import Spending
from caslie_model.inference.server_client import ChatFailure
from caslie_model.inference.server_messages import ChatRequest
from caslie_model.inference.server_queue import ask_all
from caslie_model.inference.server_replies import ChatReply
from caslie_model.inference.server_settings import ServerSettings
from caslie_model.prompts.message import Turn
from mmecinstruct.core.errors import DatasetError
from tests.servers.chat_questions import Pictures, number_of
from tests.servers.chat_server import Asked, Canned, ChatServer, completion

KEY = "sk-very-secret-key-0123456789"
Outcome = ChatReply | ChatFailure
WELL = Canned(completion("well"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "BACKOFF_BASE", 0.01)


def request(number: int, **changes: Any) -> tuple[int, ChatRequest]:
    turns = (Turn("system", ("Be short.",)), Turn("user", (f"Order {number} came.",)))
    return number, ChatRequest(f"request {number}", turns, **({"max_tokens": 9} | changes))


def ask(url: str, count: int = 1, key: str | None = None, **changes: Any) -> dict[int, Outcome]:
    settings = ServerSettings("tiny", url, **({"retries": 3} | changes))
    groups = ask_all(settings, Pictures(), Spending(), key, (request(number) for number in range(count)))
    return {number: outcome for group in groups for number, outcome in group}


def text_of(outcome: Outcome) -> str:
    assert isinstance(outcome, ChatReply), outcome
    return outcome.text


def detail_of(outcome: Outcome) -> str:
    assert isinstance(outcome, ChatFailure), outcome
    return outcome.detail


def at_first(*canned: Canned) -> Callable[[Asked], Canned]:
    """Answer each question with the faults one after another, then well."""
    tries: Counter[int] = Counter()

    def answer(asked: Asked) -> Canned:
        number = number_of(asked)
        tries[number] += 1
        return [*canned, Canned(completion("well"))][min(tries[number], len(canned) + 1) - 1]

    return answer


def test_a_conversation_is_continued_without_any_sample() -> None:
    with ChatServer(lambda asked: Canned(completion("well"))) as server:
        reply = ask(server.url)[0]
    assert [message["role"] for message in server.asked[0].body["messages"]] == ["system", "user"]
    assert isinstance(reply, ChatReply)
    assert reply.text == "well"
    assert reply.usage is not None
    assert [reply.usage.prompt, reply.usage.completion] == [100, 2]


FAULTS = {
    "a busy server": Canned(status=429),
    "an error of the server": Canned({"error": {"message": "out of memory"}}, 500),
    "a proxy without a server": Canned(b"<html>Bad gateway</html>", 502),
    "a timeout of the server": Canned(status=408),
    "a conflict": Canned(status=409),
    "a broken connection": Canned(drops=True),
    "no JSON": Canned(b"<html>"),
    "half of the JSON": Canned(json.dumps(completion("well")).encode()[:40]),
    "no number": Canned(b'{"choices": NaN}'),
    "JSON that is nested too deeply": Canned(b"[" * 100_000),
    "a list": Canned([1]),
    "no choices": Canned({"choices": []}),
    "a choice without a message": Canned({"choices": [{"text": "well"}]}),
    "an answer that was cut off before it began": Canned(completion(None, finish_reason="length")),
    "a body without an end": Canned(b"x" * (server_client.MAX_BODY + 1)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_asked_again(fault: str) -> None:
    with ChatServer(at_first(FAULTS[fault])) as server:
        assert text_of(ask(server.url)[0]) == "well"
    assert len(server.asked) == 2


def test_a_slow_answer_is_given_up_and_asked_again() -> None:
    with ChatServer(at_first(Canned(completion("late"), delay=30))) as server:
        assert text_of(ask(server.url, request_timeout=0.3)[0]) == "well"


def test_retries_end_and_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    with ChatServer(lambda asked: Canned({"error": "out of memory"}, 503)) as server:
        assert detail_of(ask(server.url, retries=2)[0]) == "status 503: out of memory"
    assert len(server.asked) == 3
    told = capsys.readouterr().err
    assert told.count("status 503: out of memory; asking again") == 1


def test_an_answer_that_costs_money_is_asked_again_only_once() -> None:
    with ChatServer(lambda asked: Canned(completion(None, finish_reason="length"))) as server:
        assert "a model that reasons first needs more" in detail_of(ask(server.url, retries=5)[0])
    assert len(server.asked) == 2


def test_an_answer_without_words_is_an_answer() -> None:
    for message in ({"content": None}, {"content": ""}, {"role": "assistant"}):
        reply = completion("") | {"choices": [{"message": message, "finish_reason": "stop"}]}
        with ChatServer(lambda asked, reply=reply: Canned(reply)) as server:  # type: ignore[misc]
            assert text_of(ask(server.url)[0]) == ""


def test_content_in_parts_and_halves_of_characters_are_read() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "we\ud800ll"}]
    with ChatServer(lambda asked: Canned(completion(parts))) as server:  # type: ignore[arg-type]
        assert text_of(ask(server.url)[0]) == "we?ll"


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_the_server_is_left_alone_as_long_as_it_asks(kind: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    answer = at_first(Canned(status=429, headers={"Retry-After": "1" if kind == "seconds" else date}))
    start = time.monotonic()
    with ChatServer(answer) as server:
        assert text_of(ask(server.url)[0]) == "well"
    assert time.monotonic() - start > 0.9


def test_a_pause_that_the_server_asks_for_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "MAX_RETRY_AFTER", 0.1)
    start = time.monotonic()
    with ChatServer(at_first(Canned(status=429, headers={"Retry-After": "3600"}))) as server:
        assert text_of(ask(server.url)[0]) == "well"
    assert time.monotonic() - start < 10


def test_a_refused_request_fails_alone() -> None:
    long = {"error": {"message": "This model's maximum context length is 4096 tokens."}}

    def answer(asked: Asked) -> Canned:
        return Canned(long, 400) if number_of(asked) == 3 else Canned(completion("well"))

    with ChatServer(answer) as server:
        found = ask(server.url, 8)
    assert detail_of(found.pop(3)) == "status 400: This model's maximum context length is 4096 tokens."
    assert {text_of(outcome) for outcome in found.values()} == {"well"}
    assert len(server.asked) == 8


@pytest.mark.parametrize(
    ("status", "key", "remedy"),
    [
        (401, None, "put the server's key into the environment variable OTHER_KEY"),
        (401, KEY, "does not accept the key in the environment variable OTHER_KEY"),
        (402, KEY, "no money left"),
        (403, KEY, "may not use this model"),
        (404, None, "check the name after `openai:`.*and `server` .requests go to /v1/chat/completions"),
        (301, None, "give its new address in `server`"),
    ],
)
def test_what_every_request_would_get_stops_the_run(status: int, key: str | None, remedy: str) -> None:
    said = {"error": {"message": f"bad key {KEY}\x1b[2J\nand more", "type": "x"}}
    with ChatServer(lambda asked: Canned(said, status)) as server:
        with pytest.raises(RunError, match=f"model tiny: status {status}.*{remedy}") as caught:
            ask(server.url, 100, key, api_key_env="OTHER_KEY", concurrency=4)
        assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert len(server.asked) <= (12 if status == 403 else 4)
    assert KEY not in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_account_without_money_stops_the_run() -> None:
    said = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    with ChatServer(lambda asked: Canned(said, 429)) as server, pytest.raises(RunError, match="top it up"):
        ask(server.url, 10)


def test_an_answer_that_is_compressed_is_read_and_none_that_swells() -> None:
    well = gzip.compress(json.dumps(completion("well")).encode())
    with ChatServer(lambda asked: Canned(well, headers={"Content-Encoding": "gzip"})) as server:
        assert text_of(ask(server.url)[0]) == "well"
    twice = {"Content-Encoding": "gzip, gzip"}
    with ChatServer(lambda asked: Canned(gzip.compress(well), headers=twice)) as server:
        assert "encoded as 'gzip, gzip'" in detail_of(ask(server.url, retries=0)[0])


def test_a_request_that_a_filter_denies_fails_alone() -> None:
    def answer(asked: Asked) -> Canned:
        flagged = Canned({"error": {"message": "flagged by moderation"}}, 403)
        return flagged if number_of(asked) in (0, 5) else Canned(completion("well"), delay=0.01)

    with ChatServer(answer) as server:
        found = ask(server.url, 12, concurrency=2)
    assert {number for number, outcome in found.items() if isinstance(outcome, ChatFailure)} == {0, 5}
    assert detail_of(found[0]) == "status 403: flagged by moderation"


NEWER = {
    "message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
    "param": None,
}


@pytest.mark.parametrize("param", ["max_tokens", None])
def test_a_limit_under_its_newer_name_is_sent_where_the_server_wants_it(param: str | None) -> None:
    def answer(asked: Asked) -> Canned:
        return Canned({"error": {**NEWER, "param": param}}, 400) if "max_tokens" in asked.body else WELL

    with ChatServer(answer) as server:
        found = ask(server.url, 20, concurrency=4, retries=0)
    assert {text_of(outcome) for outcome in found.values()} == {"well"}
    assert len(server.asked) <= 24
    assert "max_tokens" not in server.asked[-1].body
    assert server.asked[-1].body["max_completion_tokens"] == 9


def test_a_server_that_wants_neither_name_of_the_limit_is_asked_twice() -> None:
    with ChatServer(lambda asked: Canned({"error": NEWER}, 400)) as server:
        assert "max_completion_tokens" in detail_of(ask(server.url)[0])
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            {"error": {"message": "does not support 0", "param": "temperature"}},
            "request_temperature=null",
        ),
        ({"error": {"message": "`temperature` is deprecated for this model."}}, "request_temperature=null"),
        ([{"error": {"message": 'Unknown name "seed": Cannot find field.'}}], "request_seed=null"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}, "request_seed=null"),
    ],
)
def test_a_parameter_that_a_model_does_not_take_is_named(said: Any, remedy: str) -> None:
    with ChatServer(lambda asked: Canned(said, 422)) as server:
        with pytest.raises(RunError, match=f"give --set {remedy}"):
            ask(server.url, 50, concurrency=2)
        assert len(server.asked) <= 2
    with ChatServer(lambda asked: WELL) as server:
        ask(server.url, request_temperature=None, request_seed=None)
    assert not {"temperature", "seed"} & set(server.asked[0].body)


def test_a_refusal_that_speaks_of_a_thermometer_fails_alone() -> None:
    said = {"error": {"message": "Invalid request: 'temperature sensor' is blocked", "param": "messages"}}
    with ChatServer(lambda asked: Canned(said, 400)) as server:
        assert "temperature sensor" in detail_of(ask(server.url)[0])


@pytest.mark.parametrize(
    "said", [[1], {"error": [1, {"a": 2}]}, {"error": {"message": 5}}, "text", None, b"\xff\x00"]
)
def test_an_error_of_any_form_is_told(said: Any) -> None:
    with ChatServer(lambda asked: Canned(said, 400)) as server:
        assert detail_of(ask(server.url)[0]).startswith("status 400")


def test_a_server_that_is_down_stops_the_run() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    with pytest.raises(RunError, match=r"10 requests one after another got no answer.*no connection"):
        ask(url, 100, retries=1)


def test_a_server_that_refuses_everything_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_queue, "MAX_REFUSED", 5)
    said = {"error": {"message": "Unsupported parameter: 'max_tokens'"}}
    with (
        ChatServer(lambda asked: Canned(said, 400)) as server,
        pytest.raises(RunError, match=r"5 requests one after another.*Unsupported parameter"),
    ):
        ask(server.url, 100, concurrency=2)
    assert len(server.asked) < 10


@pytest.mark.parametrize(
    "proxy", ["nonsense://me:password@host", "socks5://me:password@host:1", "http://me:password@:x"]
)
def test_a_proxy_that_cannot_be_used_is_named(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(RunError, match="the proxy in the environment") as caught:
        ask("http://192.0.2.1/v1")
    assert "password" not in str(caught.value)


def test_a_server_on_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://192.0.2.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    with ChatServer(lambda asked: Canned(completion("well"))) as server:
        assert text_of(ask(server.url)[0]) == "well"


def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(RunError, match="give another address"):
        ask("http://-ü☃..x/v1")


def test_answers_that_came_are_yielded_before_the_run_stops() -> None:
    def answer(asked: Asked) -> Canned:
        return Canned(completion("well")) if number_of(asked) < 5 else Canned(status=401)

    with ChatServer(answer) as server:
        found: list[int] = []
        running = ask_all(
            ServerSettings("tiny", server.url, concurrency=1),
            Pictures(),
            Spending(),
            None,
            map(request, range(9)),
        )
        with pytest.raises(RunError):
            found.extend(number for group in running for number, _ in group)
    assert found == [0, 1, 2, 3, 4]


def test_no_more_requests_are_made_at_a_time_than_allowed() -> None:
    with ChatServer(lambda asked: Canned(completion("well"), delay=0.02)) as server:
        assert len(ask(server.url, 60, concurrency=5)) == 60
    assert server.most_at_once == 5


def test_a_slow_request_keeps_no_other_waiting() -> None:
    delays = {0: 2.0}
    with ChatServer(
        lambda asked: Canned(completion("well"), delay=delays.get(number_of(asked), 0))
    ) as server:
        settings = ServerSettings("tiny", server.url, concurrency=2)
        running = ask_all(settings, Pictures(), Spending(), None, map(request, range(40)))
        order = [number for group in running for number, _ in group]
    assert order[-1] == 0
    assert sorted(order) == list(range(40))


def test_requests_are_begun_only_as_answers_are_taken() -> None:
    with ChatServer(lambda asked: Canned(completion("well"))) as server:
        settings = ServerSettings("tiny", server.url, concurrency=3)
        running = ask_all(settings, Pictures(), Spending(), None, map(request, range(100)))
        taken = len(next(running))
        time.sleep(0.5)
        assert len(server.asked) <= taken + 6
        assert taken + sum(len(group) for group in running) == 100


def test_a_damaged_image_ends_the_run_with_its_name() -> None:
    images = Pictures()
    image = images.add("product", 5, 5)
    images.damage(image.key)
    asked = ChatRequest("one", (Turn("user", (image, "What is this?")),), 9)
    with ChatServer(lambda asked: Canned(completion("well"))) as server:
        running = ask_all(ServerSettings("tiny", server.url), images, Spending(), None, [(0, asked)])
        with pytest.raises(DatasetError, match=f"image {image.key[:16]} cannot be read"):
            list(running)
