"""A stand-in for an OpenAI-compatible server: real HTTP on 127.0.0.1, with whatever faults a test asks for."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Canned:
    """What the server does with one request.

    Attributes:
        body: The JSON, or bytes as they are.
        status: The HTTP status.
        headers: More headers.
        delay: Seconds before it answers.
        drops: Whether it closes the connection instead of answering.
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drops: bool = False


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    path: str
    headers: dict[str, str]
    body: Any

    @property
    def text(self) -> str:
        """All texts of the last message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def completion(text: str | None, **more: Any) -> dict[str, Any]:
    """Return a chat completion."""
    return {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 2},
    }


class ChatServer:
    """Answers in a thread of its own while its context lasts.

    Attributes:
        asked: All requests, in the order in which they came.
        most_at_once: The largest number of requests that were being answered at a time.
    """

    def __init__(self, answer: Callable[[Asked], Canned]) -> None:
        self._answer = answer
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        )
        self._server = started.result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                content = await reader.readexactly(int(headers["content-length"]))
                asked = Asked(first.split()[1], headers, json.loads(content))
                self.asked.append(asked)
                if not await self._respond(asked, reader, writer):
                    break
        writer.close()

    async def _respond(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Return whether the connection goes on. A client that has gone is no longer being answered."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            canned = self._answer(asked)
            if canned.delay:
                with suppress(TimeoutError):
                    # Nothing comes before the answer but the end of the connection.
                    await asyncio.wait_for(reader.read(1), canned.delay)
                    return False
            if canned.drops:
                return False
            body = canned.body if isinstance(canned.body, bytes) else json.dumps(canned.body).encode()
            lines = [f"HTTP/1.1 {canned.status} Canned", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in canned.headers.items()]
            # What is sent is answered: the client may send the next request at once.
            self._at_once -= 1
            try:
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
            finally:
                self._at_once += 1
            return True
        finally:
            self._at_once -= 1
