"""Measure embedded images in a worker: each distinct one is decoded once, and only small hashes are kept."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.auditing.files import SampleFile, open_shard
from mmecinstruct.auditing.keys import iterate_images
from mmecinstruct.images.color_modes import resizable, rgb_over_white
from mmecinstruct.images.measure import DECODER_ERRORS, pixel_id, thumbnail_of
from mmecinstruct.images.perceptual_hash import grey_of, hashes_and_structures
from mmecinstruct.images.signatures import FORMATS, MAX_SCANS, jpeg_scans, tiff_tile_pixels

# An image that claims more is not decoded.
MAX_PIXELS = 50_000_000

IMAGES = pa.schema(
    [
        ("key", pa.string()),  # SHA-256 of the embedded bytes
        # Hash of size and RGB pixels at full size; null for an image that cannot be decoded.
        ("pixel_id", pa.string()),
        ("phash", pa.uint64()),
        ("structure", pa.float32()),
        ("thumbnail", pa.binary()),  # 8 x 8 RGB, row by row
    ]
)


@dataclass(frozen=True)
class ImagesPayload:
    """The images of one file that are in no earlier file.

    Attributes:
        folder: The dataset folder.
        file: The file of samples.
        keys: Parquet file with the column key of the images.
        target: Folder of the result.
    """

    folder: Path
    file: SampleFile
    keys: Path
    target: Path


def measure_images(payload: ImagesPayload) -> int:
    """Write images-<number>.parquet (IMAGES) and return the number of images that cannot be decoded.

    Raises:
        DatasetError: The file cannot be read.
    """
    left = set(pq.read_table(payload.keys)["key"].to_pylist())
    rows = []
    with open_shard(payload.folder, payload.file.path) as shard:
        for _, _, data in iterate_images(shard):
            if data is None:
                continue
            key = hashlib.sha256(data).hexdigest()
            if key in left:
                left.remove(key)
                rows.append({"key": key, **_measured(data.to_pybytes())})
                if not left:
                    break
    table = pa.Table.from_pylist(rows, schema=IMAGES)
    pq.write_table(table, payload.target / f"images-{payload.file.number}.parquet")
    return table["pixel_id"].null_count


def _measured(data: bytes) -> dict[str, object]:
    """Return the columns of IMAGES without the key; empty for an image that cannot be decoded."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; the cap here rejects them.
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                if _claims_too_much(opened, data):
                    return {}
                # As `datasets` decodes it: Pillow at full size, upright.
                image = rgb_over_white(resizable(PIL.ImageOps.exif_transpose(opened)))
    except (*DECODER_ERRORS, PIL.Image.DecompressionBombError):
        return {}
    hashes, structures = hashes_and_structures(grey_of(image)[None])
    return {
        "pixel_id": pixel_id(np.asarray(image)),
        "phash": int(hashes[0]),
        "structure": float(structures[0]),
        "thumbnail": thumbnail_of(image),
    }


def _claims_too_much(opened: PIL.Image.Image, data: bytes) -> bool:
    """Return whether the header claims more pixels or scans than are decoded."""
    pixels = opened.width * opened.height
    if opened.format == "TIFF":
        pixels = max(pixels, tiff_tile_pixels(opened.tag_v2))  # type: ignore[attr-defined]
    return pixels > MAX_PIXELS or (opened.format == "JPEG" and jpeg_scans(data) > MAX_SCANS)
