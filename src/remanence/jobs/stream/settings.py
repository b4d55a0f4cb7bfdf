"""When an audit streams, and what it keeps in memory when it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.read import FileRecords, placed_records
from remanence.core.rows import placed_rows

LARGE = 100_000
"""Rows of a file above which an audit streams without being asked to."""
SHORTEST = 8
"""Bytes of the shortest row of a data file: a smaller file is not counted."""
MOST_PREFIXES = 63
"""Prefix lengths that a streamed audit keeps verdicts for, one bit each."""


@dataclass(frozen=True)
class StreamSettings:
    """What a streamed audit holds at once. All rows are measured and counted, whatever these say."""

    worst: int = 10_000
    """Rows that the ranking and the report name, worst first; all others are in the block tables alone."""
    together: int = 20_000
    """Training rows up to which near duplicates are counted, and answers held against all training text: both need
    memory for every row."""

    def __post_init__(self) -> None:
        if self.worst < 1:
            raise RemanenceError(f"--worst must be at least 1, got {self.worst}.")
        if self.together < 0:
            raise RemanenceError(f"--together must be at least 0, got {self.together}.")

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return asdict(self)

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> StreamSettings:
        """The settings of an earlier run."""
        return cls(**spec)


def is_large(path: Path, limit: int = LARGE) -> bool:
    """Whether a data file has more than `limit` rows; reads no further than it must. False for a .json list."""
    if not path.is_file() or path.suffix.lower() == ".json" or path.name.lower().endswith(".json.gz"):
        return False
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_metadata(path).num_rows > limit
    packed = path.suffix.lower() == ".gz"
    if path.stat().st_size * (1000 if packed else 1) < limit * SHORTEST:  # gzip packs a thousandfold at most
        return False
    return next(islice(placed_rows(path), limit, None), None) is not None


def streamed(records: FileRecords) -> FileRecords:
    """The file as a stream reads it. Raises `RemanenceError` for a file that can only be read whole."""
    name = records.path.name.lower()
    if name.endswith((".json", ".json.gz")):
        raise RemanenceError(
            f"{records.path.name} is one JSON list, which is read whole: write it as JSON lines (.jsonl) to stream it."
        )
    _ = next(placed_records(records.path, records.columns), None)  # a bad file is told before a model is loaded
    return FileRecords(records.path, records.columns, records.group, compared=False)
