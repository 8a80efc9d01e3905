"""Settings of curation: what is cleaned, and what is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmecinstruct.settings import Settings

LanguageCode = Annotated[str, Field(pattern="^[a-z]{2,3}$")]  # ISO 639


class CurateSettings(Settings):
    """Cleaning of texts."""

    languages: tuple[LanguageCode, ...] = ("en",)  # of reviews; none: any language
    # A review is rejected when it is in another language with at least this probability. Short English reviews
    # are taken for something else with up to 0.7.
    min_language_score: float = Field(default=0.8, ge=0, le=1)
