"""A block read back: the distinct rows of a table as arrays, and the verdicts that rates are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from remanence.core.run import Run
from remanence.engine.rates import Flags
from remanence.jobs.audit.settings import AuditSettings
from remanence.measure.extraction.np_discoverable import prob_extracted


@dataclass(frozen=True)
class Seen:
    """The distinct rows of one block."""

    table: pa.Table
    """One line per distinct row, columns as `block.schema`."""
    lines: int
    """Rows of the data in the block, repeats included."""

    @classmethod
    def of(cls, table: pa.Table) -> Seen:
        """The rows of a block table that stand for themselves."""
        return cls(table.filter(table["same_as"].is_null()), table.num_rows)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """[N] a column of numbers; NaN where nothing could be measured."""
        return self.table[column].cast(pa.float64()).to_numpy()

    def counts(self, column: str) -> NDArray[np.int64]:
        """[N] a column of whole numbers; 0 where there is none."""
        return pc.fill_null(self.table[column].cast(pa.int64()), 0).to_numpy()

    def words(self, column: str) -> list[Any]:
        """[N] a column of words, or of lists of them."""
        return self.table[column].to_pylist()

    def has(self, role: str) -> bool:
        """Whether the block speaks of tuned, base or ceiling."""
        return f"{role}.cuts" in self.table.column_names

    def comes_back(self, role: str) -> Flags:
        """[N] as `rates.comes_back`."""
        return _where(self.counts(f"{role}.cuts") != 0, self.counts(f"{role}.hits") != 0)

    def comes_back_at(self, role: str, bit: int) -> Flags:
        """[N] as `rates.comes_back_at`, for the prefix length at this place of the grid."""
        one = np.int64(1 << bit)
        return _where((self.counts(f"{role}.cuts") & one) != 0, (self.counts(f"{role}.hits") & one) != 0)

    def within(self, role: str, measure: str, n: int, p: float) -> Flags:
        """[N] as `rates.within`."""
        log_p = self.numbers(f"{role}.{measure}")
        return _where(~np.isnan(log_p), prob_extracted(log_p, n) >= p)

    def says(self, role: str, budget: int) -> Flags:
        """[N] as `by_column.says`."""
        return _where(self.counts(f"{role}.room") >= budget, self.counts(f"{role}.reach") >= budget)

    def num_hits(self) -> NDArray[np.int64]:
        """[N] prefix lengths of the grid at which the tuned model says the row."""
        return np.bitwise_count(self.counts("tuned.hits")).astype(np.int64)


def _where(known: NDArray[np.bool_], flag: NDArray[np.bool_]) -> Flags:
    return np.where(known, flag.astype(np.float64), np.nan)


def seen(run: Run, group: str) -> Iterator[Seen]:
    """The blocks of a group, in order, one at a time."""
    return (Seen.of(table) for table in run.shards(f"blocks/{group}"))


def drawn(settings: AuditSettings) -> str:
    """The measure that ranks the rows."""
    return f"np_discoverable[{settings.schemes[0]}]"
