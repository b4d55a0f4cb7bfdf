"""A streamed audit says what the ordinary one says: that one, which holds everything in memory, is the oracle."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from remanence.core.record import Record
from remanence.core.run import Run
from remanence.jobs.audit.audit import Audit, run_audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.opening import open_targets
from remanence.jobs.stream.settings import StreamSettings
from remanence.jobs.stream.stream import rescore_stream, run_stream

SETTINGS = AuditSettings(
    prefixes=(0, 4, 8), new_tokens=8, budgets=(4, 16), shard_rows=32, attempts=10, by=("kind",), queries=(1, 100)
)
WORDS = "the old river ran past a mill where nobody had worked since the long war ended in spring".split()


def rows(num: int, seed: int, prefix: str) -> list[Record]:
    """Prompts with completions of 0 to 30 words; some stand twice, some nearly."""
    rng = np.random.default_rng(seed)
    made: list[Record] = []
    for i in range(num):
        said = " ".join(rng.choice(WORDS, rng.integers(0, 30)).tolist())
        record = Record(f"{prefix}-{i}", prompt=f"Tell me about {rng.integers(0, 99)}:", completion=f" {said}")
        if i % 9 == 5:
            record = replace(made[i // 2], id=record.id)
        made.append(replace(record, meta={"kind": f"k{i % 3}"}))
    return made


def same(one: Any, other: Any) -> bool:
    """Equal, floats up to rounding in the last digits."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@dataclass(frozen=True)
class Both:
    whole: Audit
    streamed: Audit

    def lines(self, table: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return self.whole.run.lines(table), self.streamed.run.lines(table)


@pytest.fixture(scope="module")
def both(tuned: Path, llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The same 300 rows (some learned by heart), 120 held out (some leaked), audited both ways."""
    import memorizers

    model, base = open_targets(tuned, llama, SETTINGS)
    learned = [replace(r, meta={"kind": f"k{i % 3}"}) for i, r in enumerate(memorizers.LEARNED)]
    train = [*rows(150, 0, "a"), *learned, *rows(142, 1, "b")]
    heldout: Sequence[Record] = [*rows(118, 2, "h"), *(replace(train[i], id=f"leak-{i}") for i in (3, 4))]
    folder = tmp_path_factory.mktemp("both")
    arguments = {"fail_if": "rate>0.9", "show": False}
    whole = run_audit(model, train, heldout, base, folder / "whole", SETTINGS, **arguments)
    streamed = run_stream(model, train, heldout, base, folder / "streamed", SETTINGS, StreamSettings(), **arguments)
    return Both(whole, streamed)


def test_every_rate_is_the_same(both: Both) -> None:
    ours, theirs = both.lines("rates")
    assert len(ours) > 20 and any(line["hits"] for line in ours) and any(line["floor_n"] for line in ours)
    assert [line["value"] for line in ours] == [line["value"] for line in theirs]
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


def test_every_membership_figure_is_the_same(both: Both) -> None:
    ours, theirs = both.lines("membership")
    assert len(ours) == 5 * 3 + 4 * 3 + 1
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


def test_the_ranking_is_the_same_with_p_and_q_values(both: Both) -> None:
    ours, theirs = both.lines("ranking")
    assert len(ours) > 100 and ours[0]["comes_back"]
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


@pytest.mark.parametrize("table", ["attempts", "matches", "origins", "calibration"])
def test_the_same_rows_are_asked_with_the_same_answers(both: Both, table: str) -> None:
    ours, theirs = both.lines(table)
    assert ours and [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


def test_the_verdict_is_the_same_word_for_word(both: Both) -> None:
    ours, theirs = both.whole.verdict, both.streamed.verdict
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not same(ours[key], theirs[key])] == []


def test_scoring_again_without_the_model_gives_the_same_tables(both: Both) -> None:
    run = both.streamed.run
    before = {name: (run.folder / name).read_bytes() for name in ("rates.parquet", "ranking.parquet", "verdict.json")}
    rescore_stream(Run.open(run.folder))
    assert {name: (run.folder / name).read_bytes() for name in before} == before
