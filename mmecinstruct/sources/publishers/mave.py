"""MAVE: fine-grained categories of Amazon's products."""

from __future__ import annotations

from mmecinstruct.sources.publishers.facts import (
    NON_COMMERCIAL,
    NOTHING,
    Citation,
    Licence,
    Publisher,
    PublisherFile,
)

# The commit whose Git LFS pointer states the size and hash below.
_FOLDER = (
    "https://github.com/google-research-datasets/MAVE/raw/6b4fca0e7e57995bcd82783b1004a4389a80afb7/labels"
)

PUBLISHER = Publisher(
    name="mave",
    title="MAVE",
    homepage="https://github.com/google-research-datasets/MAVE",
    licence=Licence(
        "Creative Commons Attribution-NonCommercial 4.0, of the labels",
        "CC-BY-NC-4.0",
        NON_COMMERCIAL,
        NOTHING,
    ),
    kinds=("mave",),
    tasks=("category_classification",),
    files=(
        PublisherFile(
            kind="mave",
            field="path",
            path="mave/mave_positives_labels.jsonl",
            holds="2,226,509 products with a category and attributes",
            url=f"{_FOLDER}/mave_positives_labels.jsonl",
            size=744_855_753,
            sha256="2338610c0d6cbbd7247786d942a3e13c0938b903f3cc75ffa77cd98d0d4b2187",
        ),
    ),
    citations=(
        Citation(
            "yang2022mave",
            "misc",
            (
                ("title", "{MAVE}: A Product Dataset for Multi-source Attribute Value Extraction"),
                (
                    "author",
                    "Yang, Li and Wang, Qifan and Yu, Zac and Kulkarni, Anand and Sanghai, Sumit and Shu, Bin and "
                    "Elsas, Jon and Kanagal, Bhargav",
                ),
                ("year", "2022"),
                ("eprint", "2112.08663"),
                ("archivePrefix", "arXiv"),
            ),
        ),
    ),
    notes=(
        "1,257 fine categories. Titles and pictures come from Amazon's metadata of 2018, joined by item number.",
        "Its places of attribute values do not fit today's metadata, which was replaced; its categories do.",
    ),
)
