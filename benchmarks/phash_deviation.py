"""Count the bits of our perceptual hash that differ from imagehash's, and measure the structure of real images.

Ours is computed from the normalised image (longest side 512, a JPEG may be decoded at reduced size), imagehash's from
the image of full size. Each image is measured by `measure_image`, as in a build. For imagehash it is decoded in full,
made upright and put over white by the same rules.

    python benchmarks/phash_deviation.py [FOLDER ...] [--drawn 400]

FOLDER: all images below it are used. --drawn: number of images of the built-in shop, rendered at 700 pixels.
"""

from __future__ import annotations

import argparse
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image, ImageOps

from mmecinstruct.images.color_modes import resizable, rgb_over_white
from mmecinstruct.images.measure import measure_image
from mmecinstruct.images.perceptual_hash import PHASH_VERSION, parse_hash
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.images.signatures import signature_of
from mmecinstruct.synthetic.shop.image import render_image
from mmecinstruct.synthetic.shop.image_spec import ImageSpec
from mmecinstruct.synthetic.shop.vocabulary import COLOURS, FINE_CATEGORIES, PATTERNS

RENDERED_SIDE = 700


def images_below(folder: Path) -> Iterator[bytes]:
    """Yield the files below a folder that have the signature of an image."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and signature_of(content := path.read_bytes()):
            yield content


def rendered_images(count: int) -> Iterator[bytes]:
    """Yield images of the built-in shop: every category in turn, colours and patterns mixed."""
    for number in range(count):
        spec = ImageSpec(
            f"7{number}",
            FINE_CATEGORIES[number % len(FINE_CATEGORIES)].name,
            COLOURS[number // 3 % len(COLOURS)],
            PATTERNS[number // 5 % len(PATTERNS)],
            "regular",
            number % 4,
            number,
        )
        yield render_image(spec, RENDERED_SIDE)


def row_of(name: str, contents: Iterator[bytes]) -> str:
    """Return a line of the table: distances to imagehash's bits, and structure."""
    distances, structures = [], []
    for content in contents:
        measured = measure_image(content, ImageSettings())
        if measured.phash is None or measured.structure is None:
            continue
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
        reference = int(str(imagehash.phash(rgb_over_white(resizable(upright)))), 16)
        distances.append((parse_hash(measured.phash) ^ reference).bit_count())
        structures.append(measured.structure)
    count = len(distances)
    share = [np.mean(np.array(distances) == bits) for bits in (0, 2, 4)]
    more = np.mean(np.array(distances) > 4)
    low, middle = np.percentile(structures, [0, 50])
    cells = [f"{value:.1%}" for value in (*share, more)]
    cells += [str(max(distances)), f"{low:.1f}", f"{middle:.1f}"]
    return f"| {name} | {count} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--drawn", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{PHASH_VERSION} against imagehash {imagehash.__version__}\n")
    print("| images | n | 0 bits | 2 | 4 | more | most | least structure | median |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for folder in options.folders:
        print(row_of(folder.name, images_below(folder)))
    print(row_of("drawn", rendered_images(options.drawn)))


if __name__ == "__main__":
    main()
