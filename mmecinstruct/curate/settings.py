"""Settings of curation: languages of the texts, and masking of personal data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mmecinstruct.core.settings import Settings, unit
from mmecinstruct.text.pii_kinds import PERSONAL_DATA_KINDS, PersonalDataKind

MAX_TEXT = 20_000  # characters

WhichCategory = Literal["first", "deepest", "rarest"]
LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]  # ISO 639


class CurateSettings(Settings):
    """Languages and personal data of reviews, questions and snippets."""

    languages: tuple[LanguageCode, ...] = Field(
        default=("en",),
        description="Languages (ISO 639 codes) of the reviews and questions that are kept. An empty list keeps all.",
    )
    min_language_score: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="A review or question is rejected when it is in another language with at least this probability. "
        "Short English reviews reach up to 0.7.",
    )
    mask: tuple[PersonalDataKind, ...] = Field(
        default=PERSONAL_DATA_KINDS,
        description="Kinds of personal data that are replaced by a token such as `[EMAIL]` in reviews, questions, "
        "snippets, queries, titles, brands and categories. An empty list masks none.",
    )
    mask_titles: bool = Field(
        default=True,
        description="Mask product titles, brands and categories too; names of persons and of sites stay in them. "
        "`false` leaves them as they are; the card says so, and how many look as though they hold personal data.",
    )

    which_category: WhichCategory = Field(
        default="deepest",
        description="Of a product in several categories the one that it is sorted by and asked for: the first, the "
        "deepest, or the one of fewest products; of equal ones the first. A category of `split.ood_categories` goes "
        "before all others.",
    )

    max_text: Annotated[int, unit("characters")] = Field(
        default=MAX_TEXT,
        ge=100,
        le=1_000_000,
        description="Most characters of a text. A record with a longer title, review, question, snippet, query or "
        "category is rejected; longer descriptions, which no task shows, are cut.",
    )

    @field_validator("mask")
    @classmethod
    def _in_order(cls, value: tuple[PersonalDataKind, ...]) -> tuple[PersonalDataKind, ...]:
        """Put the kinds in their order, so that the same choice is the same recipe."""
        return tuple(kind for kind in PERSONAL_DATA_KINDS if kind in value)
