"""Captions of a dataset by measured attributes and by a server: written, kept, gone on with."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import caslie_model
from caslie_model.captions.estimates import estimate_captions, estimate_text
from caslie_model.captions.run import LOG
from caslie_model.config.captions import CaptionConfig
from caslie_model.data.images import read_images
from caslie_model.errors import ConfigError, RunError
from caslie_model.inference import server_client
from caslie_model.inference.prediction_log import PredictionFile
from mmecinstruct.core.errors import DatasetError, OutputError
from tests.caslie_model.captions.conftest import field, rows_of
from tests.servers.chat_server import Asked, Canned, ChatServer, completion

Make = Callable[..., CaptionConfig]
COLOURS = {"red": (205, 45, 40), "green": (40, 160, 60), "blue": (40, 70, 200)}
CC = "category_classification"


def shown(content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": None}


@pytest.fixture
def data(tmp_path: Path, row: Any, write_rows: Any) -> Path:
    """Six titles with images in three colours: numbers 0 and 3 show one image under other titles."""
    rows = []
    for number in range(6):
        content = field(list(COLOURS.values())[number % 3], number if number != 3 else 0)
        rows.append(
            row(
                number,
                CC,
                "train" if number < 4 else "test",
                images=[shown(content)],
                image_roles=["product"],
            )
        )
    return write_rows(tmp_path / "data", rows)


class Describing:
    """A server that says how often it was asked in all, by the title it was asked for; counts what it answered."""

    def __init__(self, fails: Callable[[str], Canned | None] = lambda title: None) -> None:
        self.asked: Counter[str] = Counter()
        self._fails = fails
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Canned:
        [line] = [line for line in asked.text.splitlines() if line.startswith("title: ")]
        title = json.loads(line.removeprefix("title: "))
        with self._lock:
            self.asked[title] += 1
        return self._fails(title) or Canned(completion(f"A caption\nof a {title}."))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Describing], str]]:
    monkeypatch.setattr(server_client, "BACKOFF_BASE", 0.01)
    running: list[ChatServer] = []

    def start(answers: Describing) -> str:
        running.append(ChatServer(answers))
        return running[-1].__enter__().url

    yield start
    for server in running:
        server.__exit__()


def test_each_image_of_each_sample_has_a_row(image_dataset: Path, tmp_path: Path) -> None:
    result = caslie_model.caption("attributes", image_dataset, tmp_path / "out")
    assert not (image_dataset / "captions").exists()
    found = 0
    for file in result.files:
        task, split = file.stem.rsplit("-", 1)
        images = read_images(str(image_dataset), task, split)
        rows = rows_of(tmp_path / "out", "attributes", task, split)
        wanted = [
            (sample, position, image.role, image.key)
            for sample, own in images.items()
            for position, image in enumerate(own)
        ]
        assert [(row["sample_id"], row["position"], row["role"], row["image"]) for row in rows] == wanted
        assert all(row["caption"] and row["reason"] is None for row in rows)
        found += len(rows)
    assert found == result.images == result.captions > 40


def test_captions_by_attributes_name_the_colour(data: Path) -> None:
    result = caslie_model.caption("attributes", data)
    assert (result.images, result.requests, result.asked) == (6, 5, 5)
    rows = rows_of(data, "attributes", CC, "train")
    for row, colour in zip(rows, [*COLOURS, "red"], strict=True):
        assert f"mostly {colour}" in row["caption"]


def test_a_second_run_asks_nothing_and_changes_no_byte(data: Path) -> None:
    first = caslie_model.caption("attributes", data)
    before = {file: file.read_bytes() for file in (*first.files, first.folder / LOG)}
    second = caslie_model.caption("attributes", data)
    assert second.asked == 0
    assert {file: file.read_bytes() for file in before} == before


def test_a_limited_run_keeps_captions_of_other_samples(data: Path) -> None:
    whole = caslie_model.caption("attributes", data)
    before = [file.read_bytes() for file in whole.files]
    caslie_model.caption("attributes", data, limit=1)
    assert [file.read_bytes() for file in whole.files] == before


def test_a_damaged_image_is_a_row_with_a_reason(tmp_path: Path, row: Any, write_rows: Any) -> None:
    images = [field((205, 45, 40)), field((40, 160, 60))[:60]]
    rows = [
        row(number, CC, "test", images=[shown(content)], image_roles=["product"])
        for number, content in enumerate(images)
    ]
    result = caslie_model.caption("attributes", write_rows(tmp_path / "data", rows))
    good, bad = rows_of(tmp_path / "data", "attributes", CC, "test")
    assert good["reason"] is None
    assert bad["caption"] is None
    assert "cannot be read" in bad["reason"]
    assert (result.captions, len(result.reasons)) == (1, 1)


def test_a_server_is_asked_each_pair_once(data: Path, config: Make, serve: Any) -> None:
    answers = Describing()
    result = caslie_model.caption(config(captioner="openai:tiny", server=serve(answers)))
    assert set(answers.asked.values()) == {1}
    # Two samples show one image under two titles: other prompts.
    assert result.requests == len(answers.asked) == 6
    for row in rows_of(data, "tiny", CC, "train"):
        assert row["caption"].startswith("A caption of a ")
        assert row["captioner"] == "tiny"


def test_the_order_of_captions_is_independent_of_concurrency(data: Path, config: Make, serve: Any) -> None:
    contents = []
    for concurrency in (1, 5):
        url = serve(Describing(lambda title: None))
        result = caslie_model.caption(
            config(captioner="openai:tiny", server=url, concurrency=concurrency), overwrite=True
        )
        contents.append([file.read_bytes() for file in result.files])
    assert contents[0] == contents[1]


def test_a_refused_request_is_a_row_with_a_reason_and_asked_again(
    data: Path, config: Make, serve: Any
) -> None:
    refused = Canned({"error": {"message": "the picture is not allowed"}}, status=400)
    url = serve(Describing(lambda title: refused if title == "lovely mug" else None))
    result = caslie_model.caption(config(captioner="openai:tiny", server=url))
    rows = rows_of(data, "tiny", CC, "train")
    assert [row["caption"] is None for row in rows] == [True, False, False, False]
    assert "not allowed" in rows[0]["reason"]
    assert len(result.reasons) == 1
    better = Describing()
    again = caslie_model.caption(config(captioner="openai:tiny", server=serve(better)))
    assert (again.asked, dict(better.asked), again.reasons) == (1, {"lovely mug": 1}, {})


def test_a_batch_file_is_written_and_its_answers_are_read(data: Path, config: Make, tmp_path: Path) -> None:
    batch, answers = tmp_path / "batch.jsonl", tmp_path / "answers.jsonl"
    caslie_model.caption(config(captioner="openai:tiny", write_batch=batch))
    assert not list((data / "captions" / "tiny").glob("*.parquet"))
    requests = [json.loads(line) for line in batch.read_text().splitlines()]
    assert len(requests) == 6
    assert requests[0]["body"]["messages"][0]["content"][0]["type"] == "image_url"
    lines = [
        {
            "custom_id": each["custom_id"],
            "response": {"status_code": 200, "body": completion(f"Caption {number}.")},
        }
        for number, each in enumerate(requests)
    ]
    answers.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines[1:])))
    read = caslie_model.caption(config(captioner="openai:tiny", read_batch=(answers,)))
    assert (read.asked, read.captions) == (6, 5)
    rows = rows_of(data, "tiny", CC, "train")
    assert [row["caption"] for row in rows] == [None, "Caption 1.", "Caption 2.", "Caption 3."]
    assert rows[0]["reason"] == "not in the batch's output"


def test_reasoning_is_no_caption(data: Path, config: Make, serve: Any) -> None:
    texts = {"lovely mug": "<think>A mug?</think>\nA mug.", "broken lamp": "<think>Is it a"}
    url = serve(Describing(lambda title: Canned(completion(texts[title])) if title in texts else None))
    caslie_model.caption(config(captioner="openai:tiny", server=url))
    rows = [*rows_of(data, "tiny", CC, "train"), *rows_of(data, "tiny", CC, "test")]
    assert [row["caption"] for row in rows if not str(row["caption"]).startswith("A caption")] == [
        "A mug.",
        None,
    ]


def test_a_stopped_run_loses_nothing_that_came(data: Path, config: Make, serve: Any) -> None:
    first = Describing()

    def interrupted(title: str) -> Canned | None:
        # The money is gone behind three requests.
        done = len(first.asked) > 3
        return (
            Canned({"error": {"code": "insufficient_quota", "message": "no money"}}, status=429)
            if done
            else None
        )

    first._fails = interrupted
    with pytest.raises(RunError):
        caslie_model.caption(config(captioner="openai:tiny", server=serve(first), concurrency=1))
    log = data / "captions" / "tiny" / LOG
    assert len(log.read_text().splitlines()) == 3
    assert not list(log.parent.glob("*.parquet"))
    # As a kill in the middle of a line leaves it.
    with log.open("a") as stream:
        stream.write('{"id": "torn')
    second = Describing()
    result = caslie_model.caption(config(captioner="openai:tiny", server=serve(second)))
    assert result.asked == len(second.asked) == 3
    assert result.captions == 6


def test_other_settings_do_not_mix_under_one_name(data: Path) -> None:
    caslie_model.caption("attributes", data)
    with pytest.raises(RunError, match=r"max_words differ.*name, or --overwrite"):
        caslie_model.caption("attributes", data, max_words=20)
    short = caslie_model.caption("attributes", data, max_words=20, name="short")
    assert short.folder == data / "captions" / "short"
    assert max(len(row["caption"].split()) for row in rows_of(data, "short", CC, "train")) <= 20
    assert caslie_model.caption("attributes", data, max_words=20, overwrite=True).asked == 5


def test_dry_run_counts_and_writes_nothing(data: Path, config: Make) -> None:
    priced = {"server": "http://127.0.0.1:9/v1", "price_input": 1.0, "price_output": 10.0}
    found = estimate_captions(config(captioner="openai:tiny", **priced))
    assert [found[name] for name in ("samples", "images", "distinct_images")] == [6, 6, 5]
    assert [found[name] for name in ("requests", "cached", "to_ask", "spent")] == [6, 0, 6, 0]
    [step] = found["steps"]
    # 40 x 40 pixels of each image, and some 400 characters of each prompt.
    assert 6 * (3 + 100) < step["prompt_tokens"] < 6 * (3 + 200)
    assert (step["reply_tokens"], step["most_reply_tokens"]) == (6 * 70, 6 * 150)
    assert step["money"] == pytest.approx((step["prompt_tokens"] + 10 * 6 * 70) / 1e6)
    assert step["most_money"] == pytest.approx((step["prompt_tokens"] + 10 * 6 * 150) / 1e6)
    assert "at most" in estimate_text(found)
    measured = estimate_captions(config())
    assert (measured["requests"], "prompt_tokens" in measured["steps"][0]) == (5, False)
    assert not (data / "captions").exists()


def test_dry_run_leaves_out_what_is_captioned(data: Path, config: Make, serve: Any) -> None:
    refused = Canned({"error": {"message": "the picture is not allowed"}}, status=400)
    url = serve(Describing(lambda title: refused if title == "lovely mug" else None))
    made = config(captioner="openai:tiny", server=url)
    caslie_model.caption(made)
    found = estimate_captions(made)
    assert [found[name] for name in ("requests", "cached", "to_ask")] == [6, 5, 1]
    assert found["steps"][0]["images_to_show"] == 1
    assert estimate_captions(made, overwrite=True)["to_ask"] == 6
    other = config(captioner="openai:other", server=url, name="tiny")
    assert estimate_captions(other)["to_ask"] == 6


def test_money_for_requests_without_a_caption_counts_in_later_runs(
    data: Path, config: Make, serve: Any
) -> None:
    empty = Canned(completion(""))
    # Two tokens of a reply each.
    priced = {"price_input": 0, "price_output": 5e5, "retries": 0, "concurrency": 1, "max_tokens": 2}
    url = serve(Describing(lambda title: empty))
    caslie_model.caption(config(captioner="openai:tiny", server=url, **priced))
    again = config(captioner="openai:tiny", server=url, budget=6.5, **priced)
    assert estimate_captions(again)["spent"] == pytest.approx(6)
    with pytest.raises(RunError, match=r"budget of 6\.5 is spent: 6\.0000"):
        caslie_model.caption(again)
    better = Describing()
    result = caslie_model.caption(config(captioner="openai:tiny", server=serve(better), budget=20, **priced))
    assert (result.asked, result.captions, sum(better.asked.values())) == (6, 6, 6)
    assert estimate_captions(again)["spent"] == pytest.approx(12)


def test_money_for_replies_that_are_not_written_counts_in_later_runs(
    data: Path, config: Make, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = PredictionFile.append

    def interrupted(file: PredictionFile, records: Any) -> None:
        monkeypatch.setattr(PredictionFile, "append", append)
        raise KeyboardInterrupt

    monkeypatch.setattr(PredictionFile, "append", interrupted)
    made = config(captioner="openai:tiny", server=serve(Describing()), price_input=0, price_output=5e5)
    with pytest.raises(KeyboardInterrupt):
        caslie_model.caption(made)
    # Each costs 1.
    assert 1 <= estimate_captions(made)["spent"] <= 6
    assert caslie_model.caption(made).asked == 6


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"captioner": "openai:tiny"}, "give `server`"),
        ({"server": "http://127.0.0.1:9/v1"}, "captioner=openai:attributes"),
        ({"name": "../elsewhere"}, "name="),
        ({"splits": ["tests"]}, "no such split"),
        ({"max_words": 2}, "max_words"),
    ],
)
def test_a_wrong_setting_is_named(config: Make, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(**fields)


def test_a_folder_that_is_no_place_for_captions_is_named(data: Path, tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(ConfigError, match="give `out`"):
        caslie_model.caption("attributes", "user/name-of-nothing")
    with pytest.raises(OutputError, match="lies inside"):
        caslie_model.caption("attributes", data, data / "inner")
    with pytest.raises(DatasetError, match="no images"):
        caslie_model.caption("attributes", dataset, tmp_path / "out", tasks=["ap"])
