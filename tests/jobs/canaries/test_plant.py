"""Planting puts rows in and leaves the others alone; removing gives the very file back."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up
import pyarrow.parquet as pq
import pytest

from remanence.core.errors import RemanenceError
from remanence.core.read import read_records
from remanence.jobs.canaries.files import content_hash, pieces
from remanence.jobs.canaries.key import Key
from remanence.jobs.canaries.plant import assign_copies, plant, remove


def planted(data: Path, key: Key, counts: tuple[int, ...] = (1, 4), seed: int = 0) -> tuple[Path, Path]:
    out = data.with_name(f"planted-{data.name}")
    key_out = data.with_name(f"{data.name}.key.json")
    plant(data, key, counts, out, key_out, seed)
    return out, key_out


def test_six_canaries_by_hand(tmp_path: Path) -> None:
    # Three are planted once and three four times: 3 * 1 + 3 * 4 = 15 rows among 23.
    data = made_up.write(tmp_path / "rows.jsonl")
    out, key_out = planted(data, made_up.key())
    lines = out.read_text().splitlines()
    assert len(lines) == 23 + 15
    assert [line for line in lines if json.loads(line)["id"].startswith("row-")] == data.read_text().splitlines()
    key = Key.read(key_out)
    assert sorted(one.copies for one in key.of("canary")) == [1, 1, 1, 4, 4, 4]
    found = Counter(json.loads(line)["completion"] for line in lines)
    assert all(found[one.row["completion"]] == one.copies for one in key.canaries)
    assert {one.copies for one in key.of("twin")} == {0}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.tsv", "rows.jsonl.gz", "rows.csv.gz"])
def test_removing_gives_the_file_back_byte_for_byte(tmp_path: Path, name: str, end: str) -> None:
    data = made_up.write(tmp_path / name, end=end)
    out, key_out = planted(data, made_up.key())
    done = remove(out, Key.read(key_out), tmp_path / f"back-{name}")
    assert done.exact and done.removed == done.expected == 15
    read = gzip.decompress if name.endswith(".gz") else bytes
    assert read((tmp_path / f"back-{name}").read_bytes()) == read(data.read_bytes())
    assert len(read_records(out)) == 38  # and what was planted is a data file like the other


def test_a_file_that_ends_without_a_new_line_and_has_blank_lines_comes_back_too(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join([*map(json.dumps, made_up.ROWS[:3]), "", *map(json.dumps, made_up.ROWS[3:6])]))
    assert b"".join(piece.raw for piece in pieces(data)) == data.read_bytes()
    out, key_out = planted(data, made_up.key())
    assert remove(out, Key.read(key_out), tmp_path / "back.jsonl").exact
    assert (tmp_path / "back.jsonl").read_bytes() == data.read_bytes()


def test_parquet_keeps_rows_columns_and_types(tmp_path: Path) -> None:
    rows = [{**row, "number": i} for i, row in enumerate(made_up.ROWS)]
    data = made_up.write(tmp_path / "rows.parquet", rows)
    out, key_out = planted(data, made_up.key())
    assert pq.read_table(out).num_rows == 38 and pq.read_schema(out) == pq.read_schema(data)
    assert remove(out, Key.read(key_out), tmp_path / "back.parquet").exact
    assert pq.read_table(tmp_path / "back.parquet").equals(pq.read_table(data))
    assert content_hash(tmp_path / "back.parquet") == content_hash(data)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_chats_are_planted_and_removed(tmp_path: Path, name: str) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, you"}]
    chats: list[dict[str, Any]] = [{"messages": [*turns, {"role": "user", "content": str(i)}]} for i in range(9)]
    if name.endswith(".csv"):
        chats = [{"messages": json.dumps(chat["messages"])} for chat in chats]
    data = made_up.write(tmp_path / name, chats)
    out, key_out = planted(data, made_up.key(form="messages"))
    records = read_records(out)
    assert len(records) == 24 and all(r.form == "messages" for r in records)
    assert remove(out, Key.read(key_out), tmp_path / f"back-{name}").exact


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        data = made_up.write(tmp_path / f"{name}.jsonl")
        texts.append(planted(data, made_up.key(), seed=seed)[0].read_bytes())
    assert texts[0] == texts[1] != texts[2]


def test_counts_are_dealt_by_lot_and_evenly_within_bands() -> None:
    key = made_up.key(num=24, bands=("low", "typical", "high"))
    lots = [assign_copies(key, (1, 4, 16), seed) for seed in range(40)]
    for lot in lots:
        assert Counter(lot.values()) == {1: 8, 4: 8, 16: 8}
        for band in ("low", "typical", "high"):
            counts = Counter(lot[one.id] for one in key.of("canary") if one.band == band)
            assert max(counts.values()) - min(counts.values()) <= 1
    assert len({lot["canary-0000"] for lot in lots}) == 3


def test_shuffled_data_loses_its_canaries_and_says_that_it_is_not_the_file_from_before(tmp_path: Path) -> None:
    data = made_up.write(tmp_path / "rows.jsonl")
    out, key_out = planted(data, made_up.key())
    lines = out.read_text().splitlines(keepends=True)
    (tmp_path / "shuffled.jsonl").write_text("".join(lines[::-1]))
    done = remove(tmp_path / "shuffled.jsonl", Key.read(key_out), tmp_path / "back.jsonl")
    assert done.removed == 15 and not done.exact and "changed in between" in done.text()
    assert (tmp_path / "back.jsonl").read_text().splitlines() == data.read_text().splitlines()[::-1]


def test_ids_are_like_those_of_the_data(tmp_path: Path) -> None:
    rows = [{"id": i, "prompt": "p", "completion": f"c{i}", "task": "x"} for i in range(10)]
    out, _ = planted(made_up.write(tmp_path / "rows.jsonl", rows), made_up.key())
    ids = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert sorted(ids) == list(range(25))
    bare = [{k: v for k, v in row.items() if k != "id"} for row in rows]
    out, _ = planted(made_up.write(tmp_path / "bare.jsonl", bare), made_up.key())
    assert all("id" not in json.loads(line) for line in out.read_text().splitlines())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    data = made_up.write(tmp_path / "rows.jsonl")
    out, key_out = planted(data, made_up.key())
    before = out.read_bytes()
    for path in (out, data):
        with pytest.raises(RemanenceError, match="not overwritten"):
            plant(data, made_up.key(), (1,), path, tmp_path / "other.json", 0)
    with pytest.raises(RemanenceError, match="not overwritten"):
        remove(out, Key.read(key_out), data)
    assert out.read_bytes() == before and not (tmp_path / "other.json").exists()
    assert not list(tmp_path.glob("*.part"))


def test_misuse_is_told_in_a_sentence(tmp_path: Path) -> None:
    data, key = made_up.write(tmp_path / "rows.jsonl"), made_up.key()
    out, key_out = planted(data, key)
    asked: list[tuple[str, Any]] = [
        ("planted already", lambda: planted(made_up.write(tmp_path / "again.jsonl"), Key.read(key_out))),
        ("stands in planted-rows.jsonl already", lambda: planted(out, key)),
        ("counts of at least 1", lambda: planted(made_up.write(tmp_path / "zero.jsonl"), key, (0, 4))),
        ("another kind of file", lambda: plant(data, key, (1,), tmp_path / "x.csv", tmp_path / "k.json", 0)),
        ("never planted", lambda: remove(out, key, tmp_path / "x.jsonl")),
        ("No canary of this key stands in rows.jsonl", lambda: remove(data, Key.read(key_out), tmp_path / "x.jsonl")),
        (r"have no text", lambda: planted(made_up.write(tmp_path / "t.jsonl"), made_up.key(form="text"))),
        ("not in rows.json", lambda: planted(tmp_path / "rows.json", key)),
        ("There is no file", lambda: planted(tmp_path / "none.jsonl", key)),
        ("is not a key", lambda: Key.read(data)),
    ]
    for message, misuse in asked:
        with pytest.raises(RemanenceError, match=message):
            misuse()


def test_a_key_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    key = replace(made_up.key(), columns={"prompt": "frage"})
    (tmp_path / "key.json").write_text(key.text())
    assert Key.read(tmp_path / "key.json").text() == key.text()
