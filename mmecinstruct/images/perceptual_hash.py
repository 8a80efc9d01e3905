"""The project's perceptual hash (pHash): 64 bits, one for the strength of each low frequency of an image.

The definition of the bits (`PHASH_VERSION`; another definition gets another version, and hashes of two versions are
never compared):

1. The normalised RGB image is shrunk by averaging whole blocks to 128 to 255 pixels per side (a shorter side stays),
   made grey (Pillow's `L`: ITU-R 601 luma) and shrunk to 32x32 by Lanczos.
2. Two-dimensional DCT-II without normalisation, as in scipy's `dct`; the cosines are rounded to 1/16384.
3. The 8x8 lowest frequencies, the constant one included: bit = coefficient > median of the 64.
4. Row by row (vertical frequency 0 first, within it horizontal frequency 0 first), the first bit the highest.

All sums are integers below 2**53, so float64 adds them exactly in any order: a hash depends neither on the
processor nor on how many images are hashed at once. The steps are those of imagehash's `phash`, which shrinks the
image from full size by Lanczos in one step; `benchmarks/phash_deviation.py` measures how many bits differ.

The hash ignores colour: the same drawing in red and in blue has nearly the same hash. Near-duplicate detection must
compare colours as well (`thumbnail` in the table of images).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHASH_VERSION = "mmec-phash-8x8/2"
GREY_SIDE = 32
_REDUCED_SIDE = 4 * GREY_SIDE
_FREQUENCIES = 8
_BITS = _FREQUENCIES * _FREQUENCIES
# Images whose grey values are in memory at once: 32 MB.
_BATCH = 4096


def _cosines() -> NDArray[np.float64]:
    frequency = np.arange(_FREQUENCIES)[:, None]
    position = 2 * np.arange(GREY_SIDE)[None, :] + 1
    return np.rint(np.cos(np.pi * frequency * position / (2 * GREY_SIDE)) * 16384)


# [8, 32], integers.
_COSINES = _cosines()
# Length of each of the 64 basis images: white noise of standard deviation s moves a coefficient by s * length.
_LENGTHS = np.sqrt(np.outer((_COSINES**2).sum(axis=1), (_COSINES**2).sum(axis=1))).reshape(-1)


class Reduced(NamedTuple):
    """An image reduced to the averages of its blocks.

    Attributes:
        image: One pixel per block.
        extent: Width and height in blocks; fractional where the last blocks are cut.
    """

    image: Image.Image
    extent: tuple[float, float]

    def shrunk(self, size: tuple[int, int], filter_: Image.Resampling) -> Image.Image:
        """Return the image resized to (width, height) pixels."""
        return self.image.resize(size, filter_, box=(0.0, 0.0, *self.extent))


def reduced(image: Image.Image) -> Reduced:
    """Reduce an image to 128 to 255 blocks per side; a shorter side stays as it is.

    All measurements are taken from the reduced image.
    """
    across, down = max(1, image.width // _REDUCED_SIDE), max(1, image.height // _REDUCED_SIDE)
    small = image if across == down == 1 else image.reduce((across, down))
    return Reduced(small, (image.width / across, image.height / down))


def grey_of(image: Image.Image | Reduced) -> NDArray[np.uint8]:
    """Return the grey image [32, 32] that is hashed. The image has mode RGB or L."""
    small = image if isinstance(image, Reduced) else reduced(image)
    grey = small.image if small.image.mode == "L" else small.image.convert("L")
    return np.asarray(small._replace(image=grey).shrunk((GREY_SIDE, GREY_SIDE), Image.Resampling.LANCZOS))


def perceptual_hash(grey: NDArray[np.uint8]) -> int:
    """Return the hash of one grey image [32, 32] as an unsigned 64-bit number."""
    return int(perceptual_hashes(grey[None])[0])


def perceptual_hashes(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the hashes [N] of grey images [N, 32, 32], equal to those of `perceptual_hash`."""
    return hashes_and_structures(grey)[0]


def structure_of(grey: NDArray[np.uint8]) -> float:
    """Return the structure of a grey image [32, 32], in grey levels; see `hashes_and_structures`."""
    return float(hashes_and_structures(grey[None])[1][0])


def hashes_and_structures(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """Hash grey images and measure how much structure each has.

    Structure is the median over the 64 bits of the coefficient's distance from the threshold, in units of the shift
    that white noise of one grey level in the 32x32 image causes. Where it is not well above the noise of recompression
    (about one level), half of the bits are noise. It is 0 for a blank image and nearly 0 for gradients and stripes,
    which consist of a few coefficients only.

    Args:
        grey: Grey images [N, 32, 32].

    Returns:
        Hashes [N] and structures [N], the latter in grey levels.
    """
    hashes = np.empty(len(grey), dtype=np.uint64)
    structures = np.empty(len(grey), dtype=np.float32)
    for start in range(0, len(grey), _BATCH):
        part = slice(start, start + _BATCH)
        low = (_COSINES @ grey[part].astype(np.float64) @ _COSINES.T).reshape(-1, _BITS)
        from_threshold = low - _median(low)
        hashes[part] = np.packbits(from_threshold > 0, axis=1).view(">u8")[:, 0]
        structures[part] = _median(np.abs(from_threshold) / _LENGTHS)[:, 0]
    return hashes, structures


def difference_hash(image: Reduced) -> int:
    """Return the difference hash (dHash) of a grey image as an unsigned 64-bit number.

    The image is shrunk to 9x8 by Lanczos; row by row, a bit says whether a pixel is brighter than its left neighbour.
    """
    grey = np.asarray(image.shrunk((_FREQUENCIES + 1, _FREQUENCIES), Image.Resampling.LANCZOS))
    return int(np.packbits(grey[:, 1:] > grey[:, :-1]).view(">u8")[0])


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median [N, 1] of rows [N, 64]; faster than numpy's own on such short rows."""
    middle = np.sort(values, axis=1)[:, _BITS // 2 - 1 : _BITS // 2 + 1]
    return (middle[:, :1] + middle[:, 1:]) / 2


def format_hash(value: int) -> str:
    """Return a hash as the tables store it: 16 lower-case hexadecimal digits."""
    return f"{value:016x}"


def parse_hash(text: str) -> int:
    """Return a stored hash as an unsigned 64-bit number.

    Raises:
        ValueError: The text is not 16 hexadecimal digits.
    """
    if len(text) != 16:
        raise ValueError(f"a perceptual hash has 16 hexadecimal digits, not {text!r}")
    return int(text, 16)
