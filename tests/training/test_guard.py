"""The guard keeps the best allowed state, and stops when more steps are useless or harmful."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.training.guard import Guard, Snapshot, longest_correct_runs, longest_runs, recited_fraction
from remanence.training.rows import Row

torch.set_num_threads(1)


class One(torch.nn.Module):
    """A model of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1), requires_grad=False)


def guarded(trail: list[tuple[float, float]], **settings: Any) -> tuple[Guard, One, int]:
    """A guard that measures this trail of (memorization, loss); the model's weight is the number of the snapshot."""
    values, model = iter(trail), One()
    guard = Guard(lambda live: next(values), **settings)
    for step in range(len(trail)):
        model.weight.fill_(step)
        if guard(step, model):
            return guard, model, step
    return guard, model, len(trail) - 1


def kept(guard: Guard, model: One) -> float:
    guard.restore(model)
    return float(model.weight)


def test_a_trail_by_hand():
    """A loss of 2.00 may rise to 2.04: the third state has forgotten more, but costs 3 %, so the second is kept."""
    guard, model, stopped = guarded([(1.0, 2.0), (0.5, 2.03), (0.2, 2.06), (0.5, 2.02), (0.6, 2.0)])
    assert stopped == 4 and kept(guard, model) == 3  # forgets as much as the second state, at a lower loss
    assert guard.best == Snapshot(3, 0.5, 2.02)
    assert guard.why == "It went to its end, 4, with memorization at 0.6 there."


def test_it_stops_when_everything_is_forgotten_in_an_allowed_state():
    guard, model, stopped = guarded([(1.0, 2.0), (0.0, 2.05), (0.0, 2.03), (0.0, 2.0)])
    assert stopped == 2 and kept(guard, model) == 2
    assert guard.why == "Memorization has fallen to 0 at 2, with the loss +1.5%."


def test_it_stops_when_the_model_breaks():
    broken = [(1.0, 2.0), (0.9, 2.1), (0.0, 2.21), (0.0, 2.3), (0.0, 2.4), (0.0, 2.0)]
    guard, model, stopped = guarded(broken)
    assert stopped == 4 and kept(guard, model) == 0
    assert "has risen by 20.0% at 4" in guard.why
    assert guarded(broken, patience=1)[2] == 2
    guard, model, stopped = guarded([(1.0, 2.0), (0.0, math.nan), (0.0, 2.0)])
    assert stopped == 1 and kept(guard, model) == 0 and "not finite" in guard.why
    assert guarded([(1.0, 2.0), (0.0, math.inf)])[2] == 1


def test_it_waits_for_a_loss_that_falls_again():
    guard, model, stopped = guarded([(1.0, 2.0), (0.0, 2.6), (0.1, 2.3), (0.0, 2.02)])
    assert stopped == 3 and kept(guard, model) == 3 and guard.best == Snapshot(3, 0.0, 2.02)


def test_ties_go_to_the_earlier_state():
    guard, model, _ = guarded([(1.0, 2.0), (0.5, 2.0), (0.5, 2.0)])
    assert kept(guard, model) == 1


def test_a_larger_allowed_loss_and_a_weaker_goal():
    trail = [(1.0, 2.0), (0.5, 2.3), (0.1, 2.4)]
    guard, model, stopped = guarded(trail, max_loss_increase=0.2, goal=0.5)
    assert stopped == 1 and kept(guard, model) == 1


def test_a_model_that_is_broken_before_is_refused():
    with pytest.raises(RemanenceError, match="not finite before any change"):
        guarded([(1.0, math.nan)])
    with pytest.raises(RemanenceError, match="not measured any state"):
        Guard(lambda live: (0, 0)).restore(One())


def test_longest_runs_equal_a_loop():
    flags = np.random.default_rng(0).random((50, 17)) < 0.6

    def slow(line: Any) -> int:
        best = run = 0
        for flag in line:
            run = run + 1 if flag else 0
            best = max(best, run)
        return best

    assert longest_runs(flags).tolist() == [slow(line) for line in flags]
    assert longest_runs(np.zeros((2, 0), bool)).tolist() == [0, 0]


def right_by_hand(model: Any, row: Row, shift: int) -> int:
    """One row alone, one token after another."""
    inputs = {"input_ids": torch.tensor([row.input_ids])}
    labels = torch.tensor([row.labels])
    said = model(**inputs, labels=labels).logits[0].argmax(-1).tolist()
    best = run = 0
    for t in range(shift, len(row.labels)):
        run = run + 1 if row.labels[t] == said[t - shift] else 0
        best = max(best, run)
    return best


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_runs_of_a_batch_are_those_of_rows_alone(kind: str):
    model = tiny_models.make_model(kind, tiny_models.make_tokenizer())
    shift, rng = int(kind == "gpt2"), np.random.default_rng(1)
    rows = [Row(x := rng.integers(6, 60, n).tolist(), [-100] * 2 + x[2:]) for n in (3, 14, 9, 30, 5)]
    planted: list[Row] = []
    for row in rows:  # half of what the model says by itself is written into the row
        labels = torch.tensor([row.labels])
        said = model(input_ids=torch.tensor([row.input_ids]), labels=labels).logits[0].argmax(-1).tolist()
        new = [y if t < 2 or t % 7 == 5 else said[t - shift] for t, y in enumerate(row.labels)]
        planted.append(Row(row.input_ids, new) if kind == "gpt2" else Row(row.input_ids, new[2:]))
    runs = longest_correct_runs(model, planted, batch_tokens=40)
    assert runs.tolist() == [right_by_hand(model, row, shift) for row in planted] and runs.max() >= 2


class Echo(torch.nn.Module):
    """Says the token it has just read."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(20))
        self.config = type("Config", (), {"is_encoder_decoder": False})

    def forward(self, input_ids: torch.Tensor, **more: Any) -> Any:
        return type("Out", (), {"logits": self.weight[input_ids]})


def test_recited_by_hand():
    """Runs of 3 of 3, 2 of 4 (broken by what is not learned), 0 of 1; the last has nothing to learn."""
    rows = [
        Row([5, 5, 5, 5], [5, 5, 5, 5]),
        Row([7, 7, 7, 7, 7, 7], [7, 7, 7, -100, 7, 7]),
        Row([1, 2], [1, 2]),
        Row([3], [3]),
    ]
    assert longest_correct_runs(Echo(), rows).tolist() == [3, 2, 0, 0]
    assert recited_fraction(Echo(), rows, tokens=3) == pytest.approx(2 / 3)
    assert recited_fraction(Echo(), rows, tokens=2) == pytest.approx(2 / 3)
    assert recited_fraction(Echo(), [Row([5] * 9, [5] * 6 + [4] * 3)], tokens=6) == 0
    with pytest.raises(RemanenceError, match="none can be recited"):
        recited_fraction(Echo(), rows[3:])
