"""`remanence forget` on the command line: the same defaults as from Python, a sentence for each mistake."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from remanence.cli.app import app
from remanence.jobs.forget.settings import ForgetSettings

LATER = {"loss_on": None, "max_length": None}
"""Options that take over what the audit said, unless they are named."""


def test_options_have_the_defaults_of_the_settings() -> None:
    command: Any = typer.main.get_command(app)
    options = {option.name: option.default for option in command.commands["forget"].params}
    wanted = {field.name: field.default for field in fields(ForgetSettings)} | LATER
    shared = set(wanted) & set(options)
    assert {"limit", "goal", "steps", "check_every", "beyond", "finalists", "twins", "merge", "seed"} <= shared
    differing = {n for n in shared if options[n] != wanted[n]} - {"learning_rates"}
    assert differing == set() and options["method"] == "auto" and ForgetSettings().methods == ("auto",)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "Say what to forget"),
        (("--ids=r1", "--forget=rows.jsonl"), "Name the rows to forget once"),
        (("--ids=r1", "--method=amnesia"), "There is no method 'amnesia'"),
        (("--ids=r1", "--limit=0"), "--limit must be above 0"),
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
