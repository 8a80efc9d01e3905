"""Questions with known answers, answered from captions alone: figures, controls, models as readers, bad input."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from caslie_model.captions.judging.run import judge
from caslie_model.captions.sidecar import write_captions
from caslie_model.cli.app import app
from caslie_model.config.caption_quality import CaptionQualityConfig
from caslie_model.config.judging import JudgeConfig
from caslie_model.config.presets import caption_quality_config
from caslie_model.data.catalogue import read_catalogue
from caslie_model.errors import ConfigError, RunError
from caslie_model.evaluation.caption_quality import caption_quality, estimate_caption_quality
from caslie_model.evaluation.caption_questions import NOT_STATED, AttributeQuestions, read_product_captions
from mmecinstruct.core.errors import DatasetError, MmecError, SourceError
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.schemas.captions import captions_path
from mmecinstruct.synthetic.shop import product_attributes
from tests.servers.chat_server import Asked, Canned, ChatServer, completion

CC, SA = "category_classification", "sentiment_analysis"
# By product: its colour in the catalogue, and the captions of its image in one sample after the other.
SHOWN = {
    "p1": ("red", ["A red mug."]),
    "p2": ("blue", ["A blue mug.", "A mug."]),
    "p3": ("Red", ["A blue mug.", "A red and blue mug.", "A mug.", "A mug."]),
    "p4": ("blue", [None]),
}

Row = dict[str, Any]


class Shop:
    """A dataset, its captions and a catalogue."""

    def __init__(
        self, folder: Path, write: Callable[[Path, list[Row]], Path], row: Callable[..., Row]
    ) -> None:
        self.folder, self._write, self._row = folder, write, row
        self.lines = ["sku,colour,size"]

    def make(
        self, shown: dict[str, tuple[str, list[str | None]]], task: str = CC, role: str = "product"
    ) -> Shop:
        """Write a sample for each caption."""
        rows, captions = [], []
        for product, (colour, texts) in shown.items():
            self.lines.append(f"{product},{colour},")
            for number, text in enumerate(texts):
                image = product.partition("=")[2] or product
                row = self._row(
                    len(rows),
                    task,
                    "test",
                    images=[{"bytes": image.encode(), "path": f"{image}.jpg"}],
                    image_roles=[role],
                    image_product_ids=[f"shop:{product}"],
                )
                rows.append(row)
                captions.append(
                    {
                        "sample_id": row["id"],
                        "position": 0,
                        "role": role,
                        "image": image,
                        "caption": text,
                        "reason": None if text else "it failed",
                        "captioner": "someone",
                        "fingerprint": str(number),
                    }
                )
        self._write(self.folder / "data", rows)
        write_captions(self.folder / "data" / captions_path("someone", task, "test"), captions, {})
        self.catalogue.write_text("\n".join([*self.lines, ""]))
        return self

    @property
    def catalogue(self) -> Path:
        return self.folder / "products.csv"

    def config(self, *overrides: str, **fields: Any) -> CaptionQualityConfig:
        given = {
            "data": str(self.folder / "data"),
            "captions": "someone",
            "out": self.folder / "out",
            "catalogue": self.catalogue,
            "id_column": "sku",
            "attributes": ("colour",),
        }
        return caption_quality_config(overrides, **{**given, **fields})

    def figures(self, **fields: Any) -> dict[str, Any]:
        return caption_quality(self.config(**fields)).metrics["attributes"]["colour"]

    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "out/answers.jsonl").read_text().splitlines()]


@pytest.fixture
def shop(tmp_path: Path, write_rows: Callable[[Path, list[Row]], Path], row: Callable[..., Row]) -> Shop:
    return Shop(tmp_path, write_rows, row)


class TestFigures:
    def test_captions_are_averaged_within_their_product(self, shop: Shop) -> None:
        found = shop.make(SHOWN).figures()
        assert (found["products"], found["units"], found["values"]) == (4, 4, 2)
        assert found["recall"]["value"] == pytest.approx((1 + 1 / 2 + 1 / 4 + 0) / 4)
        assert found["wrong"]["value"] == pytest.approx((0 + 0 + 1 / 4 + 0) / 4)
        assert found["not_stated"]["value"] == pytest.approx((0 + 1 / 2 + 1 / 2 + 1) / 4)
        # p3 states two values once and one once, of which one and one are wrong; p4 states none.
        assert found["false_statements"]["value"] == pytest.approx((0 + 0 + (1 + 1 / 2) / 2) / 3)
        assert found["false_statements"]["units"] == 3
        assert found["most_frequent"] == {"value": "blue", "recall": 0.5}
        assert found["told"]["recall"]["value"] == 1
        low, high = found["recall"]["interval"]
        assert low < found["recall"]["value"] < high

    def test_the_control_reads_captions_of_other_products(self, shop: Shop) -> None:
        found = shop.make({f"p{number}": ("red" if number % 2 else "blue", ["red"]) for number in range(40)})
        figures = found.figures()
        assert figures["recall"]["value"] == figures["blind"]["recall"]["value"] == 0.5
        assert figures["above_blind"]["value"] == 0
        blind = [line for line in shop.answers() if line.get("control") == "blind"]
        assert len(blind) == 40
        assert all(line["caption_of"] != line["product"] for line in blind)

    def test_captions_that_say_all_are_far_above_those_of_others(self, shop: Shop) -> None:
        colours = ("red", "blue", "green", "pink", "black")
        found = shop.make({f"p{i}": (colours[i % 5], [f"a {colours[i % 5]} thing"]) for i in range(50)})
        low, _ = found.figures()["above_blind"]["interval"]
        assert low > 0.5

    def test_products_with_one_image_are_one_unit(self, shop: Shop) -> None:
        found = shop.make(
            {f"p{number}=same": ("red", ["red"]) for number in range(5)} | {"q": ("blue", ["red"])}
        )
        figures = found.figures()
        assert (figures["products"], figures["units"]) == (6, 2)
        assert figures["recall"]["value"] == 0.5

    def test_captions_that_a_judge_drops_count_as_missing(self, shop: Shop) -> None:
        data = str(shop.make(SHOWN).folder / "data")
        for name in ("all", "none"):
            judge(JudgeConfig(data=data, captions="someone", judge=name, tasks=("cc",)))
        kept = shop.figures(captions="someone/all")
        assert kept == shop.figures(out=shop.folder / "whole")
        dropped = shop.figures(captions="someone/none", out=shop.folder / "dropped")
        assert dropped["products"] == kept["products"]
        assert dropped["not_stated"]["value"] == 1

    def test_one_product_alone_has_no_control_and_the_widest_interval(self, shop: Shop) -> None:
        found = shop.make({"p1": ("red", ["red"])}).figures()
        assert found["recall"] == {"value": 1.0, "interval": [0.0, 1.0], "units": 1}
        assert found["blind"]["recall"]["value"] is found["above_blind"]["value"] is None

    def test_each_of_several_values_in_a_cell_is_right(self, shop: Shop) -> None:
        shown = {"p1": ("red|blue", ["blue"]), "p2": ("green | red", ["blue"])}
        found = shop.make(shown).figures()
        assert (found["recall"]["value"], found["values"]) == (0.5, 3)
        whole = shop.figures(value_separator=None, out=shop.folder / "whole")
        assert (whole["recall"]["value"], whole["values"]) == (0.0, 2)

    def test_photographs_of_reviewers_are_left_out(self, shop: Shop) -> None:
        shop.make(SHOWN)
        shop.make({"p9": ("red", ["a blue mug"])}, SA, "review")
        assert shop.figures()["products"] == 4

    def test_a_limit_takes_products_by_hash_and_keeps_them_when_raised(self, shop: Shop) -> None:
        shop.make({f"p{number}": ("red", ["red"]) for number in range(12)})
        catalogue = read_catalogue(shop.catalogue, "sku", ("colour",))
        four, eight = (
            set(read_product_captions(shop.config(limit=limit), catalogue).captions) for limit in (4, 8)
        )
        assert len(four) == 4
        assert four < eight
        assert len(eight) == 8

    def test_every_answer_can_be_traced(self, shop: Shop) -> None:
        shop.make(SHOWN).figures()
        assert {
            "attribute": "colour",
            "product": "p3",
            "right": ["red"],
            "stated": ["blue", "red"],
            "outcome": "right",
            "caption": "A red and blue mug.",
            "sample_id": f"{CC}-test-0004",
            "position": 0,
            "image": "p3",
            "times": 1,
        } in shop.answers()
        [twice] = [
            line
            for line in shop.answers()
            if (line["product"], line["caption"]) == ("p3", "A mug.")
            if "control" not in line
        ]
        assert (twice["times"], twice["outcome"]) == (2, "not stated")

    def test_without_a_catalogue_the_ground_truth_of_the_sample_shop_is_asked(self, shop: Shop) -> None:
        truth = product_attributes(SampleShopSettings(products=60), 3)
        shop.make({name: ("", [f"a {each['colour']} thing"]) for name, each in list(truth.items())[:20]})
        (shop.folder / "data/recipe.yaml").write_text(
            "name: made\nseed: 3\nsample: {products: 60}\nsources: []\n"
        )
        metrics = caption_quality(shop.config(catalogue=None, attributes=())).metrics
        assert list(metrics["attributes"]) == ["colour", "pattern", "shape"]
        assert metrics["attributes"]["colour"]["recall"]["value"] == 1
        assert metrics["attributes"]["pattern"]["not_stated"]["value"] == 1


class TestQuestions:
    def questions(self, shop: Shop, values: int, **fields: Any) -> tuple[AttributeQuestions, Any]:
        shop.make({f"p{i}": (f"value{i % values}", [f"text {i}"]) for i in range(200)})
        config = shop.config(**fields)
        catalogue = read_catalogue(shop.catalogue, "sku", ("colour",))
        made = AttributeQuestions("colour", catalogue, config)
        return made, [
            each for each in made.asked(read_product_captions(config, catalogue)) if not each.control
        ]

    def test_the_right_value_is_always_there_and_at_no_place_of_its_own(self, shop: Shop) -> None:
        made, asked = self.questions(shop, values=40, options=5)
        places: Counter[str] = Counter()
        silent: Counter[str] = Counter()
        for each in asked:
            options = made.question(each).sample.options
            assert len(options) == 6
            letters = {words: letter for letter, words in options.items()}
            [right] = each.right
            places[letters[right]] += 1
            silent[letters[NOT_STATED]] += 1
        assert set(places) == set(silent) == set("ABCDEF")
        assert max(places.values()) < 60
        assert max(silent.values()) < 60

    def test_a_question_tells_nothing_of_the_product(self, shop: Shop) -> None:
        made, asked = self.questions(shop, values=4)
        sample = made.question(asked[0]).sample
        assert asked[0].product not in json.dumps([sample.instruction, sample.id, *sample.options.values()])
        assert [field.texts for field in sample.fields] == [(asked[0].caption.caption,)]

    def test_equal_captions_are_one_question(self, shop: Shop) -> None:
        shop.make({f"p{i}": ("red" if i % 2 else "blue", ["the same"]) for i in range(20)})
        # Its own and those of others, and a plain sentence for each value.
        assert estimate_caption_quality(shop.config(reader="random:tiny")) == {
            "products": 20,
            "captions": 20,
            "questions": 3,
        }


class TestModels:
    def test_a_model_reads_and_a_stopped_run_goes_on(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shop.make(SHOWN)
        fields = {"reader": "random:tiny", "device": "cpu"}
        found = shop.figures(**fields)
        assert "finds" in capsys.readouterr().err
        assert found["recall"]["value"] + found["wrong"]["value"] + found["not_stated"]["value"] == 1
        log = shop.folder / "out/reader/predictions.jsonl"
        whole = log.read_text().splitlines(keepends=True)
        log.write_text("".join(whole[:3]) + whole[3][:20])
        assert shop.figures(**fields) == found
        again = log.read_text().splitlines()

        def told(lines: Sequence[str]) -> list[tuple[str, str]]:
            return sorted((line["id"], line["prediction"]) for line in map(json.loads, lines))

        # Scores differ in their last digits, as batches are others.
        assert told(again) == told(whole)
        assert all(line["outcome"] != "unread" for line in shop.answers())

    def test_a_server_that_can_read_finds_what_is_stated_and_is_asked_once(self, shop: Shop) -> None:
        def read(asked: Asked) -> Canned:
            _, description = asked.text.split("description: ")
            said = description.split("Options:")[0]
            return Canned(completion(next((each for each in ("red", "blue") if each in said), NOT_STATED)))

        shop.make(SHOWN)
        with ChatServer(read) as server:
            fields = {"reader": "openai:tiny", "server": server.url, "scoring": "generate"}
            found = shop.figures(**fields)
            count = len(server.asked)
            assert shop.figures(**fields) == found
            assert len(server.asked) == count
            assert "image_url" not in json.dumps([each.body for each in server.asked])
        # Of the two colours of one caption the server names the right one.
        assert found["recall"]["value"] == pytest.approx((1 + 1 / 2 + 1 / 4 + 0) / 4)
        assert found["told"]["recall"]["value"] == 1
        assert found["unread"] == 0

    def test_requests_without_an_answer_are_told_and_asked_again(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shop.make({"p1": ("red", ["red"]), "p2": ("blue", ["blue"])})
        refused = {"yes": True}

        def read(asked: Asked) -> Canned:
            if refused["yes"] and "description: red" in asked.text:
                return Canned({"error": {"message": "no"}}, status=400)
            return Canned(completion("red" if "red" in asked.text.split("Options:")[0] else "blue"))

        with ChatServer(read) as server:
            fields = {"reader": "openai:tiny", "server": server.url, "scoring": "generate"}
            assert shop.figures(**fields)["unread"] == 1
            assert "asks those without an answer again" in capsys.readouterr().err
            refused["yes"] = False
            assert shop.figures(**fields)["recall"]["value"] == 1

    def test_generated_words_that_are_no_option_count_as_not_stated(self, shop: Shop) -> None:
        found = shop.make(SHOWN).figures(reader="random:tiny", device="cpu", scoring="generate")
        assert found["unread"] == sum(
            line["outcome"] == "unread" and "control" not in line for line in shop.answers()
        )
        assert found["unread"]
        assert found["not_stated"]["value"] >= found["unread"] / 8

    def test_other_settings_of_the_reader_do_not_mix(self, shop: Shop) -> None:
        shop.make(SHOWN).figures(reader="random:tiny", device="cpu")
        with pytest.raises(RunError, match=r"\(scoring differ\); give another folder, or --overwrite"):
            shop.figures(reader="random:tiny", device="cpu", scoring="generate")


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"catalogue": "none.csv"}, SourceError, "there is no such file"),
        ({"attributes": ("color",)}, SourceError, r"no column .color. \(attributes: color\)"),
        ({"id_column": "id"}, SourceError, r"no column .id. \(id_column\)"),
        ({"id_column": "colour"}, DatasetError, r"such as shop:p1\).*is id_column=colour the right one"),
        ({"attributes": ("size",)}, DatasetError, "has a value of size in"),
        ({"captions": "other"}, ConfigError, r"has no captions 'other' \(there are: someone\)"),
        ({"captions": "../x"}, ConfigError, "no name of captions"),
        ({"tasks": ("sr",)}, ConfigError, "there are none of these tasks"),
        ({"captions_from": "nowhere"}, ConfigError, "nowhere has no captions 'someone'"),
        ({"catalogue": None, "attributes": ()}, ConfigError, "not built from the sample shop"),
        ({"attributes": ()}, ConfigError, "give attributes"),
        ({"reader": "openai:x"}, ConfigError, "give `server`"),
        ({"server": "http://127.0.0.1:1/v1"}, ConfigError, "give reader=openai:words"),
        ({"reader": "no-such-model"}, MmecError, "no-such-model"),
    ],
)
def test_bad_input_is_named_with_its_remedy(
    change: dict[str, Any], kind: type[Exception], said: str, shop: Shop
) -> None:
    shop.make(SHOWN)
    with pytest.raises(kind, match=said):
        caption_quality(shop.config(**change))


def test_captions_of_another_dataset_are_named(shop: Shop, tmp_path: Path) -> None:
    shop.make(SHOWN)
    other = shop.folder / "other"
    (shop.folder / "data").rename(other)
    shop.make({"p1": ("red", ["red"])})
    with pytest.raises(
        RunError, match=r"has no image 0 \(product\) of sample .*-0001 \(.*\); run `caslie_model caption`"
    ):
        caption_quality(shop.config(captions_from=other))


def test_damaged_captions_are_named(shop: Shop) -> None:
    shop.make(SHOWN)
    (shop.folder / "data" / captions_path("someone", CC, "test")).write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="is damaged"):
        caption_quality(shop.config())


def test_the_folder_of_another_command_is_left_alone(shop: Shop) -> None:
    shop.make(SHOWN)
    with pytest.raises(MmecError, match="lies inside"):
        caption_quality(shop.config(out=shop.folder / "data/quality"))


class TestTheCommand:
    def run(self, shop: Shop, *more: str) -> Any:
        given = [
            "--data",
            str(shop.folder / "data"),
            "--captions",
            "someone",
            "--out",
            str(shop.folder / "out"),
        ]
        table = ["--catalogue", str(shop.catalogue), "--id-column", "sku", "--attributes", "colour"]
        return CliRunner().invoke(app, ["caption-quality", *given, *table, *more])

    def test_it_prints_a_table_or_json(self, shop: Shop) -> None:
        shop.make(SHOWN)
        shown = self.run(shop)
        assert shown.exit_code == 0, shown.output
        assert "colour" in shown.stdout
        assert "0.438" in shown.stdout
        printed = json.loads(self.run(shop, "--json").stdout)
        assert printed == json.loads((shop.folder / "out/metrics.json").read_text())

    def test_a_dry_run_writes_nothing(self, shop: Shop) -> None:
        shop.make(SHOWN)
        counted = json.loads(self.run(shop, "--dry-run", "--json").stdout)
        assert counted == {"products": 4, "captions": 7, "questions": 0}
        assert not (shop.folder / "out").exists()

    def test_bad_input_ends_with_a_message(self, shop: Shop) -> None:
        result = self.run(shop.make(SHOWN), "--attributes", "color")
        assert isinstance(result.exception, SourceError)
