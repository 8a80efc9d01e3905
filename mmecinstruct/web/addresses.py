"""Check URLs and resolve host names to allowed network addresses.

URLs and redirects come from untrusted tables. A name is resolved once, its addresses are checked, and the connection is
made to a checked address, so a name that resolves differently a moment later (DNS rebinding) has no effect.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from mmecinstruct.core.networks import Address, is_public
from mmecinstruct.web.outcome import PERMANENT, TRANSIENT, FetchFailure

MAX_URL_LENGTH = 4096
RESOLVED_FOR = 300.0  # seconds
_PORTS = {"http": 80, "https": 443}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# (host name, port) → network addresses; raises OSError
Lookup = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A checked URL in its parts.

    Attributes:
        url: The normal form, without a fragment.
        scheme: `http` or `https`.
        host: The host in lower case, international names in their ASCII form, without brackets.
        port: The port.
        target: Path and query, as requested.
    """

    url: str
    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """The host with its port as in URLs and in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: the scope of one robots.txt."""
        return f"{self.scheme}://{self.host_header}"

    def sibling(self, target: str) -> WebAddress:
        """Return another path of the same origin."""
        return WebAddress(f"{self.origin}{target}", self.scheme, self.host, self.port, target)


def check_url(url: str, networks: Sequence[Network] = ()) -> WebAddress | FetchFailure:
    """Return the parts of a URL that may be requested, or why it may not.

    Args:
        url: The URL, from an untrusted source.
        networks: Networks that are allowed although they are not public.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return FetchFailure(PERMANENT, "data_url", "data URLs are refused")
    if scheme not in _PORTS:
        return FetchFailure(PERMANENT, "unknown_scheme", "neither http: nor https:")
    if len(url) > MAX_URL_LENGTH:
        return FetchFailure(PERMANENT, "bad_url", f"{len(url)} characters, at most {MAX_URL_LENGTH}")
    try:
        parts = parse_url(url)
    except (LocationParseError, UnicodeError):
        return FetchFailure(PERMANENT, "bad_url", "cannot be read as a URL")
    if not parts.host or parts.scheme != scheme:
        return FetchFailure(PERMANENT, "bad_url", "names no host")
    if parts.auth is not None:
        return FetchFailure(PERMANENT, "credentials_in_url", "a user name or password in a URL is refused")
    if parts.port == 0:
        return FetchFailure(PERMANENT, "bad_url", "port 0")
    host = parts.host.strip("[]").rstrip(".")
    if not host or not host.isascii():
        return FetchFailure(PERMANENT, "bad_url", "names no host")
    target = parts.request_uri
    plain = WebAddress("", scheme, host, parts.port or _PORTS[scheme], target)
    address = plain.sibling(target)
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return address
    return address if is_allowed(literal, networks) else _private(host, host)


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether a network address is public or in one of the allowed networks."""
    return is_public(address) or any(address in network for network in networks)


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host name in the system's order of preference.

    Raises:
        OSError: The name cannot be resolved.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """Resolves each host name at most once in `RESOLVED_FOR` seconds and checks all of its addresses."""

    def __init__(self, networks: Sequence[Network] = (), lookup: Lookup = look_up) -> None:
        """Create a resolver.

        Args:
            networks: Networks that are allowed although they are not public.
            lookup: Resolves a host name.
        """
        self._networks = networks
        self._lookup = lookup
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int) -> list[str] | FetchFailure:
        """Return the checked addresses of a host, best first, or why there are none.

        A single address that is not allowed rejects the name.
        """
        with self._lock:
            entry = self._known.get((host, port))
        if entry is not None and entry[0] > time.monotonic():
            return entry[1]
        try:
            found = self._lookup(host, port)
        except (OSError, UnicodeError) as error:
            detail = getattr(error, "strerror", None) or str(error)
            unknown = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
            return FetchFailure(TRANSIENT, "unknown_host" if unknown else "dns_failed", f"{host}: {detail}")
        if not found:
            return FetchFailure(TRANSIENT, "unknown_host", f"{host}: has no address")
        for address in found:
            if not is_allowed(ipaddress.ip_address(address), self._networks):
                return _private(host, address)
        with self._lock:
            self._known[host, port] = (time.monotonic() + RESOLVED_FOR, found)
        return found


def _private(host: str, address: str) -> FetchFailure:
    detail = address if host == address else f"{host} is {address}"
    return FetchFailure(
        PERMANENT, "private_address", f"{detail}, not on the public Internet (fetch.private_networks)"
    )
