"""Print what a build did or would do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmecinstruct.core.console import say

if TYPE_CHECKING:
    from mmecinstruct.pipeline.dry_run import BuildPlan
    from mmecinstruct.pipeline.report import BuildReport


def left_out_line(sources: Iterable[str]) -> str:
    """Return the line about sources that a recipe's licences do not allow."""
    return f"Left out, as licences: open allows only what anyone may pass on: {', '.join(sources)}"


def print_report(report: BuildReport) -> None:
    """Print the wanted, available and chosen samples, the rejections, and the tasks that were not built."""
    say("")
    width = max(len(task) for task in report.sizes)
    say(f"{'task':<{width}}  {'split':<10}  {'wanted':>7}  {'available':>9}  {'chosen':>7}")
    for task, splits in report.sizes.items():
        for split, entry in splits.items():
            numbers = f"{entry['wanted']:>7}  {entry['available']:>9}  {entry['chosen']:>7}"
            say(f"{task:<{width}}  {split:<10}  {numbers}  {entry['note']}".rstrip())
    say("")
    rejected = {row["stage"]: row["rejected"] for row in report.stages if row["rejected"]}
    if rejected:
        say(f"Rejected rows, each with its reason in {report.out / 'rejections' / 'rejections.parquet'}:")
        for stage, count in rejected.items():
            say(f"  {stage}: {count}")
    not_sampled = {row["stage"]: row["not_sampled"] for row in report.stages if row.get("not_sampled")}
    for stage, count in not_sampled.items():
        say(f"Rows that no sample needs, left alone: {count} ({stage})")
    if report.fetched:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in report.fetched.items())
        say(f"Images asked for on the web: {counts}")
    if report.left_out:
        say(left_out_line(report.left_out))
    for warning in report.warnings:
        say(f"warning: {warning}")
    if report.taken_down:
        counts = ", ".join(f"{count} in {stage}" for stage, count in report.taken_down.items())
        say(f"Kept out by the takedown list: {counts}")
    for line in report.truncated:
        say(f"warning: {line}, and run the build again.")
    if report.audit is not None and report.audit.exceeded:
        say(
            f"warning: splits share more than the recipe tolerates ({len(report.audit.exceeded)} findings); "
            f"the card says what, and: mmec audit {report.out}"
        )
    if report.audit is not None and report.audit.shortcuts:
        say(
            f"warning: answers can be guessed without question and image ({len(report.audit.shortcuts)} findings); "
            f"the card says how, and: mmec audit --shortcuts {report.out}"
        )
    for task, why in report.missing.items():
        say(f"Not built: {task}: {'; '.join(why)}")
    if report.up_to_date:
        say(f"{report.out} was up to date.")


def build_plan_text(plan: BuildPlan) -> str:
    """Return wanted sizes, then each source with its raw files, as tables."""
    splits = list(next(iter(plan.sizes.values())))
    width = max(len(task) for task in plan.sizes)
    lines = [f"{'task':<{width}}  " + "  ".join(f"{split:>10}" for split in splits)]
    for task, sizes in plan.sizes.items():
        lines.append(f"{task:<{width}}  " + "  ".join(f"{sizes[split]:>10,}" for split in splits))
    if plan.sources:
        width = max(len(source.kind) for source in plan.sources)
        lines += ["", f"{'source':<{width}}  {'files':>5}  {'bytes':>15}  missing"]
    for source in plan.sources:
        row = f"{source.kind:<{width}}  {len(source.files):>5}  {source.bytes:>15,}  {', '.join(source.missing)}"
        lines.append(row.rstrip())
    if plan.left_out:
        lines += ["", left_out_line(plan.left_out)]
    lines += [f"warning: {warning}" for warning in plan.warnings]
    return "\n".join([*lines, "", f"would be written: {plan.out}"])
