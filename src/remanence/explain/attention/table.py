"""AttentionTable: the four attention statistics of every row, layer and head, in memory and as a Parquet table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.explain.attention.recorder import KINDS, Kind
from remanence.explain.attention.statistics import STATISTICS

ATTENTION = pa.schema(
    {
        "row": pa.int32(),  # position in the rows given, from 0
        "kind": pa.string(),  # self (decoder-only); encoder, decoder, cross (encoder-decoder)
        "layer": pa.int32(),  # among the layers of its kind, from 0
        "head": pa.int32(),
        "queries": pa.int32(),  # number of query positions averaged
        "entropy": pa.float32(),  # H / log n over the n visible tokens; 1 = flat
        "participation": pa.float32(),  # 1 / (n sum a^2); 1 = flat
        "top": pa.float32(),  # weight of the 5 most attended tokens; null if no position sees more than 5
        "gini": pa.float32(),  # times n / (n - 1); 0 = flat
        "reason": pa.string(),  # why the row was not measured; its only line then has no other values
    }
)
"""One line per row, kind, layer and head."""


@dataclass(frozen=True)
class AttentionTable:
    """The result of `attention_table`; NaN where there was nothing to measure."""

    values: Mapping[Kind, NDArray[np.float32]]
    """[rows, layers, heads, 4] by kind, the last axis as in `STATISTICS`; heads that a layer does not have are NaN."""
    queries: Mapping[Kind, NDArray[np.int32]]
    """[rows] by kind: number of query positions averaged."""
    reasons: tuple[str | None, ...]
    """[rows] why a row was not measured; None = measured."""
    layers: Mapping[Kind, tuple[str, ...]]
    """Module paths by kind."""
    notes: tuple[str, ...] = ()
    """Remarks on how it was measured."""

    def mean(self, statistic: str = "entropy", kinds: Sequence[Kind] | None = None) -> NDArray[np.float64]:
        """[rows] mean over all heads and layers of the kinds (all when None); NaN for rows not measured."""
        which = list(STATISTICS).index(statistic)
        parts = [v[..., which].reshape(len(v), -1) for k, v in self.values.items() if kinds is None or k in kinds]
        return (
            _nanmean(np.concatenate(parts, axis=1).astype(np.float64)) if parts else np.full(len(self.reasons), np.nan)
        )

    def to_arrow(self) -> pa.Table:
        """One line per row, kind, layer and head, as in `ATTENTION`; rows not measured have one line with a reason."""
        unmeasured = [i for i, reason in enumerate(self.reasons) if reason is not None]
        parts = [pa.Table.from_pylist([{"row": i, "reason": self.reasons[i]} for i in unmeasured], schema=ATTENTION)]
        for kind, values in self.values.items():
            kept = np.array([i for i, reason in enumerate(self.reasons) if reason is None], np.int32)
            row, layer, head = np.meshgrid(kept, *(np.arange(n) for n in values.shape[1:3]), indexing="ij")
            valid = ~np.isnan(values[kept]).all(-1).ravel()
            columns: dict[str, Any] = {"row": row, "layer": layer, "head": head, "queries": self.queries[kind][row]}
            columns |= {name: values[kept][..., i] for i, name in enumerate(STATISTICS)}
            arrays = {
                name: pa.array(np.ravel(v)[valid], ATTENTION.field(name).type, from_pandas=True)
                for name, v in columns.items()
            }
            arrays |= {
                name: pa.array([value] * int(valid.sum()), pa.string())
                for name, value in (("kind", kind), ("reason", None))
            }
            parts.append(pa.table({name: arrays[name] for name in ATTENTION.names}, schema=ATTENTION))
        return pa.concat_tables(parts).sort_by([("row", "ascending")])

    @classmethod
    def from_arrow(cls, table: pa.Table) -> AttentionTable:
        """Read the table that `to_arrow` wrote; module paths and notes are not stored."""
        column: dict[str, Any] = {name: table[name].to_numpy(zero_copy_only=False) for name in ATTENTION.names}
        num_rows = int(column["row"].max()) + 1 if table.num_rows else 0
        reasons: list[str | None] = ["not in the table"] * num_rows
        for row, reason in zip(column["row"], column["reason"], strict=True):
            reasons[int(row)] = reason
        values: dict[Kind, NDArray[np.float32]] = {}
        queries: dict[Kind, NDArray[np.int32]] = {}
        for kind in KINDS:
            here = column["kind"] == kind
            if not here.any():
                continue
            row, layer, head = (column[name][here].astype(np.int64) for name in ("row", "layer", "head"))
            values[kind] = np.full((num_rows, layer.max() + 1, head.max() + 1, len(STATISTICS)), np.nan, np.float32)
            values[kind][row, layer, head] = np.stack([column[name][here] for name in STATISTICS], axis=-1)
            queries[kind] = np.zeros(num_rows, np.int32)
            queries[kind][row] = column["queries"][here]
        return cls(values, queries, tuple(reasons), dict.fromkeys(values, ()))


def _nanmean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[rows] mean of the values that are not NaN; NaN for a row without any, without a warning."""
    valid = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(valid, values, 0).sum(1) / valid.sum(1)
