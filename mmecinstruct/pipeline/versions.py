"""The version of each stage. A stage's fingerprint holds it, so that old output of changed code is not used.

Raise a number when the stage's result changes. `tests/mmecinstruct/test_stage_versions.py` compares the source of
the modules listed here with the recorded hashes and fails when a source changed and its version did not.
"""

from __future__ import annotations

STAGE_VERSIONS: dict[str, int] = {
    "shop": 2,
    "shop_pictures": 1,
    "parse": 2,
    "curate_products": 1,
    "hygiene": 1,
    "curate_reviews": 2,
    "curate_relations": 1,
    "curate_judgements": 1,
    "curate_questions": 2,
    "images": 2,
    "placeholders": 1,
    "assign": 1,
    "task": 1,
    "select": 1,
    "release": 1,
    "render": 1,
    "judge": 1,
    "shards": 1,
    "folder": 3,
}

# Modules whose code decides what a stage writes, below the package's folder; after a colon, parts of a module.
_WORK = "pipeline/work.py"
_RELEASE = "pipeline/release.py"
_INPUTS = "pipeline/inputs.py"
_TABLES = ("tables.py", "rejections.py", "parquet.py")
STAGE_SOURCES: dict[str, tuple[str, ...]] = {
    "shop": (f"{_WORK}:draw_shop_tables", "sample_shop/*.py", "hashing.py"),
    "shop_pictures": (
        f"{_WORK}:draw_shop_pictures",
        f"{_INPUTS}:draw_shop,PICTURES_PER_SHARD",
        "sample_shop/drawing*.py",
        "hashing.py",
    ),
    "parse": (f"{_WORK}:parse_raw_file", "sources/*.py", "text.py", "hashing.py", *_TABLES),
    "curate_products": (
        f"{_WORK}:curate_products_work",
        "curate/products.py",
        "curate/titles.py",
        "curate/clusters.py",
        *_TABLES,
    ),
    "hygiene": (
        f"{_WORK}:hygiene_work,HYGIENE_BATCH_ROWS",
        f"{_INPUTS}:_hygiene_shards,HYGIENE_SHARD_ROWS",
        "curate/hygiene.py",
        "curate/language.py",
        "curate/personal_data.py",
        "curate/personal_numbers.py",
        "curate/postal_addresses.py",
        "curate/profanity.py",
        "recipe/curate.py:PersonalDataKind",
        *_TABLES,
    ),
    "curate_reviews": (f"{_WORK}:curate_records_work", "curate/records.py", *_TABLES),
    "curate_relations": (f"{_WORK}:curate_records_work", "curate/records.py", *_TABLES),
    "curate_judgements": (f"{_WORK}:curate_records_work", "curate/records.py", *_TABLES),
    "curate_questions": (f"{_WORK}:curate_records_work", "curate/records.py", *_TABLES),
    "images": (
        f"{_WORK}:read_pictures_work",
        f"{_INPUTS}:read_pictures,PICTURES_PER_SHARD",
        "images/locate.py",
        "images/validation.py",
        "images/stage.py",
        *_TABLES,
    ),
    "placeholders": (f"{_WORK}:reject_placeholders_work", "images/placeholders.py", *_TABLES),
    "assign": (f"{_RELEASE}:assign_work,ASSIGNED", "split.py", "hashing.py"),
    "task": (f"{_WORK}:build_task_work", "tasks/*.py", "hashing.py", "samples.py", *_TABLES),
    "select": (
        f"{_RELEASE}:select_work,_resolve_pictures,SELECTED",
        "split.py",
        "hashing.py",
        "samples.py",
        *_TABLES,
    ),
    "release": (f"{_RELEASE}:release_work,USERS,PIXEL_INDEX", "hashing.py"),
    "render": (
        f"{_RELEASE}:render_work,rendered_schema",
        "render.py",
        "templating.py",
        "hashing.py",
        "samples.py",
    ),
    "judge": (f"{_RELEASE}:judge_work", "sample_shop/*.py"),
    "shards": (
        f"{_RELEASE}:shard_work,_read_pixels,split_sizes",
        "pipeline/outputs.py:write_shards",
        "dataset_folder/shards.py",
        "samples.py",
    ),
    "folder": (
        "dataset_folder/*.py",
        "pipeline/assemble.py",
        "curate/personal_data.py:TOKENS",
        "curate/profanity.py",
    ),
}
