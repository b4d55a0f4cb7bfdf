"""The worst rows of any number: only those are kept that no full ranking would put behind the first so many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.run import Run
from remanence.jobs.audit.attempts import Question
from remanence.jobs.audit.ranking import attempts_of
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.stream.seen import Seen, drawn
from remanence.measure.extraction.np_discoverable import min_queries
from remanence.stats.member_counts import MemberCounts


class Worst:
    """The first `limit` rows of the ranking of all rows added, in its order (`audit.ranking`)."""

    def __init__(self, limit: int, settings: AuditSettings) -> None:
        self._limit, self._settings = limit, settings
        self._kept: list[Seen] = []
        self._num = 0

    def add(self, block: Seen) -> None:
        """The measured rows of a block; twice as many as asked for are held at most."""
        measured = block.table.filter(pa.array(block.counts("tuned.cuts") != 0))
        self._kept.append(Seen(measured, block.lines))
        self._num += measured.num_rows
        if self._num > 2 * self._limit:
            self._prune()

    def rows(self) -> Seen:
        """The rows, worst first."""
        self._prune()
        return self._kept[0]

    def _prune(self) -> None:
        whole = Seen(pa.concat_tables([part.table for part in self._kept]).combine_chunks(), 0)
        order = _order(whole, self._settings)[: self._limit]
        self._kept = [Seen(whole.table.take(pa.array(order)), 0)]
        self._num = order.size


def _order(rows: Seen, settings: AuditSettings) -> Any:
    """Most prefix lengths first, then the likeliest, then as in the data; rows of unknown likelihood last."""
    log_p = rows.numbers(f"tuned.{drawn(settings)}")
    return np.lexsort((rows.counts("row"), np.where(np.isnan(log_p), np.inf, -log_p), -rows.num_hits()))


def questions(rows: Seen, line_of: dict[int, int], settings: AuditSettings) -> list[Question]:
    """The rows to be put to the model, as `attempts.questions` asks them; `line_of`: place in the data -> line."""
    lines = zip(rows.words("row"), rows.words("tuned.prefix"), rows.num_hits().tolist(), strict=True)
    wanted = set(to_ask(rows, settings))
    return [
        Question(line_of[place], prefix, "table" if hits else "near")
        for place, prefix, hits in lines
        if place in wanted
    ]


def to_ask(rows: Seen, settings: AuditSettings) -> list[int]:
    """Places in the data of the rows that `questions` asks about."""
    known = ~np.isnan(rows.numbers(f"tuned.{drawn(settings)}"))
    return [place for place, flag in zip(rows.words("row"), known.tolist(), strict=True) if flag][: settings.attempts]


def ranking_lines(run: Run, rows: Seen, null: MemberCounts | None, settings: AuditSettings) -> list[dict[str, Any]]:
    """The lines of `ranking.parquet`; `null` has counted every training row between the held-out ones."""
    log_p = rows.numbers(f"tuned.{drawn(settings)}")
    p_values = q_values = None
    if null is not None:
        known = ~np.isnan(log_p)
        p_values, q_values = np.full(log_p.size, np.nan), np.full(log_p.size, np.nan)
        bins = null.bins(log_p[known])
        p_values[known], q_values[known] = null.p_values()[bins], null.q_values()[bins]
    shown = attempts_of(run)
    hits = rows.counts("tuned.hits").tolist()
    out: list[dict[str, Any]] = []
    for i, line in enumerate(rows.table.select(list(_TOLD)).to_pylist()):
        back = [prefix for bit, prefix in enumerate(settings.prefixes) if hits[i] >> bit & 1]
        attempt, base_attempt = shown.get(line["row"], (None, None))
        out.append(
            {
                "rank": i + 1,
                "row": line["row"],
                "id": line["id"],
                "comes_back": bool(back),
                "shortest_prefix": min(back) if back else None,
                "longest_run": line["tuned.run"],
                "strength": line["tuned.extraction_strength"],
                "log_p": None if np.isnan(log_p[i]) else float(log_p[i]),
                "queries": None if np.isnan(log_p[i]) else float(min_queries(log_p[i], settings.p)),
                "p_value": None if p_values is None else float(p_values[i]),
                "q_value": None if q_values is None else float(q_values[i]),
                "copies": line["copies"],
                "near": line["near"],
                "num_supervised": line["num_supervised"],
                "attempt": attempt,
                "base_attempt": base_attempt,
            }
        )
    return out


_TOLD = ("row", "id", "tuned.run", "tuned.extraction_strength", "copies", "near", "num_supervised")
