"""Make text from outside fit to show or to publish: URLs without secrets, characters that control no terminal.

URLs, names and messages of servers come from untrusted tables and libraries. `published_url` is for an image's URL or
path, `shown_url` for a URL in a message, `shown_text` for a text that may hold some, `printable` for what a terminal
gets.
"""

from __future__ import annotations

import os
import re
import unicodedata
from enum import IntEnum
from urllib.parse import quote, unquote_plus

SHOWN_URL_LENGTH = 300
_DEPTH = 3  # of URLs within the query of a URL
_ROUNDS = 5  # of percent-decoding, and of cutting what cutting reveals


class _Cut(IntEnum):
    """Which parameters of a URL are cut; each level cuts those of the levels before.

    SIGNATURES: those that sign a request. SECRETS: also tokens, keys and passwords by their names or their form.
    SUSPECTS: also parameters that may name a person, a session or a signature.
    """

    SIGNATURES = 0
    SECRETS = 1
    SUSPECTS = 2


# Names are compared in lower case, with `_` between their words.
_SIGNATURE = re.compile(
    r"x_(?:amz|goog|oss|cos|obs|ms|bce|tos)_.*|sig|signature|hmac|hdnea|hdnts|hdntl|ik_s|key_pair_id|aws_?access_?key_?id"
    r"|google_?access_?id|oss_?access_?key_?id"
)
# Parameters that belong to a signature where there is one, and say anything elsewhere.
_BESIDE_SIGNATURE = re.compile(
    r"expires|policy|s[vetprisk]|s[kr][tesv]|spr|sip|ss|skoid|sktid|hash_algorithm|ik_t|ex|is|oe"
)
# Short names that say anything, but sign a request where their value has the form of a signature.
_SIGNATURE_BY_VALUE = {
    "hm": re.compile(r"[0-9a-f]{40,}"),
    "oh": re.compile(r"(?:\d\d_)?[\w-]{20,}"),
    "verify": re.compile(r"\d{10}-.+"),
}
_SECRET = re.compile(
    r"(?:^|_)(?:[a-z0-9]*(?:token|secret|password|passwd|passphrase|sessid|session_?id)|pw|pwd|otp|jwt|bearer"
    r"|credentials?|authorization|(?:api|app|access|private|subscription|account)_?key)(?:_|$)"
)
_SUSPECT_NAME = re.compile(
    r"sign|hash|s|st|se|sp|sr|sv|spr|skoid|sktid|skt|ske|sks|skv|sip|si|oh|oe|key|k|pass|user|username|email|login"
    r"|sid|expires|expire|expiry|exp|policy|response_content_disposition"
)
_SUSPECT_WORDS = re.compile(r"token|secret|signature|passw|credential|auth(?!or)|session|jwt|bearer")
# Some schemes sign with parameters of short names; a harmless value of these is shorter.
_SIGNED_WITH = frozenset({"s", "st", "se", "sp", "sr", "sv", "si", "k", "oh", "oe", "exp", "hash"})
_SIGNED_LENGTH = 10
_LONG_VALUE = re.compile(r"[\w~+=/-]{65,}")
# Tokens that their form gives away.
_KNOWN_TOKEN = re.compile(
    r"\beyJ[\w-]{5,}\.[\w.-]+|\bhf_\w{8,}|\bgh[opsur]_\w{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\bA[KS]IA[A-Z0-9]{16}\b|\bsk-[\w-]{20,}|\bxox[abops]-[\w-]{10,}"
)

# Not `//host/path`, a web address without its scheme.
_PRIVATE_PATH = re.compile(
    r"(?i)\s*+(?:file:|/(?!/)|[a-z]:[/\\]|\\\\|~[\w.-]*(?:[/\\]|$)"
    r"|(?![a-z][a-z0-9+.-]*:/|//)(?:[^?#]*[/\\])?\.\.(?:[/\\]|$))"
)

_AT = "@\uff20\ufe6b"
_ENCODED_AT = re.compile(f"[{_AT}]|%(?:25)*40", re.IGNORECASE)
# Most URLs: nothing in them can be secret.
_PLAIN_URL = re.compile(r"https?://[\w.-]+(?::\d+)?/[\w.~%+,()/-]*", re.ASCII)
_SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2,}|(?:https?|ftps?|wss?|s3):[/\\]?", re.IGNORECASE)
_URL = re.compile(r"(?:\b[A-Za-z][A-Za-z0-9+.-]{0,40}:)?[/\\]{2}[^\s\"'<>`\x00-\x20]*")
# A name and a password before a host: without the two slashes, and with a blank in the password.
_USER = re.compile(
    rf"(?i)(?<![\w./\\])(?!mailto:)((?:https?|ftps?):[/\\]?)?[^\s/\\\"'<>:{_AT}]{{1,100}}:"
    rf"[^\s/\\\"'<>{_AT}]{{1,200}}[{_AT}](?=[\w\[])"
)
_USER_WITH_BLANK = re.compile(
    rf"(?i)\b([a-z][a-z0-9+.-]{{0,40}}:[/\\]{{2,}})[^\s/\\\"'<>:{_AT}]{{1,100}}:(?!\d+\s)[^/\\\"'<>\n{_AT}]{{1,100}}"
    rf"[{_AT}](?=[\w\[])"
)
_PARAMETER = re.compile(r"(?<![^?&;:,/|\s'\"(\[{])([^\s\"'<>`=&;:?#/|]{1,100})=([^\s\"'<>`&;#|/]*)")
_INNER_NAME = re.compile(r"([\w.\[\]-]{1,100})=")
_HEADER = re.compile(
    r"(?i)(\b[\w-]{0,40}(?:passwo?r?d|passphrase|api[_-]?key|access[_-]?key|private[_-]?key|authorization)[\"']?\s*:\s*"
    r"|\b[\w-]{0,40}(?:token|secret)[\"']?\s*:\s*(?=[\"']|\S*\d|\S{16}))"
    r"((?:bearer|basic|token|digest)\s+)?(?:\"[^\"]*\"|'[^']*'|[^\s\"',;]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_TOKENS_IN_ENVIRONMENT = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_END = ").,:;!]}"


def shown_url(url: str, limit: int = SHOWN_URL_LENGTH, *, query: bool = True) -> str:
    """Return a URL fit for a message, which need not lead anywhere.

    A user and a password are left out, and so is each parameter that may be secret: one that signs a request, names a
    token, a session or a person, or has a long value. Characters that are not printable are percent-encoded.

    Args:
        url: The URL, valid or not.
        limit: Characters; a longer URL is cut.
        query: Whether parameters without secrets are shown.
    """
    return _cut(_shown(url, _Cut.SUSPECTS, query), limit)


def published_url(url: str, limit: int = SHOWN_URL_LENGTH) -> str:
    """Return an image's URL fit to publish: a user, a password and parameters that are clearly secret are left out.

    Secrets are signatures with what belongs to them, and tokens, keys and passwords by their names or their form.
    Others, such as `key`, `hash` or `user`, may name the image and stay. Of a path that begins at the root of a
    machine, or leads out of its folder, only the name is left.

    Args:
        url: The URL or path, valid or not.
        limit: Characters; a longer URL is cut.
    """
    if is_private_path(url):
        parts = re.split(r"[/\\]", url.rstrip("/\\"))
        url = f"…/{parts[-1]}" if parts[-1] not in ("", "~", "..") else "…"
    return _cut(_shown(url, _Cut.SECRETS), limit)


def is_private_path(text: str) -> bool:
    """Return whether a text is a path that tells of the machine: an absolute one, `file:`, `~`, or one with `..`."""
    return _PRIVATE_PATH.match(text) is not None


def unsigned_url(url: str) -> str:
    """Return a URL without what signs a request, which changes from day to day while the image stays the same."""
    return _shown(url, _Cut.SIGNATURES)


def shown_text(text: str) -> str:
    """Return a text with each URL in it as `shown_url` gives it, and without tokens and passwords that it names."""
    if any(at in text for at in _AT):
        text = _USER_WITH_BLANK.sub(r"\1", text)
    if "//" in text or "\\" in text:
        text = _URL.sub(_shown_match, text)
    if any(at in text for at in _AT):
        text = _USER.sub(lambda match: match[1] or "***@", text)
    if "=" in text:
        text = _PARAMETER.sub(_shown_parameter, text)
    if ":" in text:
        text = _HEADER.sub(r"\1\2***", text)
    text = _KNOWN_TOKEN.sub("***", text)
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
    secret = _is_secret(match[1], value, _Cut.SECRETS, False, _DEPTH)
    return f"{match[1]}=***{match[2][len(value) :]}" if secret else match[0]


def _shown(url: str, cut: _Cut, query: bool = True) -> str:
    if _PLAIN_URL.fullmatch(url) and not _KNOWN_TOKEN.search(url):
        return url
    for _ in range(_ROUNDS):
        shown = _without_secrets(url, query, cut, _DEPTH)
        if shown == url:
            break
        url = shown
    return _plain(url)


def _without_secrets(url: str, query: bool, cut: _Cut, depth: int) -> str:
    front, mark, fragment = url.partition("#")
    front, question, parameters = front.partition("?")
    scheme, slashes, rest = _scheme(front)
    authority = re.split(r"[/\\]", rest, maxsplit=1)[0]
    # A password may hold a slash or a question mark: then what is before it is no host with a port.
    whole = rest + question + parameters + mark + fragment
    if (scheme or slashes) and cut:
        if ends := [match.end() for match in _ENCODED_AT.finditer(authority)]:
            rest = rest[ends[-1] :]
        elif ":" in authority and not _is_host(authority) and (found := [*re.finditer(f"[{_AT}]", whole)]):
            return scheme + slashes + _without_secrets(whole[found[-1].end() :], query, cut, depth)
    signed = _is_signed(parameters)
    path, *path_parameters = rest.split(";")
    shown = path
    for each in path_parameters:
        # What follows the next slash may name the image.
        parameter, slash, tail = (each, "", "") if cut is _Cut.SUSPECTS else each.partition("/")
        secret = _is_secret(*_pair(parameter), cut, False, depth)
        shown += ("" if secret else f";{parameter}") + slash + tail
    if cut:
        shown = _KNOWN_TOKEN.sub("***", _PARAMETER.sub(_shown_parameter, shown) if "=" in shown else shown)
    shown = scheme + slashes + shown
    if query and parameters:
        left = _kept(parameters, cut, signed, depth)
        shown += question + left if left else ""
    if query and fragment:
        left = _kept(fragment, cut, signed, depth) if "=" in fragment else fragment
        shown += mark + left if left else ""
    return shown


def _scheme(url: str) -> tuple[str, str, str]:
    match = _SCHEME.match(url)
    if match is None:
        # `user:password@host` without a scheme; a path such as `images/a@2x.png` has no colon before it.
        head = re.split(r"[/\\]", url, maxsplit=1)[0]
        ends = [match.end() for match in re.finditer(f"[{_AT}]", head)]
        if ends and ":" in head[: ends[0]] and not head.startswith("mailto:"):
            return "", "", url[ends[-1] :]
        return "", "", url
    head = match[0]
    scheme = head.rstrip("/\\")
    return scheme, head[len(scheme) :], url[len(head) :]


def _is_host(authority: str) -> bool:
    host, _, port = authority.rpartition(":")
    return port.isdecimal() or authority.startswith("[") or not host


def _kept(parameters: str, cut: _Cut, signed: bool, depth: int) -> str:
    """Return the parameters of a query without the secret ones, otherwise as they are."""
    parts = re.split(r"([&;])", parameters)
    kept = ""
    for index in range(0, len(parts), 2):
        if not _is_secret(*_pair(parts[index]), cut, signed, depth):
            kept += (parts[index - 1] if kept and index else "") + parts[index]
    return kept


def _is_signed(parameters: str) -> bool:
    pairs = (_pair(part) for part in re.split(r"[&;]", parameters))
    return any(_signs(_words(name), _decoded(value)) for name, value in pairs)


def _signs(name: str, value: str) -> bool:
    """Return whether a parameter is a signature. name: of `_words`."""
    form = _SIGNATURE_BY_VALUE.get(name)
    return _SIGNATURE.fullmatch(name) is not None or (form is not None and form.fullmatch(value) is not None)


def _pair(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return name, value


def _decoded(text: str) -> str:
    for _ in range(_ROUNDS):
        plain = unquote_plus(text)
        if plain == text:
            break
        text = plain
    return text


def _words(name: str) -> str:
    """Return a parameter's name in lower case with `_` between its words: `api.key` and `apiKey` become `api_key`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", _decoded(name))
    return re.sub(r"[^\w@]+", "_", name).strip("_").lower()


def _is_secret(name: str, value: str, cut: _Cut, signed: bool, depth: int) -> bool:
    name, plain = _words(name), _decoded(value)
    if _signs(name, plain) or (signed and _BESIDE_SIGNATURE.fullmatch(name)):
        return True
    if cut is _Cut.SIGNATURES:
        return False
    # A name with an `@` is a piece of a password.
    if "@" in name or _SECRET.search(name) or _KNOWN_TOKEN.search(plain):
        return True
    if any(_SECRET.search(_words(inner[1])) for inner in _INNER_NAME.finditer(plain)):
        return True
    if cut is _Cut.SUSPECTS:
        if name in _SIGNED_WITH:
            return len(plain) >= _SIGNED_LENGTH
        if _SUSPECT_NAME.fullmatch(name) or _SUSPECT_WORDS.search(name) or _LONG_VALUE.fullmatch(plain):
            return True
    if "//" in plain or any(at in plain for at in _AT):
        # A URL within the URL.
        return depth <= 0 or _without_secrets(plain, True, cut, depth - 1) != plain
    return False


def _plain(url: str) -> str:
    if url.isprintable():
        return url
    return "".join(
        one if one.isprintable() else quote(one.encode("utf-8", "surrogatepass"), safe="") for one in url
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"
