"""Amazon's set of 2014 (UCSD): a fallback for texts that the metadata of 2018 lost, and older reviews."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import NOT_STATED, Citation, Licence, Publisher, PublisherFile

_DIRECT = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_SEEN = "This address was seen in other people's code and is not verified."

PUBLISHER = Publisher(
    name="amazon2014",
    title="Amazon product data 2014",
    homepage="http://jmcauley.ucsd.edu/data/amazon/",
    licence=Licence("none stated", None, NOT_STATED, NOT_STATED),
    kinds=("amazon18_metadata", "amazon18_reviews", "amazon18_ratings"),
    tasks=(
        "answerability_prediction",
        "category_classification",
        "product_relation_prediction",
        "sentiment_analysis",
        "sequential_recommendation",
    ),
    files=(
        PublisherFile(
            kind="amazon18_metadata",
            field="path",
            path="amazon2014/meta_{category}.json.gz",
            holds="products of one category, as Python literals; they are read as literals and never run",
            url=f"{_DIRECT}/meta_{{category}}.json.gz",
            note=_SEEN,
        ),
        PublisherFile(
            kind="amazon18_reviews",
            field="path",
            path="amazon2014/reviews_{category}_5.json.gz",
            holds="5-core reviews of one category",
            url=f"{_DIRECT}/reviews_{{category}}_5.json.gz",
            note=_SEEN,
        ),
        PublisherFile(
            kind="amazon18_ratings",
            field="path",
            path="amazon2014/ratings_{category}.csv",
            holds="all ratings of one category, without texts, the user first",
            url=f"{_DIRECT}/ratings_{{category}}.csv",
            note=_SEEN,
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
        "Read by the kinds of 2018: its products have the same item numbers.",
        "Names of categories need not be those of 2018.",
    ),
)
