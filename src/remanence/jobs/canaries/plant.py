"""Inserts canaries into a data file, and removes them again.

Number of copies (within each band) and places are drawn at random; the rows of the data keep their bytes and their
order, so that removing the canaries restores the original file.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from remanence.core.errors import RemanenceError
from remanence.core.read import Columns
from remanence.core.rows import Row
from remanence.jobs.canaries.files import (
    content_hash,
    dialect_of,
    kind_of,
    pieces,
    read_table,
    table_hash,
    table_with,
    writing,
)
from remanence.jobs.canaries.key import Key, write_new


@dataclass(frozen=True)
class Planted:
    """Data with canaries in it."""

    data: Path
    key: Path
    rows: int
    """Rows of the data before."""
    inserted: int

    def text(self) -> str:
        """One or two sentences."""
        share = self.inserted / (self.rows + self.inserted)
        return (
            f"Planted {self.inserted:,} rows among {self.rows:,} ({100 * share:.1f} % of {self.data.name}). "
            f"Train on {self.data.name}; keep {self.key.name} apart from it."
        )


@dataclass(frozen=True)
class Removed:
    """Data without its canaries."""

    data: Path
    removed: int
    expected: int
    exact: bool
    """Whether it equals the data before planting, byte for byte (for Parquet: rows and types)."""

    def text(self) -> str:
        """One sentence."""
        text = f"Removed {self.removed:,} of {self.expected:,} planted rows; {self.data.name} "
        return text + (
            "is the data as it was before planting."
            if self.exact
            else "is not the data as it was before planting: it was changed in between."
        )


def assign_copies(key: Key, counts: Sequence[int], seed: int) -> dict[str, int]:
    """Canary id -> number of copies, drawn at random within each band, each count for equally many canaries."""
    rng = np.random.default_rng((seed, 1))
    bands = list(dict.fromkeys(one.band for one in key.of("canary")))
    order: list[str] = []
    for band in bands:
        ids = [one.id for one in key.of("canary") if one.band == band]
        order += [ids[int(i)] for i in rng.permutation(len(ids))]
    return {name: counts[i % len(counts)] for i, name in enumerate(order)}


def plant(data: Path, key: Key, counts: Sequence[int], out: Path, key_out: Path, seed: int) -> Planted:
    """Write the data with canaries, and the key. Raises `RemanenceError`; nothing is overwritten."""
    if key.planted is not None:
        raise RemanenceError("The canaries of this key are planted already: plant those that `canaries make` wrote.")
    if not counts or min(counts) < 1:
        raise RemanenceError("--copies are counts of at least 1, for example 1,4,16; the controls are never planted.")
    if kind_of(data) != kind_of(out) or _packed(data) != _packed(out):
        raise RemanenceError(f"{out.name} is another kind of file than {data.name}: give it the same ending.")
    for path in (out, key_out):
        if path.exists():
            raise RemanenceError(f"{path} exists and is not overwritten: name another --out.")
    counts = sorted(set(counts))
    copies = assign_copies(key, counts, seed)
    facts = _facts(data, key)
    rows = list(_copies(key, copies, facts))
    rng = np.random.default_rng((seed, 2))
    rows = [rows[int(i)] for i in rng.permutation(len(rows))]
    low = min(1, facts.num - 1)  # between rows: the file begins and ends as it did
    places = np.sort(rng.integers(low, max(low + 1, facts.num), size=len(rows)))
    after = _write_table(data, rows, places, out) if facts.table else _write_lines(data, rows, places, out)
    planted = {
        "copies": counts,
        "seed": seed,
        "data": {"name": data.name, "rows": facts.num, "content": facts.content},
        "written": {"name": out.name, "rows": facts.num + len(rows), "content": after},
        "places": [int(p) for p in places],
    }
    write_new(key_out, key.with_copies(copies, planted).text())
    return Planted(out, key_out, facts.num, len(rows))


def remove(data: Path, key: Key, out: Path) -> Removed:
    """Write the data without the canaries of the key. Raises `RemanenceError` when there are none in it."""
    if key.planted is None:
        raise RemanenceError("The canaries of this key were never planted: give the key that `canaries plant` wrote.")
    if kind_of(data) != kind_of(out) or _packed(data) != _packed(out):
        raise RemanenceError(f"{out.name} is another kind of file than {data.name}: give it the same ending.")
    ours, taken = _texts_of(key), form_columns(key)
    found = 0
    if kind_of(data) == ".parquet":
        table = read_table(data)
        keep = [
            _text_of(row, taken) not in ours
            for row in table.select([c for c in taken if c in table.column_names]).to_pylist()
        ]
        found = len(keep) - sum(keep)
        left = table.filter(keep)
        if found:
            with writing(out) as (file, _):
                pq.write_table(left, file)
        after = table_hash(left)
    else:
        if not any(piece.row is not None and _text_of(piece.row, taken) in ours for piece in pieces(data)):
            raise RemanenceError(f"No canary of this key stands in {data.name}: check which file was planted.")
        with writing(out) as (file, digest):
            for piece in pieces(data):
                if piece.row is not None and _text_of(piece.row, taken) in ours:
                    found += 1
                    continue
                _ = file.write(piece.raw)
                digest.update(piece.raw)
        after = digest.hexdigest()
    if not found:
        raise RemanenceError(f"No canary of this key stands in {data.name}: check which file was planted.")
    expected = sum(one.copies for one in key.canaries)
    return Removed(out, found, expected, after == key.planted["data"]["content"])


def form_columns(key: Key) -> tuple[str, ...]:
    """The columns that contain the text of a row."""
    named = {name: column for name, column in key.columns.items() if name != "id"}
    return Columns(**named).of(key.form)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class _Facts:
    num: int
    ids: type | None
    """Type of the ids; None = the rows have none."""
    most: int
    content: str
    table: bool


def _facts(data: Path, key: Key) -> _Facts:
    """Facts about the data, before anything is written. Raises `RemanenceError` where a canary is in it."""
    if not data.is_file():
        raise RemanenceError(f"There is no file {data}: check the path to the data.")
    table = kind_of(data) == ".parquet"
    rows: Iterator[Row | None] = iter(read_table(data).to_pylist()) if table else (p.row for p in pieces(data))
    name, taken, ours = key.columns.get("id", "id"), form_columns(key), _texts_of(key)
    num, most, kinds = 0, -1, Counter[type]()
    for row in rows:
        if row is None:
            continue
        num += 1
        if any(column not in row for column in taken):
            raise RemanenceError(f"The rows of {data.name} have no {' + '.join(taken)}: plant where the shape is from.")
        if _text_of(row, taken) in ours:
            raise RemanenceError(f"A canary stands in {data.name} already: plant into the data as it was.")
        given = row.get(name)
        if given is not None:
            kinds[type(given)] += 1
            most = max(most, given if isinstance(given, int) else most)
    if not num:
        raise RemanenceError(f"There are no rows in {data.name}: check that the file was written whole.")
    ids = None if not kinds else int if set(kinds) == {int} else str
    return _Facts(num, ids, most, content_hash(data), table)


def _copies(key: Key, copies: Mapping[str, int], facts: _Facts) -> Iterator[dict[str, Any]]:
    """Every copy as a row of its own, with an id like those of the data."""
    name = key.columns.get("id", "id")
    number = facts.most
    for one in key.of("canary"):
        for copy in range(copies[one.id]):
            number += 1
            given: Any = number if facts.ids is int else f"{one.id}-{copy + 1}"
            yield ({} if facts.ids is None else {name: given}) | dict(one.row)


def _write_lines(data: Path, rows: Sequence[Row], places: Any, out: Path) -> str:
    dialect = dialect_of(data)
    with writing(out) as (file, digest):
        at, number = 0, 0
        for piece in pieces(data):
            while piece.row is not None and at < len(rows) and places[at] <= number:
                raw = dialect.written(rows[at])
                _ = file.write(raw)
                digest.update(raw)
                at += 1
            number += piece.row is not None
            _ = file.write(piece.raw)
            digest.update(piece.raw)
        assert at == len(rows), "every canary has a place before some row"
    return digest.hexdigest()


def _write_table(data: Path, rows: Sequence[Mapping[str, Any]], places: Any, out: Path) -> str:
    table = read_table(data)
    where = np.concatenate([np.arange(table.num_rows), np.asarray(places) - 0.5])
    whole = table_with(table, rows, np.argsort(where, kind="stable").tolist())
    with writing(out) as (file, _):
        pq.write_table(whole, file)
    return table_hash(whole)


def _texts_of(key: Key) -> set[str]:
    taken = form_columns(key)
    return {_text_of(one.row, taken) for one in key.canaries}


def _text_of(row: Row, taken: Sequence[str]) -> str:
    """The text of a row as one string; a chat stored as JSON text equals one that is not."""
    values: list[Any] = []
    for column in taken:
        value = row.get(column)
        if isinstance(value, str) and column == taken[0] and value.lstrip().startswith("[{"):
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        if isinstance(value, list):
            value = [
                {k: v for k, v in turn.items() if v is not None} if isinstance(turn, dict) else turn for turn in value
            ]
        values.append(value)
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


def _packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")
