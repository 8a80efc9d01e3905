"""The version of each stage. A stage's fingerprint holds it, so that old output of changed code is not used.

Raise a number when the stage's result changes. `tests/mmecinstruct/test_stage_versions.py` compares the source of
the modules listed here with the recorded hashes and fails when a source changed and its version did not.
"""

from __future__ import annotations

STAGE_VERSIONS: dict[str, int] = {
    "shop": 1,
    "shop_pictures": 1,
    "parse": 1,
    "curate_products": 1,
    "languages": 1,
    "curate_reviews": 1,
    "curate_relations": 1,
    "curate_judgements": 1,
    "curate_questions": 1,
    "images": 1,
    "placeholders": 1,
    "assign": 1,
    "task": 1,
    "select": 1,
    "release": 1,
    "render": 1,
    "judge": 1,
    "shards": 1,
    "folder": 1,
}

# Modules whose code decides what a stage writes, below the package's folder.
STAGE_SOURCES: dict[str, tuple[str, ...]] = {
    "shop": ("sample_shop/*.py", "hashing.py"),
    "shop_pictures": ("sample_shop/drawing*.py", "hashing.py"),
    "parse": ("sources/*.py", "text.py", "tables.py"),
    "curate_products": ("curate/products.py", "curate/titles.py", "curate/clusters.py"),
    "languages": ("curate/language.py",),
    "curate_reviews": ("curate/records.py",),
    "curate_relations": ("curate/records.py",),
    "curate_judgements": ("curate/records.py",),
    "curate_questions": ("curate/records.py",),
    "images": ("images/locate.py", "images/validation.py", "images/stage.py"),
    "placeholders": ("images/placeholders.py",),
    "assign": ("split.py", "hashing.py"),
    "task": ("tasks/*.py", "hashing.py", "samples.py"),
    "select": ("split.py", "hashing.py", "pipeline/release.py"),
    "release": ("pipeline/release.py",),
    "render": ("render.py", "templating.py", "pipeline/release.py"),
    "judge": ("sample_shop/judge*.py",),
    "shards": ("dataset_folder/shards.py", "samples.py", "pipeline/release.py"),
    "folder": ("dataset_folder/*.py", "pipeline/assemble.py"),
}
