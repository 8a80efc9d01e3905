"""Find postal addresses: a number, the name of a street and a word for street; a state and its postal code.

Street names have to be capitalised, because reviews are full of "2 nice places" and "100 miles of road".
"""

from __future__ import annotations

import re

from mmecinstruct.text.pii_numbers import Span, merge

_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR"
    "|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC|PR"
)
_STATE_NAMES = (
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois"
    "|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri"
    "|Montana|Nebraska|Nevada|New Hampshire|New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma"
    "|Oregon|Pennsylvania|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|Washington"
    "|West Virginia|Wisconsin|Wyoming"
)
_ZIP = r"\d{5}(?:-\d{4})?(?![\w-])"
_WORD = r"[A-Z][A-Za-z'’.-]{0,30}"
_CITY = rf"{_WORD}(?: {_WORD}){{0,2}}"
# A state's two letters may also be an English word, so they count only after "City, ".
_STATE_AND_CODE = rf"(?:{_CITY}, ?(?:{_STATES}|{_STATE_NAMES})\.? {_ZIP}|(?:{_STATE_NAMES}),? {_ZIP})"
_CANADIAN = r"(?:ON|BC|QC|AB|MB|SK|NS|NB|NL|PE|YT|NT|NU),? [A-Z]\d[A-Z] ?\d[A-Z]\d(?!\w)"

_STREET = (
    "Street|Avenue|Ave|Boulevard|Blvd|Road|Rd|Lane|Ln|Highway|Hwy|Parkway|Pkwy|Terrace|Crescent|Alley|Turnpike"
    "|Freeway"
)
# These words also end other names or stand before names: "9 Good Dr. Phil", "2 Fine Place mats".
_AMBIGUOUS = r"St|Drive|Dr|Court|Ct|Circle|Cir|Place|Pl|Way|Trail|Trl|Square|Sq|Plaza|Loop|Close|Row|Walk"
_UNIT = r"(?:,? (?:(?:Apt|Apartment|Suite|Ste|Unit|Floor|Fl)\.? ?#?|# ?)[A-Za-z\d-]{1,6}(?!\w))?"
_COMPASS = r"(?:(?:[NSEW]|NE|NW|SE|SW|North|South|East|West)\.? )?"
_NAME = r"(?:[A-Z][A-Za-z'’-]{1,30}\.? |(?:1?\d?\d)(?:st|nd|rd|th) ){1,3}?"
_TAIL = rf"(?:,? (?:{_CITY},? )?(?:(?:{_STATES}|{_STATE_NAMES})\.?,? {_ZIP}|{_CANADIAN}))?"
_STREET_ADDRESS = re.compile(
    rf"(?<![\w.$€£#,/-])(?:\d{{1,6}}[A-Za-z]?(?:-\d{{1,4}})? {_COMPASS}{_NAME}(?:{_STREET})\b\.?"
    rf"(?! (?:Journal|Kids|Bike))"
    rf"|\d{{2,6}}[A-Za-z]?(?:-\d{{1,4}})? {_COMPASS}{_NAME}(?:{_AMBIGUOUS})\b\.?"
    rf"(?=,|\.|\)|$| (?:Apt|Suite|Ste|Unit|#|in|and)\b)"
    rf"){_UNIT}{_TAIL}"
)
# In lower case, but complete: "12 maple street apt 4", "350 5th ave ny 10118".
_CASELESS_ADDRESS = re.compile(
    rf"(?<![\w.$€£#,/-])\d{{1,6}} (?:[a-z'’-]{{1,20}}\.? |\d{{1,3}}(?:st|nd|rd|th) ){{1,3}}?"
    rf"(?:{_STREET}|{_AMBIGUOUS})\b[.,]?"
    rf"(?: (?:apt|apartment|suite|ste|unit)\.? ?#?[a-z\d-]{{1,6}}(?!\w)"
    rf"|,? (?:[a-z]{{2,20}},? ){{0,3}}?(?:{_STATES}),? {_ZIP})",
    re.IGNORECASE,
)
_BOX = re.compile(rf"\b(?:P\.? ?O\.? ?Box|Post Office Box) #?\d{{1,7}}\b{_TAIL}", re.IGNORECASE)
_REGION = re.compile(rf"(?<![\w-])(?:{_STATE_AND_CODE}|(?:{_CITY},? )?{_CANADIAN})")


def find_addresses(text: str) -> list[Span]:
    """Return the spans of street addresses, post boxes, and places with state and postal code, in order."""
    return merge(
        (match.start(), match.start() + len(match[0].rstrip(".,")))  # of a sentence, or of an abbreviation
        for pattern in (_STREET_ADDRESS, _CASELESS_ADDRESS, _BOX, _REGION)
        for match in pattern.finditer(text)
    )
