"""What a worker measures of embedded pictures: each distinct one is decoded once, and only small hashes are kept."""

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

from mmecinstruct.audit.files import SampleFile, open_shard
from mmecinstruct.audit.keys import iterate_pictures
from mmecinstruct.images.perceptual_hash import grey_of, perceptual_hash, structure_of

MAX_PIXELS = 50_000_000  # a picture that claims more is not decoded

PICTURES = pa.schema(
    [
        ("key", pa.string()),  # SHA-256 of the embedded bytes
        ("pixel_id", pa.string()),  # hash of size and RGB pixels; null where it cannot be decoded
        ("phash", pa.uint64()),
        ("structure", pa.float32()),
        ("thumbnail", pa.binary()),  # 8 x 8 RGB
    ]
)


@dataclass(frozen=True)
class PicturesPayload:
    """Measure those pictures of one file that no earlier file holds."""

    folder: Path
    file: SampleFile
    keys: Path  # Parquet: column key
    target: Path


def measure_pictures(payload: PicturesPayload) -> int:
    """Write pictures-<number>.parquet (PICTURES) and return the number of pictures that cannot be decoded.

    Raises DatasetError where the file cannot be read.
    """
    left = set(pq.read_table(payload.keys)["key"].to_pylist())
    rows = []
    with open_shard(payload.folder, payload.file.path) as shard:
        for _, _, data in iterate_pictures(shard):
            if data is None:
                continue
            key = hashlib.sha256(data).hexdigest()
            if key in left:
                left.remove(key)
                rows.append({"key": key, **_measured(data)})
                if not left:
                    break
    table = pa.Table.from_pylist(rows, schema=PICTURES)
    pq.write_table(table, payload.target / f"pictures-{payload.file.number}.parquet")
    return table["pixel_id"].null_count


def _measured(data: pa.Buffer) -> dict[str, object]:
    """Return the columns of PICTURES but the key; nothing for a picture that cannot be decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own cap warns; ours refuses
            with PIL.Image.open(io.BytesIO(data)) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    return {}
                picture = _as_seen(opened)
    except Exception:  # noqa: BLE001 - decoders raise anything; each time the picture cannot be compared
        return {}
    pixels = np.asarray(picture)
    digest = hashlib.blake2b(repr(picture.size).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels))
    grey = grey_of(picture)
    return {
        "pixel_id": digest.hexdigest(),
        "phash": perceptual_hash(grey),
        "structure": structure_of(grey),
        "thumbnail": picture.resize((8, 8), PIL.Image.Resampling.BOX).tobytes(),
    }


def _as_seen(opened: PIL.Image.Image) -> PIL.Image.Image:
    """Return the picture upright, in RGB, what is transparent over white."""
    picture = PIL.ImageOps.exif_transpose(opened)
    if picture.mode == "RGB":
        return picture
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = PIL.Image.new("RGBA", picture.size, "white")
        return PIL.Image.alpha_composite(ground, picture).convert("RGB")
    if picture.mode.startswith("I;16"):
        picture = picture.point(lambda level: level / 256).convert("L")
    return picture.convert("RGB")
