"""AmazonQA: questions about products, with review snippets."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import (
    NOT_STATED,
    NOTHING,
    Citation,
    Licence,
    Publisher,
    PublisherFile,
)

_DIRECT = "https://amazon-qa.s3-us-west-2.amazonaws.com"

PUBLISHER = Publisher(
    name="amazonqa",
    title="AmazonQA",
    homepage="https://github.com/amazonqa/amazonqa",
    licence=Licence("none stated", None, NOT_STATED, NOTHING),
    kinds=("amazonqa",),
    tasks=("answerability_prediction",),
    files=(
        PublisherFile(
            kind="amazonqa",
            field="path",
            path="amazonqa/train-qar.jsonl",
            holds="738,861 questions",
            url=f"{_DIRECT}/train-qar.jsonl",
        ),
        PublisherFile(
            kind="amazonqa",
            field="path",
            path="amazonqa/val-qar.jsonl",
            holds="92,192 questions",
            url=f"{_DIRECT}/val-qar.jsonl",
        ),
        PublisherFile(
            kind="amazonqa",
            field="path",
            path="amazonqa/test-qar.jsonl",
            holds="92,734 questions",
            by_hand="Get test-qar.jsonl from https://drive.google.com/file/d/1A_gaYbyBUOfwi8CQ7d5OO_b91lEvSnwr (linked "
            "from https://github.com/amazonqa/amazonqa) and put the file there as {origin}",
        ),
    ),
    citations=(
        Citation(
            "gupta2019amazonqa",
            "inproceedings",
            (
                ("title", "{AmazonQA}: A Review-Based Question Answering Task"),
                (
                    "author",
                    "Gupta, Mansi and Kulkarni, Nitish and Chanda, Raghuveer and Rayasam, Anirudha and Lipton, "
                    "Zachary C",
                ),
                ("booktitle", "IJCAI"),
                ("year", "2019"),
                ("eprint", "1908.04364"),
                ("archivePrefix", "arXiv"),
            ),
        ),
    ),
    notes=(
        "923,787 questions about 156,065 products in 17 categories, split by product; about 62 % are answerable.",
        "Whether a question is answerable is a classifier's word, not a person's.",
        "It has item numbers only: products and pictures come from Amazon's metadata of 2018.",
    ),
)
