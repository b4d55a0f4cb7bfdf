"""The ranking: training rows, most easily extracted first, each with its significance against the held-out rows.

Of any number of rows only those are kept that no full ranking would place below the first `limit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.run import Run
from remanence.core.schema import RANKING
from remanence.jobs.audit.answered import answers_only, best
from remanence.jobs.audit.attempts import Question
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import RowSummaries, ranking_measure
from remanence.measure.extraction.np_discoverable import min_queries
from remanence.stats.member_counts import MemberCounts

LEVEL = 0.05
"""False-discovery rate at which rows are flagged."""
_COPIED = ("row", "id", "tuned.run", "tuned.extraction_strength", "copies", "near", "num_supervised")


class HighestRanked:
    """The first `limit` rows of the ranking of all rows added."""

    def __init__(self, limit: int, settings: AuditSettings) -> None:
        self._limit, self._settings = limit, settings
        self._blocks: list[RowSummaries] = []
        self._num = 0

    def add(self, block: RowSummaries) -> None:
        """Add the measured rows of a block; at most twice `limit` rows are held."""
        measured = block.table.filter(pa.array(block.counts("tuned.cuts") != 0))
        self._blocks.append(RowSummaries(measured, block.num_rows))
        self._num += measured.num_rows
        if self._num > 2 * self._limit:
            self._prune()

    def rows(self) -> RowSummaries:
        """The rows, first of the ranking first."""
        self._prune()
        return self._blocks[0]

    def _prune(self) -> None:
        whole = RowSummaries(pa.concat_tables([block.table for block in self._blocks]).combine_chunks(), 0)
        order = _order(whole, self._settings)[: self._limit]
        self._blocks = [RowSummaries(whole.table.take(pa.array(order)), 0)]
        self._num = order.size


def _order(rows: RowSummaries, settings: AuditSettings) -> Any:
    """Most prefix lengths first, then the most likely, then in the order of the data.

    Rows of unknown likelihood come last, those with the longest run first.
    """
    log_p = rows.numbers(f"tuned.{ranking_measure(settings)}")
    unknown = np.isnan(log_p)
    longest = np.where(unknown, -rows.counts("tuned.run"), 0)
    return np.lexsort((rows.counts("row"), longest, np.where(unknown, np.inf, -log_p), -rows.num_hits()))


def questions(rows: RowSummaries, line_of: dict[int, int], settings: AuditSettings) -> list[Question]:
    """The rows to generate from, as `attempts.questions` chooses them; `line_of`: place in the data -> line."""
    lines = zip(rows.words("row"), rows.words("tuned.prefix"), rows.num_hits().tolist(), strict=True)
    chosen = set(places_to_ask(rows, settings))
    return [
        Question(line_of[place], prefix, "table" if hits else "near")
        for place, prefix, hits in lines
        if place in chosen
    ]


def places_to_ask(rows: RowSummaries, settings: AuditSettings) -> list[int]:
    """Places in the data of the rows that `questions` asks about."""
    known = ~np.isnan(rows.numbers(f"tuned.{ranking_measure(settings)}"))
    return [place for place, flag in zip(rows.words("row"), known.tolist(), strict=True) if flag][
        : settings.generate_rows
    ]


def ranking_lines(
    run: Run, rows: RowSummaries, scores: NDArray[np.float64], null: MemberCounts | None, settings: AuditSettings
) -> list[dict[str, Any]]:
    """The lines of `ranking.parquet`. `scores` [rows] are compared with `null`, in which every training row is counted.

    p: share of held-out rows with at least this score, the row itself counted (conformal); q: Benjamini-Hochberg.
    """
    log_p = rows.numbers(f"tuned.{ranking_measure(settings)}")
    p_values = q_values = None
    if null is not None:
        known = ~np.isnan(scores)
        p_values, q_values = np.full(scores.size, np.nan), np.full(scores.size, np.nan)
        bins = null.bins(scores[known])
        p_values[known], q_values[known] = null.p_values()[bins], null.q_values()[bins]
    attempts = attempts_of(run)
    hits = rows.counts("tuned.hits").tolist()
    lines: list[dict[str, Any]] = []
    for i, row in enumerate(rows.table.select(list(_COPIED)).to_pylist()):
        extracted_at = [prefix for bit, prefix in enumerate(settings.prefixes) if hits[i] >> bit & 1]
        attempt, base_attempt = attempts.get(row["row"], (None, None))
        lines.append(
            {
                "rank": i + 1,
                "row": row["row"],
                "id": row["id"],
                "comes_back": bool(extracted_at),
                "shortest_prefix": min(extracted_at) if extracted_at else None,
                "longest_run": row["tuned.run"],
                "strength": row["tuned.extraction_strength"],
                "log_p": None if np.isnan(log_p[i]) else float(log_p[i]),
                "queries": None if np.isnan(log_p[i]) else float(min_queries(log_p[i], settings.p)),
                "p_value": None if p_values is None else float(p_values[i]),
                "q_value": None if q_values is None else float(q_values[i]),
                "copies": row["copies"],
                "near": row["near"],
                "num_supervised": row["num_supervised"],
                "attempt": attempt,
                "base_attempt": base_attempt,
            }
        )
    return lines


def attempts_of(run: Run) -> dict[int, tuple[int | None, int | None]]:
    """Training row -> (attempt of the tuned model, attempt of the base model)."""
    attempts: dict[int, tuple[int | None, int | None]] = {}
    if answers_only(run):
        shown = best(run)
        rows = {row for target, group, row in shown if (target, group) == ("tuned", "train")}
        return {row: (shown["tuned", "train", row], shown.get(("base", "train", row))) for row in rows}
    table = run.read_table("attempts").select(["target", "group", "row"]).to_pylist()
    for number, attempt in enumerate(table):
        if attempt["group"] == "train":
            tuned, base = attempts.get(attempt["row"], (None, None))
            attempts[attempt["row"]] = (number, base) if attempt["target"] == "tuned" else (tuned, number)
    return attempts


def ranking_to_arrow(lines: list[dict[str, Any]]) -> pa.Table:
    """`ranking.parquet`."""
    return pa.Table.from_pylist(lines, schema=RANKING)
