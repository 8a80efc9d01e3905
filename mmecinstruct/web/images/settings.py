"""Settings of the fetch stage: who asks, how often, how long, and what is never asked for."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from mmecinstruct.core.settings import Settings
from mmecinstruct.version import __version__


class FetchSettings(Settings):
    """Requests for images over HTTP. Seconds and bytes, unless a comment says otherwise.

    None of these settings changes what an image is, only whether and how it is asked for.
    """

    renamed_fields: ClassVar[Mapping[str, str]] = {"pictures_per_product": "images_per_product"}

    enabled: bool = False
    # Filled in with the version and the contact. The part before the first "/" is the name that robots.txt and
    # X-Robots-Tag are searched for.
    user_agent: str = "mmecinstruct/{version} (+{contact})"
    contact: str = ""  # a page or an e-mail address, where a shop's owner can complain
    images_per_product: int = Field(default=1, ge=1, le=100)

    threads: int = Field(default=16, ge=1, le=256)
    connections_per_host: int = Field(default=4, ge=1, le=256)
    requests_per_second: float = Field(default=10.0, gt=0, le=100_000)  # per host

    connect_timeout: float = Field(default=10.0, gt=0, le=300)
    read_timeout: float = Field(default=20.0, gt=0, le=300)  # between two arrivals of bytes
    total_timeout: float = Field(default=60.0, gt=0, le=3600)  # of one request: against a slow drip
    max_bytes: int = Field(default=20_000_000, gt=0)
    max_redirects: int = Field(default=5, ge=0, le=20)

    retries: int = Field(default=3, ge=0, le=20)  # after the first try, of a transient failure
    backoff_base: float = Field(default=1.0, gt=0, le=60)  # doubled with each failure
    backoff_cap: float = Field(default=60.0, gt=0, le=3600)
    max_retry_after: float = Field(default=120.0, ge=0, le=86_400)  # a host that asks for more is left alone
    host_failures: int = Field(default=20, ge=1)  # in a row, after which a host is left alone

    honour_robots: bool = True
    honour_robots_tag: bool = True  # the header X-Robots-Tag
    max_crawl_delay: float = Field(default=30.0, ge=0)  # a host that asks for more is left alone
    robots_max_age: float = Field(default=86_400.0, ge=0)
    # Networks that may be asked although they are not public, e.g. 192.168.7.0/24: for a shop in one's own network.
    # A list and no switch: URLs come from untrusted tables, and other private addresses stay closed to them.
    private_networks: tuple[str, ...] = ()

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
    def _says_whom_to_write_to(self) -> FetchSettings:
        if self.enabled and "{contact}" in self.user_agent and not self.contact.strip():
            raise ValueError(
                "fetch.contact: name a page or an e-mail address; it stands in the User-Agent, so that whoever "
                "runs a server can write to you instead of banning you"
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
