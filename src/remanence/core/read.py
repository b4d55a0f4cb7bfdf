"""Reading training rows: a file, a list or a dataset becomes records, and a bad line says where it is and why.

One file holds one form (text, prompt + completion, or messages); columns that belong to no form go to `Record.meta`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from remanence.core.errors import RemanenceError
from remanence.core.record import Form, Group, Record
from remanence.core.rows import Placed, Row, kind, names, placed_rows
from remanence.core.run import Fingerprint

_FORMS = cast("tuple[Form, ...]", get_args(Form))
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None = the usual name, and the form is then read off the first row."""

    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None
    id: str = "id"

    def of(self, form: Form) -> tuple[str, ...]:
        """The columns that make up a form."""
        if form == "pair":
            return (self.prompt or "prompt", self.completion or "completion")
        return (self.text or "text",) if form == "text" else (self.messages or "messages",)

    def form(self, row: Row, place: str) -> Form:
        """The one form that this row is in. Raises `RemanenceError` when there is none, or more than one."""
        asked = self._asked()
        if len(asked) > 1:
            raise RemanenceError(f"Columns of two forms were named ({' and '.join(asked)}): name those of one.")
        there: list[Form] = asked or [f for f in _FORMS if any(c in row for c in self.of(f))]
        filled: list[Form] = [f for f in there if any(row.get(c) is not None for c in self.of(f))]
        if len(filled) > 1:
            both = " and ".join(" + ".join(self.of(f)) for f in filled)
            raise RemanenceError(
                f"{place} has both {both}: say which was trained on, for example with text_column='text'."
            )
        if not there:
            raise RemanenceError(
                f"{place} has no column text, prompt + completion or messages; it has {names(row)}: "
                "name the right one, for example text_column='body'."
            )
        form = (filled or there)[0]
        for column in self.of(form):
            if column not in row:
                raise RemanenceError(f"{place} has no column {column!r}; it has {names(row)}.")
        return form

    def _asked(self) -> list[Form]:
        named = (self.text, self.prompt or self.completion, self.messages)
        return [form for form, column in zip(_FORMS, named, strict=True) if column is not None]


def read_records(
    path: Path | str,
    *,
    group: Group = "train",
    text_column: str | None = None,
    prompt_column: str | None = None,
    completion_column: str | None = None,
    messages_column: str | None = None,
    id_column: str = "id",
) -> list[Record]:
    """All records of a .jsonl, .json, .csv, .tsv (each also .gz) or .parquet file; see `iter_records`."""
    columns = Columns(text_column, prompt_column, completion_column, messages_column, id_column)
    return list(iter_records(path, columns, group=group))


def iter_records(path: Path | str, columns: Columns | None = None, *, group: Group = "train") -> Iterator[Record]:
    """The records of a file one by one; only a .json list is read whole.

    A row without id gets its position in the file, from 0. Raises `RemanenceError` that names the line.
    """
    return unique(placed_records(path, columns, group=group))


def placed_records(
    path: Path | str, columns: Columns | None = None, *, group: Group = "train"
) -> Iterator[tuple[str, Record]]:
    """(place, record) of every row of a file, whose ids nobody has compared: that needs memory for each of them."""
    path = Path(path)
    if path.is_dir():
        raise RemanenceError(f"{path} is a folder: name the data file in it.")
    if not path.is_file():
        raise RemanenceError(f"There is no file {path}: check the path to the data.")
    return _formed(placed_rows(path), path.name, columns or Columns(), group)


@dataclass(frozen=True)
class FileRecords:
    """The records of a file, read anew each time they are gone through: for files larger than memory."""

    path: Path
    columns: Columns = Columns()
    group: Group = "train"
    compared: bool = True
    """Whether equal ids are looked for, which keeps all of them in memory; else the caller has to."""

    def __iter__(self) -> Iterator[Record]:
        if self.compared:
            return iter_records(self.path, self.columns, group=self.group)
        return (record for _, record in self.placed())

    def placed(self) -> Iterator[tuple[str, Record]]:
        """The records with their places in words, ids not compared."""
        return placed_records(self.path, self.columns, group=self.group)


def records_from(
    data: Any,
    *,
    group: Group = "train",
    text_column: str | None = None,
    prompt_column: str | None = None,
    completion_column: str | None = None,
    messages_column: str | None = None,
    id_column: str = "id",
) -> list[Record]:
    """Records from a path, a list of dicts, a list of `Record`s (`group` is set), or a `datasets.Dataset`."""
    columns = Columns(text_column, prompt_column, completion_column, messages_column, id_column)
    if isinstance(data, str | Path):
        return list(iter_records(data, columns, group=group))
    if isinstance(data, Mapping):
        keys = ", ".join(map(str, cast("Mapping[Any, Any]", data)))
        raise RemanenceError(f"The data is a dictionary of {keys}: pass one split or one list of rows.")
    if not isinstance(data, Iterable):
        raise RemanenceError(f"Cannot read rows from {type(data).__name__}: pass a path, a list of dicts or a Dataset.")
    rows = list(cast("Iterable[Any]", data))
    if rows and all(isinstance(row, Record) for row in rows):
        records = [_clean(replace(row, group=group)) for row in rows]
        _ = list(unique((f"Row {i}", r) for i, r in enumerate(records)))
        return records
    return list(_records(((f"Row {i}", row) for i, row in enumerate(rows)), "the data", columns, group))


def data_fingerprint(records: Iterable[Record]) -> str:
    """Short hash of what the records say, ids included and `meta` and `group` left out; order matters."""
    whole = Fingerprint()
    for record in records:
        whole.add(record_bytes(record))
    return str(whole)


def record_bytes(record: Record) -> bytes:
    """What a record says, as `data_fingerprint` reads it."""
    chat = None if record.messages is None else [dict(turn) for turn in record.messages]
    content = [record.id, record.text, record.prompt, record.completion, chat]
    return json.dumps(content, sort_keys=True, default=str).encode()


def _records(rows: Placed, source: str, columns: Columns, group: Group) -> Iterator[Record]:
    yield from unique(_formed(rows, source, columns, group))


def unique(records: Iterable[tuple[str, Record]]) -> Iterator[Record]:
    """The records without their places. Raises `RemanenceError` when one has the id of an earlier one."""
    seen: dict[str, str] = {}
    for place, record in records:
        if record.id in seen:
            raise RemanenceError(
                f"{seen[record.id]} and {place[0].lower() + place[1:]} have the same id {record.id!r}: "
                "give every row its own, or drop the id column and rows are numbered."
            )
        seen[record.id] = place
        yield record


def _formed(rows: Placed, source: str, columns: Columns, group: Group) -> Iterator[tuple[str, Record]]:
    form: Form | None = None
    first = ""
    for index, (place, row) in enumerate(rows):
        if not isinstance(row, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RemanenceError(f"{place} of {source} is {kind(row)}, not an object with named columns.")
        found = columns.form(row, f"{place} of {source}")
        if form is None:
            form, first = found, place
        if found != form:
            raise RemanenceError(
                f"{first} of {source} has {' + '.join(columns.of(form))}, but {place[0].lower() + place[1:]} has "
                f"{' + '.join(columns.of(found))}: keep one form per file."
            )
        yield place, _record(row, form, columns, index, f"{place} of {source}", group)
    if form is None:
        raise RemanenceError(f"There are no rows in {source}: check that the file was written whole.")


def _record(row: Row, form: Form, columns: Columns, index: int, place: str, group: Group) -> Record:
    taken = columns.of(form)
    meta = {k: v for k, v in row.items() if k not in {*taken, columns.id}}
    given = row.get(columns.id)
    if columns.id != "id" and columns.id not in row:
        raise RemanenceError(f"{place} has no column {columns.id!r}; it has {names(row)}.")
    if isinstance(given, Mapping | list):
        raise RemanenceError(f"The id on {place[0].lower() + place[1:]} is {kind(given)}: use a string or a number.")
    record = Record(id=str(index) if given is None else str(given), group=group, meta=meta)
    if form == "messages":
        return _clean(replace(record, messages=_messages(row[taken[0]], taken[0], place)))
    words = [_words(row[column], column, place) for column in taken]
    if form == "text":
        return _clean(replace(record, text=words[0]))
    return _clean(replace(record, prompt=words[0], completion=words[1]))


def _words(value: Any, column: str, place: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    remedy = "use a messages column for chats" if isinstance(value, list) else "write it as text"
    raise RemanenceError(f"{place}: {column} is {kind(value)}, not text: {remedy}.")


def _messages(value: Any, column: str, place: str) -> tuple[Mapping[str, str], ...]:
    if isinstance(value, str):  # CSV has no lists, so a chat is written there as JSON
        try:
            value = json.loads(value) if value.strip() else []
        except ValueError:
            raise RemanenceError(f"{place}: {column} is text that is not JSON: write a list of turns.") from None
    if value is not None and not isinstance(value, list | tuple):
        raise RemanenceError(f"{place}: {column} is {kind(value)}, not a list of turns.")
    turns: list[Mapping[str, str]] = []
    for number, turn in enumerate(cast("list[Any]", value or [])):
        where = f"{place}: turn {number} of {column}"
        if not isinstance(turn, Mapping):
            raise RemanenceError(f"{where} is {kind(turn)}, not an object with role and content.")
        known = {_CHATML.get(str(k), str(k)): v for k, v in cast("Row", turn).items() if v is not None}
        for key in ("role", "content"):
            if key not in known:
                raise RemanenceError(f"{where} has no {key}; it has {names(known)}.")
            if not isinstance(known[key], str):
                raise RemanenceError(f"{where}: {key} is {kind(known[key])}, not text: only text chats are read.")
        turns.append(known)
    return tuple(turns)


_CHATML = {"from": "role", "value": "content"}
"""The older spelling of chats, which TRL renames too."""


def _clean(record: Record) -> Record:
    """Halves of a surrogate pair (`\\ud83d` alone) become U+FFFD, counted in `meta`: no tokenizer takes them."""
    broken = 0

    def clean(value: Any) -> Any:
        nonlocal broken
        if isinstance(value, str):
            value, count = _LONE_SURROGATE.subn("\ufffd", value)
            broken += count
        return value

    fields = {name: clean(getattr(record, name)) for name in ("id", "text", "prompt", "completion")}
    chat = record.messages and tuple({k: clean(v) for k, v in turn.items()} for turn in record.messages)
    if not broken:
        return record
    return replace(record, **fields, messages=chat, meta={**record.meta, "broken_characters": broken})
