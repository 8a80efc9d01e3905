"""Run one peer, in its own virtual environment, on the files of `near_duplicates.py`.

    PYTHON near_duplicate_peers.py PEER INPUT OUTPUT [--radius 6] [--queries N] [--bands B --rows R]

Writes {seconds, setup, cpu, queries, memory_mb, version} as JSON to standard output and the pairs that it found to
OUTPUT (.npy). Imports nothing of the project.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

# The pairs found, and the seconds that went before the first query.
Found = tuple[list[Any], float]


def faiss_flat(hashes: Any, radius: int, queries: int) -> Found:
    """Range search of the first hashes in a flat binary index; one thread, as the project's own index has."""
    import faiss

    faiss.omp_set_num_threads(1)
    begin = time.perf_counter()
    codes = hashes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    setup = time.perf_counter() - begin
    found = []
    for start in range(0, queries, 1000):
        stop = min(start + 1000, queries)
        limits, distances, labels = index.range_search(codes[start:stop], radius + 1)
        counts = np.diff(limits).astype(np.int64)
        rows = np.repeat(np.arange(start, stop), counts)
        keep = (labels > rows) & (distances <= radius)
        found.append(np.stack([rows[keep], labels[keep]], axis=1))
    return found, setup


def bk_tree(hashes: Any, radius: int, queries: int) -> Found:
    """A tree of all hashes, asked for the neighbours of the first."""
    import pybktree

    begin = time.perf_counter()
    items = list(enumerate(hashes.tolist()))
    tree = pybktree.BKTree(lambda a, b: (a[1] ^ b[1]).bit_count(), items)
    setup = time.perf_counter() - begin
    found = []
    for row in range(queries):
        near = [(row, other) for _, (other, _) in tree.find(items[row], radius) if other > row]
        found.append(np.array(near, np.int64).reshape(-1, 2))
    return found, setup


def brute_force(hashes: Any, radius: int, queries: int) -> Found:
    """Every hash with every later one, by numpy."""
    found = []
    for row in range(queries):
        near = np.flatnonzero(np.bitwise_count(hashes[row + 1 :] ^ hashes[row]) <= radius) + row + 1
        if len(near):
            found.append(np.stack([np.full(len(near), row), near], axis=1))
    return found, 0.0


def datasketch_titles(texts: list[str], similarity: float, bands: int, rows: int) -> list[Any]:
    """MinHash and banding by datasketch, then the Jaccard similarity of the word sets; texts are words already."""
    from datasketch import MinHash, MinHashLSH

    sets = [set(text.split()) for text in texts]
    lsh = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
    signatures = MinHash.bulk([[word.encode() for word in one] for one in sets], num_perm=bands * rows)
    pairs = []
    for row, signature in enumerate(signatures):
        for other in lsh.query(signature):
            common = len(sets[row] & sets[other])
            if common >= similarity * (len(sets[row]) + len(sets[other]) - common) - 1e-9:
                pairs.append((other, row))
        lsh.insert(row, signature, check_duplication=False)
    return [np.array(pairs).reshape(-1, 2)]


def peak_memory() -> float:
    """Return the most memory of this process in MB (Linux); getrusage's figure begins with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def main() -> None:
    """Run the peer and say what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=["faiss", "bk_tree", "brute_force", "datasketch"])
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--radius", type=int, default=6)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--similarity", type=float, default=0.85)
    parser.add_argument("--bands", type=int, default=10)
    parser.add_argument("--rows", type=int, default=4)
    args = parser.parse_args()
    packages = {
        "faiss": "faiss-cpu",
        "bk_tree": "pybktree",
        "brute_force": "numpy",
        "datasketch": "datasketch",
    }
    if args.peer == "datasketch":
        texts = args.input.read_text(encoding="utf-8").splitlines()
        queries = len(texts)
        begin = time.perf_counter(), time.process_time()
        setup = 0.0
        found = datasketch_titles(texts, args.similarity, args.bands, args.rows)
    else:
        hashes = np.load(args.input)
        queries = min(args.queries or len(hashes), len(hashes))
        search = {"faiss": faiss_flat, "bk_tree": bk_tree, "brute_force": brute_force}[args.peer]
        begin = time.perf_counter(), time.process_time()
        found, setup = search(hashes, args.radius, queries)
    seconds, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    np.save(args.output, np.concatenate([np.empty((0, 2), np.int64), *found]).astype(np.int64))
    version = importlib.metadata.version(packages[args.peer])
    answer = {
        "seconds": seconds,
        "setup": setup,
        "cpu": cpu,
        "queries": queries,
        "memory_mb": peak_memory(),
        "version": version,
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
