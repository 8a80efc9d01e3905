"""Settings of the fetch stage: user agent, rates, timeouts, and URLs that are never requested."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from mmecinstruct.core.settings import Bytes, Seconds, Settings, unit
from mmecinstruct.version import __version__


class FetchSettings(Settings):
    """Requests for images over HTTP. None of these settings changes the content of an image."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"pictures_per_product": "images_per_product"}

    enabled: bool = Field(
        default=False,
        description="Download images that no mirror covers. Needs `contact`.",
    )
    user_agent: str = Field(
        default="mmecinstruct/{version} (+{contact})",
        description="User-Agent header; `{version}` and `{contact}` are filled in. The name before the first `/` is "
        "matched in robots.txt and X-Robots-Tag.",
    )
    contact: str = Field(
        default="",
        description="A page or an e-mail address where a server's owner can reach you. Sent in the User-Agent.",
    )
    images_per_product: Annotated[int, unit("images")] = Field(
        default=1, ge=1, le=100, description="Readable images per product, after which no more are requested."
    )

    threads: int = Field(default=16, ge=1, le=256, description="Concurrent requests over all hosts.")
    connections_per_host: int = Field(default=4, ge=1, le=256, description="Concurrent requests per host.")
    requests_per_second: Annotated[float, unit("requests per second")] = Field(
        default=10.0, gt=0, le=100_000, description="Most requests per second and host."
    )

    connect_timeout: Seconds = Field(
        default=10.0, gt=0, le=300, description="Seconds to wait for a connection."
    )
    read_timeout: Seconds = Field(
        default=20.0, gt=0, le=300, description="Seconds to wait for the next bytes of a response."
    )
    total_timeout: Seconds = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds that one request may take in all. Ends responses that arrive very slowly.",
    )
    max_bytes: Bytes = Field(default=20_000_000, gt=0, description="Largest accepted response in bytes.")
    max_redirects: int = Field(default=5, ge=0, le=20, description="Redirects followed per request.")

    retries: int = Field(
        default=3, ge=0, le=20, description="Further tries after a transient failure of a request."
    )
    backoff_base: Seconds = Field(
        default=1.0,
        gt=0,
        le=60,
        description="Seconds to wait after the first failure. Doubled with each further one.",
    )
    backoff_cap: Seconds = Field(
        default=60.0, gt=0, le=3600, description="Longest wait between two tries, in seconds."
    )
    max_retry_after: Seconds = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="A host that asks (`Retry-After`) for a wait of more seconds is skipped: `retry_later`.",
    )
    host_failures: int = Field(
        default=20,
        ge=1,
        description="Consecutive failures after which a host is skipped: `host_failing`.",
    )

    honour_robots: bool = Field(
        default=True,
        description="Obey robots.txt. Set to false only for servers whose owner allows it.",
    )
    honour_robots_tag: bool = Field(
        default=True,
        description="Discard images whose X-Robots-Tag header forbids their use or indexing.",
    )
    max_crawl_delay: Seconds = Field(
        default=30.0,
        ge=0,
        description="A host whose robots.txt asks for more seconds between requests is skipped.",
    )
    robots_max_age: Seconds = Field(
        default=86_400.0,
        ge=0,
        description="Seconds after which robots.txt is requested again.",
    )
    private_networks: tuple[str, ...] = Field(
        default=(),
        description="Private networks that may be requested, such as 192.168.7.0/24 for a shop in your own network. "
        "All other private addresses are never requested, since URLs come from untrusted tables.",
    )

    @field_validator("user_agent", "contact")
    @classmethod
    def _is_header_text(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError("printable ASCII, as it goes into a header")
        return value

    @field_validator("user_agent")
    @classmethod
    def _names_itself(cls, value: str) -> str:
        if not re.match(r"[A-Za-z][A-Za-z_-]*/", value):
            raise ValueError('begins with a name and a "/", as in my-shop-crawler/1.0')
        try:
            value.format(version="", contact="")
        except (LookupError, ValueError) as error:
            raise ValueError("only {version} and {contact} are filled in") from error
        return value

    @field_validator("private_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise ValueError(f"'{text}' is no network, as in 192.168.7.0/24: {error}") from error
        return value

    @model_validator(mode="after")
    def _has_contact(self) -> FetchSettings:
        if self.enabled and "{contact}" in self.user_agent and not self.contact.strip():
            raise ValueError(
                "fetch.contact: name a page or an e-mail address; the User-Agent contains it, so that the "
                "operator of a server can write to you instead of banning you"
            )
        return self

    @property
    def user_agent_header(self) -> str:
        """The User-Agent as it is sent."""
        return self.user_agent.format(version=__version__, contact=self.contact)

    @property
    def allowed_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of `private_networks`."""
        return tuple(ipaddress.ip_network(text) for text in self.private_networks)

    @property
    def robots_name(self) -> str:
        """The name that robots.txt and X-Robots-Tag are searched for."""
        return self.user_agent.partition("/")[0]
