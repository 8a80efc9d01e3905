"""Write the sample shop's questions in AmazonQA's form and its category labels in MAVE's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmecinstruct.core.hashing import hash_draw
from mmecinstruct.synthetic.shop import dirt
from mmecinstruct.synthetic.shop.opinions import Question
from mmecinstruct.synthetic.shop.products import Product
from mmecinstruct.synthetic.shop.shop import PlantedDirt, Shop
from mmecinstruct.synthetic.shop.vocabulary import FINE_CATEGORIES, file_name


def write_questions(shop: Shop, folder: Path, planted: PlantedDirt) -> None:
    """Write the questions in the format of AmazonQA, with their dirt."""
    files: dict[str, list[int]] = {"train-qar.jsonl": [], "val-qar.jsonl": []}
    for place, question in enumerate(shop.questions):
        asin = shop.products[question.product].asin
        held_out = hash_draw(shop.seed, "shop question split", asin) % 10 == 0
        files["val-qar.jsonl" if held_out else "train-qar.jsonl"].append(place)
    for name, places in files.items():
        with (folder / "amazonqa" / name).open("w", encoding="ascii", newline="\n") as file:
            for line, place in enumerate(places, start=1):
                question = shop.questions[place]
                kind = shop.plan.questions.get(place, "")
                file.write(json.dumps(_question_row(shop, question, kind)) + "\n")
                if kind:
                    asin = shop.products[question.product].asin
                    planted.note(
                        kind, file=f"amazonqa/{name}", line=line, record_id=f"amazonqa:{asin}:{question.qid}"
                    )
            if shop.plan.questions and name == "train-qar.jsonl":
                file.write('{"asin": "B0S0000000", "category": "Home_and\n')
                planted.note("broken_line", file=f"amazonqa/{name}", line=len(places) + 1)


def _question_row(shop: Shop, question: Question, kind: str) -> dict[str, Any]:
    product = shop.products[question.product]
    snippets = list(question.snippets)
    if kind == "surrogate_in_snippet":
        snippets[0] += " " + dirt.LONE_SURROGATE
    elif kind in dirt.PERSONAL_DATA:
        snippets[0] += " " + dirt.PERSONAL_DATA[kind][0]
    chance = hash_draw(shop.seed, "shop answer", str(question.qid))
    helpful = chance % 4
    return {
        "asin": product.asin,
        "category": file_name(product.top),
        "questionText": question.text,
        "questionType": "yesno" if question.text.split()[0] in ("Does", "Do", "Is", "Can") else "descriptive",
        "review_snippets": snippets,
        "random_sentence": [snippets[chance // 4 % len(snippets)]],
        "top_sentences_IR": snippets,
        "top_review_wilson": [snippets[0]],
        "top_review_helpful": [snippets[-1]],
        "answers": [
            {
                "answerText": question.answer,
                "answerType": "NA",
                "helpful": [helpful, helpful + chance // 4 % 2],
            }
        ],
        "is_answerable": int(question.answerable),
        "qid": question.qid,
    }


def _mave_row(product: Product) -> dict[str, Any]:
    """Return a label row; pid 0 is the title, whose span names the material."""
    begin = product.title.lower().find(product.material.lower())
    evidence = {
        "value": product.title[begin : begin + len(product.material)],
        "pid": 0,
        "begin": begin,
        "end": begin + len(product.material),
    }
    return {
        "id": product.asin,
        "category": FINE_CATEGORIES[product.fine].name,
        "attributes": [{"key": "Material", "evidences": [evidence]}] if begin >= 0 else [],
    }


def write_labels(shop: Shop, folder: Path) -> None:
    """Write the fine-grained category of every product."""
    with (folder / "mave" / "mave_positives_labels.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for product in shop.all_products:
            file.write(json.dumps(_mave_row(product)) + "\n")
