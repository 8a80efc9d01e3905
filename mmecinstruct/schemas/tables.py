"""Arrow schemas of the tables between raw files and samples.

Ids are strings prefixed by their source (`amazon18:B00…`, `esci:…`, `shop:…`) and stable across runs. `origin` is the
raw file and the line or row that a record was read from, as `file:line`; rejections of all stages name it.
"""

from __future__ import annotations

import pyarrow as pa

STRINGS = pa.list_(pa.string())

PRODUCTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("source", pa.string()),
        ("title", pa.string()),
        ("brand", pa.string()),
        ("category", pa.string()),  # top level
        ("category_path", STRINGS),  # from the top level to the finest
        ("description", pa.string()),
        ("features", STRINGS),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("color", pa.string()),
        ("image_urls", STRINGS),  # best candidate first
        ("group_id", pa.string()),  # shared by the variants of one article; null: the source does not say
        ("origin", pa.string()),
    ]
)

REVIEWS = pa.schema(
    [
        ("review_id", pa.string()),
        ("product_id", pa.string()),
        # Never published; a release has running numbers.
        ("user_id", pa.string()),
        ("rating", pa.int8()),  # 1 to 5
        ("title", pa.string()),
        ("text", pa.string()),
        ("timestamp", pa.int64()),  # UTC seconds
        ("verified", pa.bool_()),
        ("image_urls", STRINGS),
        ("origin", pa.string()),
    ]
)

RELATIONS = pa.schema(
    [
        ("product_a", pa.string()),
        ("product_b", pa.string()),
        ("relation", pa.string()),  # also_bought | also_viewed | similar
        ("origin", pa.string()),
    ]
)

JUDGEMENTS = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("product_id", pa.string()),
        ("label", pa.string()),  # E | S | C | I
        ("locale", pa.string()),
        ("source_split", pa.string()),
        ("origin", pa.string()),
    ]
)

QUESTIONS = pa.schema(
    [
        ("question_id", pa.string()),
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("question", pa.string()),
        ("document", STRINGS),
        ("answerable", pa.bool_()),
        ("origin", pa.string()),
    ]
)

# A further category of a product: from another publisher the fine one (MAVE) or a whole path (ESCI-S), from a shop
# each path beside the first one.
CATEGORY_LABELS = pa.schema(
    [
        ("product_id", pa.string()),
        ("fine_category", pa.string()),  # null: only the path is known
        ("category_path", STRINGS),  # empty: only the fine category is known
    ]
)

# The publisher's kind of a query (ESCI: negations, parse_pattern, …).
QUERY_KINDS = pa.schema([("query_id", pa.string()), ("kind", pa.string())])

# An image from another publisher (SQID, ESCI-S).
PRODUCT_IMAGES = pa.schema([("product_id", pa.string()), ("image_url", pa.string())])

RAW_TABLES: dict[str, pa.Schema] = {
    "products": PRODUCTS,
    "reviews": REVIEWS,
    "relations": RELATIONS,
    "judgements": JUDGEMENTS,
    "questions": QUESTIONS,
    "query_kinds": QUERY_KINDS,
    "category_labels": CATEGORY_LABELS,
    "product_images": PRODUCT_IMAGES,
}

# Curated products have the results of curation.
CURATED_PRODUCTS = pa.schema(
    [
        *PRODUCTS,
        pa.field("fine_category", pa.string()),
        # Smallest product_id of the near-duplicate cluster.
        pa.field("cluster_id", pa.string()),
        # The products that stay in one split: clusters that share a group, are variants or were cut (duplicates/units).
        pa.field("split_unit", pa.string()),
        # All paths of the product beside category_path.
        pa.field("other_category_paths", pa.list_(STRINGS)),
    ]
)

# Curated reviews and questions: their texts with personal data masked, and the measurements of these texts.
_MEASURED = [
    pa.field("language", pa.string()),  # ISO 639-1; null: too short to tell
    pa.field("language_score", pa.float32()),  # probability, 0 to 1
    pa.field("profanity", pa.int16()),  # swear words
    pa.field("strong_profanity", pa.int16()),  # those among them that are strong
    pa.field("masked", STRINGS),  # kind of personal data of each masked token
]
# A review in another language than the recipe's is kept as its user's purchase: title, text and image_urls are null,
# and language gives the reason.
CURATED_REVIEWS = pa.schema([*REVIEWS, *_MEASURED])
CURATED_QUESTIONS = pa.schema([*QUESTIONS, *_MEASURED])

# Schemas of the tables that tasks read.
CURATED_TABLES: dict[str, pa.Schema] = {
    "products": CURATED_PRODUCTS,
    "reviews": CURATED_REVIEWS,
    "relations": RELATIONS,
    "judgements": JUDGEMENTS,
    "questions": CURATED_QUESTIONS,
}

IMAGES = pa.schema(
    [
        ("image_url", pa.string()),
        ("status", pa.string()),  # ok | rejected
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("image_id", pa.string()),  # SHA-256 of the received bytes
        # SHA-256 of the normalised image's size and pixels.
        ("pixel_id", pa.string()),
        ("width", pa.int32()),  # as received
        ("height", pa.int32()),
        ("format", pa.string()),  # by content
        ("mode", pa.string()),  # Pillow's
        ("frames", pa.int32()),  # counted to 1,000
        # 16 hexadecimal digits; null where there is no normalised image.
        ("phash", pa.string()),
        ("phash_version", pa.string()),
        # Difference hash of the normalised image, as phash.
        ("dhash", pa.string()),
        # Amount of structure to hash, in grey levels (perceptual_hash.py).
        ("structure", pa.float32()),
        # Standard deviation of the grey image, 0 to 127.5.
        ("pixel_deviation", pa.float32()),
        ("thumbnail", pa.binary()),  # 8x8 RGB, averaged, row by row: 192 bytes
        ("mirrored_phash", pa.string()),  # of the mirrored image
    ]
)

# Pixels in a table of their own, keyed by image_id: normalised RGB JPEG.
PIXELS = pa.schema(
    [
        ("image_id", pa.string()),
        ("jpeg", pa.binary()),  # the normalised image
        # 32x32 RGB, averaged, row by row: 3,072 bytes, for the second look at near images.
        ("sketch", pa.binary()),
    ]
)

REJECTIONS = pa.schema(
    [
        ("stage", pa.string()),
        ("reason", pa.string()),  # machine-readable, snake_case
        ("detail", pa.string()),  # for a person: what was found, shortened
        # file:line of the raw record. Empty where the build finds it by the ids, from the tables' column of that name.
        ("origin", pa.string()),
        ("record_id", pa.string()),  # id of the rejected record where it is known
        ("task", pa.string()),
        ("product_ids", STRINGS),
        ("query_id", pa.string()),
        ("user_id", pa.string()),
        ("image_url", pa.string()),
        ("source_id", pa.string()),  # id of the review or question that the record was made from
    ]
)

# As a dataset folder has them: users by their number in it, null where no sample is theirs.
PUBLISHED_REJECTIONS = pa.schema(
    [
        *(REJECTIONS.field(name) for name in REJECTIONS.names[:8]),
        ("user", pa.int64()),
        ("image_url", pa.string()),
    ]
)
