"""Make text from outside fit to show or to publish: URLs without secrets, characters that control no terminal.

URLs, names and messages of servers come from untrusted tables and libraries. `shown_url` is for one URL, `shown_text`
for a text that may hold some, `printable` for what a terminal gets.
"""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import quote, unquote_plus

SHOWN_URL_LENGTH = 300
_DEPTH = 3  # of URLs within the query of a URL

# Parameters that sign a request, name its user or let somebody in; compared in lower case, with `_` for `-`.
_SECRET_NAME = re.compile(
    r"sig|sign|hash|hmac|s|st|se|sp|sr|sv|spr|skoid|sktid|skt|ske|sks|skv|sip|si|oh|oe|key|k|pass|pwd|user|username"
    r"|email|login|sid|expires|expire|expiry|exp|policy|key_pair_id|credential|hdnea|hdnts|googleaccessid"
    r"|ossaccesskeyid|response_content_disposition"
)
# Words that are secret wherever they are in a parameter's name.
_SECRET_WORDS = re.compile(
    r"token|secret|signature|passw|passphrase|credential|api_?key|access_?key|private_?key|auth(?!or)|session|jwt|bearer"
    r"|^x_(?:amz|goog|oss|cos|obs|ms|bce|tos)_"
)
# What a long value without an extension or blanks may be, whatever its name.
_TOKEN = re.compile(r"[\w~+=/-]{65,}|eyJ[\w-]+\..*|hf_\w{8,}")
# Some schemes sign with parameters of short names; a harmless value of these is shorter.
_SIGNED_WITH = frozenset({"s", "st", "se", "sp", "sr", "sv", "si", "k", "oh", "oe", "exp", "hash"})
_SIGNED_LENGTH = 10

# Most URLs: nothing in them can be secret.
_PLAIN_URL = re.compile(r"https?://[\w.-]+(?::\d+)?/[\w.~%+,()/-]*", re.ASCII)
_URL = re.compile(r"(?:\b[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2}[^\s\"'<>`\x00-\x20]*")
_PARAMETER = re.compile(r"(?<![^?&;,\s])([^\s\"'<>`=&;?#/]{1,100})=([^\s\"'<>`&;#]*)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
_TOKENS_IN_ENVIRONMENT = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_END = ").,:;!]}"


def shown_url(url: str, limit: int = SHOWN_URL_LENGTH, *, query: bool = True) -> str:
    """Return a URL fit to show or to publish.

    A user and a password are left out, and so are parameters that sign a request or name a token. The others stay as
    they are, and so does a URL that has no secret. Characters that are not printable are percent-encoded.

    Args:
        url: The URL, valid or not.
        limit: Characters; a longer URL is cut.
        query: Whether parameters without secrets are shown.
    """
    if len(url) <= limit and _PLAIN_URL.fullmatch(url):
        return url
    return _cut(_plain(_without_secrets(url, query, _DEPTH)), limit)


def shown_text(text: str) -> str:
    """Return a text with each URL in it as `shown_url` gives it, and without tokens."""
    if "//" in text or "\\" in text:
        text = _URL.sub(_shown_match, text)
    if "=" in text:
        text = _PARAMETER.sub(_shown_parameter, text)
    if "hf_" in text:
        text = _HUB_TOKEN.sub("***", text)
    if "earer" in text or "asic" in text or "BEARER" in text:
        text = _BEARER.sub(r"\1 ***", text)
    for name in _TOKENS_IN_ENVIRONMENT:
        token = os.environ.get(name, "").strip()
        if len(token) >= 8:
            text = text.replace(token, "***")
    return text


def printable(text: str, keep: str = "") -> str:
    r"""Return a text in which a character that could control a terminal is written as in JSON: `\u001b`.

    These are control characters, line ends, invisible ones and those that change the direction of the text around them.

    Args:
        text: The text.
        keep: Characters that stay, such as a line feed.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    if unicodedata.category(character) == "Zs" or character in "\u200c\u200d\ufe0f":
        return character  # blanks of all widths, and joiners within emoji and some scripts
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _shown_match(match: re.Match[str]) -> str:
    url = match[0].rstrip(_END)
    return shown_url(url, len(match[0])) + match[0][len(url) :]


def _shown_parameter(match: re.Match[str]) -> str:
    value = match[2].rstrip(_END)
    return f"{match[1]}=***{match[2][len(value) :]}" if _is_secret(match[1], value, _DEPTH) else match[0]


def _without_secrets(url: str, query: bool, depth: int) -> str:
    front, mark, fragment = url.partition("#")
    front, question, parameters = front.partition("?")
    scheme, slashes, rest = _scheme(front)
    authority = re.split(r"[/\\]", rest, maxsplit=1)[0]
    # A password may hold a slash or a question mark: then what is before it is no host with a port.
    whole = rest + question + parameters + mark + fragment
    if slashes and "@" in authority:
        rest = rest[authority.rindex("@") + 1 :]
    elif slashes and ":" in authority and "@" in whole and not _is_host(authority):
        return scheme + slashes + _without_secrets(whole.rpartition("@")[2], query, depth)
    path, *path_parameters = rest.split(";")
    kept = [each for each in path_parameters if not _is_secret(*_pair(each), depth)]
    shown = scheme + slashes + ";".join([path, *kept])
    if query and parameters:
        left = _kept(parameters, depth)
        shown += question + left if left else ""
    if query and fragment:
        left = _kept(fragment, depth) if "=" in fragment else fragment
        shown += mark + left if left else ""
    return shown


def _scheme(url: str) -> tuple[str, str, str]:
    match = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2,}", url)
    if match is None:
        # `user:password@host` without a scheme; a path such as `images/a@2x.png` has no colon before it.
        head = re.split(r"[/\\]", url, maxsplit=1)[0]
        if "@" in head and ":" in head.partition("@")[0] and not head.startswith("mailto:"):
            return "", "", url[url.index(head) + head.rindex("@") + 1 :]
        return "", "", url
    head = match[0]
    scheme = head.rstrip("/\\")
    return scheme, head[len(scheme) :], url[len(head) :]


def _is_host(authority: str) -> bool:
    host, _, port = authority.rpartition(":")
    return port.isdecimal() or authority.startswith("[") or not host


def _kept(parameters: str, depth: int) -> str:
    """Return the parameters of a query without the secret ones, otherwise as they are."""
    parts = re.split(r"([&;])", parameters)
    kept = ""
    for index in range(0, len(parts), 2):
        if not _is_secret(*_pair(parts[index]), depth):
            kept += (parts[index - 1] if kept and index else "") + parts[index]
    return kept


def _pair(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return name, value


def _is_secret(name: str, value: str, depth: int) -> bool:
    name = unquote_plus(name).strip().lower().replace("-", "_")
    plain = unquote_plus(value)
    if name in _SIGNED_WITH:
        return len(plain) >= _SIGNED_LENGTH
    # A name with an `@` is a piece of a password.
    if _SECRET_NAME.fullmatch(name) or "@" in name or _SECRET_WORDS.search(name):
        return True
    if "//" in plain or "@" in plain:
        # A URL within the URL.
        return depth <= 0 or _without_secrets(plain, True, depth - 1) != plain
    return _TOKEN.fullmatch(plain) is not None


def _plain(url: str) -> str:
    if url.isprintable():
        return url
    return "".join(
        one if one.isprintable() else quote(one.encode("utf-8", "surrogatepass"), safe="") for one in url
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"
