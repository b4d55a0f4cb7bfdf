"""Telling rows apart, and rows of any content: what is bad about one row never costs another its measurement."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memorizers import LEARNED

from remanence.core.read import read_records
from remanence.core.record import Record
from remanence.core.target import Scores
from remanence.engine.opening import open_targets
from remanence.engine.rows import first_places
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.rows import audited
from remanence.jobs.audit.settings import AuditSettings

GRID = AuditSettings(prefixes=(0, 4, 8), new_tokens=12, schemes=("T=1",), generate="none")


def test_the_first_of_equal_rows_stands_for_all() -> None:
    rows = [Record("a", text="x"), Record("b", text="y"), Record("c", text="x"), Record("d", text="X")]
    assert first_places(rows) == [0, 1, 0, 3]


def test_copies_are_counted_up_to_case_and_spaces_but_measured_as_they_stand() -> None:
    data = audited([Record("a", text="One two three"), Record("b", text="one  two three")], None)
    assert (data.train.places, data.copies.tolist()) == ([0, 1], [2, 2])


def test_a_prompt_that_moves_into_the_completion_makes_another_row() -> None:
    rows = [Record("a", prompt="x\ny", completion="z"), Record("b", prompt="x", completion="y\nz")]
    assert rows[0].plain == rows[1].plain and first_places(rows) == [0, 1]


def test_chats_with_other_tools_are_other_rows() -> None:
    chat = ({"role": "user", "content": "hello"},)
    rows = [Record(str(i), messages=chat, meta={"tools": tools}) for i, tools in enumerate(([], ["clock"], []))]
    assert first_places(rows) == [0, 1, 0]


@pytest.fixture(scope="module")
def model(tuned: Path) -> Scores:
    found = open_targets(tuned, None, GRID)[0]
    assert isinstance(found, Scores)
    return found


said = st.none() | st.text(max_size=40) | st.text(alphabet="a \n\u202e\u200d\x00é漢🎉<|>{}%", max_size=200)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.lists(st.tuples(said, said), min_size=1, max_size=6))
def test_rows_of_any_content_leave_the_others_measured(model: Any, bad: list[tuple[str | None, str | None]]) -> None:
    good = [{"prompt": r.prompt, "completion": r.completion} for r in LEARNED[:3]]
    rows = [*good, *({"prompt": prompt, "completion": completion} for prompt, completion in bad)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = run_audit(model, read_records(path), None, None, Path(folder) / "run", GRID, show=False)
        lines = found.run.lines("rows")
    assert found.verdict["headline"]["hits"] >= 3
    repeats = sum(line["same_as"] is not None for line in lines)
    assert found.verdict["headline"]["n"] + sum(found.verdict["not_measured"].values()) + repeats == len(rows)
