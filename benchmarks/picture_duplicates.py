"""Measure the recall of the near-image search: planted edits of real images, and imagededup's test images.

    MMEC_REAL_DATA=FOLDER python benchmarks/picture_duplicates.py [--images 120] [--results benchmarks/results]

Real images (luma_shop, dotnet_eshop, vendure_mock) are edited as shops and scrapers edit them and measured as in a
build. Recall of an edit is the share of images that are near their original. Near pairs of different originals are
counted and listed. Both are measured at the recipe's defaults and at other thresholds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from mmecinstruct.duplicates.images import CELLS, Images, near_images, near_images_between
from mmecinstruct.duplicates.settings import DuplicateSettings
from mmecinstruct.images.measure import measure_image
from mmecinstruct.images.settings import ImageSettings

SHOPS = ("luma_shop", "dotnet_eshop", "vendure_mock")
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
LONGEST_SIDE = 640  # of an original, before the edit

# An image of imagededup whose name does not give its scene; assigned by eye.
SCENES = {"alpha_channel_image": "ukbench00120"}

Edit = Callable[[Image.Image], Image.Image]


def cropped(share: float) -> Edit:
    """Cut away `share` of each side's length, half at either end."""

    def edit(image: Image.Image) -> Image.Image:
        x, y = round(image.width * share / 2), round(image.height * share / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    return edit


def resized(share: float) -> Edit:
    """Shrink both sides."""

    def edit(image: Image.Image) -> Image.Image:
        return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))

    return edit


def with_logo(image: Image.Image) -> Image.Image:
    """Put a dark blue box of 25 % by 12 % into the lower right corner."""
    image = image.copy()
    w, h = image.size
    ImageDraw.Draw(image).rectangle((w * 0.72, h * 0.85, w * 0.97, h * 0.97), fill=(20, 40, 160))
    return image


def with_border(share: float, colour: str = "white") -> Edit:
    """Put a border around, `share` of the width on every side."""
    return lambda image: ImageOps.expand(image, max(1, round(image.width * share)), colour)


def recoloured(degrees: int) -> Edit:
    """Turn all hues."""

    def edit(image: Image.Image) -> Image.Image:
        hue, saturation, value = image.convert("HSV").split()
        turned = hue.point(lambda one: (one + degrees * 256 // 360) % 256)
        return Image.merge("HSV", (turned, saturation, value)).convert("RGB")

    return edit


# name: (edit, JPEG quality, whether the result is a duplicate that one would want found)
EDITS: dict[str, tuple[Edit, int, bool]] = {
    "resize to 50 %": (resized(0.5), 90, True),
    "resize to 25 %": (resized(0.25), 90, True),
    "recompress, quality 50": (lambda image: image, 50, True),
    "recompress, quality 20": (lambda image: image, 20, True),
    "crop 2 %": (cropped(0.02), 90, True),
    "crop 5 %": (cropped(0.05), 90, True),
    "crop 10 %": (cropped(0.10), 90, True),
    "logo": (with_logo, 90, True),
    "border 2 %": (with_border(0.02), 90, True),
    "border 5 %": (with_border(0.05), 90, True),
    "flip": (ImageOps.mirror, 90, True),
    "brightness +10 %": (lambda image: ImageEnhance.Brightness(image).enhance(1.1), 90, True),
    "saturation -30 %": (lambda image: ImageEnhance.Color(image).enhance(0.7), 90, True),
    "grey": (lambda image: image.convert("L").convert("RGB"), 90, False),
    "hue +60 degrees": (recoloured(60), 90, False),
    "hue +180 degrees": (recoloured(180), 90, False),
}


def encoded(image: Image.Image, quality: int) -> bytes:
    """Return an image as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def original(path: Path) -> Image.Image | None:
    """Return an image as RGB over white, at most LONGEST_SIDE; None where it cannot be read."""
    try:
        with Image.open(path) as image:
            rgba = image.convert("RGBA")
    except (OSError, ValueError):
        return None
    rgba.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def measured(contents: dict[str, bytes]) -> tuple[Images, list[float]]:
    """Return the images that can be measured, and their structures."""
    names, hashes, thumbnails, structures = [], [], [], []
    for name, content in contents.items():
        one = measure_image(content, ImageSettings())
        if one.phash is not None and one.thumbnail is not None and one.structure is not None:
            names.append(name)
            hashes.append(int(one.phash, 16))
            thumbnails.append(np.frombuffer(one.thumbnail, np.uint8).reshape(CELLS, 3))
            structures.append(one.structure)
    return Images(names, np.array(hashes, np.uint64), np.stack(thumbnails)), structures


def settings_beside() -> dict[str, DuplicateSettings]:
    """Return the recipe's default and settings beside it, by what they are called in the table."""
    chosen = DuplicateSettings()
    radius, colour = chosen.image_radius, chosen.max_colour_difference
    found = {"chosen": chosen}
    for bits in (radius - 2, radius + 2, radius + 4):
        found[f"{bits} bits"] = DuplicateSettings(image_radius=bits)
    for levels in (colour - 8, colour + 8, colour + 20):
        found[f"colour {levels:g}"] = DuplicateSettings(max_colour_difference=levels)
    found["hash alone"] = DuplicateSettings(max_colour_difference=255)
    return found


def recall_of_edits(images: dict[str, Image.Image]) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Return (edit -> settings -> share of images near their original, near pairs among the originals)."""
    originals, structures = measured({name: encoded(image, 92) for name, image in images.items()})
    recalls: dict[str, dict[str, float]] = {}
    indices = {name: number for number, name in enumerate(originals.image_ids)}
    for edit, (change, quality, _) in EDITS.items():
        edited, _ = measured({name: encoded(change(image), quality) for name, image in images.items()})
        recalls[edit] = {}
        for called, settings in settings_beside().items():
            found = near_images_between(originals, edited, settings)
            right = {a for a, b, _, _ in found if indices[edited.image_ids[b]] == a}
            recalls[edit][called] = len(right) / len(originals)
    between = {
        called: [
            [row["image_a"], row["image_b"], row["distance"], round(row["colour_difference"], 1)]
            for row in near_images(originals, settings)
        ]
        for called, settings in settings_beside().items()
    }
    return recalls, {"images": len(originals), "least_structure": min(structures), "between": between}


def imagededup_pairs(folder: Path) -> dict[str, Any]:
    """Return, per pair of imagededup's images of one scene, bits and colour difference and whether it is found."""
    contents = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in ENDINGS
    }
    images, _ = measured(contents)
    widest = DuplicateSettings(image_radius=16, max_colour_difference=255)
    apart = {
        (row["image_a"], row["image_b"]): (row["distance"], round(row["colour_difference"], 1))
        for row in near_images(images, widest)
    }
    chosen = {(row["image_a"], row["image_b"]) for row in near_images(images, DuplicateSettings())}
    stems = {name: Path(name).stem for name in images.image_ids}
    scenes = {name: SCENES.get(stem, stem.split("_")[0]) for name, stem in stems.items()}
    same = [(a, b) for a in sorted(scenes) for b in sorted(scenes) if a < b and scenes[a] == scenes[b]]
    return {
        "images": len(images),
        "unreadable": sorted(set(contents) - set(images.image_ids)),
        "pairs": [[a, b, *(apart.get((a, b)) or (None, None)), (a, b) in chosen] for a, b in same],
        "wrong": sorted(map(list, chosen - set(same))),
    }


def kind_of_pair(a: str, b: str) -> str:
    """Return how two of imagededup's images of one scene differ, by their names."""
    edits = {word for word in ("hflip", "rotation", "resize", "gray") if (word in a) != (word in b)}
    return " and ".join(sorted(edits)) or "same image, or in another format"


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    chosen = DuplicateSettings()
    yield "# Which duplicates of images are found"
    yield ""
    yield (
        f"`picture_duplicates.py`: {result['originals']['images']} real images of three shops, each edited and "
        f"re-encoded as JPEG. Chosen: hashes within {chosen.image_radius} of 64 bits, no cell of the thumbnail "
        f"further apart than {chosen.max_colour_difference:g} of 255; beside it one of the two changed. Share of "
        "images near their original; the last three edits are other products rather than duplicates, and should "
        "be near to none."
    )
    yield ""
    names = list(settings_beside())
    yield "| edit | " + " | ".join(names) + " |"
    yield "|---|" + "---:|" * len(names)
    for edit, recalls in result["recall"].items():
        label = edit if EDITS[edit][2] else f"{edit} (not a duplicate)"
        yield f"| {label} | " + " | ".join(f"{recalls[name]:.3f}" for name in names) + " |"
    between = result["originals"]["between"]
    yield "| pairs of different originals | " + " | ".join(str(len(between[name])) for name in names) + " |"
    yield ""
    yield "Pairs of different originals at the chosen settings, to inspect:"
    yield ""
    for a, b, bits, colour in between["chosen"]:
        yield f"* {a}, {b}: {bits} bits, colour {colour}"
    if not between["chosen"]:
        yield "* none"
    found_pairs = result["imagededup"]
    yield ""
    yield "## imagededup's test images"
    yield ""
    yield f"{found_pairs['images']} readable images; unreadable: {', '.join(found_pairs['unreadable']) or 'none'}."
    yield ""
    yield "| how the two differ | pairs | found |"
    yield "|---|---:|---:|"
    kinds: dict[str, list[bool]] = {}
    for a, b, _, _, found in found_pairs["pairs"]:
        kinds.setdefault(kind_of_pair(a, b), []).append(found)
    for kind, found in sorted(kinds.items()):
        yield f"| {kind} | {len(found)} | {sum(found)} |"
    yield ""
    yield f"Pairs of different scenes that are found: {len(found_pairs['wrong'])}."
    yield ""
    for a, b in found_pairs["wrong"]:
        yield f"* {a}, {b}"


def originals_of(data: Path, wanted: int | None) -> dict[str, Image.Image]:
    """Return the images of the shops by path; `wanted`: about so many, evenly chosen."""
    paths = [
        path for shop in SHOPS for path in sorted((data / shop).rglob("*")) if path.suffix.lower() in ENDINGS
    ]
    if wanted:
        paths = paths[:: max(1, len(paths) // wanted)]
    return {str(path.relative_to(data)): image for path in paths if (image := original(path)) is not None}


def main() -> None:
    """Measure and write picture_duplicates.json and .md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("MMEC_REAL_DATA"))
    parser.add_argument("--images", type=int, help="of the shops, evenly chosen; else all")
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    if args.data is None or not args.data.is_dir():
        parser.error("no real data: give --data or set MMEC_REAL_DATA")
    images = originals_of(args.data, args.images)
    recall, originals = recall_of_edits(images)
    result = {
        "recall": recall,
        "originals": originals,
        "imagededup": imagededup_pairs(args.data / "imagededup_tests"),
    }
    page = "\n".join(markdown(result)) + "\n"
    sys.stdout.write(page)
    if args.results:
        (args.results / "picture_duplicates.json").write_text(
            json.dumps(result, indent=1) + "\n", encoding="utf-8"
        )
        (args.results / "picture_duplicates.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
