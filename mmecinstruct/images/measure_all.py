"""Measure the images of one work item: a list of located URLs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mmecinstruct.core.errors import SourceError
from mmecinstruct.images.locate import LocatedImage
from mmecinstruct.images.measure import MeasuredImage, measure_image
from mmecinstruct.images.perceptual_hash import PHASH_VERSION
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import IMAGES, PIXELS

STAGE = "images"
_MEASURED = (
    *("image_id", "pixel_id", "width", "height", "format", "mode", "frames"),
    *("phash", "dhash", "structure", "pixel_deviation", "thumbnail", "mirrored_phash"),
)


def measure_images(
    located: Sequence[LocatedImage], settings: ImageSettings
) -> tuple[pa.Table, pa.Table, list[Rejection]]:
    """Measure the images of one work item.

    Args:
        located: URLs with their local files, or with the reason why they have none.
        settings: The caps and the normal form of images.

    Returns:
        (images, pixels, rejections): a row of tables.IMAGES per URL, a row of tables.PIXELS per distinct content, and
        a rejection per URL that has no readable image.

    Raises:
        SourceError: A file is no longer the one that was located.
    """
    rows, rejections = [], []
    pixels: dict[str, dict[str, bytes | None]] = {}
    with warnings.catch_warnings():
        # Pillow warns of bombs and metadata; the caps of the settings decide here.
        warnings.simplefilter("ignore")
        for image in located:
            row = dict.fromkeys(IMAGES.names)
            row["image_url"], row["status"] = image.url, "ok"
            reason, detail = image.reason, image.detail
            if image.path is not None:
                outcome = _measure_one(image, Path(image.path), settings)
                reason, detail = outcome.reason, outcome.detail
                row.update({name: getattr(outcome, name) for name in _MEASURED})
                if outcome.jpeg is not None:
                    row["phash_version"] = PHASH_VERSION
                    pixels[outcome.image_id] = {"jpeg": outcome.jpeg, "sketch": outcome.sketch}
            if reason:
                row["status"] = "rejected"
                rejections.append(Rejection(STAGE, reason, detail, image.url, str(row["image_id"] or "")))
            row["reason"], row["detail"] = reason, detail
            rows.append(row)
    return (
        pa.Table.from_pylist(rows, schema=IMAGES),
        pa.Table.from_pylist([{"image_id": key, **pixels[key]} for key in sorted(pixels)], schema=PIXELS),
        rejections,
    )


def _measure_one(image: LocatedImage, path: Path, settings: ImageSettings) -> MeasuredImage:
    # The stage's fingerprint holds the hash, so other bytes must not become its output.
    try:
        size = path.stat().st_size
        if size > settings.max_bytes:
            detail = f"{size} bytes, at most {settings.max_bytes}"
            return MeasuredImage(image.sha256 or "", "too_many_bytes", detail)
        with path.open("rb") as stream:
            content = stream.read(settings.max_bytes + 1)
        outcome = measure_image(content, settings)
    except OSError as error:
        raise SourceError(f"{path}: can no longer be read: {error.strerror}; run the build again") from error
    if outcome.image_id != image.sha256:
        raise SourceError(
            f"{path} changed while the build read it; run the build again, for a fetched image with --retry-failed"
        )
    return outcome
