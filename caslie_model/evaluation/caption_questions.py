"""What is asked of captions: the captions of products, the values that are right, and the questions for a model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from caslie_model.config.caption_quality import CaptionQualityConfig
from caslie_model.data.catalogue import ROLE_OF_OTHERS, Catalogue, catalogue_id
from caslie_model.data.own_samples import LETTERS, OWN
from caslie_model.data.samples import InputField, Sample, read_columns
from caslie_model.errors import ConfigError, RunError
from caslie_model.inference.questions import Question
from mmecinstruct.core.errors import DatasetError
from mmecinstruct.core.hashing import fingerprint, hash_draw
from mmecinstruct.duplicates.clusters import connected_components
from mmecinstruct.schemas.captions import CAPTIONS, CAPTIONS_FOLDER, captions_path, is_captioner_name

NOT_STATED = "the description does not say"
_TASK = "caption quality"

Row: TypeAlias = dict[str, Any]
Control: TypeAlias = Literal["", "blind", "told"]


@dataclass(frozen=True, slots=True)
class ProductCaption:
    """A caption of an image of a product.

    Attributes:
        product: The product's id in the catalogue.
        sample: The first sample that has it.
        position: Which image of that sample.
        image: SHA-256 of the image.
        caption: The text; None where the captioner gave none.
        times: How many samples show this image with this caption.
    """

    product: str
    sample: str
    position: int
    image: str
    caption: str | None
    times: int = 1


@dataclass(frozen=True)
class ReadCaptions:
    """The captions of products that a catalogue has.

    Attributes:
        captions: By product.
        units: The unit of each product: products that show one image are one.
        captioners: Who wrote them.
    """

    captions: Mapping[str, Sequence[ProductCaption]]
    units: Mapping[str, str]
    captioners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A caption that is asked for an attribute of a product.

    Attributes:
        attribute: The attribute.
        product: The product whose values are right.
        right: Its values; each is right.
        caption: The caption.
        control: "" for the product's own caption; "blind" for one of another product, "told" for a sentence that says
            the right values, which shows what the reader can read.
    """

    attribute: str
    product: str
    right: frozenset[str]
    caption: ProductCaption
    control: Control = ""


def read_product_captions(config: CaptionQualityConfig, catalogue: Catalogue) -> ReadCaptions:
    """Return the captions of the dataset's products that are in the catalogue.

    Args:
        config: Dataset, captions, tasks, splits and limit.
        catalogue: Attributes by product id.

    Returns:
        Captions by product. Images that reviewers took are left out.

    Raises:
        ConfigError: If there are no such captions.
        RunError: If captions are of another dataset.
        DatasetError: If no captioned product is in the catalogue.
    """
    found: dict[str, dict[tuple[str, str | None], ProductCaption]] = defaultdict(dict)
    times: Counter[tuple[str, str, str | None]] = Counter()
    captioners: set[str] = set()
    unknown: str | None = None
    for row, owner in _rows(config):
        captioners.add(row["captioner"])
        product = catalogue_id(owner, catalogue)
        if product is None:
            unknown = unknown or owner
            continue
        each = ProductCaption(
            product, row["sample_id"], row["position"], row["image"], row["caption"] or None
        )
        found[product].setdefault((each.image, each.caption), each)
        times[product, each.image, each.caption] += 1
    if not found and unknown is None:
        raise DatasetError(
            f"{config.captions}: no caption of these tasks and splits is of a product's own image; caption more tasks"
        )
    if not found:
        where = "the sample shop of its recipe"
        if config.catalogue is not None:
            where = f"{config.catalogue}; is id_column={config.id_column} the right one?"
        raise DatasetError(
            f"no captioned product of {config.data} (such as {unknown}) has a value of "
            f"{', '.join(config.asked_attributes)} in {where}"
        )
    chosen = sorted(found, key=lambda name: (hash_draw(config.seed, "caption quality products", name), name))
    captions = {
        name: tuple(
            ProductCaption(name, each.sample, each.position, image, text, times[name, image, text])
            for (image, text), each in found[name].items()
        )
        for name in chosen[: config.limit]
    }
    nodes = [(f"p {name}", f"i {each.image}") for name, several in captions.items() for each in several]
    roots = connected_components((node for pair in nodes for node in pair), nodes)
    return ReadCaptions(captions, {name: roots[f"p {name}"] for name in captions}, tuple(sorted(captioners)))


def _rows(config: CaptionQualityConfig) -> Iterator[tuple[Row, str]]:
    """Yield rows of captions, each with the id of the product that the image belongs to."""
    root = config.captions_from or Path(config.data)
    folder = root / CAPTIONS_FOLDER / config.captions
    if not folder.is_dir():
        there = sorted(
            each.name for each in (root / CAPTIONS_FOLDER).glob("*") if is_captioner_name(each.name)
        )
        raise ConfigError(
            f"captions={config.captions}: there is no folder {folder}"
            + (f"; there are captions {', '.join(there)}" if there else "")
            + f"; caption the images first: `caslie_model caption --data {config.data} --captioner …`"
        )
    any_there = False
    for task in config.tasks:
        for split in config.splits:
            path = root / captions_path(config.captions, task, split)
            if not path.is_file():
                continue
            any_there = True
            columns = ("id", "image_roles", "image_product_ids")
            samples = {row["id"]: row for row in read_columns(config.data, task, split, columns)}
            yield from _rows_of(config, path, samples)
    if not any_there:
        raise ConfigError(
            f"{folder} has no captions of these tasks in {', '.join(config.splits)}; caption them first: "
            f"`caslie_model caption --data {config.data} --captioner …`"
        )


def _rows_of(
    config: CaptionQualityConfig, path: Path, samples: Mapping[str, Row]
) -> Iterator[tuple[Row, str]]:
    for row in read_caption_rows(path):
        sample, position = samples.get(row["sample_id"], {}), row["position"]
        roles = sample.get("image_roles") or []
        if not 0 <= position < len(roles) or roles[position] != row["role"]:
            raise RunError(
                f"{path} captions another dataset, or one that was built anew: {config.data} has no image {position} "
                f"({row['role']}) of sample {row['sample_id']}; run `caslie_model caption` again, or give "
                "the name of others"
            )
        owner = dict(enumerate(sample.get("image_product_ids") or [])).get(position)
        if owner and row["role"] != ROLE_OF_OTHERS:
            yield row, owner


def read_caption_rows(path: Path) -> list[Row]:
    """Return the rows of a file of captions.

    Args:
        path: The file.

    Raises:
        RunError: If it is damaged.
    """
    try:
        return pq.read_table(path, schema=CAPTIONS).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise RunError(f"{path} is damaged ({error}); caption the images again, with --overwrite") from None


class AttributeQuestions:
    """What is asked of one attribute.

    Args:
        attribute: The attribute.
        catalogue: Attributes by product id; all values that it has can be answered.
        config: How values are divided, how many a model chooses among, and the seed.
    """

    def __init__(self, attribute: str, catalogue: Catalogue, config: CaptionQualityConfig) -> None:
        self.attribute = attribute
        self._name = attribute.replace("_", " ")
        self._config = config
        written: dict[str, Counter[str]] = defaultdict(Counter)
        self._keys: dict[str, tuple[str, ...]] = {}
        for product, attributes in catalogue.items():
            values = _values(attributes.get(attribute, ""), config.value_separator)
            self._keys[product] = tuple(value.casefold() for value in values)
            for value in values:
                written[value.casefold()][value] += 1
        # Of several ways to write a value in capitals, the most frequent.
        self._names = {
            key: min(forms, key=lambda form: (-forms[form], form.swapcase()))
            for key, forms in written.items()
        }
        self.values = tuple(self._names[key] for key in sorted(self._names))

    def right(self, product: str) -> frozenset[str]:
        """Return a product's values; none where the catalogue does not tell."""
        return frozenset(self._names[key] for key in self._keys.get(product, ()))

    def asked(self, read: ReadCaptions) -> list[Asked]:
        """Return what is asked: each product of its own captions, of those of another, and of the right values told.

        Args:
            read: The captions.

        Returns:
            By product, in hash order. A product is not asked of another's captions where no other unit has the
            attribute.
        """
        products = [product for product in read.captions if self.right(product)]
        asked: list[Asked] = []
        for place, product in enumerate(products):
            around = (products[(place + step) % len(products)] for step in range(1, len(products)))
            other = next((each for each in around if read.units[each] != read.units[product]), None)
            right = self.right(product)
            told = f"The {self._name} of the product is {' and '.join(sorted(right))}."
            controls: tuple[tuple[Control, Sequence[ProductCaption]], ...] = (
                ("", read.captions[product]),
                ("blind", read.captions[other] if other is not None else ()),
                ("told", (ProductCaption(product, "", 0, "", told),)),
            )
            asked += [
                Asked(self.attribute, product, right, caption, control)
                for control, captions in controls
                for caption in captions
            ]
        return asked

    def question(self, asked: Asked) -> Question | None:
        """Return the question for a model, None where there is no caption to read.

        Letters and places of the options are hash draws of the caption: the right value has no place of its own. The
        same caption with the same options is one question, whatever the product.

        Args:
            asked: What is asked.
        """
        caption = asked.caption.caption
        if caption is None:
            return None
        seed, most = self._config.seed, self._config.options

        def drawn(values: Iterable[str], purpose: str) -> list[str]:
            return sorted(
                values,
                key=lambda value: (hash_draw(seed, purpose, self.attribute, caption, value), value),
            )

        right = drawn(asked.right, "caption quality options")[: most - 1]
        others = drawn(set(self.values) - asked.right, "caption quality options")[: most - len(right)]
        options = drawn([*right, *others, NOT_STATED], "caption quality letters")
        instruction = f"What is the {self._name} of the product? Answer from the description alone."
        return Question(
            Sample(
                id=fingerprint([instruction, caption, options])[:20],
                task=_TASK,
                split=OWN,
                category="",
                instruction=instruction,
                instruction_unseen=None,
                fields=(InputField("description", (caption,), False),),
                options=dict(zip(LETTERS, options, strict=False)),
                output="",
                visual_critical=None,
                text_only_accuracy=None,
            )
        )


def _values(cell: str, separator: str | None) -> list[str]:
    parts = [cell] if separator is None else cell.split(separator)
    return list(dict.fromkeys(value for part in parts if (value := " ".join(part.split()))))
