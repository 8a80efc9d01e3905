"""Near-duplicate titles: an exact join on the Jaccard similarity of word sets.

Two sets with Jaccard similarity of at least t share a word among the first n - ceil(t n) + 1 words of each, when
the words of all sets stand in one order (here: rarest first). So only sets with a common word in those prefixes
are compared, and no pair is missed (prefix filtering; Bayardo, Ma and Srikant, WWW 2007).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb

_WORD = re.compile(r"\w+")


def title_words(title: str) -> list[str]:
    """Return the distinct words of a title, sorted: compatibility form, case-folded, no punctuation."""
    return sorted(set(_WORD.findall(unicodedata.normalize("NFKC", title).casefold())))


def near_duplicate_titles(
    connection: duckdb.DuckDBPyConnection, titles: pa.Table, similarity: float
) -> list[tuple[str, str]]:
    """Return pairs of ids whose titles' words are equal, or similar by at least `similarity`.

    titles: columns product_id, title. Of titles with equal words each is paired with the first of them, and only
    that one is compared with others; the pairs are therefore edges whose connected components are the clusters.
    """
    first: dict[tuple[str, ...], str] = {}
    edges = []
    pairs = zip(titles.column("product_id").to_pylist(), titles.column("title").to_pylist(), strict=True)
    for product_id, title in sorted(pairs):
        words = tuple(title_words(title or ""))
        if not words:
            continue
        if words in first:
            edges.append((first[words], product_id))
        else:
            first[words] = product_id
    sets = pa.table(
        {"id": list(first.values()), "words": [list(words) for words in first]},
        schema=pa.schema([("id", pa.string()), ("words", pa.list_(pa.string()))]),
    )
    connection.register("title_sets", sets)
    found = connection.execute(
        f"""
        WITH words AS (SELECT id, len(words) AS size, unnest(words) AS word FROM title_sets),
        frequency AS (SELECT word, count(*) AS frequency FROM words GROUP BY word HAVING count(*) > 1),
        ranked AS (
            SELECT id, size, word,
                row_number() OVER (PARTITION BY id ORDER BY coalesce(frequency, 1), word) AS position
            FROM words LEFT JOIN frequency USING (word)
        ),
        prefixes AS (
            SELECT id, size, word FROM ranked
            WHERE position <= size - ceil({similarity} * size - 1e-9) + 1
        ),
        candidates AS (
            SELECT DISTINCT a.id AS a, b.id AS b FROM prefixes a JOIN prefixes b USING (word)
            WHERE a.id < b.id AND least(a.size, b.size) >= {similarity} * greatest(a.size, b.size) - 1e-9
        )
        SELECT a, b FROM candidates JOIN title_sets x ON x.id = a JOIN title_sets y ON y.id = b
        WHERE len(list_intersect(x.words, y.words))
            >= {similarity} * (len(x.words) + len(y.words) - len(list_intersect(x.words, y.words))) - 1e-9
        ORDER BY a, b
        """
    ).fetchall()
    connection.unregister("title_sets")
    return edges + found
