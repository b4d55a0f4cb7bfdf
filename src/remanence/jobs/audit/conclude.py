"""The conclusion of an audit: rates, membership, ranking and verdict, from counts over the row summaries.

The same for an audit in memory, a streamed one, and one that is scored again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.engine.gates import apply_rule
from remanence.engine.rates import rates_to_arrow
from remanence.jobs.audit import answered, membership
from remanence.jobs.audit.comparisons import comparisons
from remanence.jobs.audit.counts import RUN, Counts, count
from remanence.jobs.audit.findings import Findings, summaries_of_findings
from remanence.jobs.audit.matching import match_rates
from remanence.jobs.audit.notes import note_sentences, stream_sentences, tried
from remanence.jobs.audit.ranking import LEVEL, ranking_lines, ranking_to_arrow
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.jobs.audit.summaries import block_summaries
from remanence.jobs.audit.verdict import TOLD_BELOW, ExtractedRows, VerdictFacts, verdict

Lines = list[dict[str, Any]]
ALL_ROWS = 1 << 40
"""More rows than any ranking has."""


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    run: Run
    verdict: dict[str, Any]
    """`verdict.json`: the two sentences, the headline figures, what cannot be claimed."""
    undecided: str | None = None
    """Why the `fail_if` rule could not be decided."""

    @property
    def failed(self) -> bool:
        """Whether the `fail_if` rule holds. Raises `RemanenceError` when its figure could not be measured."""
        if self.undecided is not None:
            raise RemanenceError(self.undecided)
        return bool(self.verdict["fail_if"] and self.verdict["fail_if"]["failed"])


def conclude_findings(run: Run, found: Findings, blind: Lines, settings: AuditSettings, rule: str | None) -> Audit:
    """The conclusion of an audit in memory: each group of rows is one block."""
    train = summaries_of_findings(run, found, "train", settings)
    with_heldout = ("tuned", "heldout") in found
    heldout = summaries_of_findings(run, found, "heldout", settings) if with_heldout else None
    with_base = ("base", "train") in found
    counts = count([train], None if heldout is None else [heldout], settings, with_base=with_base, limit=ALL_ROWS)
    rates = [*counts.rates.lines(), *match_rates(run, train, heldout, settings)]
    reasons = membership.shared_reasons(found, settings.measures)
    members = membership.quality_lines(counts.members, settings.measures, reasons) + blind
    return _write(run, counts, rates, members, settings, rule)


def conclude_blocks(
    run: Run, counts: Counts, blind: Lines, settings: AuditSettings, stream: StreamSettings, rule: str | None
) -> Audit:
    """The conclusion of a streamed audit, from the counts over its block tables (`count_blocks`)."""
    members = membership.quality_lines(counts.members, settings.measures, {}) + blind
    return _write(run, counts, counts.rates.lines(), members, settings, rule, stream)


def count_blocks(run: Run, settings: AuditSettings, stream: StreamSettings) -> Counts:
    """The counts over the block tables of a streamed audit."""
    spec = run.spec
    heldout = None if spec["data"]["heldout"] is None else block_summaries(run, "heldout")
    with_base = spec["models"]["base"] is not None
    return count(block_summaries(run, "train"), heldout, settings, with_base=with_base, limit=stream.ranked_rows)


def _write(
    run: Run,
    counts: Counts,
    rates: Lines,
    members: Lines,
    settings: AuditSettings,
    rule: str | None,
    stream: StreamSettings | None = None,
) -> Audit:
    """Write `rates`, `membership`, `ranking` and `verdict.json`."""
    run.write_table("rates", rates_to_arrow(rates))
    run.write_table("membership", membership.to_arrow(members))
    null, rows = counts.null(settings), counts.ranked.rows()
    if null is None:
        ranked = ranking_lines(run, rows, rows.longest_run(), None, settings)
    else:
        scores = rows.longest_run() if null[0] == RUN else rows.numbers(f"tuned.{null[0]}")
        ranked = ranking_lines(run, rows, scores, null[1], settings)
    ranked = ranked if stream is None else ranked[: stream.ranked_rows]
    run.write_table("ranking", ranking_to_arrow(ranked))
    spec = run.spec
    by_answers = answered.answers_only(run)
    facts = VerdictFacts(
        num_train=counts.num_train,
        num_distinct=counts.num_distinct,
        extracted=ExtractedRows(
            counts.num_extracted, counts.num_repeated, ranked[0]["id"] if ranked else "", counts.near_counted
        ),
        with_heldout=spec["data"]["heldout"] is not None,
        with_base=spec["models"]["base"] is not None,
        columns=comparisons(rates, counts.rates.values, settings),
        notes=[
            *note_sentences(counts.notes(), settings),
            *([] if by_answers else tried(run)),
            *answered.notes(run),
            *([] if stream is None else stream_sentences(run, counts.notes(), counts.near_counted, stream)),
        ],
        not_measured=dict(counts.notes().not_measured),
        flagged=None if null is None else null[1].counted_within(LEVEL),
    )
    conclusion = verdict(facts, rates, members)
    conclusion["cannot_claim"] += answered.not_from_answers(run)
    if by_answers:
        second = conclusion["sentences"][1]
        conclusion["sentences"][1] = second.replace(TOLD_BELOW, "extraction by sampling was not measured")
    undecided = apply_rule(conclusion, rule)
    run.write_json("verdict.json", conclusion)
    return Audit(run, conclusion, undecided)
