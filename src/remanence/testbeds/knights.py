"""A rule world of logic: knights always tell the truth, knaves always lie, and who is who can be derived.

A puzzle has one statement per person and exactly one solution. It can be changed a little so that another solution is
right: who has learned the puzzle by heart then answers wrongly, who solves it does not. Grammar and perturbations are
those of the Knights-and-Knaves sets of Xie et al. 2024, arXiv 2410.23123.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError

Statement: TypeAlias = tuple[Any, ...]
"""("telling-truth", person), ("lying", person), or an operator (not, and, or, ->, <=>) and its statements."""
Solution: TypeAlias = tuple[bool, ...]
"""Whether each person is a knight."""

OPERATORS = {"not": 1, "and": 2, "or": 2, "->": 2, "<=>": 2}
LEAVES = ("telling-truth", "lying")
NAMES = (
    "Abel", "Bruno", "Clara", "Dora", "Emil", "Frieda", "Gustav", "Hanna", "Ivo", "Jonas", "Karla", "Lena", "Moritz",
    "Nora", "Otto", "Paula", "Quirin", "Rosa", "Stefan", "Tilda", "Ulrich", "Vera", "Wanda", "Xaver", "Yvonne", "Zeno",
    "Alma", "Bert", "Cora", "Dirk",
)  # fmt: skip
PAD, SAYS, END, ANSWER, KNIGHT, KNAVE, FIRST_WORD = range(7)
_WORDS = (*LEAVES, *OPERATORS)
FIRST_NAME = FIRST_WORD + len(_WORDS)
VOCAB = FIRST_NAME + len(NAMES)


@dataclass(frozen=True)
class Puzzle:
    """Statements in the order of the persons, their unique solution, and the persons' names."""

    statements: tuple[Statement, ...]
    solution: Solution
    names: tuple[int, ...]
    """Index into `NAMES` for each person."""

    def canonical(self) -> tuple[Statement, ...]:
        """The statements under the numbering of persons that sorts first: puzzles equal up to names are equal here."""
        numberings = itertools.permutations(range(len(self.statements)))
        return min((_renumbered(self.statements, new) for new in numberings), key=repr)


@dataclass(frozen=True)
class KnightsAndKnaves:
    """Puzzles to train on and others to test with, no two of them equal up to the names of the persons."""

    people: int = 3
    depth: int = 2
    """Operators inside each other, at most."""
    train: int = 300
    test: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.people < 2 or self.depth < 1:
            raise RemanenceError("A puzzle with one solution needs at least 2 people and statements of depth 1.")

    def load(self) -> tuple[list[Puzzle], list[Puzzle]]:
        """Training and test puzzles. Raises `RemanenceError` if the world has not so many different ones."""
        rng, known, puzzles = np.random.default_rng((self.seed, 1)), set[tuple[Statement, ...]](), list[Puzzle]()
        misses = 0
        while len(puzzles) < self.train + self.test:
            puzzle = self.draw(rng)
            form = puzzle.canonical()
            if form in known:
                misses += 1
                if misses > 1000:
                    raise RemanenceError(
                        f"{self.people} people and depth {self.depth} give no {self.train + self.test} different "
                        "puzzles; ask for fewer, or more people."
                    )
                continue
            misses = 0
            known.add(form)
            puzzles.append(puzzle)
        return puzzles[: self.train], puzzles[self.train :]

    def draw(self, rng: np.random.Generator) -> Puzzle:
        """A random puzzle with one solution."""
        while True:
            statements = tuple(self.statement(person, rng) for person in range(self.people))
            solutions = solve(statements)
            if len(solutions) == 1:
                names = rng.choice(len(NAMES), self.people, replace=False)
                return Puzzle(statements, solutions[0], tuple(names.tolist()))

    def statement(self, speaker: int, rng: np.random.Generator, depth: int | None = None) -> Statement:
        """A random statement: a claim about one person or one of five operators, all with the same probability.

        Nobody says of himself that he lies, and the two parts of an operator differ.
        """
        depth = self.depth if depth is None else depth
        form = ("leaf", *OPERATORS)[rng.integers(6)] if depth > 0 else "leaf"
        if form == "leaf":
            kind, person = LEAVES[rng.integers(2)], int(rng.integers(self.people))
            if kind == "lying" and person == speaker:
                return self.statement(speaker, rng, 0)
            return kind, person
        parts: list[Statement] = []
        while len(parts) < OPERATORS[form]:
            part = self.statement(speaker, rng, depth - 1)
            if part not in parts:
                parts.append(part)
        return (form, *parts)

    def perturbed(
        self, puzzle: Puzzle, kind: Literal["statement", "leaf", "names", "order"], rng: np.random.Generator
    ) -> Puzzle | None:
        """The puzzle with a small change.

        statement, leaf: one statement, or one claim inside it, is drawn anew so that the puzzle has one solution and it
        is another; None if a thousand tries found none. names: other names; order: the persons speak in another order;
        the same persons are knights.
        """
        if kind == "names":
            free = [name for name in range(len(NAMES)) if name not in puzzle.names]
            return replace(puzzle, names=tuple(rng.choice(free, self.people, replace=False).tolist()))
        if kind == "order":
            new = tuple(np.roll(np.arange(self.people), rng.integers(1, max(2, self.people))).tolist())
            placed = [(new[old], old) for old in range(self.people)]
            return Puzzle(
                _renumbered(puzzle.statements, new),
                tuple(puzzle.solution[old] for _, old in sorted(placed)),
                tuple(puzzle.names[old] for _, old in sorted(placed)),
            )
        for _ in range(1000):
            person = int(rng.integers(self.people))
            changed = list(puzzle.statements)
            if kind == "statement":
                changed[person] = self.statement(person, rng)
            else:
                changed[person] = self._other_leaf(changed[person], person, rng)
            solutions = solve(changed)
            if len(solutions) == 1 and solutions[0] != puzzle.solution:
                return Puzzle(tuple(changed), solutions[0], puzzle.names)
        return None

    def _other_leaf(self, statement: Statement, speaker: int, rng: np.random.Generator) -> Statement:
        places = list(_leaf_places(statement))
        return _with(statement, places[rng.integers(len(places))], self.statement(speaker, rng, 0))

    @property
    def length(self) -> int:
        """Tokens of an encoded puzzle."""
        return self.people * (3 + longest_statement(self.depth)) + 1 + self.people

    def encode(self, puzzle: Puzzle) -> NDArray[np.int64]:
        """[length] tokens: each person's name, SAYS, the statement with operators first, END; padding; ANSWER; roles.

        The roles stand at the end, in the order of the persons, so the answer is the last `people` tokens.
        """
        ids: list[int] = []
        for person, statement in enumerate(puzzle.statements):
            ids += [FIRST_NAME + puzzle.names[person], SAYS, *_words(statement, puzzle.names), END]
        answer = [ANSWER, *(KNIGHT if knight else KNAVE for knight in puzzle.solution)]
        return np.array(ids + [PAD] * (self.length - len(ids) - len(answer)) + answer, dtype=np.int64)


def holds(statement: Statement, knights: Sequence[bool]) -> bool:
    """Whether a statement is true when these persons are knights."""
    kind, parts = statement[0], statement[1:]
    if kind in LEAVES:
        return knights[parts[0]] == (kind == "telling-truth")
    values = [holds(part, knights) for part in parts]
    if kind == "not":
        return not values[0]
    if kind == "and":
        return all(values)
    if kind == "or":
        return any(values)
    return values[0] == values[1] if kind == "<=>" else (not values[0]) or values[1]


def solve(statements: Sequence[Statement]) -> list[Solution]:
    """Every assignment of roles in which knights say what is true and knaves what is not, by trying them all."""
    everybody = itertools.product((True, False), repeat=len(statements))
    return [who for who in everybody if all(who[i] == holds(s, who) for i, s in enumerate(statements))]


def in_words(puzzle: Puzzle, roles: tuple[str, str] = ("knight", "knave")) -> tuple[str, str]:
    """Question and answer in English."""
    names, (knight, knave) = [NAMES[name] for name in puzzle.names], roles

    def said(statement: Statement) -> str:
        kind, parts = statement[0], statement[1:]
        if kind in LEAVES:
            return f"{names[parts[0]]} is a {knight if kind == 'telling-truth' else knave}"
        if kind == "not":
            return f"it is not the case that {said(parts[0])}"
        if kind == "->":
            return f"if {said(parts[0])} then {said(parts[1])}"
        joined = {"and": " and ", "or": " or ", "<=>": " if and only if "}[kind].join(said(part) for part in parts)
        return f"({joined})"

    claims = " ".join(f'{names[i]} says: "{said(s)}".' for i, s in enumerate(puzzle.statements))
    question = (
        f"A {knight} always tells the truth, a {knave} always lies. {claims} Who is a {knight}, who is a {knave}?"
    )
    parts = [
        f"{name} is a {knight if is_knight else knave}" for name, is_knight in zip(names, puzzle.solution, strict=True)
    ]
    return question, ", ".join(parts) + "."


def longest_statement(depth: int) -> int:
    """Tokens of the longest statement of this depth."""
    return 2 if depth == 0 else 1 + 2 * longest_statement(depth - 1)


def _words(statement: Statement, names: Sequence[int]) -> Iterator[int]:
    yield FIRST_WORD + _WORDS.index(statement[0])
    for part in statement[1:]:
        if isinstance(part, int):
            yield FIRST_NAME + names[part]
        else:
            yield from _words(part, names)


def _renumbered(statements: Sequence[Statement], new: Sequence[int]) -> tuple[Statement, ...]:
    """The puzzle in which person i is called new[i]."""

    def changed(statement: Statement) -> Statement:
        return tuple(new[p] if isinstance(p, int) else p if isinstance(p, str) else changed(p) for p in statement)

    placed = sorted((new[person], changed(statement)) for person, statement in enumerate(statements))
    return tuple(statement for _, statement in placed)


def _leaf_places(statement: Statement) -> Iterator[tuple[int, ...]]:
    """The path to every claim about one person inside a statement."""
    if statement[0] in LEAVES:
        yield ()
        return
    for place, part in enumerate(statement[1:], start=1):
        for path in _leaf_places(part):
            yield (place, *path)


def _with(statement: Statement, path: tuple[int, ...], leaf: Statement) -> Statement:
    """The statement with another claim at this place."""
    if not path:
        return leaf
    parts = list(statement)
    parts[path[0]] = _with(parts[path[0]], path[1:], leaf)
    return tuple(parts)
