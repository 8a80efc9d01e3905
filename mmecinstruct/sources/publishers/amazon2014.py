"""Amazon's metadata of 2014 (UCSD): a fallback for texts that the set of 2018 lost."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import NOT_STATED, Citation, Licence, Publisher, PublisherFile

PUBLISHER = Publisher(
    name="amazon2014",
    title="Amazon product metadata 2014",
    homepage="http://jmcauley.ucsd.edu/data/amazon/",
    licence=Licence("none stated", None, NOT_STATED, NOT_STATED),
    kinds=("amazon18_metadata",),
    tasks=(
        "answerability_prediction",
        "category_classification",
        "sentiment_analysis",
        "sequential_recommendation",
    ),
    files=(
        PublisherFile(
            kind="amazon18_metadata",
            field="path",
            path="amazon2014/meta_{category}.json.gz",
            holds="products of one category, as Python literals; they are read as literals and never run",
            url="https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_{category}.json.gz",
            note="This address was seen in other people's code and is not verified.",
        ),
    ),
    citations=(
        Citation(
            "he2016ups",
            "inproceedings",
            (
                (
                    "title",
                    "Ups and Downs: Modeling the Visual Evolution of Fashion Trends with One-Class Collaborative "
                    "Filtering",
                ),
                ("author", "He, Ruining and McAuley, Julian"),
                ("booktitle", "WWW"),
                ("year", "2016"),
            ),
        ),
        Citation(
            "mcauley2015image",
            "inproceedings",
            (
                ("title", "Image-based Recommendations on Styles and Substitutes"),
                (
                    "author",
                    "McAuley, Julian and Targett, Christopher and Shi, Qinfeng and van den Hengel, Anton",
                ),
                ("booktitle", "SIGIR"),
                ("year", "2015"),
            ),
        ),
    ),
    notes=(
        "Read by the kind `amazon18_metadata` too: its products have the same item numbers.",
        "Names of categories need not be those of 2018.",
    ),
)
