"""Images of a published dataset: read with their hashes, decoded on demand and with limits on size.

The SHA-256 of an image's embedded bytes identifies it across samples and splits. One record batch is in memory at a
time, for a folder's Parquet shards as for a dataset on the Hub.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caslie_model.data.samples import available_splits
from caslie_model.data.shards import shards_of
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hub import reading_from_hub
from mmecinstruct.images.signatures import MAX_SCANS, jpeg_scans, signature_of, unsupported_format, webp_size

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image
    from torch import Tensor

# The features of images by their keys: n keys to [n, P, dv].
Features = Callable[[Sequence[str]], "Tensor"]

# Items of a sample, each with an image of its own.
MAX_ITEMS = 64
MAX_IMAGE_BYTES = 20_000_000
# The limit of `mmec build`; decoded they are 150 MB.
MAX_PIXELS = 50_000_000
ROWS_AT_ONCE = 32  # a sample may show 40 images

_COLUMNS = ("id", "image_roles", "images")
_READ_FORMATS = ("JPEG", "PNG", "WEBP")


@dataclass(frozen=True, slots=True)
class SampleImage:
    """An image of a sample.

    Attributes:
        role: The item of the sample that it shows: product, history 3, option B, …
        key: SHA-256 of the embedded bytes, hexadecimal.
    """

    role: str
    key: str


@dataclass(frozen=True, slots=True)
class EmbeddedImage:
    """An image with its bytes as the dataset has them, not decoded.

    Attributes:
        image: Role and key.
        content: The bytes of the file.
    """

    image: SampleImage
    content: bytes


def read_images(
    data: str, task: str, split: str, ids: Collection[str] | None = None
) -> dict[str, tuple[SampleImage, ...]]:
    """Return the images of samples.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: Full name of a task.
        split: Name of a split.
        ids: Read these samples only; None: all.

    Returns:
        Images by sample id, in stored order; empty for a sample without images.

    Raises:
        DatasetError: If there is no such dataset, a wanted sample is not in the split, or a row is damaged.
    """
    result = {
        sample: tuple(each.image for each in images)
        for sample, images in iterate_images(data, task, split, ids)
    }
    gone = sorted(set(ids or ()) - set(result))
    if gone:
        raise DatasetError(
            f"{data}: {task}/{split} has no sample {gone[0]} (of {len(gone)} that are missing); was the dataset "
            "built anew meanwhile?"
        )
    return result


def iterate_images(
    data: str, task: str, split: str, ids: Collection[str] | None = None
) -> Iterator[tuple[str, tuple[EmbeddedImage, ...]]]:
    """Yield each sample's id and its images with their bytes, in stored order.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: Full name of a task.
        split: Name of a split.
        ids: Read these samples only; None: all.

    Yields:
        The sample's id and its images.

    Raises:
        DatasetError: If there is no such dataset, or a row is damaged.
    """
    wanted = None if ids is None else frozenset(ids)
    for batch in _batches(data, task, split, wanted):
        columns = [batch.column(name) for name in _COLUMNS]
        for row, sample in enumerate(columns[0].to_pylist()):
            if wanted is None or sample in wanted:
                roles, images = columns[1][row].as_py(), columns[2][row].as_py()
                yield sample, _embedded(f"{data}: sample {sample}", roles, images)


def count_samples(data: str, task: str, split: str) -> int:
    """Return how many samples a split of a task has.

    Args:
        data: A dataset folder, or user/name on the Hub.
        task: Full name of a task.
        split: Name of a split.

    Returns:
        The number; 0 when the dataset lacks the split.

    Raises:
        DatasetError: If there is no such dataset, or a file is damaged.
    """
    if split not in available_splits(data, task):
        return 0
    if Path(data).is_dir():
        return sum(_open_shard(file).metadata.num_rows for file in _shards(data, task, split))
    return int(_hub_split(data, task, split).num_rows)


def decode_image(content: bytes, location: str) -> Image.Image:
    """Decode an image.

    Args:
        content: The bytes of a JPEG, PNG or WebP file.
        location: Named by the error.

    Returns:
        The image in RGB, transparency over white.

    Raises:
        DatasetError: If the bytes are no such image, end too early, or claim more than MAX_PIXELS.
    """
    from PIL import Image

    from mmecinstruct.images.color_modes import resizable, rgb_over_white
    from mmecinstruct.images.measure import DECODER_ERRORS

    def unreadable(detail: str) -> DatasetError:
        return DatasetError(f"{location} cannot be read: {detail}; `mmec validate` finds all of them")

    if len(content) > MAX_IMAGE_BYTES:
        raise unreadable(f"{len(content):,} bytes, at most {MAX_IMAGE_BYTES:,}")
    signature = signature_of(content)
    if signature not in _READ_FORMATS:
        detail = unsupported_format(content)[1] if signature is None else f"a {signature} image"
        raise unreadable(f"{detail}; expected {', '.join(_READ_FORMATS)}")
    # Pillow allocates a WebP's canvas before its size can be asked.
    size = webp_size(content) if signature == "WEBP" else None
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise unreadable(f"{size[0]}x{size[1]}, at most {MAX_PIXELS:,} pixels")
    if signature == "JPEG" and jpeg_scans(content) > MAX_SCANS:
        raise unreadable(f"more than {MAX_SCANS} scans")
    try:
        with Image.open(io.BytesIO(content), formats=[signature]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise unreadable(f"{image.width}x{image.height}, at most {MAX_PIXELS:,} pixels")
            image.load()
            return rgb_over_white(resizable(image))
    except Image.DecompressionBombError:
        raise unreadable(f"it claims more than {MAX_PIXELS:,} pixels") from None
    except DECODER_ERRORS as error:
        raise unreadable(str(error) or type(error).__name__) from error


def _embedded(location: str, roles: Any, images: Any) -> tuple[EmbeddedImage, ...]:
    if not isinstance(roles, list) or not isinstance(images, list) or len(roles) != len(images):
        counts = [len(each) if isinstance(each, list) else "no" for each in (images, roles)]
        raise DatasetError(f"{location}: {counts[0]} images and {counts[1]} roles; `mmec validate` says more")
    result = []
    for role, image in zip(roles, images, strict=True):
        content = image.get("bytes") if isinstance(image, dict) else None
        if not isinstance(role, str) or not content:
            raise DatasetError(
                f"{location}: image '{role}' has no embedded bytes; a dataset must carry its images, as those "
                "that `mmec build` writes do"
            )
        result.append(EmbeddedImage(SampleImage(role, hashlib.sha256(content).hexdigest()), content))
    return tuple(result)


def _batches(data: str, task: str, split: str, wanted: frozenset[str] | None) -> Iterator[pa.RecordBatch]:
    if split not in available_splits(data, task):
        return
    if not Path(data).is_dir():
        for table in _hub_split(data, task, split).iter(ROWS_AT_ONCE):
            yield from table.to_batches()
        return
    import pyarrow as pa

    for file in _shards(data, task, split):
        shard = _open_shard(file)
        try:
            groups = [
                group
                for group in range(shard.num_row_groups)
                # The ids alone are small: row groups without a wanted sample need not be read.
                if wanted is None
                or not wanted.isdisjoint(shard.read_row_group(group, columns=["id"])["id"].to_pylist())
            ]
            yield from shard.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=list(_COLUMNS))
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{file}: cannot be read: {error}; `mmec validate` says more") from error


def _shards(data: str, task: str, split: str) -> list[Path]:
    return shards_of(Path(data), task)[split]


def _open_shard(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        shard = pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{file}: cannot be read: {error}; `mmec validate` says more") from error
    missing = [name for name in _COLUMNS if name not in shard.schema_arrow.names]
    if missing:
        raise DatasetError(f"{file}: has no column {', '.join(missing)}; build the dataset again")
    return shard


@lru_cache(maxsize=4)
def _hub_split(data: str, task: str, split: str) -> Any:
    """Return a split on the Hub as Arrow tables: nothing is decoded, nothing but the current rows is in memory."""
    import datasets

    with reading_from_hub(data):
        rows = datasets.load_dataset(data, task, split=split)
    missing = [name for name in _COLUMNS if name not in rows.column_names]
    if missing:
        raise DatasetError(f"{data}: {task}/{split} has no column {', '.join(missing)}")
    return rows.select_columns(list(_COLUMNS)).with_format("arrow")
