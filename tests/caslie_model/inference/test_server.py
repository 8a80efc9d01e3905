from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from caslie_model.errors import ConfigError, RunError
from caslie_model.inference import server_client
from caslie_model.inference.questions import Prediction, Question, Shot
from caslie_model.inference.server import ServerPredictor, ServerQuestion, open_server
from tests.servers.chat_questions import Pictures, number_of, question, sample
from tests.servers.chat_server import Asked, Canned, ChatServer, completion

KEY = "sk-very-secret-key-0123456789"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_client, "BACKOFF_BASE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def opened(at: ChatServer | None, images: Pictures | None = None, **changes: Any) -> ServerPredictor:
    values: dict[str, Any] = {"model": "openai:tiny", "server": at.url if at else None, "retries": 3}
    return open_server(SimpleNamespace(**(values | changes)), images or Pictures())


def answers(predictor: ServerPredictor, questions: list[Question]) -> dict[str, Prediction]:
    prepared = predictor.prepare(questions)
    return {
        each.question.sample.id: prediction
        for group in predictor.answer(prepared)
        for each, prediction in group
    }


def one(answer: Callable[[Asked], Canned], number: int = 1, **changes: Any) -> Prediction | None:
    with ChatServer(answer) as server:
        found = answers(opened(server, **changes), [question(number)])
    return next(iter(found.values()), None)


def say(text: str, **more: Any) -> Callable[[Asked], Canned]:
    return lambda asked: Canned(completion(text, **more))


def test_a_server_answers_questions_with_their_numbers() -> None:
    letters = "ABC"
    with ChatServer(lambda asked: Canned(completion(letters[number_of(asked) % 3]))) as server:
        found = answers(opened(server, answers="letter"), [question(number) for number in range(20)])
    assert {int(name[-4:]): prediction.label for name, prediction in found.items()} == {
        number: letters[number % 3] for number in range(20)
    }
    assert {prediction.text for prediction in found.values()} == set(letters)


def test_a_request_says_model_decoding_and_room_for_the_answer() -> None:
    with ChatServer(say("negative")) as server:
        found = answers(opened(server), [question(7)])
    body = server.asked[0].body
    assert server.asked[0].path == "/v1/chat/completions"
    assert [body["model"], body["temperature"], body["seed"]] == ["tiny", 0, 0]
    assert len("very positive") < body["max_tokens"] < 100
    assert body["messages"][0]["content"].startswith("Judge the review.\n\nreview: Order 7 came on a Monday.")
    assert found["sentiment_analysis-test-0007"].label == "B"


def test_no_key_and_no_token_of_the_hub_is_sent_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    monkeypatch.setenv("OTHER_KEY", KEY)
    with ChatServer(say("negative")) as server:
        answers(opened(server), [question(1)])
        answers(opened(server, api_key_env="OTHER_KEY"), [question(1)])
    assert "authorization" not in server.asked[0].headers
    assert server.asked[1].headers["authorization"] == f"Bearer {KEY}"
    assert "hf_secret" not in str(server.asked)


def test_images_stand_in_their_places_as_data_uris() -> None:
    images = Pictures()
    small, large = images.add("option B", 20, 10, "WEBP"), images.add("product", 400, 100)
    with ChatServer(say("negative")) as server:
        answers(opened(server, images, max_pixels=10_000), [question(1, images=(large, small))])
    parts = server.asked[0].body["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url", "text", "image_url", "text"]
    assert parts[1]["text"].endswith("A: very positive\n")
    assert parts[3]["text"].startswith("B: negative")
    shrunk, own = (part["image_url"]["url"].partition(";base64,") for part in (parts[0], parts[2]))
    assert own[0] == "data:image/webp"
    assert base64.b64decode(own[2]) == images.content(small.key)
    assert shrunk[0] == "data:image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(shrunk[2]))).size == (200, 50)


def test_captions_are_part_of_the_message() -> None:
    asked = question(7)
    captioned = replace(
        asked, sample=replace(asked.sample, image_roles=("review",), captions=("A red mug.",))
    )
    with ChatServer(say("negative")) as server:
        answers(opened(server), [asked])
        answers(opened(server), [captioned])
    before, after = (each.body["messages"][0]["content"] for each in server.asked)
    assert after.replace("what the image shows: A red mug.\n", "") == before != after


def test_shots_are_earlier_turns() -> None:
    asked = Question(sample(1), shots=(Shot(sample(2, output="C")), Shot(sample(3))))
    with ChatServer(say("negative")) as server:
        answers(opened(server), [asked])
    messages = server.asked[0].body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert [messages[1]["content"], messages[3]["content"]] == ["neutral", "very positive"]
    assert "Order 3 came" in messages[2]["content"]


def test_control_tokens_of_served_models_are_broken_up() -> None:
    fields = (
        sample(1).fields[0],
        sample(1).fields[0].__class__("note", ("<|im_end|> x </s> <image>",), False),
    )
    with ChatServer(say("negative")) as server:
        answers(opened(server), [question(1, fields=fields)])
    assert "note: < |im_end|> x < /s> < image>" in server.asked[0].text


def test_the_fingerprint_is_of_all_that_the_model_gets() -> None:
    def print_of(asked: Question, **changes: Any) -> str:
        return opened(None, server="http://127.0.0.1:1/v1", **changes).prepare([asked])[0].fingerprint

    images = Pictures()
    image = images.add("product", 10, 10)
    same = print_of(question(1))
    assert len(same) == 16
    assert print_of(question(1, "order 1")) == same
    others = [
        print_of(question(2)),
        print_of(question(1, images=(image,))),
        print_of(question(1, options={**sample(1).options, "C": "neither"})),
        print_of(Question(sample(1), shots=(Shot(sample(2)),))),
        print_of(question(1), answers="letter"),
        print_of(question(1), model="openai:other"),
        print_of(question(1), request_seed=1),
        print_of(question(1, instruction="Judge it.")),
    ]
    assert len({same, *others}) == 9


def test_a_server_is_asked_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="give `concurrency` instead"):
        opened(None, server="http://127.0.0.1:8000/v1")


def test_the_provenance_names_model_and_decoding_but_no_address() -> None:
    predictor = opened(None, server="http://127.0.0.1:8000/v1")
    assert predictor.provenance["model"] == "tiny"
    assert predictor.provenance["seed"] == 0
    assert "127.0.0.1" not in str(predictor.provenance)
    moved = opened(None, server="https://elsewhere.example/v1", concurrency=3, retries=9)
    assert moved.provenance == predictor.provenance
    assert opened(None, server="http://127.0.0.1:8000/v1", max_pixels=5000).provenance != predictor.provenance


def first_token(*tokens: tuple[str, float]) -> dict[str, Any]:
    entries = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in tokens]
    return {"logprobs": {"content": [{**entries[0], "top_logprobs": entries}]}}


def test_likelihood_adds_the_forms_of_a_letter_and_ranks_absent_ones_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    forms = first_token(("The", -0.5), ("B", -3.0), (" A", -2.0), ("a", -2.5), ("▁A", -2.5), ("ĠB", -2.2))
    with ChatServer(say("The", **forms)) as server:
        found = answers(opened(server, scoring="likelihood", answers="letter"), [question(1)])
    prediction = found["sentiment_analysis-test-0001"]
    assert prediction.scores == {
        "A": pytest.approx(math.log(math.exp(-2.0) + 2 * math.exp(-2.5))),
        "B": pytest.approx(math.log(math.exp(-3.0) + math.exp(-2.2))),
    }
    assert [prediction.label, prediction.absent, prediction.tokens] == ["A", ("C",), {"A": 1, "B": 1}]
    assert prediction.finite
    body = server.asked[0].body
    assert [body["max_tokens"], body["logprobs"], body["top_logprobs"]] == [1, True, 20]
    assert "1 labels of 1 questions are not among the server's 20 likeliest tokens" in capsys.readouterr().err


def test_likelihood_of_yes_and_no_takes_all_their_forms() -> None:
    forms = first_token((" Yes", -2.0), ("yes", -2.0), ("NO", -1.5))
    with ChatServer(say("", finish_reason="length", **forms)) as server:
        found = answers(
            opened(server, scoring="likelihood", answers="letter"), [question(1, options={}, output="yes")]
        )
    prediction = found["sentiment_analysis-test-0001"]
    assert prediction.scores == {"yes": pytest.approx(math.log(2 * math.exp(-2.0))), "no": -1.5}
    assert prediction.label == "yes"


def test_a_question_without_any_scored_label_is_unparsable() -> None:
    prediction = one(say("Sure", **first_token(("Sure", -0.1))), scoring="likelihood", answers="letter")
    assert prediction is not None
    assert [prediction.label, prediction.scores, prediction.absent] == [None, {}, ("A", "B", "C")]


def test_a_server_without_logprobs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert one(say("A"), scoring="likelihood", answers="letter", retries=1) is None
    assert "the server does not give them; use scoring=generate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scoring": "likelihood", "answers": "text"}, "give answers=letter, or scoring=generate"),
        ({"scoring": "likelihood"}, "give answers=letter"),
        ({"server": None}, "give `server`"),
        ({"model": "openai:"}, "openai:NAME"),
        ({"server": "ftp://host/v1"}, "expected a base URL"),
        ({"server": "host:8000"}, "expected a base URL"),
        ({"server": "http://host:99999/v1"}, "expected a base URL"),
        ({"server": f"https://me:{KEY}@host/v1"}, "api_key_env"),
        ({"server": f"https://host/v1?key={KEY}"}, "api_key_env"),
        ({"budget": 5.0}, "price_input and price_output"),
        ({"price_input": 5.0}, "give both"),
        ({"write_batch": Path("a"), "read_batch": (Path("b"),)}, "written first"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        opened(None, **({"server": "http://127.0.0.1:8000/v1"} | changes))
    assert KEY not in str(caught.value)


def test_a_key_that_is_none_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", f"{KEY}\nX-Evil: 1")
    with pytest.raises(ConfigError, match="OTHER_KEY") as caught:
        opened(None, server="http://127.0.0.1:8000/v1", api_key_env="OTHER_KEY")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/chat/completions"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1/chat/completions"),
        ("https://h.example/v1beta/openai", "https://h.example/v1beta/openai/chat/completions"),
        ("https://h.example/v1/chat/completions", "https://h.example/v1/chat/completions"),
    ],
)
def test_requests_go_below_the_base_url(server: str, url: str) -> None:
    assert server_client.chat_url(server) == url


def usage_of(prediction: Prediction) -> dict[str, float]:
    assert prediction.usage is not None
    return dict(prediction.usage)


def test_tokens_and_money_are_counted_with_unusable_answers() -> None:
    seen: list[int] = []

    def answer(asked: Asked) -> Canned:
        seen.append(1)
        if len(seen) == 1:
            return Canned(completion("", finish_reason="length"))
        return Canned(
            completion("negative")
            | {
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 2,
                    "prompt_tokens_details": {"cached_tokens": 60},
                }
            }
        )

    prediction = one(answer, price_input=1.0, price_output=10.0)
    assert prediction is not None
    assert usage_of(prediction) == {
        "prompt_tokens": 100,
        "completion_tokens": 2,
        "cached_tokens": 60,
        "cost": pytest.approx(2 * 120e-6),
    }


def test_the_budget_is_never_exceeded_and_covers_earlier_runs(capsys: pytest.CaptureFixture[str]) -> None:
    # 120 each: prompts of 100 tokens at 1, answers of 2 at 10; a budget for 50 of them, 20 of which were asked before.
    prices = {"price_input": 1.0, "price_output": 10.0, "budget": 50 * 120e-6}
    questions = [question(number) for number in range(200)]
    with ChatServer(lambda asked: Canned(completion("negative"), delay=0.005)) as server:
        predictor = opened(server, **prices)
        predictor.resume([{"usage": {"cost": 120e-6}}] * 20 + [{"usage": None}, {}])
        found: list[Prediction] = []
        running = predictor.answer(predictor.prepare(questions))
        with pytest.raises(RunError, match="with a larger budget to go on"):
            found.extend(prediction for group in running for _, prediction in group)
    # The last ones are not asked, as they might have used all of max_tokens.
    assert 25 <= len(found) <= 30
    assert len(server.asked) == len(found)
    assert predictor.spending.spent == pytest.approx((20 + len(found)) * 120e-6)
    assert predictor.spending.spent <= 50 * 120e-6
    assert "of a budget of 0.006" in capsys.readouterr().err


def test_money_of_failed_requests_is_kept_with_the_next_answer() -> None:
    def answer(asked: Asked) -> Canned:
        return Canned(completion("", finish_reason="length") if number_of(asked) % 2 else completion("A"))

    prices = {"price_input": 1.0, "price_output": 1.0, "answers": "letter", "concurrency": 1}
    with ChatServer(answer) as server:
        first = opened(server, **prices)
        found = answers(first, [question(number) for number in (1, 2, 3, 4)])
    assert len(found) == 2
    later = opened(server, **prices)
    later.resume({"usage": each.usage} for each in found.values())
    assert later.spending.spent == pytest.approx(first.spending.spent) == pytest.approx(6 * 102e-6)


def test_another_name_of_the_model_that_answers_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    one(lambda asked: Canned({**completion("A"), "model": "tiny"}))
    assert "server's words" not in capsys.readouterr().err
    one(lambda asked: Canned({**completion("A"), "model": "llama\x1b[2J"}))
    assert r"tiny is, in the server's words: llama\u001b[2J" in capsys.readouterr().err
    assert one(lambda asked: Canned({**completion("A"), "model": ["x"]})) is not None


def test_money_is_told_where_the_server_counts_no_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    one(lambda asked: Canned({**completion("A"), "usage": None}), price_input=1.0, price_output=1.0)
    assert "spent in all: 0.00" in capsys.readouterr().err


def test_a_key_that_a_server_echoes_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    found = one(lambda asked: Canned(completion(asked.headers["authorization"])), api_key_env="MY_KEY")
    assert found is not None
    assert found.text == "Bearer ***"


def test_a_key_in_the_place_of_its_variable_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="expected the name of an environment variable") as caught:
        open_server(SimpleNamespace(model="openai:m", server="http://localhost", api_key_env=KEY), Pictures())
    assert KEY not in str(caught.value)


def test_a_model_reads_a_batch_of_questions_twice_with_the_same_prompts() -> None:
    predictor = opened(None, server="http://127.0.0.1:1/v1")
    first, second = (predictor.prepare([question(1), question(2, "order 1")]) for _ in range(2))
    assert [each.custom_id for each in first] == [each.custom_id for each in second]
    assert all(isinstance(each, ServerQuestion) and len(each.custom_id) <= 64 for each in first)
    assert len({each.custom_id for each in first}) == 2


def test_closing_ends_at_once_and_gives_up_requests() -> None:
    with ChatServer(
        lambda asked: Canned(completion("negative"), delay=0 if number_of(asked) == 0 else 60)
    ) as server:
        predictor = opened(server)
        running = predictor.answer(predictor.prepare([question(number) for number in range(9)]))
        next(running)
        with pytest.raises(KeyboardInterrupt):
            running.throw(KeyboardInterrupt)  # type: ignore[attr-defined]


def test_a_key_that_can_be_read_on_its_way_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    for server in ("http://127.0.0.1:8000/v1", "https://host.example/v1"):
        opened(None, server=server, api_key_env="OTHER_KEY")
    assert capsys.readouterr().err == ""
    opened(None, server="http://host.example/v1", api_key_env="OTHER_KEY")
    told = capsys.readouterr().err
    assert "no https address" in told
    assert KEY not in told


def test_the_key_of_openai_is_for_its_own_server_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(say("negative")) as server:
        answers(opened(server), [question(1)])
        answers(opened(server, api_key_env="OPENAI_API_KEY"), [question(1)])
    assert [asked.headers.get("authorization") for asked in server.asked] == [None, f"Bearer {KEY}"]
    assert opened(None, server="https://api.openai.com/v1").settings.api_key_env == "OPENAI_API_KEY"
    assert opened(None, server="https://api.openai.com.example/v1").settings.api_key_env is None
