"""Write the sample shop in the publishers' formats: Amazon 2018, ESCI, SQID, AmazonQA, MAVE."""

from __future__ import annotations

from pathlib import Path

from mmecinstruct.synthetic.shop import dirt
from mmecinstruct.synthetic.shop.amazon_files import write_metadata, write_reviews
from mmecinstruct.synthetic.shop.esci_files import write_esci
from mmecinstruct.synthetic.shop.question_files import write_labels, write_questions
from mmecinstruct.synthetic.shop.shop import PlantedDirt, Shop, image_url
from mmecinstruct.synthetic.shop.vocabulary import TOP_CATEGORIES


def write_raw_files(shop: Shop, folder: Path) -> PlantedDirt:
    """Write all raw files below `folder`; return the record of planted dirt."""
    planted = PlantedDirt()
    for name in ("amazon2018", "esci", "sqid", "amazonqa", "mave"):
        (folder / name).mkdir()
    for top in TOP_CATEGORIES:
        members = [product for product in shop.all_products if product.top == top]
        write_metadata(shop, top, members, folder, planted)
    write_reviews(shop, folder, planted)
    write_esci(shop, folder, planted)
    write_questions(shop, folder, planted)
    write_labels(shop, folder)
    for product in shop.products:
        kind = shop.dirt_plan.products.get(product.number, "")
        if kind in dirt.IMAGE_FLAWS and shop.images:
            planted.note(kind, record_id=f"amazon18:{product.asin}", image_url=image_url(product.image_id))
    for original, duplicate in shop.dirt_plan.near_duplicates:
        planted.note(
            "near_duplicate", record_id=f"amazon18:{duplicate.asin}", duplicate_of=f"amazon18:{original.asin}"
        )
    return planted
