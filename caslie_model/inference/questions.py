"""What is asked of a model, and what every kind of model answers with.

Evaluation, captions and baselines talk to models through `Predictor` alone: adapters of ours, language models and
image-text models of transformers, servers and batch files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from caslie_model.data.images import SampleImage
from caslie_model.data.samples import Sample


@dataclass(frozen=True, slots=True)
class Shot:
    """A demonstration: a training sample that is shown with its answer before the question.

    Attributes:
        sample: The sample.
        images: Its images.
    """

    sample: Sample
    images: tuple[SampleImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One sample as it is asked.

    Attributes:
        sample: The sample, with its options in the order in which they are asked, and their letters. Its `instruction`
            is the one to ask with, seen or unseen.
        images: Its images, in the order of their roles; none for text.
        variant: How it differs from the published sample: "" not at all, "order 1", "images none", …
        published: The published label of each asked label, where the options are asked in another order; else empty.
        shots: Demonstrations, in their order.
    """

    sample: Sample
    images: tuple[SampleImage, ...] = ()
    variant: str = ""
    published: tuple[tuple[str, str], ...] = ()
    shots: tuple[Shot, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all other questions of a run: id of the sample, and variant."""
        return self.sample.id, self.variant


class Prepared(Protocol):
    """A question in the form that a kind of model takes."""

    @property
    def question(self) -> Question:
        """The question."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all that the model gets: 16 hexadecimal digits."""

    @property
    def length(self) -> int:
        """Its size, in tokens or characters: the longest are asked first."""

    @property
    def shortened(self) -> bool:
        """Whether its input was shortened to fit."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer.

    Attributes:
        label: The label that was given, in the order that was asked. None when unparsable, or not finite.
        text: The generated text; None for likelihood.
        scores: Summed log-likelihood by label, None for one that is no finite number; None for generation.
        tokens: Number of tokens by label that its log-likelihood is the sum of; None for generation.
        alone: Whether it was decided outside the batch, as two candidates were too close.
        finite: Whether all scores that decide are finite numbers.
        absent: Labels whose score a server did not give.
        usage: What it cost: tokens and money by name, where a server tells.
    """

    label: str | None
    text: str | None
    scores: dict[str, float | None] | None
    alone: bool = False
    finite: bool = True
    tokens: dict[str, int] | None = None
    absent: tuple[str, ...] = ()
    usage: Mapping[str, float] | None = None


class Predictor(Protocol):
    """A model that answers questions."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """All that its answers depend on, by name: model, revision, templates, decoding, precision."""

    def prepare(self, questions: Sequence[Question]) -> Sequence[Prepared]:
        """Return questions in the form that the model takes, in their order.

        Raises:
            DatasetError: If one does not fit.
        """

    def answer(self, prepared: Sequence[Prepared]) -> Iterator[Sequence[tuple[Prepared, Prediction]]]:
        """Yield answers as they come, in groups that are written at once; the order is free.

        A question without an answer (a request that failed for good) is left out; asking again asks it again.
        """

    def close(self) -> None:
        """Free what it holds: connections, temporary files."""
