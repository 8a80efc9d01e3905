"""Mask personal data in free text with typed tokens such as `[EMAIL]` and `[PHONE]`.

Patterns and checks of our own, without a model: what they find and miss was measured, see docs/concepts/text.md.
Every pattern is bounded, so that the time grows with the length of the text and not faster.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.text.pii_addresses import find_addresses
from mmecinstruct.text.pii_kinds import PERSONAL_DATA_KINDS, PersonalDataKind
from mmecinstruct.text.pii_numbers import (
    Span,
    find_cards,
    find_ip_addresses,
    find_phones,
    find_social_security_numbers,
    merge,
)

TOKENS = {kind: f"[{kind.upper()}]" for kind in PERSONAL_DATA_KINDS}

# --- e-mail, URL -------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,6}[A-Za-z]{2,24}")
_MAILERS = "gmail|yahoo|hotmail|aol|outlook|icloud|msn|comcast|verizon|protonmail|live"
_ENDINGS = "com|net|org|edu|gov"
# name (at) host (dot) com; "at" and "dot" as words need a mailer or an ending after them.
_SPELT_EMAIL = re.compile(
    rf"(?<![\w.+%-])[\w.+%-]{{1,64}} ?"
    rf"(?:[\[({{] ?at ?[\])}}] ?[\w-]{{1,63}} ?(?:[\[({{] ?dot ?[\])}}]|\.| dot ) ?[a-z]{{2,6}}"
    rf"| at (?:(?:{_MAILERS}) ?(?:\.| dot |[\[({{]dot[\])}}]) ?(?:{_ENDINGS})|[\w-]{{1,63}} dot (?:{_ENDINGS})))\b",
    re.IGNORECASE,
)


def _find_emails(text: str) -> list[Span]:
    return merge(match.span() for pattern in (_EMAIL, _SPELT_EMAIL) for match in pattern.finditer(text))


_LINK = re.compile(r"(?:\b(?:https?|ftp)://|(?<![\w.@-])www\.(?=\w))[^\s<>\[\]\"]+", re.IGNORECASE)
# Endings that are no words that a missing blank could put after a full stop; "ASP.NET" is a product.
_DOMAIN = re.compile(
    r"(?<![\w@-])(?<!\w\.)(?!(?:asp|vb|ado|ml|paint)\.net\b)(?:[\w-]{1,63}\.){0,5}"
    r"(?=[\w-]{0,62}[^\W\d_])[\w-]{1,63}\.(?:com|net|org|edu|gov|biz|mil|co\.uk|org\.uk|ac\.uk|com\.au|co\.nz|co\.in|com\.br)(?:/[^\s<>\[\]\"]*)?(?![\w@-])",
    re.IGNORECASE,
)
_DOMAIN_WITH_PATH = re.compile(
    r"(?<![\w@-])(?<!\w\.)(?:[A-Za-z][\w-]{0,62}\.){1,4}"
    r"(?:ly|gl|gd|be|me|it|us|tv|io|co|de|fr|ca|uk|eu|info|ai|app|dev|shop|store|online)/[\w~-][^\s<>\[\]\"]*",
    re.IGNORECASE,
)
_CLOSING = ".,;:!?)}'’”*"


def _find_urls(text: str) -> list[Span]:
    spans = []
    for pattern in (_LINK, _DOMAIN, _DOMAIN_WITH_PATH):
        for match in pattern.finditer(text):
            start, stop = match.span()
            spans.append((start, start + len(text[start:stop].rstrip(_CLOSING))))
    return merge(spans)


# --- name, handle ------------------------------------------------------------------------------------

_OPENER = re.compile(
    r"\b(?:my (?:full |first |last |real )?name is|my name['’]s|i am called|i['’]m called|me llamo|mi nombre es"
    r"|je m['’]appelle|mon nom est|ich hei(?:ß|ss)e|mein name ist|mi chiamo|meu nome é)[:,]? ",
    re.IGNORECASE,
)
# "this is … from" only after a greeting: without one a product is presented.
_GREETING = re.compile(
    r"\b(?:hi|hello|hey|greetings|dear \w{1,20})(?: (?:there|all|everyone|folks|guys))?[,.!:-]{0,2} "
    r"(?:this is|i am|i['’]m|it['’]s) "
    r"(?=[^.!?]{2,60}?(?: from | here\b| again\b| speaking\b| calling\b| writing\b|, from ))",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"[^\W\d_][\w'’-]{0,30}\.?"
    r"(?: (?:[A-Z]\.|[A-Z][\w'’-]{1,30}|(?:de|van|von|der|la|di|da|del) [A-Z][\w'’-]{1,30})){0,3}"
)
# Words that follow the openers and are no names.
_NO_NAME_WORDS = (
    "a about actually already also always american an and another as at australian be because been being "
    "both british but by called canadian catholic changed christian clearly correct correctly crap "
    "different english engraved for forever french from german going good great her here hidden his how i "
    "if in incorrect irrelevant is it italian item its jewish just kein like listed lost magazine "
    "mispronounced missing misspelled mud muslim my never nicht no none not nothing now of off on only or "
    "our out printed probably product really review right shown so spanish spelled spelt still that the "
    "their there these they this to too unimportant unique unknown unpronounceable unusual update very "
    "was wasn’t what when where which who why with written wrong you your zu "
)
_NO_NAMES = frozenset(_NO_NAME_WORDS.split())
_LOWER_NAME_END = re.compile(r"\s*(?:[.,!;:)-]|$|\s(?:and|from|i|i['’]m|&)\b)", re.IGNORECASE)


def _find_names(text: str) -> list[Span]:
    spans = []
    for opener, careful in ((_OPENER, False), (_GREETING, True)):
        for match in opener.finditer(text):
            name = _NAME.match(text, match.end())
            if name is None:
                continue
            words = name[0].split(" ")
            kept = 0
            while kept < len(words) and words[kept].strip(".").lower() not in _NO_NAMES:
                kept += 1
            if not kept:
                continue
            found = " ".join(words[:kept])
            stop = match.end() + len(found.rstrip("."))
            # "my name is john": one small word counts where the clause ends after it.
            if not found[0].isupper() and (careful or not _LOWER_NAME_END.match(text, stop)):
                continue
            spans.append((match.end(), stop))
    return merge(spans)


_HANDLE = re.compile(r"(?<![\w@.+/-])@[A-Za-z_][\w.]{2,29}")
_NO_HANDLE_WORDS = "home work school the least all this that amazon gmail yahoo hotmail office night"
_NO_HANDLES = frozenset(_NO_HANDLE_WORDS.split())
_FORUM_HANDLE = re.compile(r"(?<![\w/])/?u/[A-Za-z][\w-]{2,19}\b")
_NAMED_HANDLE = re.compile(
    r"\b(?:instagram|insta|twitter|snapchat|tiktok|skype|discord|gamertag|gamer tag|psn|xbox live|ig)"
    r"(?: (?:id|handle|name|username|user name|tag|account)){0,2}(?: is|:|=) ?@?(?P<handle>[\w.#-]{3,30})",
    re.IGNORECASE,
)


def _find_handles(text: str) -> list[Span]:
    spans = [
        match.span()
        for match in _HANDLE.finditer(text)
        if match[0][1:].lower().rstrip(".") not in _NO_HANDLES
    ]
    spans = [(start, start + len(text[start:stop].rstrip("."))) for start, stop in spans]
    spans += [match.span() for match in _FORUM_HANDLE.finditer(text)]
    for match in _NAMED_HANDLE.finditer(text):
        handle = match["handle"].rstrip(".-")
        # A word is a word; figures or a low line within make it an account.
        if re.search(r"[A-Za-z]", handle) and re.search(r"[\d_#]", handle):
            spans.append((match.start("handle"), match.start("handle") + len(handle)))
    return merge(spans)


# --- masking -----------------------------------------------------------------------------------------

_ROUNDS = 10  # two suffice for what people write

_FINDERS: Mapping[PersonalDataKind, Callable[[str], list[Span]]] = {
    "email": _find_emails,
    "url": _find_urls,
    "ip_address": find_ip_addresses,
    "card": find_cards,
    "social_security": find_social_security_numbers,
    "phone": find_phones,
    "address": find_addresses,
    "name": _find_names,
    "handle": _find_handles,
}
# What a text must have for a kind to be in it; in RE2's syntax, as Arrow searches columns for them.
_HINTS: Mapping[PersonalDataKind, str] = {
    "email": rf"(?i)@|[\[({{] ?at ?[\])}}]| at (?:{_MAILERS}) ?[. \[({{]| dot (?:{_ENDINGS})",
    "url": r"(?i)://|www\.|\.(?:com|net|org|edu|gov|biz|mil|co|ac)\b|\.[a-z]{2,6}/",
    "ip_address": r"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:",
    "card": r"\d{13}|\d{3}[^\w\s]?\s?\d{3}[^\w]\d{3}|\d{3,6}\W\d{3,7}\W\d{3}",
    "social_security": r"\d{3}[- ]\d\d[- ]\d{4}|(?i:ssn|social security)\D{0,20}\d{9}",
    "phone": r"\d\W{0,3}\d{4}|\d{3}\W{1,3}\d{3}|\+\d|\d\d\W\d\d\W\d\d|1\W?8\d\d\W[A-Z\d]",
    "address": r"(?i)\b\d{1,6}[a-z]?(?:-\d{1,4})? .*"
    r"(?:st|ave?n?u?e?|blvd|boulevard|road|rd|lane|ln|h?i?g?hwa?y|parkway|pkwy"
    r"|terrace|crescent|alley|turnpike|freeway|drive|dr|court|ct|circle|cir|place|pl|way|trail|trl|square|sq|plaza|loop"
    r"|close|row|walk|street)\b|box #?\d|\b[a-z]{2,}\.?,? \d{5}|[a-z]\d[a-z] ?\d[a-z]\d",
    "name": r"(?i)\bnames?\b|\bnames?['’]s|\bcalled\b|\bllamo\b|\bnombre\b|appelle|\bnom\b|\bhei(?:ß|ss)e\b"
    r"|\bchiamo\b|\bnome\b"
    r"|\b(?:hi|hello|hey|greetings|dear)\b",
    "handle": r"(?i)@|\bu/|instagram|insta\b|twitter|snapchat|tiktok|skype|discord|gamer ?tag|\bpsn\b|xbox live|\big\b",
}


def mask_personal_data(
    text: str, kinds: Sequence[PersonalDataKind] = PERSONAL_DATA_KINDS
) -> tuple[str, dict[PersonalDataKind, int]]:
    """Return (the text with a token in the place of each piece of personal data, number of tokens set per kind).

    Kinds that were not found are not in the counts. Masking again changes nothing, unless a text was made to need
    more than `_ROUNDS` rounds.
    """
    counts: Counter[PersonalDataKind] = Counter()
    for _ in range(_ROUNDS):
        before = sum(counts.values())
        for kind in PERSONAL_DATA_KINDS:
            if kind in kinds and (spans := _FINDERS[kind](text)):
                counts[kind] += len(spans)
                text = _replaced(text, spans, TOKENS[kind])
        # A token may free its neighbour from what kept it from being recognised.
        if sum(counts.values()) == before:
            break
    return text, dict(counts)


def _replaced(text: str, spans: Sequence[Span], token: str) -> str:
    parts, place = [], 0
    for start, stop in spans:
        parts += [text[place:start], token]
        place = stop
    return "".join([*parts, text[place:]])


def suspected_kinds(
    texts: pa.Array, kinds: Sequence[PersonalDataKind] = PERSONAL_DATA_KINDS
) -> dict[PersonalDataKind, pa.Array]:
    """Return for each kind whether `mask_personal_data` could find it in each text, judged by Arrow's own search.

    Where it is false there is nothing of the kind; so it is in most texts.
    """
    return {kind: pc.fill_null(pc.match_substring_regex(texts, _HINTS[kind]), False) for kind in kinds}
