"""Amazon Reviews 2018 (UCSD)."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import NOT_STATED, Citation, Licence, Publisher, PublisherFile

_DIRECT = "https://jmcauley.ucsd.edu/data/amazon_v2/categoryFilesSmall"

PUBLISHER = Publisher(
    name="amazon2018",
    title="Amazon Reviews 2018",
    homepage="https://nijianmo.github.io/amazon/",
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
            path="amazon2018/meta_{category}.json.gz",
            holds="products, their links and picture URLs of one category",
            url="https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2/metaFiles2/meta_{category}.json.gz",
            note="The homepage gives metadata to whoever fills in its form (https://forms.gle/UEkkJs69e7Z5A5Ps9); "
            "this address was seen in other people's code and is not verified.",
        ),
        PublisherFile(
            kind="amazon18_reviews",
            field="path",
            path="amazon2018/{category}_5.json.gz",
            holds="5-core reviews of one category: of users and products with at least five each",
            url=f"{_DIRECT}/{{category}}_5.json.gz",
        ),
        PublisherFile(
            kind="amazon18_reviews",
            field="path",
            path="amazon2018/{category}.json.gz",
            holds="all reviews of one category",
            by_hand="Fill in the form https://forms.gle/UEkkJs69e7Z5A5Ps9 (linked from "
            "https://nijianmo.github.io/amazon/), get the complete reviews of the category {category} "
            "({category}.json.gz) and put the file there as {origin}",
        ),
        PublisherFile(
            kind="amazon18_ratings",
            field="path",
            path="amazon2018/{category}.csv",
            holds="all ratings of one category, without texts",
            url=f"{_DIRECT}/{{category}}.csv",
        ),
    ),
    citations=(
        Citation(
            "ni2019justifying",
            "inproceedings",
            (
                (
                    "title",
                    "Justifying Recommendations using Distantly-Labeled Reviews and Fine-Grained Aspects",
                ),
                ("author", "Ni, Jianmo and Li, Jiacheng and McAuley, Julian"),
                ("booktitle", "EMNLP-IJCNLP"),
                ("year", "2019"),
                ("doi", "10.18653/v1/D19-1018"),
            ),
        ),
    ),
    notes=(
        "233.1 million reviews of 15.5 million products in 29 categories, May 1996 to October 2018; compressed, all "
        "reviews are 34 GB, the 5-core 14.3 GB, the metadata 24 GB, the ratings 6.7 GB.",
        "Names of categories have irregular case: AMAZON_FASHION, All_Beauty, Tools_and_Home_Improvement.",
        "Pictures are URLs on Amazon's servers.",
    ),
)
