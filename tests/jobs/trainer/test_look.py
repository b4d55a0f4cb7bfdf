"""A look's figures by hand, the best of a curve, and the sentences on cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered, TokenRow
from remanence.jobs.trainer.cost import afterwards, in_advance, planned_looks, share_by_tokens
from remanence.jobs.trainer.curve import best_of, read_curve, write_curve
from remanence.jobs.trainer.look import Facts, Look, facts_table, look_of, read_facts
from remanence.jobs.trainer.probe import drawn
from remanence.measure.extraction.discoverable import Discoverable


def facts(back: str, losses: list[float], tokens: int = 10) -> Facts:
    """`back`: 1, 0 or - a row; `losses` in nats per token."""
    return Facts(
        np.array([one != "-" for one in back]),
        np.array([one == "1" for one in back]),
        -np.array(losses) * tokens,
        np.full(len(back), float(tokens)),
    )


def test_a_look_by_hand() -> None:
    """3 of 4 against 1 of 4: an excess of a half; the loss tells 14 of 16 pairs apart; two rows beyond the start."""
    look = look_of(8, 1.0, 0.5, facts("1110", [0.1, 0.2, 0.3, 2.0]), facts("1000", [1.0, 1.5, 2.5, 3.0]), None, "0010")
    assert (look.hits, look.n, look.floor_hits, look.floor_n) == (3, 4, 1, 4)
    assert look.rate == 0.75 and look.excess == 0.5 and look.over_base == 0.5
    assert look.loss == pytest.approx(0.65) and look.heldout_loss == pytest.approx(2.0)
    assert look.auc == pytest.approx(14 / 16)
    assert look.rows == "1110" and look.logs()["audit_excess"] == 0.5
    assert look.value("rate_low") == look.low and look.value("over_base_low") == look.over_base_low


def test_rows_that_cannot_be_judged_leave_the_denominator_but_not_the_loss() -> None:
    look = look_of(0, 0.0, 0.1, facts("1-0", [1.0, 2.0, 3.0]), None, facts("11", [0.1, 0.1]), "--0")
    assert (look.hits, look.n, look.rows) == (1, 2, "1-0") and look.loss == pytest.approx(2.0)
    assert look.excess is None and look.auc is None and (look.canary_hits, look.canary_n) == (2, 2)
    assert look.over_base == 0.0, "one row was judged both times"
    assert "audit_auc" not in look.logs() and "2 of 2 canaries" in look.text()


class Known:
    """A target that says of each row what it was told."""

    def score_rendered(self, rows: list[Any], columns: Any) -> Any:
        for row in rows:
            if isinstance(row, str):
                yield row
                continue
            hit = row.ids % 2 == 0
            logprob, gap = (np.where(hit, *pair).astype(np.float32) for pair in ((-0.5, -2.0), (1.0, -1.0)))
            yield TokenRow(row, {"logprob": logprob, "rank": np.where(hit, 0, 3).astype(np.int32), "gap": gap})


def test_rows_shared_out_over_processes_add_up_to_the_whole() -> None:
    rows = [Rendered(np.array(ids, np.int32), np.ones(len(ids), np.bool_)) for ids in ([1, 2, 4], [1, 3, 4], [7])]
    given = [*rows, "too long"]
    measure, target = Discoverable((0,), 2), Known()
    whole = facts_table(target, given, measure)  # type: ignore[arg-type]
    parts = [facts_table(target, given, measure, n, 3) for n in range(3)]  # type: ignore[arg-type]
    assert np.array_equal(sum(parts), whole)
    found = read_facts(whole)
    assert found.verdicts == "10--" and found.tokens_N.tolist() == [2, 2, 0, 0]
    assert found.logprob_N.tolist() == [-1.0, -2.5, 0, 0]


def test_a_row_without_a_token_to_score_is_not_put_to_the_model() -> None:
    """A long prompt, cut before its completion: a batch of nothing else would have no position to read."""

    class Strict(Known):
        def score_rendered(self, rows: list[Any], columns: Any) -> Any:
            assert all(isinstance(row, str) or row.scored.any() for row in rows)
            return super().score_rendered(rows, columns)

    empty = Rendered(np.array([1, 2], np.int32), np.zeros(2, np.bool_))
    assert facts_table(Strict(), [empty], Discoverable((0,), 2)).tolist() == [[0.0] * 4]  # type: ignore[arg-type]


LOOK = look_of(0, 0.0, 1.0, facts("10", [1.0, 1.0]), facts("00", [2.0, 2.0]), None, "10")


def look(step: int, excess: float, loss: float) -> Look:
    return replace(LOOK, step=step, excess=excess, heldout_loss=loss)


def test_the_best_look_has_the_lowest_heldout_loss_within_the_limit() -> None:
    curve = [look(0, 0.0, 3.0), look(5, 0.01, 2.0), look(10, 0.2, 1.0)]
    assert best_of(curve, 0.05) is curve[1]
    assert best_of(curve, 0.5) is curve[2]
    assert best_of(curve, -1.0) is curve[0], "where none is within, the least excess"
    assert best_of([replace(curve[0], excess=None)], 0.5) is None


def test_a_curve_is_read_up_to_a_step(tmp_path: Path) -> None:
    curve = [look(0, 0.0, 3.0), look(5, 0.01, 2.0), look(10, 0.2, 1.0)]
    write_curve(tmp_path, curve, "abc")
    assert read_curve(tmp_path, 5, "abc") == curve[:2]
    assert read_curve(tmp_path / "none", 5, "abc") == []
    with pytest.raises(RemanenceError, match="measured on other rows"):
        read_curve(tmp_path, 5, "abd")


def test_looks_are_counted_before_they_are_taken() -> None:
    assert planned_looks("epoch", 3, 30) == 3 and planned_looks("epoch", 2.5, 25) == 3
    assert planned_looks("epoch", 3, 30, done_epochs=1) == 2
    assert planned_looks(10, 3, 30) == 3 and planned_looks(7, 3, 30) == 5, "7, 14, 21, 28 and the last"
    assert planned_looks(7, 3, 30, done_steps=14) == 3


def test_cost_in_words() -> None:
    """100 tokens forward, 4 times, against 10,000 tokens at three times the work: 400 / 30,000."""
    assert share_by_tokens(100, 4, 10_000) == pytest.approx(0.0133, abs=1e-4)
    assert in_advance(1.8, "64 probe rows", 10, 0.02) == (
        "An evaluation of 64 probe rows takes 1.8 s; 10 more are planned, 18 s, by tokens about 2 % of the training."
    )
    assert in_advance(1.8, "64 probe rows", 10, float("nan")).endswith("18 s.")
    assert afterwards(5, 2.0, 100.0) == "5 evaluations took 2.0 s, 2 % of the training time (2 min)."


def test_a_drawn_probe_has_each_row_once() -> None:
    from remanence.jobs.preflight.sequences import CollatedSequence

    def fed(place: int, ids: list[int], lengths: tuple[int, ...]) -> CollatedSequence:
        return CollatedSequence(place, np.array(ids, np.int32), np.ones(len(ids), np.bool_), lengths, None, None, None)

    found = drawn([fed(0, [1, 2], (2,)), fed(1, [3, 4, 1, 2], (2, 2)), fed(2, [5], (1,))], 10, seed=0)
    assert found.ids == ("0", "1.0", "2") and found.tokens == 5
    assert drawn([fed(i, [i], (1,)) for i in range(50)], 5, seed=1) == drawn(
        [fed(i, [i], (1,)) for i in range(50)], 5, seed=1
    )
