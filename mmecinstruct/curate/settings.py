"""Settings of curation: what is cleaned, and what is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from mmecinstruct.core.settings import Settings
from mmecinstruct.text.pii_kinds import PERSONAL_DATA_KINDS, PersonalDataKind

LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]  # ISO 639


class CurateSettings(Settings):
    """Cleaning of texts."""

    languages: tuple[LanguageCode, ...] = ("en",)  # of reviews and questions; none: any language
    # A review or question is rejected when it is in another language with at least this probability. Short English
    # reviews are taken for something else with up to 0.7.
    min_language_score: float = Field(default=0.8, ge=0, le=1)
    mask: tuple[PersonalDataKind, ...] = (
        PERSONAL_DATA_KINDS  # personal data that becomes a token, e.g. [EMAIL]
    )

    @field_validator("mask")
    @classmethod
    def _in_order(cls, value: tuple[PersonalDataKind, ...]) -> tuple[PersonalDataKind, ...]:
        """Put the kinds in their order, so that the same choice is the same recipe."""
        return tuple(kind for kind in PERSONAL_DATA_KINDS if kind in value)
