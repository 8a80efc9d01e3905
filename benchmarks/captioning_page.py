"""The page of `captioning.py`: what it measured, in Markdown."""

from __future__ import annotations

from typing import Any

MAX_TOKENS = 128


def page(record: dict[str, Any]) -> str:
    """Return the result as Markdown."""

    def shown(each: dict[str, float], digits: int = 2) -> str:
        return f"{each['median']:.{digits}f} [{each['least']:.{digits}f}, {each['most']:.{digits}f}]"

    lines = [
        "# Captions per second",
        "",
        f"`captioning.py`: float32, {record['threads']} thread(s) of a machine that others use (load before "
        f"{record['load_before']}, after {record['load_after']}); median [least, most] over {record['repeats']} turns.",
        "",
        "## Small random models, beside one image at a time",
        "",
        f"Greedy, {MAX_TOKENS} tokens at most. Ratios are those of a turn: one at a time by ours.",
        "",
        "| model | weights | images | batch | captions per second: ours | one at a time | ratio | captions per CPU "
        "second: ours | one at a time | ratio of CPU seconds | equal texts | "
        "generated again alone | tokens decided alone |",
        "|---|---:|---:|---:|---|---|---|---|---|---|---:|---:|---:|",
    ]
    for name, each in record["models"].items():
        rates, used = each["captions_per_second"], each["captions_per_cpu_second"]
        lines.append(
            f"| {name} | {each['weights']:,} | {each['images']} | {each['batch_size']} | {shown(rates['ours'])} | "
            f"{shown(rates['single'])} | {shown(each['ratio'])} | {shown(used['ours'])} | {shown(used['single'])} | "
            f"{shown(each['cpu_ratio'])} | {each['equal_texts']} of {each['images']} | "
            f"{each['generated_again_alone']} | {each['tokens_decided_alone']} |"
        )
    lines += [
        "",
        "## Equal pairs of image and prompt",
        "",
        "Asked once by ours, each time by the paper's scripts. All samples of the dataset.",
        "",
        "| task | images | requests | images per request |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {task} | {each['images']:,} | {each['requests']:,} | {each['ratio']} |"
        for task, each in record["equal_pairs"].items()
    ]
    lines += [
        "",
        "## A server that answers after a fixed time, beside a bare loop",
        "",
        "Requests per second are counted by the server, from the first request to the last answer. *Limit*: requests "
        "at a time by the server's seconds. The whole command also reads the dataset and writes Parquet.",
        "",
        "| server's seconds | at a time | requests | limit per second | ours per second | bare loop per second | ours "
        "by bare loop | CPU milliseconds a request: ours | bare loop | seconds of the whole command |",
        "|---:|---:|---:|---:|---|---|---|---|---|---|",
    ]
    for each in record["server"]:
        rates, used = each["requests_per_second"], each["cpu_milliseconds"]
        lines.append(
            f"| {each['delay']} | {each['concurrency']} | {each['requests']} | {each['limit_per_second']} | "
            f"{shown(rates['ours'], 0)} | {shown(rates['bare'], 0)} | {shown(each['of_the_bare_loop'])} | "
            f"{shown(used['ours'])} | {shown(used['bare'])} | {shown(each['whole_seconds']['ours'])} |"
        )
    return "\n".join([*lines, ""])
