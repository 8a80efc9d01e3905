"""Thresholds over measurements: each reason, their order, and that nothing is decoded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mmecinstruct.core.duckdb import DEFAULT_BUDGET, connect
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.core.parquet import write_table
from mmecinstruct.engine.executors import LocalExecutor
from mmecinstruct.engine.run import Run
from mmecinstruct.engine.stage import Files, StageOutput
from mmecinstruct.engine.workspace import Workspace
from mmecinstruct.images.filter import filter_images
from mmecinstruct.images.locate import LocatedImage
from mmecinstruct.images.settings import FILTERING, LOCATING, MEASURING, PUBLISHING, ImageSettings
from mmecinstruct.schemas.rejections import Rejection
from mmecinstruct.schemas.tables import CURATED_PRODUCTS, IMAGES
from mmecinstruct.stages.filter_images import filter_stage
from mmecinstruct.stages.measure_images import measure_stage

Row = dict[str, Any]
VIDEO_BACKDROP = (
    "https://m.media-amazon.com/images/G/01/digital/video/web/Default_Background_Art_LTR._SX1080_FMjpg_.jpg"
)


def measured(url: str, **values: Any) -> Row:
    return {
        "image_url": url,
        "status": "ok",
        "reason": "",
        "detail": "",
        "image_id": f"image-{url}",
        "pixel_id": f"pixels-{url}",
        "width": 200,
        "height": 100,
        "format": "JPEG",
        "frames": 1,
        "pixel_deviation": 40.0,
        **values,
    }


def product(number: int, cluster: int, *urls: str) -> Row:
    return {"product_id": f"p{number}", "cluster_id": f"c{cluster}", "image_urls": list(urls)}


def filtered(
    images: list[Row],
    products: Sequence[Row] = (),
    **settings: Any,
) -> tuple[dict[str, str], list[Rejection]]:
    with connect() as connection:
        connection.register("images", pa.Table.from_pylist(images, schema=IMAGES))
        connection.register("products", pa.Table.from_pylist(list(products), schema=CURATED_PRODUCTS))
        table, rejections = filter_images(connection, ImageSettings(**settings))
    assert table.schema == IMAGES
    rows = table.to_pylist()
    assert [row["image_url"] for row in rows] == sorted(row["image_url"] for row in images)
    assert all((row["status"] == "ok") == (row["reason"] == "") for row in rows)
    return {row["image_url"]: row["reason"] for row in rows}, rejections


@pytest.mark.parametrize(
    ("values", "settings", "reason"),
    [
        ({"height": 31}, {"max_aspect": 50}, "too_small"),
        ({"height": 32}, {"max_aspect": 50}, ""),
        ({"height": 39}, {}, "extreme_aspect"),
        ({"height": 40}, {}, ""),
        ({"width": 39, "height": 200}, {}, "extreme_aspect"),
        ({"pixel_deviation": 3.9}, {}, "blank"),
        ({"pixel_deviation": 3.9}, {"min_deviation": 3.5}, ""),
        ({"frames": 2, "format": "GIF"}, {}, "animated"),
        ({"frames": 2, "format": "GIF"}, {"allow_animated": True}, ""),
        ({"frames": 2, "format": "MPO"}, {}, ""),
        ({}, {"placeholders": ["image-u"]}, "placeholder"),
        ({}, {"placeholders": ["pixels-u"]}, "placeholder"),
        ({}, {"placeholders": ["u"]}, "placeholder"),
        ({}, {"placeholders": ["another"]}, ""),
    ],
)
def test_each_threshold_has_its_reason(values: Row, settings: dict[str, Any], reason: str) -> None:
    reasons, rejections = filtered([measured("u", **values)], **settings)
    assert reasons == {"u": reason}
    assert [(r.reason, r.origin, r.record_id) for r in rejections] == (
        [(reason, "u", "image-u")] if reason else []
    )
    assert all(r.stage == "filter" and r.detail for r in rejections)


def test_an_image_has_the_first_reason_that_holds() -> None:
    flaws = {"frames": 3, "format": "GIF", "width": 4, "height": 2, "pixel_deviation": 0.0}
    assert filtered([measured("u", **flaws)])[0] == {"u": "animated"}
    assert filtered([measured("u", **flaws)], placeholders=["u"])[0] == {"u": "placeholder"}
    assert filtered([measured("u", **flaws)], allow_animated=True)[0] == {"u": "too_small"}


def test_the_video_backdrop_is_always_a_placeholder() -> None:
    assert filtered([measured(VIDEO_BACKDROP)])[0] == {VIDEO_BACKDROP: "placeholder"}


def test_an_unmeasured_image_is_not_rejected_twice() -> None:
    gone = {"image_url": "u", "status": "rejected", "reason": "dead_path", "detail": "no file"}
    assert filtered([gone], placeholders=["u"]) == ({"u": "dead_path"}, [])


def test_an_image_shared_by_unrelated_products_is_a_placeholder() -> None:
    products = [product(n, n, "shared") for n in range(3)] + [product(n, 9, "variants") for n in range(3, 8)]
    images = [measured("shared"), measured("variants")]
    reasons, rejections = filtered(images, products, max_products_per_image=2)
    assert reasons == {"shared": "placeholder", "variants": ""}
    assert [(r.record_id, r.detail) for r in rejections] == [
        ("image-shared", "the same image under 3 unrelated products, at most 2")
    ]


def named(number: int, title: str, path: str, group: str | None = None, url: str = "u") -> Row:
    return product(number, number, url) | {"title": title, "category_path": [path], "group_id": group}


@pytest.mark.parametrize(
    ("products", "reason"),
    [
        ([named(n, f"N{n}", f"c{n}", "coat") for n in range(9)], ""),
        ([named(n, f"N{n}", "Coats") for n in range(9)], ""),
        ([named(n, f"Larkrise Voucher {'abcdefghi'[n] * 4}", f"c{n}") for n in range(9)], ""),
        # What all goods have says nothing: a colour, a short word, a word of every title of the shop.
        ([named(n, f"The black N{n}", f"c{n}") for n in range(9)], "placeholder"),
        (
            [named(n, f"Collection N{n}", f"c{n}") for n in range(9)]
            + [named(n, "A collection", f"c{n}", url="other") for n in range(9, 30)],
            "placeholder",
        ),
        # Most of them are related, but more than two others are not.
        (
            [named(n, f"N{n}", "Coats") for n in range(6)]
            + [named(n, f"N{n}", f"c{n}") for n in range(6, 9)],
            "placeholder",
        ),
    ],
)
def test_related_products_may_share_an_image(products: list[Row], reason: str) -> None:
    assert filtered([measured("u")], products, max_products_per_image=2)[0] == {"u": reason}


def test_equal_pixels_in_several_files_count_together() -> None:
    images = [measured(f"u{n}", pixel_id="same") for n in range(3)]
    products = [product(n, n, f"u{n}") for n in range(3)]
    reasons, _ = filtered(images, products, max_products_per_image=2)
    assert set(reasons.values()) == {"placeholder"}
    assert set(filtered(images, products, max_products_per_image=3)[0].values()) == {""}


def test_every_setting_belongs_to_exactly_one_stage() -> None:
    parts = (PUBLISHING, LOCATING, MEASURING, FILTERING)
    assert sorted(name for part in parts for name in part) == sorted(ImageSettings.model_fields)


def test_a_changed_threshold_decodes_no_image_again(images, tmp_path: Path) -> None:
    for number, side in enumerate((40, 100)):
        content = images.encoded(images.photo(side, side, number=number))
        (tmp_path / f"{number}.jpg").write_bytes(content)
    products = tmp_path / "products.parquet"
    write_table(CURATED_PRODUCTS.empty_table(), products)

    def run_stages(**settings: Any) -> tuple[StageOutput, StageOutput]:
        chosen = ImageSettings(**settings)
        store = Workspace(tmp_path / "ws")
        with store.lock(), LocalExecutor() as executor:
            run = Run(store, executor)
            paths = [tmp_path / f"{n}.jpg" for n in range(2)]
            located = [LocatedImage(path.name, str(path), sha256=sha256_file(path)) for path in paths]
            measured = run.run(measure_stage(store, located, chosen))
            return measured, run.run(
                filter_stage(measured, Files((products,), {"curate_products": "a"}), chosen, DEFAULT_BUDGET)
            )

    first, kept = run_stages()
    assert (first.cached, kept.kept) == (False, 2)
    again, kept = run_stages(min_side=50)
    assert (again.cached, kept.cached, kept.kept) == (True, False, 1)
    decoded, _ = run_stages(min_side=50, longest_side=64)
    assert not decoded.cached
