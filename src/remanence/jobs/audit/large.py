"""Whether an audit streams its rows, and how it reads them then."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.read import Columns, FileRecords, records_from
from remanence.core.rows import placed_rows

LARGE = 100_000
"""Rows of a file above which an audit streams without being asked to."""
SHORTEST = 8
"""Bytes of the shortest row of a data file: a smaller file is not counted."""


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


def streams(data: Any, asked: bool | None, *, server: bool = False, show: bool = False) -> bool:
    """Whether an audit of this data streams: as asked, or, unasked, where a file is large; that is told on stderr.

    Raises `RemanenceError` when asked to stream where a model is on a server: it is asked about rows in memory only.
    """
    if server:
        if asked:
            raise RemanenceError("A server is asked about rows that are in memory: leave out --stream, or sample rows.")
        return False
    if asked is not None:
        return asked
    large = isinstance(data, str | Path) and is_large(Path(data))
    if large and show:
        print(
            f"{Path(data).name} has more than {LARGE:,} rows, so they are streamed and their tokens not kept; "
            "--no-stream holds them in memory instead.",
            file=sys.stderr,
        )
    return large


def rows_to_stream(data: Any, columns: Columns) -> Any:
    """The training rows as a stream goes through them: a file is read anew each time, a list is what it is.

    Raises `RemanenceError` for a file that can only be read whole, and for one whose first row is bad.
    """
    if not isinstance(data, str | Path):
        named = {f"{name}_column": value for name, value in asdict(columns).items() if value is not None}
        return records_from(data, **named)
    path = Path(data)
    if path.name.lower().endswith((".json", ".json.gz")):
        raise RemanenceError(
            f"{path.name} is one JSON list, which is read whole: write it as JSON lines (.jsonl) to stream it."
        )
    records = FileRecords(path, columns, compared=False)
    _ = next(iter(records), None)
    return records
