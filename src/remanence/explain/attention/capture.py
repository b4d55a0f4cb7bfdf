"""Attention statistics of every layer and head for every row, from the same forward pass that scores the rows.

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (last cross-attention
block, averaged by task; here every layer and head, by row)

The weights of a layer are reduced to the mean over the row's query positions before the next layer runs; the maps are
not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.errors import NotMeasured
from remanence.core.table import Rendered, TokenRow
from remanence.explain.attention.recorder import KINDS, Kind, Layer, eager, record_attention
from remanence.explain.attention.statistics import STATISTICS, attention_statistics
from remanence.explain.attention.table import AttentionTable
from remanence.models.huggingface import HuggingFace, pack

Queries: TypeAlias = Literal["supervised", "all"]
"""Query positions: those that predict a token with loss, or all of the row. For an encoder always all positions."""
MAX_PAIRS = 2**21
"""Maximum number of query-key pairs of a batch per head; one layer's weights take this times heads times bytes."""
TOO_FEW_KEYS = "no position that predicts a token with loss attends to two tokens"


def attention_table(
    target: HuggingFace,
    rendered: Sequence[Rendered | str],
    batch_tokens: int | None = None,
    queries: Queries = "supervised",
) -> AttentionTable:
    """`STATISTICS` of every layer and head for every row, averaged over the row's query positions.

    A string instead of a row is the reason why it cannot be measured. `batch_tokens` is the number of padded tokens per
    batch (None = the target's). Raises `RemanenceError` for a model that returns no attention weights.
    """
    return attention_pass(target, rendered, ("logprob",), batch_tokens, queries)[0]


def attention_pass(
    target: HuggingFace,
    rendered: Sequence[Rendered | str],
    columns: Sequence[str],
    batch_tokens: int | None = None,
    queries: Queries = "supervised",
    since: Sequence[int] | None = None,
) -> tuple[AttentionTable, list[TokenRow | str]]:
    """`attention_table` and the token rows of the same pass; eager attention may change their last digits.

    `since` [rows]: only positions that predict this token of the row, or a later one, are used.
    """
    rows = [_measurable(row) for row in rendered]
    reasons = tuple(row if isinstance(row, str) else None for row in rows)
    accumulator = _LayerAccumulator(len(rows))
    table: list[TokenRow | str] = [row if isinstance(row, str) else "" for row in rows]
    whole = replace(target, batch_tokens=2**62)  # so that the target does not split our batches
    with eager(target.module) as note:
        for batch in _batches(rows, batch_tokens or target.batch_tokens):
            here = [row for row in (rows[i] for i in batch) if isinstance(row, Rendered)]
            accumulator.begin(batch, here, queries, target, [0 if since is None else since[i] for i in batch])
            for i, row in zip(batch, record_attention(whole, here, columns, accumulator.add), strict=True):
                table[i] = row
    values = accumulator.values()
    measured = np.zeros(len(rows), bool)
    for part in values.values():
        measured |= ~np.isnan(part).all(axis=(1, 2, 3))
    reasons = tuple(why or (None if ok else TOO_FEW_KEYS) for why, ok in zip(reasons, measured, strict=True))
    return AttentionTable(values, accumulator.queries, reasons, accumulator.layers(), (note,) if note else ()), table


def reduce_layer(
    weights: Tensor, visible: Tensor, line: Tensor, position: Tensor, num_rows: int
) -> NDArray[np.float32]:
    """[B, H, 4] mean of the statistics over a row's query positions.

    From weights [B, H, Q, K], visible [B or 1, H or 1, Q, K], and the query positions as (line [N] in the batch,
    position [N]). Positions with a single visible key are left out; NaN if none remains.
    """
    num_heads, num_keys = weights.shape[1], weights.shape[3]
    sums = torch.zeros(num_rows, num_heads, len(STATISTICS), dtype=torch.float64, device=weights.device)
    counts = torch.zeros_like(sums)
    visible = visible.expand(num_rows, -1, -1, -1)
    line, position = line.to(weights.device), position.to(weights.device)
    step = max(1, 2**22 // (num_heads * num_keys))
    for at in range(0, len(line), step):
        rows, places = line[at : at + step], position[at : at + step]
        values = attention_statistics(weights[rows, :, places], visible[rows, :, places]).double()
        valid = ~values.isnan()
        sums.index_add_(0, rows, values.nan_to_num())
        counts.index_add_(0, rows, valid.double())
    return (sums / counts).float().cpu().numpy()


class _LayerAccumulator:
    """Collects the reduced layers of all batches."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.reduced: dict[Layer, NDArray[np.float32]] = {}
        self.queries: dict[Kind, NDArray[np.int32]] = {}

    def begin(
        self,
        batch: Sequence[int],
        rows: Sequence[Rendered],
        queries: Queries,
        target: HuggingFace,
        since: Sequence[int],
    ) -> None:
        """Start a batch: its lines of the table, and the query positions of each of its rows."""
        self.batch, self.places = np.array(batch), dict[Kind, tuple[Tensor, Tensor]]()
        causal = target.family == "causal"
        masks = [np.ones(row.ids.size + int(causal), bool) if queries == "all" else row.scored for row in rows]
        predicted = [np.flatnonzero(mask) for mask in masks]
        positions = [places[places >= at] - int(causal) for places, at in zip(predicted, since, strict=True)]
        positions = [places[places >= 0] for places in positions]
        kinds: dict[Kind, list[NDArray[Any]]] = {"self": positions}
        if not causal:
            kinds = {"decoder": positions, "cross": positions}
        if not causal:
            kinds["encoder"] = [np.arange(0 if row.source is None else row.source.size) for row in rows]
        for kind, places in kinds.items():
            line = np.repeat(np.arange(len(places)), [len(p) for p in places])
            self.places[kind] = tuple(torch.from_numpy(x).to(target.device) for x in (line, np.concatenate(places)))  # pyright: ignore
            self.queries.setdefault(kind, np.zeros(self.num_rows, np.int32))[self.batch] = [len(p) for p in places]

    def add(self, layer: Layer, weights: Tensor, visible: Tensor) -> None:
        """Reduce one layer's weights [B, H, Q, K] into its lines."""
        if layer not in self.reduced:
            self.reduced[layer] = np.full((self.num_rows, weights.shape[1], len(STATISTICS)), np.nan, np.float32)
        line, position = self.places[layer.kind]
        self.reduced[layer][self.batch] = reduce_layer(weights, visible, line, position, len(self.batch))

    def layers(self) -> dict[Kind, tuple[str, ...]]:
        """The recorded layers, by kind and in order."""
        return {k: tuple(layer.name for layer in sorted(self.reduced) if layer.kind == k) for k in self._kinds()}

    def values(self) -> dict[Kind, NDArray[np.float32]]:
        """[rows, layers, heads, 4] by kind."""
        values: dict[Kind, NDArray[np.float32]] = {}
        for kind in self._kinds():
            layers = [self.reduced[layer] for layer in sorted(self.reduced) if layer.kind == kind]
            max_heads = max(v.shape[1] for v in layers)
            wide = [np.pad(v, ((0, 0), (0, max_heads - v.shape[1]), (0, 0)), constant_values=np.nan) for v in layers]
            values[kind] = np.stack(wide, axis=1)
        return values

    def _kinds(self) -> list[Kind]:
        return [kind for kind in KINDS if any(layer.kind == kind for layer in self.reduced)]


def _measurable(row: Rendered | str) -> Rendered | str:
    if isinstance(row, str):
        return row
    try:
        _ = row.start
    except NotMeasured as error:
        return error.reason
    return "the source is empty" if row.source is not None and not row.source.size else row


def _batches(rows: Sequence[Rendered | str], batch_tokens: int) -> list[list[int]]:
    """Batches of rows of similar length, longest first, within `batch_tokens` and `MAX_PAIRS`."""
    lengths = {
        i: (row.ids.size, 0 if row.source is None else row.source.size)
        for i, row in enumerate(rows)
        if isinstance(row, Rendered)
    }
    batches: list[list[int]] = []
    for batch in pack(list(lengths), [sum(both) for both in lengths.values()], batch_tokens):
        longest = max(max(lengths[i]) for i in batch)
        size = max(1, MAX_PAIRS // longest**2)
        batches += [batch[at : at + size] for at in range(0, len(batch), size)]
    return batches
