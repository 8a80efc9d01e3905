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

from caslie_model.data.samples import Sample

# The probability of each allowed answer of a sample, by label: they sum to 1.
Probabilities: TypeAlias = Mapping[str, float]

_WORD = re.compile(r"\w+")
_LEAST = 1e-12


@dataclass(frozen=True)
class AskedCaption:
    """A caption, and what a model answers with and without it.

    Attributes:
        sample: The sample, without captions.
        position: Which of its images.
        caption: The text.
        alone: Probabilities of the answers, asked with the text alone.
        shown: Probabilities of the answers, asked with this caption beside the text.
    """

    sample: Sample
    position: int
    caption: str
    alone: Probabilities
    shown: Probabilities


def features_of(asked: AskedCaption) -> dict[str, float]:
    """Return the features of a caption by name; one that is left out is 0.

    Args:
        asked: The caption. The right answer of its sample is not read.
    """
    return {**_of_answers(asked.alone, asked.shown), **_of_words(asked), **_of_place(asked)}


def most_likely(probabilities: Probabilities) -> str:
    """Return the likeliest label, the first of equal ones in the order of the options."""
    return max(probabilities, key=lambda label: probabilities[label])


def _of_answers(alone: Probabilities, shown: Probabilities) -> dict[str, float]:
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


def _of_words(asked: AskedCaption) -> dict[str, float]:
    sample = asked.sample
    text = _words(text for field in sample.fields for text in field.texts)
    caption = _words([asked.caption])
    options = [_words([words]) for words in sample.options.values() if words]
    named = sorted((len(words & caption) / len(words) for words in options if words), reverse=True)
    return {
        "words of caption": math.log1p(len(asked.caption.split())),
        "words of text": math.log1p(
            sum(len(text.split()) for field in sample.fields for text in field.texts)
        ),
        "share in text": len(caption & text) / max(1, len(caption)),
        "share in options": len(caption & set().union(*options)) / max(1, len(caption)),
        "option named": named[0] if named else 0.0,
        "option named alone": named[0] - (named[1] if len(named) > 1 else 0.0) if named else 0.0,
    }


def _of_place(asked: AskedCaption) -> dict[str, float]:
    sample = asked.sample
    images = len(sample.image_roles)
    kind = sample.image_roles[asked.position].split(" ")[0]
    return {
        f"task {sample.task}": 1.0,
        f"image of {kind}": 1.0,
        "answers": math.log(len(sample.labels)),
        "images": math.log1p(images),
        "images behind": math.log1p(images - 1 - asked.position),
    }


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text.lower())}
