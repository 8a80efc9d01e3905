"""Amazon Reviews 2023 (McAuley Lab)."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import NOT_STATED, Citation, Licence, Publisher, PublisherFile
from mmecinstruct.sources.remote_file import HubFile

_DIRECT = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
_HUB = "McAuley-Lab/Amazon-Reviews-2023"

PUBLISHER = Publisher(
    name="amazon2023",
    title="Amazon Reviews 2023",
    homepage="https://amazon-reviews-2023.github.io/",
    licence=Licence(
        "none: the lab says that it is in no position to assign one to the data (the MIT licence of its repository is "
        "for the code)",
        None,
        NOT_STATED,
        NOT_STATED,
    ),
    kinds=("amazon23_metadata", "amazon23_reviews"),
    tasks=("category_classification", "sentiment_analysis", "sequential_recommendation"),
    files=(
        PublisherFile(
            kind="amazon23_metadata",
            field="path",
            path="amazon2023/meta_{category}.jsonl.gz",
            holds="products and picture URLs of one category",
            url=f"{_DIRECT}/meta_categories/meta_{{category}}.jsonl.gz",
        ),
        PublisherFile(
            kind="amazon23_metadata",
            field="path",
            path="amazon2023/meta_{category}.jsonl",
            holds="the same, not compressed",
            hub=HubFile(_HUB, "raw/meta_categories/meta_{category}.jsonl"),
        ),
        PublisherFile(
            kind="amazon23_reviews",
            field="path",
            path="amazon2023/{category}.jsonl.gz",
            holds="reviews of one category",
            url=f"{_DIRECT}/review_categories/{{category}}.jsonl.gz",
        ),
        PublisherFile(
            kind="amazon23_reviews",
            field="path",
            path="amazon2023/{category}.jsonl",
            holds="the same, not compressed",
            hub=HubFile(_HUB, "raw/review_categories/{category}.jsonl"),
        ),
    ),
    citations=(
        Citation(
            "hou2024bridging",
            "misc",
            (
                ("title", "Bridging Language and Items for Retrieval and Recommendation"),
                (
                    "author",
                    "Hou, Yupeng and Li, Jiacheng and He, Zhankui and Yan, An and Chen, Xiusi and McAuley, Julian",
                ),
                ("year", "2024"),
                ("eprint", "2403.03952"),
                ("archivePrefix", "arXiv"),
            ),
        ),
    ),
    notes=(
        "571.54 million reviews of 48.19 million items in 33 domains, to September 2023; third parties put all of it "
        "at about 750 GB.",
        "It names no linked products, so it never feeds product_relation_prediction.",
        "Some domains (All_Beauty) have no categories, so they do not feed category_classification.",
        "Pictures are URLs on Amazon's servers.",
    ),
)
