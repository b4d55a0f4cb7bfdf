"""Which rows a training really learns from: masked and cut as the audit reads them, with a count of what is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.models.render import Renderer
from remanence.training.rows import Row, row_of


class Dropped(NamedTuple):
    """A row that nothing is learned from."""

    id: str
    why: str


class Prepared(NamedTuple):
    """Rows as the model takes them."""

    rows: list[Row]
    records: list[Record]
    """The records that they are made of, one each, in the same order."""
    dropped: list[Dropped]
    num_tokens: int
    """Tokens of the rows, an encoder's among them."""
    num_learned: int
    """Tokens that carry loss: a decoder-only model cannot be taught the first token of a row."""
    num_cut_rows: int
    """Rows that lost their end to `max_length` or the model's context."""
    num_cut_tokens: int
    num_cut_learned: int
    """How many of the tokens lost would have carried loss."""


def prepare(records: Sequence[Record], renderer: Renderer) -> Prepared:
    """The rows to train on, in order, and what became of the others.

    A row is dropped when it cannot be read, or when no token of it is left that carries loss, as TRL drops it.
    """
    rows: list[Row] = []
    kept: list[Record] = []
    dropped: list[Dropped] = []
    counted: list[Rendered] = []
    for record in records:
        try:
            rendered = renderer(record)
            reason = _nothing(rendered)
        except NotMeasured as why:
            dropped.append(Dropped(record.id, why.reason))
            continue
        if reason is not None:
            dropped.append(Dropped(record.id, reason))
            continue
        rows.append(row_of(rendered))
        kept.append(record)
        counted.append(rendered)
    return Prepared(
        rows,
        kept,
        dropped,
        num_tokens=sum(r.ids.size + (0 if r.source is None else r.source.size) for r in counted),
        num_learned=sum(int(np.count_nonzero(r.scored)) for r in counted),
        num_cut_rows=sum(r.num_truncated > 0 for r in counted),
        num_cut_tokens=sum(r.num_truncated for r in counted),
        num_cut_learned=sum(r.num_supervised_truncated for r in counted),
    )


def _nothing(rendered: Rendered) -> str | None:
    """Why nothing is learned from a row; None where something is."""
    if rendered.source is not None and not rendered.source.size:
        return "the prompt is empty: the encoder has nothing to read"
    if rendered.supervised.any():
        return None
    return "truncation cut every token that carries loss" if rendered.num_supervised_truncated else "nothing is learned"
