"""What one line of a model's text answers. The grammar is that of `answers`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import islice

from caslie_model.data.answer_words import (
    BECAUSE,
    COPULA,
    FOREIGN_DOUBT,
    LANGUAGES,
    LEAD,
    NO_WORDS,
    NOT,
    REVISED,
    SENTENCE_END,
    YES_WORDS,
    Language,
)

_BULLET = re.compile(r"^(?:[-–*•>#]+\s+)+")
# Markdown, quotes, tags, LaTeX, characters without width.
_MARKUP = re.compile(
    r"[*_`\"“”„«»$\u200b-\u200d\u2060\ufeff]|</?[A-Za-z]+>|\\(?:f?box(?:ed)?|text(?:bf)?|math(?:rm|bf))\b"
    r"|\\(?=[()\[\]])|[{}]"
)
# "No. 5" is a number, "no-name" a word.
_YES_NO = re.compile(
    rf"^[(\[]*(?:({YES_WORDS})|({NO_WORDS}))"
    r"(?:$|[)\]]+|\s*(?:[,;!。、(\[]|:(?!\s*[0-9])|\.+(?!\s*(?:[0-9]|of\b)|(?-i:[a-z])))|\s+-|\s*[–—])(.*)$",
    re.IGNORECASE,
)
# A later yes or no, but not the "no" of "no doubt".
_LATER_YES_NO = re.compile(r"\b(?:(yes)|(no)(?!\s+(?!wait\b|sorry\b|actually\b)\w))\b", re.IGNORECASE)
# Words of other languages that no English remark has.
_LATER_FOREIGN = re.compile(
    r"(?<!\w)(?:(ja|sí|sì|oui|да|evet)|(nein|não|нет|hayır))(?!\w)|(はい|是的)|(いいえ|不是)", re.IGNORECASE
)
_TAKEN_BACK = re.compile(
    r"\bnot (?:the case|true|sure|correct|right|certain)\b"
    r"|\b(?:wrong|incorrect|unsure|uncertain|unclear|maybe|perhaps|possibly)\b",
    re.IGNORECASE,
)
# Doubt behind a yes or no of another language, where "no" and "nicht" deny nothing.
_FOREIGN_TAKEN_BACK = re.compile(
    r"\b(?:nicht (?:sicher|wahr|richtig)|unsicher|unklar|vielleicht|möglicherweise|falsch|no (?:estoy )?segur[oa]"
    r"|quizás?|tal vez|incorrecto|pas (?:sûre?|certaine?)|peut-être|faux|forse|sbagliato|talvez|errado|misschien"
    r"|niet zeker|może|возможно|может быть|неверно|неправильно|не уверен\w*|belki|yanlış)\b"
    r"|不确定|不一定|不正确|错误|可能|也许|かもしれ|わから|分から|多分|たぶん|間違|아마|모르",
    re.IGNORECASE,
)
# A letter alone, or before a mark; never before a word: "A red mug" does not answer A.
_LETTER = re.compile(
    r"^[(\[]*([A-Za-z])(?:(?P<mark>\s*$|[)\]]+|:|[.!。](?=\s|$)|。)|,|、|\.+|\s?\(|\s+-\s|\s*[–—])(.*)$"
)
_DENIAL = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|(?:less|least|un)\s?likely|wrong|incorrect|false|unsure|uncertain|unclear"
    r"|excluded|eliminated|rejected|ruled out|maybe|perhaps|possibly|guess)\b|n['’]t\b|[❌✗✘✕☒🚫👎]",
    re.IGNORECASE,
)
_OPTION_NOUN = re.compile(r"^(?:option|choice)\s+", re.IGNORECASE)
_BESIDE = r"A-Za-z0-9_\u00c0-\u024f\u0400-\u04ff'’-"
# A capital letter that stands alone, and is neither the article nor the pronoun of a sentence.
_NAMED = re.compile(rf"(?<![{_BESIDE}])(?![AI] (?!and\b|or\b)[a-z])([A-Z])(?![{_BESIDE}])")
# The letter of an option before its mark, also in brackets: "(A: 2)".
_LISTED = re.compile(rf"(?<![{_BESIDE}])([A-Z])\s*[:=]")
_WORDS_AND_LETTER = re.compile(r"^(.+?)\s*[(\[]([A-Z])[)\]]\W*$")
# Characters of an answer that a verb ends in Japanese and Korean; denials that are looked at behind an answer.
_COPULA_WITHIN, _DENIALS = 200, 20
_OUTER = " .,:;!?。…\"'’‘`*()[]"


class LineReader:
    """Reads lines as answers to one question.

    Attributes:
        options: Texts by letter; empty for yes/no.
    """

    def __init__(self, options: dict[str, str], answers: str) -> None:
        self.options = options
        readers: list[Callable[[str], str | None]] = [_by_yes_no]
        if options:
            readers = [self.by_words, self._by_letter]
            readers = readers if answers == "text" else readers[::-1]
        self._readers = readers
        self._by_form: list[tuple[Callable[[str], str], dict[str, str | None]]] = []
        for form in (str, bare, _folded):
            letters: dict[str, str | None] = {}
            for letter, text in options.items():
                letters[form(text)] = None if form(text) in letters else letter
            letters.pop("", None)
            self._by_form.append((form, letters))
        self._tokens = {letter: tokens(text) for letter, text in options.items() if text}

    def read(self, line: str) -> str | None:
        """Return the label that a line means, None for none."""
        cleaned = clean(line)
        candidates = list(dict.fromkeys((line, cleaned, _without_leads(cleaned))))
        found = (read(candidate) for read in self._readers for candidate in candidates)
        return next((label for label in found if label is not None), None)

    def read_announced(self, line: str) -> str | None:
        """Return the label of a line that something announces: a reason may follow without a mark."""
        if label := self.read(line):
            return label
        cleaned = clean(line)
        head = SENTENCE_END.split(BECAUSE.split(cleaned, maxsplit=1)[0], maxsplit=1)[0]
        rest = cleaned[len(head) :].strip()
        if not rest:
            return None
        label = self.by_words(head)
        if label is not None:
            return None if _DENIAL.search(rest) or self.takes_back(rest, label) else label
        return self.read(f"{head}. {rest}") if not rest.startswith((".", "!", "?", "。")) else None

    def is_lead(self, line: str) -> bool:
        """Return whether a line only announces an answer."""
        return not _without_leads(clean(line)) and self.by_words(line) is None

    def is_other(self, line: str, label: str) -> bool:
        """Return whether a later line gives, or begins as, another answer, or takes the answer back."""
        begins = self.begins_with(line)
        if begins is not None and self.options:
            return begins != label
        return self.read(line) not in (None, label) or bool(REVISED.search(line))

    def begins_with(self, line: str) -> str | None:
        """Return the yes, no or letter that a line begins with, before a mark, whatever follows."""
        if not self.options:
            said = _YES_NO.match(_without_leads(clean(line)))
            return None if said is None else "yes" if said[1] else "no"
        match = _LETTER.match(_without_leads(clean(line)))
        if match and match[1] in self.options and (match["mark"] is not None or match[1] not in "AI"):
            return match[1]
        return None

    def listed(self, line: str) -> str | None:
        """Return the letter of an option that a line goes through: "B: positive would fit"."""
        match = _LETTER.match(_OPTION_NOUN.sub("", clean(line)))
        return match[1] if match and match[1] in self.options and match[3].strip() else None

    def takes_back(self, text: str, label: str) -> bool:
        """Return whether what follows an answer names another one, denies it or begins anew."""
        if REVISED.search(text) or _TAKEN_BACK.search(text) or FOREIGN_DOUBT.search(text):
            return True
        if not self.options:
            return _other_yes_no(text, label)
        own = self.options[label]
        rest = re.sub(re.escape(own), " ", text, count=1, flags=re.IGNORECASE) if own else text
        return bool(self._others(rest, label) or self._said(rest, label) or self.denies(text, label))

    def denies(self, text: str, label: str) -> bool:
        """Return whether a text says "not B"."""
        denials = islice(NOT.finditer(text), _DENIALS)
        return any(self.read(text[match.end() : match.end() + 300]) == label for match in denials)

    def by_words(self, line: str) -> str | None:
        """Return the letter of the only option with these words, or with these words and its letter in brackets."""
        label = self._option_with(line)
        match = _WORDS_AND_LETTER.match(line)
        if label is not None or match is None:
            return label
        return match[2] if self._option_with(match[1]) == match[2] else None

    def _option_with(self, line: str) -> str | None:
        """Return the letter of the only option with these words, compared ever less exactly."""
        if not self.options:
            return None
        for form, letters in self._by_form:
            words = form(line)
            if words in letters:
                return letters[words]
        return None

    def _by_letter(self, line: str) -> str | None:
        match = _LETTER.match(line)
        if match is None or match[1].upper() not in self.options:
            return None
        letter, remark = match[1].upper(), match[3].strip(" .,:;-–—。、")
        own = self.options[letter]
        words = self.by_words(remark)
        if words is not None:
            return letter if words == letter else None
        rest = remark if remark.startswith("(") else re.sub(r"\([^()]*\)", " ", remark)
        starts_with_own = own != "" and tokens(rest).startswith(tokens(own))
        if (
            match["mark"] is None and not starts_with_own
        ):  # after a comma or dash: "I, for one, …", "T - shirt"
            explains = not remark or (len(remark.split()) > 2 and not remark[0].isupper())
            if letter in "AI" or not explains:
                return None
        if own:
            rest, remark = (
                re.sub(re.escape(own), " ", part, count=1, flags=re.IGNORECASE) for part in (rest, remark)
            )
        if _DENIAL.search(rest) or FOREIGN_DOUBT.search(rest) or REVISED.search(remark):
            return None
        return None if self._others(rest, letter, remark) or self._said(rest, letter) else letter

    def _others(self, rest: str, letter: str, remark: str | None = None) -> set[str]:
        """Return the letters of other options that a text names."""
        found = {*_NAMED.findall(rest), *_LISTED.findall(rest if remark is None else remark)}
        return (found & set(self.options)) - {letter}

    def _said(self, rest: str, letter: str) -> set[str]:
        """Return the letters of other options whose words stand in a text."""
        spoken = tokens(rest)
        return {other for other, words in self._tokens.items() if words in spoken} - {letter}


@lru_cache(maxsize=256)
def reader_of(options: tuple[tuple[str, str], ...], answers: str) -> LineReader:
    """Return the reader of a question's answers.

    Args:
        options: Letters with their texts; none for yes/no.
        answers: letter or text, as the model was asked to answer.

    Returns:
        The reader.
    """
    return LineReader(dict(options), answers)


def clean(line: str) -> str:
    """Return a line without markup, with full-width characters as ordinary ones."""
    plain = _MARKUP.sub("", _BULLET.sub("", unicodedata.normalize("NFKC", line)))
    return " ".join(plain.split()).strip("'’‘ ")


def bare(text: str) -> str:
    """Return a text without markup and outer marks."""
    return clean(text).strip(_OUTER)


def tokens(text: str) -> str:
    """Return the words of a text, each between blanks."""
    words = re.findall(r"\w+", clean(text).casefold())
    return " ".join(["", *words, ""])


def _folded(text: str) -> str:
    """Return a text without case, outer marks and blanks, which a tokenizer's decoding may move; "1 2" is not 12."""
    return re.sub(r"(?<![0-9]) | (?![0-9])", "", bare(text).casefold())


def _by_yes_no(line: str) -> str | None:
    match = _YES_NO.match(line)
    if match is None:
        return None
    word, rest = (match[1] or match[2]).casefold(), match[3]
    label = "yes" if match[1] else "no"
    if _TAKEN_BACK.search(rest) or _FOREIGN_TAKEN_BACK.search(rest) or REVISED.search(rest):
        return None
    if _other_yes_no(rest, label):
        return None
    opposites = (language.no if match[1] else language.yes for language in LANGUAGES if _says(language, word))
    return None if word != label and any(_has_word(each, rest) for each in opposites) else label


def _says(language: Language, word: str) -> bool:
    return re.fullmatch(f"{language.yes}|{language.no}", word) is not None


def _has_word(words: str, text: str) -> bool:
    """Return whether a text has one of these words; words of one sign are parts of others."""
    whole = "|".join(word for word in words.replace("的?", "的").split("|") if len(word) > 1)
    return (
        bool(whole) and re.search(rf"(?<![a-zà-ɏЀ-ӿ])(?:{whole})(?![a-zà-ɏЀ-ӿ])", text.casefold()) is not None
    )


def _other_yes_no(text: str, label: str) -> bool:
    """Return whether a text says the other of yes and no."""
    said = [bool(yes) for yes, _ in _LATER_YES_NO.findall(text)]
    said += [bool(yes or east) for yes, _, east, _ in _LATER_FOREIGN.findall(text)]
    return any(is_yes != (label == "yes") for is_yes in said)


def _without_leads(line: str) -> str:
    """Return a line without what announces an answer: "The correct answer is option"."""
    start = 0
    while (match := LEAD.match(line, start)) and match.end() > start:
        start = match.end()
    head = COPULA.sub("", line[start : start + _COPULA_WITHIN], count=1)
    return head + line[start + _COPULA_WITHIN :]
