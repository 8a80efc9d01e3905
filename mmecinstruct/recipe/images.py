"""Settings of the picture stages: where local pictures lie, and what a picture must be."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from mmecinstruct.recipe.sources import is_glob
from mmecinstruct.settings import Settings


def _is_below_root(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts:
        raise ValueError("a folder below the data root, without '..'")
    return value


Folder = Annotated[str, AfterValidator(_is_below_root)]


class Mirror(Settings):
    """A folder that stands for a web address: `<url><path>` is read from `<folder>/<path>`."""

    url: str
    folder: Annotated[Folder, AfterValidator(is_glob)]  # relative to the data root

    @field_validator("url")
    @classmethod
    def _url_is_a_folder(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or not urlsplit(value).hostname:
            raise ValueError("a web address, as in https://images.shop.example/")
        return value if value.endswith("/") else f"{value}/"


class ImageSettings(Settings):
    """Thresholds of the picture stage. Where one changes, the pictures are read again."""

    mirrors: tuple[Mirror, ...] = ()
    folders: tuple[Folder, ...] = (".",)  # below the data root: where local paths may point
    max_bytes: int = Field(default=20_000_000, gt=0)
    max_pixels: int = Field(default=50_000_000, gt=0)
    min_side: int = Field(default=32, ge=1)
    max_aspect: float = Field(default=5.0, ge=1)
    min_deviation: float = Field(default=4.0, ge=0)  # below: blank
    max_products_per_picture: int = Field(default=5, ge=1)  # above: a placeholder
    longest_side: int = Field(default=512, ge=32)
    jpeg_quality: int = Field(default=88, ge=40, le=100)
