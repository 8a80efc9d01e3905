"""Make the whole shop and write all of its files but the images."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmecinstruct.core.parquet import write_table
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.synthetic.shop.dirt import DirtPlan, plan_dirt
from mmecinstruct.synthetic.shop.ground_truth import ground_truth_tables, image_list
from mmecinstruct.synthetic.shop.image_spec import GROUND_TRUTH_FOLDER, IMAGE_LIST
from mmecinstruct.synthetic.shop.links import make_links
from mmecinstruct.synthetic.shop.opinions import make_questions, make_reviews
from mmecinstruct.synthetic.shop.products import make_products
from mmecinstruct.synthetic.shop.purchases import make_users
from mmecinstruct.synthetic.shop.queries import make_queries
from mmecinstruct.synthetic.shop.raw_files import write_raw_files
from mmecinstruct.synthetic.shop.shop import Shop

PLANTED_DIRT = "planted_dirt.json"
_STEPS = 3


def make_shop(settings: SampleShopSettings, seed: int) -> Shop:
    """Return the shop of a seed; nothing is written."""
    products = make_products(settings.products, seed)
    users = make_users(products, seed)
    reviews = make_reviews(users, products, seed)
    questions = make_questions(products, seed)
    links = make_links(products, seed)
    queries = make_queries(products, seed)
    plan = DirtPlan()
    if settings.dirt:
        plan = plan_dirt(products, reviews, questions, len(products) + len(reviews), seed)
        for number, kind in plan.products.items():
            if kind == "entity_title":
                # The ampersand belongs to the name; only the metadata file writes it as an entity.
                products[number] = replace(products[number], title=products[number].title + " & Gift Box")
    return Shop(
        seed=seed,
        products=products,
        links=links,
        queries=queries,
        users=users,
        reviews=reviews,
        questions=questions,
        dirt_plan=plan,
        images=settings.images,
    )


def assemble(
    settings: SampleShopSettings, seed: int, folder: Path, progress: Callable[[int, int], None]
) -> None:
    """Make the shop and write its raw files, ground truth, image list and planted dirt.

    Args:
        settings: The size of the shop, and whether it has images and dirt.
        seed: The seed of all hash draws.
        folder: An empty folder.
        progress: Called with (finished steps, all steps).
    """
    shop = make_shop(settings, seed)
    progress(1, _STEPS)
    planted = write_raw_files(shop, folder)
    (folder / PLANTED_DIRT).write_text(
        json.dumps(planted.as_json(), indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    progress(2, _STEPS)
    (folder / GROUND_TRUTH_FOLDER).mkdir()
    for name, table in ground_truth_tables(shop):
        write_table(table, folder / GROUND_TRUTH_FOLDER / f"{name}.parquet")
    write_table(image_list(shop), folder / GROUND_TRUTH_FOLDER / IMAGE_LIST)
    # The recipe names this folder as a mirror, so it exists even where there are no images.
    (folder / "images" / "I").mkdir(parents=True)
    progress(_STEPS, _STEPS)
