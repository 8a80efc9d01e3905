"""Find postal addresses: a number, the name of a street and a word for street; a state and its postal code.

Street names have to be capitalised, because reviews are full of "2 nice places" and "100 miles of road". Continental
addresses have the number behind the street ("Beispielstraße 12, 10115 Berlin") or a word for street before it.
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
# Behind a street alone: a postal code of Britain has the form of "A8 4GB", the name of a tablet.
_BRITISH = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}(?!\w)"
_AUSTRALIAN = r"(?:NSW|VIC|QLD|SA|TAS|ACT|NT|WA),? \d{4}(?!\w)"
_CODE = rf"(?:(?:{_STATES}|{_STATE_NAMES})\.?,? {_ZIP}|{_CANADIAN}|{_BRITISH}|{_AUSTRALIAN})"
_TAIL = rf"(?:,? (?:{_CITY},? )?{_CODE})?"
_FLAT = r"(?:(?:Flat|Apartment|Apt|Unit|Suite)\.? [A-Za-z\d]{1,4}, ?)?"
# Words after a number that count or measure: "5 Star Street tacos", "12 Piece Lane set".
_NO_STREET = (
    r"(?!(?:Stars?|Pieces?|Packs?|Pcs|Pairs?|Sets?|Counts?|Inch|Inches|Foot|Feet|Pounds?|Lbs?|Oz|Ounces?|Days?|Hours?"
    r"|Minutes?|Miles?|Speed|Lights?|Ports?|Persons?|Players?|Quarts?|Gallons?|Watts?|Volts?|Tiers?|Layers?|Panels?"
    r"|Steps?|Ways?|Wheels?|Corners?|Rows?|Pages?|Years?|Months?|Weeks?)\b)"
)
# What may follow a street with a number of one digit.
_SENTENCE = (
    r"(?=\W*$|\.?[,.)!?;:]| (?:[Aa]pt|[Ss]uite|[Uu]nit|#|is|was|are|in|and|on|at|or|for|by|to|please|from|with|next"
    r"|near|has|but|so|as|instead)\b)"
)
_STREET_ADDRESS = re.compile(
    rf"{_FLAT}(?<![\w.$€£#/-])(?:"
    rf"(?:\d{{2,6}}[A-Za-z]?(?:-\d{{1,4}})? {_NO_STREET}{_COMPASS}{_NAME}(?:{_STREET})\b\.?"
    rf"|\d[A-Za-z]?(?:-\d{{1,4}})? {_NO_STREET}{_COMPASS}{_NAME}(?:{_STREET})\b{_SENTENCE}\.?)"
    rf"(?! (?:Journal|Kids|Bike))"
    rf"|\d[A-Za-z]? {_NO_STREET}{_COMPASS}{_NAME}(?:{_AMBIGUOUS})\b\.?(?=,? (?:{_CITY},? )?{_CODE})"
    rf"|\d{{2,6}}[A-Za-z]?(?:-\d{{1,4}})? {_NO_STREET}{_COMPASS}{_NAME}(?:{_AMBIGUOUS})\b\.?"
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
_BOX = re.compile(
    rf"\b(?:P\.? ?O\.? ?Box|Post Office Box|(?:RR|HC) \d{{1,3}},? Box) #?\d{{1,7}}\b{_TAIL}", re.IGNORECASE
)
_REGION = re.compile(rf"(?<![\w-])(?:{_STATE_AND_CODE}|(?:{_CITY},? )?{_CANADIAN})")


# --- the continent -----------------------------------------------------------------------------------

_UPPER, _LETTER = "A-ZÀ-ÖØ-ÞŁŚŻŹĆŠŽČŘ", "A-Za-zÀ-ÖØ-öø-ɏ'’.-"
_START = rf"[{_UPPER}][{_LETTER}]{{0,40}}"
_TOWN = rf"{_START}(?: (?:am|an der|im|sur|de|la|le|{_START})(?= [{_UPPER}]))?(?: {_START})?"
_HOUSE = r"\d{1,4} ?[a-zA-Z]?(?:[/-]\d{1,4})?(?![\w%])"
# Five digits; four, and two letters, in the Netherlands; three and two in Scandinavia.
_EURO_CODE = r"(?:[A-Z]{1,2}-)?(?:\d{5}|\d{4} [A-Z]{2}|\d{3} \d\d)"
_SUFFIXES = (
    "stra(?:ß|ss)e|str\\.|gasse|weg|allee|platz|damm|ufer|straat|laan|plein|gracht|gatan|vägen|gata|vej|gade"
)
# The street's word is a part of its name, and its number is behind it.
_JOINED = (
    rf"(?!(?:Der|Die|Das|Den|Dem|Ein|Eine|Kein|Mein|Dein|Sein) )"
    rf"(?:{_START}?(?:{_SUFFIXES})|{_START} (?:Stra(?:ß|ss)e|Str\.|Weg|Platz|Allee))"
)
_CONTINENTAL = re.compile(
    rf"(?<![\w-])(?:{_JOINED} {_HOUSE}(?:,? (?:[A-Z]{{1,2}}-)?(?:{_EURO_CODE}|\d{{4}}) {_TOWN})?"
    # Any name, if a postal code and a town follow.
    rf"|(?!(?:Seiten?|Artikel|Modell|Größe|Nummer|Nr|Teil|Band|Version|Model|Size|Part|Page|Item|Lot|Typ|Type|Serie|Heft|Ausgabe|Folge"
    rf"|Adresse|Anschrift)\b)"
    rf"{_START}(?: (?:{_START}|de|der|den|dem|des|del|della|van|von)){{0,3}} {_HOUSE}, {_EURO_CODE} {_TOWN})"
)
_WAYS = (
    "rue|avenue|boulevard|bd|chemin|allée|impasse|quai|calle|avenida|avda|paseo|carrer|via|viale|piazza|corso|rua"
    "|ulica|ul"
)
_PARTICLES = r"(?:(?:de la|de las|de los|de|du|des|del|della|dello|dei|da|do|dos) |(?:de l|dell|d|l)['’])"
_WAY_NAME = rf"(?:{_PARTICLES}?{_START}(?: (?:{_PARTICLES}?{_START}|\d{{1,2}}(?= [{_UPPER}]))){{0,4}})"
_LEADING_WAY = re.compile(
    # 12 rue de l'Exemple, 75001 Paris
    rf"(?<![\w.,$€£#/-])\d{{1,4}}(?: ?(?:bis|ter)\b)?,? (?:(?i:{_WAYS})\.?) {_WAY_NAME}(?:,? {_EURO_CODE} {_TOWN})?"
    # 5 place du Marché: "2 Place Settings" are no address.
    rf"|(?<![\w.,$€£#/-])\d{{1,4}},? (?:place|route|cours|passage|square) {_PARTICLES}{_START}(?: {_START}){{0,3}}"
    rf"(?:,? {_EURO_CODE} {_TOWN})?"
    # calle del Ejemplo 24, 28001 Madrid; "via USB 3" is no street
    rf"|(?<![\w-])(?!(?i:via|ul|corso)\b(?![^\d]{{1,80}}\d{{1,4}},? {_EURO_CODE}))"
    rf"(?:(?i:{_WAYS})\.?) {_WAY_NAME},? {_HOUSE}(?:,? {_EURO_CODE} {_TOWN})?"
)
# Every text with an address matches, in RE2's syntax.
ADDRESS_HINT = (
    r"(?i)\b\d{1,6}[a-z]?(?:-\d{1,4})? .*"
    r"(?:st|ave?n?u?e?|blvd|boulevard|road|rd|lane|ln|h?i?g?hwa?y|parkway|pkwy"
    r"|terrace|crescent|alley|turnpike|freeway|drive|dr|court|ct|circle|cir|place|pl|way|trail|trl|square|sq|plaza|loop"
    r"|close|row|walk|street)\b|box #?\d|\b[a-z]{2,}\.?,? \d{5}|[a-z]\d[a-z] ?\d[a-z]\d"
    rf"|(?:{_SUFFIXES}) \d|\d.*\b(?:{_WAYS}|route|cours|passage)\b|\b(?:{_WAYS})\b.*\d"
    r"|[a-zà-ɏ'’.-] \d{1,4} ?[a-z]?(?:[/-]\d{1,4})?, (?:[a-z]{1,2}-)?\d{3}"
)


def find_addresses(text: str) -> list[Span]:
    """Return the spans of street addresses, post boxes, and places with state and postal code, in order."""
    return merge(
        (match.start(), match.start() + len(match[0].rstrip(".,")))  # of a sentence, or of an abbreviation
        for pattern in (_STREET_ADDRESS, _CASELESS_ADDRESS, _BOX, _REGION, _CONTINENTAL, _LEADING_WAY)
        for match in pattern.finditer(text)
    )
