"""Knights and knaves: solutions are those of an independent truth table, perturbations change what they say they do."""

from __future__ import annotations

import gzip
import json
from ast import literal_eval
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.testbeds.knights import (
    KNAVE,
    KNIGHT,
    NAMES,
    VOCAB,
    KnightsAndKnaves,
    Puzzle,
    Statement,
    in_words,
    longest_statement,
    solve,
)


def truth_table(statements: tuple[Statement, ...]) -> list[tuple[bool, ...]]:
    """Independent solver: one integer per statement whose bit k is its truth in world k of 2^N; no recursion shared."""
    n = len(statements)
    worlds, full = range(2**n), 2 ** (2**n) - 1
    knight = [sum(1 << w for w in worlds if w >> person & 1) for person in range(n)]

    def bits(s: Statement) -> int:
        if s[0] == "telling-truth":
            return knight[s[1]]
        if s[0] == "lying":
            return full ^ knight[s[1]]
        first = bits(s[1])
        if s[0] == "not":
            return full ^ first
        second = bits(s[2])
        table = {"and": first & second, "or": first | second, "->": (full ^ first) | second}
        return table.get(s[0], full ^ (first ^ second))

    agree = full
    for person, statement in enumerate(statements):
        agree &= full ^ (knight[person] ^ bits(statement))
    return [tuple(bool(w >> person & 1) for person in range(n)) for w in worlds if agree >> w & 1]


def test_two_people_by_hand():
    """A: B is a knave. B: we are both knights. If B were a knight, A would be one too and lie. So A, not B."""
    statements = (("lying", 1), ("and", ("telling-truth", 0), ("telling-truth", 1)))
    assert solve(statements) == [(True, False)]


def test_solutions_are_those_of_the_truth_table():
    rng = np.random.default_rng(0)
    for people in (2, 3, 4):
        world = KnightsAndKnaves(people=people, depth=3 if people == 2 else 2)
        for _ in range(700):
            statements = tuple(world.statement(person, rng) for person in range(people))
            assert sorted(solve(statements)) == sorted(truth_table(statements))


def test_published_puzzles_have_their_published_solutions(shared_data: Path):
    with gzip.open(shared_data / "knights_knaves" / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == 500
    for row in rows:
        if row["n_people"] <= 6:
            assert solve(literal_eval(row["statements"])) == [tuple(row["solution"])]


@pytest.fixture(scope="module")
def puzzles() -> tuple[list[Puzzle], list[Puzzle]]:
    return KnightsAndKnaves(train=60, test=20).load()


def test_puzzles_have_one_solution_and_no_two_are_equal_up_to_names(puzzles: tuple[list[Puzzle], list[Puzzle]]):
    everything = [*puzzles[0], *puzzles[1]]
    assert len(puzzles[0]) == 60 and len({p.canonical() for p in everything}) == 80
    assert all(truth_table(p.statements) == [p.solution] for p in everything)
    assert all(len(set(p.names)) == 3 for p in everything)


def test_a_renamed_puzzle_is_the_same_puzzle():
    puzzle = Puzzle((("lying", 1), ("telling-truth", 1)), (False, True), (0, 1))
    other = Puzzle((("telling-truth", 0), ("lying", 0)), (True, False), (5, 6))
    assert puzzle.canonical() == other.canonical()


@pytest.mark.parametrize("kind", ["statement", "leaf"])
def test_a_changed_puzzle_differs_in_one_statement_and_in_its_solution(
    puzzles: tuple[list[Puzzle], list[Puzzle]], kind
):
    world, rng, changed = KnightsAndKnaves(), np.random.default_rng(1), 0
    for puzzle in puzzles[0]:
        other = world.perturbed(puzzle, kind, rng)
        if other is not None:
            changed += 1
            assert sum(a != b for a, b in zip(puzzle.statements, other.statements, strict=True)) == 1
            assert truth_table(other.statements) == [other.solution] and other.solution != puzzle.solution
            assert other.names == puzzle.names
            if kind == "leaf":
                assert [leafless(s) for s in puzzle.statements] == [leafless(s) for s in other.statements]
    assert changed > 50


def leafless(statement: Statement) -> tuple:
    """The shape of a statement."""
    return (
        ("leaf",)
        if statement[0] in ("telling-truth", "lying")
        else (statement[0], *(leafless(part) for part in statement[1:]))
    )


def test_other_names_and_another_order_leave_everybody_what_he_is(puzzles: tuple[list[Puzzle], list[Puzzle]]):
    world, rng = KnightsAndKnaves(), np.random.default_rng(1)
    for puzzle in puzzles[0]:
        named, ordered = (world.perturbed(puzzle, kind, rng) for kind in ("names", "order"))
        assert named.statements == puzzle.statements and not set(named.names) & set(puzzle.names)
        assert truth_table(ordered.statements) == [ordered.solution] and ordered.names != puzzle.names
        assert dict(zip(ordered.names, ordered.solution, strict=True)) == dict(
            zip(puzzle.names, puzzle.solution, strict=True)
        )


def test_nobody_calls_himself_a_liar_outright():
    world, rng = KnightsAndKnaves(), np.random.default_rng(0)
    assert all(world.statement(1, rng, 0) != ("lying", 1) for _ in range(300))


def test_tokens_end_with_the_answer_and_tell_puzzles_apart(puzzles: tuple[list[Puzzle], list[Puzzle]]):
    world = KnightsAndKnaves()
    ids = np.stack([world.encode(p) for p in puzzles[0]])
    assert ids.shape == (60, world.length) and ids.max() < VOCAB
    assert longest_statement(2) == 11  # two operators of two parts below one, and four claims of two tokens
    assert [[token == KNIGHT for token in row] for row in ids[:, -3:].tolist()] == [
        list(p.solution) for p in puzzles[0]
    ]
    assert set(ids[:, -3:].ravel().tolist()) <= {KNIGHT, KNAVE}
    assert len(np.unique(ids[:, :-3], axis=0)) == 60


def test_a_puzzle_in_words():
    question, answer = in_words(
        Puzzle((("not", ("lying", 1)), ("<=>", ("lying", 0), ("lying", 1))), (True, True), (0, 1))
    )
    assert 'Abel says: "it is not the case that Bruno is a knave".' in question
    assert 'Bruno says: "(Abel is a knave if and only if Bruno is a knave)".' in question
    assert answer == "Abel is a knight, Bruno is a knight." and len(NAMES) == len(set(NAMES)) == 30


def test_the_seed_decides_and_too_many_puzzles_are_refused():
    world = KnightsAndKnaves(train=5, test=5)
    assert world.load() == world.load() != replace(world, seed=1).load()
    with pytest.raises(RemanenceError, match="different puzzles"):
        KnightsAndKnaves(people=2, depth=1, train=2000).load()
    with pytest.raises(RemanenceError, match="at least 2 people"):
        KnightsAndKnaves(depth=0)
