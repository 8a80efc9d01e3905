"""What a worker does for one shard of a stage: read files, call the stage's function, write files.

Every function here takes (payload, folder), writes into the folder and returns its counts. Payloads are paths and
settings. A module for each kind of work, and its names here.
"""

from mmecinstruct.pipeline.work.curation import (
    CurateProductsPayload,
    CurateRecordsPayload,
    HygienePayload,
    curate_products_work,
    curate_records_work,
    hygiene_work,
)
from mmecinstruct.pipeline.work.distinct_products import (
    DuplicatesPayload,
    RepointPayload,
    find_duplicates_work,
    repoint_work,
)
from mmecinstruct.pipeline.work.files import CuratedTables, Paths, write_rejections
from mmecinstruct.pipeline.work.images import (
    ImagesPayload,
    ReferencesPayload,
    VerdictsPayload,
    judge_images_work,
    measure_images_work,
    reference_images_work,
)
from mmecinstruct.pipeline.work.raw_files import ParsePayload, file_stamp, parse_raw_file
from mmecinstruct.pipeline.work.sampling import SamplingPayload, sample_tables_work
from mmecinstruct.pipeline.work.shop import (
    ShopImagesPayload,
    ShopTablesPayload,
    draw_shop_images,
    draw_shop_tables,
)
from mmecinstruct.pipeline.work.tasks import BuildTaskPayload, build_task_work

__all__ = [
    "BuildTaskPayload",
    "CurateProductsPayload",
    "CurateRecordsPayload",
    "CuratedTables",
    "DuplicatesPayload",
    "HygienePayload",
    "ImagesPayload",
    "ParsePayload",
    "Paths",
    "ReferencesPayload",
    "RepointPayload",
    "SamplingPayload",
    "ShopImagesPayload",
    "ShopTablesPayload",
    "VerdictsPayload",
    "build_task_work",
    "curate_products_work",
    "curate_records_work",
    "draw_shop_images",
    "draw_shop_tables",
    "file_stamp",
    "find_duplicates_work",
    "hygiene_work",
    "judge_images_work",
    "measure_images_work",
    "parse_raw_file",
    "reference_images_work",
    "repoint_work",
    "sample_tables_work",
    "write_rejections",
]
