"""Measure the second look at images: recall of edits that perceptual hashes miss, wrong pairs and cost.

    MMEC_REAL_DATA=FOLDER python benchmarks/second_look.py [--images 120] [--peers] [--results benchmarks/results]

The originals of three shops and the images of one edit are compared in one block, without titles: the hardest case. A
pair is wrong where its images come from different originals. With --peers the look is compared with perceptual hashes
of several views of each image and with imagehash's crop-resistant hash.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
from picture_duplicates import EDITS, Edit, cropped, encoded, measured, originals_of, with_logo
from PIL import Image, ImageOps

from mmecinstruct.duplicates.images import Images, image_pairs, near_images_between
from mmecinstruct.duplicates.second_look import Sketches, edited_images
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.images.measure import MeasuredImage, measure_image
from mmecinstruct.images.perceptual_hash import PHASH_VERSION
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.schemas.tables import IMAGES


def cropped_at(left: float, top: float, right: float, bottom: float) -> Edit:
    """Cut away shares of the width and height at single sides."""

    def edit(image: Image.Image) -> Image.Image:
        w, h = image.size
        return image.crop((round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom))))

    return edit


# Edits of the same kinds that are off the middle or combined.
MORE_EDITS: dict[str, tuple[Edit, int]] = {
    "crop 10 % at one corner": (cropped_at(0, 0, 0.1, 0.1), 90),
    "flip and crop 10 %": (lambda image: ImageOps.mirror(cropped(0.1)(image)), 90),
    "flip and logo": (lambda image: with_logo(ImageOps.mirror(image)), 90),
}

# The edits that a hash of the whole image does not find.
HARD = ("crop 10 %", "logo", "border 2 %", "border 5 %", "flip")


def second_look(images: dict[str, Image.Image]) -> dict[str, Any]:
    """Return recall and wrong pairs of the mirrored hash and of the second look for each edit, and the cost."""
    originals = {name: encoded(image, 92) for name, image in images.items()}
    looked: dict[str, Any] = {"edits": {}, "wrong": [], "seconds": 0.0, "images": 0}
    settings = DuplicateSettings()
    known: dict[tuple[str, str], MeasuredImage] = {}
    edits = {name: EDITS[name][:2] for name in HARD} | MORE_EDITS
    for edit, (change, quality) in edits.items():
        contents = {("original", name): content for name, content in originals.items()}
        contents |= {("edited", name): encoded(change(image), quality) for name, image in images.items()}
        rows, sketches = [], []
        for number, (key, content) in enumerate(contents.items()):
            one = known.get(key) or measure_image(content, ImageSettings())
            known |= {key: one} if key[0] == "original" else {}
            if one.phash is None or (one.structure or 0) < settings.min_structure:
                continue
            # Named by their number: equal bytes would have one id.
            row = {name: getattr(one, name, None) for name in IMAGES.names}
            rows.append(row | {"status": "ok", "image_id": f"{number:05}", "phash_version": PHASH_VERSION})
            rows[-1]["image_url"] = "/".join(key)
            sketches.append({"image_id": f"{number:05}", "sketch": one.sketch})
        names = [*contents]
        hashed = image_pairs(pa.Table.from_pylist(rows, schema=IMAGES), settings)[0].to_pylist()
        everything = np.arange(len(sketches))
        table = Sketches.of(pa.Table.from_pylist(sketches))
        began = time.process_time()
        edited = edited_images(table, [everything], everything, settings.max_colour_difference)
        looked["seconds"] += time.process_time() - began
        looked["images"] += len(sketches)
        found = {}
        for called, pairs in (
            ("hash", [row for row in hashed if row["kind"] != "mirrored"]),
            ("mirrored hash", [row for row in hashed if row["kind"] == "mirrored"]),
            ("second look", edited),
        ):
            both = [tuple(sorted(names[int(row[side])] for side in ("image_a", "image_b"))) for row in pairs]
            right = {a[1] for a, b in both if a[1] == b[1]}
            wrong = sorted({(a, b) for a, b in both if a[1] != b[1]})
            found[called] = {"recall": len(right) / len(images), "wrong": len(wrong)}
            if called == "second look":
                looked["wrong"] += [[edit, "/".join(a), "/".join(b)] for a, b in wrong]
        every = [
            tuple(names[int(row[side])][1] for side in ("image_a", "image_b")) for row in (*hashed, *edited)
        ]
        found["all"] = {"recall": len({a for a, b in every if a == b}) / len(images)}
        looked["edits"][edit] = found
    return looked


def views(image: Image.Image) -> list[Image.Image]:
    """Return the whole image, three crops of its middle, and its quarters."""
    middles = [cropped(share)(image) for share in (0.05, 0.1, 0.2)]
    quarters = [
        cropped_at(*sides)(image)
        for sides in ((0, 0, 0.5, 0.5), (0.5, 0, 0, 0.5), (0, 0.5, 0.5, 0), (0.5, 0.5, 0, 0))
    ]
    return [image, ImageOps.mirror(image), *middles, *quarters]


def near_by_views(one: Images, other: Images, count: int) -> set[tuple[int, int]]:
    """Return the images of which a whole or a middle is near one of the other, or three quarters are."""
    each = len(one.image_ids) // count
    found: set[tuple[int, int]] = set()
    quarters: dict[tuple[int, int], int] = {}
    for a, b, _, _ in near_images_between(one, other, DuplicateSettings()):
        (i, view), (j, other_view) = divmod(a, each), divmod(b, each)
        if view < 5 and other_view < 5:
            found.add((i, j))
        elif view == other_view:
            quarters[i, j] = quarters.get((i, j), 0) + 1
    return found | {pair for pair, number in quarters.items() if number >= 3}


def peers(images: dict[str, Image.Image]) -> dict[str, Any]:
    """Return recall and wrong pairs of hashes of views and of imagehash's crop-resistant hash."""
    count = len(images)
    found: dict[str, Any] = {"images": count, "views": {}, "crop_resistant_hash": {}}
    began = time.process_time()
    originals = {
        f"{number:04}/{view}": encoded(image, 92)
        for number, one in enumerate(images.values())
        for view, image in enumerate(views(one))
    }
    known = measured(originals)[0]
    hashes = [
        imagehash.crop_resistant_hash(one, min_segment_size=500, segmentation_image_size=300)
        for one in images.values()
    ]
    found["hash_seconds"] = 0.0
    for edit in HARD:
        change, quality, _ = EDITS[edit]
        changed = [Image.open(io.BytesIO(encoded(change(one), quality))) for one in images.values()]
        contents = {
            f"{number:04}/{view}": encoded(image, 92)
            for number, one in enumerate(changed)
            for view, image in enumerate(views(one))
        }
        pairs = near_by_views(known, measured(contents)[0], count)
        right = sum(i == j for i, j in pairs)
        found["views"][edit] = {"recall": right / count, "wrong": len(pairs) - right}
        began = time.process_time()
        others = [
            imagehash.crop_resistant_hash(one, min_segment_size=500, segmentation_image_size=300)
            for one in changed
        ]
        found["hash_seconds"] += time.process_time() - began
        # Every tenth image with all: all pairs take an hour.
        right = sum(one.matches(other) for one, other in zip(hashes, others, strict=True))
        wrong = sum(
            hashes[i].matches(others[j])
            for i, j in itertools.product(range(0, count, 10), range(count))
            if i != j
        )
        found["crop_resistant_hash"][edit] = {"recall": right / count, "wrong": wrong * 10}
    found["hash_seconds"] /= len(HARD) * count
    return found


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    looked = result["second_look"]
    yield "# Which edited images the second look finds"
    yield ""
    yield (
        f"`second_look.py`: {result['images']} real images of three shops. Originals and the images of one edit "
        "in one block, so each image is compared with all others. "
        "Share of originals whose edited image is found, and pairs of different originals that are found. "
        "The thresholds were chosen on these images."
    )
    yield ""
    yield "| edit | hash | mirrored hash | second look | any of them | wrong pairs of the second look | precision |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    count = result["images"]
    for edit, found in looked["edits"].items():
        recall, wrong = found["second look"]["recall"], found["second look"]["wrong"]
        precision = recall * count / max(recall * count + wrong, 1)
        yield (
            f"| {edit} | {found['hash']['recall']:.3f} | {found['mirrored hash']['recall']:.3f} | {recall:.3f} "
            f"| {found['all']['recall']:.3f} | {wrong} | {precision:.3f} |"
        )
    mirrored = max(found["mirrored hash"]["wrong"] for found in looked["edits"].values())
    yield ""
    yield (
        f"Cost: {looked['seconds'] / looked['images'] * 1000:.1f} ms of one core per image in a block of "
        f"{2 * count} images, and 3,072 bytes per image for its sketch. The mirrored hash costs 16 bytes; it finds "
        f"at most {mirrored} wrong pairs."
    )
    if "peers" not in result:
        return
    other = result["peers"]
    yield ""
    yield (
        f"Other ways, on {other['images']} of the images: our hash and colours of nine views of each image (whole, "
        "mirrored, three crops of the middle, quarters; the crop of 10 % is one of them), "
        "and `imagehash.crop_resistant_hash` (its defaults; "
        f"{1000 * other['hash_seconds']:.0f} ms per image; wrong pairs estimated from a tenth of the images)."
    )
    yield ""
    yield "| edit | views: recall | wrong pairs | crop_resistant_hash: recall | wrong pairs |"
    yield "|---|---:|---:|---:|---:|"
    for edit in HARD:
        one, two = other["views"][edit], other["crop_resistant_hash"][edit]
        yield f"| {edit} | {one['recall']:.3f} | {one['wrong']} | {two['recall']:.3f} | {two['wrong']} |"


def main() -> None:
    """Measure and write second_look.json and .md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("MMEC_REAL_DATA"))
    parser.add_argument("--images", type=int, help="of the shops, evenly chosen; else all")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--peers", action="store_true", help="compare with other ways, which takes minutes")
    args = parser.parse_args()
    if args.data is None or not args.data.is_dir():
        parser.error("no real data: give --data or set MMEC_REAL_DATA")
    images = originals_of(args.data, args.images)
    result = {"images": len(images), "second_look": second_look(images)}
    if args.peers:
        result["peers"] = peers(images)
    page = "\n".join(markdown(result)) + "\n"
    sys.stdout.write(page)
    if args.results:
        (args.results / "second_look.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (args.results / "second_look.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
