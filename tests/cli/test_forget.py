"""`remanence forget` on the command line: the same defaults as from Python, a sentence for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "Say what to forget"),
        (("--ids=r1", "--forget=rows.jsonl"), "Name the rows to forget once"),
        (("--ids=r1", "--method=amnesia"), "There is no method 'amnesia'"),
        (("--ids=r1", "--max-loss-increase=0"), "--max-loss-increase must be above 0"),
        (("--ids=r1", "--evaluate=mine"), "--evaluate is FILE.py:FUNCTION"),
        (("--ids=nobody",), "'nobody' is to be forgotten, but the training data have no such id"),
        (("--ids=r1", "--format=xml"), "--format is one of table, json"),
        (("--run=nowhere",), "is not a run folder"),
    ],
)
def test_a_mistake_gets_one_sentence(remanence: Any, place: Path, tmp_path: Path, more: Any, said: str) -> None:
    base = (f"--model={place / 'base'}", f"--data={place / 'rows.jsonl'}", f"--out={tmp_path / 'run'}")
    done = remanence("forget", *base, *more)
    assert done.code == 2 and done.out == "" and "Traceback" not in done.err
    assert said in done.sentence, done.err
    assert not (tmp_path / "run").exists()
