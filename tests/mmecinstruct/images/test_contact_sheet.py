"""The contact sheet shows every group and image, whatever their names and shapes are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmecinstruct.core.errors import DatasetError
from mmecinstruct.images.contact_sheet import COLUMNS, PER_GROUP, SheetImage, contact_sheet


def coloured(images, colour: str, size: tuple[int, int] = (300, 200)) -> bytes:
    return images.encoded(Image.new("RGB", size, colour))


def pixels_like(path: Path, colour: tuple[int, int, int]) -> int:
    values = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    return int((np.abs(values - colour).max(axis=2) < 30).sum())


def test_a_card_replaces_a_missing_image(images, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    groups = {
        "blank": [SheetImage("a.jpg", "deviation 1", coloured(images, "red"))],
        "dead_path": [SheetImage("b.jpg", "there is no such file", None)],
    }
    contact_sheet(groups, path)
    assert pixels_like(path, (255, 0, 0)) > 15_000
    without = tmp_path / "without.png"
    contact_sheet({"dead_path": groups["dead_path"]}, without)
    assert Image.open(without).height < Image.open(path).height
    assert pixels_like(without, (31, 35, 40)) > 200  # the ink of the words


def test_a_group_shows_a_limited_part_and_its_total(images, tmp_path: Path) -> None:
    group = [SheetImage(f"{n}.jpg", "", coloured(images, "red")) for n in range(PER_GROUP + 5)]
    sizes = []
    for name, shown in (("few", group[:COLUMNS]), ("all", group[:PER_GROUP]), ("more", group)):
        contact_sheet({"blank": shown}, tmp_path / f"{name}.png")
        sizes.append(Image.open(tmp_path / f"{name}.png").size)
    assert sizes[0][1] < sizes[1][1] == sizes[2][1]
    contact_sheet({"blank": group}, tmp_path / "again.png", {"blank": 5000})
    assert (tmp_path / "again.png").read_bytes() != (tmp_path / "more.png").read_bytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2), (512, 512)])
def test_any_shape_fits_its_tile(size: tuple[int, int], images, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    contact_sheet({"kept": [SheetImage("a", "", coloured(images, "red", size))]}, path)
    assert 1 <= pixels_like(path, (255, 0, 0)) <= 180 * 180


def test_hostile_names_are_rendered_safely(images, tmp_path: Path) -> None:
    names = ["\x1b[31m\0\u202e../../etc", "x" * 100_000, "商品の写真\n\n\n.jpg", "", "\ud83d"]
    group = [SheetImage(name, name, content) for name in names for content in (None, coloured(images, "red"))]
    contact_sheet({"kept": group, "<script>\n" * 50: []}, tmp_path / "sheet.jpg")
    assert Image.open(tmp_path / "sheet.jpg").format == "JPEG"


def test_no_group_gives_an_empty_sheet(tmp_path: Path) -> None:
    contact_sheet({}, tmp_path / "sheet.jpg")
    assert Image.open(tmp_path / "sheet.jpg").width > 1000


def test_another_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a name that ends with \.jpg or \.png"):
        contact_sheet({}, tmp_path / "sheet.html")
