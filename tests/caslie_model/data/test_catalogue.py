"""Catalogues: all formats of tables, the ground truth of the sample shop, and ids with the prefix of a source."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caslie_model.data.catalogue import catalogue_id, read_catalogue, sample_shop_catalogue
from caslie_model.errors import ConfigError
from mmecinstruct.core.errors import SourceError
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.synthetic.shop import write_sample_shop


class TestTheCatalogue:
    TABLE = (
        {"sku": "A1", "colour": " red;\n wine ", "size": 3.0},
        {"sku": "", "colour": "blue", "size": 4.0},
        {"sku": "A2", "colour": "x" * 101, "size": None},
        {"sku": "A3", "colour": "", "size": 5.5},
    )

    def write(self, folder: Path, kind: str) -> Path:
        path = folder / f"products.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(list(self.TABLE)), path)
        elif kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in self.TABLE) + "{broken\n")
        else:
            mark = "\t" if kind == "tsv" else ","
            lines = [mark.join(f'"{"" if v is None else v}"' for v in row.values()) for row in self.TABLE]
            path.write_text("\n".join([mark.join(self.TABLE[0]), *lines, ""]))
        return path

    @pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
    def test_all_table_formats_give_the_same_catalogue(
        self, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        values = read_catalogue(self.write(tmp_path, kind), "sku", ("colour", "size"))
        sizes = ("3.0", "5.5") if kind in ("csv", "tsv") else ("3", "5.5")  # text stays as it is written
        assert values == {
            "A1": {"colour": "red, wine", "size": sizes[0]},
            "A2": {},
            "A3": {"size": sizes[1]},
        }
        unusable = 2 if kind == "jsonl" else 1
        message = f"{unusable} rows without an id or not readable, 1 values too long: left out"
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
    def test_a_column_that_is_not_there_is_named(self, kind: str, tmp_path: Path) -> None:
        path = self.write(tmp_path, kind)
        with pytest.raises(SourceError, match=r"color.*attributes: color"):
            read_catalogue(path, "sku", ("color",))
        with pytest.raises(SourceError, match=r"asin.*id_column"):
            read_catalogue(path, "asin", ("colour",))

    def test_a_file_that_is_no_table_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"none\.csv: there is no such file"):
            read_catalogue(tmp_path / "none.csv", "sku", ("colour",))
        (tmp_path / "a.xlsx").write_text("")
        with pytest.raises(SourceError, match=r"no reader for '.xlsx'; convert it to .csv, .tsv"):
            read_catalogue(tmp_path / "a.xlsx", "sku", ("colour",))


def test_an_id_is_found_with_and_without_the_prefix_of_its_source() -> None:
    catalogue = {"A1": {"colour": "red"}, "x:A2": {"colour": "blue"}, "A3": {}}
    found = [catalogue_id(product, catalogue) for product in ("A1", "shop:A1", "x:A2", "shop:A2", "shop:A3")]
    assert found == ["A1", "A1", "x:A2", None, None]


class TestTheSampleShop:
    def dataset(self, folder: Path, sample: str) -> str:
        folder.mkdir(exist_ok=True)
        (folder / "recipe.yaml").write_text(f"name: made\nseed: 7\nsample: {sample}\nsources: []\n")
        return str(folder)

    def test_its_ground_truth_is_that_of_the_build(self, tmp_path: Path) -> None:
        settings = SampleShopSettings(products=60, images=False)
        (tmp_path / "shop").mkdir()
        write_sample_shop(settings, 7, tmp_path / "shop")
        written = pq.read_table(tmp_path / "shop/latents/products.parquet").to_pylist()
        names = ("colour", "pattern", "shape", "fine_category")
        data = self.dataset(tmp_path / "data", "{products: 60, images: false}")
        assert sample_shop_catalogue(data, names) == {
            row["asin"]: {name: row[name] for name in names} for row in written
        }

    def test_an_attribute_that_it_lacks_is_named(self, tmp_path: Path) -> None:
        data = self.dataset(tmp_path / "data", "{products: 60, images: false}")
        with pytest.raises(ConfigError, match="have no color; they have colour, pattern"):
            sample_shop_catalogue(data, ("colour", "color"))

    @pytest.mark.parametrize("sample", ["null", None])
    def test_another_dataset_needs_a_catalogue(self, sample: str | None, tmp_path: Path) -> None:
        data = self.dataset(tmp_path, sample) if sample else str(tmp_path)
        with pytest.raises(ConfigError, match=r"was not built from the sample shop.*give `catalogue`"):
            sample_shop_catalogue(data, ("colour",))
