"""Find e-mail addresses, also spelt out: "jane (at) example.co.uk", "jane dot doe at example dot com"."""

from __future__ import annotations

import re

from mmecinstruct.text.pii_numbers import LATIN, Span, merge

# Letters of scripts that are written with blanks: in others a sentence would be taken for a part of the address.
_LETTERS = rf"{LATIN}\u0370-\u052f"
_LOCAL = rf"[{_LETTERS}.+%-]{{1,64}}"
_EMAIL = re.compile(rf"(?<![{_LETTERS}.+%-]){_LOCAL}@(?:[{_LETTERS}-]{{1,63}}\.){{1,6}}[A-Za-z]{{2,24}}")
MAILERS = "gmail|yahoo|hotmail|aol|outlook|icloud|msn|comcast|verizon|protonmail|live|gmx"
_ENDINGS = "com|net|org|edu|gov"
_ANY_ENDING = (
    rf"(?:{_ENDINGS}|info|biz|io|co|ac|me|uk|de|at|ch|fr|be|nl|es|it|pt|eu|ca|au|in|us|jp|cn|kr|br|mx|pl|cz|se|dk|no"
    "|fi|ru|tr|ie)"
)
_NAME = rf"[{_LETTERS}-]{{1,63}}"
# A full stop has a blank on both sides or on none: on one side it ends a sentence.
_DOT = r"(?:\.| \. | ?[\[({] ?dot ?[\])}] ?| dot )"
_FOREIGN_DOT = rf"(?:{_DOT}| (?:punkt|point|punto) )"
# Behind a sign with blanks a loose full stop may end a sentence: "look @ this . it is great".
_NO_SENTENCE = r"(?! \. (?:it|me|no|in|us|at|be|es|de|se)\b)"
# "at" as a word needs a mailer or a spelt dot after it; a sign in brackets is one in any case.
_SPELT_EMAIL = re.compile(
    rf"(?<![{_LETTERS}.+%-]){_LOCAL}"
    rf"(?:(?: \. | ?[\[({{] ?dot ?[\])}}] ?| (?:dot|punkt|point|punto|underscore) )[{_LETTERS}+%-]{{1,64}}){{0,3}}"
    rf"(?:(?: ?[\[({{] ?(?:at|ät|@) ?[\])}}] ?| arobase ){_NAME}(?:{_FOREIGN_DOT}{_NAME}){{0,3}}?"
    rf"(?:{_FOREIGN_DOT}{_ANY_ENDING}){{1,2}}"
    rf"|@ ?{_NAME}(?:{_DOT}{_NAME}){{0,3}}?(?:{_DOT}{_ANY_ENDING}){{1,2}}"
    rf"| @ ?{_NAME}(?:{_DOT}{_NAME}){{0,3}}?(?:{_NO_SENTENCE}{_DOT}{_ANY_ENDING}){{1,2}}"
    rf"| at (?:(?:{MAILERS}) ?{_DOT} ?{_ANY_ENDING}"
    rf"|{_NAME}(?: dot {_NAME}){{0,2}}? dot {_ANY_ENDING}))(?![{_LETTERS}-])",
    re.IGNORECASE,
)
# Every text with an address matches, in RE2's syntax.
EMAIL_HINT = rf"(?i)@|[\[({{] ?(?:at|ät) ?[\])}}]| arobase | at (?:{MAILERS}) ?[. \[({{]| dot {_ANY_ENDING}"


def find_emails(text: str) -> list[Span]:
    """Return the spans of e-mail addresses, in order and without overlap."""
    return merge(match.span() for pattern in (_EMAIL, _SPELT_EMAIL) for match in pattern.finditer(text))
