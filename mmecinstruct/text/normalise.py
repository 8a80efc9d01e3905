"""Convert text as publishers ship it into text as a person reads it.

Everything here is a pure function. The HTML parser is loaded on first use; text without markup, by far the most
frequent case, never reaches it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from html import unescape
from html.entities import html5
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

# The parser's time grows with the square of the nesting, so longer text is cut before it is parsed.
MARKUP_LENGTH = 100_000

# How many times a text is normalised and unescaped or parsed. Some publishers escape text that was escaped before; no
# honest text needs half as many rounds.
_ROUNDS = 8

# Tags that begin a new line on a page; without a space the words around them would be joined.
_BLOCK_TAG = re.compile(
    r"<(?=/?(?:p|br|li|ul|ol|dl|dt|dd|div|h[1-6]|hr|table|tr|td|th|thead|tbody|section|article|header|footer"
    r"|blockquote|pre|figure|figcaption|option|img)\b)",
    re.IGNORECASE,
)
# The starts of markup. Any other `<` was typed by a person ("<five stars", "</3"), and a parser would drop the
# text after it. Tags of one letter need a closing bracket or an attribute.
_TAG = (
    r"<(?=[a-z/!?])(?:/?[abipqsu](?=\s*/?>|\s+[a-z-]+\s*=)|!--|!doctype\b|!\[CDATA\[|\?xml\b|/?[a-z]\w{0,20}[:-][a-z]"
    r"|/?(?:abbr|acronym|address|animate|applet|area|article|aside|audio|base|basefont|bdi|bdo|bgsound|big"
    r"|blink|blockquote|body|br|button|canvas|caption|center|cite|code|col|colgroup|data|datalist|dd|del"
    r"|details|dfn|dialog|dir|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|foreignobject|form"
    r"|frame|frameset|h[1-6]|head|header|hr|html|iframe|image|img|input|ins|isindex|kbd|keygen|label|legend"
    r"|li|link|listing|main|map|mark|marquee|math|menu|meta|meter|nav|nobr|noembed|noframes|noscript|object"
    r"|ol|optgroup|option|output|param|path|picture|plaintext|pre|progress|rp|rt|ruby|samp|script|section"
    r"|select|slot|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template"
    r"|textarea|tfoot|th|thead|time|title|tr|track|tt|ul|var|video|wbr|xmp)(?=[\s/>]|$))"
)
_MARKUP = re.compile(_TAG, re.IGNORECASE)
_TYPED = re.compile(rf"(?!{_TAG})<", re.IGNORECASE)
# Tags without attributes that only begin lines or change letters: most of the markup there is. Texts with no other
# tags are not parsed; removing these tags gives the same text.
_PLAIN_BLOCK_TAG = re.compile(r"</?(?:p|br|li|ul|ol|div|h[1-6])[ ]?/?>", re.IGNORECASE)
_PLAIN_INLINE_TAG = re.compile(r"</?(?:b|i|u|em|strong|small|span)>", re.IGNORECASE)
_NOT_SHOWN = ["script", "style", "noscript", "template", "iframe"]

# Character references. A name without a semicolon is one only before a character that cannot continue it
# ("garden&center" has none), except for the few that pages leave open most often.
_OPEN_NAMES = "|".join(sorted((name for name in html5 if not name.endswith(";")), key=len, reverse=True))
_REFERENCE = (
    r"&(?:#[0-9]|#[xX][0-9A-Fa-f]|[A-Za-z][A-Za-z0-9]{1,31};|lt|LT|quot|nbsp"
    rf"|(?:{_OPEN_NAMES})(?![0-9A-Za-z=;]))"
)
_REFERENCES = re.compile(rf"{_REFERENCE}[0-9A-Za-z]{{0,32}};?")
_BARE_AMPERSAND = re.compile(rf"&(?!{_REFERENCE})")
# "&amp;amp;lt;" is "&lt;".
_NESTED = re.compile(r"&(?:(?:amp|AMP|#0{0,9}38|#[xX]0{0,9}26);)+")
_LONG_NUMBER = re.compile(r"&#([0-9]{8,})")
# What a parser takes for a tag, known or not.
_OPENED = re.compile(r"<(?=[A-Za-z/!?])")


def _replacements() -> dict[int, str | None]:
    """Return the replacements of single characters, None for removed ones.

    Control characters and invisible characters (zero-width spaces, byte order mark, soft hyphen, direction controls,
    invisible operators, tags, noncharacters) are removed. Lone surrogates, which cannot be stored as UTF-8, become
    U+FFFD. Letters that differ from plain ones only in style (mathematical, full-width, ligatures) become plain. C1
    controls become characters of Windows-1252, as in HTML.
    """
    table: dict[int, str | None] = dict.fromkeys([*range(0x20), 0x7F, 0x00AD, 0x034F, 0x061C, 0x180E, 0x200B])
    for start, stop in (
        *((0x200E, 0x2010), (0x202A, 0x202F), (0x2060, 0x2070), (0xFDD0, 0xFDF0), (0xFEFF, 0xFF00)),
        *((0xFFF9, 0xFFFC), (0xFFFE, 0x10000), (0x1FFFE, 0x20000), (0xE0000, 0xE0200)),
    ):
        table.update(dict.fromkeys(range(start, stop)))
    table.update(dict.fromkeys((0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0), " "))  # letters that are blank
    table.update(dict.fromkeys(range(0xD800, 0xE000), "\ufffd"))
    for code in range(0x80, 0xA0):
        table[code] = bytes([code]).decode("cp1252", "ignore") or None
    for start, stop in ((0x1D400, 0x1D800), (0xFF01, 0xFF5F), (0xFB00, 0xFB07)):
        table.update({code: unicodedata.normalize("NFKC", chr(code)) for code in range(start, stop)})
    # Letters that the mathematical alphabets lack because they existed before.
    table.update(
        {ord(letter): unicodedata.normalize("NFKC", letter) for letter in "ℂℊℋℌℍℎℐℑℒℕℙℚℛℜℝℤℨℬℭℯℰℱℳℴ"}
    )
    return table


_REPLACED = _replacements()
# Joiners have a meaning between letters of some scripts and within emoji, none beside ASCII. The pattern matches a run
# only as a whole from its start; otherwise a long run would take time proportional to the square of its length.
_STRAY_JOINER = re.compile(
    r"(?<=[\x00-\x7f])[\u200c\u200d]+|(?<![\u200c\u200d])[\u200c\u200d]++(?=[\x00-\x7f]|$)|^[\u200c\u200d]+"
)
# Combining marks on one letter. No orthography stacks more, and normalising a long run takes quadratic time.
_MARKS_PER_LETTER = 4
# Characters that are in NFC, visible and unchanged next to any other: Latin letters, dashes, quotation marks, bullets,
# currency and trademark signs, Chinese and Japanese characters, pictographs and faces.
_HARMLESS = re.compile(
    "[ -~\u00a1-\u00ac\u00ae-\u024f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf\u2122\u4e00-\u9fff"
    "\U0001f300-\U0001f64f\U0001f680-\U0001f6c5\U0001f910-\U0001f9ff]*"
)


def normalise_text(text: str) -> str:
    """Return text in NFC, without control and invisible characters, with single blanks and none at the ends.

    Letters of the mathematical and full-width alphabets become plain, long runs of combining marks are cut, and lone
    surrogates, which cannot be stored as UTF-8, become U+FFFD.
    """
    # Most texts need no change; the check is far faster than the translation.
    if printable := text.isprintable():  # the only white space is then the blank
        while "  " in text:
            text = text.replace("  ", " ")
        text = text.strip(" ")
    else:
        text = " ".join(text.split())
    if (text.isascii() and (printable or text.isprintable())) or _HARMLESS.fullmatch(text):
        return text
    joined = _STRAY_JOINER.sub("", text.translate(_REPLACED))
    if joined.isascii():
        return " ".join(joined.split())
    runs = _combining_runs()
    # Again after NFC, which decomposes some marks.
    joined = runs.sub(r"\1", unicodedata.normalize("NFC", runs.sub(r"\1", joined)))
    return " ".join(joined.split())


@cache
def _combining_runs() -> re.Pattern[str]:
    codes = [code for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code))]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    marks = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return re.compile(f"([{marks}]{{{_MARKS_PER_LETTER}}})[{marks}]+")


def html_to_text(text: str) -> str:
    """Return the text that a browser would show for an HTML fragment, normalised.

    Scripts and styles are removed. Entities are resolved, also where the publisher escaped them several times. A `<`
    that opens no HTML tag is text. Markup longer than `MARKUP_LENGTH` is cut. Normalising, stripping and resolving are
    repeated until nothing changes, as each may reveal what another removes: the result has no tag, and is its own
    result.
    """
    text = normalise_text(text)
    for _ in range(_ROUNDS):
        if "<" not in text and "&" not in text:
            return text
        shown = normalise_text(_without_plain_tags(text) or _shown(text))
        if shown == text:
            break
        text = shown
    else:
        # Only a text that is made to outlast the rounds comes here.
        return normalise_text(text.replace("<", " ").replace("&", " "))
    return _without_attributes(text)


def has_tags(text: str) -> bool:
    """Return whether a raw text has HTML tags, also where normalising reveals them."""
    return _has_markup(normalise_text(text))


def _without_plain_tags(text: str) -> str:
    """Return the shown text of a text with only plain tags; empty where other markup may be in it."""
    if "&" in text or len(text) > MARKUP_LENGTH or not (text.isascii() or _HARMLESS.fullmatch(text)):
        return ""
    shown = _PLAIN_INLINE_TAG.sub("", _PLAIN_BLOCK_TAG.sub(" ", text))
    return "" if "<" in shown else shown


def _shown(text: str) -> str:
    return _parsed_text(text[:MARKUP_LENGTH]) if _has_markup(text) else _unescape(text)


def _has_markup(text: str) -> bool:
    return "<" in text and _MARKUP.search(text) is not None


def _without_attributes(text: str) -> str:
    """Put a blank behind each `<` of a text without tags that a parser could read as an element with attributes."""
    if "=" not in text or ">" not in text:
        return text
    # Each piece ends where its tags would. An attribute follows a blank or a slash after the `<` of its tag.
    *pieces, rest = text.split(">")
    for index, piece in enumerate(pieces):
        equals = piece.rfind("=")
        last = max(piece.rfind(" ", 0, equals), piece.rfind("/", 0, equals)) if equals > 0 else -1
        if last > 0:
            pieces[index] = _OPENED.sub("< ", piece[:last]) + piece[last:]
    return ">".join([*pieces, rest])


def _parsed_text(markup: str) -> str:
    markup = _BARE_AMPERSAND.sub("&amp;", _TYPED.sub("&lt;", _NESTED.sub("&", markup)))
    tree = _parser()(_BLOCK_TAG.sub(" <", markup))
    tree.strip_tags(_NOT_SHOWN)
    body = tree.body
    return body.text(separator="") if body is not None else ""


def _unescape(text: str) -> str:
    """Resolve entities. The standard library fails at a number of more than 4,300 digits."""
    if "&" not in text:
        return text
    text = _NESTED.sub("&", text)
    return _REFERENCES.sub(_resolved, _LONG_NUMBER.sub(_short_number, text) if "&#" in text else text)


def _resolved(match: re.Match[str]) -> str:
    return unescape(match[0])


def _short_number(match: re.Match[str]) -> str:
    digits = match[1].lstrip("0") or "0"
    return f"&#{digits}" if len(digits) <= 7 else "&#1114112"  # beyond Unicode, which becomes U+FFFD


@cache
def _parser() -> type[LexborHTMLParser]:
    from selectolax.lexbor import LexborHTMLParser

    return LexborHTMLParser


def plain_title(title: str) -> str:
    """Return a title with its entities resolved, normalised. Tags are kept, so that `is_markup` finds them."""
    title = normalise_text(title)
    for _ in range(_ROUNDS):
        if "&" not in title:
            return title
        shown = normalise_text(_unescape(title))
        if shown == title:
            return title
        title = shown
    return normalise_text(title.replace("&", " "))


def is_markup(text: str) -> bool:
    """Return whether a title, its entities resolved, is a piece of a page instead of a name.

    Product names do not contain `<`, `{`, `/>` or `getTime` (a script).
    """
    return "<" in text or "{" in text or "/>" in text or "getTime" in text


def description_text(description: object) -> str:
    """Return a description, a text or a list of paragraphs, as one text.

    Paragraphs that are style sheets or scripts are left out.
    """
    paragraphs = description if isinstance(description, list) else [description]
    texts = (html_to_text(part) for part in paragraphs if isinstance(part, str) and part)
    return " ".join(text for text in texts if text and not is_code(text))


def feature_texts(features: object) -> list[str]:
    """Return the bullet points of a product as texts, without the empty ones, scripts and style sheets."""
    parts = features if isinstance(features, list) else [features]
    texts = (html_to_text(part) for part in parts if isinstance(part, str) and part)
    return [text for text in texts if text and not is_markup(text)]


# What Amazon's reviews hold instead of a video, and of a link to a product with its title.
_MARKER = re.compile(
    r"\[\[VIDEO(?:ID)?:[^\[\]]{0,100}\]\]|\[\[ASIN:\s?\w{1,20}(?P<title>.{0,500}?)\]\](?!\])"
    r"|\bThe media could not be loaded\.?",
    re.IGNORECASE,
)
# Every text with a marker matches, in RE2's syntax.
MARKER_HINT = r"(?i)\[\[(?:video|asin)|media could not be loaded"


def without_markers(text: str) -> str:
    """Return a review without the markers of Amazon's pages; that of a link to a product leaves the product's title."""
    for _ in range(_ROUNDS):
        shown = _MARKER.sub(lambda marker: (marker["title"] or "").strip() or " ", text)
        if shown == text:
            break
        text = shown
    return " ".join(text.split())


def is_code(text: str) -> bool:
    """Return whether a paragraph is a style sheet or a script."""
    return ("{" in text and "}" in text) or "getTime" in text
