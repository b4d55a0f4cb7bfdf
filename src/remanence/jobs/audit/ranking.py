"""The training rows, worst first, each with how unusual it is beside the held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.run import Run
from remanence.core.schema import RANKING
from remanence.jobs.audit.answered import answers_only, best
from remanence.jobs.audit.findings import Found
from remanence.jobs.audit.rates import RowFacts
from remanence.jobs.audit.settings import AuditSettings
from remanence.stats.fdr import conformal_p_values, q_values

LEVEL = 0.05
"""False-discovery rate at which rows are flagged."""


def significance(
    found: dict[tuple[str, str], Found], keep_H: NDArray[np.bool_], settings: AuditSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(p-values, q-values) of the training rows against held-out ones; None without measurable held-out rows.

    The score is the best log-probability that sampling says the row's next tokens, first scheme: the event itself, and
    not the gain over the base model, which on rows far from what the base knows is as large for held-out rows.
    Without log-probabilities it is the longest run of the row's own tokens that began an answer.
    p: share of held-out rows that score as high, the row counted in (conformal); q: Benjamini-Hochberg over rows.
    """
    if ("tuned", "heldout") not in found:
        return None
    measure = f"np_discoverable[{settings.schemes[0]}]"
    ours = found["tuned", "train"].scores(measure)
    null = found["tuned", "heldout"].scores(measure)
    if np.isnan(ours).all():  # only answers were to be had: then how far they follow the row
        ours, null = (_runs(found["tuned", group]) for group in ("train", "heldout"))
    null = null[keep_H & ~np.isnan(null)]
    known = ~np.isnan(ours)
    if not known.any() or not null.size:
        return None
    p, q = np.full(ours.size, np.nan), np.full(ours.size, np.nan)
    p[known] = conformal_p_values(ours[known], null)
    q[known] = q_values(p[known])
    return p, q


def _runs(found: Found) -> NDArray[np.float64]:
    """[rows] the longest run that greedy decoding follows; NaN where nothing could be measured."""
    return np.where(np.isnan(found.scores("discoverable")), np.nan, found.reaches[:, 0].astype(np.float64))


def lines(
    run: Run,
    found: dict[tuple[str, str], Found],
    facts: RowFacts,
    keep_H: NDArray[np.bool_],
    settings: AuditSettings,
) -> list[dict[str, Any]]:
    """The lines of `ranking.parquet`: rows that come back at the most prefix lengths first, then the likeliest."""
    those = found["tuned", "train"]
    judged = significance(found, keep_H, settings)
    shown = attempts_of(run)
    out: list[dict[str, Any]] = []
    for i, (place, record_id) in enumerate(zip(those.places, those.ids, strict=True)):
        greedy = those.by_measure["discoverable"][i]
        drawn = those.by_measure[f"np_discoverable[{settings.schemes[0]}]"][i]
        strength = those.by_measure["extraction_strength"][i]
        if greedy.score is None:
            continue
        hits = [prefix for prefix, hit in greedy.evidence["at"].items() if hit]
        likely = (np.inf, -greedy.evidence["run"]) if drawn.score is None else (-drawn.score, 0)
        attempt, base_attempt = shown.get(place, (None, None))
        out.append(
            {
                "row": place,
                "id": record_id,
                "comes_back": bool(hits),
                "shortest_prefix": min(hits) if hits else None,
                "longest_run": greedy.evidence["run"],
                "strength": strength.score,
                "log_p": drawn.score,
                "queries": drawn.evidence.get("queries"),
                "p_value": None if judged is None else judged[0][i],
                "q_value": None if judged is None else judged[1][i],
                "copies": facts.copies[i],
                "near": facts.near[i],
                "num_supervised": facts.length[i],
                "attempt": attempt,
                "base_attempt": base_attempt,
                "_key": (-len(hits), *likely, place),
            }
        )
    out.sort(key=lambda one: one.pop("_key"))
    return [{"rank": rank, **one} for rank, one in enumerate(out, 1)]


def attempts_of(run: Run) -> dict[int, tuple[int | None, int | None]]:
    """Training row -> (attempt of the tuned model, attempt of the base model)."""
    found: dict[int, tuple[int | None, int | None]] = {}
    if answers_only(run):
        shown = best(run)
        rows = {row for target, group, row in shown if (target, group) == ("tuned", "train")}
        return {row: (shown["tuned", "train", row], shown.get(("base", "train", row))) for row in rows}
    table = run.read_table("attempts").select(["target", "group", "row"]).to_pylist()
    for number, one in enumerate(table):
        if one["group"] == "train":
            tuned, base = found.get(one["row"], (None, None))
            found[one["row"]] = (number, base) if one["target"] == "tuned" else (tuned, number)
    return found


def to_arrow(lines: list[dict[str, Any]]) -> pa.Table:
    """`ranking.parquet`."""
    return pa.Table.from_pylist(lines, schema=RANKING)
