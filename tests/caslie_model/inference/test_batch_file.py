from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caslie_model.errors import RunError
from caslie_model.inference import batch_file
from caslie_model.inference.questions import Prediction, Question
from caslie_model.inference.server import ServerPredictor, open_server
from tests.servers.chat_questions import Pictures, question
from tests.servers.chat_server import completion


def opened(images: Pictures | None = None, **changes: Any) -> ServerPredictor:
    return open_server(SimpleNamespace(model="openai:tiny", **changes), images or Pictures())


def write(
    path: Path, questions: Sequence[Question], images: Pictures | None = None, **changes: Any
) -> list[Any]:
    predictor = opened(images, write_batch=path, **changes)
    assert list(predictor.answer(predictor.prepare(questions))) == []
    return [json.loads(line) for line in path.read_text().splitlines()]


def read(paths: Sequence[Path], questions: Sequence[Question], **changes: Any) -> dict[str, Prediction]:
    predictor = opened(read_batch=tuple(paths), **changes)
    groups = predictor.answer(predictor.prepare(questions))
    return {" ".join(each.question.key).strip(): prediction for group in groups for each, prediction in group}


def result(custom_id: str, text: str = "negative", status: int = 200, **more: Any) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "r", "body": completion(text)}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None} | more


def save(path: Path, lines: Sequence[Any]) -> Path:
    path.write_bytes(
        b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    )
    return path


def test_a_batch_file_is_in_the_form_of_openai(tmp_path: Path) -> None:
    images = Pictures()
    image = images.add("product", 5, 5)
    lines = write(tmp_path / "batch.jsonl", [question(1), question(2, "order 1", images=(image,))], images)
    assert [set(line) for line in lines] == [{"custom_id", "method", "url", "body"}] * 2
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    assert lines[0]["custom_id"].startswith("sentiment_analysis-test-0001-")
    assert lines[1]["custom_id"].startswith("sentiment_analysis-test-0002-order-1-")
    assert lines[0]["body"]["model"] == "tiny"
    assert lines[1]["body"]["messages"][0]["content"][0]["image_url"]["url"].startswith(
        "data:image/png;base64,"
    )


def test_results_are_read_in_any_order_and_from_several_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = [question(number) for number in range(6)]
    ids = [line["custom_id"] for line in write(tmp_path / "batch.jsonl", questions)]
    refused = {"status_code": 400, "body": {"error": {"message": "too \x1b[2Jlong"}}}
    first = save(
        tmp_path / "first.jsonl",
        [
            result(ids[3], "neutral"),
            result(ids[0], "very positive"),
            result(ids[3], "negative"),
            result("of another batch"),
            result(ids[4], response=refused),
            b"[1]\n",
            b"{half",
        ],
    )
    second = save(
        tmp_path / "errors.jsonl",
        [
            result(ids[0], response=None, error={"code": "batch_expired", "message": "expired"}),
            result(ids[5], response=None, error={"code": "batch_expired", "message": "expired"}),
            result(ids[2], "I do not know"),
        ],
    )
    found = read([second, first], questions)
    assert {name[-4:]: prediction.label for name, prediction in found.items()} == {
        "0000": "A",
        "0002": None,
        "0003": "C",
    }
    told = capsys.readouterr().err
    assert (
        "passed over in the batch: 2 damaged, 1 not asked now (answered before, or another prompt), 1 repeated"
        in told
    )
    assert "3 questions have no answer" in told
    assert "test-0005 (expired)" in told
    assert r"test-0004 (status 400: too \u001b[2Jlong)" in told
    assert "test-0001 (not in the batch's output)" in told


def test_answers_to_another_prompt_are_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [line["custom_id"] for line in write(tmp_path / "batch.jsonl", [question(1)])]
    results = save(tmp_path / "out.jsonl", [result(ids[0])])
    assert read([results], [question(1)])
    assert not read([results], [question(1, instruction="Judge it.")])
    assert not read([results], [question(1, "order 1")])
    assert not read([results], [question(1)], answers="letter")
    assert capsys.readouterr().err.count("1 not asked now (answered before, or another prompt)") == 3


def test_results_of_vllm_are_read(tmp_path: Path) -> None:
    ids = [line["custom_id"] for line in write(tmp_path / "batch.jsonl", [question(1), question(2)])]
    answered = {
        "id": "vllm-1",
        "custom_id": ids[0],
        "response": {"status_code": 200, "body": completion("neutral")},
    }
    failed = {
        "id": "vllm-2",
        "custom_id": ids[1],
        "response": {"status_code": 400, "body": None},
        "error": "too long",
    }
    found = read([save(tmp_path / "out.jsonl", [failed, answered])], [question(1), question(2)])
    assert [prediction.label for prediction in found.values()] == ["C"]


def test_likelihood_is_read_from_a_batch(tmp_path: Path) -> None:
    top = [{"token": "B", "logprob": -0.5}, {"token": "A", "logprob": -1.5}]
    more = {"scoring": "likelihood", "answers": "letter"}
    ids = [line["custom_id"] for line in write(tmp_path / "batch.jsonl", [question(1)], **more)]
    answered = result(ids[0])
    answered["response"]["body"] = completion("B", logprobs={"content": [{**top[0], "top_logprobs": top}]})
    found = read([save(tmp_path / "out.jsonl", [answered])], [question(1)], **more)
    assert [prediction.scores for prediction in found.values()] == [{"A": -1.5, "B": -0.5}]


def test_money_of_a_batch_is_counted(tmp_path: Path) -> None:
    ids = [line["custom_id"] for line in write(tmp_path / "batch.jsonl", [question(1)])]
    results = save(tmp_path / "out.jsonl", [result(ids[0])])
    found = read([results], [question(1)], price_input=1.0, price_output=10.0)
    assert [prediction.usage for prediction in found.values()] == [
        {"prompt_tokens": 100, "completion_tokens": 2, "cost": pytest.approx(120e-6)}
    ]


def test_a_large_batch_is_split_by_requests_and_by_bytes(tmp_path: Path) -> None:
    predictor = opened(write_batch=tmp_path / "one.jsonl")
    requests = [(each.custom_id, each.request) for each in predictor.prepare([question(n) for n in range(7)])]

    def sizes(name: str, **limits: int) -> dict[str, int]:
        files = batch_file.write_batch(
            tmp_path / name, requests, predictor.settings, Pictures().content, **limits
        )
        return {file.name: len(file.read_bytes().splitlines()) for file in files}

    assert sizes("one.jsonl") == {"one.jsonl": 7}
    assert sizes("some.jsonl", max_requests=3) == {
        "some-00001.jsonl": 3,
        "some-00002.jsonl": 3,
        "some-00003.jsonl": 1,
    }
    line = len((tmp_path / "one.jsonl").read_bytes()) // 7
    assert sizes("more.jsonl", max_bytes=2 * line + 10) == {f"more-0000{n}.jsonl": 2 for n in (1, 2, 3)} | {
        "more-00004.jsonl": 1
    }
    with pytest.raises(RunError, match="too large; lower max_pixels"):
        sizes("none.jsonl", max_bytes=line - 10)
    assert not [*tmp_path.glob(".*"), *tmp_path.glob("none*")]


def test_a_batch_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "batch-00002.jsonl").write_text("mine")
    with pytest.raises(RunError, match=r"batch-00002\.jsonl is there already; delete it"):
        write(tmp_path / "batch.jsonl", [question(1)])
    assert (tmp_path / "batch-00002.jsonl").read_text() == "mine"


def test_a_missing_file_of_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"read_batch: .*none\.jsonl cannot be read: No such file"):
        read([tmp_path / "none.jsonl"], [question(1)])
