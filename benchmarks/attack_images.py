"""Hostile images, paths and names: `mmec images` and `mmec build` read what is an image in the folder, no more."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from attack_runs import Attack, Bench, Fault, Finding, last_line, wrong
from attack_shop import encoded, picture, products, recipe, tables, write_csv, write_recipe
from attack_tables import found
from PIL import Image, PngImagePlugin

GROUP = "hostile images and names"
CHECKED = (
    "each image has an outcome, the sound ones are kept, memory below 2 GB, nothing outside the folder was read "
    "(planted images, metadata and scripts are in no output), no planted escape sequence reaches a pseudo-terminal"
)
SECRET = "PLANTED-SECRET-5319"
ESCAPE = "\x1b]0;PWNED\x07\x1b[2J\x9b31m"
SCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(PWNED) (w) file closefile\nshowpage\n"
# The colour of the images that lie outside, and of which no pixel may be published.
OUTSIDE = (201, 17, 133)


def png(width: int, height: int, lines: int, extra: bytes = b"") -> bytes:
    """Return a PNG that claims a size and has so many black lines, some kilobytes in all."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(9)
    line = b"\0" * (min(width, 30_000) * 3 + 1)
    body = b"".join(packer.compress(line) for _ in range(lines)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def text_chunk(size: int) -> bytes:
    content = b"note\0\0" + zlib.compress(b"x" * size, 9)
    return (
        struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    )


def animated(frames: int, form: str) -> bytes:
    stream = io.BytesIO()
    images = [Image.new("P" if form == "GIF" else "RGB", (64, 64), number % 255) for number in range(frames)]
    images[0].save(stream, form, save_all=True, append_images=images[1:])
    return stream.getvalue()


def hostile_images(numbers: random.Random) -> dict[str, bytes]:
    """Return the bytes of hostile files by their names."""
    sound = picture(0, 500)
    forms = {form: encoded(sound, form) for form in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")}
    jpeg = forms["JPEG"]
    files: dict[str, bytes] = {
        "bomb.png": png(30_000, 30_000, 3_000),
        "bomb-just-below.png": png(7_000, 7_000, 7_000),
        "bomb-claims-more.png": png(2**31 - 1, 2**31 - 1, 1),
        "bomb.gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + forms["GIF"][10:],
        "bomb.webp": forms["WEBP"][:26] + b"\xff\x3f\xff\x3f" + forms["WEBP"][30:],
        "bomb.bmp": forms["BMP"][:18] + struct.pack("<ii", 40_000, 40_000) + forms["BMP"][26:],
        "bomb.jpg": re.sub(
            rb"(\xff\xc0..)(.)....",
            lambda m: m[1] + m[2] + b"\xff\xff\xff\xff",
            jpeg,
            count=1,
            flags=re.DOTALL,
        ),
        "text-of-200-mb.png": png(64, 64, 64, text_chunk(200_000_000)),
        "frames.gif": animated(2_000, "GIF"),
        "frames.webp": animated(60, "WEBP"),
        "thin.png": encoded(Image.new("RGB", (60_000, 1), "red")),
        "empty.jpg": b"",
        "page.jpg": b"<!doctype html><script>alert(1)</script>",
        "drawing.svg": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>',
        "drawing-named.png": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "script.eps": SCRIPT,
        "script-named.jpg": SCRIPT,
        "paper.pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n",
        "polyglot-html.jpg": jpeg[:2]
        + b"\xff\xfe\x00\x2a<script>alert('"
        + SECRET.encode()
        + b"')</script>"
        + jpeg[2:],
        "polyglot-zip.png": forms["PNG"] + b"PK\x03\x04" + SECRET.encode() * 10,
        "polyglot-script.gif": forms["GIF"][:-1] + b"!\xfe\x10*/=1;alert(1)//__\0;",
        "noise.jpg": numbers.randbytes(20_000),
        "header-only.jpg": jpeg[:20],
        "icon.ico": b"\0\0\1\0\1\0\0\0\0\0\1\0\x20\0\xff\xff\xff\x7f\x16\0\0\0",
    }
    with_text = PngImagePlugin.PngInfo()
    with_text.add_text("Comment", SECRET)
    stream = io.BytesIO()
    sound.save(stream, "PNG", pnginfo=with_text)
    files["sound-comment.png"] = stream.getvalue()
    exif = Image.Exif()
    exif[0x010E] = SECRET
    stream = io.BytesIO()
    picture(0, 501).save(stream, "JPEG", exif=exif)
    files["sound-exif.jpg"] = stream.getvalue()
    for form in ("PNG", "JPEG", "GIF", "WEBP", "TIFF"):
        content = forms[form]
        for number in range(3):
            cut = numbers.randrange(8, len(content) - 8)
            files[f"cut-{number}.{form.lower()}"] = content[:cut]
            changed = bytearray(content)
            for _ in range(6):
                changed[numbers.randrange(12, len(content))] ^= 1 << numbers.randrange(8)
            files[f"flipped-{number}.{form.lower()}"] = bytes(changed)
    for number in range(5):
        files[f"sound-{number}.png"] = encoded(picture(0, number))
    return files


def images_once(bench: Bench) -> dict[str, bytes]:
    return bench.once("hostile images", lambda: hostile_images(bench.moments("images")))


def contents(folder: Path) -> bytes:
    """Return the bytes of all files below a folder, Parquet columns decoded, one after the other."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        parts.append(path.read_bytes())
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            parts += [
                column.cast(pa.binary()).to_pylist().__repr__().encode()
                for column in table.columns
                if pa.types.is_string(column.type)
            ]
            parts += pixels_of(table)
    return b"\n".join(parts)


def pixels_of(table: pa.Table) -> list[bytes]:
    """Return the encoded images that a table holds."""
    found_images: list[bytes] = []

    def search(value: object) -> None:
        if isinstance(value, bytes):
            found_images.append(value)
        elif isinstance(value, dict):
            for one in value.values():
                search(one)
        elif isinstance(value, list):
            for one in value:
                search(one)

    for name in table.column_names:
        if not pa.types.is_string(table[name].type):
            search(table[name].to_pylist())
    return found_images


def image_attack(family: str) -> Callable[[Bench, Path], Sequence[Finding]]:
    """Return an attack by the files whose names begin in a certain way, beside sound ones."""

    def attack(bench: Bench, folder: Path) -> Sequence[Finding]:
        files = images_once(bench)
        chosen = {name: content for name, content in files.items() if name.startswith((family, "sound"))}
        (folder / "in").mkdir()
        for name, content in chosen.items():
            (folder / "in" / name).write_bytes(content)
        command = ["mmec", "images", "in", "--out", "out", "--workspace", "workspace", "--workers", "1"]
        ran = bench.run(command, folder)
        if ran.code:
            raise wrong(f"one image stopped the command: {last_line(ran.said)}")
        if list(folder.rglob("PWNED")) or SECRET.encode() in contents(folder / "out"):
            raise wrong("a planted script was run, or planted metadata is in the output")
        rows = {
            Path(row["image_url"]).name: row
            for row in pq.read_table(folder / "out" / "images.parquet").to_pylist()
        }
        rejected = {
            Path(row["origin"]).name
            for row in pq.read_table(folder / "out" / "rejections.parquet").to_pylist()
        }
        if any(
            rows.get(f"sound-{number}.png", {}).get("status") not in ("kept", "ok") for number in range(5)
        ):
            raise wrong("a sound image beside the hostile ones was not kept")
        # Files of another kind than images are not looked at: their names have no image's ending.
        ignored = {".svg", ".eps", ".pdf", ".ico", ".tiff", ".bmp"}
        return [
            Finding(
                name,
                None
                if name in rows or name in rejected or Path(name).suffix in ignored
                else wrong("neither kept nor rejected"),
            )
            for name in chosen
            if name.startswith(family)
        ]

    return attack


# Paths.


def paths_attack(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Image paths that lead out of the folder, or to what is no file."""
    outside, data = folder / "outside", folder / "data"
    (data / "images").mkdir(parents=True)
    outside.mkdir()
    secret = Image.new("RGB", (96, 96), OUTSIDE)
    secret.paste(picture(0, 900).crop((0, 0, 96, 20)), (0, 76))
    secret.save(outside / "secret.png")
    os.symlink(outside / "secret.png", data / "images" / "link.png")
    os.symlink(outside, data / "images" / "folder")
    os.symlink("loop.png", data / "images" / "loop.png")
    os.mkfifo(data / "images" / "pipe.png")
    os.symlink("/dev/zero", data / "images" / "zero.png")
    (data / "images" / "a-folder.png").mkdir()
    with (data / "images" / "sparse.png").open("wb") as stream:
        stream.truncate(8 << 30)
    hostile = {
        "up": "../outside/secret.png",
        "up within": "images/../../outside/secret.png",
        "absolute": str(outside / "secret.png"),
        "file URL": f"file://{outside / 'secret.png'}",
        "encoded": "images/%2e%2e/%2e%2e/outside/secret.png",
        "backslashes": "..\\outside\\secret.png",
        "symbolic link": "images/link.png",
        "linked folder": "images/folder/secret.png",
        "link loop": "images/loop.png",
        "named pipe": "images/pipe.png",
        "device": "images/zero.png",
        "a folder": "images/a-folder.png",
        "8 GB of nothing": "images/sparse.png",
        "NUL in the path": "images/P001\0.png",
        "5,000 characters": "images/" + "x" * 5_000 + ".png",
        "data URL": "data:image/png;base64,iVBORw0KGgo=",
    }
    goods = products(bench.seed, 40)
    for number, row in enumerate(goods):
        (data / row["images"]).write_bytes(encoded(picture(bench.seed, number)))
        if number >= len(hostile):
            secret.save(data / row["images"])
    for row, path in zip(goods, hostile.values(), strict=False):
        row["images"] = path
    write_csv(data / "products.csv", goods)
    content = recipe(only=())
    content["tasks"] = {"category_classification": {"require_images": "any"}}
    content["images"] = {"max_products_per_image": 1_000}
    write_recipe(folder / "recipe.yaml", content)
    command = [
        "mmec",
        "build",
        "--recipe",
        "recipe.yaml",
        "--data",
        "data",
        "--out",
        "out",
        "--workspace",
        "workspace",
    ]
    ran = bench.run(command, folder, limit=60)
    if ran.code:
        raise wrong(f"one path stopped the build: {last_line(ran.said)}")
    shown = {path: [] for path in hostile}
    by_id = dict(zip((f"shop:{row['id']}" for row in goods), hostile, strict=False))
    # Of the same colour, and allowed: that it is found shows that the others would be.
    by_id |= {f"shop:{row['id']}": "allowed" for row in goods[len(hostile) :]}
    shown["allowed"] = []
    for file in sorted((folder / "out").rglob("*.parquet")):
        table = pq.read_table(file)
        if "images" not in table.column_names:
            continue
        for row in table.select(["image_product_ids", "images"]).to_pylist():
            for product, image in zip(row["image_product_ids"] or [], row["images"] or [], strict=False):
                if product in by_id and image and image.get("bytes"):
                    shown[by_id[product]].append(image["bytes"])
    if not any(map(is_outside, shown.pop("allowed"))):
        raise wrong("not even the allowed image is published")
    return [
        Finding(
            name,
            wrong("an image from outside the folder is published") if any(map(is_outside, images)) else None,
        )
        for name, images in shown.items()
    ]


def is_outside(content: bytes) -> bool:
    """Return whether an encoded image shows the colour of those outside."""
    pixel = Image.open(io.BytesIO(content)).convert("RGB").resize((8, 8)).getpixel((2, 2))
    return isinstance(pixel, tuple) and all(abs(a - b) < 24 for a, b in zip(pixel, OUTSIDE, strict=True))


# Terminals.


def terminal_attack(bench: Bench, folder: Path) -> Sequence[Finding]:
    """Escape sequences in ids, texts and names, before a pseudo-terminal."""
    rows = tables(bench.seed)
    for row in rows["products"]:
        row["title"] = f"{row['title']} {ESCAPE}"
        row["category"] = row["category"].replace(" > ", f" > {ESCAPE}")
    renamed = {row["id"]: f"{row['id']}{ESCAPE}" for row in rows["products"][:20]}
    for table in rows.values():
        for row in table:
            for column in ("id", "product", "linked_product"):
                if row.get(column) in renamed:
                    row[column] = renamed[row[column]]
    for name, content in rows.items():
        write_csv(folder / f"{name}.csv", content)
    content = recipe()
    content["images"] = {"publish": "reference", "read": False}
    content["tasks"] = {
        "category_classification": {"require_images": "none"},
        "sentiment_analysis": {"require_images": "none"},
    }
    del content["sources"][0]["products"]["images"]
    write_recipe(folder / "recipe.yaml", content)
    name = f"photos{ESCAPE.replace('/', '')}"
    (folder / name).mkdir()
    for number in range(6):
        (folder / name / f"{number}{ESCAPE}.png").write_bytes(
            encoded(picture(0, number)) if number else b"broken"
        )
    (folder / f"shop{ESCAPE}.csv").write_bytes(b"\xff\xfe\x00\x01")
    broken = recipe(only=())
    broken["sources"][0]["products"]["path"] = "shop*.csv"
    write_recipe(folder / "broken.yaml", broken)
    build = ["mmec", "build", "--data", ".", "--workspace", "workspace"]
    commands = {
        "ids, titles and categories in a build": [
            *build,
            "--recipe",
            "recipe.yaml",
            "--out",
            "out",
            "--tasks",
            "cc,sa",
        ],
        "the audit of that build": ["mmec", "audit", "out"],
        "the validation of that build": ["mmec", "validate", "out"],
        "a broken file's name in a build": [*build, "--recipe", "broken.yaml", "--out", "out2"],
        "file names in an image check": [
            "mmec",
            "images",
            name,
            "--out",
            "checked",
            "--workspace",
            "workspace",
        ],
        "a recipe's name": [*build, "--recipe", f"no{ESCAPE}.yaml", "--out", "out3"],
        "an --out": [*build, "--recipe", "recipe.yaml", "--out", f"recipe.yaml/{ESCAPE}"],
        "a takedown": ["mmec", "takedown", "add", "product", f"shop:{ESCAPE}", "--workspace", "workspace"],
        "the list of takedowns": ["mmec", "takedown", "list", "--workspace", "workspace"],
        "a foreign dataset": ["mmec", "validate", "foreign"],
    }
    foreign = folder / "foreign" / f"task{ESCAPE}"
    foreign.mkdir(parents=True)
    pq.write_table(pa.table({"id": [ESCAPE], "task": [ESCAPE]}), foreign / f"train-{ESCAPE}.parquet")
    return [
        found(what, lambda command=command: before_terminal(bench, folder, command))
        for what, command in commands.items()
    ]


def before_terminal(bench: Bench, folder: Path, command: list[str]) -> None:
    """Raise a fault where a command writes a planted sequence to its terminal."""
    try:
        with bench.start(command, folder, terminal=True) as running:
            said = running.ended(orderly=False).said
    except ValueError as error:
        raise Fault("wrong", f"cannot be started: {error}") from error
    if "Traceback (most recent" in said:
        raise wrong(f"traceback: {last_line(said)}")
    raw = said.encode("utf-8", "surrogateescape")
    for part in (b"\x1b]0;PWNED", b"\x1b[2J", b"\xc2\x9b31m", b"\x07"):
        if part in raw:
            raise wrong(f"{part!r} from the data reached the terminal")


def attacks(bench: Bench) -> list[Attack]:
    """Return the attacks of this group."""
    families = sorted({re.split(r"[-.]", name)[0] for name in images_once(bench)})
    return [
        *(
            Attack(GROUP, f"images: {family}", image_attack(family), quick=family == "cut")
            for family in families
            if family != "sound"
        ),
        Attack(GROUP, "images: sound", image_attack("sound")),
        Attack(GROUP, "paths", paths_attack, quick=True),
        Attack(GROUP, "terminals", terminal_attack, quick=True),
    ]
