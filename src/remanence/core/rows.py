"""The rows of a data file with their position, so that error messages can name it.

JSON lines, a JSON list, CSV, TSV (each also gzipped) and Parquet. Nothing is guessed: a broken line is an error.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import pyarrow as pa
import pyarrow.parquet as pq

from remanence.core.errors import RemanenceError

Row: TypeAlias = Mapping[str, Any]
Placed: TypeAlias = Iterator[tuple[str, Row]]
"""Rows with their position, `Line 7` (from 1) or, for formats without lines, `Row 6` (from 0)."""

KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


def placed_rows(path: Path) -> Placed:
    """The rows of a file, one by one; only a .json list is read whole. Raises `RemanenceError` with the line."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in KINDS or path.name.lower().endswith(".parquet.gz"):
        raise RemanenceError(f"Cannot read {path.name}: use one of {', '.join(KINDS)} (all but .parquet also as .gz).")
    if suffix == ".parquet":
        return _parquet(path)
    if suffix in {".csv", ".tsv"}:
        return _table(path, "\t" if suffix == ".tsv" else ",")
    return _json_lines(path) if suffix == ".jsonl" else _json_list(path)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their number from 1, split at `\\n` only, so that an invalid byte is reported with its line."""
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as handle:
            for number, raw in enumerate(handle, 1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise RemanenceError(
                        f"Line {number} of {path.name} is not UTF-8 (byte 0x{raw[error.start]:02x}): convert the file, "
                        "for example with `iconv -f latin1 -t utf-8`."
                    ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise RemanenceError(f"{path.name} is not a whole gzip file ({error}): compress it again.") from None
    except OSError as error:
        raise RemanenceError(f"Cannot read {path}: {error.strerror or error}.") from None


def _json_lines(path: Path) -> Placed:
    for number, line in _lines(path):
        if line.strip():
            yield f"Line {number}", _json(line.rstrip(), path.name, number)


def _json_list(path: Path) -> Placed:
    start = next((line for _, line in _lines(path) if line.strip()), "")
    if re.fullmatch(r"\{.*\}", start.strip()):  # JSON lines under another name; data sets often come so
        yield from _json_lines(path)
        return
    rows = _json("".join(line for _, line in _lines(path)), path.name, 1) if start else []
    if not isinstance(rows, list):
        raise RemanenceError(f"{path.name} holds {kind(rows)}, not a list of rows: write [{{...}}, {{...}}].")
    for index, row in enumerate(cast("list[Any]", rows)):
        yield f"Row {index}", row


def _json(text: str, source: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise RemanenceError(
            f"Line {at} of {source} is not valid JSON ({error.msg} at column {error.colno}): mend or delete that line."
        ) from None
    except RecursionError:
        raise RemanenceError(f"Line {line} of {source} is nested too deeply: mend or delete that line.") from None


def _table(path: Path, delimiter: str) -> Placed:
    csv.field_size_limit(2**31 - 1)  # the default refuses fields above 128 KiB, and documents are longer
    reader = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        place = f"Line {reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise RemanenceError(f"{place} of {path.name} is not valid CSV ({error}): check its quotes.") from None
        if header is None:
            header = fields
        elif fields:
            if len(fields) != len(header):
                raise RemanenceError(
                    f"{place} of {path.name} has {len(fields)} fields, but the header names {len(header)} "
                    f"({', '.join(header)}): put fields that hold the delimiter in quotes."
                )
            yield place, dict(zip(header, fields, strict=True))


def _parquet(path: Path) -> Placed:
    index = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    yield f"Row {index}", row
                    index += 1
    except pa.ArrowException as error:
        raise RemanenceError(f"Cannot read {path.name} as Parquet: {str(error).splitlines()[0]}") from None


def names(row: Row) -> str:
    """The columns that a row has, for an error message."""
    return ", ".join(str(name) for name in row) or "none"


def kind(value: Any) -> str:
    """What a value is, in words, for an error message."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"a number ({value})"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "text" if isinstance(value, str) else f"of type {type(value).__name__}"
