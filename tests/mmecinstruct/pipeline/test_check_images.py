"""`mmec images`: the image stages alone, over a folder or a table."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

from mmecinstruct.cli.app import app
from mmecinstruct.core.errors import DatasetError, SourceError
from mmecinstruct.core.output_folder import MARK
from mmecinstruct.duplicates import near_list
from mmecinstruct.images.settings import ImageSettings
from mmecinstruct.pipeline.check_images import check_images
from mmecinstruct.recipe import ImageCheckSettings
from mmecinstruct.schemas.tables import IMAGES, PIXELS, PUBLISHED_REJECTIONS
from mmecinstruct.web.images.settings import FetchSettings
from tests.servers import image_server


def photo(number: int, side: int = 80, kind: str = "JPEG") -> bytes:
    values = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).resize((side, side)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(photo(number))
    (folder / "deeper" / "png that is a.jpg").write_bytes(photo(5, kind="PNG"))
    (folder / "small.png").write_bytes(photo(6, side=10, kind="PNG"))
    (folder / "cut.jpg").write_bytes(photo(7)[:-200])
    (folder / "page.jpg").write_text("<html>not found")
    (folder / ".hidden.jpg").write_bytes(photo(8))
    (folder / "outside.jpg").symlink_to("/etc/hostname")
    return folder


def check(source: Path, tmp_path: Path, **options: Any) -> tuple[Any, list[dict[str, Any]], dict[str, str]]:
    out = tmp_path / "out"
    report = check_images(source, out, workspace=tmp_path / "ws", **options)
    images = pq.read_table(out / "images.parquet", schema=IMAGES).to_pylist()
    rejections = pq.read_table(out / "rejections.parquet", schema=PUBLISHED_REJECTIONS).to_pylist()
    assert report.images == len(images)
    assert report.kept == sum(row["status"] == "ok" for row in images)
    assert sum(report.reasons.values()) == len(rejections)
    return report, images, {row["image_url"] or row["origin"]: row["reason"] for row in rejections}


def pixels(tmp_path: Path) -> list[str]:
    tables = [pq.read_table(path, schema=PIXELS) for path in sorted((tmp_path / "out" / "pixels").iterdir())]
    return pa.concat_tables(tables)["image_id"].to_pylist()


def test_every_file_of_a_folder_is_kept_or_has_its_reason(folder: Path, tmp_path: Path) -> None:
    report, images, reasons = check(folder, tmp_path)
    assert reasons == {
        "cut.jpg": "truncated_or_corrupt",
        "outside.jpg": "outside_folders",
        "page.jpg": "not_an_image",
        "small.png": "too_small",
    }
    assert (report.images, report.kept) == (9, 5)
    formats = {row["image_url"]: row["format"] for row in images}
    assert formats["deeper/png that is a.jpg"] == "PNG"
    assert sorted(pixels(tmp_path)) == sorted(row["image_id"] for row in images if row["status"] == "ok")


def test_written_files_are_not_read_as_a_source(folder: Path, tmp_path: Path) -> None:
    for settings in (
        ImageCheckSettings(images=ImageSettings()),
        ImageCheckSettings(images=ImageSettings(min_side=5)),
    ):
        report = check_images(folder, folder / "out", settings, workspace=folder / "ws", sheet=True)
        assert report.images == 9
    assert report.kept == 6
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *(MARK, "contact_sheet.jpg", "images.parquet", "pixels", "rejections.parquet")
    ]


def write_table(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"table.{kind}"
    if kind == "csv":
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_names_images_and_whose_they_are(kind: str, folder: Path, tmp_path: Path) -> None:
    rows = [{"sku": f"p{number}", "photo": f"{number % 4}.jpg|3.jpg|gone.jpg"} for number in range(8)]
    table = write_table(folder, kind, [*rows, {"sku": "p9", "photo": ""}])
    _, images, reasons = check(table, tmp_path, column="photo", product_column="sku")
    assert [row["image_url"] for row in images] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "gone.jpg"]
    missing = "table.csv:10" if kind == "csv" else f"table.{kind}:9"
    assert reasons == {"3.jpg": "placeholder", "gone.jpg": "dead_path", missing: "missing_url"}
    _, _, reasons = check(table, tmp_path, column="photo")
    assert "3.jpg" not in reasons


def test_a_list_of_images_is_a_list(folder: Path, tmp_path: Path) -> None:
    table = write_table(folder, "jsonl", [{"image_url": ["0.jpg", "1.jpg"]}, {"image_url": None}])
    _, images, reasons = check(table, tmp_path)
    assert [row["image_url"] for row in images] == ["0.jpg", "1.jpg"]
    assert reasons == {"table.jsonl:2": "missing_url"}


def test_a_rejection_names_its_row_in_whatever_form_the_image_is_named(folder: Path, tmp_path: Path) -> None:
    lost = ["lost.jpg", f"{folder}/gone.jpg", f"file://{folder}/away.jpg", "./not.jpg", "/elsewhere/jane.jpg"]
    table = write_table(folder, "csv", [{"image_url": path} for path in ["0.jpg", *lost]])
    check(table, tmp_path)
    rejections = pq.read_table(tmp_path / "out" / "rejections.parquet").to_pylist()
    assert {row["image_url"]: row["origin"] for row in rejections} == {
        "lost.jpg": "table.csv:3",
        "gone.jpg": "table.csv:4",
        "away.jpg": "table.csv:5",
        "not.jpg": "table.csv:6",
        "…/jane.jpg": "table.csv:7",
    }


def test_a_row_that_cannot_be_read_is_rejected(folder: Path, tmp_path: Path) -> None:
    table = folder / "table.csv"
    table.write_text("image_url,sku\n0.jpg,a\n1.jpg\n")
    assert check(table, tmp_path)[2] == {"table.csv:3": "bad_row"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_that_is_not_there_is_an_error(kind: str, folder: Path, tmp_path: Path) -> None:
    table = write_table(folder, kind, [{"photo": "0.jpg"}])
    with pytest.raises(SourceError, match=r"'image_url'.*column"):
        check(table, tmp_path)


def test_web_addresses_are_fetched_where_the_settings_say_so(
    folder: Path, tmp_path: Path, images: Any
) -> None:
    images.routes["/a.jpg"] = image_server.Answer(body=photo(1))
    urls = [images.url(path) for path in ("/a.jpg", "/gone.jpg")]
    table = write_table(folder, "csv", [{"image_url": url} for url in [*urls, "0.jpg"]])
    _, _, reasons = check(table, tmp_path)
    assert reasons == dict.fromkeys(urls, "no_local_copy")
    assert not images.log
    fetch = FetchSettings(enabled=True, contact="https://shop.example/", private_networks=("127.0.0.0/8",))
    _, images, reasons = check(table, tmp_path, settings=ImageCheckSettings(fetch=fetch))
    assert reasons == {urls[1]: "http_404"}
    assert [row["image_url"] for row in images if row["status"] == "ok"] == ["0.jpg", urls[0]]


def test_nothing_is_decoded_twice(folder: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    check_images(folder, tmp_path / "a", workspace=tmp_path / "wa", report=lambda *step: steps.append(step))
    assert {stage for stage, _, _ in steps} == {"images", "filter"}
    steps.clear()
    stricter = ImageCheckSettings(images=ImageSettings(min_deviation=30))
    check_images(
        folder, tmp_path / "a", stricter, workspace=tmp_path / "wa", report=lambda *step: steps.append(step)
    )
    assert {stage for stage, _, _ in steps} == {"filter"}
    check_images(folder, tmp_path / "b", stricter, workspace=tmp_path / "wb", workers=2)
    for name in ("images.parquet", "rejections.parquet", "pixels/00000.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_folder_that_holds_something_else_is_not_written_into(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"also holds \.hidden\.jpg"):
        check_images(folder, folder, workspace=tmp_path / "ws")
    with pytest.raises(SourceError, match="no such folder or table"):
        check_images(tmp_path / "none", tmp_path / "out", workspace=tmp_path / "ws")


def test_the_command_counts_by_reason(folder: Path, tmp_path: Path) -> None:
    command = ["images", str(folder), "--out", str(tmp_path / "out"), "--workspace", str(tmp_path / "ws")]
    result = CliRunner().invoke(
        app, [*command, "--set", "images.min_side=90", "--contact-sheet", "--workers", "1"]
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out")
    heading = f"Rejected, each with its reason in {tmp_path / 'out' / 'rejections.parquet'}:"
    assert f"9 images, 0 kept\n{heading}\n  too_small: 6\n" in result.stderr
    assert Image.open(tmp_path / "out" / "contact_sheet.jpg").width > 1000
    wrong = CliRunner().invoke(app, [*command, "--set", "images.min_sides=90"])
    assert wrong.exit_code == 1
    assert "images.min_sides" in str(wrong.exception)


@pytest.mark.skipif("MMEC_REAL_DATA" not in os.environ, reason="MMEC_REAL_DATA names no folder of real data")
def test_real_images_have_the_reasons_of_their_readme(tmp_path: Path) -> None:
    _, images, reasons = check(Path(os.environ["MMEC_REAL_DATA"]) / "imagededup_tests", tmp_path)
    assert reasons == {
        "LICENSE": "not_an_image",
        "README.md": "not_an_image",
        "formats_images/giphy.gif": "animated",
        "mixed_images/ukbench09268_corrupt.jpg": "not_an_image",
        "mixed_nested_images/ukbench09268_corrupt.jpg": "not_an_image",
    }
    formats = {row["image_url"].rpartition("/")[2]: row["format"] for row in images}
    assert formats["ukbench09380.png"] == "JPEG"


def test_names_that_are_no_text_are_rejected(folder: Path, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(photo(1))
    (folder / "link.jpg").symlink_to(os.fsdecode(b"\xff.jpg"))
    _, _, reasons = check(folder, tmp_path)
    assert reasons["\\udcff.jpg"] == reasons["link.jpg"] == "bad_path"


def test_a_folder_without_files_or_that_cannot_be_read_is_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"empty: there is no file in it"):
        check(tmp_path / "empty", tmp_path)
    scan = os.scandir

    def scandir(path: Any) -> Any:  # root, who runs some tests, may read everything
        if Path(path) == folder / "deeper":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SourceError, match=r"deeper: cannot be read: Permission denied"):
        check(folder, tmp_path)


def test_near_images_are_listed_with_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    coarse = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    original = Image.fromarray(coarse).resize((300, 300), Image.Resampling.BICUBIC)
    other = Image.fromarray(coarse[::-1].copy()).resize((300, 300), Image.Resampling.BICUBIC)
    contents = {
        "a.png": original,
        "b smaller.jpg": original.resize((200, 200)),
        "c mirrored.jpg": ImageOps.mirror(original),
        "d crop.jpg": original.crop((20, 20, 280, 280)),
        "e other.jpg": other,
    }
    for name, image in contents.items():
        image.save(folder / name)
    (folder / "f copy.png").write_bytes((folder / "a.png").read_bytes())
    report, _, _ = check(folder, tmp_path, near=True)
    with (tmp_path / "out" / "near.csv").open(newline="", encoding="utf-8") as stream:
        rows = {(row["image_a"], row["image_b"]): row for row in csv.DictReader(stream)}
    assert {pair: row["kind"] for pair, row in rows.items()} == {
        ("a.png", "b smaller.jpg"): "near",
        ("a.png", "c mirrored.jpg"): "mirrored",
        ("a.png", "d crop.jpg"): "part",
        ("a.png", "f copy.png"): "identical_bytes",
        ("b smaller.jpg", "c mirrored.jpg"): "mirrored",
        ("b smaller.jpg", "d crop.jpg"): "part",
        ("c mirrored.jpg", "d crop.jpg"): "mirrored_part",
    }
    assert int(rows["a.png", "b smaller.jpg"]["distance"]) <= 6
    assert float(rows["a.png", "d crop.jpg"]["differing"]) <= 0.06
    assert list(report.near.items()) == [
        *(("mirrored", 2), ("part", 2), ("identical_bytes", 1), ("mirrored_part", 1), ("near", 1))
    ]
    assert report.edits_searched
    monkeypatch.setattr(near_list, "MOST_IMAGES", 4)
    few, _, _ = check(folder, tmp_path, near=True)
    assert not few.edits_searched
    assert few.near == {"mirrored": 2, "identical_bytes": 1, "near": 1}
    check(folder, tmp_path)
    assert not (tmp_path / "out" / "near.csv").exists()
