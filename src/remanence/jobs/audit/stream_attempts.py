"""The worst rows of a streamed audit, read again and put to the model; all else about a row is forgotten by then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from remanence.core.executor import Executor
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.target import Generates, Scores, Target, rendered_rows
from remanence.engine.executors import OpenTargets
from remanence.engine.rows import DistinctRows
from remanence.jobs.audit import attempts, matching
from remanence.jobs.audit.counts import Counts
from remanence.jobs.audit.ranking import places_to_ask, questions
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.survey import Survey
from remanence.text.spans import SpanIndex


class Again(NamedTuple):
    """Training rows that were read a second time."""

    rows: DistinctRows
    """Those to be asked about; all distinct ones where they are few."""
    texts: list[str]
    """Of all distinct rows, or of a sample drawn by the seed: for the classifier that never sees a model."""
    whole: list[Record] | None
    """All rows, repeats included, where they are few."""


def read_again(train: Iterable[Record], known: Survey, places: Sequence[int], together: int, seed: int) -> Again:
    """Read the training rows once more and keep those at `places` and a sample, or, up to `together` rows, all."""
    if known.num <= together:
        whole = list(train)
        distinct = [i for i in range(known.num) if known.first_N[i] == i]
        rows = DistinctRows("train", [whole[i] for i in distinct], distinct)
        return Again(rows, [record.plain for record in rows.records], whole)
    sample = _sample(known, together, seed)
    wanted = set(places)
    kept: dict[int, Record] = {}
    texts: list[str] = []
    for place, record in enumerate(train):
        if place in wanted:
            kept[place] = record
        if place in sample:
            texts.append(record.plain)
    return Again(DistinctRows("train", [kept[place] for place in places], list(places)), texts, None)


def _sample(known: Survey, size: int, seed: int) -> set[int]:
    distinct = np.flatnonzero(known.first_N == np.arange(known.num))
    if distinct.size <= size:
        return set(distinct.tolist())
    return set(np.random.default_rng(seed).choice(distinct, size, replace=False).tolist())


def asked_about(found: Counts, settings: AuditSettings) -> list[int]:
    """Places in the data of the training rows to be put to the model, worst first."""
    return [] if settings.generate == "none" else places_to_ask(found.ranked.rows(), settings)


def attack(
    run: Run,
    opens: OpenTargets,
    targets: Mapping[str, Target],
    again: Again,
    known: Survey,
    found: Counts,
    settings: AuditSettings,
    executor: Executor,
    *,
    show: bool,
) -> None:
    """`attempts.parquet` and `matches.parquet`. Spans of other training rows are looked for where those are few."""
    groups: list[tuple[DistinctRows, Any]] = [(again.rows, found.ranked)]
    if known.heldout is not None:
        groups.append((known.heldout, found.ranked_heldout))
    if not run.has("attempts.parquet"):
        able = {role: target for role, target in targets.items() if isinstance(target, Generates)}
        if able and settings.generate != "none":
            asked = [
                (rows, questions(ranked.rows(), {p: i for i, p in enumerate(rows.places)}, settings))
                for rows, ranked in groups
            ]
            corpus = [] if again.whole is None else rendered_rows(cast(Scores, targets["tuned"]), again.rows.records)
            index = SpanIndex.build([np.empty(0, np.int32) if isinstance(row, str) else row.ids for row in corpus])
            attempts.ask(run, opens, able, asked, settings, index, executor, show=show)
        attempts.gather(run, list(targets), [rows.group for rows, _ in groups])


def match(
    run: Run,
    again: Again,
    heldout: Sequence[Record] | None,
    base: Target | None,
    settings: AuditSettings,
    *,
    show: bool,
) -> None:
    """Attribute the generated words to all training text, where that is in memory."""
    if again.whole is not None:
        matching.match_attempts(run, again.whole, heldout, base, settings, show=show)
