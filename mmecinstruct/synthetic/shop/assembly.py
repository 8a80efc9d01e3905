"""Draw the whole shop and write all of its files but the images."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmecinstruct.core.parquet import write_table
from mmecinstruct.recipe import SampleShopSettings
from mmecinstruct.synthetic.shop.dirt import DirtPlan, plan_dirt
from mmecinstruct.synthetic.shop.ground_truth import image_list, latent_tables
from mmecinstruct.synthetic.shop.image_spec import IMAGE_LIST, LATENTS
from mmecinstruct.synthetic.shop.links import draw_links
from mmecinstruct.synthetic.shop.opinions import draw_questions, draw_reviews
from mmecinstruct.synthetic.shop.products import draw_products
from mmecinstruct.synthetic.shop.purchases import draw_users
from mmecinstruct.synthetic.shop.queries import draw_queries
from mmecinstruct.synthetic.shop.raw_files import write_raw_files
from mmecinstruct.synthetic.shop.shop import Shop

PLANTED_DIRT = "planted_dirt.json"
_STEPS = 3


def draw_shop(settings: SampleShopSettings, seed: int) -> Shop:
    """Return the shop of a seed; nothing is written."""
    products = draw_products(settings.products, seed)
    users = draw_users(products, seed)
    reviews = draw_reviews(users, products, seed)
    questions = draw_questions(products, seed)
    links = draw_links(products, seed)
    queries = draw_queries(products, seed)
    plan = DirtPlan()
    if settings.dirt:
        plan = plan_dirt(products, reviews, questions, len(products) + len(reviews), seed)
        for number, kind in plan.products.items():
            if kind == "entity_title":
                # The ampersand is the name's own; only the metadata file writes it as an entity.
                products[number] = replace(products[number], title=products[number].title + " & Gift Box")
    return Shop(
        seed=seed,
        products=products,
        links=links,
        queries=queries,
        users=users,
        reviews=reviews,
        questions=questions,
        plan=plan,
        images=settings.images,
    )


def assemble(
    settings: SampleShopSettings, seed: int, folder: Path, progress: Callable[[int, int], None]
) -> None:
    """Draw the shop and write its raw files, latent attributes, image list and planted dirt."""
    shop = draw_shop(settings, seed)
    progress(1, _STEPS)
    planted = write_raw_files(shop, folder)
    (folder / PLANTED_DIRT).write_text(
        json.dumps(planted.as_json(), indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    progress(2, _STEPS)
    (folder / LATENTS).mkdir()
    for name, table in latent_tables(shop):
        write_table(table, folder / LATENTS / f"{name}.parquet")
    write_table(image_list(shop), folder / LATENTS / IMAGE_LIST)
    # A mirror of the recipe: it is there even where no image is.
    (folder / "images" / "I").mkdir(parents=True)
    progress(_STEPS, _STEPS)
