"""Small dataset folders in the published schema, of text alone and with rendered images; a cache for the tiny model."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

GOOD = ("lovely", "sturdy", "bright", "comfortable", "reliable", "excellent")
BAD = ("broken", "flimsy", "dull", "painful", "useless", "terrible")
THINGS = ("mug", "lamp", "chair", "rug", "kettle", "clock", "shelf", "pillow")
COLOURS = {"red": (205, 45, 40), "green": (40, 160, 60), "blue": (40, 70, 200)}


def make_row(number: int, task: str, split: str, **changes: Any) -> dict[str, Any]:
    """Return a published row: a yes/no question for AP, five options for SA, items and titles for SR."""
    good = number % 2 == 0
    word, thing = (GOOD if good else BAD)[number // 2 % 6], THINGS[number % 8]
    text = f"The {thing} is {word}, order {number}."
    options: list[str] = []
    if task == "answerability_prediction":
        content: Any = {"question": f"Is the {thing} good?", "document": [text, "It came on a Monday."]}
        output = "yes" if good else "no"
    elif task == "sentiment_analysis":
        content = {"review": text}
        options = ["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"]
        output = "A" if good else "E"
    elif task == "sequential_recommendation":
        content = [f"{i + 1}th: {THINGS[(number + i) % 8]}" for i in range(4)]
        options = [f"{letter}: {THINGS[(number + i) % 8]} set" for i, letter in enumerate("ABCD")]
        output = "ABCD"[number % 4]
    else:
        content = {"title": f"{word} {thing}"}
        options = ["A: mugs", "B: lamps", "C: chairs"]
        output = "ABC"[number % 3]
    test = split in ("test", "test_ood")
    row = {
        "id": f"{task}-{split}-{number:04d}",
        "task": task,
        "split": split,
        "setting": "OOD" if split == "test_ood" else "IND",
        "category": "Home",
        "source": "made",
        "instruction": "Answer the question about the product.",
        "instruction_id": "base/1",
        "instruction_unseen": "Say what holds for the product." if test else None,
        "instruction_unseen_id": "5/1" if test else None,
        "input": json.dumps(content),
        "options": options,
        "output": output,
        "images": [],
        "image_roles": [],
        "image_urls": [],
        "image_ids": [],
        "image_product_ids": [],
        "product_ids": [f"p{number}"],
        "group_ids": {"products": [f"p{number}"], "clusters": [], "user": None, "query": None},
        "visual_critical": number % 3 == 0,
        "text_only_accuracy": 0.5 if number % 3 == 0 else 1.0,
        "schema_version": "1.0",
    }
    return {**row, **changes}


def render_colour(colour: str, number: int) -> bytes:
    """Return a JPEG of a field of that colour; the number decides its shade and a patch on it, so that all differ."""
    from PIL import Image, ImageDraw

    generator = random.Random(number)
    shade = generator.uniform(0.8, 1.15)
    image = Image.new("RGB", (48, 40), tuple(min(255, round(part * shade)) for part in COLOURS[colour]))
    left, top = generator.randrange(36), generator.randrange(28)
    ImageDraw.Draw(image).rectangle((left, top, left + 8, top + 8), fill=(generator.randrange(256),) * 3)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


@dataclass(frozen=True)
class ShownProduct:
    """A product whose colour only its image shows, and, for catalogues, the end of its id."""

    id: str
    colour: str
    image: bytes


def make_product(seed: str, colour: str | None = None) -> ShownProduct:
    """Return a product of a colour, or of a random one."""
    generator = random.Random(seed)
    colour = colour or generator.choice(sorted(COLOURS))
    return ShownProduct(f"shop:{seed}-{colour}", colour, render_colour(colour, generator.randrange(2**32)))


def make_image_row(number: int, task: str, split: str, shows: bool = True, **changes: Any) -> dict[str, Any]:
    """Return a published row whose answer is a colour that no text names.

    Of one product (CC: `product`, SA: `review`), of two (PRP: which colour has product 2), or of the last entry of a
    history (SR, with images of all but its first entry, and of two of three options). shows: false for a row
    without images.
    """
    generator = random.Random(f"{task} {split} {number}")
    thing = generator.choice(THINGS)
    colours = generator.sample(sorted(COLOURS), len(COLOURS))
    options = [f"{letter}: {colour}" for letter, colour in zip("ABC", colours, strict=True)]

    def product(name: str, colour: str | None = None) -> ShownProduct:
        return make_product(f"{task}-{split}-{number}-{name}", colour)

    if task == "product_relation_prediction":
        content: Any = {"product 1": f"a {thing}", "product 2": f"another {thing}"}
        shown = {"product 1": product("a"), "product 2": product("b")}
        instruction, asked = "Which colour has product 2?", "product 2"
    elif task == "sequential_recommendation":
        length = generator.randrange(2, 5)
        content = [f"{position}: a {generator.choice(THINGS)}" for position in range(1, length + 1)]
        shown = {f"history {position}": product(f"h{position}") for position in range(2, length + 1)}
        shown |= {f"option {letter}": product(letter, colours["ABC".index(letter)]) for letter in "AC"}
        instruction, asked = "Which colour had the last purchase?", f"history {length}"
    else:
        content = {"title": f"a {thing}"}
        asked = "review" if task == "sentiment_analysis" else "product"
        shown = {asked: product("a")}
        instruction = "Which colour is it?"
    answer = "ABC"[colours.index(shown[asked].colour)]
    images = shown if shows else {}
    row = make_row(number, task, split)
    return {
        **row,
        "instruction": instruction,
        "input": json.dumps(content),
        "options": options,
        "output": answer,
        "images": [{"bytes": each.image, "path": f"{each.id}.jpg"} for each in images.values()],
        "image_roles": list(images),
        "image_urls": [""] * len(images),
        "image_ids": [each.id for each in images.values()],
        "image_product_ids": [each.id for each in images.values()],
        "visual_critical": True,
        "text_only_accuracy": 1 / 3,
        **changes,
    }


def write_dataset(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as a dataset folder: one shard per task and split, and a card that lists them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mmecinstruct.schemas.samples import published_schema

    by_task: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        by_task.setdefault(row["task"], {}).setdefault(row["split"], []).append(row)
    card = ["---", "configs:"]
    for task, splits in by_task.items():
        (folder / task).mkdir(parents=True, exist_ok=True)
        card += [f"- config_name: {task}", "  data_files:"]
        for split, content in splits.items():
            table = pa.Table.from_pylist(content, schema=published_schema())
            pq.write_table(table, folder / task / f"{split}-00000-of-00001.parquet")
            card += [f"  - split: {split}", f"    path: {task}/{split}-*.parquet"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]), encoding="utf-8")
    return folder


def make_dataset(folder: Path, tasks: dict[str, dict[str, int]]) -> Path:
    """Write a dataset folder with so many samples per task and split."""
    offsets = {"train": 0, "validation": 1000, "test": 2000, "test_ood": 3000}
    return write_dataset(
        folder,
        [
            make_row(offsets[split] + number, task, split)
            for task, splits in tasks.items()
            for split, count in splits.items()
            for number in range(count)
        ],
    )


@pytest.fixture(scope="session")
def row() -> Callable[..., dict[str, Any]]:
    return make_row


@pytest.fixture(scope="session")
def write_rows() -> Callable[[Path, list[dict[str, Any]]], Path]:
    return write_dataset


@pytest.fixture(scope="session")
def image_row() -> Callable[..., dict[str, Any]]:
    return make_image_row


@pytest.fixture(scope="session")
def render() -> Callable[[str, int], bytes]:
    return render_colour


@pytest.fixture(scope="session", autouse=True)
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests share one cache of their own, unless the caller names one."""
    patch = pytest.MonkeyPatch()
    if "CASLIE_MODEL_CACHE" not in os.environ:
        patch.setenv("CASLIE_MODEL_CACHE", str(tmp_path_factory.mktemp("model_cache")))
    yield Path(os.environ["CASLIE_MODEL_CACHE"])
    patch.undo()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"train": 40, "test": 12}
    return make_dataset(
        tmp_path_factory.mktemp("dataset"),
        {
            "answerability_prediction": {**sizes, "test_ood": 6},
            "sentiment_analysis": {**sizes, "test_ood": 6},
            "sequential_recommendation": sizes,
            "multiclass_product_classification": sizes,
        },
    )


@pytest.fixture(scope="session")
def image_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose answers only the images tell; every fourth sample has none. SR shows several images."""
    tasks = {
        "product_relation_prediction": {"train": 12, "test": 6},
        "category_classification": {"train": 12, "test": 6, "test_ood": 3},
        "sentiment_analysis": {"train": 4},
        "sequential_recommendation": {"train": 8, "test": 6},
    }
    return write_dataset(
        tmp_path_factory.mktemp("image_dataset"),
        [
            make_image_row(number, task, split, shows=number % 4 != 3)
            for task, splits in tasks.items()
            for split, count in splits.items()
            for number in range(count)
        ],
    )


def make_shop(folder: Path) -> Path:
    """Write pairs of products of two colours, shown in 0 to 3 images each; the answer is only in the images."""
    import io

    from PIL import Image

    def image(colour: str, number: int) -> dict[str, Any]:
        stream = io.BytesIO()
        Image.new("RGB", (24 + number, 24), colour).save(stream, "PNG")
        return {"bytes": stream.getvalue(), "path": None}

    rows = []
    for number in range(24):
        shown = (2, 0, 1, 3)[number % 4]
        rows.append(
            make_row(
                number,
                "product_relation_prediction",
                "train",
                input=json.dumps(
                    {f"product {i}": "long " * (number % 5) + THINGS[(number + i) % 8] for i in (1, 2)}
                ),
                images=[image(("red", "blue")[(number + i) % 2], number % 6) for i in range(shown)],
                image_roles=["product 1", "product 2", "product 1"][:shown],
            )
        )
    return write_dataset(folder, rows)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def contrary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A is always right in the train split, C in the validation split: learning A raises the validation loss."""
    counts = (("train", 16, "A"), ("validation", 6, "C"))
    return write_dataset(
        tmp_path_factory.mktemp("contrary"),
        [
            make_image_row(number, "category_classification", split, shows=number % 4 != 3, output=answer)
            for split, count, answer in counts
            for number in range(count)
        ],
    )


@pytest.fixture(scope="session")
def captioned_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products with captions `made`; the judge `vote` keeps those of even samples. Every fourth has no image."""
    from tests.caslie_model.captioned import caption_all, judge_all

    sizes = {"train": 12, "validation": 4, "test": 6}
    rows = [
        make_image_row(number, "category_classification", split, shows=number % 4 != 3)
        for split, count in sizes.items()
        for number in range(count)
    ]
    data = write_dataset(tmp_path_factory.mktemp("captioned") / "data", rows)
    caption_all(data)
    judge_all(data, lambda row: int(row["sample_id"].rpartition("-")[2]) % 2 == 0)
    return data


@pytest.fixture(scope="session")
def caption_adapter(captioned_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of `fusion: caption`, with the captions `made/vote`."""
    from caslie_model.config.presets import finetune_config
    from caslie_model.training.finetune import finetune

    settings = ("fusion=caption", "captions=made/vote", "tasks=[cc]", "samples_per_task=8", "batch_size=4")
    # Captions are named by another folder, which is nobody else's business.
    fields = {"data": str(captioned_data), "captions_from": captioned_data}
    out = tmp_path_factory.mktemp("caption_adapter") / "adapter"
    return finetune(finetune_config("tiny", [*settings, "epochs=1", "device=cpu"], out=out, **fields)).folder


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    from caslie_model.backbones.language_model import locate

    return AutoTokenizer.from_pretrained(locate("random:tiny"))


@pytest.fixture
def prompt_format(tokenizer: Any) -> Any:
    from caslie_model.prompts.encoder import PromptFormat
    from caslie_model.prompts.templates import packaged_templates

    return PromptFormat(tokenizer, *packaged_templates(), "text", 2000)


KINDS = {
    "text": ("fusion=text",),
    "xattn": ("fusion=xattn",),
    "xattn with LoRA": ("fusion=xattn", "with_lora=true"),
}


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The settings of each kind of training that does without visual tokens."""
    return KINDS[request.param]


KILLED_AT_STEP_4 = """
import os, signal, sys
from pathlib import Path
import transformers
from caslie_model.config.presets import load_finetune_config
from caslie_model.training.finetune import finetune

save = transformers.Trainer._save_checkpoint

def die_after_step_4(self, *arguments):
    save(self, *arguments)
    if self.state.global_step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

transformers.Trainer._save_checkpoint = die_after_step_4
finetune(load_finetune_config(Path(sys.argv[1])))
"""


@pytest.fixture
def train_until_killed(tmp_path: Path) -> Callable[[Any], None]:
    """A training in a process of its own that is killed after its checkpoint of step 4."""

    def train(config: Any) -> None:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_AT_STEP_4, str(file)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL

    return train
