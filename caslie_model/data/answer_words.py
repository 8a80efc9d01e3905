"""Words that give, announce, deny and doubt an answer, in the languages that models answer in."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """Words of one language, as regular expressions without case.

    Attributes:
        yes: What says yes.
        no: What says no.
        lead: What announces an answer, up to the verb: "die richtige Antwort".
        verb: The verb of the announcement; a colon does as well.
        so: What introduces a conclusion: "daher".
        spaced: Whether its words have blanks between them.
    """

    yes: str
    no: str
    lead: str
    verb: str
    so: str
    spaced: bool = True


ENGLISH = Language(
    yes="yes",
    no="no",
    lead=r"(?:the |my |our )?(?:(?:final|correct|right|best) )*(?:answer|option|choice)\b"
    r"(?: to (?:the|this) question)?",
    verb=r"(?:is|would be|should be|must be)\b",
    so=r"so|thus|therefore|hence|consequently|accordingly|overall|finally|in conclusion|in summary|to conclude"
    r"|to sum up|as a result|conclusion|this means(?: that)?|(?:we|i) conclude that",
)
LANGUAGES = (
    ENGLISH,
    # German
    Language(
        "ja",
        "nein",
        r"(?:(?:ist |lautet )?(?:die |meine ))?(?:(?:richtige|korrekte|beste|endgültige|finale) )?antwort\b"
        r"(?: auf die frage)?",
        r"(?:ist|lautet)\b(?: also| daher| somit)?",
        r"daher|somit|deshalb|folglich|demnach|also(?= (?:ist|lautet)\b)",
    ),
    # Spanish
    Language(
        "sí",
        "no",
        r"(?:la |mi )?(?:respuesta|opción)\b(?: (?:correcta|final))?",
        r"(?:es|sería)\b",
        r"por (?:lo )?tanto|así que|en conclusión|por consiguiente|entonces",
    ),
    # French
    Language(
        "oui",
        "non",
        r"(?:la |ma )?(?:bonne )?(?:réponse|option)\b(?: (?:correcte|finale|exacte))?",
        r"(?:est|serait)\b(?: donc)?",
        r"donc|ainsi|par conséquent|en conclusion|c'est pourquoi",
    ),
    # Italian
    Language(
        "sì",
        "no",
        r"(?:la (?:mia )?)?(?:risposta|opzione)\b(?: (?:corretta|finale|giusta))?",
        r"(?:è|sarebbe)(?!\w)(?: quindi)?",
        r"quindi|pertanto|dunque|in conclusione",
    ),
    # Portuguese
    Language(
        "sim",
        "não",
        r"(?:a (?:minha )?)?(?:resposta|opção)\b(?: (?:correta|certa|final))?",
        r"(?:é|seria)(?!\w)",
        r"portanto|em conclusão|por isso",
    ),
    # Dutch
    Language(
        "ja", "nee", r"(?:het |mijn )?(?:(?:juiste|correcte) )?antwoord\b", r"is\b(?: dus)?", r"dus|daarom"
    ),
    # Polish
    Language(
        "tak",
        "nie",
        r"(?:(?:prawidłowa|poprawna|moja) )?odpowiedź\b",
        r"(?:to|brzmi)\b",
        r"zatem|więc|dlatego",
    ),
    # Russian
    Language(
        "да",
        "нет",
        r"(?:(?:правильный|верный|мой|окончательный) )?ответ\b",
        r"[-–—]",
        r"следовательно|поэтому|итак|таким образом|значит",
    ),
    # Turkish
    Language(
        "evet", "hayır", r"(?:doğru )?(?:cevap|yanıt)\b", r"[-–—]", r"bu nedenle|dolayısıyla|sonuç olarak"
    ),
    # Chinese
    Language(
        "是的?|对的?",
        "不是|不对|不|否",
        r"(?:我的)?(?:(?:正确|最终|最佳)的?)?(?:答案|选项|回答)(?:应该|应当|应)?",
        r"(?:是|为|选)",
        r"因此|所以|综上所述|综上|故|总之",
        spaced=False,
    ),
    # Japanese
    Language(
        "はい",
        "いいえ",
        r"(?:(?:正しい|最終的な|最終)\s?)?(?:答え|回答|正解|解答)",
        r"は",
        r"したがって|従って|よって|以上より|そのため|ゆえに",
        spaced=False,
    ),
    # Korean
    Language(
        "예|네",
        "아니요|아니오|아뇨",
        r"(?:최종 )?(?:정답|답변|답)",
        r"[은는]",
        r"따라서|그러므로|그래서",
        spaced=False,
    ),
)
# Ends of Japanese and Korean sentences, which stand right behind an answer.
COPULA = re.compile(r"(?:です|である|だ|になります|となります|입니다|이다|이에요|예요)(?=[\s。.!,]|$)")

YES_WORDS = "|".join(dict.fromkeys(language.yes for language in LANGUAGES))
NO_WORDS = "|".join(dict.fromkeys(language.no for language in LANGUAGES))

# An announcement at the beginning of a line: of an answer, or of what the task asks for. Its verb is not part of it
# before a single small letter, with which a longer answer may begin: "The answer is a".
_NO_SMALL_LETTER = r"(?!\s+(?-i:[a-z])$)"
_WHAT = (
    r"(?:the |my )?(?:(?:final|correct|right|best|overall|predicted) )?"
    r"(?:label|category|sentiment|prediction|response|classification|verdict|relation(?:ship)?)\b"
)
_LEADS = [(language.lead, language.verb) for language in LANGUAGES]
_LEADS += [(r"我?(?:应该|应)?选择?", r"(?=[(\[\sA-Z])")]
LEAD = re.compile(
    "(?:"
    + "|".join(rf"{lead}(?:\s*{verb}{_NO_SMALL_LETTER})?" for lead, verb in _LEADS)
    + rf"|{_WHAT}\s*(?:is\b{_NO_SMALL_LETTER}|(?=[:：]))"
    + r")\s*[:：]?\s*",
    re.IGNORECASE,
)

_SO = "|".join(rf"(?:{language.so})\b" if language.spaced else f"(?:{language.so})" for language in LANGUAGES)
_SPACED_SO = rf"(?:(?:{_SO})[,:、]?\s*)"
_BLANKS = r"[ \t]?"
_BEGINNING = rf"(?:^|(?<=[.!?;:,。、)\]>–—])|(?<=\s-\s)|(?<=\b(?:but|and) )){_BLANKS}"
# What every announcement begins with; it keeps the search fast.
_WORD = r"(?=\w\w|I[ ']|a |故|답)"
_FIRM = "|".join(
    rf"{lead}(?:\s*{verb}{_NO_SMALL_LETTER}\s*[:：]?|\s*[:：]|\s*[-=]>)" for lead, verb in _LEADS
)
# Where a conclusion begins: an announced answer, a choice, or (weak: only if an answer follows) another announcement.
ANNOUNCED = re.compile(
    rf"{_BEGINNING}{_WORD}(?:{_SPACED_SO}?(?:(?P<firm>{_FIRM})"
    r"|(?P<choice>I(?:'d| would| will|'ll)? (?:choose|pick|select|go with|opt for)\b)"
    rf"|(?P<weak>{_WHAT}\s*(?:is\b{_NO_SMALL_LETTER}|[:：])))"
    rf"|(?P<so>(?:{_SO})[,:、]?\s*(?:(?:it|this)(?: is| must be|'s)\b)?[:：]?))\s*",
    re.IGNORECASE,
)
# "B is the correct answer."
CALLED_RIGHT = re.compile(
    rf"(?:(?:^|(?<=[.!?。])){_BLANKS}|{_BEGINNING}{_SPACED_SO})(?:only )?(?:(?:the )?(?:answer|option|choice) )?"
    r"[(\[]?(?-i:([A-Z]))[)\]]? (?:is|would be|must be) (?:the )?(?:most )?"
    r"(?:correct|right|best|appropriate|suitable)\b(?: (?:answer|option|choice))?(?!\?| (?:if|unless|when)\b)",
    re.IGNORECASE,
)
BOXED = re.compile(r"\\f?box(?:ed)?\s{0,3}\{((?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,200}\}){0,300})\}")
ANSWER_TAG = re.compile(r"<answer>\s*([^<>]{0,300})</answer>", re.IGNORECASE)
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|。")
BECAUSE = re.compile(
    r"\s+(?=(?:because|since|weil|porque|parce qu|perché|omdat|ponieważ|потому)\b)|\s*(?=因为|なぜなら)",
    re.IGNORECASE,
)

# A condition or a doubt before a conclusion.
HEDGE = re.compile(
    r"\b(?:if|unless|whether|suppose|assum\w+|might|may|could|maybe|perhaps|possibly|probably|unsure|unclear|uncertain"
    r"|cannot|not sure|not certain|not (?:the case|true)|guess|said"
    r"|claim\w*|example|format|wenn|falls|vielleicht|quizás?|tal vez|peut-être|forse"
    r"|talvez|misschien|może|возможно|если)\b|n['’]t\b|可能|也许|如果|もし|かもしれ|아마|만약",
    re.IGNORECASE,
)
# What takes an answer back.
REVISED = re.compile(
    r"\b(?:(?:oh |no |but |hmm,? ?)?wait(?=\s*[,.!?:;…–—-]|\s*$)|hold on|scratch that|on (?:second thought|reflection)"
    r"|let me (?:re-?\w+|think again|correct)|reconsider\w*|my mistake|I was wrong|correction|changed? my mind"
    r"|moment mal|doch nicht|espera|attend[sz]?|подожди\w*)\b|hmm+\b|等等|等一下|待って|잠깐",
    re.IGNORECASE,
)
# Words that make an answer wrong or doubtful, in other languages than English.
FOREIGN_DOUBT = re.compile(
    r"\b(?:nicht|kein\w*|weder|falsch|unsicher|unklar|vielleicht|möglicherweise|incorrect[oa]?s?|fals[oa]|ningun[oa]"
    r"|quizás?|tal vez|faux|fausse|aucune?|ne \w+ pas|pas sûre?|peut-être|forse|sbagliat[oa]|nessun[oa]|talvez"
    r"|errad[oa]|nenhum[ao]?|misschien|niet|geen|może|żadn\w+|неверно|неправильно|ошибочно|возможно|может быть|не"
    r"|belki|yanlış|değil)\b|不是|不对|不正确|错误|不确定|不一定|可能|也许|かもしれ|わから|分から|多分|たぶん|間違|ではな|じゃな"
    r"|아마|모르|아니",
    re.IGNORECASE,
)
# "not B", before the letter.
NOT = re.compile(
    r"(?:definitely |certainly |clearly )?(?:not|never|n['’]t|nicht|no es|pas|non|não|niet|nie|не|不是|不)\s*"
    r"(?:(?:option|answer|choice)\s*)?",
    re.IGNORECASE,
)

# Another answer would follow.
OR = re.compile(r"\W*(?:(?:or|oder|ou|of|lub|или|veya)\b|或|または|또는)", re.IGNORECASE)

ANSWER_KEYS = frozenset(
    {
        *(
            "answer",
            "finalanswer",
            "correctanswer",
            "myanswer",
            "theanswer",
            "choice",
            "finalchoice",
            "label",
        ),
        *(
            "option",
            "selectedoption",
            "correctoption",
            "answeroption",
            "prediction",
            "predictedlabel",
            "response",
        ),
        *(
            "result",
            "output",
            "category",
            "sentiment",
            "letter",
            "antwort",
            "respuesta",
            "réponse",
            "risposta",
            "resposta",
        ),
        *("antwoord", "odpowiedź", "ответ", "答案", "答え", "回答", "正解", "정답", "답"),
    }
)
