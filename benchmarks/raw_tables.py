"""Build relations and 5-core sequences from raw files in Amazon's format, against dictionaries and sets.

    python benchmarks/raw_tables.py [--products 400000] [--reviews 3000000] [--repeats 3] [--times 10]
        [--memory 2GB] [--workers N] [--folder FOLDER] [--results benchmarks/results]

`mmecinstruct.synthetic.raw_files` generates one category's metadata and reviews. Relations are the unordered pairs of
the file's products with their relation; pairs of several relations are marked. Sequences are the 50 most recent items,
by time and id, of each user of the 5-core (several reviews of a product by a user are one interaction; to the fixed
point). Ours: the project's parser, a process per part of the raw file, into Parquet; then the SQL of
`mmecinstruct.sampling` in DuckDB within a memory limit. The other: `raw_tables_baseline.py`.

Each run is a process of its own, from the raw file to the finished table; the runs alternate. Wall-clock and CPU
seconds and peak memory are recorded; ours is that of all its processes together, sampled once a second. The sorted
results of both must have the same bytes. `--times` runs ours alone on files so many times as large, within the same
limit. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from process_memory import Measurements, watched

from mmecinstruct.core.duckdb import connect
from mmecinstruct.core.hashing import sha256_file
from mmecinstruct.engine.executors.local import LocalExecutor, cores
from mmecinstruct.engine.stage import Files, WorkItem
from mmecinstruct.sources.settings import AmazonMetadata, AmazonReviews, Source
from mmecinstruct.stages.parse import Parse, file_stamp

SEED = 11
K, LONGEST = 5, 50
BASELINE = Path(__file__).with_name("raw_tables_baseline.py")
METADATA, REVIEWS = "amazon2018/meta_Electronics.json.gz", "amazon2018/Electronics_5.json.gz"
FILES = {"relations": METADATA, "sequences": REVIEWS}
COUNTS = {"relations": ("pairs", "several"), "sequences": ("users", "items")}

# Bytes of disk for each byte of a synthetic file: its parsed rows and what queries spill, one file at a time.
DISK_PER_BYTE = 5

Result = dict[str, Any]
_BEGUN = time.perf_counter()


def say(text: str) -> None:
    """Write a line to stderr, with the seconds since the start of this process."""
    print(f"{time.perf_counter() - _BEGUN:8.1f} s  {text}", file=sys.stderr, flush=True)


def generate_files(folder: Path, products: int, reviews: int, workers: int) -> Result:
    """Generate one category's files; return their sizes."""
    from mmecinstruct.synthetic.raw_files.files import write_files  # a process that parses need not import it
    from mmecinstruct.synthetic.raw_files.volumes import Volumes

    say(f"generating {products:,} products and {reviews:,} reviews")
    volumes = Volumes(products=(products, 0, 0, 0), reviews=(reviews, 0, 0, 0))
    begin = time.perf_counter()
    sizes = write_files(folder, volumes, SEED, workers=workers)
    return {
        "products": products,
        "reviews": reviews,
        "drawn_in_seconds": round(time.perf_counter() - begin, 1),
        "text_mb": {name: round(size / 1e6) for name, size in sizes.items()},
        "gzip_mb": {name: round((folder / name).stat().st_size / 1e6) for name in sizes},
    }


def parse(what: str, source: Path, folder: Path, workers: int) -> None:
    """Parse the raw file into Parquet tables in folders below `folder`, a process per part as in a build."""
    kind: Source = (
        AmazonMetadata(kind="amazon18_metadata", path=source.name)
        if what == "relations"
        else AmazonReviews(kind="amazon18_reviews", path=source.name)
    )
    role = "metadata" if what == "relations" else "reviews"
    stage = Parse(
        number=0,
        source=kind,
        roles=(role,),
        origins=(source.name,),
        files=Files((source,), {"source": "a"}),
        stamps=(file_stamp(source),),
        most_packed_parts=cores(),
    )
    items = sorted(stage.items(), key=lambda item: -item.weight)
    with LocalExecutor(workers) as executor:
        for _ in executor.run(partial(parse_item, stage, folder), items):
            pass


def parse_item(stage: Parse, folder: Path, item: WorkItem) -> None:
    """Parse one part into a folder of its own."""
    (folder / item.key).mkdir()
    stage.work(item, folder / item.key)


def cpu_seconds() -> float:
    """Return the processor seconds so far of this process and of those that it started and that ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def most_memory(measured: Measurements) -> int:
    """Return the largest memory in MB: measured over all processes, or the peak of one between measurements."""
    one = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max([one // 1024, *(amount // 1024**2 for _, amount in measured)])


def work(what: str, source: Path, output: Path, memory: str, workers: int) -> None:
    """Run ours in this process; print the same JSON as the baseline and write the same lines."""
    from mmecinstruct.tasks.k_core import create_k_core
    from mmecinstruct.tasks.related_pairs import create_related_pairs

    begin, cpu = time.perf_counter(), cpu_seconds()
    with tempfile.TemporaryDirectory(dir=output.parent) as name, watched(os.getpid(), 1) as measured:
        folder = Path(name)
        parse(what, source, folder, workers)
        parsed = time.perf_counter() - begin
        connection = connect(memory, workers)
        spill = str((folder / "spill").absolute()).replace("'", "''")
        connection.execute(f"SET temp_directory = '{spill}'")
        figures: Result = {"parse_seconds": parsed}
        if what == "relations":
            connection.execute(
                f"""
                CREATE VIEW products AS SELECT DISTINCT product_id FROM read_parquet('{folder}/*/products.parquet');
                CREATE VIEW relations AS SELECT * FROM read_parquet('{folder}/*/relations.parquet')
                """
            )
            create_related_pairs(connection, "relations", "products", "pairs")
            sql = "SELECT count(*), count(*) FILTER (several) FROM pairs"
            lines = """
                SELECT concat_ws(',', substr(product_a, 10), substr(product_b, 10), relation_bits::INTEGER)
                FROM pairs ORDER BY product_a, product_b
            """
        else:
            connection.execute(
                f"CREATE VIEW reviews AS FROM read_parquet('{folder}/*/reviews.parquet') WHERE timestamp IS NOT NULL"
            )
            figures["rounds"] = create_k_core(connection, "reviews", "core", K)
            # The codes of products are in the order of their ids, which replace them at the end.
            connection.execute(
                f"""
                CREATE TEMP TABLE sequences AS
                WITH numbered AS (
                    SELECT user_code, list(product_code ORDER BY timestamp, product_code)[-{LONGEST}:] AS codes
                    FROM core GROUP BY user_code
                ), named AS (
                    SELECT list(product_id ORDER BY product_code) AS names FROM core_product
                )
                SELECT user_id, list_transform(codes, lambda code: names[code]) AS items
                FROM numbered JOIN core_user USING (user_code), named
                """
            )
            sql = "SELECT count(*), coalesce(sum(len(items)), 0)::BIGINT FROM sequences"
            lines = """
                SELECT concat_ws(',', substr(user_id, 10),
                    array_to_string(list_transform(items, lambda item: substr(item, 10)), ' '))
                FROM sequences ORDER BY user_id
            """
        counts = connection.execute(sql).fetchone()
        assert counts is not None
        figures |= dict(zip(COUNTS[what], counts, strict=True))
        figures |= {
            "seconds": time.perf_counter() - begin,
            "cpu": cpu_seconds() - cpu,
            "memory_mb": most_memory(measured),
        }
        found = connection.execute(lines)
        with output.open("w", encoding="utf-8") as stream:
            while rows := found.fetchmany(50_000):
                stream.writelines(f"{line}\n" for (line,) in rows)
        connection.close()
    json.dump(figures, sys.stdout)


def run(command: Sequence[str | Path]) -> Result:
    """Run a contestant and return its result."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def ours(what: str, raw: Path, output: Path, args: argparse.Namespace) -> Result:
    """Run `work` in a process of its own."""
    command = [sys.executable, __file__, "--work", what, raw / FILES[what], output]
    figures = run([*command, "--memory", args.memory, "--workers", str(args.workers)])
    say(
        f"{what}: ours {figures['seconds']:.1f} s, of these {figures['parse_seconds']:.1f} parsing, "
        f"{figures['memory_mb']:,} MB"
    )
    return figures


def baseline(what: str, raw: Path, output: Path) -> Result:
    """Run the baseline in a process of its own."""
    options = ["--k", str(K), "--longest", str(LONGEST)] if what == "sequences" else []
    figures = run([sys.executable, BASELINE, what, raw / FILES[what], output, *options])
    say(f"{what}: the baseline {figures['seconds']:.1f} s, {figures['memory_mb']:,} MB")
    return figures


def require_equal(what: str, mine: tuple[Result, Path], theirs: tuple[Result, Path]) -> str:
    """Return the SHA-256 of the sorted result, which both have. Raises SystemExit where they differ."""
    for name in COUNTS[what]:
        if mine[0][name] != theirs[0][name]:
            raise SystemExit(f"{what}: {name}: ours {mine[0][name]}, the baseline's {theirs[0][name]}")
    hashes = sha256_file(mine[1]), sha256_file(theirs[1])
    if hashes[0] != hashes[1]:
        raise SystemExit(f"{what}: as many results, but not the same: {mine[1]} and {theirs[1]}")
    return hashes[0]


def summary(runs: Sequence[Result]) -> Result:
    """Return the median of the times with the least and the most, and the most memory."""
    result: Result = {"runs": len(runs), "memory_mb": max(one["memory_mb"] for one in runs)}
    for name in ("seconds", "cpu", "parse_seconds"):
        values = [one[name] for one in runs if name in one]
        if values:
            result[name] = round(statistics.median(values), 2)
            result[f"{name}_range"] = [round(min(values), 2), round(max(values), 2)]
    return result


def ratios(theirs: Sequence[Result], mine: Sequence[Result], name: str) -> Result:
    """Return the median of the turns' ratios, with the least and the most."""
    values = [one[name] / own[name] for one, own in zip(theirs, mine, strict=True)]
    return {
        "median": round(statistics.median(values), 2),
        "range": [round(min(values), 2), round(max(values), 2)],
    }


def compare(what: str, raw: Path, folder: Path, args: argparse.Namespace) -> Result:
    """Return ours beside the baseline on the same file."""
    runs: dict[str, list[Result]] = {"ours": [], "baseline": []}
    outputs = folder / f"{what}_ours.csv", folder / f"{what}_baseline.csv"
    found = ""
    for turn in range(args.repeats):
        # Who comes first changes, as the second finds the file in memory.
        for who in ("ours", "baseline") if turn % 2 == 0 else ("baseline", "ours"):
            one = ours(what, raw, outputs[0], args) if who == "ours" else baseline(what, raw, outputs[1])
            runs[who].append(one)
        found = require_equal(what, (runs["ours"][-1], outputs[0]), (runs["baseline"][-1], outputs[1]))
    for output in outputs:
        output.unlink()
    first = runs["ours"][0]
    return {
        **{name: first[name] for name in (*COUNTS[what], "rounds") if name in first},
        "sha256_of_sorted_results": found,
        "ours": summary(runs["ours"]),
        "baseline": summary(runs["baseline"]),
        "times_ours": {
            name: ratios(runs["baseline"], runs["ours"], name) for name in ("seconds", "cpu", "memory_mb")
        },
    }


def enlarged(what: str, raw: Path, folder: Path, base: Result, args: argparse.Namespace) -> Result:
    """Return ours on files that are `--times` as large, beside what it took on the small ones."""
    output = folder / f"{what}_large.csv"
    one = ours(what, raw, output, args)
    output.unlink()
    return {
        **{name: one[name] for name in (*COUNTS[what], "rounds") if name in one},
        "ours": summary([one]),
        "times_the_small_one": {
            name: round(one[name] / base["ours"][name], 2) for name in ("seconds", "cpu", "memory_mb")
        },
    }


def require_disk(folder: Path, raw: Path, times: int) -> None:
    """Raise SystemExit where there is no room for files `times` as large as these and for the output."""
    sizes = [(raw / name).stat().st_size for name in FILES.values()]
    needed = times * (sum(sizes) + DISK_PER_BYTE * max(sizes))
    free = shutil.disk_usage(folder).free + sum(sizes)
    if needed > free:
        raise SystemExit(
            f"{times} times the input may take {needed / 1e9:,.0f} GB of disk, and {folder} has {free / 1e9:,.0f} GB: "
            "give another --folder or fewer --times"
        )


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    yield "# Relations and 5-core sequences from raw files"
    yield ""
    yield (
        f"`raw_tables.py`: {result['repeats']} turn(s), ours with {result['workers']} worker(s) and {result['memory']} "
        f"for DuckDB, the baseline in one process by its nature; Python {result['versions']['python']}, DuckDB "
        f"{result['versions']['duckdb']}; load of the machine before {result['load_before']} and after "
        f"{result['load_after']}. Median [least, most]; results equal, byte for byte."
    )
    yield ""
    yield from _files(result["files"])
    for what in FILES:
        one = result[what]
        yield ""
        yield f"## {what.capitalize()}: {_counted(one)}"
        yield ""
        yield "| | seconds | CPU seconds | most memory MB |"
        yield "|---|---|---|---:|"
        for name in ("ours", "baseline"):
            row = one[name]
            yield f"| {name} | {_spread(row, 'seconds')} | {_spread(row, 'cpu')} | {row['memory_mb']:,} |"
        ratio = one["times_ours"]
        shown = (
            f"{ratio[name]['median']} {ratio[name]['range']}" for name in ("seconds", "cpu", "memory_mb")
        )
        yield "| baseline / ours | " + " | ".join(shown) + " |"
        yield ""
        yield f"Of our seconds {_spread(one['ours'], 'parse_seconds')} are parsing."
    if "large" in result:
        large = result["large"]
        yield ""
        yield f"## {large['times']} times as large, ours alone"
        yield ""
        yield from _files(large["files"])
        yield ""
        yield "| | result | seconds | CPU seconds | most memory MB | times the seconds | times the memory |"
        yield "|---|---|---:|---:|---:|---:|---:|"
        for what in FILES:
            one, ratio = large[what], large[what]["times_the_small_one"]
            row = one["ours"]
            yield (
                f"| {what} | {_counted(one)} | {row['seconds']} | {row['cpu']} | {row['memory_mb']:,} | "
                f"{ratio['seconds']} | {ratio['memory_mb']} |"
            )


def _files(files: Result) -> Iterator[str]:
    yield (
        f"{files['products']:,} products, {files['reviews']:,} reviews; "
        + ", ".join(
            f"`{name}` {size:,} MB of text in {files['gzip_mb'][name]:,} MB"
            for name, size in files["text_mb"].items()
        )
        + f"; generated in {files['drawn_in_seconds']} s."
    )


def _counted(one: Result) -> str:
    if "pairs" in one:
        return f"{one['pairs']:,} pairs, {one['several']:,} of them with several relations"
    return f"{one['users']:,} users with {one['items']:,} items after {one['rounds']} rounds"


def _spread(row: Result, name: str) -> str:
    low, high = row[f"{name}_range"]
    return f"{row[name]} [{low}, {high}]"


def main() -> None:
    """Run everything and write raw_tables.json and raw_tables.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=400_000)
    parser.add_argument("--reviews", type=int, default=3_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--times", type=int, default=0, help="also ours alone on files so many times as large"
    )
    parser.add_argument("--memory", default="2GB", help="what DuckDB may use")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument(
        "--folder",
        type=Path,
        help="for the synthetic files and results; else a temporary one; queries spill there",
    )
    parser.add_argument("--results", type=Path)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work[0], Path(args.work[1]), Path(args.work[2]), args.memory, args.workers)
        return
    result: Result = {
        "repeats": args.repeats,
        "workers": args.workers,
        "memory": args.memory,
        "versions": {"python": platform.python_version(), "duckdb": version("duckdb")},
        "load_before": [round(one, 1) for one in os.getloadavg()],
    }
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        raw = folder / "raw"
        result["files"] = generate_files(raw, args.products, args.reviews, args.workers)
        if args.times:
            require_disk(folder, raw, args.times)
        for what in FILES:
            result[what] = compare(what, raw, folder, args)
        if args.times:
            shutil.rmtree(raw)
            files = generate_files(raw, args.products * args.times, args.reviews * args.times, args.workers)
            result["large"] = {"times": args.times, "files": files} | {
                what: enlarged(what, raw, folder, result[what], args) for what in FILES
            }
    result["load_after"] = [round(one, 1) for one in os.getloadavg()]
    page = "\n".join(markdown(result)) + "\n"
    sys.stdout.write(page)
    if args.results:
        (args.results / "raw_tables.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (args.results / "raw_tables.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
