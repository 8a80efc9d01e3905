"""The oracle of the sample shop: whether a sample needs its image, and the best accuracy from text alone.

The raw formats do not hold the answer. The oracle finds each sample's source records in the ground truth of the shop
and assigns the sample to the class of all samples whose text carries the same information about the answer:

* category classification: a title with the exact noun determines the answer; an ambiguous noun fits all options of its
  pair.
* substitute identification and multiclass product classification: the noun of the title (exact, the pair's, the other
  category's, a companion's, unrelated), and whether it names the requested look.
* relation prediction: nouns determine companions; within a category two named looks determine the answer, a hidden one
  leaves "viewed" and "similar".
* sentiment analysis: a neutral text leaves all ratings.
* sequential recommendation: each candidate's posterior probability given the titles (`_sequence_evidence`).
* answerability prediction: the text determines the answer.

Where the class determines the answer, `visual_critical` is false and `text_only_accuracy` is 1. Else the accuracy is
the largest share of one answer within the class, over all given samples (of all splits, as a label balance shifts
shares). It is the generator's own share where the class has fewer than `LEAST_SAMPLES`. Both are null where a decisive
image is missing, and for records that are not in the ground truth.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmecinstruct.core.errors import SourceError
from mmecinstruct.synthetic.shop.image_spec import GROUND_TRUTH_FOLDER
from mmecinstruct.synthetic.shop.vocabulary import CATEGORY_BY_NAME, PAIR_NUMBER_BY_NOUN, PAIRS

LEAST_SAMPLES = 30
ORACLE = pa.schema(
    [("id", pa.string()), ("visual_critical", pa.bool_()), ("text_only_accuracy", pa.float64())]
)

Sample = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Determined:
    """The text determines the answer, or no image improves the known accuracy of the best guess from text."""

    accuracy: float = 1.0


@dataclass(frozen=True, slots=True)
class Open:
    """The text leaves the answer open.

    Attributes:
        text_class: Texts of one class carry the same information.
        accuracy: The generator's accuracy of the best guess from text.
        pooled: The accuracy is estimated from the given samples of the class where there are enough of them.
    """

    text_class: str
    accuracy: float
    pooled: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer: the record is not in the ground truth, or a decisive image is missing."""


Evidence = Determined | Open | Unknown


class _GroundTruth:
    """The ground truth of the shop's records, by id; each file is read on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / GROUND_TRUTH_FOLDER
        if not self._folder.is_dir():
            raise SourceError(f"{self._folder}: no ground truth; {folder} is not a sample shop")

    def _rows(self, name: str, columns: list[str]) -> list[Row]:
        rows: list[Row] = pq.read_table(self._folder / f"{name}.parquet", columns=columns).to_pylist()
        return rows

    @cached_property
    def products(self) -> dict[str, Row]:
        """Products by ASIN."""
        columns = [
            "asin",
            "fine_category",
            "colour",
            "pattern",
            "brand",
            "names_category",
            "shows_look",
            "title",
        ]
        return {row["asin"]: row for row in self._rows("products", columns)}

    @cached_property
    def categories(self) -> dict[str, list[Row]]:
        """Products of each top-level category."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.products.values():
            found[_top(row)].append(row)
        return found

    @cached_property
    def queries(self) -> dict[str, Row]:
        """Queries by id."""
        rows = self._rows("queries", ["query_id", "fine_category", "colour", "pattern"])
        return {str(row["query_id"]): row for row in rows}

    @cached_property
    def neutral_reviews(self) -> dict[str, bool]:
        """Whether a review's text is neutral, by review id."""
        return {row["review_id"]: row["neutral"] for row in self._rows("reviews", ["review_id", "neutral"])}

    @cached_property
    def users(self) -> dict[str, Row]:
        """Users by id."""
        return {
            row["user_id"]: row
            for row in self._rows("users", ["user_id", "colour", "pattern", "brand", "bought"])
        }

    def product(self, product_id: str) -> Row | None:
        """Return the product of an id of any source: ESCI's products are the same as Amazon's."""
        return self.products.get(product_id.rpartition(":")[2])


def ask(samples: pa.Table, folder: Path) -> pa.Table:
    """Return whether samples need their images, and the best accuracy from text alone.

    Args:
        samples: Columns id, task, input, options, output, product_ids, record_ids, image_roles and image_product_ids.
        folder: The folder of the sample shop.

    Returns:
        The columns id, visual_critical and text_only_accuracy (0 to 1), in the order of the samples.

    Raises:
        SourceError: The folder holds no sample shop.
    """
    truth = _GroundTruth(folder)
    rows: list[Sample] = samples.select(
        ["id", "task", "input", "options", "output", "product_ids", "record_ids", "image_roles",
         "image_product_ids"]
    ).to_pylist()  # fmt: skip
    found_evidence = [_EVIDENCE_OF_TASK.get(row["task"], _no_evidence)(row, truth) for row in rows]
    outputs: dict[str, Counter[str]] = defaultdict(Counter)
    for row, evidence in zip(rows, found_evidence, strict=True):
        if isinstance(evidence, Open):
            outputs[evidence.text_class][row["output"]] += 1
    found: dict[str, list[Any]] = {"id": [], "visual_critical": [], "text_only_accuracy": []}
    for row, evidence in zip(rows, found_evidence, strict=True):
        critical, accuracy = _figures(evidence, outputs)
        found["id"].append(row["id"])
        found["visual_critical"].append(critical)
        found["text_only_accuracy"].append(accuracy)
    return pa.table(found, schema=ORACLE)


def _figures(evidence: Evidence, outputs: dict[str, Counter[str]]) -> tuple[bool | None, float | None]:
    if isinstance(evidence, Unknown):
        return None, None
    if isinstance(evidence, Determined):
        return False, evidence.accuracy
    counts = outputs[evidence.text_class]
    if evidence.pooled and counts.total() >= LEAST_SAMPLES:
        return True, max(counts.values()) / counts.total()
    return True, evidence.accuracy


def _shows_all(sample: Sample, product_ids: list[str]) -> bool:
    return set(product_ids) <= set(sample["image_product_ids"])


# --- tasks -------------------------------------------------------------------------------------------


def _no_evidence(sample: Sample, truth: _GroundTruth) -> Evidence:
    """Return that nothing is known of a task that the shop was not made for."""
    return Unknown()


def _answerability_evidence(sample: Sample, truth: _GroundTruth) -> Evidence:
    return Determined() if truth.product(sample["product_ids"][0]) else Unknown()


def _category_evidence(sample: Sample, truth: _GroundTruth) -> Evidence:
    product = truth.product(sample["product_ids"][0])
    if product is None:
        return Unknown()
    if product["names_category"]:
        return Determined()
    pair = CATEGORY_BY_NAME[product["fine_category"]].pair
    names = (option.partition(": ")[2] for option in sample["options"])
    fitting = sum(name in CATEGORY_BY_NAME and CATEGORY_BY_NAME[name].pair == pair for name in names)
    if fitting <= 1:
        return Determined()
    if not _shows_all(sample, sample["product_ids"]):
        return Unknown()
    return Open("ambiguous noun", 1 / fitting, pooled=False)


def _query_pair_evidence(sample: Sample, truth: _GroundTruth) -> Evidence:
    product = truth.product(sample["product_ids"][0])
    query = truth.queries.get(sample["record_ids"][0].rpartition(":")[2])
    if product is None or query is None:
        return Unknown()
    noun, look = noun_class(query, product), look_class(query, product)
    if not (noun == "ambiguous" and look != "mismatch") and not (noun == "exact" and look == "hidden"):
        return Determined()
    if not _shows_all(sample, sample["product_ids"]):
        return Unknown()
    # Every query has as many E as S with each such text, so all of them are one class.
    return Open("exact or substitute", 0.5)


def noun_class(query: Row, product: Row) -> str:
    """Compare a title's noun with a query: exact, ambiguous, partner, companion or unrelated."""
    asked, found = CATEGORY_BY_NAME[query["fine_category"]], CATEGORY_BY_NAME[product["fine_category"]]
    if found.pair == asked.pair:
        if not product["names_category"]:
            return "ambiguous"
        return "exact" if found == asked else "partner"
    return "companion" if found.pair == PAIR_NUMBER_BY_NOUN[PAIRS[asked.pair].complement] else "unrelated"


def look_class(query: Row, product: Row) -> str:
    """Compare the look that a query asks for with the title's: not asked, hidden, match or mismatch."""
    if query["colour"] is None and query["pattern"] is None:
        return "not asked"
    if not product["shows_look"]:
        return "hidden"
    matches = all(query[name] in (None, product[name]) for name in ("colour", "pattern"))
    return "match" if matches else "mismatch"


def _relation_evidence(sample: Sample, truth: _GroundTruth) -> Evidence:
    first, second = (truth.product(product_id) for product_id in sample["product_ids"])
    if first is None or second is None:
        return Unknown()
    pairs = {CATEGORY_BY_NAME[product["fine_category"]].pair for product in (first, second)}
    if len(pairs) > 1 or (first["shows_look"] and second["shows_look"]):
        return Determined()
    if not _shows_all(sample, sample["product_ids"]):
        return Unknown()
    return Open("a hidden look", 0.5)


def _sentiment_evidence(sample: Sample, truth: _GroundTruth) -> Evidence:
    neutral = truth.neutral_reviews.get(sample["record_ids"][0])
    if neutral is None:
        return Unknown()
    if not neutral:
        return Determined()
    return Open("neutral text", 0.2) if "review" in sample["image_roles"] else Unknown()


def _top(product: Row) -> str:
    return CATEGORY_BY_NAME[product["fine_category"]].top


def _sequence_evidence(sample: Sample, truth: _GroundTruth) -> Evidence:
    """Return the accuracy of the best guess from text, given the shop's generator and every title.

    Titles name brands, so a brand-loyal user's target is one of the candidates of that brand. The taste of a look-loyal
    user is known if one title of the history names it. Then a candidate whose title names another look has weight 0,
    one that hides its look has weight 1, and one that names the right look has weight 1/p. Here p is the share of that
    look among the products of the top-level category that may be a negative (those that the user never bought; all are
    bought equally often). Without a named look in the history all candidates have the same weight.
    """
    user = truth.users.get(sample["record_ids"][0].rpartition(":")[0].rpartition(":")[2])
    products = {}
    for product_id in sample["product_ids"]:
        product = truth.product(product_id)
        if product is None:
            return Unknown()
        products[product["title"]] = product
    texts = [option.partition(": ")[2] for option in sample["options"]]
    if user is None or any(text not in products for text in texts):
        return Unknown()
    candidates = [products[text] for text in texts]
    target = candidates[ord(sample["output"]) - ord("A")]
    if user["brand"] is not None:
        return Determined(1 / max(1, sum(candidate["brand"] == user["brand"] for candidate in candidates)))
    taste = (user["colour"], user["pattern"])
    history = [text.partition(": ")[2] for text in json.loads(sample["input"])]
    taste_is_named = any(text in products and products[text]["shows_look"] for text in history)
    weights = [1.0] * len(candidates)
    if taste_is_named:
        bought = set(user["bought"])
        others = [p for p in truth.categories[_top(target)] if p["asin"] not in bought]
        alike = sum((p["colour"], p["pattern"]) == taste for p in others)
        right = len(others) / alike if alike else float("inf")
        weights = [
            1.0 if not p["shows_look"] else right if (p["colour"], p["pattern"]) == taste else 0.0
            for p in candidates
        ]
    best = max(weights)
    accuracy = 1 / weights.count(best) if best == float("inf") else best / sum(weights)
    if accuracy >= 1:
        return Determined()
    roles = sample["image_roles"]
    if f"option {sample['output']}" not in roles:
        return Unknown()
    if not taste_is_named and not any(role.startswith("history ") for role in roles):
        return Unknown()
    return Open("look-loyal", accuracy, pooled=False)


_EVIDENCE_OF_TASK: dict[str, Callable[[Sample, _GroundTruth], Evidence]] = {
    "answerability_prediction": _answerability_evidence,
    "category_classification": _category_evidence,
    "product_relation_prediction": _relation_evidence,
    "product_substitute_identification": _query_pair_evidence,
    "multiclass_product_classification": _query_pair_evidence,
    "sentiment_analysis": _sentiment_evidence,
    "sequential_recommendation": _sequence_evidence,
}
