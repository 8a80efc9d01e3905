"""The page of `fusion.py`: figures, aims, and cells that were not measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from fusion_cases import (
    ANSWERING,
    CASES,
    GUIDE,
    PHASES,
    RATIO_AIM,
    REPETITIONS,
    ROUNDS,
    SHAPES,
    SMALL,
    VISION_WIDTH,
    WAYS,
    XATTN_AIM,
    Result,
    rounds_of,
)
from fusion_flops import formula

# -- the page ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What was measured, by way, number of images and phase."""

    result: Result

    def cells(self, name: str, images: int, phase: str) -> dict[int, Result]:
        """Return the cells of a phase by turn."""
        group = "answer" if phase in ANSWERING else phase
        return {
            cell["turn"]: cell
            for cell in self.result["cells"]
            if (cell["way"], cell["images"], cell["phase"]) == (name, images, group)
        }

    def seconds(self, name: str, images: int, phase: str) -> dict[int, float]:
        """Return processor seconds by turn."""
        key = phase if phase in ANSWERING else "training"
        return {turn: cell[key][0] for turn, cell in self.cells(name, images, phase).items()}

    def ratios(self, name: str, other: str, images: int, phase: str) -> list[float]:
        """Return how many times as long as the other one way takes, turn by turn."""
        ours, theirs = self.seconds(name, images, phase), self.seconds(other, images, phase)
        return [ours[turn] / theirs[turn] for turn in sorted(ours.keys() & theirs.keys())]

    def flops(self, name: str, images: int, phase: str, kind: str, shape: str = SMALL) -> float:
        """Return FLOPs of a kind (counted, formula, work), not a number where there are none."""
        for row in self.result["flops"]:
            if (row["shape"], row["way"], row["images"], row["phase"]) == (shape, name, images, phase):
                return float(row[kind])
        return float("nan")

    def work_ratio(self, name: str, other: str, images: int, phase: str, shape: str = SMALL) -> float:
        """Return the ratio of the work of two ways by the formula."""
        return self.flops(name, images, phase, "work", shape) / self.flops(
            other, images, phase, "work", shape
        )


def spread(values: Iterable[float], digits: int = 2, scale: float = 1.0) -> str:
    """Return median [lowest, highest]."""
    every = sorted(value * scale for value in values)
    if not every:
        return ""
    middle = f"{statistics.median(every):.{digits}f}"
    return middle if len(every) == 1 else f"{middle} [{every[0]:.{digits}f}, {every[-1]:.{digits}f}]"


def table(corner: str, columns: Iterable[str], rows: dict[str, list[str]]) -> Iterator[str]:
    """Yield a table; rows without any figure are left out."""
    columns = list(columns)
    yield ""
    yield f"| {corner} | " + " | ".join(columns) + " |"
    yield "|---|" + "---:|" * len(columns)
    for name, row in rows.items():
        if any(row):
            yield f"| {name} | " + " | ".join(row) + " |"
    yield ""


def aims(figures: Figures) -> Iterator[str]:
    """Yield each aim and its result."""
    for phase in PHASES:
        if phase == "training, frozen":
            continue  # of text alone, nothing would be trained
        found = figures.ratios("xattn", "text", 30, phase)
        said = figures.work_ratio("xattn", "text", 30, phase)
        if not found:
            yield f"* xattn within {XATTN_AIM} times text at 30 images, {phase}: **not timed**, formula {said:.3f}."
        else:
            met = "met" if statistics.median(found) <= XATTN_AIM else "missed"
            yield (
                f"* xattn within {XATTN_AIM} times text at 30 images, {phase}: {spread(found, 3)}, formula "
                f"{said:.3f}: **{met}**."
            )
    for patches, connector in (("49", "xattn"), ("576", "xattn 576")):
        for phase in PHASES:
            for images, _ in CASES:
                found = figures.ratios(f"concat-full {patches}", connector, images, phase)
                said = figures.work_ratio(f"concat-full {patches}", connector, images, phase)
                if not found:
                    if images == 30:
                        yield (
                            f"* concat-full {patches} against {connector}, 30 images, {phase}: **not timed**, formula "
                            f"{said:.2f}."
                        )
                    continue
                off = statistics.median(found) / said - 1
                met = "met" if abs(off) <= RATIO_AIM else "missed"
                yield (
                    f"* concat-full {patches} against {connector}, {images} images, {phase}: measured "
                    f"{spread(found)}, formula {said:.2f}, {off:+.0%}: **{met}**."
                )


def image_parts(result: Result) -> Iterator[str]:
    """Yield the table of the cost of one more image."""
    parts = {"encoding": "encoding", "adapters": "looking"}
    rows: dict[str, list[str]] = {f"{row}, ms": [] for row in parts}
    rows |= {f"one more image, {row}, ms": [] for row in parts}
    before: Result = {}
    columns = []
    for cell in result["cells"]:
        if cell["phase"] != "seeing":
            continue
        columns.append(str(cell["images"]))
        for row, key in parts.items():
            every = [repetition[key][0] * 1000 for repetition in cell["looks"]]
            rows[f"{row}, ms"].append(spread(every, 1))
            more = (min(every) - before[key]) / (cell["images"] - before["images"]) if key in before else None
            rows[f"one more image, {row}, ms"].append("" if more is None else f"{more:.2f}")
            before[key] = min(every)
        before["images"] = cell["images"]
    yield from table("images", columns, rows)


def image_overhead(figures: Figures) -> Iterator[str]:
    """Yield the cost of images by its parts, which are not hidden by the noise of a whole pass."""
    parts_of = {
        cell["images"]: cell["looks"] for cell in figures.result["cells"] if cell["phase"] == "seeing"
    }
    text = figures.seconds("text", 30, "prefill")
    if not text or 30 not in parts_of:
        return
    middle = statistics.median(text.values())
    added = [each["encoding"][0] + each["looking"][0] for each in parts_of[30]]
    yield (
        f"* The same by its parts: encoding 30 images and all adapters take {spread(added, 0, 1000)} ms beside "
        f"{middle:.2f} s of text, {1 + statistics.median(added) / middle:.3f} times text."
    )
    counts = sorted(parts_of)
    least = {n: min(each["encoding"][0] for each in parts_of[n]) * 1000 for n in counts}
    each = [(least[b] - least[a]) / (b - a) for a, b in pairwise(counts)]
    flat = [
        formula(SMALL, WAYS["xattn"], n + 1, 1100, "prefill", True)
        - formula(SMALL, WAYS["xattn"], n, 1100, "prefill", True)
        for n in (0, 29)
    ]
    steps = ", ".join(f"{ms:.2f}" for ms in each)
    yield (
        f"* One more image: {flat[0] / 1e9:.3f} GFLOPs for the first, {flat[1] / 1e9:.3f} for the thirtieth; "
        f"{steps} ms of encoding each, from one of {', '.join(map(str, counts))} images to the next."
    )


def unmeasured(result: Result) -> list[str]:
    """Return the phases and numbers of images that lack a cell."""
    done = {tuple(cell[key] for key in ("phase", "images", "turn", "way")) for cell in result["cells"]}
    lacking = {
        f"{phase}, N={images}"
        for phase, rounds in ROUNDS.items()
        for images in rounds
        for name in WAYS
        for turn in range(rounds_of(name, phase, images, 1))
        if (phase, images, turn, name) not in done
    }
    return sorted(lacking)


def markdown(result: Result) -> Iterator[str]:
    """Yield the lines of the recorded page."""
    figures = Figures(result)
    columns = [f"N={images}, T={tokens}" for images, tokens in CASES]
    every = [
        value for cell in result["cells"] for key in ("prefill", "training") for value in [cell.get(key)]
    ]
    waited = sum(wall for _, wall in filter(None, every)) / sum(cpu for cpu, _ in filter(None, every))
    yield "# What seeing costs"
    yield ""
    yield (
        "`fusion.py`, SmolLM2-135M's shape, random weights, float32, one thread, one prompt; 6 processes in turns, "
        "a cell without brackets measured once, an empty one not at all. "
        "Processor seconds, median [lowest, highest]. The machine was shared: the wall clock showed "
        f"{waited:.1f} times as much. "
        f"T tokens of text, N images, K = 8 latents, guides of {GUIDE} tokens, features of width {VISION_WIDTH}, "
        "the resampler in every prefill and step."
    )
    if missing := unmeasured(result):
        yield ""
        yield (
            f"The run ended when its time was up. Not timed, or not in every turn: {'; '.join(missing)}. The same "
            "command goes on with these; ways of a turn that was cut in two are then not to be compared."
        )
    if given_up := result.get("given_up"):
        yield ""
        cells = "; ".join(f"{name}, {phase}, N={images}" for phase, images, name in given_up)
        yield f"The machine's memory did not suffice for {cells}."
    yield ""
    yield "## Against the aims"
    yield ""
    yield from aims(figures)
    yield from image_overhead(figures)
    yield ""
    rates = [
        figures.flops("text", 30, phase, "work")
        / statistics.median(figures.seconds("text", 30, phase).values() or [float("nan")])
        / 1e9
        for phase in ANSWERING
    ]
    yield (
        f"Speed of text at 30 images' length: prefill {rates[0]:.0f} GFLOPs per second, decode {rates[1]:.1f}. A token "
        "alone has the processor read every weight for one row of products, so decoding follows memory, and what more "
        "a way computes shows less in it than the formula says."
    )
    for phase, unit, scale, digits in (
        ("prefill", "seconds", 1, 2),
        ("decode", "ms per token", 1000, 1),
        ("training, LoRA", "seconds per step", 1, 2),
        ("training, frozen", "seconds per step", 1, 2),
    ):
        rows = {
            name: [
                spread(figures.seconds(name, images, phase).values(), digits, scale) for images, _ in CASES
            ]
            for name in WAYS
        }
        if any(any(row) for row in rows.values()):
            yield ""
            yield f"## {phase[0].upper()}{phase[1:]}: {unit}"
            yield from table("", columns, rows)
    yield "## Peak memory in MB"
    yield ""
    yield "Of the whole process, with 540 MB of weights and the libraries; answering is prefill and decode."
    rows = {}
    for name in WAYS:
        for phase, title in (("prefill", "answering"), ("training, LoRA", "training")):
            rows[f"{name}, {title}"] = [
                spread((cell["memory"] for cell in figures.cells(name, images, phase).values()), 0)
                for images, _ in CASES
            ]
    yield from table("", columns, rows)
    yield "## One more image"
    yield ""
    yield (
        f"What xattn adds to a pass of 1,100 tokens, {REPETITIONS} times each: encoding the images (resampler, keys "
        "and values), and the adapters. Below: what one more image added since the column before, from the quickest "
        "repetitions."
    )
    yield from image_parts(result)
    yield "By the formula, GFLOPs that one more image adds to a prefill of 1,100 tokens, from N to N + 1:"
    steps = (0, 1, 9, 29)
    rows = {}
    for name, way in list(WAYS.items())[1:]:
        flops = [[formula(SMALL, way, n + more, 1100, "prefill", True) for more in (0, 1)] for n in steps]
        rows[name] = [f"{(then - now) / 1e9:.2f}" for now, then in flops]
    yield from table("", [f"N={n}" for n in steps], rows)
    off = [abs(row["counted"] / row["formula"] - 1) for row in result["flops"]]
    off_work = [abs(row["counted"] / row["formula"] - 1) for row in result["kernel_checks"]]
    yield "## Counted FLOPs"
    yield ""
    yield (
        f"Counter and formula, {len(off)} cells of both shapes, every way, N and phase: at most {max(off):.4%} "
        f"apart. The formula of the work and what was counted in {len(off_work)} real passes on the CPU (2 images, "
        f"40 tokens; attention by its kernel's arguments): at most {max(off_work):.4%} apart. GFLOPs as counted, in "
        "brackets the work over that of text."
    )
    for shape in SHAPES:
        for phase in PHASES:
            rows = {}
            base = "text" if phase != "training, frozen" else "xattn"
            for name in WAYS:
                rows[name] = [
                    f"{figures.flops(name, n, phase, 'counted', shape) / 1e9:,.{3 if phase == 'decode' else 1}f} "
                    f"({figures.work_ratio(name, base, n, phase, shape):.3f})"
                    if (name, phase) != ("text", "training, frozen")
                    else ""
                    for n, _ in CASES
                ]
            title = phase if base == "text" else f"{phase} (in brackets: over xattn)"
            yield ""
            yield f"### {shape}, {title}"
            yield from table("", columns, rows)
