"""Settings of the image stages: folders of local images, normalisation, filters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from mmecinstruct.core.globs import is_glob
from mmecinstruct.core.settings import Bytes, Levels, Pixels, Settings, unit


def _is_below_root(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts:
        raise ValueError("a folder below the data root, without '..'")
    return value


Folder = Annotated[str, AfterValidator(_is_below_root)]


class Mirror(Settings):
    """A local copy of a web address: `<url><path>` is read from `<folder>/<path>`."""

    url: str = Field(
        description="Web address whose files are in `folder`, such as https://images.shop.example/."
    )
    folder: Annotated[Folder, AfterValidator(is_glob)] = Field(
        description="Folder of the local files, relative to the data root. May be a glob."
    )

    @field_validator("url")
    @classmethod
    def _url_is_a_folder(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or not urlsplit(value).hostname:
            raise ValueError("a web address, as in https://images.shop.example/")
        return value if value.endswith("/") else f"{value}/"


# The settings that each stage reads. A test checks that every setting is in exactly one of the first four groups.
# Whether images are read at all, and whether shards contain them.
PUBLISHING = frozenset({"publish", "read"})
# These enter a fingerprint through the located images.
LOCATING = frozenset({"mirrors", "folders"})
# A change decodes all images again.
MEASURING = frozenset({"max_bytes", "max_pixels", "longest_side", "jpeg_quality"})
# Those of them that decide whether an image is read at all.
CAPS = frozenset({"max_bytes", "max_pixels"})
FILTERING = frozenset(
    {"min_side", "max_aspect", "min_deviation", "allow_animated", "placeholders", "max_products_per_image"}
)
# Those of them that need only a URL.
URL_FILTERING = frozenset({"placeholders", "max_products_per_image"})


class ImageSettings(Settings):
    """Folders of local images, normalisation and filters of images."""

    renamed_fields: ClassVar[Mapping[str, str]] = {"max_products_per_picture": "max_products_per_image"}

    publish: Literal["embed", "reference"] = Field(
        default="embed",
        description="`embed` writes pixels into the shards. `reference` writes URLs, roles and hashes only: choose it "
        "when you may not redistribute the images.",
    )
    read: bool = Field(
        default=True,
        description="Read images. `false` publishes URLs only: nothing is downloaded, measured or compared, and there "
        "are no hashes. Needs `publish: reference`.",
    )
    mirrors: tuple[Mirror, ...] = Field(
        default=(), description="Local copies of web addresses. The first one that covers a URL is used."
    )
    folders: tuple[Folder, ...] = Field(
        default=(".",),
        description="Folders below the data root that local paths may point into. Paths outside them are rejected.",
    )
    max_bytes: Bytes = Field(
        default=20_000_000, gt=0, description="Files of more bytes are rejected before they are read."
    )
    max_pixels: Pixels = Field(
        default=50_000_000,
        gt=0,
        description="Images whose header claims more pixels are rejected before they are decoded. Limits memory.",
    )
    longest_side: Pixels = Field(
        default=512,
        ge=32,
        le=4096,
        description="Larger images are scaled down to this many pixels on their longest side.",
    )
    jpeg_quality: int = Field(
        default=88,
        ge=40,
        le=100,
        description="JPEG quality of the normalised images. Lower it for smaller shards.",
    )
    min_side: Pixels = Field(
        default=32, ge=1, description="Images with a side of fewer pixels are rejected as `too_small`."
    )
    max_aspect: float = Field(
        default=5.0,
        ge=1,
        description="Images whose long side exceeds their short side by a larger factor are rejected as "
        "`extreme_aspect`.",
    )
    min_deviation: Levels = Field(
        default=4.0,
        ge=0,
        description="Images whose standard deviation, in grey levels, is lower are rejected as `blank`.",
    )
    allow_animated: bool = Field(
        default=False, description="Use the first frame of animated images instead of rejecting them."
    )
    placeholders: tuple[str, ...] = Field(
        default=(),
        description="Images that show no product and are rejected as `placeholder`: URLs, `image_id`s or "
        "`pixel_id`s. Known ones of Amazon and SQID are built in.",
    )
    max_products_per_image: Annotated[int, unit("products")] = Field(
        default=5,
        ge=1,
        description="An image that more unrelated products share is rejected as `placeholder`.",
    )

    @model_validator(mode="after")
    def _embeds_what_is_read(self) -> ImageSettings:
        if self.publish == "embed" and not self.read:
            raise ValueError(
                "images.read: false leaves no pixels to embed; set images.publish to reference, or images.read to true"
            )
        return self

    def part(self, names: frozenset[str]) -> dict[str, Any]:
        """Return the named settings as values of JSON: their part of a stage's fingerprint."""
        return self.model_dump(mode="json", include=set(names))
