"""Settings of the audit: limits of what counts as an overlap of two splits, tolerances, shortcuts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmecinstruct.core.settings import Levels, Settings, unit
from mmecinstruct.duplicates.settings import DuplicateSettings

# By default the audit compares images and texts as a build does.
_DUPLICATES = DuplicateSettings()


Share = Annotated[float, Field(ge=0, le=1)]


class Tolerances(Settings):
    """The largest tolerated share (0 to 1) of a later split's samples of a task, per kind of overlap."""

    product: Share = Field(default=0.0, description="Tolerated share of samples that share a product id.")
    cluster: Share = Field(
        default=0.0, description="Tolerated share of samples that share a near-duplicate cluster."
    )
    variant: Share = Field(
        default=0.1,
        description="Tolerated share of samples that have another variant of one article. Where the source names no "
        "groups, titles decide, and unrelated titles may differ in two words, hence above 0.",
    )
    user: Share = Field(default=0.0, description="Tolerated share of samples that share a user.")
    query: Share = Field(
        default=0.0, description="Tolerated share of samples that share the words of a query."
    )
    query_id: Share = Field(
        default=0.0, description="Tolerated share of samples that share the id of a query."
    )
    image_url: Share = Field(
        default=0.0, description="Tolerated share of samples that share the URL of an image."
    )
    image_bytes: Share = Field(
        default=0.0, description="Tolerated share of samples that share the bytes of an image."
    )
    image_pixels: Share = Field(
        default=0.0, description="Tolerated share of samples that share the pixels of an image."
    )
    image_near: Share = Field(
        default=0.02,
        description="Tolerated share of samples that share a near image. Unrelated images may be near, hence above 0.",
    )
    title_identical: Share = Field(
        default=0.0, description="Tolerated share of samples that share the words of a title."
    )
    title_near: Share = Field(default=0.02, description="Tolerated share of samples that share a near title.")
    text_identical: Share = Field(
        default=0.0,
        description="Tolerated share of samples that share the words of a question, review or snippet.",
    )
    text_near: Share = Field(
        default=0.02, description="Tolerated share of samples that share a near question, review or snippet."
    )
    category: Share = Field(
        default=0.0,
        description="Tolerated share of test_ood samples whose category the training samples have.",
    )


class DesignTolerances(Settings):
    """The largest tolerated share (0 to 1) of content that splits share by design; 1 only reports it.

    Histories of sequential recommendation show products of all splits, and users of reviews occur in several splits.
    """

    product: Share = Field(
        default=1.0, description="Tolerated share of samples that share a product id by design."
    )
    cluster: Share = Field(
        default=1.0, description="Tolerated share of samples that share a near-duplicate cluster by design."
    )
    variant: Share = Field(
        default=1.0,
        description="Tolerated share of samples that have another variant of one article by design.",
    )
    user: Share = Field(default=1.0, description="Tolerated share of samples that share a user by design.")
    image_url: Share = Field(
        default=1.0, description="Tolerated share of samples that share the URL of an image by design."
    )
    image_bytes: Share = Field(
        default=1.0, description="Tolerated share of samples that share the bytes of an image by design."
    )
    image_pixels: Share = Field(
        default=1.0, description="Tolerated share of samples that share the pixels of an image by design."
    )
    image_near: Share = Field(
        default=1.0, description="Tolerated share of samples that share a near image by design."
    )
    title_identical: Share = Field(
        default=1.0, description="Tolerated share of samples that share the words of a title by design."
    )
    title_near: Share = Field(
        default=1.0, description="Tolerated share of samples that share a near title by design."
    )
    text_identical: Share = Field(
        default=1.0,
        description="Tolerated share of samples that share the words of a question, review or snippet by design.",
    )
    text_near: Share = Field(
        default=1.0,
        description="Tolerated share of samples that share a near question, review or snippet by design.",
    )


class AuditSettings(Settings):
    """How the splits of a finished dataset are compared, and whether its answers are guessed."""

    tolerances: Tolerances = Field(
        default=Tolerances(),
        description="Overlaps that the audit accepts. Raise one where equal texts are expected.",
    )
    by_design: DesignTolerances = Field(
        default=DesignTolerances(),
        description="Overlaps by design that the audit accepts. Lower them for a folder built otherwise.",
    )
    image_radius: Annotated[int, unit("bits")] = Field(
        default=_DUPLICATES.image_radius,
        ge=0,
        le=16,
        description="Images are near when their perceptual hashes differ in at most this many of 64 bits. The default "
        "is that of `duplicates`, whatever the recipe sets there.",
    )
    max_colour_difference: Levels = Field(
        default=_DUPLICATES.max_colour_difference,
        ge=0,
        le=255,
        description="Largest colour difference of near images, in levels of 255, in any cell of their thumbnails.",
    )
    min_structure: Levels = Field(
        default=_DUPLICATES.min_structure,
        ge=0,
        description="Images with less structure, in grey levels, are not compared.",
    )
    text_similarity: float = Field(
        default=_DUPLICATES.title_similarity,
        gt=0.5,
        le=1,
        description="Titles and texts are near when the Jaccard similarity of their words is at least this.",
    )
    min_title_words: Annotated[int, unit("words")] = Field(
        default=2,
        ge=1,
        description="Titles of fewer words are not compared: two products may be called `Mug`.",
    )
    min_text_words: Annotated[int, unit("words")] = Field(
        default=8,
        ge=1,
        description="Questions, reviews and snippets of fewer words are not compared: two may say `Great!`.",
    )
    shortcuts: bool = Field(
        default=True,
        description="Let guessers that know neither question nor image guess the answers.",
    )
    shortcut_tolerance: Share = Field(
        default=0.05,
        description="A blind guesser is a finding when the lower end of its 95 % interval exceeds chance by more than "
        "this share.",
    )
    examples: int = Field(
        default=3, ge=0, le=100, description="Examples that the report keeps of each finding."
    )
