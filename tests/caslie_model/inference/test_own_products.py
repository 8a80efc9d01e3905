from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import caslie_model
from caslie_model.data.image_bytes import SpooledImages, spool_images
from caslie_model.data.samples import read_samples
from caslie_model.errors import ConfigError, ModelError, RunError
from caslie_model.inference.prediction_log import PREDICTIONS
from mmecinstruct.core.errors import MmecError, OutputError, SourceError
from tests.servers.chat_server import Canned, ChatServer, completion

CC = "category_classification"


def train(folder: Path, data: Path, **settings: Any) -> str:
    caslie_model.finetune(data, folder, preset="tiny", samples_per_task=4, epochs=1, device="cpu", **settings)
    return str(folder)


@pytest.fixture(scope="module")
def categories(
    tmp_path_factory: pytest.TempPathFactory,
    row: Callable[..., dict[str, Any]],
    write_rows: Callable[..., Path],
) -> Path:
    """Training questions with three options each of nine categories."""
    names = [f"{size} {thing}" for size in ("big", "small", "old") for thing in ("mugs", "lamps", "rugs")]
    rows = [
        row(
            number,
            CC,
            split,
            options=[f"{letter}: {names[(number + i * 2) % 9]}" for i, letter in enumerate("ABC")],
            output="A",
        )
        for split, count in (("train", 9), ("test", 2))
        for number in range(count)
    ]
    return write_rows(tmp_path_factory.mktemp("categories"), rows)


@pytest.fixture(scope="module")
def reader(categories: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return train(tmp_path_factory.mktemp("models") / "text", categories)


@pytest.fixture(scope="module")
def seer(image_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return train(tmp_path_factory.mktemp("models") / "xattn", image_dataset, fusion="xattn")


@pytest.fixture
def shop(tmp_path: Path, render: Callable[[str, int], bytes]) -> Path:
    """A folder with a table of five products, one without a title, and with photos, one of them truncated."""
    for number, colour in enumerate(("red", "green", "blue")):
        (tmp_path / f"{colour}.jpg").write_bytes(render(colour, number))
    (tmp_path / "cut.jpg").write_bytes(render("red", 7)[:-60])
    (tmp_path / "products.csv").write_text(
        "sku,name,pics,kinds\n1,A mug,red.jpg,mugs|cups\n2,A lamp,cut.jpg,lamps|mugs\n3,,red.jpg,rugs|mugs\n"
        "4,A rug,gone.jpg|blue.jpg,rugs\n5,A clock,https://shop.example/a.jpg,clocks|mugs\n"
    )
    (tmp_path / "mapping.yaml").write_text("products: {id: sku, title: name, images: pics}\n")
    return tmp_path


def predict(model: str, shop: Path, out: str = "answers.csv", **settings: Any) -> Any:
    fields = {"task": "cc", "mapping": shop / "mapping.yaml", "device": "cpu", **settings}
    return caslie_model.predict_table(model, shop / "products.csv", shop / out, **fields)


def read(path: Path, separator: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter=separator))


def without_scores(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Batches of other questions change the last digits of scores."""
    return [
        {name: value for name, value in row.items() if name not in ("score", "probability")} for row in rows
    ]


def test_categories_of_the_training_are_asked_in_rounds(
    reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = caslie_model.ask(reader, "cc", title="A mug", device="cpu")
    said = capsys.readouterr().err
    assert "9 options from the training split" in said
    assert "asked 3 at a time, the winners against each other: 4 questions" in said
    assert (answer.questions, len(answer.options)) == (4, 3)
    assert answer.scores is not None
    assert answer.answer == max(answer.scores, key=lambda words: answer.scores[words])
    assert 0 < (answer.probability or 0) <= 1


def test_the_order_of_given_options_changes_letters_not_the_kind_of_answer(reader: str) -> None:
    options = ["a blue thing", "a red thing"]
    answer = caslie_model.ask(reader, "cc", title="A mug", options=options, device="cpu")
    assert answer.label in "AB"
    assert sorted(answer.scores or ()) == options


@pytest.mark.parametrize(
    ("task", "texts", "labels"),
    [
        ("sa", {"review": "Good"}, set("ABCDE")),
        ("ap", {"question": "Is it?", "review": ["Yes", "No"]}, {"yes", "no"}),
        ("psi", {"query": "mug", "title": "A mug"}, {"yes", "no"}),
        ("mpc", {"query": "mug", "title": "A mug"}, set("ABCD")),
        ("prp", {"title": ["A mug", "A lamp"]}, set("ABC")),
        ("sr", {"history": ["A mug", "A lamp"], "options": ["Rug", "Cup"]}, {"A", "B"}),
    ],
)
def test_every_task_answers(reader: str, task: str, texts: dict[str, Any], labels: set[str]) -> None:
    answer = caslie_model.ask(reader, task, device="cpu", **texts)
    assert answer.label in labels
    assert len(answer.scores or ()) == len(labels)


def test_an_image_changes_the_scores_of_an_image_text_model_alone(
    reader: str, seer: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scores(model: str, *images: str) -> Any:
        files = [shop / name for name in images]
        options = ["red", "green", "blue"]
        return caslie_model.ask(
            model, "cc", title="A mug", options=options, images=files, device="cpu"
        ).scores

    assert len({json.dumps(scores(seer, *names)) for names in ((), ("red.jpg",), ("blue.jpg",))}) == 3
    plain = scores(reader)
    capsys.readouterr()
    assert scores(reader, "red.jpg") == plain
    assert "is a text model: images are not used" in capsys.readouterr().err


def test_own_images_have_the_features_of_a_dataset(image_dataset: Path) -> None:
    from caslie_model.config.training import VisionSettings
    from caslie_model.runtime.device import choose_device
    from caslie_model.vision.visual_inputs import features_of_own_images, load_visual_inputs

    samples = read_samples(str(image_dataset), CC, "test")
    vision, device = VisionSettings(encoder="random:tiny-vit", pool=2), choose_device("cpu", "float32")
    expected = load_visual_inputs(str(image_dataset), samples, vision, device)
    keys = [image.key for shown in expected.images.values() for image in shown]
    shutil.rmtree(expected.cache.folder)
    spool = SpooledImages()
    own = features_of_own_images(spool, vision, device, expected.fingerprint)
    with spool, spool_images(str(image_dataset), samples) as stored:
        for number, key in enumerate(keys):
            # Images that are added after the first question are found too.
            spool.add(key, stored.content(key))
            if number in (1, len(keys) - 1):
                known = keys[: number + 1]
                assert torch.equal(own(known), expected.features(known))


def test_a_table_keeps_every_row_with_an_answer_or_a_reason(seer: str, shop: Path) -> None:
    result = predict(seer, shop, options=["mugs", "lamps", "rugs"])
    rows = read(result.path)
    assert [(row["line"], row["id"], row["images"], row["reason"].partition(":")[0]) for row in rows] == [
        ("2", "1", "1", ""),
        ("3", "2", "0", "truncated_or_corrupt"),
        ("4", "3", "0", "missing_title"),
        ("5", "4", "1", ""),
        ("6", "5", "0", "not_fetched"),
    ]
    assert [bool(row["answer"]) for row in rows] == [True, True, False, True, True]
    for row in rows:
        if row["answer"]:
            assert row["answer"] == row["options"].split("|")["ABC".index(row["label"])]
            assert 0 < float(row["probability"]) <= 1
            assert float(row["score"]) < 0
    assert (result.rows, result.answered, result.with_images) == (5, 4, 2)
    assert sum(result.reasons.values()) == 3


def test_without_images_no_image_is_looked_for(seer: str, shop: Path) -> None:
    result = predict(seer, shop, options=["mugs", "lamps"], images=False)
    assert (result.answered, result.with_images, result.reasons) == (4, 0, {"missing_title": 1})


def test_a_table_answers_as_ask_does(seer: str, shop: Path) -> None:
    options = ["mugs", "lamps", "rugs"]
    result = predict(seer, shop, "answers.jsonl", options=options, batch_size=3)
    rows = {row["id"]: row for row in map(json.loads, result.path.read_text().splitlines())}
    for name, title, images in (("1", "A mug", [shop / "red.jpg"]), ("5", "A clock", [])):
        answer = caslie_model.ask(seer, "cc", title=title, options=options, images=images, device="cpu")
        assert rows[name]["answer"] == answer.answer
        assert rows[name]["score"] == pytest.approx((answer.scores or {})[answer.answer or ""], abs=1e-3)


def test_all_formats_hold_the_same(reader: str, shop: Path) -> None:
    tables = {
        suffix: predict(reader, shop, f"answers.{suffix}", options_column="kinds").path
        for suffix in ("csv", "tsv", "jsonl", "parquet")
    }
    lines = [json.loads(line) for line in tables["jsonl"].read_text().splitlines()]
    assert pq.read_table(tables["parquet"]).to_pylist() == lines
    assert read(tables["tsv"], "\t") == read(tables["csv"])
    for row, line in zip(read(tables["csv"]), lines, strict=True):
        assert (row["id"], row["answer"], row["options"]) == (
            line["id"],
            line["answer"] or "",
            "|".join(line["options"]),
        )
    assert [line["options"] for line in lines[:2]] == [["mugs", "cups"], ["lamps", "mugs"]]
    assert lines[3]["reason"].startswith("incomplete: cc chooses among options")


def test_a_stopped_run_goes_on_and_asks_nothing_twice(
    reader: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = without_scores(read(predict(reader, shop).path))
    log = shop / "answers.csv.work" / PREDICTIONS
    lines = log.read_bytes().splitlines(keepends=True)
    assert "16 questions asked, 0 answered before" in capsys.readouterr().err
    (shop / "answers.csv").unlink()
    # What a killed process leaves: some lines, the last one torn.
    log.write_bytes(b"".join(lines[:6]) + lines[6][:20])
    assert without_scores(read(predict(reader, shop).path)) == whole
    assert "10 questions asked, 6 answered before" in capsys.readouterr().err
    ids = [json.loads(line)["id"] for line in log.read_bytes().splitlines()]
    assert sorted(ids) == sorted(json.loads(line)["id"] for line in lines)
    predict(reader, shop)
    assert "0 questions asked, 16 answered before" in capsys.readouterr().err


def test_the_budget_of_a_table_covers_what_earlier_runs_spent(shop: Path) -> None:
    money = {"price_input": 1000, "price_output": 1000, "options": ["mugs", "lamps"], "scoring": "generate"}
    with ChatServer(lambda asked: Canned(completion("mugs"))) as server:
        money |= {"server": server.url, "concurrency": 1}
        predict("openai:tiny", shop, **money)
        asked = len(server.asked)
        with (shop / "products.csv").open("a") as table:
            table.write("6,Another mug,red.jpg,mugs\n")
        # Each answer cost 0.102, and none is known to cost less than its bytes.
        with pytest.raises(RunError, match=r"the budget of 1 is spent: 0\.4080 so far"):
            predict("openai:tiny", shop, **money, budget=1)
    assert asked == 4
    assert len(server.asked) == asked


def test_a_changed_table_asks_its_changed_rows_alone(
    reader: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["mugs", "lamps"]
    before = read(predict(reader, shop, options=options).path)
    table = shop / "products.csv"
    table.write_text(
        "sku,name,pics\n9,A kettle,\n" + table.read_text().partition("\n")[2].replace("A lamp", "A new lamp")
    )
    table.write_text(
        "\n".join(line.rpartition(",")[0] if "|" in line else line for line in table.read_text().splitlines())
    )
    capsys.readouterr()
    after = read(predict(reader, shop, options=options).path)
    assert "2 questions asked, 4 answered before" in capsys.readouterr().err
    kept = [
        {name: value for name, value in row.items() if name != "line"} for row in before if row["id"] in "145"
    ]
    assert [
        {name: value for name, value in row.items() if name != "line"} for row in after if row["id"] in "145"
    ] == kept
    assert len(after) == 6


def test_a_question_that_does_not_fit_costs_its_row_alone(reader: str, shop: Path) -> None:
    table = shop / "products.csv"
    table.write_text(table.read_text().replace("mugs|cups", "|".join("long" * 20 + str(n) for n in range(9))))
    result = predict(reader, shop, options_column="kinds", max_length=600)
    assert read(result.path)[0]["reason"].startswith("does_not_fit: sample own-")
    assert (result.answered, result.reasons["does_not_fit"]) == (2, 1)


def test_another_model_does_not_mix(reader: str, seer: str, shop: Path) -> None:
    predict(reader, shop, options=["mugs", "lamps"])
    with pytest.raises(RunError, match="predictions of another model"):
        predict(seer, shop, options=["mugs", "lamps"])
    assert predict(seer, shop, options=["mugs", "lamps"], overwrite=True).with_images == 2


def test_columns_of_other_texts_are_asked(reader: str, shop: Path) -> None:
    (shop / "products.csv").write_text("sku,name,search,words\n1,A mug,red mug,It is good\n2,A lamp,,\n")
    (shop / "mapping.yaml").write_text("{id: sku, title: name}")
    rows = read(predict(reader, shop, "mpc.csv", task="mpc", query_column="search").path)
    assert rows[0]["answer"].startswith(("exact", "substitute", "complement", "irrelevant"))
    assert rows[1]["reason"] == "incomplete: mpc asks about a query: give a query"
    rows = read(predict(reader, shop, "sa.csv", task="sa", review_column="words").path)
    assert (bool(rows[0]["answer"]), bool(rows[1]["answer"])) == (True, False)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"task": "xx"}, ConfigError, "no such task: xx"),
        ({"task": "sr"}, ConfigError, "several products, and a row of a table has one"),
        ({"task": "prp"}, ConfigError, "several products, and a row of a table has one"),
        ({"task": "psi"}, ConfigError, r"which column of the table has it \(--query-column\)"),
        ({"query_column": "name"}, ConfigError, "cc does not ask about a query"),
        ({"options_column": "gone"}, SourceError, r"no column 'gone' \(options\); it has sku, name"),
        ({"options_column": "kinds", "options": ["a", "b"]}, ConfigError, "options are given"),
        ({"task": "sa", "review_column": "name", "options_column": "kinds"}, ConfigError, "its own answers"),
        ({"options": ["a", " "]}, ConfigError, "option 2 of 2 has no words"),
        ({"out": "answers.xlsx"}, ConfigError, "no format '.xlsx'"),
        ({"out": "products.csv"}, OutputError, "is the table that is read"),
        ({"out": "mapping.yaml.csv"}, OutputError, "no predictions of an earlier run beside it"),
        ({"out": "nowhere/answers.csv"}, OutputError, "there is no folder"),
        ({"mapping": None}, SourceError, "no column id and title; it has sku, name, pics, kinds"),
        ({"contact": "a\nb"}, ConfigError, "printable ASCII"),
        ({"data": "nowhere"}, MmecError, "no dataset 'nowhere'"),
    ],
)
def test_what_cannot_be_asked_is_said(
    reader: str, shop: Path, settings: dict[str, Any], kind: type[MmecError], message: str
) -> None:
    (shop / "mapping.yaml.csv").write_text("mine")
    before = (shop / "products.csv").read_bytes()
    with pytest.raises(kind, match=message):
        predict(reader, shop, **settings)
    assert (shop / "products.csv").read_bytes() == before
    assert (shop / "mapping.yaml.csv").read_text() == "mine"


def test_a_missing_model_or_dataset_is_named(reader: str, shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        caslie_model.ask("nowhere", "cc", title="A mug")
    with pytest.raises(ModelError, match="nowhere"):
        predict("nowhere", shop)
    copy = shutil.copytree(reader, tmp_path / "copy")
    config = (copy / "config.yaml").read_text().splitlines()
    moved = ["data: gone" if line.startswith("data:") else line for line in config]
    (copy / "config.yaml").write_text("\n".join(moved))
    with pytest.raises(
        ConfigError, match=r"those of the training of .*copy cannot be read: no dataset 'gone'"
    ):
        caslie_model.ask(copy, "cc", title="A mug")
    options = ["mugs", "lamps"]
    assert caslie_model.ask(copy, "cc", title="A mug", options=options, device="cpu").answer in options


def command(*arguments: str) -> Any:
    from typer.testing import CliRunner

    from caslie_model.cli.app import app

    return CliRunner().invoke(app, arguments)


def test_the_command_prints_the_answer_above_the_scores(reader: str, shop: Path) -> None:
    words = ("--options", "mugs|lamps", "--options", "rugs", "--set", "device=cpu")
    asked = ("ask", "--model", reader, "--task", "cc", "--title", "A mug", *words)
    lines = command(*asked).stdout.splitlines()
    found = json.loads(command(*asked, "--json").stdout)
    assert lines[0] == f"{found['label']}: {found['answer']} ({found['probability']:.1%})"
    assert [line.split()[-1] for line in lines[1:]] == sorted(
        found["scores"], key=lambda word: -found["scores"][word]
    )


def test_a_model_that_writes_no_answer_is_told_by_the_exit_status(reader: str) -> None:
    # An untrained model writes bytes at random.
    result = command(
        *("ask", "--model", "random:tiny", "--task", "psi", "--query", "a", "--title", "b"),
        *("--scoring", "generate", "--set", "device=cpu"),
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no answer: unparsable" in result.stderr


def test_the_command_predict_answers_a_table(reader: str, shop: Path) -> None:
    out = shop / "answers.csv"
    table = (
        "--table",
        str(shop / "products.csv"),
        "--mapping",
        str(shop / "mapping.yaml"),
        "--out",
        str(out),
    )
    result = command(
        *("predict", "--model", reader, *table, "--task", "cc", "--options-column", "kinds", "--json"),
        *("--set", "device=cpu"),
    )
    counts = json.loads(result.stdout)
    assert (counts["path"], counts["rows"], counts["answered"]) == (str(out), 5, 3)
    assert "1 row: missing_title" in result.stderr
    assert "3 of 5 rows answered" in result.stderr
    assert [row["probability"] != "" for row in read(out)] == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--table", "t.csv"), "say what is asked about each row"),
        (("--table", "t.csv", "--task", "cc", "--limit", "5"), "--limit goes with a dataset"),
        (("--table", "t.csv", "--task", "cc", "--dry-run"), "leave it out with --table"),
        (("--data", "d", "--task", "cc"), "--task goes with --table"),
        (("--data", "d", "--query-column", "q"), "--query-column goes with --table"),
        ((), "--data with a dataset, or --table"),
    ],
)
def test_options_that_do_not_go_together_are_named(arguments: tuple[str, ...], message: str) -> None:
    result = command("predict", "--model", "m", "--out", "o", *arguments)
    assert result.exit_code == 1
    assert message in str(result.exception)


def test_the_budget_of_a_table_covers_earlier_runs(shop: Path) -> None:
    # 120e-6 a question, whose longest answer would cost 380e-6 and more; a budget for ten.
    (shop / "products.csv").write_text(
        "sku,name\n" + "".join(f"{number},Mug {number}\n" for number in range(40))
    )
    prices = {"price_input": 1.0, "price_output": 10.0, "budget": 1200e-6, "concurrency": 1}
    settings = {"options": ["mugs", "lamps"], "scoring": "generate", **prices}
    (shop / "mapping.yaml").write_text("products: {id: sku, title: name}\n")
    with ChatServer(lambda _: Canned(completion("mugs"))) as server:
        for _ in range(3):
            with pytest.raises(RunError, match=r"the budget of 0\.0012 is spent"):
                predict("openai:tiny", shop, server=server.url, **settings)
    assert 5 <= len(server.asked) <= 10
