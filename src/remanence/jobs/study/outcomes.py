"""Outcomes of a study row by row, from token tables: which stretches of tokens are extracted, greedily or by sampling.

Everything is counted on the table of one pass: greedy decoding generates a stretch exactly when each of its tokens has
rank 0 given the true past, and the probability of a stretch under a sampling scheme is the sum of its log-probabilities
(exponentiated). The tables contain training text: protect the folder like the data.

Shapes: R rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.run import Run
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.jobs.study.settings import StudySettings, split_at
from remanence.measure.extraction.np_discoverable import prob_extracted

Values = NDArray[np.float32]
"""[R] 1 or 0 (or a number); NaN = not measurable, which is in no denominator."""
GROUPS = ("train", "heldout")
SIDES = ("input", "output")
ANY = "any"
"""The split label of a row that comes back at one split or more."""


@dataclass(frozen=True)
class Cell:
    """What is counted: a metric on a side of the row, at a split and a budget."""

    metric: str
    """greedy; sampled; nats (mean log-probability); calibrated-own, calibrated-any, pan2015-own, pan2015-any (answers
    cut to the budget, flagged by a detector as the own row's, or as any training row's); published (pan2015 on every
    answer in full, as in the paper)."""
    side: str
    """input or output."""
    prefix: str = ""
    budget: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Probe:
    """The token row of a measured row, and where its sides lie."""

    row: TokenRow | str
    """A string says why there is none."""
    boundary: int
    """Index of the first token of the output."""

    def side(self, side: str) -> tuple[int, int] | None:
        """[low, high) of a side among the tokens that are predicted; None where the table has none of it."""
        if isinstance(self.row, str):
            return None
        rendered = self.row.rendered
        if rendered.source is not None:  # an encoder reads the input; nothing predicts it
            return (0, int(rendered.ids.size)) if side == "output" else None
        low, high = (rendered.first, self.boundary) if side == "input" else (self.boundary, int(rendered.ids.size))
        return (low, high) if high > low else None


def outcomes(probes: Sequence[Probe], settings: StudySettings) -> Iterator[tuple[Cell, Values]]:
    """Every cell that the token tables decide, with its values [R]."""
    for side in ("input", "output"):
        spans = [probe.side(side) for probe in probes]
        if not any(spans):
            continue
        yield Cell("nats", side), _mean_logprob(probes, spans)
        hits = [_sums(p.row.columns["rank"] == 0) if isinstance(p.row, TokenRow) else None for p in probes]
        yield from _over_splits("greedy", side, hits, spans, settings, lambda run, n: run == n)
        for name in settings.schemes:
            column = SamplingScheme.parse(name).column
            logs = [_sums(p.row.columns[column]) if isinstance(p.row, TokenRow) else None for p in probes]
            for samples in settings.queries:
                yield from _over_splits(
                    "sampled", side, logs, spans, settings,
                    lambda log_p, n, samples=samples: prob_extracted(log_p, samples) >= settings.p,
                    f"{name}, n={samples}",
                )  # fmt: skip


def _over_splits(
    metric: str,
    side: str,
    sums: Sequence[NDArray[np.float64] | None],
    spans: Sequence[tuple[int, int] | None],
    settings: StudySettings,
    comes_back: Any,
    detail: str = "",
) -> Iterator[tuple[Cell, Values]]:
    for budget in settings.budgets:
        by_split: list[Values] = []
        for prefix in settings.prefixes:
            runs = np.full(len(spans), np.nan)
            for i, (total, span) in enumerate(zip(sums, spans, strict=True)):
                at = None if span is None else span[0] + split_at(prefix, span[1] - span[0])
                if total is not None and span is not None and at is not None and at + budget <= span[1]:
                    runs[i] = total[at + budget] - total[at]
            known = ~np.isnan(runs)
            values = np.full(len(spans), np.nan, np.float32)
            values[known] = comes_back(runs[known], budget)
            by_split.append(values)
            yield Cell(metric, side, prefix, budget, detail), values
        yield Cell(metric, side, ANY, budget, detail), _any(np.stack(by_split))


def _any(values_SR: NDArray[np.float32]) -> Values:
    """[R] 1 where some split is 1; NaN only where every split is NaN."""
    none = np.isnan(values_SR).all(axis=0)
    return np.where(none, np.nan, (values_SR == 1).any(axis=0)).astype(np.float32)


def _mean_logprob(probes: Sequence[Probe], spans: Sequence[tuple[int, int] | None]) -> Values:
    """[R] mean log-probability of a side's tokens, nats; higher = more likely."""
    out = np.full(len(probes), np.nan, np.float32)
    for i, (probe, span) in enumerate(zip(probes, spans, strict=True)):
        if span is not None and isinstance(probe.row, TokenRow):
            out[i] = float(np.mean(probe.row.columns["logprob"][span[0] : span[1]].astype(np.float64)))
    return out


def _sums(values_T: NDArray[Any]) -> NDArray[np.float64]:
    """[T + 1] sums of the first t values; what stands before the first predicted token counts as 0."""
    return np.concatenate(([0.0], np.cumsum(np.nan_to_num(values_T.astype(np.float64), nan=0.0, neginf=-1e9))))


_TEXT, _INT, _FLOAT = pa.string(), pa.int32(), pa.float64()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


PROBES = _schema(
    group=_TEXT,  # train or heldout
    row=_INT,  # place among the measured rows of the group
    id=_TEXT,
    copies=_INT,  # how often it is trained on
    boundary=_INT,  # index of the first token of the output
    num_tokens=_INT,
    num_truncated=_INT,
    reason=_TEXT,  # why it is not measured
)
"""The measured rows of an arm. `arms/*/probes.parquet`"""

ATTEMPTS = _schema(
    group=_TEXT,
    row=_INT,
    id=_TEXT,
    side=_TEXT,  # input: go on with its first tokens; output: answer the whole input
    prompt=_TEXT,  # the exact text that the model was given
    prompt_ids=pa.list_(_INT),
    source_ids=pa.list_(_INT),  # for an encoder-decoder
    answer_ids=pa.list_(_INT),
    expected_ids=pa.list_(_INT),
    answer=_TEXT,
    expected=_TEXT,  # the row's own continuation, at most as long as the answer may be
    answer_at=pa.list_(_TEXT),  # the answer cut to each budget of the study, in order; null where `expected` is shorter
    expected_at=pa.list_(_TEXT),  # `expected` cut likewise
)
"""What was asked and said. `arms/*/attempts.parquet`, `bases/*/attempts.parquet`"""

OUTCOMES = _schema(
    who=_TEXT,  # tuned, base, ceiling
    group=_TEXT,
    metric=_TEXT,
    side=_TEXT,
    prefix=_TEXT,
    budget=_INT,
    detail=_TEXT,
    values=pa.list_(pa.float32()),  # one per measured row; NaN = not measurable
)
"""Row by row, what came back. `arms/*/outcomes.parquet`, `bases/*/outcomes.parquet`"""

MAPS = _schema(
    group=_TEXT,
    row=_INT,
    id=_TEXT,
    kind=_TEXT,  # self; cross, for an encoder-decoder
    says=pa.list_(_TEXT),  # what each position is about to say
    sees=pa.list_(_TEXT),  # the tokens looked at
    learned=pa.list_(pa.bool_()),  # whether the position says a token of the output
    weights=pa.list_(pa.float32()),  # position by position, mean over layers and heads; NaN where it may not look
)
"""Attention maps of two rows: the training row with most copies, the first held-out one. `arms/*/maps.parquet`"""

CURVE = _schema(
    epoch=_INT,
    group=_TEXT,
    loss=_FLOAT,  # nats per token that carries loss
    hits=_INT,  # rows of which `budget` tokens come back at some split
    n=_INT,
    budget=_INT,
)
"""After every epoch. `arms/*/curve.parquet`"""


def write_outcomes(run: Run, name: str, cells: Iterable[tuple[str, str, Cell, Values]]) -> None:
    """Lines of (who, group, cell, values)."""
    lines = [
        {
            "who": who,
            "group": group,
            "metric": cell.metric,
            "side": cell.side,
            "prefix": cell.prefix,
            "budget": cell.budget,
            "detail": cell.detail,
            "values": values.tolist(),
        }
        for who, group, cell, values in cells
    ]
    run.write_table(name, pa.Table.from_pylist(lines, schema=OUTCOMES))


def read_outcomes(run: Run, name: str) -> Iterator[tuple[str, str, Cell, Values]]:
    """As written."""
    for line in run.lines(name):
        cell = Cell(line["metric"], line["side"], line["prefix"], line["budget"], line["detail"])
        yield line["who"], line["group"], cell, np.array(line["values"], np.float32)


def write_lines(run: Run, name: str, lines: list[dict[str, Any]], schema: pa.Schema) -> None:
    """A table from dicts."""
    run.write_table(name, pa.Table.from_pylist(lines, schema=schema))
