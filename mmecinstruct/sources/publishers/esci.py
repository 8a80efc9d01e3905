"""The Shopping Queries Dataset (ESCI): judged pairs of a query and a product."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import NOTHING, YES, Citation, Licence, Publisher, PublisherFile

# The commit whose Git LFS pointers state the sizes and hashes below.
_FOLDER = (
    "https://github.com/amazon-science/esci-data/raw/7e0e3073f5ca36c0b5ff79e847cf99a74597645d/"
    "shopping_queries_dataset"
)

PUBLISHER = Publisher(
    name="esci",
    title="Shopping Queries Dataset (ESCI)",
    homepage="https://github.com/amazon-science/esci-data",
    licence=Licence("Apache License 2.0", "Apache-2.0", YES, NOTHING),
    kinds=("esci",),
    tasks=("product_substitute_identification", "multiclass_product_classification"),
    files=(
        PublisherFile(
            kind="esci",
            field="examples",
            path="esci/shopping_queries_dataset_examples.parquet",
            holds="queries and judgements",
            url=f"{_FOLDER}/shopping_queries_dataset_examples.parquet",
            size=51_286_808,
            sha256="4a735b693b4a424a6fc67f5be6e4c811495c488bbf66d02a602d308b2744263a",
        ),
        PublisherFile(
            kind="esci",
            field="products",
            path="esci/shopping_queries_dataset_products.parquet",
            holds="products",
            url=f"{_FOLDER}/shopping_queries_dataset_products.parquet",
            size=1_108_857_465,
            sha256="25124442d064d64b26f74082d6fa09438d679efc0c183cf28d19064a2b65a265",
        ),
        PublisherFile(
            kind="esci",
            field="sources",
            path="esci/shopping_queries_dataset_sources.csv",
            holds="where each query comes from; no task needs it",
            url=f"{_FOLDER}/shopping_queries_dataset_sources.csv",
        ),
    ),
    citations=(
        Citation(
            "reddy2022shopping",
            "misc",
            (
                (
                    "title",
                    "Shopping Queries Dataset: A Large-Scale {ESCI} Benchmark for Improving Product Search",
                ),
                (
                    "author",
                    "Reddy, Chandan K. and Màrquez, Lluís and Valero, Fran and Rao, Nikhil and Zaragoza, Hugo and "
                    "Bandyopadhyay, Sambaran and Biswas, Arnab and Xing, Anlu and Subbian, Karthik",
                ),
                ("year", "2022"),
                ("eprint", "2206.06588"),
                ("archivePrefix", "arXiv"),
            ),
        ),
    ),
    notes=(
        "130,652 queries and about 2.6 million judged pairs in three locales; the US part has 97,345 queries and "
        "1,818,825 pairs.",
        "It has neither pictures nor categories: pictures come from SQID or ESCI-S.",
    ),
)
