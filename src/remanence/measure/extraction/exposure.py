"""Exposure: how does the model rank the unique span of a row among alternative spans?

Paper: Carlini et al. 2019, "The Secret Sharer: Evaluating and Testing Unintended Memorization in Neural Networks",
arXiv 1802.08232

The canaries of the paper have a known set of possible values. Rows of user data do not: the span is the one with the
rarest tokens that occurs in no other training row, and the alternatives are spans of the same number of tokens from
rows that were not trained on. Exposure is at most log2 R for R candidates.

Chance is not the floor: the true span fits its context and the alternatives do not, so the exposure of a held-out row
is above chance (on Markov text about 2.4 bits, with a chance level of 1.3 and a maximum of 5). The floor is the
exposure of held-out rows by the same measure.

Shapes: T tokens of a row, L tokens of a span, R candidates, the true one first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.table import BoolsT, IntsT, Rendered, TokenRow
from remanence.core.target import ScoresRendered
from remanence.core.verbs import Findings, Measure
from remanence.measure.extraction.discoverable import longest_run
from remanence.stats.exposure import chance_exposure, exposure

TOGETHER = 64
"""Records whose candidates are scored in one call."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Exposure(Measure):
    """Rank of the rarest unique span of a row among spans of untrained rows, in the same context."""

    tokens: int = 8
    """L: maximum length of the span, in tokens with loss; shorter rows use all their tokens."""
    candidates: int = 32
    """R: the true span and R - 1 others."""
    seed: int = 0
    """Seed for drawing the other spans."""
    heldout: tuple[Record, ...] = field(default=(), repr=False)
    """Rows not trained on, for the other spans; none = the other measured rows."""
    training: tuple[Record, ...] = field(default=(), repr=False)
    """All training rows, for token frequencies and unique spans; none = the measured rows."""

    cost = "`candidates` forward passes per row"

    @property
    def row_by_row(self) -> bool:
        """No: what is rare, and what stands only once, is counted over the rows that are measured too."""
        return False

    def with_corpus(self, train: Sequence[Record], heldout: Sequence[Record]) -> Exposure:
        """Candidates from held-out rows, and frequencies over all training rows, where they were not given."""
        return replace(self, training=self.training or tuple(train), heldout=self.heldout or tuple(heldout))

    def __call__(self, target: ScoresRendered, records: Sequence[Record]) -> Findings:
        """One finding per record: score in bits; evidence: the span's place and rank, and a blind guess's mean."""
        own = [_rendered(target, record) for record in records]
        trained = own if not self.training else [*own, *(_rendered(target, record) for record in self.training)]
        corpus = Corpus([row for row in trained if isinstance(row, Rendered)])
        unseen = own if not self.heldout else [_rendered(target, record) for record in self.heldout]
        others = [row for row in unseen if isinstance(row, Rendered)]
        pools: dict[int, NDArray[np.int32]] = {}
        found: Findings = []
        for start in range(0, len(records), TOGETHER):
            here = range(start, min(start + TOGETHER, len(records)))
            asking = [self._asking(own[place], corpus, others, pools) for place in here]
            whole = [row for ask in asking if not isinstance(ask, str) for row in ask.rows()]
            table = target.score_rendered(whole, ("logprob",))
            found += [_finding(records[place].id, ask, table) for place, ask in zip(here, asking, strict=True)]
        return found

    def _asking(
        self, row: Rendered | str, corpus: Corpus, others: Sequence[Rendered], pools: dict[int, NDArray[np.int32]]
    ) -> Asking | str:
        """The candidates of one row, or the reason why there are none."""
        if isinstance(row, str):
            return row
        tokens = min(self.tokens, longest_run(row.scored))
        at = corpus.rarest_own_span(row, tokens)
        if at is None:
            return "each of its spans stands in another training row too"
        if tokens not in pools:
            pools[tokens] = windows(others, tokens)
        pool, true = pools[tokens], row.ids[at : at + tokens]
        pool = pool[~np.isin(hashed(pool), span_hashes(row.ids, tokens))]
        if not len(pool):
            return f"no other row has {tokens} learned tokens in a row to hold it against"
        rng = np.random.default_rng((self.seed, zlib.crc32(row.ids.tobytes())))
        drawn = rng.choice(len(pool), min(self.candidates - 1, len(pool)), replace=False)
        return Asking(row, at, np.concatenate([true[None], pool[np.sort(drawn)]]))


class Asking(NamedTuple):
    """A row, a position in it, and the candidate spans for that position."""

    row: Rendered
    at: int
    spans_RL: NDArray[np.int32]

    def rows(self) -> Iterator[Rendered]:
        """[R] the row with each candidate span at the position; only the span is scored."""
        end = self.at + self.spans_RL.shape[1]
        for span in self.spans_RL:
            ids = np.concatenate([self.row.ids[: self.at], span])
            yield Rendered(ids, np.arange(end) >= self.at, self.row.source)


class Corpus:
    """The distinct training rows: token frequencies, and the spans that occur in more than one row."""

    def __init__(self, rows: Sequence[Rendered]) -> None:
        self.rows = list({row.ids.tobytes(): row.ids for row in rows}.values())
        every = np.concatenate([*self.rows, np.zeros(0, np.int32)])
        counts = np.bincount(every)
        self.surprise_V = np.log(max(1, every.size)) - np.log(np.maximum(1, counts))
        self._shared: dict[int, Hashes] = {}

    def rarest_own_span(self, row: Rendered, tokens: int) -> int | None:
        """Start of the span; None if every span with loss also occurs in another row."""
        if tokens not in self._shared:
            self._shared[tokens] = shared_spans(self.rows, tokens)
        own_S = learned_windows(row.scored, tokens) & ~np.isin(span_hashes(row.ids, tokens), self._shared[tokens])
        return rarest_span(self.surprise_V[row.ids], own_S, tokens)


def rarest_span(surprise_T: NDArray[np.float64], own_S: BoolsT, tokens: int) -> int | None:
    """Where the span of `tokens` tokens with the most surprise begins, among the beginnings [S = T - L + 1] in `own_S`.

    The earliest of equals; None when there is none.
    """
    if not own_S.any():
        return None
    sums = np.convolve(surprise_T, np.ones(tokens), mode="valid")
    return int(np.argmax(np.where(own_S, np.round(sums, 9), -np.inf)))


def shared_spans(rows: Sequence[IntsT], tokens: int) -> Hashes:
    """Hashes of the spans that occur in two rows or more, ascending; repeats within a row count once."""
    each = [np.unique(span_hashes(ids, tokens)) for ids in rows]
    values, counts = np.unique(np.concatenate([*each, np.zeros(0, np.uint64)]), return_counts=True)
    return values[counts > 1]


def span_hashes(ids_T: IntsT, tokens: int) -> Hashes:
    """[T - L + 1] one number per span, equal for equal spans (and for others with probability 2^-64 or so)."""
    if ids_T.size < tokens:
        return np.zeros(0, np.uint64)
    return hashed(np.lib.stride_tricks.sliding_window_view(ids_T, tokens))


def hashed(spans_SL: NDArray[np.int32]) -> Hashes:
    """[S] the number of each span."""
    hashes = np.zeros(len(spans_SL), np.uint64)
    for ids in spans_SL.T:
        mixed = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        hashes = (hashes ^ (mixed ^ (mixed >> np.uint64(29)))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(32)
    return hashes


def learned_windows(scored_T: BoolsT, tokens: int) -> BoolsT:
    """[T - L + 1] True if this and the following tokens all have loss."""
    if scored_T.size < tokens:
        return np.zeros(0, np.bool_)
    return np.convolve(scored_T.astype(np.int64), np.ones(tokens, np.int64), mode="valid") == tokens


def windows(rows: Sequence[Rendered], tokens: int) -> NDArray[np.int32]:
    """[S, L] the distinct spans with loss of the rows, in a fixed order."""
    found = [np.zeros((0, tokens), np.int32)]
    for row in rows:
        learned = learned_windows(row.scored, tokens)
        if learned.any():
            found.append(np.lib.stride_tricks.sliding_window_view(row.ids, tokens)[learned])
    return np.unique(np.concatenate(found), axis=0)


def _finding(record_id: str, ask: Asking | str, table: Iterator[TokenRow | str]) -> Finding:
    if isinstance(ask, str):
        return Finding(record_id, "exposure", None, reason=ask)
    scored = [next(table) for _ in ask.spans_RL]
    try:
        scores_R = np.array([_log_probability(row) for row in scored])
    except NotMeasured as why:
        return Finding(record_id, "exposure", None, reason=why.reason)
    candidates = len(scores_R)
    bits = float(exposure(scores_R, np.array(0)))
    evidence = {
        "at": ask.at,
        "tokens": int(ask.spans_RL.shape[1]),
        "candidates": candidates,
        "rank": candidates / 2**bits,
        "most": float(np.log2(candidates)),
        "chance": chance_exposure(candidates),
    }
    return Finding(record_id, "exposure", bits, evidence)


def _log_probability(row: TokenRow | str) -> float:
    if isinstance(row, str):
        raise NotMeasured(row)
    return float(row.scored("logprob").sum())


def _rendered(target: ScoresRendered, record: Record) -> Rendered | str:
    try:
        row = target.render(record)
        _ = row.start
    except NotMeasured as why:
        return why.reason
    return row
