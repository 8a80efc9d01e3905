"""Mask personal data in free text with typed tokens such as `[EMAIL]` and `[PHONE]`.

Patterns and checks, without a model; docs/concepts/text.md reports what was measured. Every pattern is bounded, so that
the time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmecinstruct.text.pii_accounts import IBAN_HINT, ORDER_HINT, find_ibans, find_orders
from mmecinstruct.text.pii_addresses import ADDRESS_HINT, find_addresses
from mmecinstruct.text.pii_emails import EMAIL_HINT, find_emails
from mmecinstruct.text.pii_kinds import PERSONAL_DATA_KINDS, PersonalDataKind
from mmecinstruct.text.pii_numbers import (
    LATIN,
    Span,
    find_cards,
    find_ip_addresses,
    find_phones,
    find_social_security_numbers,
    merge,
)

TOKENS = {kind: f"[{kind.upper()}]" for kind in PERSONAL_DATA_KINDS}

# --- URL -----------------------------------------------------------------------------------------

_LINK = re.compile(r"(?:\b(?:https?|ftp)://|(?<![\w.@-])www\.(?=\w))[^\s<>\[\]\"]+", re.IGNORECASE)
# Endings that cannot be a word after a full stop without a blank; "ASP.NET" is a product.
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
_PATH = re.compile(r"[^/:]/[^/\s]")
_CLOSING = ".,;:!?)}'’”*"


def _find_urls(text: str) -> list[Span]:
    spans = []
    for pattern in (_LINK, _DOMAIN, _DOMAIN_WITH_PATH):
        for match in pattern.finditer(text):
            start, stop = match.span()
            spans.append((start, start + len(text[start:stop].rstrip(_CLOSING))))
    return merge(spans)


def _find_pages(text: str) -> list[Span]:
    """Return the spans of URLs with a path: "Amazon.com Gift Card" names a brand."""
    return [(start, stop) for start, stop in _find_urls(text) if _PATH.search(text, start, stop)]


# --- name, handle ------------------------------------------------------------------------------------

_OPENER = re.compile(
    r"\b(?:my (?:full |first |last |real )?name is|my name['’]s|i am called|i['’]m called|me llamo|mi nombre es"
    r"|je m['’]appelle|mon nom est|ich hei(?:ß|ss)e|mein name ist|mi chiamo|meu nome é|me chamo|nazywam się"
    r"|mijn naam is|ik heet|jag heter|mitt namn är)[:,]? ",
    re.IGNORECASE,
)
# "this is … from" only after a greeting: without one it presents a product.
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
            # "my name is john": a word in lower case counts where the clause ends after it.
            if not found[0].isupper() and (careful or not _LOWER_NAME_END.match(text, stop)):
                continue
            spans.append((match.end(), stop))
    return merge(spans)


_HANDLE = re.compile(r"(?<![\w@.+/-])@[A-Za-z_][\w.]{2,29}")
_NO_HANDLE_WORDS = "home work school the least all this that amazon gmail yahoo hotmail office night"
_NO_HANDLES = frozenset(_NO_HANDLE_WORDS.split())
_FORUM_HANDLE = re.compile(r"(?<![\w/])/?u/[A-Za-z][\w-]{2,19}\b")
_NAMED_HANDLE = re.compile(
    r"(?:\b(?:instagram|insta|twitter|snapchat|tiktok|skype|discord|gamertag|gamer tag|psn|xbox live|ig|telegram)"
    r"(?: (?:id|handle|name|username|user name|tag|account)){0,2}(?: is|:|=)|微信[号號]?[是:：]?) ?@?"
    rf"(?P<handle>[{LATIN}.#-]{{3,30}})",
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
        # A plain word is no handle; digits, an underscore or a point make it one.
        if re.search(r"[A-Za-z]", handle) and re.search(r"[\d_#]|\w\.\w", handle):
            spans.append((match.start("handle"), match.start("handle") + len(handle)))
    return merge(spans)


# With a number behind the street; a street before its number needs a postal code too.
_IN_FULL = re.compile(
    r"\d.*[^\W\d_]{2}.*\d|(?:flat|apartment|apt|unit|suite)\b|.*\bbox\b"
    r"|.*[^\W\d_]{2}.*(?:\d{4}|\d{3} \d\d|[a-z]\d[a-z] ?\d[a-z]\d)",
    re.IGNORECASE,
)


def _find_full_addresses(text: str) -> list[Span]:
    """Return the spans of whole addresses: "21 Jump Street" is a film, "Rue du Soleil 200" a scent."""
    return [(start, stop) for start, stop in find_addresses(text) if _IN_FULL.match(text, start, stop)]


# --- masking -----------------------------------------------------------------------------------------

_ROUNDS = 10  # two suffice for real texts

_FINDERS: Mapping[PersonalDataKind, Callable[[str], list[Span]]] = {
    "email": find_emails,
    "url": _find_urls,
    "ip_address": find_ip_addresses,
    "iban": find_ibans,
    "order": find_orders,
    "card": find_cards,
    "social_security": find_social_security_numbers,
    "phone": find_phones,
    "address": find_addresses,
    "name": _find_names,
    "handle": _find_handles,
}
# In names of things and in queries for them.
_FINDERS_IN_NAMES: Mapping[PersonalDataKind, Callable[[str], list[Span]]] = {
    **_FINDERS,
    "url": _find_pages,
    "phone": lambda text: find_phones(text, vanity=False),
    "address": _find_full_addresses,
}
# Patterns that every text with a kind matches, in RE2's syntax, for Arrow's search over columns.
_HINTS: Mapping[PersonalDataKind, str] = {
    "email": EMAIL_HINT,
    "url": r"(?i)://|www\.|\.(?:com|net|org|edu|gov|biz|mil|co|ac)\b|\.[a-z]{2,6}/",
    "ip_address": r"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:",
    "iban": IBAN_HINT,
    "order": ORDER_HINT,
    "card": r"\d{13}|\d{3}[^\w\s]?\s?\d{3}[^\w]\d{3}|\d{3,6}\W\d{3,7}\W\d{3}",
    "social_security": r"\d{3}[- ]\d\d[- ]\d{4}|(?i:ssn|social security)\D{0,20}\d{9}|\d{3}\.\d{3}\.\d{3}-\d\d"
    r"|(?i:\bni\b|nino|national insurance|\bdni|\bnif|\bnie)",
    "phone": r"\d\W{0,3}\d{4}|\d{3}\W{1,3}\d{3}|\+\d|\d\d\W\d\d\W\d\d|1\W?8\d\d\W[A-Z\d]",
    "address": ADDRESS_HINT,
    "name": r"(?i)\bnames?\b|\bnames?['’]s|\bcalled\b|\bllamo\b|\bnombre\b|appelle|\bnom\b|\bhei(?:ß|ss)e\b"
    r"|\bchiamo\b|\bnome\b|\bchamo\b|\bnazywam\b|\bnaam\b|\bheet\b|\bheter\b|\bnamn\b"
    r"|\b(?:hi|hello|hey|greetings|dear)\b",
    "handle": r"(?i)@|\bu/|instagram|insta\b|twitter|snapchat|tiktok|skype|discord|gamer ?tag|\bpsn\b|xbox live|\big\b"
    r"|telegram|微信",
}


def mask_personal_data(
    text: str, kinds: Sequence[PersonalDataKind] = PERSONAL_DATA_KINDS, *, names: bool = False
) -> tuple[str, dict[PersonalDataKind, int]]:
    """Replace each piece of personal data by a token.

    Masking again changes nothing, unless a text is built to need more than `_ROUNDS` rounds.

    Args:
        text: The text.
        kinds: The kinds to mask.
        names: The text names a thing, as titles and queries do: sites without a path ("Amazon.com Gift Card"), streets
            without a code ("21 Jump Street") and numbers that spell a brand (1-800-FLOWERS) stay.

    Returns:
        (The masked text, the number of tokens by kind); kinds that were not found have no count.
    """
    finders = _FINDERS_IN_NAMES if names else _FINDERS
    counts: Counter[PersonalDataKind] = Counter()
    for _ in range(_ROUNDS):
        before = sum(counts.values())
        for kind in PERSONAL_DATA_KINDS:
            if kind in kinds and (spans := finders[kind](text)):
                counts[kind] += len(spans)
                text = _replaced(text, spans, TOKENS[kind])
        # A token may make its neighbour recognisable.
        if sum(counts.values()) == before:
            break
    return text, dict(counts)


def _replaced(text: str, spans: Sequence[Span], token: str) -> str:
    parts, end = [], 0
    for start, stop in spans:
        parts += [text[end:start], token]
        end = stop
    return "".join([*parts, text[end:]])


def suspected_kinds(
    texts: pa.Array, kinds: Sequence[PersonalDataKind] = PERSONAL_DATA_KINDS
) -> dict[PersonalDataKind, pa.Array]:
    """Return for each kind whether `mask_personal_data` could find it in each text, by Arrow's search.

    A text with False, as most have, contains nothing of the kind.

    Args:
        texts: The texts.
        kinds: The kinds to search for.
    """
    return {kind: pc.fill_null(pc.match_substring_regex(texts, _HINTS[kind]), False) for kind in kinds}
