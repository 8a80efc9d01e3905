"""Settings of the audit: what counts as the same, and how much of it two splits may share."""

from __future__ import annotations

from pydantic import Field

from mmecinstruct.core.settings import Settings
from mmecinstruct.duplicates.settings import DuplicateSettings

# By default the measure by which a build keeps products together.
_ALIKE = DuplicateSettings()


class Tolerances(Settings):
    """The largest tolerated share (0 to 1) of a later split's samples of a task, per kind of overlap."""

    product: float = Field(default=0.0, ge=0, le=1)
    cluster: float = Field(default=0.0, ge=0, le=1)
    user: float = Field(default=0.0, ge=0, le=1)
    query: float = Field(default=0.0, ge=0, le=1)
    query_id: float = Field(default=0.0, ge=0, le=1)
    image_url: float = Field(default=0.0, ge=0, le=1)
    image_bytes: float = Field(default=0.0, ge=0, le=1)
    image_pixels: float = Field(default=0.0, ge=0, le=1)
    # Likeness is a measurement with errors of its own: a catalogue has alike images of different things.
    image_near: float = Field(default=0.02, ge=0, le=1)
    title_identical: float = Field(default=0.0, ge=0, le=1)
    title_near: float = Field(default=0.02, ge=0, le=1)
    text_identical: float = Field(default=0.0, ge=0, le=1)
    text_near: float = Field(default=0.02, ge=0, le=1)
    category: float = Field(default=0.0, ge=0, le=1)


class DesignTolerances(Settings):
    """The same for what the splits share by design; 1 prints it and tolerates any of it."""

    product: float = Field(default=1.0, ge=0, le=1)
    cluster: float = Field(default=1.0, ge=0, le=1)
    user: float = Field(default=1.0, ge=0, le=1)
    image_url: float = Field(default=1.0, ge=0, le=1)
    image_bytes: float = Field(default=1.0, ge=0, le=1)
    image_pixels: float = Field(default=1.0, ge=0, le=1)
    image_near: float = Field(default=1.0, ge=0, le=1)
    title_identical: float = Field(default=1.0, ge=0, le=1)
    title_near: float = Field(default=1.0, ge=0, le=1)
    text_identical: float = Field(default=1.0, ge=0, le=1)
    text_near: float = Field(default=1.0, ge=0, le=1)


class AuditSettings(Settings):
    """How finished splits are compared."""

    tolerances: Tolerances = Tolerances()
    by_design: DesignTolerances = DesignTolerances()
    # The defaults are those of the recipe's `duplicates`; a recipe that changes them there may do so here or not.
    image_radius: int = Field(default=_ALIKE.image_radius, ge=0, le=16)
    max_colour_difference: float = Field(default=_ALIKE.max_colour_difference, ge=0, le=255)
    min_structure: float = Field(default=_ALIKE.min_structure, ge=0)
    text_similarity: float = Field(default=_ALIKE.title_similarity, gt=0.5, le=1)  # Jaccard of near texts
    # Shorter texts are no evidence: two products may be called "Mug", two reviews may say "Great!".
    min_title_words: int = Field(default=2, ge=1)
    min_text_words: int = Field(default=8, ge=1)  # of reviews, questions, snippets
    examples: int = Field(default=3, ge=0, le=100)  # kept per finding
