"""Row summaries: one short line per distinct row with all that rates, membership scores and the ranking need.

A streamed audit keeps them on disk in blocks (`blocks/GROUP-NNNNN.parquet`); an audit in memory makes one block of each
group from its findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.core.verbs import TableMeasure
from remanence.engine.rates import Flags
from remanence.jobs.audit.measures import table_measures
from remanence.jobs.audit.settings import AuditSettings
from remanence.measure.extraction.np_discoverable import prob_extracted

MOST_PREFIXES = 63
"""Prefix lengths of an audit: a summary keeps one bit for each."""


@dataclass(frozen=True)
class RowSummaries:
    """The distinct rows [N] of one block."""

    table: pa.Table
    """One line per distinct row, columns as `schema`."""
    num_rows: int
    """Rows of the data in the block, repeats included."""

    @classmethod
    def of(cls, table: pa.Table) -> RowSummaries:
        """The distinct rows of a block table that holds repeats too."""
        return cls(table.filter(table["same_as"].is_null()), table.num_rows)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """[N] a column of numbers; NaN where nothing could be measured."""
        return self.table[column].cast(pa.float64()).to_numpy()

    def counts(self, column: str) -> NDArray[np.int64]:
        """[N] a column of integers; 0 where there is none."""
        return pc.fill_null(self.table[column].cast(pa.int64()), 0).to_numpy()

    def words(self, column: str) -> list[Any]:
        """[N] a column of strings, or of lists of strings."""
        return self.table[column].to_pylist()

    def has(self, role: str) -> bool:
        """Whether the rows were scored by this role: tuned, base or ceiling."""
        return f"{role}.cuts" in self.table.column_names

    def uncontaminated(self) -> NDArray[np.bool_]:
        """[N] for held-out rows: True for those that do not occur in the training data."""
        return ~np.asarray(self.words("contaminated"), bool)

    def extracted(self, role: str) -> Flags:
        """[N] whether greedy decoding generates the row's next tokens at some prefix length of the grid."""
        return _where(self.counts(f"{role}.cuts") != 0, self.counts(f"{role}.hits") != 0)

    def extracted_at(self, role: str, bit: int) -> Flags:
        """[N] the same at one prefix length, by its index in the grid."""
        one = np.int64(1 << bit)
        return _where((self.counts(f"{role}.cuts") & one) != 0, (self.counts(f"{role}.hits") & one) != 0)

    def sampled_within(self, role: str, measure: str, n: int, p: float) -> Flags:
        """[N] whether n samples contain the row's next tokens with probability p at the best prefix length."""
        log_p = self.numbers(f"{role}.{measure}")
        return _where(~np.isnan(log_p), prob_extracted(log_p, n) >= p)

    def extracted_tokens(self, role: str, budget: int) -> Flags:
        """[N] whether greedy decoding generates the next `budget` tokens at some prefix length."""
        return _where(self.counts(f"{role}.room") >= budget, self.counts(f"{role}.reach") >= budget)

    def longest_run(self) -> Flags:
        """[N] most tokens that greedy decoding of the tuned model follows the row."""
        return np.where(self.counts("tuned.cuts") != 0, self.counts("tuned.reach").astype(np.float64), np.nan)

    def num_hits(self) -> NDArray[np.int64]:
        """[N] number of prefix lengths at which the tuned model generates the row's next tokens."""
        return np.bitwise_count(self.counts("tuned.hits")).astype(np.int64)


def _where(known: NDArray[np.bool_], flag: NDArray[np.bool_]) -> Flags:
    return np.where(known, flag.astype(np.float64), np.nan)


def block_summaries(run: Run, group: str) -> Iterator[RowSummaries]:
    """The blocks of a group of a streamed run, in order, one at a time."""
    return (RowSummaries.of(table) for table in run.shards(f"blocks/{group}"))


def ranking_measure(settings: AuditSettings) -> str:
    """Name of the measure that ranks the rows: extraction by sampling under the first scheme."""
    return f"np_discoverable[{settings.schemes[0]}]"


def extraction_measures(measures: Sequence[TableMeasure]) -> list[TableMeasure]:
    """The measures that the ceiling is computed for."""
    return [m for m in measures if m.name.startswith(("discoverable", "np_discoverable"))]


def check_prefixes(settings: AuditSettings) -> None:
    """Raise `RemanenceError` for more prefix lengths than a summary has bits."""
    if len(settings.prefixes) > MOST_PREFIXES:
        raise RemanenceError(
            f"An audit has {MOST_PREFIXES} prefix lengths at most, and --prefixes names {len(settings.prefixes)}."
        )


def prefix_bits(prefixes: Sequence[int], chosen: Iterable[int]) -> int:
    """One bit per prefix length of the grid, the lowest for the shortest."""
    which = set(chosen)
    return sum(1 << i for i, prefix in enumerate(prefixes) if prefix in which)


def schema(roles: Iterable[str], group: str, settings: AuditSettings) -> pa.Schema:
    """The columns of a block table. Numbers are null where nothing could be measured, and in repeats."""
    whole, number, text = pa.int32(), pa.float64(), pa.string()
    fields: dict[str, pa.DataType] = {
        "row": whole,
        "id": text,
        "same_as": whole,
        "copies": whole,
        "near": whole,
        "contaminated": pa.bool_(),
        "by": pa.list_(text),
        "num_tokens": whole,
        "num_supervised": whole,
        "num_truncated": whole,
        "num_supervised_truncated": whole,
    }
    roles = list(roles)
    measures = table_measures(settings, "base" in roles)
    for role in [*roles, *(["ceiling"] if group == "train" else [])]:
        of_role = extraction_measures(measures) if role == "ceiling" else measures
        fields |= {f"{role}.{name}": pa.int64() for name in ("cuts", "hits")}
        fields |= {f"{role}.{name}": whole for name in ("run", "reach", "room", "prefix")}
        fields[f"{role}.reason"] = text
        if role != "ceiling":
            fields[f"{role}.recheck"] = text
        names = (m.name for m in of_role if m.name != "discoverable" and (role == "tuned" or not m.needs_base))
        fields |= {f"{role}.{name}": number for name in names}
    return pa.schema(list(fields.items()))
