"""The dataset folder: Parquet shards with embedded images, and the files beside them.

    README.md                                card; its YAML lists configs and splits, its text has generated sections
    <task>/<split>-00000-of-00002.parquet    samples
    recipe.yaml                              the resolved recipe
    audit.json                               overlaps between splits, with examples
    statistics.json                          counts, shortages, rejections per reason
    rejections/rejections.parquet            every rejected row, with its reason
    manifest.json                            hashes of all of these; of the card its generated parts

They are written in this order: shards, rejections, recipe, audit, statistics, card, manifest. Other files are those of
people: no build changes or removes them.
"""

from mmecinstruct.dataset.manifest import Manifest, read_manifest, write_manifest, write_recipe
from mmecinstruct.dataset.shards import (
    find_shards,
    parse_shard_path,
    shard_path,
    shard_plan,
    write_rejections,
    write_shard,
)
from mmecinstruct.dataset.statistics import collect_statistics, write_statistics

__all__ = [
    "Manifest",
    "collect_statistics",
    "find_shards",
    "parse_shard_path",
    "read_manifest",
    "shard_path",
    "shard_plan",
    "write_manifest",
    "write_recipe",
    "write_rejections",
    "write_shard",
    "write_statistics",
]
