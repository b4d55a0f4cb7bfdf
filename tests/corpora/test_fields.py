"""Tasks over the same records differ in which fields they repeat and in nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.corpora.fields import ANSWER, END, FILLER, SPECIAL, START, FieldRecords


def test_one_record_by_hand():
    task = FieldRecords(fields=2, symbols=4)
    record = np.array([[1, 2, 3, 0]])  # key 1 2, fields 3 and 0
    inputs = [START, 5, 6, 7, 4, ANSWER]
    assert task.rows(record, []).tolist() == [[*inputs, FILLER, FILLER, END]]
    assert task.rows(record, [0]).tolist() == [[*inputs, 7, FILLER, END]]
    assert task.rows(record, [0, 1]).tolist() == [[*inputs, 7, 4, END]]
    assert (task.vocab, task.prompt, task.length) == (8, 6, 9)


def test_places_are_where_they_say():
    task = FieldRecords()
    records = task.draw(5, np.random.default_rng(0))
    rows = task.rows(records, task.needed(8))
    assert np.array_equal(rows[:, task.inputs_at] - SPECIAL, records[:, 2:])
    assert np.array_equal(rows[:, task.answers_at], rows[:, task.inputs_at])
    assert rows.shape == (5, task.length) and rows.max() < task.vocab


def test_tasks_are_nested_and_leave_the_odd_fields_to_the_last():
    task = FieldRecords()
    needed = [task.needed(s) for s in (0, 1, 2, 4, 8)]
    assert needed == [[], [0], [0, 4], [0, 2, 4, 6], [0, 1, 2, 3, 4, 5, 6, 7]]
    with pytest.raises(RemanenceError, match="8 fields"):
        task.needed(9)


def test_private_keys_are_unique_and_never_public():
    task, rng = FieldRecords(fields=1, symbols=8), np.random.default_rng(0)
    private, public = task.draw(32, rng), task.draw(500, rng, "public")
    keys = {tuple(row[:2]) for row in private.tolist()}
    assert len(keys) == 32
    assert not keys & {tuple(row[:2]) for row in public.tolist()}
    assert {tuple(row[:2]) for row in public.tolist()} | keys == {(a, b) for a in range(8) for b in range(8)}
    with pytest.raises(RemanenceError, match="32 private keys"):
        task.draw(33, rng)


def test_values_are_uniform_and_the_seed_decides():
    task = FieldRecords()
    values = task.draw(2000, np.random.default_rng(1))[:, 2:]
    counts = np.bincount(values.ravel(), minlength=64)
    expected = values.size / 64
    assert abs(((counts - expected) ** 2 / expected).sum() - 63) < 4 * np.sqrt(2 * 63)
    assert np.array_equal(values, task.draw(2000, np.random.default_rng(1))[:, 2:])


def test_fresh_rows_are_new_at_every_step():
    task = FieldRecords()
    first, second = task.fresh(np.random.default_rng(0), 4, 2, [0])
    assert first.shape == (4, task.length) and not np.array_equal(first, second)
    assert task.rows(task.draw(0, np.random.default_rng(0)), [0]).shape == (0, task.length)
