"""A data file as pieces that make it up again byte for byte, so that rows can be put in and taken out between them.

JSON lines, CSV and TSV (each also gzipped) stream through; Parquet is read whole. Of a gzipped file the content comes
back byte for byte, of a Parquet file every row, column and type; their containers are written anew.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from remanence.core.errors import RemanenceError
from remanence.core.rows import Row, placed_rows

LINES = (".jsonl", ".csv", ".tsv")


class Piece(NamedTuple):
    """A stretch of a file."""

    raw: bytes
    row: Row | None
    """The row that stands there; None for a header or a blank line."""


class Dialect(NamedTuple):
    """How a row is written so that it looks like the others."""

    kind: str
    header: tuple[str, ...]
    """Columns of a table in order; empty for JSON lines."""
    end: str

    def written(self, row: Row) -> bytes:
        """The row as a stretch of the file. Chats and objects stand in a table as JSON."""
        if not self.header:
            return (json.dumps(dict(row), ensure_ascii=False) + self.end).encode()
        out = io.StringIO()
        cells = [_cell(row.get(name)) for name in self.header]
        csv.writer(out, delimiter="\t" if self.kind == ".tsv" else ",", lineterminator=self.end).writerow(cells)
        return out.getvalue().encode()


def kind_of(path: Path) -> str:
    """`.jsonl`, `.csv`, `.tsv` or `.parquet`; raises `RemanenceError` for another."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix == ".parquet" and not path.name.lower().endswith(".gz"):
        return suffix
    if suffix not in LINES:
        raise RemanenceError(
            f"Canaries are planted in {', '.join(LINES)} (also as .gz) and .parquet, not in {path.name}: convert it."
        )
    return suffix


def pieces(path: Path) -> Iterator[Piece]:
    """The pieces of a file of lines; joined they are its content. Raises `RemanenceError` for a line that is broken."""
    kind = kind_of(path)
    rows = (row for _, row in placed_rows(path))
    with _reading(path) as handle:
        for number, raw in enumerate(_raw_rows(handle, "\t" if kind == ".tsv" else "," if kind == ".csv" else None)):
            blank = not raw.strip() or (kind != ".jsonl" and number == 0)
            yield Piece(raw, None if blank else next(rows, None))


def dialect_of(path: Path) -> Dialect:
    """How the file writes its rows."""
    kind = kind_of(path)
    with _reading(path) as handle:
        first = next(_raw_rows(handle, "\t" if kind == ".tsv" else "," if kind == ".csv" else None), b"")
    end = "\r\n" if first.endswith(b"\r\n") else "\n"
    if kind == ".jsonl":
        return Dialect(kind, (), end)
    cells = next(csv.reader([first.decode("utf-8-sig")], delimiter="\t" if kind == ".tsv" else ","), [])
    return Dialect(kind, tuple(cells), end)


@contextmanager
def writing(path: Path) -> Generator[tuple[IO[bytes], Any]]:
    """A new file and the hash of what is written into it. Raises `RemanenceError` when the file is there already.

    The file is written beside its place and renamed, so it is whole or absent. `.gz` has no time stamp.
    """
    if path.exists():
        raise RemanenceError(f"{path} exists and is not overwritten: name another --out.")
    part = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            if path.name.lower().endswith(".gz"):
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                    yield cast("IO[bytes]", packed), digest
            else:
                yield file, digest
        part.replace(path)
    except OSError as error:
        raise RemanenceError(f"Cannot write {path}: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)


def content_hash(path: Path) -> str:
    """SHA-256 of a file's content: unpacked for `.gz`, the rows and their types for Parquet."""
    if kind_of(path) == ".parquet":
        return table_hash(read_table(path))
    digest = hashlib.sha256()
    with _reading(path) as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_table(path: Path) -> pa.Table:
    """A Parquet file, whole. Raises `RemanenceError`."""
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise RemanenceError(f"Cannot read {path.name} as Parquet: {str(error).splitlines()[0]}") from None


def table_hash(table: pa.Table) -> str:
    """SHA-256 of a table's schema and rows, however it is cut into chunks."""
    sink = io.BytesIO()
    whole = table.combine_chunks()
    whole = whole.take(pa.array(range(whole.num_rows), pa.int64())) if whole.num_rows else whole
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        for batch in whole.combine_chunks().to_batches():
            writer.write_batch(batch)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def table_with(table: pa.Table, rows: Sequence[Mapping[str, Any]], order: Sequence[int]) -> pa.Table:
    """The table with further rows behind it, taken in this order. Raises `RemanenceError` where a row does not fit."""
    try:
        more = pa.Table.from_pylist([{n: row.get(n) for n in table.column_names} for row in rows], table.schema)
    except (pa.ArrowException, TypeError) as error:
        raise RemanenceError(f"A canary does not fit the columns of the data: {str(error).splitlines()[0]}") from None
    return pa.concat_tables([table, more]).take(pa.array(order, pa.int64()))


def _raw_rows(handle: IO[bytes], delimiter: str | None) -> Iterator[bytes]:
    """Lines; of a table, lines that belong to one row together."""
    if delimiter is None:
        yield from handle
        return
    taken: list[bytes] = []

    def lines() -> Iterator[str]:
        for raw in handle:
            taken.append(raw)
            yield raw.decode("utf-8-sig", "replace")

    csv.field_size_limit(2**31 - 1)
    for _ in csv.reader(lines(), delimiter=delimiter):
        yield b"".join(taken)
        taken.clear()


def _reading(path: Path) -> IO[bytes]:
    try:
        if path.name.lower().endswith(".gz"):
            return cast("IO[bytes]", gzip.GzipFile(path, "rb"))
        return path.open("rb")
    except OSError as error:
        raise RemanenceError(f"Cannot read {path}: {error.strerror or error}.") from None


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else "" if value is None else value
