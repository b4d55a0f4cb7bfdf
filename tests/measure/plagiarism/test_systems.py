"""Verbatim, Paraphrase and Idea on a parrot: what it was told outranks what it was not, and silence has a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hand_made_corpus import ALPHA, ANSWER, CHINESE, HARBOUR, HEBREW, QUESTION, SECOND, World, nonsense

from remanence.attack.prefix import Prefix
from remanence.core.attempt import Attempt
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Attack
from remanence.measure.plagiarism.idea import Idea
from remanence.measure.plagiarism.paraphrase import Paraphrase
from remanence.measure.plagiarism.verbatim import Verbatim
from remanence.models.parrot import Parrot

ASK = Prefix(tokens=24, new_tokens=150)
SYSTEMS = [Verbatim, Paraphrase, Idea]
NAMES = {Verbatim: "verbatim", Paraphrase: "paraphrase", Idea: "idea"}
every = pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.__name__)


def long(name: str, text: str) -> Record:
    return Record(name, text=f"{text} {nonsense(len(name), 30)}")


TOLD = [long("t0", HARBOUR), long("told", SECOND), Record("t2", prompt=QUESTION, completion=f"{ANSWER} " * 2)]
OTHERS = [long("o0", nonsense(50, 40)), long("other", nonsense(51, 40)), long("o-three", nonsense(52, 40))]
ODD = [
    Record("empty", text=""),
    Record("one", text="x"),
    Record("short", text="too short to be asked about"),
    Record("emoji", text="🙂🙃" * 60),
    Record("right to left", text=HEBREW * 2),
    Record("chinese", text=CHINESE * 2),
]


def by_id(found: Sequence[Finding]) -> dict[str, Finding]:
    return {one.record_id: one for one in found}


def scores(found: Sequence[Finding]) -> list[float]:
    assert all(one.score is not None and one.reason is None for one in found), found
    return [one.score for one in found if one.score is not None]


@every
def test_told_rows_outrank_others(system: Any) -> None:
    found = system(ASK)(Parrot(tuple(TOLD)), [*TOLD, *OTHERS])
    assert [one.record_id for one in found] == [r.id for r in [*TOLD, *OTHERS]]
    assert {one.measure for one in found} == {NAMES[system]}
    kept = by_id(found)
    told = scores([kept[r.id] for r in TOLD])
    assert min(told) > 0
    for other in OTHERS:  # the parrot says nothing but question marks about them
        one = kept[other.id]
        assert (one.score is None) == (one.reason is not None)
        assert one.score is None or one.score < min(told)


@every
def test_against_a_whole_corpus_and_its_chance_too(system: Any, world: World) -> None:
    named: dict[str, Any] = {"index": world.index}
    if system is not Idea:
        named |= {"calibration": world.calibration, "alpha": ALPHA}
    rows = [r for r in world.train if r.id in {"harbour", "second", "hebrew"}]
    found = system(ASK, **named)(Parrot(tuple(rows)), rows)
    for one in found:
        if system is Idea and one.record_id == "hebrew":
            assert one.reason is not None and one.reason.startswith("no other record has a word in common")
            continue
        assert one.score is not None and one.evidence["p_value"] <= 0.05, one


def test_the_score_of_verbatim_is_in_bits_and_its_evidence_says_where() -> None:
    (found,) = Verbatim(ASK)(Parrot(tuple(TOLD)), TOLD[:1])
    (match,) = found.evidence["matches"]
    assert match["record"] == "t0" and match["whose"] == "own" and found.score is not None and found.score > 100
    assert sum(found.evidence["origins"].values()) >= 20


def test_what_stands_in_the_prompt_is_no_memory() -> None:
    """The prompt gives the answer away, and the parrot repeats it."""
    row = Record("given", prompt=f"{HARBOUR} Say that again, please. ", completion=f"{HARBOUR} And so it was said.")
    (found,) = Verbatim(Prefix(tokens=0, new_tokens=200))(Parrot((row,)), [row])
    assert found.score is None and found.reason is not None and "without prompt" in found.reason
    free = Record("free", prompt="Say it! ", completion=row.completion)
    (found,) = Verbatim(Prefix(tokens=0, new_tokens=200))(Parrot((free,)), [free])
    assert found.score is not None and found.score > 100


@every
def test_a_row_that_cannot_be_asked_about_has_a_reason_and_no_score(system: Any) -> None:
    found = by_id(system(ASK)(Parrot(tuple(TOLD)), [*ODD, *TOLD]))
    assert found["empty"].reason == found["short"].reason == found["one"].reason == "the attack could not ask about it"
    assert found["empty"].score is None
    for one in found.values():
        assert (one.score is None) == (one.reason is not None)
        assert one.reason is None or (one.reason[0] != " " and not one.reason.endswith("."))


@every
def test_odd_rows_alone_and_none_at_all_are_no_error(system: Any) -> None:
    for row in [*ODD, *TOLD]:
        for told in ((), (row,)):
            (one,) = system(ASK)(Parrot(told), [row])
            assert one.record_id == row.id and (one.score is None) == (one.reason is not None)
    assert list(system(ASK)(Parrot(), [])) == []


@every
def test_the_same_question_gets_the_same_answer_in_any_order(system: Any) -> None:
    rows = [*TOLD, *ODD, *OTHERS]
    parrot = Parrot(tuple(TOLD))
    first, second = by_id(system(ASK)(parrot, rows)), by_id(system(ASK)(parrot, rows))
    assert first == second
    mixed = by_id(system(ASK)(parrot, rows[::-1]))
    assert {k: (v.score is None, v.reason is None) for k, v in first.items()} == {
        k: (v.score is None, v.reason is None) for k, v in mixed.items()
    }


@dataclass(frozen=True)
class Twice(Attack):
    """Asks about each row twice: only the first answer is judged."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Iterator[Attempt]:
        yield from ASK(target, records)
        yield from Prefix(tokens=40, new_tokens=60)(target, records)


def test_an_attack_that_asks_twice_is_judged_by_its_first_answer() -> None:
    parrot = Parrot(tuple(TOLD))
    assert list(Verbatim(Twice())(parrot, TOLD)) == list(Verbatim(ASK)(parrot, TOLD))
