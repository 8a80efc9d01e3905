r"""Near-duplicates at scale: a million hashes against faiss, brute force, a BK-tree; 300,000 titles against datasketch.

    python -m venv /tmp/venv-faiss && /tmp/venv-faiss/bin/pip install faiss-cpu pybktree
    python -m venv /tmp/venv-datasketch && /tmp/venv-datasketch/bin/pip install datasketch
    python benchmarks/near_duplicates.py --faiss-python /tmp/venv-faiss/bin/python \
        --datasketch-python /tmp/venv-datasketch/bin/python [--results benchmarks/results]

Every contestant is a process of its own with one thread, on the same files; the runs alternate. Ours and the peers are
timed from loaded input to found pairs. Wall-clock and CPU seconds are recorded; compare CPU seconds where other work
shares the machine. Peers that would take too long query the first hashes only, and their time after building the index
is scaled by the number of hashes; the result records this.

Hashes are uniform, or skewed as product images on white are: a few categories, in each of which some bits vary
much and most little. In both, a hundredth are planted near-duplicates with 0 to `radius` bits flipped, of which recall
is measured. With fewer hashes every pair is checked against brute force.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from near_duplicate_peers import peak_memory
from numpy.typing import NDArray

from mmecinstruct.duplicates.hash_index import iterate_pairs_within
from mmecinstruct.duplicates.titles import ROWS, bands_for, near_texts

SEED = 11
CATEGORIES = 20
PLANTED = 0.01
PEERS = Path(__file__).with_name("near_duplicate_peers.py")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

Result = dict[str, Any]


def make_hashes(count: int, skewed: bool, radius: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return (hashes [count], planted pairs [planted, 2])."""
    generator = np.random.default_rng(SEED)
    planted = int(count * PLANTED)
    base = count - planted
    if skewed:
        centres = generator.random((CATEGORIES, 64)) < 0.5
        # Chance that a bit differs from its category's: for most bits small, for a few nearly a half; scaled so
        # that 0.036 % of random pairs are within 6 bits.
        change = np.minimum(0.5, 0.845 * generator.beta(0.5, 2.0, (CATEGORIES, 64)))
        category = generator.integers(0, CATEGORIES, base)
        hashes = np.empty(base, np.uint64)
        for start in range(0, base, 100_000):
            part = category[start : start + 100_000]
            bits = centres[part] ^ (generator.random((len(part), 64)) < change[part])
            hashes[start : start + 100_000] = np.packbits(bits, axis=1).view(">u8").ravel()
    else:
        hashes = generator.integers(0, 2**64, base, dtype=np.uint64)
    sources = generator.choice(base, planted, replace=False)
    flips = np.zeros(planted, np.uint64)
    for row, bits in enumerate(generator.integers(0, radius + 1, planted)):
        for bit in generator.choice(64, bits, replace=False):
            flips[row] |= np.uint64(1) << np.uint64(bit)
    pairs = np.stack([sources, np.arange(base, count)], axis=1).astype(np.int64)
    return np.concatenate([hashes, hashes[sources] ^ flips]), pairs


def matching_share(hashes: NDArray[np.uint64], radius: int) -> float:
    """Return the share of random pairs within the radius."""
    sampled = np.random.default_rng(SEED + 1).integers(0, len(hashes), (2_000_000, 2))
    sampled = sampled[sampled[:, 0] != sampled[:, 1]]
    return float((np.bitwise_count(hashes[sampled[:, 0]] ^ hashes[sampled[:, 1]]) <= radius).mean())


def make_titles(count: int) -> list[str]:
    """Return titles of distinct word sets: Zipf-distributed words, a tenth of them with up to two words changed."""
    generator = np.random.default_rng(SEED)
    weights = 1 / np.arange(1, 40_001)
    planted = count // 10
    sizes = generator.integers(4, 16, count)
    words = generator.choice(40_000, int(sizes.sum()), p=weights / weights.sum())
    seen: dict[frozenset[int], None] = {}
    begin = 0
    for size in sizes[: count - planted].tolist():
        seen.setdefault(frozenset(words[begin : begin + size].tolist()))
        begin += size
    originals = list(seen)
    for source in generator.integers(0, len(originals), planted).tolist():
        title = set(originals[source])
        for _ in range(int(generator.integers(1, 3))):
            if generator.random() < 0.5 or len(title) < 3:
                title.add(int(generator.integers(0, 40_000)))
            else:
                title.remove(sorted(title)[int(generator.integers(0, len(title)))])
        seen.setdefault(frozenset(title))
    return [" ".join(f"w{word}" for word in sorted(one)) for one in seen]


def similar_by_exact_join(texts: Sequence[str], similarity: float) -> NDArray[np.int64]:
    """Return all pairs of at least the similarity: prefix filtering in DuckDB (Bayardo, Ma and Srikant, WWW 2007)."""
    sets = pa.table({"id": range(len(texts)), "words": [text.split() for text in texts]})
    connection = duckdb.connect(config={"threads": 1, "memory_limit": "3GB"})
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
            SELECT id, size, word FROM ranked WHERE position <= size - ceil({similarity} * size - 1e-9) + 1
        ),
        candidates AS (
            SELECT DISTINCT a.id AS a, b.id AS b FROM prefixes a JOIN prefixes b USING (word)
            WHERE a.id < b.id AND least(a.size, b.size) >= {similarity} * greatest(a.size, b.size) - 1e-9
        )
        SELECT a, b FROM candidates JOIN title_sets x ON x.id = a JOIN title_sets y ON y.id = b
        WHERE len(list_intersect(x.words, y.words))
            >= {similarity} * (len(x.words) + len(y.words) - len(list_intersect(x.words, y.words))) - 1e-9
        """
    ).fetchnumpy()
    return np.stack([np.asarray(found["a"]), np.asarray(found["b"])], axis=1).astype(np.int64)


def work(what: str, source: Path, output: Path, radius: int, similarity: float) -> None:
    """Run ours, or the exact join, in this process; print the same JSON as the peers do."""
    found: list[NDArray[np.int64]] = []
    pairs = 0
    if what == "ours_hashes":
        hashes = np.load(source)
        planted = np.load(source.with_name(f"planted_{source.name}"))
        partner = np.full(len(hashes), -1, np.int64)
        partner[planted[:, 1]] = planted[:, 0]
        begin = time.perf_counter(), time.process_time()
        for piece, _ in iterate_pairs_within(hashes, radius):
            pairs += len(piece)
            # At a million skewed hashes the pairs do not fit in memory; the planted ones are what recall asks for.
            found.append(piece if len(hashes) <= 100_000 else piece[partner[piece[:, 1]] == piece[:, 0]])
        took = time.perf_counter() - begin[0], time.process_time() - begin[1]
    else:
        texts = source.read_text(encoding="utf-8").splitlines()
        begin = time.perf_counter(), time.process_time()
        if what == "ours_titles":
            found = [near_texts(texts, similarity)[0]]
        else:
            found = [similar_by_exact_join(texts, similarity)]
        took = time.perf_counter() - begin[0], time.process_time() - begin[1]
        pairs = len(found[0])
    np.save(output, np.concatenate([np.empty((0, 2), np.int64), *found]))
    json.dump({"seconds": took[0], "cpu": took[1], "pairs": pairs, "memory_mb": peak_memory()}, sys.stdout)


def run(command: Sequence[str | Path]) -> Result:
    """Run a contestant and return its result."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        check=True,
        timeout=3600,
    )
    return dict(json.loads(done.stdout))


def ours(what: str, source: Path, output: Path, radius: int, similarity: float) -> Result:
    """Run `work` in a process of its own."""
    script = [sys.executable, __file__, "--work", what, str(source), str(output)]
    return run([*script, "--radius", str(radius), "--similarity", str(similarity)])


def same_pairs(left: NDArray[np.int64], right: NDArray[np.int64], size: int) -> tuple[int, int, int]:
    """Return how many pairs are in both, in the left alone and in the right alone."""
    a, b = (np.unique(pairs.min(axis=1) * size + pairs.max(axis=1)) for pairs in (left, right))
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both, len(a) - both, len(b) - both


def summary(runs: Sequence[Result]) -> Result:
    """Return the median of the times with the least and the most, and the most memory."""
    result: Result = {"runs": len(runs), "memory_mb": round(max(run["memory_mb"] for run in runs))}
    for name in ("seconds", "cpu"):
        values = [run[name] for run in runs]
        result[name] = round(statistics.median(values), 3)
        result[f"{name}_range"] = [round(min(values), 3), round(max(values), 3)]
    return result


def compare_hashes(args: argparse.Namespace, folder: Path, count: int, skewed: bool) -> Result:
    """Return ours beside the peers on one set of hashes."""
    hashes, planted = make_hashes(count, skewed, args.radius)
    source = folder / f"hashes_{count}_{skewed}.npy"
    np.save(source, hashes)
    np.save(source.with_name(f"planted_{source.name}"), planted)
    small = count <= args.small
    peers: dict[str, tuple[Path, int]] = {
        "faiss": (args.faiss_python, count if small else args.faiss_queries)
    }
    if small:
        peers |= {
            "brute_force": (Path(sys.executable), count),
            "bk_tree": (args.faiss_python, args.tree_queries),
        }
    runs: dict[str, list[Result]] = {name: [] for name in ("ours", *peers)}
    for _ in range(args.repeats):
        runs["ours"].append(ours("ours_hashes", source, folder / "ours.npy", args.radius, 0.85))
        for name, (python, queries) in peers.items():
            command = [python, PEERS, name, source, folder / f"{name}.npy", "--radius", str(args.radius)]
            runs[name].append(run([*command, "--queries", str(min(queries, count))]))
    found = np.load(folder / "ours.npy")
    both, missing, _ = same_pairs(planted, found, count)
    result: Result = {
        "hashes": count,
        "skewed": skewed,
        "radius": args.radius,
        "share_of_random_pairs_within": matching_share(hashes, args.radius),
        "pairs": runs["ours"][0]["pairs"],
        "planted": len(planted),
        "recall_of_planted": both / (both + missing),
        "ours": summary(runs["ours"]),
    }
    for name, (_, queries) in peers.items():
        asked = min(queries, count)
        scale = 1.0 if asked == count else count / asked
        entry = summary(runs[name]) | {"version": runs[name][0]["version"], "queries": asked, "scale": scale}
        ratios = [
            (peer["setup"] + scale * (peer["seconds"] - peer["setup"])) / own["seconds"]
            for peer, own in zip(runs[name], runs["ours"], strict=True)
        ]
        entry["times_ours"] = round(statistics.median(ratios), 2)
        entry["times_ours_range"] = [round(min(ratios), 2), round(max(ratios), 2)]
        if small:
            theirs = np.load(folder / f"{name}.npy")
            mine = found[found.min(axis=1) < asked]
            shared, we_lack, they_lack = same_pairs(theirs, mine, count)
            entry |= {"pairs_in_both": shared, "only_theirs": we_lack, "only_ours": they_lack}
        result[name] = entry
    return result


def compare_titles(args: argparse.Namespace, folder: Path) -> Result:
    """Return ours beside datasketch and the exact join on titles."""
    texts = make_titles(args.titles)
    source = folder / "titles.txt"
    source.write_text("\n".join(texts), encoding="utf-8")
    bands = bands_for(args.similarity)
    options = ["--similarity", str(args.similarity), "--bands", str(bands), "--rows", str(ROWS)]
    runs: dict[str, list[Result]] = {"ours": [], "datasketch": [], "exact_join": []}
    for _ in range(args.repeats):
        runs["ours"].append(ours("ours_titles", source, folder / "titles.npy", 6, args.similarity))
        command = [args.datasketch_python, PEERS, "datasketch", source, folder / "datasketch.npy", *options]
        runs["datasketch"].append(run(command))
        runs["exact_join"].append(ours("exact_titles", source, folder / "exact.npy", 6, args.similarity))
    truth = np.load(folder / "exact.npy")
    result: Result = {
        "titles": len(texts),
        "similarity": args.similarity,
        "bands": bands,
        "rows": ROWS,
        "true_pairs": len(truth),
        "datasketch_version": runs["datasketch"][0]["version"],
    }
    for name, file in (("ours", "titles.npy"), ("datasketch", "datasketch.npy"), ("exact_join", "exact.npy")):
        both, wrong, missed = same_pairs(np.load(folder / file), truth, len(texts))
        ratios = [one["seconds"] / own["seconds"] for one, own in zip(runs[name], runs["ours"], strict=True)]
        result[name] = summary(runs[name]) | {
            "recall": both / (both + missed) if both + missed else None,
            "precision": both / (both + wrong) if both + wrong else None,
            "times_ours": round(statistics.median(ratios), 2),
            "times_ours_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    return result


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    yield "# Near-duplicates at size"
    yield ""
    yield (
        f"`near_duplicates.py`, one thread each, {result['repeats']} run(s) in turn, load of the machine before "
        f"{result['load_before']} and after {result['load_after']}; median [least, most]."
    )
    for one in result["hashes"]:
        yield ""
        kind = "skewed" if one["skewed"] else "uniform"
        yield f"## {one['hashes']:,} {kind} hashes within {one['radius']} bits"
        yield ""
        yield (
            f"{100 * one['share_of_random_pairs_within']:.4f} % of random pairs are within the radius: "
            f"{one['pairs']:,} pairs. Of {one['planted']:,} planted pairs ours finds {one['recall_of_planted']:.4f}."
        )
        yield ""
        yield "| | seconds | CPU seconds | memory MB | asked about | times ours | pairs only theirs / only ours |"
        yield "|---|---|---|---:|---:|---|---|"
        for name in ("ours", "faiss", "brute_force", "bk_tree"):
            if name in one:
                yield _hash_row(name, one[name], one["hashes"])
    titles = result["titles"]
    yield ""
    yield f"## {titles['titles']:,} titles, similarity {titles['similarity']}"
    yield ""
    yield (
        f"{titles['true_pairs']:,} true pairs by the exact join; {titles['bands']} bands of {titles['rows']} values in "
        f"both MinHash searches, candidates verified in both; datasketch {titles['datasketch_version']}."
    )
    yield ""
    yield "| | seconds | CPU seconds | memory MB | recall | precision | times ours |"
    yield "|---|---|---|---:|---:|---:|---|"
    for name in ("ours", "datasketch", "exact_join"):
        row = titles[name]
        yield (
            f"| {name} | {_spread(row, 'seconds')} | {_spread(row, 'cpu')} | {row['memory_mb']} | "
            f"{row['recall']:.4f} | {row['precision']:.4f} | {_spread(row, 'times_ours')} |"
        )


def _spread(row: Result, name: str) -> str:
    low, high = row[f"{name}_range"]
    return f"{row[name]} [{low}, {high}]"


def _hash_row(name: str, row: Result, hashes: int) -> str:
    version = f" {row['version']}" if "version" in row else ""
    asked = f"{row.get('queries', hashes):,}"
    times = _spread(row, "times_ours") if "times_ours" in row else ""
    if row.get("scale", 1.0) != 1.0:
        times += " (scaled)"
    lacking = f"{row['only_theirs']} / {row['only_ours']}" if "only_theirs" in row else ""
    return (
        f"| {name}{version} | {_spread(row, 'seconds')} | {_spread(row, 'cpu')} | {row['memory_mb']} | {asked} | "
        f"{times} | {lacking} |"
    )


def main() -> None:
    """Run everything and write near_duplicates.json and near_duplicates.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faiss-python", type=Path)
    parser.add_argument("--datasketch-python", type=Path)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--titles", type=int, default=300_000)
    parser.add_argument("--radius", type=int, default=6)
    parser.add_argument("--similarity", type=float, default=0.85)
    parser.add_argument("--faiss-queries", type=int, default=100_000)
    parser.add_argument("--tree-queries", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work[0], Path(args.work[1]), Path(args.work[2]), args.radius, args.similarity)
        return
    if args.faiss_python is None or args.datasketch_python is None:
        parser.error("the peers need --faiss-python and --datasketch-python; see the top of this file")
    result: Result = {"repeats": args.repeats, "load_before": [round(one, 1) for one in os.getloadavg()]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result["hashes"] = [
            compare_hashes(args, folder, count, skewed)
            for count in (args.small, args.large)
            for skewed in (False, True)
        ]
        result["titles"] = compare_titles(args, folder)
    result["load_after"] = [round(one, 1) for one in os.getloadavg()]
    page = "\n".join(markdown(result)) + "\n"
    sys.stdout.write(page)
    if args.results:
        (args.results / "near_duplicates.json").write_text(
            json.dumps(result, indent=1) + "\n", encoding="utf-8"
        )
        (args.results / "near_duplicates.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
