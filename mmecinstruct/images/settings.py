"""Settings of the image stages: where local images lie, and what an image must be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from mmecinstruct.core.globs import is_glob
from mmecinstruct.core.settings import Settings


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


# Which settings decide about which stage. A test sees to it that each has its place.
PUBLISHING = frozenset({"publish", "read"})  # what of an image is read at all, and what stands in shards
LOCATING = frozenset({"mirrors", "folders"})  # enter through what was located
MEASURING = frozenset({"max_bytes", "max_pixels", "longest_side", "jpeg_quality"})  # changed: decoded again
REFUSING = frozenset({"max_bytes", "max_pixels"})  # those of them that decide whether an image is read at all
JUDGING = frozenset(
    {"min_side", "max_aspect", "min_deviation", "allow_animated", "placeholders", "max_products_per_image"}
)
NAMING = frozenset({"placeholders", "max_products_per_image"})  # those of them that judge a URL alone


class ImageSettings(Settings):
    """Where local images lie, how they are normalised, and what an image must be."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"max_products_per_picture": "max_products_per_image"}

    # embed: pixels stand in the shards. reference: URLs, roles and the hashes of the received bytes alone.
    publish: Literal["embed", "reference"] = "embed"
    # false: URLs are taken as they are. Nothing is asked for, measured or compared, and there are no hashes.
    read: bool = True
    mirrors: tuple[Mirror, ...] = ()
    folders: tuple[Folder, ...] = (".",)  # below the data root: where local paths may point
    # Caps that keep a hostile file from the memory, and the normal form.
    max_bytes: int = Field(default=20_000_000, gt=0)
    max_pixels: int = Field(default=50_000_000, gt=0)
    longest_side: int = Field(default=512, ge=32, le=4096)
    jpeg_quality: int = Field(default=88, ge=40, le=100)
    # Thresholds over what was measured.
    min_side: int = Field(default=32, ge=1)
    max_aspect: float = Field(default=5.0, ge=1)
    min_deviation: float = Field(default=4.0, ge=0)  # below: blank
    allow_animated: bool = False  # true: the first frame is taken
    placeholders: tuple[str, ...] = ()  # known images that show no product: URL, image_id or pixel_id
    max_products_per_image: int = Field(default=5, ge=1)  # above: a placeholder

    @model_validator(mode="after")
    def _embeds_what_is_read(self) -> ImageSettings:
        if self.publish == "embed" and not self.read:
            raise ValueError(
                "images.read: false leaves no pixels to embed; set images.publish to reference, or images.read to true"
            )
        return self

    def part(self, names: frozenset[str]) -> dict[str, Any]:
        """Return the named settings as JSON can hold them: what a stage's fingerprint says of them."""
        return self.model_dump(mode="json", include=set(names))
