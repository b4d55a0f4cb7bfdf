"""The detector inside an audit: whose words are the answers made of, and is that more than chance?

Every attempt is judged against the whole training corpus, whatever attack made it; what held-out rows reach says what
chance looks like, and the rows' own continuations, put through the same judge, what it could have found at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.progress import track
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.target import Target
from remanence.engine.origins import (
    Surprise,
    base_surprise,
    calibration_table,
    flags,
    match_lines,
    matches_to_arrow,
    origin_line,
    to_arrow,
    with_q_values,
)
from remanence.jobs.audit.answered import answers_only, best
from remanence.jobs.audit.by_column import groups
from remanence.jobs.audit.rates import RowFacts, Sides, line
from remanence.jobs.audit.settings import AuditSettings
from remanence.measure.plagiarism.compile_kernels import compile_kernels
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration, lengths_for
from remanence.measure.plagiarism.types import KINDS, GeneratedText, generated_text_of
from remanence.text.words import words_of

BATCH = 256
"""Attempts per shard."""
LARGE = 50_000_000
"""Characters of training text from which on the index lies on disk, in the run folder."""


def match_attempts(
    run: Run,
    train: Sequence[Record],
    heldout: Sequence[Record] | None,
    base: Target | None,
    settings: AuditSettings,
    *,
    show: bool,
) -> None:
    """Judge all attempts of the run: `origins.parquet`, `calibration.parquet`, and more lines of `matches.parquet`."""
    attempts = run.lines("attempts")
    if run.has("origins.parquet") or not attempts:
        return
    with track("getting the detector ready", 1, show=show) as advance:
        compile_kernels()  # compiles on first use
        advance(1)
    large = sum(len(record.plain) for record in train) > LARGE
    index = PlagiarismIndex.build(train, run.folder / "index" if large else None)
    surprise = base_surprise(base) if settings.background == "base" and base is not None else _by_corpus
    counts = np.diff(words_of([attempt["answer"] for attempt in attempts]).offsets)
    calibration = _calibration(index, heldout, surprise, lengths_for(counts), settings)
    shards = range(0, len(attempts), BATCH)
    with track("whose words are the answers", len(attempts), show=show) as advance:
        for shard, at in enumerate(shards):
            part = attempts[at : at + BATCH]
            if not (run.has(f"origins/{shard:05d}.parquet") and run.has(f"found/{shard:05d}.parquet")):
                _judge(run, f"{shard:05d}", at, part, index, calibration, surprise, heldout or (), settings)
            advance(len(part))
    lines = [one for shard, _ in enumerate(shards) for one in run.lines(f"origins/{shard:05d}")]
    found = [one for shard, _ in enumerate(shards) for one in run.lines(f"found/{shard:05d}")]
    groups = [
        f"{attempts[one['attempt']]['target']} {attempts[one['attempt']]['group']} {one['side']}" for one in lines
    ]
    longest = [one for one in run.lines("matches") if one["length"] is not None]
    run.write_table("matches", matches_to_arrow(sorted([*longest, *found], key=lambda one: one["attempt"])))
    run.write_table("calibration", calibration_table(calibration, settings.alpha))
    run.write_table("origins", to_arrow(with_q_values(lines, groups)))


def _by_corpus(said: Sequence[GeneratedText]) -> None:
    return None


def _calibration(
    index: PlagiarismIndex,
    heldout: Sequence[Record] | None,
    surprise: Surprise,
    lengths: tuple[int, ...],
    settings: AuditSettings,
) -> NullCalibration | None:
    texts = [generated_text_of(record, heldout=i) for i, record in enumerate(heldout or ())]
    if not words_of([one.text for one in texts]).keys.size:
        return None
    return NullCalibration.fit(index, texts, lengths, settings.seed, background=surprise(texts))


def _judge(
    run: Run,
    name: str,
    first: int,
    part: Sequence[dict[str, Any]],
    index: PlagiarismIndex,
    calibration: NullCalibration | None,
    surprise: Surprise,
    heldout: Sequence[Record],
    settings: AuditSettings,
) -> None:
    said = [_said(attempt, attempt["answer"], heldout) for attempt in part]
    own = [i for i, a in enumerate(part) if (a["target"], a["group"]) == ("tuned", "train")]
    best = [_said(part[i], part[i]["expected"], heldout) for i in own]
    lines: list[dict[str, Any]] = []
    matches: list[dict[str, Any]] = []
    for i, one in enumerate(index.match(said, calibration, settings.alpha, surprise(said))):
        lines.append(origin_line(first + i, one))
        matches += match_lines(first + i, one, index)
    for i, one in zip(own, index.match(best, calibration, settings.alpha, surprise(best), 0), strict=True):
        lines.append(origin_line(first + i, one, "ceiling"))
    run.write_table(f"found/{name}", matches_to_arrow(matches))
    run.write_table(f"origins/{name}", to_arrow(lines))


def _said(attempt: dict[str, Any], text: str, heldout: Sequence[Record]) -> GeneratedText:
    if attempt["group"] == "train":
        return GeneratedText(text, attempt["prompt"], attempt["row"])
    row = attempt["row"]
    return GeneratedText(text, attempt["prompt"], own_text=heldout[row].plain, heldout=row)


def match_rates(
    run: Run, train: RowFacts, heldout: RowFacts | None, keep_H: NDArray[np.bool_], settings: AuditSettings
) -> list[dict[str, Any]]:
    """The lines of `rates.parquet` for what the detector flagged, where every row was asked about.

    Where only the rows were asked about that the table singles out, a rate would speak of those alone, and there is
    none.
    """
    by_answers = answers_only(run)  # then all rows were asked, or a sample drawn at random
    if not (settings.generate == "all" or by_answers) or not run.has("origins.parquet"):
        return []
    shown = {*best(run).values()} if by_answers else None
    attempts, lines = run.lines("attempts"), run.lines("origins")
    sides: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for one in lines:
        if shown is not None and one["attempt"] not in shown:
            continue
        attempt = attempts[one["attempt"]]
        role = attempt["target"] if one["side"] == "said" else "ceiling"
        sides.setdefault((role, attempt["group"]), {})[attempt["row"]] = one
    held = [] if heldout is None else [p for p, keep in zip(heldout.place, keep_H.tolist(), strict=True) if keep]

    def side(role: str, group: str, kind: str) -> NDArray[np.float64] | None:
        """NaN for a row that nobody could ask about."""
        if (those := sides.get((role, group))) is None:
            return None
        places = train.place if group == "train" else held
        told = dict(zip(those, flags(list(those.values()), kind).tolist(), strict=True))
        return np.array([told.get(place, np.nan) for place in places], np.float64)

    out: list[dict[str, Any]] = []
    for order, kind in enumerate(KINDS):
        if (tuned := side("tuned", "train", kind)) is None:
            continue
        floor, base, base_floor = (
            side(*who, kind) for who in (("tuned", "heldout"), ("base", "train"), ("base", "heldout"))
        )
        all_rows = Sides(tuned, floor, base, base_floor, side("ceiling", "train", "verbatim"))
        alpha = f"alpha={settings.alpha:g}"
        out.append(line("match", "kind", kind, order, all_rows, alpha))
        for g in groups(train, heldout, keep_H, settings):
            sided = all_rows.where(g.train_N, g.heldout_H)
            out.append(line("match", g.by, g.value, g.order, sided, f"{kind}, {alpha}"))
    return out
