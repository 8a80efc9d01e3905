"""What is judged, and what a judge decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from caslie_model.data.samples import Sample

# Id of the sample, and which of its images.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class JudgedCaption:
    """A caption that is judged.

    Attributes:
        sample: The sample, without captions.
        position: Which of its images.
        caption: The text.
        fingerprint: `caption_fingerprint` of its row.
        captioner: Public name of the model that wrote it.
    """

    sample: Sample
    position: int
    caption: str
    fingerprint: str
    captioner: str

    @property
    def place(self) -> Place:
        """What tells it from all others."""
        return self.sample.id, self.position

    @property
    def role(self) -> str:
        """The item that its image shows."""
        return self.sample.image_roles[self.position]


@dataclass(frozen=True)
class Decision:
    """Whether a caption is kept.

    Attributes:
        kept: Whether it is.
        score: By which it was decided, from 0 to 1; None without one.
        votes: yes, no or None (abstained) of each judge; None without votes.
        utility: Gain in log-likelihood of the right answer where it was measured.
        effect: helpful, harmful, redundant or useless, where it was measured.
    """

    kept: bool
    score: float | None = None
    votes: tuple[str | None, ...] | None = None
    utility: float | None = None
    effect: str | None = None


@dataclass(frozen=True)
class Decisions:
    """What a judge decided, and all that it depends on.

    Attributes:
        of: A decision for each caption.
        provenance: `rule` in words, `judges`, and settings; without a path of this machine.
        report: Figures that are printed and kept beside the decisions: agreement, kept shares, …
    """

    of: Mapping[Place, Decision]
    provenance: Mapping[str, Any]
    report: Mapping[str, Any] = field(default_factory=dict)
