"""Amazon Berkeley Objects: listings with pictures that may be passed on."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import YES, Citation, Licence, Publisher, PublisherFile

_HOME = "https://amazon-berkeley-objects.s3.amazonaws.com"

PUBLISHER = Publisher(
    name="abo",
    title="Amazon Berkeley Objects (ABO)",
    homepage=f"{_HOME}/index.html",
    licence=Licence("Creative Commons Attribution 4.0 (until 2023 NonCommercial)", "CC-BY-4.0", YES, YES),
    kinds=("abo",),
    tasks=("category_classification",),
    files=(
        PublisherFile(
            kind="abo",
            field="listings",
            path="abo/listings_{part}.json.gz",
            holds="listings with texts in several languages",
            url=f"{_HOME}/listings/metadata/listings_{{part}}.json.gz",
            parts=tuple("0123456789abcdef"),
            note="There are 16 files; that they are numbered 0 to f was seen in other people's code.",
        ),
        PublisherFile(
            kind="abo",
            field="images",
            path="abo/images.csv.gz",
            holds="path and size of each picture",
            url=f"{_HOME}/images/metadata/images.csv.gz",
        ),
    ),
    citations=(
        Citation(
            "collins2022abo",
            "inproceedings",
            (
                ("title", "{ABO}: Dataset and Benchmarks for Real-World 3D Object Understanding"),
                (
                    "author",
                    "Collins, Jasmine and Goel, Shubham and Deng, Kenan and Luthra, Achleshwar and Xu, Leon and "
                    "Gundogdu, Erhan and Zhang, Xi and Yago Vicente, Tomas F. and Dideriksen, Thomas and Arora, "
                    "Himanshu and Guillaumin, Matthieu and Malik, Jitendra",
                ),
                ("booktitle", "CVPR"),
                ("year", "2022"),
            ),
        ),
    ),
    notes=(
        "147,702 listings and 398,212 pictures. No reviews, questions or links between products.",
        "Old mirrors still carry the NonCommercial text of the licence.",
    ),
)
