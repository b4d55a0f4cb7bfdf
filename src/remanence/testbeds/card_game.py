"""A rule world of cards: make the target number from the cards, where the rule for face cards can change.

A hand has cards of rank 1 to 13 and a target. The answer uses every card once, with +, - and *, evaluated from left to
right. By one rule all face cards count 10, by the other their rank; a model that has memorized one rule answers with
its numbers where the other is stated. The game follows GeneralPoints of Chu et al. 2025, arXiv 2501.17161.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError

Rule: TypeAlias = Literal["ten", "rank"]
"""What jack, queen and king count: 10 each, or 11, 12 and 13."""
Category: TypeAlias = Literal["correct", "wrong value", "wrong numbers", "illegal"]

RULES: tuple[Rule, Rule] = ("ten", "rank")
OPERATIONS = "+-*"
MAX_TARGET = 99
REWARD: dict[Category, float] = {"correct": 5.0, "wrong value": -1.0, "wrong numbers": -2.0, "illegal": -3.0}

SEPARATOR, FIRST_RULE, FIRST_OPERATION = 0, 1, 3
FIRST_NUMBER = FIRST_OPERATION + len(OPERATIONS)
VOCAB = FIRST_NUMBER + MAX_TARGET + 1
"""Tokens: the separator, two rules, three operations, and the numbers 0 to 99 for cards, targets and answers."""


class Hand(NamedTuple):
    """What is asked."""

    cards: tuple[int, ...]
    """Ranks, 1 to 13."""
    target: int
    rule: Rule


class Formula(NamedTuple):
    """An answer: numbers and the operations between them."""

    numbers: tuple[int, ...]
    operations: str

    @property
    def value(self) -> int:
        """The result, evaluated from left to right."""
        total = self.numbers[0]
        for operation, number in zip(self.operations, self.numbers[1:], strict=True):
            total = total + number if operation == "+" else total - number if operation == "-" else total * number
        return total


@dataclass(frozen=True)
class CardGame:
    """Hands of one rule with a formula that solves each. Two seeds: of the hands, and of the choice of formula."""

    num_cards: int = 3
    hands: int = 2000
    rule: Rule = "ten"
    need_face: bool = False
    """Every hand holds a jack, queen or king, so that the two rules differ on it."""
    seed: int = 0
    formula_seed: int = 0

    def load(self) -> tuple[list[Hand], list[Formula]]:
        """The hands and one solution of each, drawn among all solutions."""
        rng, choice = np.random.default_rng((self.seed, 1)), np.random.default_rng((self.formula_seed, 2))
        hands = [self.draw(rng) for _ in range(self.hands)]
        return hands, [every[choice.integers(len(every))] for every in map(solutions, hands)]

    def draw(self, rng: np.random.Generator) -> Hand:
        """A hand that has a solution by its rule: its target is the value of a random formula, if within 0 to 99."""
        if self.num_cards < 2:
            raise RemanenceError(f"A hand has 2 or more cards, not {self.num_cards}.")
        while True:
            cards = tuple(rng.integers(1, 14, self.num_cards).tolist())
            numbers = tuple(rng.permutation([number(card, self.rule) for card in cards]).tolist())
            formula = Formula(numbers, "".join(rng.choice(list(OPERATIONS), self.num_cards - 1).tolist()))
            if 0 <= formula.value <= MAX_TARGET and (not self.need_face or max(cards) > 10):
                return Hand(cards, formula.value, self.rule)


def number(card: int, rule: Rule) -> int:
    """What a card counts."""
    return min(card, 10) if rule == "ten" else card


def formulas(hand: Hand) -> Iterator[Formula]:
    """Every different formula that uses each card once."""
    numbers = [number(card, hand.rule) for card in hand.cards]
    for order in sorted(set(itertools.permutations(numbers))):
        for operations in itertools.product(OPERATIONS, repeat=len(numbers) - 1):
            yield Formula(order, "".join(operations))


def solutions(hand: Hand) -> list[Formula]:
    """The formulas whose value is the target."""
    return [formula for formula in formulas(hand) if formula.value == hand.target]


def verify(hand: Hand, answer: Sequence[int]) -> Category:
    """What is right or wrong about the tokens of an answer; `REWARD` says what it earns."""
    numbers = [token - FIRST_NUMBER for token in answer[::2]]
    operations = [token - FIRST_OPERATION for token in answer[1::2]]
    legal = len(answer) == 2 * len(hand.cards) - 1 and all(0 <= n <= MAX_TARGET for n in numbers)
    if not legal or not all(0 <= op < len(OPERATIONS) for op in operations):
        return "illegal"
    if sorted(numbers) != sorted(number(card, hand.rule) for card in hand.cards):
        return "wrong numbers"
    formula = Formula(tuple(numbers), "".join(OPERATIONS[op] for op in operations))
    return "correct" if formula.value == hand.target else "wrong value"


def encode(hand: Hand, formula: Formula | None = None) -> NDArray[np.int64]:
    """[T] tokens: rule, cards, target, separator, and the answer if there is one: number, operation, number, ..."""
    ids = [FIRST_RULE + RULES.index(hand.rule), *(FIRST_NUMBER + card for card in hand.cards)]
    ids += [FIRST_NUMBER + hand.target, SEPARATOR]
    if formula is not None:
        ids.append(FIRST_NUMBER + formula.numbers[0])
        for operation, value in zip(formula.operations, formula.numbers[1:], strict=True):
            ids += [FIRST_OPERATION + OPERATIONS.index(operation), FIRST_NUMBER + value]
    return np.array(ids, dtype=np.int64)
