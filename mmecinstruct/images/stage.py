"""The picture stage over one shard of URLs, and the judgement over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from mmecinstruct.errors import SourceError
from mmecinstruct.images.locate import LocatedPicture
from mmecinstruct.images.validation import PHASH_VERSION, ValidatedPicture, validate_picture
from mmecinstruct.recipe import ImageSettings
from mmecinstruct.rejections import Rejection
from mmecinstruct.tables import IMAGES, PIXELS

STAGE = "images"


def read_pictures(
    located: Sequence[LocatedPicture], settings: ImageSettings
) -> tuple[pa.Table, pa.Table, list[Rejection]]:
    """Return (images, pixels, rejections) of a shard: one image row per URL, one rejection per bad one.

    The same bytes under several URLs have one row of pixels.

    Raises SourceError where a file is no longer the one that was located.
    """
    rows, pixels, rejections = [], {}, []
    for picture in located:
        row = dict.fromkeys(IMAGES.names)
        row["image_url"], row["status"] = picture.url, "ok"
        reason, detail = picture.reason, picture.detail
        if picture.path is not None:
            outcome = _read_one(picture, Path(picture.path), settings)
            if isinstance(outcome, Rejection):
                reason, detail = outcome.reason, outcome.detail
            else:
                reason, detail = outcome.reason, outcome.detail
                for name in ("image_id", "width", "height", "format", "mode", "phash", "pixel_deviation"):
                    row[name] = getattr(outcome, name)
                row["phash_version"] = PHASH_VERSION if outcome.phash else None
                if outcome.jpeg is not None:
                    pixels[outcome.image_id] = outcome.jpeg
        if reason:
            row["status"] = "rejected"
            rejections.append(Rejection(STAGE, reason, detail, picture.url, str(row["image_id"] or "")))
        row["reason"], row["detail"] = reason, detail
        rows.append(row)
    return (
        pa.Table.from_pylist(rows, schema=IMAGES),
        pa.Table.from_pylist(
            [{"image_id": key, "jpeg": pixels[key]} for key in sorted(pixels)], schema=PIXELS
        ),
        rejections,
    )


def _read_one(picture: LocatedPicture, path: Path, settings: ImageSettings) -> ValidatedPicture | Rejection:
    # The stage's fingerprint holds the hash: other bytes must not become the output under it.
    try:
        size = path.stat().st_size
        if size > settings.max_bytes:
            return Rejection(
                STAGE, "too_many_bytes", f"{size} bytes, at most {settings.max_bytes}", path.name
            )
        outcome = validate_picture(path.read_bytes(), settings)
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read any more: {error.strerror}; run the build again"
        ) from error
    if outcome.image_id != picture.sha256:
        raise SourceError(f"{path} changed while the build read it; run the build again")
    return outcome
