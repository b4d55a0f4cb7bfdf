"""What every measure and every attack of the catalogue must do, whatever it measures. A new file is held to it too."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from remanence.attack.prefix import Prefix
from remanence.core.catalogue import Entry, entries
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.verbs import Attempt
from remanence.models.huggingface import HuggingFace
from remanence.models.parrot import Parrot
from remanence.models.render import Renderer

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models


def chat(name: str, question: str, answer: str) -> Record:
    return Record(name, messages=({"role": "user", "content": question}, {"role": "assistant", "content": answer}))


TOLD = [
    Record("t0", text="Anna Berg called at noon on 12 May about invoice 4471 and paid thirty euros."),
    Record("t1", text="The cat sat on the mat while the dog lay on the log, all through the afternoon."),
    Record("t2", prompt="Who came on Monday? ", completion="Doctor Lind, with her brother Jonas and old friends."),
    chat("t3", "Where is it?", "At 14 Mill Lane, second floor, behind the door."),
]
OTHERS = [
    Record("o0", text="Eric Falk wrote at dusk on 30 July about contract 2096 and owed seventy euros."),
    Record("o1", text="A bird sang in the tree as the fish swam in the lake, all through the morning...."),
    Record("o2", prompt="Who left on Friday? ", completion="Nurse Holm, with her mother Clara and new colleagues."),
    chat("o3", "When was it?", "On 3 March, early in the day, before the rain came."),
]
ODD = [
    Record("empty", text=""),
    Record("empty completion", prompt="And then? ", completion=""),
    Record("one", text="x"),
    Record("emoji", text="🙂🙃" * 12),
    Record("right to left", text="שלום עולם, זהו משפט ארוך מספיק כדי למדוד אותו"),
    Record("half a character", text="a\ud83d" * 20),
    Record("blank", text=" \n\t" * 20),
    Record("nul", text="\0" * 60),
    Record("long", text="again and again " * 200),
]

SYSTEMS = [e for e in entries() if e.verb in {"Measure", "Attack", "Theory"}]
MEASURES = [e for e in SYSTEMS if e.verb == "Measure" and e.needs in {"Scores", "Scores, and a base model"}]
COMPARERS = [e for e in SYSTEMS if e.verb == "Measure" and e.needs == "ScoresRendered"]
ASKERS = [e for e in SYSTEMS if e.verb == "Measure" and e.needs == "Generates"]
OPENERS = [e for e in SYSTEMS if e.verb == "Measure" and e.needs == "Opens"]
ATTACKS = [e for e in SYSTEMS if e.verb == "Attack" and e.needs == "Generates"]
THEORIES = [e for e in SYSTEMS if e.verb == "Theory"]

every = pytest.mark.parametrize("entry", SYSTEMS, ids=lambda e: e.name)
every_measure = pytest.mark.parametrize("entry", MEASURES, ids=lambda e: e.name)
every_asker = pytest.mark.parametrize("entry", ASKERS, ids=lambda e: e.name)
every_comparer = pytest.mark.parametrize("entry", COMPARERS, ids=lambda e: e.name)
every_opener = pytest.mark.parametrize("entry", OPENERS, ids=lambda e: e.name)
every_theory = pytest.mark.parametrize("entry", THEORIES, ids=lambda e: e.name)
every_attack = pytest.mark.parametrize("entry", ATTACKS, ids=lambda e: e.name)


def system(entry: Entry) -> Any:
    """The system with its defaults; one that judges what an attack brings gets the plainest attack."""
    module = import_module(f"remanence.{entry.wing.replace('/', '.')}.{entry.name}")
    cls = getattr(module, entry.cls)
    needed = {field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING}
    assert needed <= {"attack"}, "a system has defaults"
    return cls(attack=Prefix(tokens=16, new_tokens=40)) if needed else cls()


def findings(entry: Entry, records: Sequence[Record], told: Sequence[Record] = TOLD) -> list[Finding]:
    base = (Parrot(),) if "base model" in entry.needs else ()
    return list(system(entry)(Parrot(tuple(told)), records, *base))


def by_record(found: Sequence[Finding]) -> dict[str, tuple[float | None, str | None, str]]:
    return {f.record_id: (f.score, f.reason, str(dict(f.evidence))) for f in found}


def attempts(entry: Entry, records: Sequence[Record]) -> dict[str, list[tuple[bytes, bytes]]]:
    found: dict[str, list[tuple[bytes, bytes]]] = {}
    for attempt in system(entry)(Parrot(tuple(TOLD)), records):
        assert isinstance(attempt, Attempt)
        found.setdefault(attempt.record_id, []).append((attempt.question.ids.tobytes(), attempt.answer.ids.tobytes()))
    return found


def opened(family: str) -> HuggingFace:
    """A tiny random model that can be opened; an encoder-decoder takes pairs only."""
    tokenizer = tiny_models.make_tokenizer(appends_eos=family == "t5", chat_template=tiny_models.PLAIN_TEMPLATE)
    renderer = Renderer(tokenizer, seq2seq=family == "t5", context=128)
    model = tiny_models.make_model(family, tokenizer).requires_grad_(False)
    return HuggingFace(model, tokenizer, renderer, family, "0", "seq2seq" if family == "t5" else "causal")


def test_there_is_something_to_hold_to_it():
    assert len(MEASURES) >= 8 and len(ATTACKS) >= 1 and len(ASKERS) >= 4 and len(OPENERS) >= 1
    assert len(COMPARERS) >= 2
    grouped = [*MEASURES, *ATTACKS, *ASKERS, *COMPARERS, *OPENERS, *THEORIES]
    loose = [e.name for e in SYSTEMS if e not in grouped]
    assert loose == [], "every system that is given a target is held to something"


@every
def test_the_header_is_whole_and_the_file_bears_the_systems_name(entry: Entry):
    assert entry.title and entry.caption.endswith(("?", "."))
    assert "arXiv" in entry.paper or "doi" in entry.paper.lower() or "http" in entry.paper
    assert entry.cls.lower() == entry.name.replace("_", "")
    made = system(entry)
    assert hash(made) == hash(system(entry)) and made == system(entry), "a frozen dataclass with defaults"
    assert made.__doc__ and type(made).__call__.__doc__
    if entry in MEASURES:
        assert made.name.split("[")[0] == entry.name


@every_measure
def test_one_finding_per_record_under_its_own_name(entry: Entry):
    records = [*TOLD, *ODD, *OTHERS]
    found = findings(entry, records)
    assert [f.record_id for f in found] == [r.id for r in records]
    assert {f.measure for f in found} == {system(entry).name}
    assert findings(entry, []) == []


@every_measure
def test_the_same_question_gets_the_same_answer(entry: Entry):
    assert by_record(findings(entry, [*TOLD, *OTHERS])) == by_record(findings(entry, [*TOLD, *OTHERS]))


@every_measure
def test_order_and_company_change_nothing(entry: Entry):
    records = [*TOLD, *ODD, *OTHERS]
    together = by_record(findings(entry, records))
    mixed = [records[i] for i in np.random.default_rng(0).permutation(len(records))]
    assert by_record(findings(entry, mixed)) == together
    alone = {k: v for r in records for k, v in by_record(findings(entry, [r])).items()}
    assert alone == together


@every_measure
def test_seen_text_outranks_unseen(entry: Entry):
    seen = [f.score for f in findings(entry, TOLD)]
    unseen = [f.score for f in findings(entry, OTHERS)]
    assert None not in seen and None not in unseen
    assert min(seen) > max(unseen), "higher = more memorized"  # pyright: ignore


@every_measure
def test_a_model_that_was_told_nothing_ranks_no_row_above_another(entry: Entry):
    scores = [f.score for f in findings(entry, [TOLD[0], OTHERS[0]], told=())]
    assert scores[0] == pytest.approx(scores[1], rel=0.05, abs=1e-6)


@every_measure
def test_odd_rows_get_a_score_or_a_sentence(entry: Entry):
    for told in (TOLD, ODD):
        found = by_record(findings(entry, ODD, told))
        for record_id, (score, reason, _) in found.items():
            assert (score is None) == (reason is not None)
            if score is not None:
                assert not math.isnan(score), record_id
            else:
                assert reason and reason[0] != " " and not reason.endswith("."), "a clause that ends a sentence"
        assert found["empty"][0] is None and found["empty completion"][0] is None
        assert found["emoji"][0] is not None and found["right to left"][0] is not None
        assert found["long"][0] is not None


@every_comparer
def test_a_measure_that_tries_other_words_in_a_row_ranks_told_rows_first(entry: Entry):
    """By its nature it depends on company: what is tried in a row is taken from the others."""
    records = [*TOLD, *ODD, *OTHERS]
    found = list(system(entry)(Parrot(tuple(TOLD)), records))
    assert [f.record_id for f in found] == [r.id for r in records]
    assert {f.measure for f in found} == {entry.name} and list(system(entry)(Parrot(), [])) == []
    assert by_record(found) == by_record(list(system(entry)(Parrot(tuple(TOLD)), records[::-1])))
    for f in found:
        assert (f.score is None) == (f.reason is not None)
        assert f.score is None or not math.isnan(f.score)
        assert f.reason is None or (f.reason[0] != " " and not f.reason.endswith(".")), "a clause that ends a sentence"
    score = {f.record_id: f.score for f in found}
    assert score["empty"] is None and score["empty completion"] is None
    assert min(score[r.id] for r in TOLD) > max(score[r.id] for r in OTHERS)  # pyright: ignore
    (alone,) = system(entry)(Parrot(tuple(TOLD)), TOLD[:1])
    assert alone.reason is not None and "other row" in alone.reason


@every_asker
def test_a_measure_of_what_is_said_ranks_told_rows_first_and_is_silent_with_a_reason(entry: Entry):
    """By its nature it depends on company: a row is held against all others."""
    told = [Record(f"told {i}", text=r.plain * 2) for i, r in enumerate(TOLD)]
    others = [Record(f"other {i}", text=r.plain * 2) for i, r in enumerate(OTHERS)]
    records = [*told, *ODD, *others]
    found = findings(entry, records, told)
    assert [f.record_id for f in found] == [r.id for r in records]
    assert {f.measure for f in found} == {entry.name} and findings(entry, []) == []
    assert by_record(found) == by_record(findings(entry, records, told))
    for f in found:
        assert (f.score is None) == (f.reason is not None)
        assert f.score is None or not math.isnan(f.score)
        assert f.reason is None or (f.reason[0] != " " and not f.reason.endswith(".")), "a clause that ends a sentence"
    score = {f.record_id: -math.inf if f.score is None else f.score for f in found}
    assert min(score[r.id] for r in told) > max(score[r.id] for r in others)


@every_opener
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_a_measure_that_opens_the_model_finds_for_every_row_and_leaves_it_as_it_was(entry: Entry, family: str):
    """Whether it ranks told rows first is a question for a trained model, and no matter of form."""
    target = opened(family)
    weights = {name: value.clone() for name, value in target.module.state_dict().items()}
    records = [*TOLD, *ODD, *OTHERS]
    if family == "t5":
        said = {r.id: r.completion if r.form == "pair" else r.plain for r in records}
        records = [Record(r.id, prompt=r.prompt or "Say it: ", completion=said[r.id]) for r in records]
    found = list(system(entry)(target, records))
    assert [f.record_id for f in found] == [r.id for r in records]
    assert {f.measure for f in found} == {system(entry).name} and list(system(entry)(target, [])) == []
    assert by_record(found) == by_record(list(system(entry)(target, records)))
    scores = {f.record_id: f.score for f in found}
    for f in found:
        assert (f.score is None) == (f.reason is not None)
        assert f.score is None or math.isfinite(f.score)
        assert f.reason is None or (f.reason[0] != " " and not f.reason.endswith(".")), "a clause that ends a sentence"
    assert scores["empty"] is None and scores["empty completion"] is None
    assert all(scores[name] is not None for name in ("t0", "t3", "o1", "o2", "emoji", "right to left", "long"))
    alone = {k: v for r in records for k, (v, _, _) in by_record(list(system(entry)(target, [r]))).items()}
    mixed = [records[i] for i in np.random.default_rng(0).permutation(len(records))]
    shuffled = {f.record_id: f.score for f in system(entry)(target, mixed)}
    for name, score in scores.items():
        wanted = score if score is None else pytest.approx(score, rel=1e-4, abs=1e-6)
        assert alone[name] == wanted and shuffled[name] == wanted, name
    assert all(torch.equal(value, weights[name]) for name, value in target.module.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in target.module.modules()), "no hook is left"
    assert target.module.config._attn_implementation == "sdpa"  # pyright: ignore


@every_attack
def test_told_rows_come_back_and_others_do_not(entry: Entry):
    for attempt in system(entry)(Parrot(tuple(TOLD)), [*TOLD, *OTHERS]):
        came_back = np.array_equal(attempt.answer.ids, attempt.expected)
        assert came_back == (attempt.record_id[0] == "t"), attempt.record_id


@every_attack
def test_attempts_repeat_and_do_not_depend_on_company(entry: Entry):
    records = [*TOLD, *ODD, *OTHERS]
    together = attempts(entry, records)
    assert together == attempts(entry, records) == attempts(entry, records[::-1])
    assert together == {k: v for r in records for k, v in attempts(entry, [r]).items()}
    assert set(together) >= {"t0", "t1", "o0", "emoji", "right to left", "long"}
    assert not {"empty", "empty completion", "one"} & set(together)


@every_theory
def test_a_theory_repeats_for_a_seed_and_names_its_cases(entry: Entry):
    found = list(system(entry)(0))
    assert found and len({f.record_id for f in found}) == len(found) and {f.measure for f in found} == {entry.name}
    assert by_record(found) == by_record(list(system(entry)(0)))
    for f in found:
        assert (f.score is None) == (f.reason is not None)
        assert f.score is None or math.isfinite(f.score)
