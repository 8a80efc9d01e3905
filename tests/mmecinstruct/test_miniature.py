"""The miniature's machinery: fragments, draws, parts of a gzip stream, whole files and their names."""

from __future__ import annotations

import gzip
import json
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmecinstruct.cli import main
from mmecinstruct.errors import RecipeError, SourceError
from mmecinstruct.miniature import MARK, write_miniature
from mmecinstruct.miniature.codes import LAST_DAY, Codes, identity
from mmecinstruct.miniature.draws import Draws, spread
from mmecinstruct.miniature.files import file_names, text_files, write_files
from mmecinstruct.miniature.fragments import Fragments, Repeated, json_text
from mmecinstruct.miniature.volumes import Volumes, volumes_at
from mmecinstruct.miniature.writing import joined_crc32

SMALL = Volumes(
    products=(600, 0, 0, 256),
    reviews=(9_000, 0, 0, 0),
    labels=300,
    questions=200,
    asked_products=40,
    queries=(60, 10, 10),
    judgements=(1_200, 200, 200),
    judged_products=(1_000, 256, 256),
    more_pictured=20,
)


def test_fragments_are_joined_row_by_row() -> None:
    fragments = Fragments()
    words = fragments.add_all(["a", "bc", "", "d"])
    comma = fragments.add(",")
    counts = np.array([2, 0, 1])
    repeated = Repeated(counts, np.stack([words[[0, 1, 3]], np.full(3, comma)], axis=1))
    texts = fragments.join(
        3, [comma, words[[1, 2, 3]], repeated, np.stack([words[[0, 0, 1]], words[:3]], axis=1)]
    )
    assert texts.strings().to_pylist() == [",bca,bc,aa", ",abc", ",dd,bc"]
    assert texts.strings(np.array([True, False, True])).to_pylist() == [",bca,bc,aa", None, ",dd,bc"]


def test_an_added_text_has_one_number_and_may_come_after_a_join() -> None:
    fragments = Fragments()
    first = fragments.add("x")
    assert fragments.join(1, [first]).strings().to_pylist() == ["x"]
    assert fragments.add("x") == first
    later = fragments.add("yz")
    assert fragments.join(1, [first, later]).strings().to_pylist() == ["xyz"]
    assert fragments.lengths(np.array([0, first, later])).tolist() == [0, 1, 2]


def test_json_text_is_what_stands_between_quotes() -> None:
    text = 'a "b" \\ \u00e9\n'
    assert json.loads(f'"{json_text(text)}"') == text
    assert json_text(text).isascii()


def test_a_draw_depends_on_nothing_but_seed_purpose_and_record() -> None:
    draws, numbers = Draws(1), np.arange(10_000)
    all_at_once = draws.fractions("x", numbers)
    assert all_at_once[7_000:7_003].tolist() == draws.fractions("x", np.arange(7_000, 7_003)).tolist()
    assert not np.array_equal(all_at_once, draws.fractions("y", numbers))
    assert not np.array_equal(all_at_once, Draws(2).fractions("x", numbers))
    assert not np.array_equal(draws.words("x", numbers, numbers), draws.words("x", numbers, numbers + 1))


def test_draws_have_the_shares_asked_for() -> None:
    draws, numbers = Draws(1), np.arange(100_000)
    assert draws.chance(0.2, "x", numbers).mean() == pytest.approx(0.2, abs=0.01)
    kinds = np.bincount(draws.kinds((0.1, 0.3), "y", numbers)) / len(numbers)
    assert kinds.tolist() == pytest.approx([0.6, 0.1, 0.3], abs=0.01)
    below = draws.below(7, "z", numbers)
    assert np.bincount(below).min() > 0.9 * len(numbers) / 7
    assert below.max() == 6
    assert draws.below(np.array([1, 5]), "z", np.array([3, 4]))[0] == 0


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 65_536])
def test_spread_numbers_are_all_different(size: int) -> None:
    assert sorted(spread(np.arange(size), size).tolist()) == list(range(size))


def test_product_numbers_are_all_different() -> None:
    fragments = Fragments()
    codes = Codes(fragments)
    numbers = np.concatenate([identity(space, np.arange(20_000)) for space in range(8)])
    asins = fragments.join(len(numbers), [codes.asins(numbers)]).strings().to_pylist()
    assert len(set(asins)) == len(asins)
    assert all(len(asin) == 10 and asin.startswith("B0") and asin.isalnum() for asin in asins)


def test_numbers_and_days_are_written_as_the_publisher_does() -> None:
    fragments = Fragments()
    codes = Codes(fragments)
    values = np.array([0, 7, 999, 1_000, 1_045, 999_999, 1_000_000, 3_004_005])

    def written(ids: np.ndarray) -> list[str]:
        return fragments.join(len(ids), [ids]).strings().to_pylist()

    assert written(codes.grouped(values)) == [f"{value:,}" for value in values.tolist()]
    assert written(codes.whole(values)) == [str(value) for value in values.tolist()]
    assert written(codes.amounts(np.array([5, 1_999, 129_900]))) == ["0.05", "19.99", "1,299.00"]
    days = np.array([16_229, LAST_DAY])
    assert written(codes.written_days(days)) == ["06 8, 2014", "09 30, 2018"]
    assert written(codes.named_days(days)) == ["June 8, 2014", "September 30, 2018"]
    assert written(codes.seconds(days)) == [str(16_229 * 86_400), str(LAST_DAY * 86_400)]


@pytest.mark.parametrize("length", [0, 1, 2, 1_000, 65_537])
def test_checksums_of_two_texts_are_joined(length: int) -> None:
    one, two = b"a text", bytes(number % 251 for number in range(length))
    assert joined_crc32(zlib.crc32(one), zlib.crc32(two), len(two)) == zlib.crc32(one + two)


def test_parts_make_one_gzip_stream(tmp_path: Path) -> None:
    sizes = write_files(tmp_path, SMALL, 3)
    # 9,000 reviews are two parts.
    packed = (tmp_path / "amazon2018/Electronics_5.json.gz").read_bytes()
    decoder = zlib.decompressobj(wbits=31)
    text = decoder.decompress(packed)
    assert decoder.eof
    assert decoder.unused_data == b""
    assert gzip.decompress(packed) == text
    assert len(text) == sizes["amazon2018/Electronics_5.json.gz"]


def test_any_part_of_a_file_can_be_made_by_itself(tmp_path: Path) -> None:
    write_files(tmp_path, SMALL, 3)
    for file in text_files(SMALL, 3):
        source = file.make()
        path = tmp_path / file.name
        whole = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        cuts = [0, source.rows // 3, source.rows // 2 + 1, source.rows]
        parts = [bytes(source.text(first, last)) for first, last in pairwise(cuts)]
        assert b"".join(parts) == whole, file.name


@pytest.mark.slow
def test_the_same_bytes_come_from_two_processes_and_others_from_another_seed(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    write_files(tmp_path / "one", SMALL, 3, progress=lambda done, total: steps.append((done, total)))
    write_files(tmp_path / "two", SMALL, 3, workers=2)
    write_files(tmp_path / "other", SMALL, 4)
    names = file_names(SMALL)
    assert steps == [(number, len(names)) for number in range(1, len(names) + 1)]
    for name in names:
        content = (tmp_path / "one" / name).read_bytes()
        assert content == (tmp_path / "two" / name).read_bytes(), name
        assert content != (tmp_path / "other" / name).read_bytes(), name
    assert not list(tmp_path.rglob("*.part"))


def test_only_the_files_that_have_records_are_written(tmp_path: Path) -> None:
    sizes = write_files(tmp_path, Volumes(products=(300, 0, 0, 0), reviews=(500, 0, 0, 0)), 1)
    assert list(sizes) == ["amazon2018/meta_Electronics.json.gz", "amazon2018/Electronics_5.json.gz"]


def test_a_scale_of_one_has_the_publishers_numbers() -> None:
    volumes = volumes_at(1)
    assert volumes.products == (786_868, 1_301_225, 962_876, 571_982)
    assert volumes.reviews[:2] == (6_739_590, 6_898_955)
    assert sum(volumes.queries) == 130_652
    assert sum(volumes.judgements) == 2_621_288
    assert (volumes.labels, volumes.questions) == (2_226_509, 923_787)


@pytest.mark.parametrize("scale", [0, -1, 11, float("nan")])
def test_a_scale_out_of_range_is_refused(scale: float, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="above 0"):
        write_miniature(tmp_path, scale)
    assert not list(tmp_path.iterdir())


def test_a_publishers_own_file_is_never_replaced(tmp_path: Path) -> None:
    own = tmp_path / "mave/mave_positives_labels.jsonl"
    own.parent.mkdir()
    own.write_text("{}\n")
    with pytest.raises(SourceError, match=f"mave_positives_labels.jsonl, which no miniature wrote .*{MARK}"):
        write_miniature(tmp_path, 0.0001)
    assert own.read_text() == "{}\n"
    assert list(tmp_path.iterdir()) == [own.parent]


def test_the_command_writes_a_miniature_and_another_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    for seed in ("0", "1"):
        monkeypatch.setattr(
            "sys.argv",
            ["mmec", "miniature", "--out", str(raw), "--scale", "0.0001", "--seed", seed, "--workers", "1"],
        )
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        out, talk = capsys.readouterr()
        assert out == f"{raw}\n"
        assert "meta_Electronics.json.gz" in talk
        assert json.loads((raw / MARK).read_text()) == {"scale": 0.0001, "seed": int(seed)}
    examples = pq.read_table(raw / "esci/shopping_queries_dataset_examples.parquet")
    assert examples.num_rows == pytest.approx(262, abs=3)
