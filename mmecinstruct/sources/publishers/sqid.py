"""SQID: picture URLs of ESCI's products."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import NOT_STATED, YES, Citation, Licence, Publisher, PublisherFile

_FOLDER = "https://github.com/Crossing-Minds/shopping-queries-image-dataset/raw/main/sqid"

PUBLISHER = Publisher(
    name="sqid",
    title="Shopping Queries Image Dataset (SQID)",
    homepage="https://github.com/Crossing-Minds/shopping-queries-image-dataset",
    licence=Licence("MIT licence, of the lists of URLs", "MIT", YES, NOT_STATED),
    kinds=("sqid",),
    tasks=("product_substitute_identification", "multiclass_product_classification"),
    files=(
        PublisherFile(
            kind="sqid",
            field="path",
            path="sqid/product_image_urls.csv",
            holds="picture URLs of the products of ESCI's US test split (12 MB)",
            url=f"{_FOLDER}/product_image_urls.csv",
        ),
        PublisherFile(
            kind="sqid",
            field="path",
            path="sqid/supp_product_image_urls.csv",
            holds="picture URLs of 27,139 further products",
            url=f"{_FOLDER}/supp_product_image_urls.csv",
            size=1_984_087,
        ),
    ),
    citations=(
        Citation(
            "alghossein2024sqid",
            "misc",
            (
                (
                    "title",
                    "Shopping Queries Image Dataset ({SQID}): An Image-Enriched {ESCI} Dataset for Exploring "
                    "Multimodal Learning in Product Search",
                ),
                ("author", "Al Ghossein, Marie and Chen, Ching-Wei and Tang, Jason"),
                ("year", "2024"),
                ("eprint", "2405.15190"),
                ("archivePrefix", "arXiv"),
            ),
        ),
    ),
    notes=(
        "164,900 products, 156,545 of them with a URL: those of ESCI's small version, test split, US. So illustrated "
        "pairs are nearly all of ESCI's test split.",
        "The pictures lie on Amazon's servers; the licence does not say that they may be passed on.",
    ),
)
