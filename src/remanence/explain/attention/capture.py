"""The attention of every layer and head on every row, in four numbers each, from the one pass that scores the rows.

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (last cross-attention
block, averaged by task; here every layer and head, by row)

A layer's weights are reduced to the mean over the row's query positions before the next layer runs; no map is kept.
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
from remanence.explain.attention.listen import KINDS, Kind, Layer, eager, listen
from remanence.explain.attention.statistics import STATISTICS, attention_statistics
from remanence.explain.attention.table import AttentionTable
from remanence.models.huggingface import HuggingFace, pack

Queries: TypeAlias = Literal["supervised", "all"]
"""Which positions look: those that predict a token that carries loss, or all of the row. An encoder's always all do."""
CELLS = 2**21
"""Query-key pairs of a batch, per head: what the weights of one layer may take is this times heads times bytes."""
NOTHING_TO_SPREAD = "no position that says something learned sees two tokens"


def attention_table(
    target: HuggingFace,
    rendered: Sequence[Rendered | str],
    batch_tokens: int | None = None,
    queries: Queries = "supervised",
) -> AttentionTable:
    """Every layer's and head's attention on every row, reduced to the mean of `STATISTICS` over its query positions.

    A string in place of a row says why it cannot be measured. `batch_tokens` padded tokens per batch (the target's own
    when None). Raises `RemanenceError` for a model that hands out no attention weights.
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
    """As `attention_table`, with the token rows of the same pass; plain attention may move their last digits.

    `since` [rows]: only attention at positions that say this token of the row, or a later one, is reduced.
    """
    rows = [_measurable(row) for row in rendered]
    reasons = tuple(row if isinstance(row, str) else None for row in rows)
    sink = _Sink(len(rows))
    table: list[TokenRow | str] = [row if isinstance(row, str) else "" for row in rows]
    whole = replace(target, batch_tokens=2**62)  # a batch of ours is one batch of the target's
    with eager(target.module) as note:
        for batch in _batches(rows, batch_tokens or target.batch_tokens):
            here = [row for row in (rows[i] for i in batch) if isinstance(row, Rendered)]
            sink.begin(batch, here, queries, target, [0 if since is None else since[i] for i in batch])
            for i, row in zip(batch, listen(whole, here, columns, sink.receive), strict=True):
                table[i] = row
    values = sink.values()
    spread = np.zeros(len(rows), bool)
    for part in values.values():
        spread |= ~np.isnan(part).all(axis=(1, 2, 3))
    reasons = tuple(why or (None if ok else NOTHING_TO_SPREAD) for why, ok in zip(reasons, spread, strict=True))
    return AttentionTable(values, sink.queries, reasons, sink.layers(), (note,) if note else ()), table


def reduce_layer(
    weights: Tensor, visible: Tensor, line: Tensor, position: Tensor, num_rows: int
) -> NDArray[np.float32]:
    """[B, H, 4] mean of the statistics over a row's query positions.

    From weights [B, H, Q, K], visible [B or 1, H or 1, Q, K], and the queries of interest as (line [N] in the batch,
    position [N]). Positions that see one key are left out; NaN where none is left.
    """
    num_heads, num_keys = weights.shape[1], weights.shape[3]
    sums = torch.zeros(num_rows, num_heads, len(STATISTICS), dtype=torch.float64, device=weights.device)
    counts = torch.zeros_like(sums)
    visible = visible.expand(num_rows, -1, -1, -1)
    line, position = line.to(weights.device), position.to(weights.device)
    step = max(1, 2**22 // (num_heads * num_keys))
    for at in range(0, len(line), step):
        rows, places = line[at : at + step], position[at : at + step]
        found = attention_statistics(weights[rows, :, places], visible[rows, :, places]).double()
        there = ~found.isnan()
        sums.index_add_(0, rows, found.nan_to_num())
        counts.index_add_(0, rows, there.double())
    return (sums / counts).float().cpu().numpy()


class _Sink:
    """Where the reduced layers of all batches come together."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.found: dict[Layer, NDArray[np.float32]] = {}
        self.queries: dict[Kind, NDArray[np.int32]] = {}

    def begin(
        self,
        batch: Sequence[int],
        rows: Sequence[Rendered],
        queries: Queries,
        target: HuggingFace,
        since: Sequence[int],
    ) -> None:
        """The next batch: lines of the table, and which positions of each of its rows look."""
        self.batch, self.places = np.array(batch), dict[Kind, tuple[Tensor, Tensor]]()
        causal = target.family == "causal"
        whose = [np.ones(row.ids.size + int(causal), bool) if queries == "all" else row.scored for row in rows]
        said = [np.flatnonzero(mask) for mask in whose]
        said = [places[places >= at] - int(causal) for places, at in zip(said, since, strict=True)]
        said = [places[places >= 0] for places in said]
        kinds: dict[Kind, list[NDArray[Any]]] = {"self": said} if causal else {"decoder": said, "cross": said}
        if not causal:
            kinds["encoder"] = [np.arange(0 if row.source is None else row.source.size) for row in rows]
        for kind, places in kinds.items():
            line = np.repeat(np.arange(len(places)), [len(p) for p in places])
            self.places[kind] = tuple(torch.from_numpy(x).to(target.device) for x in (line, np.concatenate(places)))  # pyright: ignore
            self.queries.setdefault(kind, np.zeros(self.num_rows, np.int32))[self.batch] = [len(p) for p in places]

    def receive(self, layer: Layer, weights: Tensor, visible: Tensor) -> None:
        """Reduce one layer's weights [B, H, Q, K] into its lines."""
        if layer not in self.found:
            self.found[layer] = np.full((self.num_rows, weights.shape[1], len(STATISTICS)), np.nan, np.float32)
        line, position = self.places[layer.kind]
        self.found[layer][self.batch] = reduce_layer(weights, visible, line, position, len(self.batch))

    def layers(self) -> dict[Kind, tuple[str, ...]]:
        """The layers heard, by kind and in order."""
        return {k: tuple(layer.name for layer in sorted(self.found) if layer.kind == k) for k in self._kinds()}

    def values(self) -> dict[Kind, NDArray[np.float32]]:
        """[rows, layers, heads, 4] by kind."""
        whole: dict[Kind, NDArray[np.float32]] = {}
        for kind in self._kinds():
            layers = [self.found[layer] for layer in sorted(self.found) if layer.kind == kind]
            most = max(v.shape[1] for v in layers)
            wide = [np.pad(v, ((0, 0), (0, most - v.shape[1]), (0, 0)), constant_values=np.nan) for v in layers]
            whole[kind] = np.stack(wide, axis=1)
        return whole

    def _kinds(self) -> list[Kind]:
        return [kind for kind in KINDS if any(layer.kind == kind for layer in self.found)]


def _measurable(row: Rendered | str) -> Rendered | str:
    if isinstance(row, str):
        return row
    try:
        _ = row.start
    except NotMeasured as why:
        return why.reason
    return "the source is empty" if row.source is not None and not row.source.size else row


def _batches(rows: Sequence[Rendered | str], batch_tokens: int) -> list[list[int]]:
    """Lines of similar length, longest first, so many that neither tokens nor query-key pairs become too many."""
    lengths = {
        i: (row.ids.size, 0 if row.source is None else row.source.size)
        for i, row in enumerate(rows)
        if isinstance(row, Rendered)
    }
    batches: list[list[int]] = []
    for batch in pack(list(lengths), [sum(both) for both in lengths.values()], batch_tokens):
        longest = max(max(lengths[i]) for i in batch)
        size = max(1, CELLS // longest**2)
        batches += [batch[at : at + size] for at in range(0, len(batch), size)]
    return batches
