"""One request for a raw file: checked redirects, a checked address, read to the end of its connection.

Messages and records show URLs without their query (`shown`), because publishers often redirect to signed URLs.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

from mmecinstruct.core.shown import shown_url
from mmecinstruct.version import __version__
from mmecinstruct.web.addresses import MAX_URL_LENGTH, Resolver, WebAddress, check_url
from mmecinstruct.web.connections import PinnedAdapter
from mmecinstruct.web.headers import declared_length, is_chunked, redirect_target
from mmecinstruct.web.images.settings import FetchSettings
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, FetchFailure
from mmecinstruct.web.raw_files.settings import PullSettings
from mmecinstruct.web.statuses import GONE, LOGIN_WANTED, status_failure

BLOCK = 256 * 1024
_EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that did not give the whole file.

    Attributes:
        failure: The failure.
        retry_after: The seconds to wait that the host asked for.
        busy: Whether the whole host is busy.
    """

    failure: FetchFailure
    retry_after: float | None = None
    busy: bool = False

    @property
    def transient(self) -> bool:
        """Whether a further attempt may help."""
        return self.failure.status == TRANSIENT


def transient(reason: str, detail: str) -> Failed:
    """Return a failure after which a further attempt may help."""
    return Failed(FetchFailure(TRANSIENT, reason, detail))


def permanent(reason: str, detail: str) -> Failed:
    """Return a failure that a further attempt would give again."""
    return Failed(FetchFailure(PERMANENT, reason, detail))


def shown(url: str) -> str:
    """Return a URL for messages and records, without query and password, which may hold a signature or a token."""
    return shown_url(url, MAX_URL_LENGTH, query=False)


class Answer:
    """The headers of a response and its body, block by block.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        length: The announced bytes of the body, where known.
        received: The bytes that have been read.
        bounded: Whether the end of the body can be distinguished from a broken connection.
    """

    def __init__(self, response: requests.Response, adapter: HTTPAdapter, settings: PullSettings) -> None:
        """Wrap a response whose body has not been read."""
        self.status = response.status_code
        self.headers = response.headers
        self._response, self._adapter, self._settings = response, adapter, settings
        self.length = declared_length(self.headers)
        self.received = 0
        self.bounded = self.length is not None or is_chunked(self.headers)
        if self.length is not None:
            response.raw.length_remaining = None  # counted here instead
        self._window = (time.monotonic(), 0)

    def read(self) -> bytes | Failed:
        """Return the next bytes, none at the end. A body shorter or longer than announced is a failure."""
        try:
            block: bytes = self._response.raw.read1(BLOCK, decode_content=False)
        except ReadTimeoutError:
            # Complete, from a server that keeps the connection open.
            if self.received == self.length:
                return b""
            return transient("read_timeout", f"nothing arrived within {self._settings.read_timeout:g} s")
        except (HTTPError, OSError, ValueError):
            if self.received == self.length:
                return b""
            return transient("truncated", "the connection ended before the file did")
        self.received += len(block)
        if self.length is not None:
            if self.received > self.length:
                return transient(
                    "wrong_length", f"more bytes arrived than the {self.length} that were announced"
                )
            if not block and self.received < self.length:
                return transient("truncated", f"{self.received} of {self.length} bytes arrived")
        return block if not block else self._unless_stalled(block)

    def close(self) -> None:
        """Close the connection."""
        with suppress(HTTPError, OSError):
            self._response.close()
        self._adapter.close()

    def _unless_stalled(self, block: bytes) -> bytes | Failed:
        began, received = self._window
        elapsed = time.monotonic() - began
        if elapsed >= self._settings.stall_timeout:
            if (
                self.received - received < self._settings.stall_speed * elapsed
                and self.received != self.length
            ):
                rate = (self.received - received) / elapsed
                return transient("too_slow", f"{rate:.0f} bytes per second over {elapsed:.0f} s")
            self._window = (time.monotonic(), self.received)
        return block


class Transport:
    """Makes requests that the recipe allows. Thread-safe."""

    def __init__(
        self,
        settings: PullSettings,
        fetch: FetchSettings,
        resolver: Resolver | None = None,
        *,
        mirror: str | None = None,
    ) -> None:
        """Create a transport.

        Args:
            settings: Timeouts and limits.
            fetch: User agent, contact and allowed private networks.
            resolver: Gives the allowed network addresses of a host.
            mirror: The URL of a mirror that a person gave; its host and port may be in a private network.
        """
        self._settings = settings
        self._networks = fetch.allowed_networks
        self._resolver = resolver or Resolver(self._networks)
        typed = check_url(mirror, _EVERYWHERE) if mirror is not None else None
        self._typed = typed.origin if isinstance(typed, WebAddress) else None
        self._resolver_of_typed = Resolver(_EVERYWHERE)
        names_itself = fetch.contact.strip() or "{contact}" not in fetch.user_agent
        self._user_agent = fetch.user_agent_header if names_itself else f"mmecinstruct/{__version__}"

    def open(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        attempt: int = 0,
        authorization: str | None = None,
    ) -> Answer | Failed:
        """Request a URL and follow its redirects; any status but 200, 206 and 416 is a failure.

        Args:
            url: The URL.
            headers: Further headers.
            method: GET or HEAD.
            attempt: The number of the attempt from 0; each attempt uses the host's next network address.
            authorization: The Authorization header for the URL's own host; it is dropped at the first redirect to
                another host.
        """
        asked: WebAddress | None = None
        seen: set[str] = set()
        for _ in range(self._settings.max_redirects + 1):
            address = check_url(url, _EVERYWHERE)
            if isinstance(address, WebAddress) and address.origin != self._typed:
                address = check_url(url, self._networks)
            if isinstance(address, FetchFailure):
                return Failed(address if asked is None else _not_followed(asked, address))
            if asked is not None and asked.origin != address.origin:
                authorization = None
            asked = address
            if address.url in seen:
                return permanent("redirect_loop", f"{address.host_header} redirects in a circle")
            seen.add(address.url)
            secret = {"Authorization": authorization} if authorization else {}
            found = self._ask(address, {**(headers or {}), **secret}, method, attempt)
            if isinstance(found, Failed):
                return found
            answer, location = found
            if location is None:
                return answer if answer.status in (200, 206, 416) else _status_failed(answer, address)
            answer.close()
            url = location
            if address.scheme == "https" and url.lower().startswith("http:"):
                return permanent("insecure_redirect", f"{address.host_header} redirects from https: to http:")
        return permanent(
            "too_many_redirects", f"more than {self._settings.max_redirects} (pull.max_redirects)"
        )

    def _ask(
        self, address: WebAddress, headers: Mapping[str, str], method: str, attempt: int
    ) -> tuple[Answer, str | None] | Failed:
        proxies = requests.utils.get_environ_proxies(address.url)
        pinned = None
        if requests.utils.select_proxy(address.url, proxies) is None:
            resolver = self._resolver_of_typed if address.origin == self._typed else self._resolver
            found = resolver.addresses(address.host, address.port)
            if isinstance(found, FetchFailure):
                return Failed(found)
            pinned = found[attempt % len(found)]
        # No requests.Session: it reads the whole body of a redirect, however long, even where it does not follow it,
        # and it sends the passwords of a .netrc.
        adapter = PinnedAdapter(address.host, pinned)
        sent = {
            "User-Agent": self._user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **headers,
            "Host": address.host_header,
        }
        try:
            response = adapter.send(
                requests.Request(method, address.url, headers=sent).prepare(),
                stream=True,
                timeout=(self._settings.connect_timeout, self._settings.read_timeout),
                verify=os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True,
                proxies=proxies,
            )
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            adapter.close()
            return _no_answer(error, address, self._settings)
        location = response.headers["Location"] if response.is_redirect else None
        target = None if location is None else redirect_target(address.url, location)
        return Answer(response, adapter, self._settings), target


def _not_followed(asked: WebAddress, failure: FetchFailure) -> FetchFailure:
    """Return the failure of a redirect that may not be followed, without a target that is no URL: it may be signed."""
    detail = f"{asked.host_header} redirects to a URL that may not be requested"
    detail = detail if failure.reason == "bad_url" else f"{detail}: {failure.detail}"
    return FetchFailure(failure.status, failure.reason, detail)


def _status_failed(answer: Answer, address: WebAddress) -> Failed:
    answer.close()
    status, host = answer.status, address.host_header
    detail = f"{host} answered {status}"
    if status in LOGIN_WANTED:
        detail += ": it requires a login, a form or an agreement first"
    elif status in GONE:
        detail += ": the file is not there or no longer there"
    elif status == 429:
        detail += ": too many requests"
    return Failed(*status_failure(status, answer.headers, detail))


def _no_answer(error: Exception, address: WebAddress, settings: PullSettings) -> Failed:
    """Return the failure of a request without a response; the error's own text is left out, as it holds the URL."""
    host = address.host_header
    if isinstance(error, requests.exceptions.ProxyError):
        return transient("proxy_failed", f"no connection to {host} through the proxy of the environment")
    if isinstance(error, requests.exceptions.SSLError):
        return permanent("tls_failed", f"{host}: the certificate or the TLS connection is not valid")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return transient("connect_timeout", f"no connection to {host} within {settings.connect_timeout:g} s")
    if isinstance(error, requests.exceptions.ReadTimeout):
        return transient("read_timeout", f"no answer from {host} within {settings.read_timeout:g} s")
    if isinstance(error, requests.exceptions.ConnectionError):
        return transient("connection_failed", f"no connection to {host}, or it broke")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return permanent("bad_url", f"{host}: this URL, or the environment's proxy, cannot be used")
    if type(error) is OSError:  # what requests raises before it connects
        return permanent(
            "no_certificates",
            "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names no file of certificates: correct it",
        )
    return transient("connection_broken", f"{host}: {type(error).__name__}")
