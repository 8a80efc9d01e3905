"""Ask a server for chat completions: one request with its retries, within a budget.

huggingface_hub's AsyncInferenceClient is not used: without a key it sends the user's token of the Hub to any server, it
reads a body of any size, and it fails on errors that are not formed as the Hub's.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from caslie_model.config.choices import LimitName
from caslie_model.data.image_bytes import ImageBytes
from caslie_model.inference.prices import Spending
from caslie_model.inference.server_messages import ChatRequest, request_body
from caslie_model.inference.server_replies import (
    ChatReply,
    MalformedReplyError,
    TokenUsage,
    error_code,
    error_parameter,
    error_text,
    parse_json,
    read_reply,
)
from caslie_model.inference.server_settings import (
    NEW_LIMIT_NAME,
    OLD_LIMIT_NAME,
    ServerSettings,
    chat_url,
    is_on_this_machine,
)
from caslie_model.runtime.console import say
from mmecinstruct.core.hashing import hash_fraction
from mmecinstruct.core.shown import printable, shown_text
from mmecinstruct.web.statuses import REDIRECTS, status_failure

if TYPE_CHECKING:
    import httpx2

MAX_BODY = 2_000_000
# None is asked for, and proxies compress all the same. A chunk of others, or of several, may swell to gigabytes.
_ENCODINGS = ("identity", "gzip", "deflate", "")
# Characters of an error's text.
_READ = 4000
_SHOWN = 300
# Seconds.
BACKOFF_BASE = 1.0
BACKOFF_CAP = 60.0
MAX_RETRY_AFTER = 300.0
_CONNECT_TIMEOUT = 30.0
# Answers that are empty or cut off cost money and seldom get better.
_MALFORMED_RETRIES = 1
# The same request is likely to work a moment later, although this is no status of a busy server.
_CONFLICT = 409
_NO_MONEY = "insufficient_quota"
_WRONG_PARAMETER = (400, 422)
# What every request has, and some models do not take.
_LEAVE_OUT = {
    "temperature": "the model takes no temperature: give --set request_temperature=null",
    "seed": "the model takes no seed: give --set request_seed=null",
}
_DENIED = "the key may not use this model, or the server keeps you out"
# Long enough for the answer to another request.
_DENIED_RETRIES = 2


class StopAskingError(Exception):
    """No request can be answered: the message has the remedy."""


class OutOfBudgetError(Exception):
    """The next request might cost more than is left."""


@dataclass(frozen=True, slots=True)
class ChatFailure:
    """A request that got no answer, and may get one in a later run.

    Attributes:
        detail: Why, for a person.
        is_refused: Whether the server refused this very request, such as one that is too long.
        cost: Money that its requests cost all the same.
    """

    detail: str
    is_refused: bool
    cost: float = 0.0


class EncodedRequest(NamedTuple):
    """A request as it is sent.

    Attributes:
        content: The JSON.
        limit_name: What the limit of tokens is called in it.
    """

    content: bytes
    limit_name: LimitName


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An attempt that got no answer.

    Attributes:
        kind: A word or status, to tell each kind once.
        detail: Why, for a person.
        retries: How often the request is sent again after it; None: as the settings say.
        retry_after: Seconds that the server asked to wait.
        usage: The tokens that it cost.
        was_billed: Whether it may have cost something that the server did not tell.
        remedy: What a person can do, if no request is answered at all.
        wants_other_name: Whether the server wants the limit of tokens under its newer name.
    """

    kind: str
    detail: str
    retries: int | None = None
    retry_after: float | None = None
    usage: TokenUsage | None = None
    was_billed: bool = False
    remedy: str = ""
    wants_other_name: bool = False


class ChatClient:
    """Sends requests to one server; lives in one event loop.

    Args:
        settings: Server, model and limits.
        images: The bytes of images.
        spending: Counts the money.
        key: The server's key, which is shown nowhere.
        session: The HTTP session.
    """

    def __init__(
        self,
        settings: ServerSettings,
        images: ImageBytes,
        spending: Spending,
        key: str | None,
        session: httpx2.AsyncClient,
    ) -> None:
        self.url = chat_url(settings.server or "")
        self.host = urlsplit(self.url).netloc
        self._settings, self._images, self._spending, self._key = settings, images, spending, key
        self._session = session
        self._reading = threading.Lock()
        self._settled = asyncio.Event()
        self._not_before = 0.0
        self._told: set[str] = set()
        self._limit_name = settings.limit_name
        self._has_answered = False

    async def encoded(self, request: ChatRequest) -> EncodedRequest:
        """Return a request as it is sent.

        Args:
            request: What is asked.

        Raises:
            DatasetError: If an image is damaged.
        """
        name = self._limit_name
        return EncodedRequest(await asyncio.to_thread(self._encode, request, name), name)

    async def complete(self, request: ChatRequest, encoded: EncodedRequest) -> ChatReply | ChatFailure:
        """Return a server's answer to a request, or why there is none after all retries.

        Args:
            request: What is asked.
            encoded: The same, as it is sent.

        Raises:
            StopAskingError: If no other request would be answered either.
            OutOfBudgetError: If the budget does not allow the request.
            DatasetError: If an image is damaged.
        """
        content, limit_name = (
            encoded if encoded.limit_name == self._limit_name else await self.encoded(request)
        )
        cost, failures = 0.0, 0
        while True:
            await self._wait_for_server()
            reserved = await self._reserve(request)
            usage, was_billed = None, False
            try:
                outcome = await self._attempt(content, bool(request.top_logprobs))
                usage = outcome.usage
                was_billed = isinstance(outcome, ChatReply) or outcome.was_billed
            finally:
                paid = self._spending.settle(reserved, request.size, usage, was_billed)
                self._settled.set()
            cost += paid or 0.0
            if isinstance(outcome, ChatReply):
                self._has_answered = True
                # A proxy may echo what it was sent.
                text = outcome.text.replace(self._key, "***") if self._key else outcome.text
                return replace(outcome, text=text, cost=None if paid is None else cost)
            if outcome.wants_other_name and limit_name == OLD_LIMIT_NAME:
                self._limit_name = NEW_LIMIT_NAME
                content, limit_name = await self.encoded(request)
                continue
            failures += 1
            allowed = self._settings.retries if outcome.retries is None else outcome.retries
            if failures > min(allowed, self._settings.retries):
                if outcome.remedy and not self._has_answered:
                    raise self._stopped(outcome.detail, outcome.remedy)
                return ChatFailure(outcome.detail, outcome.retries == 0 or bool(outcome.remedy), cost)
            delay = self._delay(request.name, failures, outcome)
            self._tell(outcome, delay)
            await asyncio.sleep(delay)

    def _encode(self, request: ChatRequest, limit_name: LimitName) -> bytes:
        def content(key: str) -> bytes:
            with self._reading:
                return self._images.content(key)

        return json.dumps(request_body(request, self._settings, content, limit_name)).encode()

    def _stopped(self, detail: str, remedy: str) -> StopAskingError:
        return StopAskingError(f"{self.host}, model {self._settings.model}: {detail}; {remedy}")

    async def _wait_for_server(self) -> None:
        while (left := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _reserve(self, request: ChatRequest) -> float:
        while (reserved := self._spending.reserve(request.size, request.max_tokens)) is None:
            if self._spending.is_idle:
                raise OutOfBudgetError
            self._settled.clear()
            await self._settled.wait()
        return reserved

    def _delay(self, name: str, failures: int, trouble: _Trouble) -> float:
        """Return the seconds to wait: as the server asks, else doubled each time and spread by half either way."""
        if trouble.retry_after:
            wanted = min(trouble.retry_after, MAX_RETRY_AFTER)
            # The limit of a server counts all requests of a key.
            self._not_before = max(self._not_before, time.monotonic() + wanted)
            return wanted
        whole = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(failures - 1, 60))
        return whole * (0.5 + hash_fraction(0, "server back-off", name, str(failures)))

    def _tell(self, trouble: _Trouble, delay: float) -> None:
        """Say each kind of trouble once."""
        if trouble.kind not in self._told:
            self._told.add(trouble.kind)
            say(f"{self.host}: {trouble.detail}; asking again, first in {delay:.1f} seconds")

    async def _attempt(self, content: bytes, wants_logprobs: bool) -> ChatReply | _Trouble:
        import httpx2

        try:
            async with asyncio.timeout(self._settings.request_timeout):
                status, headers, body = await self._post(content)
        except (TimeoutError, httpx2.TimeoutException):
            return _Trouble(
                "timeout",
                f"no answer in {self._settings.request_timeout:g} seconds (request_timeout)",
                was_billed=True,
            )
        except httpx2.InvalidURL as error:
            raise StopAskingError(
                f"server={self.host}: {self.safe(str(error))}; give another address"
            ) from None
        except httpx2.ConnectError as error:
            return _Trouble("connect", f"no connection: {self.safe(str(error)) or type(error).__name__}")
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            detail = f"the connection broke: {self.safe(str(error)) or type(error).__name__}"
            return _Trouble("broken", detail, was_billed=True)
        try:
            if body is None:
                raise MalformedReplyError(f"the answer has more than {MAX_BODY:,} bytes")
            if status >= 300:
                return self._of_status(status, headers, body)
            return read_reply(parse_json(body), wants_logprobs)
        except MalformedReplyError as error:
            return _Trouble(
                "malformed",
                str(error),
                _MALFORMED_RETRIES if error.usage else None,
                None,
                error.usage,
                was_billed=True,
            )

    async def _post(self, content: bytes) -> tuple[int, Mapping[str, str], bytes | None]:
        """Return status, headers and body of a response; None for a body that is too large."""
        import httpx2

        async with self._session.stream("POST", self.url, content=content) as response:
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in _ENCODINGS:
                raise httpx2.DecodingError(f"the answer is encoded as '{encoding}', which was not asked for")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    return response.status_code, response.headers, None
            return response.status_code, response.headers, bytes(body)

    def _of_status(self, status: int, headers: Mapping[str, str], body: bytes) -> _Trouble:
        try:
            said_json: Any = parse_json(body)
        except MalformedReplyError:
            said_json = body.decode("utf-8", "replace")
        if isinstance(said_json, list) and said_json:
            # Gemini's form.
            said_json = said_json[0]
        said = self.safe(error_text(said_json) or str(said_json if isinstance(said_json, str) else ""))
        detail = f"status {status}: {said}" if said else f"status {status}"
        if remedy := self._remedy(status, headers, error_code(said_json)):
            raise self._stopped(detail, remedy)
        if status == 403:
            # Filters of content answer so too, to single requests.
            return _Trouble("403", detail, 0 if self._has_answered else _DENIED_RETRIES, remedy=_DENIED)
        if status in _WRONG_PARAMETER:
            parameter = error_parameter(said_json)
            if remedy := _LEAVE_OUT.get(parameter):
                raise self._stopped(detail, remedy)
            wants_other_name = parameter == OLD_LIMIT_NAME and NEW_LIMIT_NAME in said
            return _Trouble(str(status), detail, retries=0, wants_other_name=wants_other_name)
        failed = status_failure(status, headers, detail)
        if failed.failure.status == "transient" or status == _CONFLICT:
            return _Trouble(str(status), detail, retry_after=failed.retry_after)
        return _Trouble(str(status), detail, retries=0)

    def _remedy(self, status: int, headers: Mapping[str, str], code: str) -> str | None:
        """Return what a person can do about a status that every request would get; None for others."""
        variable = self._settings.api_key_env
        if status == 401:
            if self._key:
                return f"the server does not accept the key in the environment variable {variable}"
            if variable:
                return f"put the server's key into the environment variable {variable}"
            return "give its key in an environment variable, and the variable's name in `api_key_env`"
        if status == 402 or code == _NO_MONEY:
            return "the account has no money left; top it up and run the same again"
        if status in (404, 405):
            return (
                "the server has no such model, or no such address: check the name after `openai:` (the server lists "
                f"its models under /models) and `server` (requests go to {urlsplit(self.url).path})"
            )
        if status in REDIRECTS:
            return "the server is elsewhere: give its new address in `server`"
        return None

    def safe(self, text: str) -> str:
        """Return a text of the server fit for a terminal: without the key, other secrets and control characters."""
        if self._key:
            text = text.replace(self._key, "***")
        shown = printable(" ".join(shown_text(text[:_READ]).split()))
        return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def open_session(settings: ServerSettings, key: str | None) -> httpx2.AsyncClient:
    """Return an HTTP session with no more connections than requests at a time.

    Args:
        settings: Limits.
        key: The server's key.

    Raises:
        StopAskingError: If the proxy of the environment cannot be used.
    """
    import httpx2

    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    try:
        return _session(settings, headers | ({"Authorization": f"Bearer {key}"} if key else {}))
    except (ValueError, ImportError, httpx2.InvalidURL):
        # The error would show the proxy's password.
        raise StopAskingError(
            "the proxy in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; correct it, or name the "
            "server's host in NO_PROXY"
        ) from None


def _session(settings: ServerSettings, headers: Mapping[str, str]) -> httpx2.AsyncClient:
    import httpx2

    return httpx2.AsyncClient(
        headers=headers,
        limits=httpx2.Limits(
            max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency
        ),
        timeout=httpx2.Timeout(
            settings.request_timeout, connect=min(settings.request_timeout, _CONNECT_TIMEOUT)
        ),
        follow_redirects=False,
        # Proxies of the environment.
        trust_env=not is_on_this_machine(settings.server or ""),
    )
