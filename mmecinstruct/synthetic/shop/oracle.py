"""Judge finished samples of the sample shop: is the image needed, and how well does text alone do at best?

The raw formats cannot say so. Here each sample's source records are looked up among the latent attributes,
and the sample gets the class of all samples whose text tells the same of the answer:

* category classification: a title with the exact noun tells the answer; the ambiguous noun fits as many
  options as are of the pair.
* substitute identification and multiclass product classification: which noun the title has (exact, the
  pair's, the other category's, a companion's, unrelated), and whether it shows the look asked for.
* relation prediction: companions are told by their nouns; within a category two shown looks tell, a hidden
  one leaves "viewed" and "similar".
* sentiment analysis: a neutral text leaves all ratings.
* sequential recommendation: each candidate's posterior probability given the titles (`_sequence_verdict`).
* answerability prediction: text tells.

Where the class determines the answer, `visual_critical` is false and `text_only_accuracy` is 1. Else the
accuracy is the largest share of one answer within the class, over all given samples (of all splits, as a
label balance shifts shares); the generator's own share where the class has fewer than `LEAST_SAMPLES`. Both
are null where an image that decides is missing, and for records that the shop does not know.
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
VERDICTS = pa.schema(
    [("id", pa.string()), ("visual_critical", pa.bool_()), ("text_only_accuracy", pa.float64())]
)

Sample = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """The text determines the answer, or determines it with a known probability without needing an image."""

    accuracy: float = 1.0


@dataclass(frozen=True, slots=True)
class Open:
    """The text leaves the answer open.

    text_class: samples of one class have texts that say the same. accuracy: the generator's, of the best
    text-only guess. pooled: whether the given samples of the class say it better.
    """

    text_class: str
    accuracy: float
    pooled: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing can be said: an unknown record, or an image that decides is missing."""


Verdict = Told | Open | Unknown


class _Latents:
    """The latent attributes of the shop's records, by id, each file read on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / GROUND_TRUTH_FOLDER
        if not self._folder.is_dir():
            raise SourceError(f"{self._folder}: no latent attributes; {folder} is not a drawn sample shop")

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
        """Products of each fine category."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.products.values():
            found[row["fine_category"]].append(row)
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


def judge(samples: pa.Table, folder: Path) -> pa.Table:
    """Return (id, visual_critical, text_only_accuracy) of samples, in their order.

    samples: columns id, task, input, options, output, product_ids, record_ids, image_roles and
    image_product_ids. folder: of the drawn shop. Raises SourceError where no shop was drawn there.
    """
    latents = _Latents(folder)
    rows: list[Sample] = samples.select(
        ["id", "task", "input", "options", "output", "product_ids", "record_ids", "image_roles",
         "image_product_ids"]
    ).to_pylist()  # fmt: skip
    verdicts = [_VERDICT_OF_TASK[row["task"]](row, latents) for row in rows]
    outputs: dict[str, Counter[str]] = defaultdict(Counter)
    for row, verdict in zip(rows, verdicts, strict=True):
        if isinstance(verdict, Open):
            outputs[verdict.text_class][row["output"]] += 1
    found: dict[str, list[Any]] = {"id": [], "visual_critical": [], "text_only_accuracy": []}
    for row, verdict in zip(rows, verdicts, strict=True):
        critical, accuracy = _figures(verdict, outputs)
        found["id"].append(row["id"])
        found["visual_critical"].append(critical)
        found["text_only_accuracy"].append(accuracy)
    return pa.table(found, schema=VERDICTS)


def _figures(verdict: Verdict, outputs: dict[str, Counter[str]]) -> tuple[bool | None, float | None]:
    if isinstance(verdict, Unknown):
        return None, None
    if isinstance(verdict, Told):
        return False, verdict.accuracy
    counts = outputs[verdict.text_class]
    if verdict.pooled and counts.total() >= LEAST_SAMPLES:
        return True, max(counts.values()) / counts.total()
    return True, verdict.accuracy


def _shows_all(sample: Sample, product_ids: list[str]) -> bool:
    return set(product_ids) <= set(sample["image_product_ids"])


# --- tasks -------------------------------------------------------------------------------------------


def _answerability_verdict(sample: Sample, latents: _Latents) -> Verdict:
    return Told() if latents.product(sample["product_ids"][0]) else Unknown()


def _category_verdict(sample: Sample, latents: _Latents) -> Verdict:
    product = latents.product(sample["product_ids"][0])
    if product is None:
        return Unknown()
    if product["names_category"]:
        return Told()
    pair = CATEGORY_BY_NAME[product["fine_category"]].pair
    names = (option.partition(": ")[2] for option in sample["options"])
    fitting = sum(name in CATEGORY_BY_NAME and CATEGORY_BY_NAME[name].pair == pair for name in names)
    if fitting <= 1:
        return Told()
    if not _shows_all(sample, sample["product_ids"]):
        return Unknown()
    return Open("ambiguous noun", 1 / fitting, pooled=False)


def _judged_pair_verdict(sample: Sample, latents: _Latents) -> Verdict:
    product = latents.product(sample["product_ids"][0])
    query = latents.queries.get(sample["record_ids"][0].rpartition(":")[2])
    if product is None or query is None:
        return Unknown()
    noun, look = noun_class(query, product), look_class(query, product)
    if not (noun == "ambiguous" and look != "mismatch") and not (noun == "exact" and look == "hidden"):
        return Told()
    if not _shows_all(sample, sample["product_ids"]):
        return Unknown()
    # Every query has as many E as S of each such text, so all of them are one class.
    return Open("exact or substitute", 0.5)


def noun_class(query: Row, product: Row) -> str:
    """Return what a title's noun is to a query: exact, ambiguous, partner, companion or unrelated."""
    asked, found = CATEGORY_BY_NAME[query["fine_category"]], CATEGORY_BY_NAME[product["fine_category"]]
    if found.pair == asked.pair:
        if not product["names_category"]:
            return "ambiguous"
        return "exact" if found == asked else "partner"
    return "companion" if found.pair == PAIR_NUMBER_BY_NOUN[PAIRS[asked.pair].complement] else "unrelated"


def look_class(query: Row, product: Row) -> str:
    """Return what a title tells of the look that a query asks for: not asked, hidden, match or mismatch."""
    if query["colour"] is None and query["pattern"] is None:
        return "not asked"
    if not product["shows_look"]:
        return "hidden"
    matches = all(query[name] in (None, product[name]) for name in ("colour", "pattern"))
    return "match" if matches else "mismatch"


def _relation_verdict(sample: Sample, latents: _Latents) -> Verdict:
    first, second = (latents.product(product_id) for product_id in sample["product_ids"])
    if first is None or second is None:
        return Unknown()
    pairs = {CATEGORY_BY_NAME[product["fine_category"]].pair for product in (first, second)}
    if len(pairs) > 1 or (first["shows_look"] and second["shows_look"]):
        return Told()
    if not _shows_all(sample, sample["product_ids"]):
        return Unknown()
    return Open("a hidden look", 0.5)


def _sentiment_verdict(sample: Sample, latents: _Latents) -> Verdict:
    neutral = latents.neutral_reviews.get(sample["record_ids"][0])
    if neutral is None:
        return Unknown()
    if not neutral:
        return Told()
    return Open("neutral text", 0.2) if "review" in sample["image_roles"] else Unknown()


def _sequence_verdict(sample: Sample, latents: _Latents) -> Verdict:
    """Judge a sequence by the best text-only guesser, who knows how the shop is made and reads every title.

    Titles name brands, so a brand-loyal user's target is one of the candidates of that brand. Of a look-loyal
    user the guesser knows the taste if one title of the history shows it. Then a candidate whose title shows
    another look is none; one that hides its look keeps weight 1; one that shows the right look gets
    1/p, where p is the share of that look among the category's products that may be a negative (those
    that the user never bought). Without a shown look in the history all candidates weigh the same.
    """
    user = latents.users.get(sample["record_ids"][0].rpartition(":")[0].rpartition(":")[2])
    products = {}
    for product_id in sample["product_ids"]:
        product = latents.product(product_id)
        if product is None:
            return Unknown()
        products[product["title"]] = product
    texts = [option.partition(": ")[2] for option in sample["options"]]
    if user is None or any(text not in products for text in texts):
        return Unknown()
    candidates = [products[text] for text in texts]
    target = candidates[ord(sample["output"]) - ord("A")]
    if user["brand"] is not None:
        return Told(1 / max(1, sum(candidate["brand"] == user["brand"] for candidate in candidates)))
    taste = (user["colour"], user["pattern"])
    history = [text.partition(": ")[2] for text in json.loads(sample["input"])]
    taste_told = any(text in products and products[text]["shows_look"] for text in history)
    weights = [1.0] * len(candidates)
    if taste_told:
        bought = set(user["bought"])
        others = [p for p in latents.categories[target["fine_category"]] if p["asin"] not in bought]
        alike = sum((p["colour"], p["pattern"]) == taste for p in others)
        right = len(others) / alike if alike else float("inf")
        weights = [
            1.0 if not p["shows_look"] else right if (p["colour"], p["pattern"]) == taste else 0.0
            for p in candidates
        ]
    best = max(weights)
    accuracy = 1 / weights.count(best) if best == float("inf") else best / sum(weights)
    if accuracy >= 1:
        return Told()
    roles = sample["image_roles"]
    if f"option {sample['output']}" not in roles:
        return Unknown()
    if not taste_told and not any(role.startswith("history ") for role in roles):
        return Unknown()
    return Open("look-loyal", accuracy, pooled=False)


_VERDICT_OF_TASK: dict[str, Callable[[Sample, _Latents], Verdict]] = {
    "answerability_prediction": _answerability_verdict,
    "category_classification": _category_verdict,
    "product_relation_prediction": _relation_verdict,
    "product_substitute_identification": _judged_pair_verdict,
    "multiclass_product_classification": _judged_pair_verdict,
    "sentiment_analysis": _sentiment_verdict,
    "sequential_recommendation": _sequence_verdict,
}
