"""OpenAI batch files: requests written as JSON lines, answers read back.

Queues of clouds, which take half the price, and `vllm run-batch` answer such a file. Answers come in any order, some
not at all, some in a file of errors. The id of a request holds the fingerprint of what is asked, so that an answer to
another prompt is never taken.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from caslie_model.errors import RunError
from caslie_model.inference.server_messages import ChatRequest, request_body
from caslie_model.inference.server_replies import (
    ChatReply,
    MalformedReplyError,
    error_text,
    parse_json,
    read_reply,
)
from caslie_model.inference.server_settings import BATCH_URL, ServerSettings
from caslie_model.runtime.console import say
from mmecinstruct.core.shown import printable

# What clouds take in one file.
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000
_MAX_LINE = 4_000_000
_SHOWN = 200


def write_batch(
    path: Path,
    requests: Iterable[tuple[str, ChatRequest]],
    settings: ServerSettings,
    content: Callable[[str], bytes],
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> list[Path]:
    """Write requests as a batch file, or as several where one would be too large.

    Args:
        path: The file; several are called `NAME-00001` and so on, with its suffix.
        requests: What is asked, each with its id.
        settings: Model, seed and the cap of images.
        content: Returns the encoded bytes of an image by its key.
        max_requests: Requests of one file at most.
        max_bytes: Bytes of one file at most.

    Returns:
        The files.

    Raises:
        RunError: If there is such a file already, a request is larger than a file may be, or the disk takes no more.
        DatasetError: If an image is damaged.
    """
    there = [
        each
        for each in (path, *sorted(path.parent.glob(f"{path.stem}-[0-9]*{path.suffix}")))
        if each.exists()
    ]
    if there:
        raise RunError(f"{there[0]} is there already; delete it, or give another name to write_batch")
    parts: list[Path] = []
    stream: BinaryIO | None = None
    count = size = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for custom_id, request in requests:
            body = request_body(request, settings, content)
            line = _line({"custom_id": custom_id, "method": "POST", "url": BATCH_URL, "body": body})
            if len(line) > max_bytes:
                raise RunError(
                    f"{request.name}: a request of {len(line):,} bytes is too large; lower max_pixels"
                )
            if stream is None or count == max_requests or size + len(line) > max_bytes:
                if stream is not None:
                    stream.close()
                count = size = 0
                parts.append(path.with_name(f".{path.name}.{len(parts) + 1:05d}.tmp"))
                stream = parts[-1].open("wb")
            stream.write(line)
            count, size = count + 1, size + len(line)
        if stream is not None:
            stream.close()
        names = (
            [path]
            if len(parts) == 1
            else [
                path.with_name(f"{path.stem}-{number:05d}{path.suffix}")
                for number in range(1, len(parts) + 1)
            ]
        )
        return [part.replace(name) for part, name in zip(parts, names, strict=True)]
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if stream is not None:
            stream.close()
        for part in parts:
            part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answer to one request of a batch.

    Attributes:
        custom_id: The request's id.
        reply: The answer; None where the request failed.
        detail: Why it failed.
    """

    custom_id: str
    reply: ChatReply | None
    detail: str = ""


def read_batch(
    paths: Sequence[Path], wanted: Callable[[str], bool], wants_logprobs: bool
) -> Iterator[BatchAnswer]:
    """Yield the answers in output files of a batch that are wanted, each once, the failed ones at the end.

    What is passed over is counted and told: answers to other questions or prompts, repeated ones, damaged lines.

    Args:
        paths: Output files, and files of errors, in any order.
        wanted: Whether a request of this id is asked now.
        wants_logprobs: Whether log-probabilities were asked for.

    Raises:
        RunError: If a file cannot be read.
    """
    done: set[str] = set()
    failed: dict[str, BatchAnswer] = {}
    passed: Counter[str] = Counter()
    for path in paths:
        for answer in _answers(path, wants_logprobs):
            if answer is None:
                passed["damaged"] += 1
            elif not wanted(answer.custom_id):
                passed["not asked now (answered before, or another prompt)"] += 1
            elif answer.reply is None:
                failed.setdefault(answer.custom_id, answer)
            elif answer.custom_id in done:
                passed["repeated"] += 1
            else:
                done.add(answer.custom_id)
                yield answer
    yield from (answer for custom_id, answer in failed.items() if custom_id not in done)
    if passed:
        say(
            f"passed over in the batch: {', '.join(f'{count} {kind}' for kind, count in sorted(passed.items()))}"
        )


def _answers(path: Path, wants_logprobs: bool) -> Iterator[BatchAnswer | None]:
    """Yield the answer of each line, None for a damaged one."""
    try:
        with path.open("rb") as stream:
            while line := stream.readline(_MAX_LINE):
                if len(line) == _MAX_LINE and not line.endswith(b"\n"):
                    while (rest := stream.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield None
                elif line.strip():
                    yield _answer(line, wants_logprobs)
    except OSError as error:
        raise RunError(f"read_batch: {path} cannot be read: {error.strerror or error}") from error


def _answer(line: bytes, wants_logprobs: bool) -> BatchAnswer | None:
    try:
        read = parse_json(line)
    except MalformedReplyError:
        return None
    custom_id = read.get("custom_id") if isinstance(read, dict) else None
    if not isinstance(custom_id, str):
        return None
    response = read.get("response")
    body, status = (
        (response.get("body"), response.get("status_code")) if isinstance(response, dict) else (None, None)
    )
    if read.get("error") is None and status in (200, None) and body is not None:
        try:
            return BatchAnswer(custom_id, read_reply(body, wants_logprobs))
        except MalformedReplyError as error:
            return BatchAnswer(custom_id, None, str(error))
    said = error_text(read) or error_text(body) or "no answer"
    detail = f"status {status}: {said}" if isinstance(status, int) and status != 200 else said
    return BatchAnswer(custom_id, None, printable(" ".join(detail.split()))[:_SHOWN])


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"
