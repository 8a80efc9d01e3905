"""What is asked of a server: its address, model and key, and how it answers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from caslie_model.config.choices import LimitName
from caslie_model.config.evaluation import OF_SERVERS
from caslie_model.errors import ConfigError
from caslie_model.runtime.processes import process_count
from mmecinstruct.core.shown import shown_url

_OPENAI = "api.openai.com"
BATCH_URL = "/v1/chat/completions"
OLD_LIMIT_NAME, NEW_LIMIT_NAME = get_args(LimitName)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ServerSettings:
    """The settings of asking a server or of a batch file; `PredictConfig` describes each of them.

    Attributes:
        model: The name by which the server knows its model.
        server: Base URL, such as `http://127.0.0.1:8000/v1`; None for batch files alone.
        scoring: generate or likelihood.
        answers: letter or text.
        concurrency: Requests at a time.
        request_timeout: Seconds for one request.
        retries: Requests after the first that failed.
        max_pixels: Pixels of an image at most.
        max_tokens: Tokens of an answer at most; None: as long as the longest allowed answer needs.
        limit_name: The name by which the server knows that limit.
        request_temperature: Temperature of the requests; None: none is sent.
        request_seed: Seed of the requests; None: none is sent.
        prices: File with prices by model.
        price_input: Money per million tokens of prompts; None: as `prices` says.
        price_output: Money per million tokens of answers; None: as `prices` says.
        budget: Money at most.
        api_key_env: Environment variable with the key; None: OPENAI_API_KEY for OpenAI's server, no key for others.
        write_batch: Batch file to write instead of asking.
        read_batch: Output files of a batch to read instead of asking.
    """

    model: str
    server: str | None = None
    scoring: str = "generate"
    answers: str = "text"
    concurrency: int = 8
    request_timeout: float = 120.0
    retries: int = 5
    max_pixels: int = 262_144
    max_tokens: int | None = None
    limit_name: LimitName = "max_tokens"
    request_temperature: Literal[0] | None = 0
    request_seed: int | None = 0
    prices: Path | None = None
    price_input: float | None = None
    price_output: float | None = None
    budget: float | None = None
    api_key_env: str | None = None
    write_batch: Path | None = None
    read_batch: tuple[Path, ...] = ()


def settings_of(config: Any) -> ServerSettings:
    """Return a config's settings of a server, checked.

    Args:
        config: An object with the fields of `ServerSettings`; those that it lacks have their defaults.

    Returns:
        The settings; `model` without `openai:`.

    Raises:
        ConfigError: If they contradict each other; the message has the remedy.
    """
    given = {
        each.name: getattr(config, each.name) for each in fields(ServerSettings) if hasattr(config, each.name)
    }
    given["model"] = str(given["model"]).removeprefix(OF_SERVERS)
    given["answers"] = given.get("answers") or "text"
    settings = ServerSettings(**given)
    if not settings.model:
        raise ConfigError(
            "model=openai: names no model; give openai:NAME, the name by which the server knows it"
        )
    if settings.scoring == "likelihood" and settings.answers != "letter":
        raise ConfigError(
            "scoring=likelihood: a server gives the probabilities of single tokens, and the words of an option are "
            "several; give answers=letter, or scoring=generate"
        )
    if settings.api_key_env is not None and not _VARIABLE.fullmatch(settings.api_key_env):
        # It may be the key itself.
        raise ConfigError(
            "api_key_env: expected the name of an environment variable, such as MY_KEY; put the key itself into it"
        )
    if process_count() > 1:
        raise ConfigError(
            "model=openai: is asked by one process; give `concurrency` instead of several processes"
        )
    if settings.write_batch is not None and settings.read_batch:
        raise ConfigError(
            "write_batch and read_batch: a batch is written first, and read when it is answered"
        )
    if settings.server is not None:
        url = chat_url(settings.server)
        if settings.api_key_env is None and urlsplit(url).hostname == _OPENAI:
            settings = replace(settings, api_key_env="OPENAI_API_KEY")
    elif settings.write_batch is None and not settings.read_batch:
        raise ConfigError(f"model=openai:{settings.model}: give `server`, the base URL of its server")
    return settings


def chat_url(server: str) -> str:
    """Return the URL that chat requests go to.

    Args:
        server: Base URL: requests go to `/chat/completions` below it. Without a path it is that of `/v1`.

    Raises:
        ConfigError: If it is no such URL, or may hold a secret, which would be written to files.
    """
    try:
        parts = urlsplit(server)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or not server.isprintable() or " " in server:
        raise ConfigError(
            f"server={shown_url(server)}: expected a base URL such as http://127.0.0.1:8000/v1 or https://HOST/v1"
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError(
            f"server={shown_url(server, query=False)}: a base URL has no user, password or query here; put the key "
            "into an environment variable and name it in `api_key_env`"
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}/chat/completions"


def api_key(settings: ServerSettings) -> str | None:
    """Return the key from the environment, None where there is none.

    Raises:
        ConfigError: If it holds a character that no key has; the message does not show it.
    """
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"the environment variable {settings.api_key_env} holds no key: it has blanks or strange signs"
        )
    return key


def is_on_this_machine(server: str) -> bool:
    """Return whether a server's address is one of this machine, which no proxy and nobody else stands before."""
    host = urlsplit(server).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
