"""Token rows made by hand: the numbers are written down, no model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from remanence.core.table import Rendered, TokenRow


def rendered(supervised: Sequence[int], *, seq2seq: bool = False) -> Rendered:
    """Tokens 10, 11, 12, ... of which those marked 1 carry loss."""
    size = len(supervised)
    source = np.array([7, 8], np.int32) if seq2seq else None
    return Rendered(np.arange(10, 10 + size, dtype=np.int32), np.array(supervised, bool), source)


def token_row(
    columns: Mapping[str, Sequence[float]],
    *,
    supervised: Sequence[int] | None = None,
    seq2seq: bool = False,
    text: str = "some words",
) -> TokenRow:
    """A row of a decoder-only model whose first token, which nothing predicts, is added in front.

    `columns` speak of the tokens after it (of all tokens, for an encoder-decoder); those marked 0 in `supervised`
    carry no loss, and their values are hidden as the engine hides them.
    """
    given = 0 if seq2seq else 1
    size = len(next(iter(columns.values())))
    marks = [0] * given + list(supervised if supervised is not None else [1] * size)
    row = rendered(marks, seq2seq=seq2seq)
    filled = {}
    for name, values in columns.items():
        kind, hidden = (np.int32, -1) if name == "rank" else (np.float32, np.nan)
        filled[name] = np.array([hidden] * given + list(values), kind)
        filled[name][~row.scored] = hidden
    return TokenRow(row, filled, text)


def said(hits: Sequence[int], *, supervised: Sequence[int] | None = None, seq2seq: bool = False) -> TokenRow:
    """A row where greedy decoding says the tokens marked 1 (two logits ahead) and not the others (one behind)."""
    columns = {"rank": [0 if hit else 3 for hit in hits], "gap": [2.0 if hit else -1.0 for hit in hits]}
    return token_row(columns, supervised=supervised, seq2seq=seq2seq)
