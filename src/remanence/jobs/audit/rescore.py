"""Score a run again from its tables, with other likelihood measures and without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.jobs.audit import answered
from remanence.jobs.audit.audit import judge
from remanence.jobs.audit.conclude import Audit, conclude_blocks, conclude_findings, count_blocks
from remanence.jobs.audit.measures import table_measures
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream_settings import StreamSettings


def rescore(run: Run, measures: list[str] | None = None) -> Audit:
    """Findings, rates, membership, ranking and verdict again, with these likelihood measures (None = as before).

    The blind baseline needs the texts of the data, so its line is kept. Raises `RemanenceError` when the run was not
    finished, or a measure needs a column or a score that the run does not have.
    """
    if not run.has("verdict.json"):
        raise RemanenceError(f"{run.folder.name} has no verdict: the run was not finished; add --resume to the audit.")
    spec = run.spec
    settings = AuditSettings.of_spec(spec["settings"])
    if is_streamed(run):
        _check_scores(settings.measures, measures or ())
    if measures is not None:
        settings = replace(settings, measures=tuple(measures))
    old_rule = run.read_json("verdict.json")["fail_if"]
    rule = old_rule and old_rule["rule"]
    blind = [line for line in run.lines("membership") if line["target"] == "blind"]
    if is_streamed(run):
        stream = StreamSettings.of_spec(spec["stream"])
        return conclude_blocks(run, count_blocks(run, settings, stream), blind, settings, stream, rule)
    with_base = spec["models"]["base"] is not None
    groups = ["train"] if spec["data"]["heldout"] is None else ["train", "heldout"]
    if not answered.facts(run):  # what a server does not give is said row by row
        _check_columns(run, settings, with_base, measures)
    return conclude_findings(run, judge(run, with_base, groups, settings), blind, settings, rule)


def is_streamed(run: Run) -> bool:
    """Whether a run was streamed."""
    return "stream" in run.spec


def _check_scores(measured: Sequence[str], wanted: Sequence[str]) -> None:
    lacking = [name for name in wanted if name not in measured]
    if lacking:
        raise RemanenceError(
            f"A streamed run keeps the scores of {', '.join(measured)} and no tokens to measure "
            f"{', '.join(lacking)} from: audit again with it."
        )


def _check_columns(run: Run, settings: AuditSettings, with_base: bool, asked: list[str] | None) -> None:
    for measure in table_measures(settings, True):
        if measure.needs_base and not with_base and measure.name in (asked or ()):
            raise RemanenceError(
                f"{measure.name} compares with a base model, and this run has none: audit with --base."
            )
    have = set(next(run.shards("tokens/tuned-train")).column_names)
    for measure in table_measures(settings, with_base):
        lacking = [c for c in measure.needs if c not in have]
        if lacking:
            raise RemanenceError(
                f"{measure.name} needs {', '.join(lacking)}, which this run did not measure: audit again with it."
            )
