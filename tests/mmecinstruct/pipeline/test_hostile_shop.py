"""A hostile shop: what it plants in addresses, texts and answers reaches neither the dataset nor the terminal."""

from __future__ import annotations

import csv
import io
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from mmecinstruct.images.contact_sheet import SheetImage, contact_sheet
from tests.servers.image_server import Answer, redirect

SECRET = "PLANTED"  # in passwords, signatures, tokens, headers
ESCAPE = "\x1b]0;PWNED\x07\x1b[31m\x9b31m\u202e"
TOKEN = f"hf_{SECRET}0123456789"
SHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TAG = re.compile(r"<(?:script|img)", re.IGNORECASE)

TASKS = (
    *("category_classification", "sentiment_analysis"),
    *("product_substitute_identification", "multiclass_product_classification"),
)

Row = dict[str, object]


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).resize((200, 200)).save(content, "JPEG")
    return content.getvalue()


def write(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def shop(tmp_path: Path, images: Any) -> Path:
    """Write the tables of the shop, whose images the local server gives, redirects or refuses."""
    folder = tmp_path / "shop"
    folder.mkdir()
    host = f"127.0.0.1:{images.port}"
    urls = []
    for number in range(36):
        images.routes[f"/ok/{number}.jpg"] = Answer(body=photo(number))
        images.routes[f"/ok/{number}.jpg?token={SECRET}&w=1"] = Answer(body=photo(number))
        images.routes[f"/to-password/{number}.jpg"] = redirect(f"http://user:{SECRET}@{host}/ok/1.jpg", 302)
        images.routes[f"/to-signed/{number}.jpg"] = redirect(f"/gone?X-Amz-Signature={SECRET}", 302)
        images.routes[f"/circle/{number}.jpg"] = redirect(f"/circle/{number}.jpg?sig={SECRET}", 302)
        images.routes[f"/circle/{number}.jpg?sig={SECRET}"] = redirect(
            f"/circle/{number}.jpg?sig={SECRET}", 302
        )
        images.routes[f"/page/{number}.jpg"] = Answer(
            200, b"<html>", (("Content-Type", f"text/html; token={SECRET}; \x1b[31m"),)
        )
        urls.append(
            [
                f"http://{host}/ok/{number}.jpg?token={SECRET}&w=1",
                f"http://{host}/to-password/{number}.jpg",
                f"http://{host}/to-signed/{number}.jpg",
                f"http://{host}/circle/{number}.jpg",
                f"http://{host}/page/{number}.jpg",
                f"http://user:{SECRET}@{host}/ok/{number}.jpg",
                f"http://user:{SECRET}@[::1/x.jpg",
                f"ftp://user:{SECRET}@{host}/x.jpg",
                f"http://{host}/ok/{number}.jpg",
            ][number % 9]
        )
    images.routes["/gone?X-Amz-Signature=" + SECRET] = Answer(403)
    kinds = ("Mug", "Lamp", "Rug", "Kite")
    bad = (
        "＜img src=x onerror=alert(1)＞",
        "<s\u200bcript>alert(1)</s\u200bcript>",
        f"&lt;script&gt;{ESCAPE}",
    )
    products: list[Row] = [
        {
            "id": f"P{n:03d}",
            "title": f"Fernhollow {kinds[n % 4]} {n * 37} {ESCAPE}" if n % 7 else f"{bad[n % 3]} Mug {n}",
            "category": f"Home > {kinds[n % 4]}s {bad[n % 3]}",
            "images": urls[n],
        }
        for n in range(36)
    ]
    write(folder / "products.csv", products)
    reviews: list[Row] = [
        {
            "id": f"R{n}",
            "product": f"P{n % 36:03d}",
            "rating": (1, 5, 3, 9)[n % 4],
            "title": f"{bad[n % 3]}",
            "text": f"It came in the colour {n} and works well {bad[n % 3]} for number {n}, {ESCAPE} so I am happy.",
        }
        for n in range(72)
    ]
    write(folder / "reviews.csv", reviews)
    judgements: list[Row] = [
        {"query": f"{kinds[n % 4]} {bad[n % 3]} {n // 4}", "product": f"P{n:03d}", "label": "ESCI"[n % 4]}
        for n in range(36)
    ]
    write(folder / "judgements.csv", judgements)
    recipe = {
        "name": "hostile",
        "seed": 1,
        "sources": [
            {
                "kind": "catalog",
                "products": {"path": "products.csv", **{c: c for c in ("id", "title", "category", "images")}},
                "reviews": {
                    "path": "reviews.csv",
                    **{c: c for c in ("id", "product", "rating", "title", "text")},
                },
                "judgements": {"path": "judgements.csv", **{c: c for c in ("query", "product", "label")}},
            }
        ],
        "tasks": {task: {"require_images": "none"} for task in TASKS},
        "split": {"train": 0.7, "validation": 0.1, "test": 0.2},
        "sizes": {"train": 200, "validation": 30, "test": 60, "test_ood": 0},
        "fetch": {
            "enabled": True,
            "contact": "https://example.com/crawler",
            "private_networks": ["127.0.0.0/8"],
            "retries": 0,
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


def run(*arguments: object, **environment: str) -> str:
    """Run a command at a terminal; return what the terminal gets."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mmecinstruct", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **environment},
        start_new_session=True,
    )
    os.close(theirs)
    received = b""
    try:
        while select.select([ours], [], [], 120)[0]:
            piece = os.read(ours, 65536)
            if not piece:
                break
            received += piece
    except OSError:  # the terminal is closed: the process has ended
        pass
    finally:
        os.close(ours)
    process.wait(timeout=60)
    return received.decode("utf-8", "replace")


def texts_below(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            for column in table.column_names:
                yield f"{path}:{column}", "\n".join(map(_text, table[column].to_pylist()))
        elif path.suffix not in (".jpg", ".png") and path.is_file():
            yield str(path), path.read_text(encoding="utf-8", errors="replace")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(map(_text, value.values()))
    return "\n".join(map(_text, value)) if isinstance(value, list) else f"{value}"


def assert_clean(where: str, text: str) -> None:
    for pattern in (re.compile(SECRET), TAG):
        found = pattern.search(text)
        assert found is None, (where, text[max(0, found.start() - 100) : found.end() + 50])


@pytest.mark.slow
def test_nothing_that_is_planted_gets_out(shop: Path, tmp_path: Path) -> None:
    out, workspace = tmp_path / "out", tmp_path / "ws"
    planted = {"HF_TOKEN": TOKEN, "HF_ENDPOINT": f"http://user:{SECRET}@127.0.0.1:9"}
    common = ("--workspace", workspace, "--workers", 1)
    build = ("build", "--recipe", shop / "recipe.yaml", "--data", shop, "--out", out, *common)
    fetch = ("--set", "fetch.enabled=true", "--set", "fetch.contact=https://example.com/c")
    local = ("--set", "fetch.private_networks=[127.0.0.0/8]", "--set", "fetch.retries=0")
    seen = {
        "build": run(*build, **planted),
        "validate": run("validate", out, **planted),
        "audit --json": run("audit", out, "--json", "--workers", 1, **planted),
        "push": run("push-to-hub", out, "--repo", "user/shop", **planted),
        "images": run(
            *("images", shop / "products.csv", "--column", "images", "--contact-sheet"),
            *("--out", tmp_path / "checked", *fetch, *local, *common),
            **planted,
        ),
        "pull": run("pull", "--recipe", "paper", "--mirror", f"http://user:{SECRET}@h/", **planted),
        "wrong": run("validate", tmp_path / f"no{ESCAPE}folder", f"--no-such-{ESCAPE}", **planted),
        "gone": run("validate", tmp_path / f"no{ESCAPE}folder", **planted),
        "recipe": run("build", "--recipe", f"[red]{ESCAPE}\nerror: faked", **planted),
        "set": run(*build, "--set", f"sizes.{ESCAPE}=1", **planted),
    }
    assert str(out) in seen["build"]
    assert {path.parent.name for path in out.glob("*/*.parquet")} == {*TASKS, "rejections"}, seen["build"]
    for command, text in seen.items():
        assert_clean(command, text)
        # The bars of a terminal are the command's own.
        assert not SHOWN.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)), (command, text)
        assert "PWNED\x07" not in text
        assert not re.search(r"^error: faked", text, re.MULTILINE), text
    assert "[red]" in seen["recipe"]
    for where, text in texts_below(out):
        assert_clean(where, text)
        if not where.endswith(("product_ids", "image_product_ids")):
            assert not SHOWN.search(text.replace("\r", "")), (where, text[:500])
    for where, text in texts_below(tmp_path / "checked"):
        # The table of images has the addresses of the user's own table.
        if not where.endswith("images.parquet:image_url"):
            assert_clean(where, text)
    reasons = pq.read_table(out / "rejections" / "rejections.parquet")["reason"].to_pylist()
    for reason in ("credentials_in_url", "http_403", "redirect_loop", "wrong_type", "unknown_scheme"):
        assert reason in reasons
    for path in (workspace / "fetched" / "snapshots").glob("*.parquet"):
        assert_clean(str(path), _text(pq.read_table(path)["detail"].to_pylist()))


def test_a_contact_sheet_shows_no_secret(tmp_path: Path) -> None:
    sheets = []
    for url in (f"http://user:{SECRET}@h/x.jpg?sig={SECRET}", "http://h/x.jpg"):
        path = tmp_path / f"{len(sheets)}.png"
        contact_sheet({"kept": [SheetImage(url, f"redirected to {url}: refused", None)]}, path)
        sheets.append(path.read_bytes())
    assert sheets[0] == sheets[1]
