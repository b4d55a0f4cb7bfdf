"""Equal rows and equal ids are found from 8 bytes per row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.core.read import Columns, FileRecords, read_records
from remanence.core.record import Record
from remanence.jobs.audit import row_hashes as hashes
from remanence.jobs.audit.row_hashes import among, hash_of, refuse_equal_ids, twins
from remanence.jobs.audit.rows import audited
from remanence.jobs.audit.survey import survey

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"]


def test_twins_by_hand() -> None:
    """Of 7, 9, 7, 3, 9, 7 the first 7 stands at 0 (three of them), the first 9 at 1 (two), 3 alone."""
    first, count = twins(np.array([7, 9, 7, 3, 9, 7], np.uint64))
    assert first.tolist() == [0, 1, 0, 3, 1, 0] and count.tolist() == [3, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("part", [1, 7, 100, 10_000])
def test_the_size_of_a_part_changes_nothing(part: int) -> None:
    rng = np.random.default_rng(part)
    values = rng.choice(rng.integers(0, 2**64, 150, np.uint64), 400)
    first, count = twins(values, part)
    slow = [values.tolist().index(value) for value in values.tolist()]
    assert first.tolist() == slow and count.tolist() == [values.tolist().count(value) for value in values.tolist()]
    asked = np.concatenate([values[:5], rng.integers(0, 2**64, 5, np.uint64)])
    assert among(asked, values, part).tolist() == [value in values.tolist() for value in asked.tolist()]


def rows(num: int, seed: int, prefix: str) -> list[Record]:
    rng = np.random.default_rng(seed)
    made = [Record(f"{prefix}{i}", text=" ".join(rng.choice(WORDS, rng.integers(0, 9)))) for i in range(num)]
    return [*made, replace(made[3], id=f"{prefix}again"), Record(f"{prefix}wide", text=f"  {made[4].text}  ".upper())]


@pytest.mark.parametrize("together", [0, 1000])
def test_a_survey_tells_rows_apart_as_the_ordinary_audit_does(together: int) -> None:
    train, heldout = rows(60, 0, "t"), [*rows(30, 1, "h"), replace(rows(60, 0, "t")[7], id="leak")]
    known, slow = survey(train, heldout, (), together), audited(train, heldout)
    distinct = np.array(slow.train.places)
    assert known.num_distinct == distinct.size and (known.first_N[distinct] == distinct).all()
    assert known.copies_N[distinct].tolist() == slow.copies.tolist()
    assert known.heldout is not None and slow.heldout is not None
    assert list(known.heldout.places) == list(slow.heldout.places)
    if together:
        assert known.near_N is not None and known.near_N[distinct].tolist() == slow.near.tolist()
        assert known.keep_H.tolist() == slow.keep_H.tolist()
    else:
        assert known.near_N is None and not known.keep_H[-1]  # word for word is found all the same


def file(folder: Path, ids: list[str]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(f'{{"id": "{one}", "text": "row {i}"}}\n' for i, one in enumerate(ids)))
    return path


def test_equal_ids_are_refused_in_the_words_of_the_ordinary_reader(tmp_path: Path) -> None:
    path = file(tmp_path, ["a", "b", "c", "b", "d"])
    with pytest.raises(RemanenceError) as ordinary:
        _ = read_records(path)
    with pytest.raises(RemanenceError) as streamed:
        _ = survey(FileRecords(path, Columns(), compared=False), None, (), 0)
    assert str(streamed.value) == str(ordinary.value)
    assert "Line 2 and line 4 have the same id 'b'" in str(streamed.value)


def test_ids_that_only_share_a_hash_are_not_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = FileRecords(file(tmp_path, ["a", "b", "c"]), Columns(), compared=False)
    monkeypatch.setattr(hashes, "hash_of", lambda text: 5)
    refuse_equal_ids(records, np.array([5, 5, 5], np.uint64))


def test_a_hash_is_that_of_the_text_and_not_of_the_process() -> None:
    """The first 8 bytes of BLAKE2b-64 of nothing, from `b2sum -l 64 /dev/null`."""
    assert hash_of("") == int.from_bytes(bytes.fromhex("e4a6a0577479b2b4"), "little")


@pytest.mark.parametrize(("rows", "told"), [("", "no rows"), ('{"text": "a", "kind": ["x"]}\n', "lists or objects")])
def test_bad_data_is_told(tmp_path: Path, rows: str, told: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(rows)
    with pytest.raises(RemanenceError, match=told):
        _ = survey(FileRecords(path, Columns(), compared=False), None, ("kind",), 0)


def test_a_column_that_tells_no_groups_apart_is_refused(tmp_path: Path) -> None:
    many = [Record(str(i), text="a", meta={"kind": i}) for i in range(30)]
    with pytest.raises(RemanenceError, match="more than 24 values"):
        _ = survey(many, None, ("kind",), 0)
    with pytest.raises(RemanenceError, match="no such column; they have kind"):
        _ = survey(many[:20], None, ("task",), 0)
