"""The detector inside an audit: attributes the words of the generated texts to their sources, beyond chance.

Every attempt is judged against the whole training corpus, whatever attack made it; what held-out rows reach says what
chance looks like, and the rows' own continuations, put through the same judge, what it could have found at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from remanence.engine.rates import Flags, HeldoutCounts, TrainCounts, compare_counts, rate_line
from remanence.jobs.audit.answered import answers_only, best
from remanence.jobs.audit.rate_counts import COLUMN, masks_by_value
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import RowSummaries
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
    with track("attributing generated words", len(attempts), show=show) as advance:
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


def _by_corpus(texts: Sequence[GeneratedText]) -> None:
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
    run: Run, train: RowSummaries, heldout: RowSummaries | None, settings: AuditSettings
) -> list[dict[str, Any]]:
    """The lines of `rates.parquet` for what the detector flagged, where every row was generated from.

    Otherwise a rate would describe only the rows that the token table singled out, and there is none.
    """
    by_answers = answers_only(run)  # then all rows were asked, or a sample drawn at random
    if not (settings.generate == "all" or by_answers) or not run.has("origins.parquet"):
        return []
    shown = {*best(run).values()} if by_answers else None
    attempts = run.lines("attempts")
    judged: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for line in run.lines("origins"):
        if shown is None or line["attempt"] in shown:
            attempt = attempts[line["attempt"]]
            role = attempt["target"] if line["side"] == "said" else "ceiling"
            judged.setdefault((role, attempt["group"]), {})[attempt["row"]] = line

    def verdicts(role: str, rows: RowSummaries | None, group: str, kind: str) -> Flags | None:
        """[N] NaN for a row that could not be generated from; None without any such row."""
        if rows is None or (lines := judged.get((role, group))) is None:
            return None
        known = dict(zip(lines, flags(list(lines.values()), kind).tolist(), strict=True))
        return np.array([known.get(place, np.nan) for place in rows.words("row")], np.float64)

    everything = np.ones(train.table.num_rows, np.bool_)
    keep = np.zeros(0, np.bool_) if heldout is None else heldout.uncontaminated()
    parts = [("kind", None, 0, everything, keep), *_by_columns(train, heldout, keep, settings)]
    out: list[dict[str, Any]] = []
    for order, kind in enumerate(KINDS):
        if (tuned := verdicts("tuned", train, "train", kind)) is None:
            continue
        base, ceiling = verdicts("base", train, "train", kind), verdicts("ceiling", train, "train", "verbatim")
        floor, base_floor = (verdicts(role, heldout, "heldout", kind) for role in ("tuned", "base"))
        for by, value, place, here, held in parts:
            counts = TrainCounts.of(tuned[here], *(None if f is None else f[here] for f in (base, ceiling)))
            held_counts = None
            if floor is not None:
                held_counts = HeldoutCounts.of(floor[held], None if base_floor is None else base_floor[held])
            result = compare_counts(counts, held_counts, with_base=base is not None, with_ceiling=ceiling is not None)
            alpha = f"alpha={settings.alpha:g}"
            named = (kind, order, alpha) if value is None else (value, place, f"{kind}, {alpha}")
            out.append(rate_line("match", by, *named[:2], *result, named[2]))
    return out


def _by_columns(
    train: RowSummaries, heldout: RowSummaries | None, keep: NDArray[np.bool_], settings: AuditSettings
) -> Iterator[tuple[str, str, int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """(by, value, order, training rows [N], held-out rows [H]) of every value of the columns of the settings."""
    labels = train.words("by")
    held_labels = [] if heldout is None else heldout.words("by")
    for place, column in enumerate(settings.by):
        held = np.array([label[place] for label in held_labels], object)
        for order, (value, here) in enumerate(masks_by_value([label[place] for label in labels])):
            yield f"{COLUMN}{column}", value, order, here, keep & np.asarray(held == value, bool)
