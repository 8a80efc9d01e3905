"""The generator of the miniature: fragments, hash draws, parts of a gzip stream, files and their names."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmecinstruct.cli.app import main
from mmecinstruct.core.errors import OutputError, PullError, RecipeError, SourceError
from mmecinstruct.pipeline.build import build
from mmecinstruct.recipe import load_recipe
from mmecinstruct.sources.remote_file import RemoteFile
from mmecinstruct.sources.synthetic_files import GENERATOR_VERSION, RECORD
from mmecinstruct.synthetic.raw_files import write_miniature
from mmecinstruct.synthetic.raw_files.codes import LAST_DAY, Codes, product_key
from mmecinstruct.synthetic.raw_files.files import file_names, text_files, write_files
from mmecinstruct.synthetic.raw_files.fragments import Fragments, Repeated, json_text
from mmecinstruct.synthetic.raw_files.hash_draws import HashDraws, spread
from mmecinstruct.synthetic.raw_files.volumes import Volumes, volumes_at
from mmecinstruct.synthetic.raw_files.writing import joined_crc32
from mmecinstruct.web.raw_files import plan_pull

SMALL = Volumes(
    products=(600, 0, 0, 256),
    reviews=(9_000, 0, 0, 0),
    labels=300,
    questions=200,
    asked_products=40,
    queries=(60, 10, 10),
    judgements=(1_200, 200, 200),
    judged_products=(1_000, 256, 256),
    more_with_images=20,
)
# Of SMALL with seed 3: its texts, and its tables as lists of rows.
DIGEST = "ff863edf6c585e52cf7a1d7b8547976e529abdd2fe6e383d40dc4cf07c012fd7"


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


def test_json_text_is_the_text_between_quotes() -> None:
    text = 'a "b" \\ \u00e9\n'
    assert json.loads(f'"{json_text(text)}"') == text
    assert json_text(text).isascii()


def test_a_hash_draw_depends_only_on_seed_purpose_and_record() -> None:
    draws, numbers = HashDraws(1), np.arange(10_000)
    all_at_once = draws.fractions("x", numbers)
    assert all_at_once[7_000:7_003].tolist() == draws.fractions("x", np.arange(7_000, 7_003)).tolist()
    assert not np.array_equal(all_at_once, draws.fractions("y", numbers))
    assert not np.array_equal(all_at_once, HashDraws(2).fractions("x", numbers))
    assert not np.array_equal(draws.words("x", numbers, numbers), draws.words("x", numbers, numbers + 1))


def test_hash_draws_have_the_given_shares() -> None:
    draws, numbers = HashDraws(1), np.arange(100_000)
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
    numbers = np.concatenate([product_key(space, np.arange(20_000)) for space in range(8)])
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
def test_two_processes_give_the_same_bytes_another_seed_others(tmp_path: Path) -> None:
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
def test_a_scale_out_of_range_is_an_error(scale: float, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="above 0"):
        write_miniature(tmp_path, scale)
    assert not list(tmp_path.iterdir())


def test_the_bytes_of_a_version_do_not_change(tmp_path: Path) -> None:
    """A resumed miniature relies on the same version writing the same bytes."""
    write_files(tmp_path, SMALL, 3)
    digest = hashlib.sha256()
    for name in sorted(file_names(SMALL)):
        path = tmp_path / name
        if path.suffix == ".parquet":  # what a library packs may change with the library
            digest.update(repr(pq.read_table(path).to_pylist()).encode())
        else:
            content = path.read_bytes()
            digest.update(gzip.decompress(content) if path.suffix == ".gz" else content)
    assert (GENERATOR_VERSION, digest.hexdigest()) == (2, DIGEST), (
        "where other bytes are meant, raise GENERATOR_VERSION"
    )


LABELS = "mave/mave_positives_labels.jsonl"


def test_a_publishers_own_file_is_never_replaced(tmp_path: Path) -> None:
    own = tmp_path / LABELS
    own.parent.mkdir()
    own.write_text("{}\n")
    with pytest.raises(SourceError, match=f"{LABELS}: no miniature wrote this file"):
        write_miniature(tmp_path, 0.0001)
    assert own.read_text() == "{}\n"
    assert list(tmp_path.iterdir()) == [own.parent]


def test_a_file_that_replaced_a_synthetic_one_is_not_replaced(tmp_path: Path) -> None:
    write_miniature(tmp_path, 0.0001)
    (tmp_path / LABELS).write_text("{}\n")
    for seed in (0, 1):
        with pytest.raises(SourceError, match=f"{LABELS}: no miniature wrote this file"):
            write_miniature(tmp_path, 0.0001, seed)
    assert (tmp_path / LABELS).read_text() == "{}\n"


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=f"out={tmp_path}/file is a file; give a folder"):
        write_miniature(tmp_path / "file", 0.0001)


def test_the_smallest_files_of_questions_share_no_product(tmp_path: Path) -> None:
    write_files(tmp_path, replace(volumes_at(1e-6), queries=(0, 0, 0), labels=0), 1)
    asked = [
        {json.loads(line)["asin"] for line in path.read_text().splitlines()}
        for path in sorted((tmp_path / "amazonqa").iterdir())
    ]
    assert all(asked)
    assert sum(map(len, asked)) == len(set.union(*asked))


def test_a_record_that_cannot_be_read_makes_every_file_somebodys_own(tmp_path: Path) -> None:
    write_miniature(tmp_path, 0.0001)
    (tmp_path / RECORD).write_text('{"files": ')
    with pytest.raises(SourceError, match="no miniature wrote this file"):
        write_miniature(tmp_path, 0.0001)


def test_existing_files_are_kept_and_missing_ones_written(tmp_path: Path) -> None:
    sizes = write_miniature(tmp_path, 0.0001)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-qar.jsonl")}
    content = (tmp_path / LABELS).read_bytes()
    (tmp_path / LABELS).unlink()
    steps: list[tuple[int, int]] = []
    again = write_miniature(tmp_path, 0.0001, progress=lambda done, total: steps.append((done, total)))
    assert list(again.items()) == list(sizes.items())
    assert steps == [(len(sizes), len(sizes))]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (tmp_path / LABELS).read_bytes() == content
    write_miniature(tmp_path, 0.0001, 1)
    assert all(path.stat().st_mtime_ns != time for path, time in times.items())
    assert (tmp_path / LABELS).read_bytes() != content


def test_an_interrupted_miniature_continues_without_leftovers(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    write_miniature(tmp_path, 0.0001, 1)
    with pytest.raises(KeyboardInterrupt):
        write_miniature(tmp_path, 0.0001, progress=stop)
    record = json.loads((tmp_path / RECORD).read_text())
    assert sum(size is not None for size in record["files"].values()) == 5
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / f"mave/.{Path(LABELS).name}.{dead.pid}.part"
    left.write_bytes(b"half")
    others = left.with_name(f".{Path(LABELS).name}.{os.getppid()}.part")
    others.write_bytes(b"of a process that still runs")
    write_miniature(tmp_path, 0.0001)
    assert not left.exists()
    assert others.exists()
    others.unlink()
    write_miniature(tmp_path / "whole", 0.0001)
    for name in file_names(volumes_at(0.0001)):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_synthetic_files_are_not_taken_for_their_publishers(tmp_path: Path) -> None:
    write_miniature(tmp_path, 0.0001)
    labels = [RemoteFile(LABELS, "mave", url="https://publisher.example/labels.jsonl")]
    with pytest.raises(PullError, match=f"{LABELS}: `mmec miniature` wrote this file"):
        plan_pull(labels, tmp_path)
    (tmp_path / LABELS).write_text("{}\n")  # the publisher's, got by hand
    assert [file.state for file in plan_pull(labels, tmp_path).files] == ["found"]


def test_a_dataset_of_synthetic_files_has_a_warning(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_miniature(raw, 0.0002, 1)
    recipe = load_recipe("paper", ["scale=0.0005"])
    report = build(recipe, out, workspace=tmp_path / "work", data=raw, tasks=["category_classification"])
    [message] = [warning for warning in report.warnings if "mmec miniature" in warning]
    assert "wrote 16 of the raw files" in message
    assert "**This is synthetic data.**" in (out / "README.md").read_text()
    assert json.loads((out / "statistics.json").read_text())["miniature"] == {"files": 16}


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
        record = json.loads((raw / RECORD).read_text())
        assert (record["scale"], record["seed"]) == (0.0001, int(seed))
    examples = pq.read_table(raw / "esci/shopping_queries_dataset_examples.parquet")
    assert examples.num_rows == pytest.approx(262, abs=3)
