"""The frame of experiments, on coins whose figures are known."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.replications.frame import run
from remanence.replications.frame.code import code_hash
from remanence.replications.frame.experiment import Part, outcome, text
from remanence.replications.frame.figure import (
    Figure,
    difference,
    from_json,
    mean,
    number,
    paired,
    pooled_share,
    share,
    to_json,
)
from remanence.replications.frame.stored import every, read_result, results_for, sentence
from remanence.stats.intervals import Interval


@pytest.fixture
def coins(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The toy experiment, importable by worker processes too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("coins").Coins


def test_a_share_of_three_by_hand():
    """Three of three: the exact interval reaches down to the p with p^3 = 0.025."""
    figure = share([True, True, True])
    assert (figure.value, figure.high, figure.n, figure.hits) == (1.0, 1.0, 3, 3)
    assert figure.low == pytest.approx(0.025 ** (1 / 3))
    assert str(figure) == "3 of 3 (29% to 100%)"
    assert math.isnan(share([]).value) and share([]).short == "0 of 0"


def test_paired_figures_by_hand():
    """The same units on both sides: a difference that every unit shares has no spread."""
    a, b = mean([1.5, 2.5, 3.5], 0, "nats"), mean([1.0, 2.0, 3.0], 0, "nats")
    gap = paired(a, b, 0)
    assert (gap.value, gap.low, gap.high, gap.unit) == (0.5, 0.5, 0.5, "nats")
    assert str(gap) == "+0.500 nats (+0.500 to +0.500)"
    flags = paired(share([1, 1, 1, 0]), share([0, 0, 1, 0]), 0)
    assert flags.value == 0.5 and flags.low < 0.5 < flags.high and flags.short == "+50.0 points"


def test_a_figure_is_above_below_or_neither():
    limits = [difference(0.5, Interval(0.1, 0.9)), difference(-0.5, Interval(-0.9, -0.1)),
              difference(0.1, Interval(-0.1, 0.3)), Figure(0.5), Figure(math.nan, 0.1, 0.9)]  # fmt: skip
    assert [figure.above(0) for figure in limits] == [True, False, None, None, None]
    assert [figure.below(0) for figure in limits] == [False, True, None, None, None]


def test_figures_are_stored_with_six_digits_and_come_back():
    figures = {"arm": {"rate": share([True, False]), "loss": mean([1.0, 2.0], 0, "nats"), "gone": number(math.nan)}}
    stored = to_json([figures, {"arm": {"rate": share([True] * 3)}}])
    assert stored["arm"]["rate"]["by_seed"][1] == [1.0, 0.292402, 1.0, 3]
    assert stored["arm"]["gone"]["by_seed"] == [[None, None, None, None], None]
    again = from_json(json.loads(json.dumps(stored, allow_nan=False)), 0)
    assert math.isnan(again["arm"]["gone"].value) and again["arm"]["gone"].low == -math.inf
    assert to_json([again]) == to_json([figures])
    assert "loss" not in from_json(stored, 1)["arm"]


def test_the_rule_of_a_seed():
    held, failed, unclear = (Part("", holds, "so it is") for holds in (True, False, None))
    control = Part("", False, "it was not so", "control")
    assert outcome([held, held]) is True
    assert outcome([held, unclear]) is None
    assert outcome([unclear, failed]) is False
    assert outcome([held, replace(failed, role="beside")]) is True
    assert outcome([held, control]) is None and outcome([failed, control]) is None
    assert outcome([held, replace(control, holds=None)]) is None
    assert text([replace(held, because="A is B"), control]) == "Control failed: it was not so. A is B."
    with pytest.raises(ValueError, match="a part whose role is 'claim'"):
        outcome([control])


def test_the_rule_over_seeds():
    assert every([True, True, True]) is True
    assert every([True, None, True]) is None
    assert every([True, None, False]) is False
    assert sentence([True, True, True]) == "holds, 3 seeds of 3"
    assert sentence([None, False, False]) == "does not hold, 2 seeds of 3; cannot be decided, 1"


def test_three_coins_three_verdicts(coins: Any):
    assert coins()(0).holds is True
    assert coins(bent=0.1)(0).holds is False
    assert coins(bent=0.52, tosses=40)(0).holds is None
    unfair = coins(fair=0.8)(0)
    assert unfair.holds is None and unfair.text.startswith("Control failed: the fair coin shows")


def test_a_verdict_can_be_judged_again_from_what_is_stored(coins: Any):
    experiment = coins()
    judged = list(run.verdicts(experiment, [0, 1, 2]))
    stored = json.loads(json.dumps(run.result("coins", experiment, "default", judged)))
    for place, (_, verdict) in enumerate(judged):
        again = experiment.judge(from_json(stored["figures"], place))
        assert (again.holds, again.text) == (verdict.holds, verdict.text)
    assert stored["verdict"] == {"holds": True, "sentence": "holds, 3 seeds of 3", "by_seed": [True] * 3}
    assert stored["settings"] == {"tosses": 200, "bent": 0.9, "fair": 0.5}


def test_the_same_figures_give_the_same_bytes(coins: Any, tmp_path: Path):
    for folder in ("a", "b"):
        judged = list(run.verdicts(coins.at("quick"), [2, 0, 1]))
        assert [seed for seed, _ in judged] == [2, 0, 1]
        run.save(run.result("coins", coins.at("quick"), "quick", judged), tmp_path / folder)
    assert (tmp_path / "a" / "coins.json").read_bytes() == (tmp_path / "b" / "coins.json").read_bytes()
    stored = read_result("coins", tmp_path / "a")
    assert stored is not None and results_for("coin", tmp_path / "a") == [stored]
    assert read_result("other", tmp_path) is None and results_for("other", tmp_path / "a") == []
    with pytest.raises(RemanenceError, match="needs 3 seeds, this run has 1"):
        run.save(run.result("coins", coins(), "default", judged[:1]), tmp_path)


class Backwards:
    """An executor that does the last task first."""

    def map(self, opens: Any, work: Any, tasks: Any) -> Any:
        opened = opens()
        yield from ((task, work(opened, task)) for task in reversed(list(tasks)))


def test_the_order_of_the_work_does_not_matter(coins: Any):
    one, other = (list(run.verdicts(coins(), [0, 1, 2], by)) for by in (None, Backwards()))
    assert one == other


@pytest.mark.slow
def test_two_processes_give_what_one_gives(coins: Any):
    with run.workers_for("serial", 2) as by:
        parallel = list(run.verdicts(coins(), [0, 1], by))
    assert parallel == list(run.verdicts(coins(), [0, 1]))


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_ray_cluster_gives_what_one_process_gives():
    pytest.importorskip("ray")
    facts = {"subjects": 4, "relations": 2, "objects": 4, "modified": 2, "steps": 5, "edit_steps": 2, "width": 32}
    experiment = run.find_experiment("modifying_memories")(layers=1, deltas=(1e-3,), **facts)
    with run.workers_for("ray", 2) as by:
        assert list(run.verdicts(experiment, [0], by)) == list(run.verdicts(experiment, [0]))


def test_a_rule_that_ignores_its_control_is_caught(coins: Any, monkeypatch: pytest.MonkeyPatch):
    """The planted mistake: a control that is only reported. The unfair coin then decides what it must not."""
    honest = coins(fair=0.8, bent=0.99)
    assert honest(0).holds is None
    rule = coins.rule
    monkeypatch.setattr(
        coins, "rule", lambda self, figures: [replace(p, role="claim") for p in rule(self, figures)[1:]]
    )
    assert honest(0).holds is True


def test_shared_things_are_built_once_per_seed(coins: Any, monkeypatch: pytest.MonkeyPatch):
    seeds: list[int] = []
    shared = coins.shared
    monkeypatch.setattr(coins, "shared", lambda self, seed: seeds.append(seed) or shared(self, seed))
    list(run.verdicts(coins(), [0, 1]))
    assert seeds == [0, 1]


def test_shares_of_seeds_are_pooled():
    figure = pooled_share([share([True, False]), share([True, True])])
    assert (figure.hits, figure.n) == (3, 4)


def test_bad_words_are_answered_with_the_good_ones(coins: Any):
    with pytest.raises(RemanenceError, match=r"goldfish, .*memfree"):
        run.find_experiment("../run")
    with pytest.raises(RemanenceError, match="default, quick, not 'real'"):
        coins.at("real")


def test_the_hash_of_the_code_follows_imports_and_skips_words(tmp_path: Path):
    def written(a: str, b: str) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        root.mkdir()
        (root / "a.py").write_text(a)
        (root / "b.py").write_text(b)
        return code_hash("remanence.a", root)

    a = '"""A."""\nfrom remanence.b import f\n'
    first = written(a, "def f():\n    return 1\n")
    assert written(f"# a comment\n{a}", 'def f():\n    """One."""\n    return 1\n') == first
    assert written(a, "def f():\n    return 2\n") != first
    assert written('"""A."""\n', "def f():\n    return 2\n") == written('"""A."""\n', "") != first


def test_numbers_are_written_for_people():
    assert [number(x).short for x in (3, 302_400, 0.25, 2.5, 25.04)] == ["3", "302,400", "0.250", "2.50", "25.0"]
    assert number(math.nan).short == "not measured" and number(0.5, "nats").short == "0.500 nats"
    assert mean(np.full(4, 31.96), 0, "tokens").short == "32.0 tokens"
