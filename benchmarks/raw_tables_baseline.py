"""Relations and sequences the straightforward way: every row by `json.loads`, all in dictionaries and sets.

    python benchmarks/raw_tables_baseline.py relations FILE OUTPUT
    python benchmarks/raw_tables_baseline.py sequences FILE OUTPUT [--k 5] [--longest 50]

The algorithm is that of the text-only predecessor's notebooks, with its faults mended so that results can be compared:
the core goes to its fixed point, ties in time are broken by id, histories keep the most recent items, a line that is
no record is passed over. Prints {seconds, cpu, memory_mb, ...counts} as JSON and writes the result, sorted, to OUTPUT.
Imports nothing of the project.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import re
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BOUGHT, VIEWED, SIMILAR = 1, 2, 4
_LINKED = re.compile(r"/dp/([A-Z0-9]{10})")
_NO_TITLE = ("<", "{", "/>", "getTime")

Pair = tuple[str, str]


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a gzipped file of JSON lines; lines that are none are passed over."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            yield row


def all_rows(path: Path) -> dict[int, dict[str, Any]]:
    """Return every row by its running number: how these files are customarily loaded."""
    return dict(enumerate(rows_of(path)))


def related_pairs(path: Path) -> dict[Pair, int]:
    """Return unordered pairs of products of the file and the set of their relations, as bits."""
    products: dict[str, dict[str, Any]] = {}
    for row in all_rows(path).values():
        title = html.unescape(row.get("title") or "").strip()
        asin = row.get("asin") or ""
        if asin and title and not any(mark in title for mark in _NO_TITLE):
            products.setdefault(asin, row)
    found: dict[int, set[Pair]] = {BOUGHT: set(), VIEWED: set(), SIMILAR: set()}
    for asin, row in products.items():
        lists = row["also_buy"], row["also_view"], _LINKED.findall(row["similar_item"])
        for relation, others in zip(found, lists, strict=True):
            for other in others:
                if other != asin and other in products:
                    found[relation].add((asin, other) if asin < other else (other, asin))
    pairs: dict[Pair, int] = defaultdict(int)
    for relation, members in found.items():
        for pair in members:
            pairs[pair] |= relation
    return pairs


def sequences(path: Path, k: int, longest: int) -> dict[str, list[str]]:
    """Return the most recent items of each user of the k-core, oldest first."""
    first: dict[Pair, int] = {}
    for row in rows_of(path):
        rating, when = row["overall"], row["unixReviewTime"]
        if rating not in (1, 2, 3, 4, 5) or when is None:
            continue
        key = row["reviewerID"], row["asin"]
        if key not in first or when < first[key]:
            first[key] = when
    interactions = set(first)
    while True:
        items = Counter(item for _, item in interactions)
        kept = {(user, item) for user, item in interactions if items[item] >= k}
        users = Counter(user for user, _ in kept)
        kept = {(user, item) for user, item in kept if users[user] >= k}
        if len(kept) == len(interactions):
            break
        interactions = kept
    histories: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for user, item in interactions:
        histories[user].append((first[user, item], item))
    return {user: [item for _, item in sorted(history)[-longest:]] for user, history in histories.items()}


def usage() -> tuple[float, int]:
    """Return the processor seconds so far and the most memory so far in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


def main() -> None:
    """Run one of the two, say what it took, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("relations", "sequences"))
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--longest", type=int, default=50)
    args = parser.parse_args()
    begin, cpu = time.perf_counter(), usage()[0]
    counts: dict[str, int]
    if args.what == "relations":
        pairs = related_pairs(args.source)
        several = sum(bits not in (BOUGHT, VIEWED, SIMILAR) for bits in pairs.values())
        counts = {"pairs": len(pairs), "several": several}
    else:
        found = sequences(args.source, args.k, args.longest)
        counts = {"users": len(found), "items": sum(map(len, found.values()))}
    seconds, (used, memory) = time.perf_counter() - begin, usage()
    if args.what == "relations":
        lines = (f"{one},{two},{bits}\n" for (one, two), bits in sorted(pairs.items()))
    else:
        lines = (f"{user},{' '.join(items)}\n" for user, items in sorted(found.items()))
    with args.output.open("w", encoding="utf-8") as output:
        output.writelines(lines)
    json.dump({"seconds": seconds, "cpu": used - cpu, "memory_mb": memory, **counts}, sys.stdout)


if __name__ == "__main__":
    main()
