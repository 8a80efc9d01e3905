"""What the predictor of utility knows of a caption: nothing that depends on the right answer.

What a language model holds for likely, with and without the caption; the words of caption, text and options; task and
image. Further features, such as votes, are further entries of `features_of`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from caslie_model.captions.decisions import JudgedCaption

# The probability of each allowed answer of a sample, by label: they sum to 1.
Probabilities: TypeAlias = Mapping[str, float]

_WORD = re.compile(r"\w+")
_LEAST = 1e-12


@dataclass(frozen=True)
class Answers:
    """What a model answers about a sample.

    Attributes:
        alone: Probabilities of the answers, asked with the text alone.
        shown: Probabilities of the answers, asked with one caption beside the text.
    """

    alone: Probabilities
    shown: Probabilities


def features_of(item: JudgedCaption, answers: Answers | None) -> dict[str, float]:
    """Return the features of a caption by name; one that is left out is 0.

    Args:
        item: The caption. The right answer of its sample is not read.
        answers: What the model answers with and without it; None: the features are those of words and images alone.
    """
    of_answers = {} if answers is None else _of_answers(answers)
    return {**of_answers, **_of_words(item), **_of_place(item)}


def most_likely(probabilities: Probabilities) -> str:
    """Return the likeliest label, the first of equal ones in the order of the options."""
    return max(probabilities, key=lambda label: probabilities[label])


def _of_answers(answers: Answers) -> dict[str, float]:
    alone, shown = answers.alone, answers.shown
    first, then = _certainty(alone), _certainty(shown)
    best = most_likely(alone)
    return {
        **{f"{name}, text": value for name, value in first.items()},
        **{f"{name}, caption": value for name, value in then.items()},
        **{f"{name}, change": then[name] - first[name] for name in first},
        "divergence": sum(
            p * math.log(max(p, _LEAST) / max(alone[label], _LEAST)) for label, p in shown.items()
        ),
        "distance": sum(abs(p - alone[label]) for label, p in shown.items()) / 2,
        "another answer": float(most_likely(shown) != best),
        "first answer, change": shown[best] - alone[best],
    }


def _certainty(probabilities: Probabilities) -> dict[str, float]:
    first, second, *_ = *sorted(probabilities.values(), reverse=True), 0.0
    entropy = -sum(p * math.log(max(p, _LEAST)) for p in probabilities.values())
    return {
        "entropy": entropy / math.log(max(2, len(probabilities))),
        "first": first,
        "margin": first - second,
    }


def _of_words(item: JudgedCaption) -> dict[str, float]:
    sample = item.sample
    text = _words(text for field in sample.fields for text in field.texts)
    caption = _words([item.caption])
    options = [_words([words]) for words in sample.options.values() if words]
    named = sorted((len(words & caption) / len(words) for words in options if words), reverse=True)
    return {
        "words of caption": math.log1p(len(item.caption.split())),
        "words of text": math.log1p(
            sum(len(text.split()) for field in sample.fields for text in field.texts)
        ),
        "share in text": len(caption & text) / max(1, len(caption)),
        "share in options": len(caption & set().union(*options)) / max(1, len(caption)),
        "option named": named[0] if named else 0.0,
        "option named alone": named[0] - (named[1] if len(named) > 1 else 0.0) if named else 0.0,
    }


def _of_place(item: JudgedCaption) -> dict[str, float]:
    sample = item.sample
    images = len(sample.image_roles)
    kind = sample.image_roles[item.position].split(" ")[0]
    return {
        f"task {sample.task}": 1.0,
        f"image of {kind}": 1.0,
        "answers": math.log(len(sample.labels)),
        "images": math.log1p(images),
        "images behind": math.log1p(images - 1 - item.position),
    }


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text.lower())}
