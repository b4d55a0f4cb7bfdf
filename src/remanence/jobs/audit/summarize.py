"""What the measures say of one model on the rows of a block, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from remanence.core.finding import Finding
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure
from remanence.jobs.audit.array_measures import LIKELIHOOD, Batch, Grid, drawn, reference
from remanence.jobs.audit.findings import certain, reach_of
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import prefix_bits
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.extraction_strength import ExtractionStrength
from remanence.measure.extraction.np_discoverable import NPDiscoverable
from remanence.measure.likelihood.reference import Reference

Values = dict[str, list[Any]]
"""Column -> a value per row; None where nothing could be measured."""

GREEDY = ("cuts", "hits", "run", "reach", "room", "prefix", "reason")
"""What is kept of greedy decoding: see `summaries.schema`."""


def side(
    rows: Sequence[TokenRow | str],
    base: Sequence[TokenRow | str] | None,
    measures: Sequence[TableMeasure],
    settings: AuditSettings,
    *,
    sure: bool = False,
) -> Values:
    """One column per measure and one for each of `GREEDY`. `sure`: as if the model were sure of every token.

    `base`: the same rows under the base model, for the measures that compare with it.
    """
    values: Values = {m.name: [None] * len(rows) for m in measures if not isinstance(m, Discoverable)}
    values |= {name: [None] * len(rows) for name in GREEDY}
    scored = {i: row for i, row in enumerate(rows) if isinstance(row, TokenRow)}
    fast = _fast(scored, base, measures, settings, values, sure) if scored else set[int]()
    for i, row in enumerate(rows):
        if i not in fast:
            _slow(i, certain(row) if sure else row, None if base is None else base[i], measures, settings, values)
    return values


def _slow(
    i: int,
    row: TokenRow | str,
    base: TokenRow | str | None,
    measures: Sequence[TableMeasure],
    settings: AuditSettings,
    values: Values,
) -> None:
    """One row by the measures' own code."""
    found = {m.name: m.find("", row, base) for m in measures}
    for name, finding in found.items():
        if name in values:
            values[name][i] = finding.score
    greedy = found["discoverable"]
    at: dict[int, bool] = greedy.evidence.get("at", {})
    run, room = reach_of(row, settings.prefixes)
    kept = {
        "cuts": prefix_bits(settings.prefixes, at),
        "hits": prefix_bits(settings.prefixes, [prefix for prefix, hit in at.items() if hit]),
        "run": greedy.evidence.get("run"),
        "reach": run,
        "room": room,
        "prefix": _prefix(at, found[f"np_discoverable[{settings.schemes[0]}]"]),
        "reason": greedy.reason,
    }
    for name, value in kept.items():
        values[name][i] = value


def _prefix(at: Mapping[int, bool], sampled: Finding) -> int | None:
    """The prefix length at which the row is put to the model, as `attempts.questions` chooses it."""
    if any(at.values()):
        return min(prefix for prefix, hit in at.items() if hit)
    log_p: dict[int, float] = sampled.evidence.get("log_p", {})
    return max(log_p, key=lambda length: (log_p[length], -length), default=None)


def _fast(
    scored: Mapping[int, TokenRow],
    base: Sequence[TokenRow | str] | None,
    measures: Sequence[TableMeasure],
    settings: AuditSettings,
    values: Values,
    sure: bool,
) -> set[int]:
    """Fill in the rows that arrays can answer for, and say which those are."""
    batch = Batch.of(list(scored.values()))
    batch = batch.perfect() if sure else batch
    known_B = batch.whole_B("gap")
    scores: dict[str, Any] = {}
    grid = Grid.of(batch, settings.prefixes, settings.new_tokens)
    for measure in measures:
        if type(measure) in LIKELIHOOD:
            scores[measure.name] = LIKELIHOOD[type(measure)](measure, batch)
        elif isinstance(measure, Reference):
            scores[measure.name] = _against(scored, base, batch)
        elif not isinstance(measure, Discoverable | ExtractionStrength | NPDiscoverable):
            return set()  # a measure that has no fast twin
    for found in scores.values():
        known_B &= ~np.isnan(found)
    for measure in measures:
        if isinstance(measure, NPDiscoverable):
            log_p_BP = drawn(batch, measure.scheme.column, grid, settings.new_tokens)
            scores[measure.name] = np.where(np.isnan(log_p_BP), -np.inf, log_p_BP).max(axis=1)
        elif isinstance(measure, ExtractionStrength):
            scores[measure.name] = grid.strength_B
    first = next(m for m in measures if isinstance(m, NPDiscoverable))
    ask = _where_to_ask(drawn(batch, first.scheme.column, grid, settings.new_tokens), grid, settings)
    weights = 1 << np.arange(len(settings.prefixes), dtype=np.int64)
    kept = {
        "cuts": (grid.cut_BP * weights).sum(axis=1),
        "hits": (grid.hit_BP * weights).sum(axis=1),
        "run": grid.run_B,
        "reach": grid.reach_B,
        "room": grid.room_B,
        "prefix": ask,
    }
    columns = {name: found.tolist() for name, found in {**scores, **kept}.items()}
    done: set[int] = set()
    greedy = next(m for m in measures if isinstance(m, Discoverable))
    needs_cut = {"run", "prefix", *(m.name for m in measures if isinstance(m, NPDiscoverable))}
    for b, (i, row) in enumerate(scored.items()):
        if not known_B[b]:
            continue  # the measures say why
        cut = bool(columns["cuts"][b])
        for name, column in columns.items():
            values[name][i] = column[b] if cut or name not in needs_cut else None
        if not cut:
            values["reason"][i] = greedy.find("", certain(row) if sure else row).reason
        done.add(i)
    return done


def _against(scored: Mapping[int, TokenRow], base: Sequence[TokenRow | str] | None, batch: Batch) -> Any:
    """[B] `Reference`; NaN where the base model has no row."""
    found = np.full(len(scored), np.nan)
    if base is None:
        return found
    both = [b for b, i in enumerate(scored) if isinstance(base[i], TokenRow)]
    ours = list(scored.values())
    theirs = [row for row in (base[i] for i in scored) if isinstance(row, TokenRow)]
    if both:
        found[both] = reference(batch.some(both), Batch.of(theirs), [ours[b] for b in both], theirs)
    return found


def _where_to_ask(log_p_BP: Any, grid: Grid, settings: AuditSettings) -> Any:
    """[B] `_prefix` of every row that can be cut."""
    likeliest = np.where(np.isnan(log_p_BP), -np.inf, log_p_BP)
    # of equals the shortest; where even the likeliest is impossible, the first prefix that can be cut at
    likeliest = np.where(grid.cut_BP, np.maximum(likeliest, np.finfo(np.float64).min), -np.inf)
    shortest = np.where(grid.hit_BP.any(axis=1), grid.hit_BP.argmax(axis=1), likeliest.argmax(axis=1))
    return np.array(settings.prefixes)[shortest]
