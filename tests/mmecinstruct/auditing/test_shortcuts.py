"""Each kind of planted shortcut is found by its guesser, and clean folders give no finding."""

from __future__ import annotations

import functools
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

import mmecinstruct as mm
from mmecinstruct.auditing import AuditReport, audit_folder, report_markdown
from mmecinstruct.auditing.shortcuts import samples
from mmecinstruct.auditing.shortcuts.result import make_guess, wilson_lower
from mmecinstruct.cli.app import app
from mmecinstruct.cli.report import print_report
from mmecinstruct.pipeline.report import BuildReport
from mmecinstruct.recipe import AuditSettings
from mmecinstruct.schemas.samples import published_schema
from mmecinstruct.tasks import TASKS

AP, CC, SR = "answerability_prediction", "category_classification", "sequential_recommendation"
SIZES = {"train": 240, "validation": 40, "test": 120, "test_ood": 60}
PRODUCTS = [f"product{number:03} of kind{number % 7}" for number in range(60)]
Row = dict[str, Any]
Plant = Callable[[list[Row], random.Random], None]


@functools.cache
def jpeg(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 150)).save(target, "JPEG")
    return target.getvalue()


def image(width: int = 16, height: int = 16, more: int = 0) -> dict[str, Any]:
    """Return an image; `more` bytes after its end make the file longer and change no pixel."""
    return {"bytes": jpeg(width, height) + bytes(more), "path": None}


def words(rng: random.Random, count: int) -> str:
    return " ".join(f"word{rng.randrange(300)}" for _ in range(count))


def rows_of(task: str, split: str, rng: random.Random) -> Iterator[Row]:
    """Yield rows whose answers nothing tells."""
    for number in range(SIZES[split]):
        row: Row = {
            "id": f"{task}-{split}-{number}",
            "task": task,
            "split": split,
            "category": "Garden" if split == "test_ood" else "Kitchen",
            "source": rng.choice(["one", "two"]),
            "instruction": rng.choice(["Answer the question.", "Say what is right."]),
            "images": [image(rng.randrange(8, 40), rng.randrange(8, 40), rng.randrange(500))],
            "image_roles": ["product"],
            "image_product_ids": ["p"],
        }
        if task == AP:
            row |= {"input": json.dumps({"question": words(rng, 9)}), "options": []}
            row["output"] = rng.choice(["yes", "no"])
        else:
            chosen = rng.sample(PRODUCTS, 5)
            history = [f"{place}th: {rng.choice(PRODUCTS)}" for place in range(4, 7)]
            row["input"] = json.dumps(history if task == SR else {"title": words(rng, 5)})
            set_options(row, chosen, rng.randrange(5))
        yield row


def set_options(row: Row, texts: list[str], answer: int) -> None:
    row["options"] = [f"{chr(65 + place)}: {text}" for place, text in enumerate(texts)]
    row["output"] = chr(65 + answer)


def texts_of(row: Row) -> tuple[list[str], int]:
    return [option[3:] for option in row["options"]], ord(row["output"]) - 65


def write(folder: Path, tasks: tuple[str, ...], plant: Plant | None = None) -> Path:
    schema = published_schema()
    for task in tasks:
        for split in SIZES:
            rng = random.Random(f"{task} {split}")
            rows = list(rows_of(task, split, rng))
            if plant is not None:
                plant(rows, rng)
            (folder / task).mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(rows, schema=schema)
            pq.write_table(table, folder / task / f"{split}-00000-of-00001.parquet")
    return folder


def audited(folder: Path, **settings: Any) -> AuditReport:
    return audit_folder(folder, AuditSettings(**settings))


def found(report: AuditReport) -> set[str]:
    return {guess.guesser for guess in report.shortcuts}


def test_clean_folders_have_no_shortcut(tmp_path: Path) -> None:
    report = audited(write(tmp_path, (AP, CC, SR)))
    assert found(report) == set()
    names = {(guess.task, guess.guesser) for guess in report.guessed.guesses if guess.split == "test"}
    assert {name for task, name in names if task == AP} == {
        *("image_size", "file_length", "source", "instruction", "order", "input_alone", "everything"),
    }
    assert len({name for task, name in names if task == SR}) == 15


@pytest.mark.slow
def test_the_sample_has_no_shortcut(tmp_path: Path) -> None:
    report = mm.build("sample", tmp_path / "out", workspace=tmp_path / "ws")
    assert report.audit is not None
    assert report.audit.guessed is not None
    assert {guess.task for guess in report.audit.guessed.guesses} == set(TASKS)
    assert report.audit.shortcuts == []


# --- planted shortcuts ---------------------------------------------------------------------------------


def first(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        if rng.random() < 0.5:
            set_options(row, texts_of(row)[0], 0)


def third(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        if rng.random() < 0.5:
            set_options(row, texts_of(row)[0], 2)


def longest(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        texts, answer = texts_of(row)
        texts[answer] += " in a larger size"[: rng.randrange(17)]
        set_options(row, texts, answer)


def shortest(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        texts, answer = texts_of(row)
        set_options(
            row,
            [text if place == answer else f"{text} {'x' * 9}" for place, text in enumerate(texts)],
            answer,
        )


def bought(rows: list[Row], chosen: Callable[[random.Random], str], rng: random.Random) -> None:
    for row in rows:
        texts, answer = texts_of(row)
        texts[answer] = chosen(rng)
        set_options(row, list(dict.fromkeys(texts)), list(dict.fromkeys(texts)).index(texts[answer]))


def popular(rows: list[Row], rng: random.Random) -> None:
    bought(rows, lambda rng: PRODUCTS[min(rng.randrange(60), rng.randrange(60), rng.randrange(60))], rng)


def unpopular(rows: list[Row], rng: random.Random) -> None:
    """Test answers are products that no training row names; the wrong options are known ones."""
    if rows[0]["split"] != "train":
        bought(rows, lambda rng: f"novelty{rng.randrange(1000):03} of kind3", rng)


def worded(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        texts, answer = texts_of(row)
        texts = [text + rng.choice([" rose", " blue"]) for text in texts]
        texts[answer] = texts[answer].rpartition(" ")[0] + rng.choice([" pink", " grey"])
        set_options(row, texts, answer)


def option_images(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        texts, answer = texts_of(row)
        sizes = [(rng.choice([16, 24]), 24) for _ in texts]
        sizes[answer] = (20, 24)
        row["images"] = [image(*size, rng.randrange(500)) for size in sizes]
        row["image_roles"] = [f"option {chr(65 + place)}" for place in range(len(texts))]
        row["image_product_ids"] = ["p"] * len(texts)


def option_images_missing(rows: list[Row], rng: random.Random) -> None:
    option_images(rows, rng)
    for row in rows:
        kept = [place for place in range(5) if rng.random() < 0.6 or row["output"] == chr(65 + place)]
        row["images"] = [image()] * len(kept)
        row["image_roles"] = [f"option {chr(65 + place)}" for place in kept]
        row["image_product_ids"] = ["p"] * len(kept)


def option_bytes(rows: list[Row], rng: random.Random) -> None:
    option_images(rows, rng)
    for row in rows:
        row["images"] = [image(more=rng.randrange(500)) for _ in range(5)]
        row["images"][ord(row["output"]) - 65] = image(more=700)


def is_yes(row: Row) -> bool:
    """Return one of two kinds of answers: of options, the kind of the product."""
    return (
        row["output"] == "yes" if not row["options"] else "kind1" in str(texts_of(row)[0][texts_of(row)[1]])
    )


def size_tells(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        row["images"] = [image(30 if is_yes(row) else 20, 25, rng.randrange(500))]


def length_tells(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        row["images"] = [image(more=rng.randrange(300, 600) if is_yes(row) else rng.randrange(400))]


def source_tells(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        row["source"] = "one" if is_yes(row) or rng.random() < 0.3 else "two"


def instruction_tells(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        row["instruction"] = "See the image." if is_yes(row) else "Answer."


def sorted_by_answer(rows: list[Row], rng: random.Random) -> None:
    rows.sort(key=is_yes)


def alternating(rows: list[Row], rng: random.Random) -> None:
    for number, row in enumerate(rows):
        row["output"] = ("yes", "no", "no")[number % 3]


def letter_by_source(rows: list[Row], rng: random.Random) -> None:
    for row in rows:
        row["source"] = f"shop {row['output']}"


@pytest.mark.parametrize(
    ("task", "plant", "guesser", "others"),
    [
        (CC, first, "first_option", {"position"}),
        (CC, third, "position", set()),
        (SR, longest, "longest_option", {"options_alone", "reverse_popularity"}),
        (CC, shortest, "shortest_option", {"options_alone", "popularity"}),
        (SR, popular, "popularity", {"options_alone"}),
        (SR, unpopular, "reverse_popularity", set()),
        (CC, worded, "options_alone", {"popularity"}),
        (SR, option_images, "image_size", set()),
        (SR, option_images_missing, "image_size", {"file_length"}),
        (SR, option_bytes, "file_length", set()),
        (AP, size_tells, "image_size", {"file_length"}),
        (AP, length_tells, "file_length", set()),
        (AP, source_tells, "source", set()),
        (AP, instruction_tells, "instruction", set()),
        (AP, sorted_by_answer, "order", set()),
        (AP, alternating, "order", set()),
        (CC, letter_by_source, "source", set()),
    ],
)
def test_a_planted_shortcut_is_found(
    tmp_path: Path, task: str, plant: Plant, guesser: str, others: set[str]
) -> None:
    report = audited(write(tmp_path, (task,), plant))
    assert guesser in {guess.guesser for guess in report.shortcuts if guess.split == "test"}
    assert found(report) <= {guesser, *others}


# --- what does not matter ------------------------------------------------------------------------------


def test_rows_in_another_order_change_only_the_guesser_of_the_order(tmp_path: Path) -> None:
    folder = write(tmp_path, (CC,), popular)
    before = audited(folder).guessed
    for file in folder.glob("*/*.parquet"):
        table = pq.read_table(file)
        places = list(range(table.num_rows))
        random.Random(7).shuffle(places)
        pq.write_table(table.take(places).slice(50), file.with_name(file.name.replace("00000", "00000-b")))
        pq.write_table(table.take(places).slice(0, 50), file)
    after = audited(folder).guessed
    assert before is not None
    assert after is not None

    def without_order(guesses: Any) -> list[Any]:
        return [guess for guess in guesses if guess.guesser != "order"]

    assert without_order(before.guesses) == without_order(after.guesses)
    assert before.guesses != after.guesses


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path, (AP, CC))
    assert audit_folder(folder, workers=1).to_json() == audit_folder(folder, workers=2).to_json()


def test_limits_of_parts_give_the_limits_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_OPTIONS", 60)
    rng = random.Random(3)
    rows = [{"key": f"{rng.random()}", "row": row, "options": ["x"] * rng.randrange(4)} for row in range(200)]
    whole = samples.within_limits(rows)
    parts = samples.within_limits(samples.within_limits(rows[:70]) + samples.within_limits(rows[70:]))
    assert whole == parts
    assert 50 < sum(len(row["options"]) for row in whole) <= 60


# --- what cannot be guessed ----------------------------------------------------------------------------


def test_few_rows_and_missing_columns_are_not_guessed(tmp_path: Path) -> None:
    folder = write(tmp_path, (AP, CC))
    for split, columns in (("validation", ["output"]), ("test_ood", [])):
        file = folder / CC / f"{split}-00000-of-00001.parquet"
        pq.write_table(
            pq.read_table(file).slice(0, 29).drop_columns(columns)
            if columns
            else pq.read_table(file).slice(0, 29),
            file,
        )
    report = audited(folder)
    assert report.guessed is not None
    assert [(part.task, part.split, part.why) for part in report.guessed.unguessed] == [
        (CC, "validation", "no column output"),
        (CC, "test_ood", "29 rows of 29 users, queries or articles, fewer than 30"),
    ]
    assert {guess.split for guess in report.guessed.guesses if guess.task == CC} == {"test"}
    assert "category_classification, validation: no column output" in report_markdown(report)


def test_open_answers_are_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "captions").mkdir()
    for split in ("train", "test"):
        rows = [{"input": f"what is {number}", "output": f"it is {number} {split}"} for number in range(100)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "captions" / f"{split}.parquet")
    guessed = audited(tmp_path).guessed
    assert guessed is not None
    assert [part.why for part in guessed.unguessed] == ["more than 100 different answers and no options"]


def test_numbers_are_labels(tmp_path: Path) -> None:
    (tmp_path / "stars").mkdir()
    rng = random.Random(5)
    for split in ("train", "test"):
        rows = [
            {"input": words(rng, 3), "output": number % 3, "source": f"shop {number % 3}"}
            for number in range(90)
        ]
        rng.shuffle(rows)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "stars" / f"{split}.parquet")
    report = audited(tmp_path)
    assert found(report) == {"source"}
    assert report.shortcuts[0].accuracy == 1
    assert report.shortcuts[0].chance == 0.333


def test_a_benchmark_without_training_rows_is_guessed(tmp_path: Path) -> None:
    folder = write(tmp_path, (CC,), first)
    for split in ("train", "validation", "test_ood"):
        (folder / CC / f"{split}-00000-of-00001.parquet").unlink()
    report = audited(folder)
    assert report.guessed is not None
    assert {guess.guesser for guess in report.guessed.guesses} == {
        *("first_option", "longest_option", "shortest_option", "overlap"),
    }
    assert found(report) == {"first_option"}


def test_options_without_letters_and_answers_as_texts_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path, (CC,), first)
    for file in folder.glob("*/*.parquet"):
        rows = pq.read_table(file, columns=["input", "options", "output"]).to_pylist()
        for row in rows:
            texts, answer = texts_of(row)
            row |= {"options": texts, "output": texts[answer]}
        pq.write_table(pa.Table.from_pylist(rows), file)
    assert found(audited(folder)) == {"first_option", "position"}


# --- chance, tolerance, reports --------------------------------------------------------------------------


def test_the_majority_of_training_is_chance(tmp_path: Path) -> None:
    def mostly_yes(rows: list[Row], rng: random.Random) -> None:
        for row in rows:
            row["output"] = "yes" if rng.random() < 0.9 else "no"

    report = audited(write(tmp_path, (AP,), mostly_yes))
    assert report.guessed is not None
    assert all(guess.chance > 0.8 for guess in report.guessed.guesses)
    assert found(report) == set()


def test_rows_of_one_article_count_once(tmp_path: Path) -> None:
    def of_articles(number: int) -> Plant:
        def plant(rows: list[Row], rng: random.Random) -> None:
            first(rows, rng)
            for place, row in enumerate(rows):
                article = f"g{place % number}"
                row["group_ids"] = {"products": [f"p{place}"], "clusters": [f"p{place}"], "groups": [article]}

        return plant

    few = audited(write(tmp_path / "few", (CC,), of_articles(29)))
    assert few.guessed is not None
    assert few.guessed.guesses == ()
    assert all("29 users, queries or articles, fewer than 30" in part.why for part in few.guessed.unguessed)
    some = audited(write(tmp_path / "some", (CC,), of_articles(31)))
    assert some.guessed is not None
    (guess,) = (one for one in some.guessed.guesses if (one.split, one.guesser) == ("test", "first_option"))
    assert guess.rows > guess.units == 31
    assert guess.lower == pytest.approx(wilson_lower(guess.accuracy, 31), abs=0.002)


def test_a_finding_needs_more_than_the_tolerance() -> None:
    # Of 100 rows 60 right: Wilson's interval is .502 to .691.
    assert round(wilson_lower(0.6, 100), 3) == 0.502
    assert make_guess(CC, "test", "position", 60, 100, 100, 0.45, 0.05).finding
    assert not make_guess(CC, "test", "position", 60, 100, 100, 0.452, 0.05).finding
    assert not make_guess(CC, "test", "overlap", 60, 100, 100, 0.1, 0.05).finding


def test_the_command_reports_shortcuts_and_exits_with_1(tmp_path: Path) -> None:
    def planted(rows: list[Row], rng: random.Random) -> None:
        first(rows, rng)
        for row in rows:
            row |= {"images": [], "image_roles": [], "image_product_ids": []}

    folder = write(tmp_path, (CC,), planted)
    runner = CliRunner()
    done = runner.invoke(app, ["audit", str(folder), "--workers", "1", "--shortcuts"])
    assert done.exit_code == 1
    assert "## Shortcuts" in done.stdout
    assert (
        "shortcut: category_classification, test: a guesser that takes the first option is right on"
        in done.stderr
    )
    written = json.loads(runner.invoke(app, ["audit", str(folder), "--workers", "1", "--json"]).stdout)
    assert written["shortcuts"]["findings"] == 6
    assert {guess["guesser"] for guess in written["shortcuts"]["guesses"] if guess["finding"]} == {
        *("first_option", "position"),
    }
    quiet = runner.invoke(app, ["audit", str(folder), "--workers", "1", "--no-shortcuts"])
    assert quiet.exit_code == 0
    assert "Shortcuts" not in quiet.stdout


def test_the_recipe_sets_the_tolerance_and_turns_guessers_off(tmp_path: Path) -> None:
    folder = write(tmp_path, (CC,), first)
    assert audited(folder, shortcut_tolerance=0.6).shortcuts == []
    assert audited(folder, shortcuts=False).guessed is None
    assert mm.audit(folder, workers=1, shortcuts=False).as_dict()["shortcuts"] is None
    guesses = mm.audit(folder, workers=1).guesses
    assert list(guesses.columns) == [
        *("task", "split", "guesser", "rows", "units", "accuracy", "lower", "chance", "finding"),
    ]
    assert guesses.accuracy.equals(guesses.accuracy.round(3))


def test_a_build_warns_of_shortcuts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {CC: {"test": {"wanted": 9, "available": 9, "chosen": 9, "note": ""}}}
    print_report(BuildReport(tmp_path, sizes=sizes, audit=audited(write(tmp_path, (CC,), first))))
    said = capsys.readouterr().err
    assert "warning: answers can be guessed without question and image (6 findings)" in said
    assert f"mmec audit --shortcuts {tmp_path}" in said
