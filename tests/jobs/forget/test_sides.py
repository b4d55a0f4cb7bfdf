"""Rows are told apart by hand: copies and near copies go with their row, and nobody stands on two sides."""

from __future__ import annotations

import pytest

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.jobs.forget.rows import named_rows, partition_rows
from remanence.jobs.forget.settings import ForgetSettings

WORDS = " ".join(f"word{i}" for i in range(80)) + " dog"
FRUIT = ("apple", "pear", "plum", "fig")


def row(i: int, text: str | None = None) -> Record:
    return Record(f"r{i}", text=text or f"row number {i} speaks of {FRUIT[i % 4]} {i * 7919}")


def test_a_copy_and_a_near_copy_are_forgotten_with_their_row() -> None:
    train = [row(0, WORDS), *(row(i) for i in range(1, 30)), row(30, WORDS), row(31, WORDS.replace("dog", "cat"))]
    heldout = [Record(f"h{i}", text=f"unseen text {i} {i * 104729}") for i in range(10)]
    sides = partition_rows(train, {"r0": "named"}, None, heldout, ForgetSettings())
    assert [r.id for r in sides.forget] == ["r0", "r31"]
    assert sides.copies == {"r0": 2, "r31": 1}
    assert sides.why == {"r0": "named", "r31": "near duplicate of row r0"}
    assert {r.id for r in sides.retain} == {f"r{i}" for i in range(1, 30)}
    assert {r.id for r in sides.rest} == {f"r{i}" for i in range(1, 30)}
    assert (len(sides.guide), len(sides.judge), sides.heldout_is) == (5, 5, "heldout")
    assert not {r.id for r in sides.guide} & {r.id for r in sides.judge}
    assert all(r.group == "forget" for r in sides.forget) and all(r.group == "retain" for r in sides.retain)
    kept = partition_rows(train, {"r0": "named"}, None, heldout, ForgetSettings(near_duplicates="keep"))
    assert [r.id for r in kept.forget] == ["r0"] and "r31" in {r.id for r in kept.retain}


def test_without_heldout_rows_a_tenth_of_the_kept_ones_judges_and_is_not_trained_on() -> None:
    sides = partition_rows([row(i) for i in range(41)], {"r0": "named"}, None, None, ForgetSettings())
    assert sides.heldout_is == "retain" and len(sides.guide) + len(sides.judge) == 4
    aside = {r.id for r in (*sides.guide, *sides.judge)}
    assert not aside & {r.id for r in sides.retain} and len(sides.retain) == 36
    assert any("no floor" in note for note in sides.notes)


def test_heldout_rows_that_were_trained_on_and_retain_rows_to_forget_are_left_out() -> None:
    train = [row(i) for i in range(30)]
    heldout = [train[5], *(Record(f"h{i}", text=f"unseen text {i} {i * 104729}") for i in range(10))]
    keep = [train[0], *train[10:20]]
    sides = partition_rows(train, {"r0": "named"}, keep, heldout, ForgetSettings())
    assert {r.id for r in sides.retain} == {f"r{i}" for i in range(10, 20)}
    assert len(sides.guide) + len(sides.judge) == 10 and len(sides.notes) == 2


def test_bad_requests_get_a_sentence() -> None:
    train = [row(i) for i in range(5)]
    with pytest.raises(RemanenceError, match="'r9' is to be forgotten, but the training data have no such id"):
        partition_rows(train, {"r9": "named"}, None, None, ForgetSettings())
    with pytest.raises(RemanenceError, match="Every training row is to be forgotten"):
        partition_rows(train[:1], {"r0": "named"}, None, None, ForgetSettings())
    with pytest.raises(RemanenceError, match="too few to measure the cost on"):
        partition_rows(train[:3], {"r0": "named"}, None, None, ForgetSettings())
    with pytest.raises(RemanenceError, match="it is not in the training data"):
        named_rows([{"text": "never seen"}], train, {})
    assert named_rows([{"text": train[3].text}], train, {}) == {"r3": "named"}
    assert named_rows(["r1", "r2"], train, {}) == {"r1": "named", "r2": "named"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_loss_increase": 0.0}, "max_loss_increase= must be above 0"),
        ({"goal": 1.5}, "goal= must be above 0 and at most 1"),
        ({"steps": 0}, "steps= must be at least 1"),
        ({"near_duplicates": "drop"}, "near_duplicates= is one of forget, keep"),
        ({"methods": ()}, "methods= needs at least one value, for example auto"),
        ({"learning_rates": (0.0,)}, "learning_rates= must be above 0"),
    ],
)
def test_settings_out_of_range_get_a_sentence(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(RemanenceError, match=said):
        ForgetSettings(**wrong)  # pyright: ignore[reportArgumentType]
