"""The page of `training.py`: rates, ratios with their spread, aims, and how far losses are apart."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

Result = dict[str, Any]

TEXT_AIM = 1.5
IMAGES_AIM = 3.0
# Whom each is compared with: where the batches are the same, the losses too.
SAME_BATCHES = {
    "text, packed": "text",
    "trl, same batches": "text",
    "trl, no checkpointing": "text",
    "trl, padding-free": "text",
    "EfficientNet, recomputed": "EfficientNet, cached",
    "EfficientNet, recomputed by Trainer": "EfficientNet, cached",
    "SigLIP, recomputed": "SigLIP, cached",
    "SigLIP 384, recomputed": "SigLIP 384, cached",
}
AIMS = (
    ("text", "trl", TEXT_AIM),
    ("text", "trl, same batches", TEXT_AIM),
    ("text", "trl, no checkpointing", TEXT_AIM),
    ("xattn and LoRA", "trl", TEXT_AIM),
    ("xattn and LoRA", "trl, same batches", TEXT_AIM),
    ("EfficientNet, cached", "EfficientNet, recomputed", IMAGES_AIM),
    ("SigLIP, cached", "SigLIP, recomputed", IMAGES_AIM),
    ("SigLIP 384, cached", "SigLIP 384, recomputed", IMAGES_AIM),
)


def spread(values: list[float], digits: int = 2) -> str:
    """Return median [lowest, highest]."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def ratios(race: Result, name: str, other: str, key: str = "cpu") -> list[float]:
    """Return how many times as long as `other` a contestant took, round by round; seconds: by the wall clock."""
    pairs = zip(race[name]["turns"], race[other]["turns"], strict=True)
    return [mine[key] / theirs[key] for mine, theirs in pairs]


def apart(race: Result, name: str, other: str) -> float:
    """Return the largest difference of the losses of two contestants in a step, the first step of all included."""
    mine, theirs = (
        [*race[one]["losses"], *(loss for turn in race[one]["turns"] for loss in turn["losses"])]
        for one in (name, other)
    )
    return max(abs(a - b) for a, b in zip(mine, theirs, strict=True))


def against(name: str) -> str:
    """Return which of ours a contestant is compared with."""
    return name if name.endswith("cached") else SAME_BATCHES.get(name, "text")


def table(result: Result, race: Result) -> Iterator[str]:
    """Yield the table of a race."""
    yield "| | samples/s | tokens/s | time over ours | by the wall clock | memory MB | losses differ by at most |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, report in race.items():
        seconds = [turn["cpu"] for turn in report["turns"]]
        other = against(name)
        cells = [
            name,
            spread([result["samples"] / each for each in seconds]),
            spread([result["tokens"] / each for each in seconds], 0),
        ]
        if name == other or other not in race:
            cells += ["", ""]
        else:
            cells += [spread(ratios(race, name, other)), spread(ratios(race, name, other, "seconds"))]
        cells.append(f"{max(turn['memory'] for turn in report['turns']):.0f}")
        cells.append(f"{apart(race, name, other):.1e}" if name in SAME_BATCHES and other in race else "")
        yield f"| {' | '.join(cells)} |"


def aims(race: Result) -> Iterator[str]:
    """Yield each aim and its result."""
    for ours, other, aim in AIMS:
        if ours in race and other in race:
            found = ratios(race, other, ours)
            met = "met" if statistics.median(found) >= aim else "missed"
            yield f"* {ours} at least {aim} times as fast as {other}: {spread(found)}: **{met}**."


def computing(race: Result) -> Iterator[str]:
    """Yield the time of filling the cache, and its gain over epochs."""
    for name, report in race.items():
        other = name.replace("cached", "recomputed")
        if other == name or other not in race or "seconds_of_features" not in report:
            continue
        once = report["seconds_of_features"]
        cached = statistics.median(turn["cpu"] for turn in report["turns"])
        again = statistics.median(turn["cpu"] for turn in race[other]["turns"])
        first, three = (epochs * again / (once + epochs * cached) for epochs in (1, 3))
        yield (
            f"* {name}: {report['distinct']} images, shown {report['images']} times, were encoded in {once:.1f} s, "
            f"once for all runs. With that, a first run of one epoch would be {first:.2f} times as fast as one that "
            f"recomputes, a first run of three epochs {three:.2f} times."
        )


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    yield "# How fast is a fine-tuning?"
    yield ""
    races = [result[name] for name in ("text", "images") if name in result]
    rounds = " and ".join(
        f"{len(next(iter(result[name].values()))['turns'])} rounds of {name}"
        for name in ("text", "images")
        if name in result
    )
    yield (
        f"`training.py`, preset {result['preset']}, float32, one thread, {result['samples']} samples of seven tasks "
        f"({result['lengths'][0]} to {result['lengths'][1]} tokens, {result['tokens']:,} in all) in batches of "
        f"{result['batch']}; {rounds}, an epoch each, in turns; load of the machine before {result['load_before']} "
        f"and after {result['load_after']}. Seconds of the processor; median [least, most] of the rounds."
    )
    for name in result.get("of_an_earlier_run", ()):
        yield ""
        yield f"The race of {name} is of an earlier run, on the same samples."
    if result["few"]:
        yield ""
        yield "Tried out with few samples: no result."
    yield ""
    yield "## Against the aims"
    yield ""
    for race in races:
        yield from aims(race)
    for title, name in (("Text", "text"), ("Images", "images")):
        if name not in result:
            continue
        yield ""
        yield f"## {title}"
        yield ""
        yield from table(result, result[name])
        if name == "images":
            yield ""
            yield from computing(result[name])
    yield ""
    yield "## Versions"
    yield ""
    report = {name: about["versions"] for race in races for name, about in race.items()}
    for where, is_peer in (("ours", False), ("peers", True)):
        installed = [each for name, each in report.items() if name.startswith("trl") == is_peer]
        if installed:
            yield f"* {where}: " + ", ".join(f"{name} {version}" for name, version in installed[0].items())
