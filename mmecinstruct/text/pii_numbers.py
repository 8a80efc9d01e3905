"""Find numbers that identify a person: phone, payment card, social security, IP address.

Each function returns the spans of its kind in a text, in order and without overlap. Shape, checksum and the words
before a number decide together.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from mmecinstruct.core.networks import is_public

Span = tuple[int, int]

# Characters of a word that a number may be part of, for a class. In Chinese and Japanese a number stands beside words
# without a blank.
LATIN = r"0-9A-Za-z_\u00c0-\u024f"
# A number after one of these words belongs to a product, an order or a book.
_THING = re.compile(
    r"(?:\b(?:isbn|issn|model|part|item|sku|asin|upc|ean|gtin|serial|order|invoice|tracking|version|style|catalog"
    r"|stock|firmware|patent|p/n|s/n|mpn|lot|batch|modell|mod[eè]le|modelo|modello|artikel|bestell|bestellung|commande"
    r"|pedido|ordine|r[ée]f[ée]rence|ref|refer[eê]ncia|referencia)s?|#"
    r"|型[号號番]|品番|货号|貨號|订单|訂單|注文|番号|编号|모델|주문)"
    r"(?:[-\s]*(?:number|numbers|nummer|nr|no|num|n°|nº|code|id|1[03]|[号號]码?|番号|번호))?"
    r"(?:\s+(?:is|was|are|says|ist|est|es))?[\s.:#(：]*$",
    re.IGNORECASE,
)
_CONTEXT = 30  # characters before a number that are searched


def _is_a_things(text: str, start: int) -> bool:
    return _THING.search(text, max(0, start - _CONTEXT), start) is not None


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


# --- phone -------------------------------------------------------------------------------------------

_GAP = r"(?:\s?[.\-‐‑–]\s?|\s)"
_EXTENSION = r"(?:[\s,]{0,2}(?:x|ext\.?|extension)[\s.:]{0,2}\d{1,6})?"
# North America: area code and exchange begin with 2 to 9, and something separates the parts.
_NORTH_AMERICAN = re.compile(
    rf"(?<![{LATIN}.$€£#/+\-])(?:\+?1{_GAP}?)?(?:\([2-9]\d\d\)\s?{_GAP}?|[2-9]\d\d{_GAP})[2-9]\d\d{_GAP}\d{{4}}"
    rf"{_EXTENSION}(?![\d+]|-\w|\.\d)",
    re.IGNORECASE,
)
_VANITY = re.compile(
    r"(?<![\w-])1[- .]?8(?:00|33|44|55|66|77|88)[- .]"
    r"(?=(?:-?[A-Z\d]){7,12}\b)(?=[\d-]{0,8}[A-Z])[A-Z\d-]{7,15}(?![\w-])"
)
_PLUS = re.compile(
    rf"(?<![{LATIN}+])\+[1-9](?:[ .\-–/]?\(?\d\)?){{7,14}}{_EXTENSION}(?![\d+])", re.IGNORECASE
)
_TRUNK = re.compile(
    rf"(?<![{LATIN}.,$€£#/+\-])(?:00[1-9]\d{{0,2}}(?:[ \-/]\(?\d{{1,5}}\)?){{2,5}}"
    r"|(?:\(0[1-9]\d{0,3}\)|0[1-9]\d{1,3})[ \-/]\d{3,4}[ -]?\d{3,4}"
    r"|0\d{2,3} \d{3} \d\d \d\d"
    r"|0[1-9](?:[ .]\d\d){4})(?!\d|[-.]\d)"
)
_GROUP_BEFORE = re.compile(r"\d ")
# Mobile numbers of China have eleven digits, the first two of an operator.
_CHINESE = re.compile(rf"(?<![{LATIN}.,$€£#+\-])1[3-9]\d[ -]\d{{4}}[ -]\d{{4}}(?![{LATIN}]|[-.]\d)")
# After "call", "phone" and the like, numbers of any shape.
_ANNOUNCED = re.compile(
    r"(?:\b(?:call|phone|telephone|tel|cell|cellphone|mobile|fax|text|whatsapp|dial|hotline|ph|my number"
    r"|telefon|telefoon|t[eé]l[eé]fono|telefone|t[eé]l[eé]phone|t[eé]l|m[oó]vil|handy|mobil|mobiel|cellulare|celular"
    r"|rufen|anrufen|appel(?:ez|er)|ll[aá]m(?:ame|en|ar)|chiam(?:ate|a|are)|ligue|bel|zavolejte|dzwoni[ćc]"
    r"|телефон|тел|номер)\b"
    r"|手机|手機|电话|電話|携帯|전화|연락처|휴대폰)"
    r"(?:[\s.:#,：]|[号號码碼]|是|为|為|は|(?:me|us|them|him|her|at|on|number|nr|no|is|was|to|the|my|our|their|for|free"
    r"|toll-free|directly|customer|service|support|line|or|message|sie|mich|uns|unter|an|der|die|lautet|ist|moi|nous|au"
    r"|le|sur|est|al|el|es|il|o|per|para|pod|numer|nummer|n[uú]mero|num[eé]ro|na|naar|op|è|é)\b){0,14}"
    r"(?P<number>\(?\d{3,5}\)?[ .\-/]\d{3,8}(?:[ .\-]\d{3,4}|(?:[ .\-]\d\d){2})?|\(\d\d\) ?\d{4,5}[ -]\d{4}|\d{7,12}"
    rf"|\d{{2,4}}(?:[ .\-]\d{{2,4}}){{2,4}})(?![{LATIN}]|[-.,/]\d)",
    re.IGNORECASE,
)
# Three round numbers are sizes: 300-400-5000.
_SIZES = re.compile(r"\d\d0[ -]\d\d0[ -]\d{3}0")
# Dates, ranges of years and amounts with the length of a phone number.
_DATE = re.compile(r"(?:\d{1,4}[.\-]\d{1,2}[.\-]\d{1,4}|(?:19|20)\d\d\s?[ .\-–]\s?(?:19|20)\d\d|[1-9]0{4,})$")


def find_phones(text: str, vanity: bool = True) -> list[Span]:
    """Return the spans of phone numbers.

    Found are North American numbers, international ones with `+` or 00, national ones with a leading 0, 1-800-WORDS,
    and any number of 7 to 12 digits after a word like "call", also in other languages.

    Args:
        text: The text.
        vanity: Whether 1-800-WORDS count.
    """
    spans = [match.span() for match in _NORTH_AMERICAN.finditer(text) if not _SIZES.fullmatch(match[0])]
    if vanity:
        spans += [match.span() for match in _VANITY.finditer(text)]
    spans += [match.span() for match in _CHINESE.finditer(text)]
    end = -1
    for pattern, least in ((_PLUS, 8), (_TRUNK, 9)):
        for match in pattern.finditer(text):
            # A piece of a longer number in groups, as of a parcel; not a number behind another one.
            start = match.start()
            if pattern is _TRUNK and start != end + 1 and _GROUP_BEFORE.match(text, max(0, start - 2), start):
                continue
            count = len(_digits(match[0]))
            if least <= count <= 20 and not _DATE.match(match[0]):
                spans.append(match.span())
                end = match.end()
    for match in _ANNOUNCED.finditer(text):
        number = match["number"]
        if 7 <= len(_digits(number)) <= 12 and not _DATE.match(number):
            spans.append(match.span("number"))
    return merge(span for span in spans if not _is_a_things(text, span[0]))


def merge(spans: Iterator[Span] | list[Span]) -> list[Span]:
    """Return spans in order, overlapping ones merged."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


# --- payment card ------------------------------------------------------------------------------------

_CARD = re.compile(r"(?<![\d.,$€£-])(?:\d{13,19}|\d{3,6}(?:[ \-‐‑–]\d{3,7}){2,6})(?!\d|[.,]\d)")
# The first digits of card issuers.
_ISSUERS = re.compile(r"3[04-9]|4|5[0-8]|6|2[2-7]")


def find_cards(text: str) -> list[Span]:
    """Return the spans of card numbers: 13 to 19 digits, also in groups, of a known issuer, with a valid Luhn digit.

    A neighbouring group that does not belong to the number (a security code) is left out. Thirteen digits that are a
    valid EAN or ISBN count as a product's.
    """
    spans = []
    for match in _CARD.finditer(text):
        if _is_a_things(text, match.start()):
            continue
        groups = [
            (group.start() + match.start(), group.end() + match.start())
            for group in re.finditer(r"\d+", match[0])
        ]
        found = next(
            (
                (groups[first][0], groups[last][1])
                for first in range(len(groups))
                for last in range(len(groups) - 1, first - 1, -1)
                if _is_card(_digits(text[groups[first][0] : groups[last][1]]))
            ),
            None,
        )
        if found:
            spans.append(found)
    return spans


def _is_card(digits: str) -> bool:
    if not 13 <= len(digits) <= 19 or not _ISSUERS.match(digits) or len(set(digits)) == 1:
        return False
    if len(digits) == 13 and _checksum(digits, (1, 3)) % 10 == 0:
        return False
    return passes_luhn(digits)


def _checksum(digits: str, weights: tuple[int, int]) -> int:
    return sum(int(digit) * weights[index % 2] for index, digit in enumerate(reversed(digits)))


def passes_luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1)."""
    doubled = "0246813579"
    total = sum(
        int(doubled[int(digit)]) if index % 2 else int(digit) for index, digit in enumerate(reversed(digits))
    )
    return total % 10 == 0


# --- social security, IP address ---------------------------------------------------------------------

_SOCIAL_SECURITY = re.compile(
    r"(?<![\w.$+-])(?<!\+\d\d )(?<!\+\d{3} )(?!000|666|9)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}(?![\w-]|\.\d)"
)
_CALLED_SOCIAL_SECURITY = re.compile(
    r"\b(?:(?:ssn|social security)(?:\s(?:number|no))?(?:\s(?:is|was))?[\s.:#]{0,3}(?P<us>\d{9})"
    r"|(?:ni|nino|national insurance)(?:\s(?:number|no))?(?:\s(?:is|was))?[\s.:#]{0,3}"
    r"(?P<uk>[a-z]{2} ?\d\d ?\d\d ?\d\d ?[a-d])"
    r"|(?:dni|nif|nie)(?:\s(?:es|número))?[\s.:#]{0,3}(?P<es>[xyz]?\d{7,8}-?[a-z]))(?!\w)",
    re.IGNORECASE,
)
# Brazil's numbers have a shape of their own, with two check digits.
_CPF = re.compile(rf"(?<![{LATIN}.\-])\d{{3}}\.\d{{3}}\.\d{{3}}-\d\d(?![{LATIN}\-])")


def find_social_security_numbers(text: str) -> list[Span]:
    """Return the spans of numbers by which states know persons.

    Found are valid numbers of the form 123-45-6789, nine digits after "SSN" or the like, numbers after "NI number"
    and "DNI", and valid numbers of the form 111.444.777-35.
    """
    spans = [match.span() for match in _SOCIAL_SECURITY.finditer(text)]
    spans = [span for span in spans if not _is_a_things(text, span[0])]
    spans += [match.span(match.lastgroup or 0) for match in _CALLED_SOCIAL_SECURITY.finditer(text)]
    return merge(spans + [match.span() for match in _CPF.finditer(text) if _is_cpf(_digits(match[0]))])


def _is_cpf(digits: str) -> bool:
    return len(set(digits)) > 1 and all(
        (sum(int(digit) * (place + 1 - index) for index, digit in enumerate(digits[:place])) * 10) % 11 % 10
        == int(digits[place])
        for place in (9, 10)
    )


_IP_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_IP_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![\w:])")
_VERSION = re.compile(
    r"\b(?:(?:v|ver|version|firmware|release|build|software|revision|ios|android)"
    r"|(?:updated?|upgraded?)(?: (?:to|from))?)[\s:.v]*$",
    re.IGNORECASE,
)


def find_ip_addresses(text: str) -> list[Span]:
    """Return the spans of public IPv4 and IPv6 addresses.

    Private addresses identify nobody. Software versions have the form of addresses and are left out.
    """
    spans = []
    for pattern in (_IP_V4, _IP_V6):
        for match in pattern.finditer(text):
            try:
                public = is_public(ipaddress.ip_address(match[0]))
            except ValueError:
                continue
            # Short texts with two colons ("a::b") are no addresses.
            public &= ":" not in match[0] or (len(match[0]) > 8 and any(map(str.isdigit, match[0])))
            if public and not _VERSION.search(text, max(0, match.start() - _CONTEXT), match.start()):
                spans.append(match.span())
    return merge(spans)
