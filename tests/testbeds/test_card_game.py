"""The card game: answers are checked by brute force, and each kind of mistake is called by its name."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.testbeds.card_game import (
    FIRST_NUMBER,
    FIRST_OPERATION,
    REWARD,
    VOCAB,
    CardGame,
    Formula,
    Hand,
    encode,
    solutions,
    verify,
)


def test_a_hand_worked_out_by_hand():
    """King, 2 and 1 for 21: with the king as 10 it is (10 * 2) + 1, with the king as 13 there is no solution."""
    assert Formula((10, 2, 1), "*+").value == 21
    assert Formula((10, 2, 1), "*+") in solutions(Hand((13, 2, 1), 21, "ten"))
    assert solutions(Hand((13, 2, 1), 21, "rank")) == []
    assert Formula((13, 1, 2), "-*") in solutions(Hand((13, 2, 1), 24, "rank"))


def left_to_right(numbers: tuple[int, ...], operations: tuple[str, ...]) -> int:
    """Independent evaluation: Python's own arithmetic on a string with all brackets written out."""
    text = str(numbers[0])
    for operation, value in zip(operations, numbers[1:], strict=True):
        text = f"({text}){operation}{value}"
    return int(eval(text, {"__builtins__": {}}))


@pytest.mark.parametrize("rule", ["ten", "rank"])
def test_solutions_are_those_of_brute_force(rule):
    hands, chosen = CardGame(hands=60, rule=rule).load()
    for hand, formula in zip(hands, chosen, strict=True):
        numbers = [min(c, 10) if rule == "ten" else c for c in hand.cards]
        found = {
            (order, "".join(ops))
            for order in itertools.permutations(numbers)
            for ops in itertools.product("+-*", repeat=2)
            if left_to_right(order, ops) == hand.target
        }
        assert {tuple(f) for f in solutions(hand)} == found and tuple(formula) in found
        assert 0 <= hand.target <= 99


def test_answers_are_judged():
    hand = Hand((13, 2, 3), 23, "ten")

    def answer(*parts: int | str) -> list[int]:
        return [FIRST_NUMBER + p if isinstance(p, int) else FIRST_OPERATION + "+-*".index(p) for p in parts]

    assert verify(hand, answer(10, "*", 2, "+", 3)) == "correct"
    assert verify(hand, answer(10, "+", 2, "+", 3)) == "wrong value"
    assert verify(hand, answer(13, "*", 2, "-", 3)) == "wrong numbers", "the number of the other rule"
    assert verify(hand, answer(10, "*", 2)) == "illegal"
    assert verify(hand, [FIRST_NUMBER + 10, FIRST_NUMBER + 2, FIRST_OPERATION, FIRST_OPERATION, 0]) == "illegal"
    assert verify(hand, []) == "illegal"
    assert REWARD["correct"] > 0 > REWARD["wrong value"] > REWARD["wrong numbers"] > REWARD["illegal"]


def test_every_chosen_formula_is_judged_correct_by_its_tokens():
    hands, chosen = CardGame(hands=40, rule="rank", need_face=True).load()
    for hand, formula in zip(hands, chosen, strict=True):
        ids = encode(hand, formula).tolist()
        prompt = encode(hand).tolist()
        assert ids[: len(prompt)] == prompt and len(prompt) == 6 and len(ids) == 11
        assert verify(hand, ids[len(prompt) :]) == "correct"
        assert max(hand.cards) > 10 and max(ids) < VOCAB


def test_every_seed_is_its_own():
    config = CardGame(hands=30)
    hands, chosen = config.load()
    assert (hands, chosen) == config.load()
    same_hands, other = replace(config, formula_seed=1).load()
    assert same_hands == hands and other != chosen
    assert replace(config, seed=1).load()[0] != hands
    with pytest.raises(RemanenceError, match="2 or more"):
        CardGame(num_cards=1).draw(np.random.default_rng(0))
