"""ESCI-S: product pages behind ESCI's products, with a picture URL each."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import NOT_STATED, YES, Citation, Licence, Publisher, PublisherFile

PUBLISHER = Publisher(
    name="esci_s",
    title="ESCI-S",
    homepage="https://github.com/shuttie/esci-s",
    licence=Licence("Apache License 2.0, stated for pages read from Amazon", "Apache-2.0", YES, NOT_STATED),
    kinds=("esci_s",),
    tasks=("product_substitute_identification", "multiclass_product_classification"),
    files=(
        PublisherFile(
            kind="esci_s",
            field="path",
            path="esci_s/esci.json.zst",
            holds="1.66 million products: categories, ratings, prices, reviews, a picture URL (3.4 GB)",
            url="https://esci-s.s3.amazonaws.com/esci.json.zst",
        ),
    ),
    citations=(
        Citation(
            "escis",
            "misc",
            (
                ("title", "{ESCI-S}: extended metadata for Amazon {ESCI} dataset"),
                ("howpublished", "https://github.com/shuttie/esci-s"),
            ),
        ),
    ),
    notes=(
        "It covers ESCI's training split too, which SQID does not.",
        "The pictures lie on Amazon's servers; the licence does not say that they may be passed on.",
    ),
)
