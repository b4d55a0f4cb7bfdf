"""`remanence show` and `list`: every system of the catalogue says what it is, without loading anything heavy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from remanence.cli.app import app
from remanence.core.catalogue import Entry, entries, find
from remanence.core.errors import RemanenceError
from remanence.jobs.systems import describe

every = pytest.mark.parametrize("entry", entries(), ids=lambda e: f"{e.verb}-{e.name}")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@every
def test_every_system_can_be_shown(entry: Entry):
    text = describe.description(entry)
    assert max(map(len, text.splitlines())) <= 120
    plain = " ".join(text.split())
    assert entry.title in plain and entry.cost in plain and entry.purpose in plain
    assert entry.cost and entry.purpose
    for parameter in entry.parameters:
        assert f"{parameter.name} (" in plain and parameter.text in plain
    assert json.loads(json.dumps(describe.described(entry)))["name"] == entry.name


def test_show_names_parameters_needs_cost_and_paper():
    said = run("show", "min-k")
    assert "fraction (float, default 0.2)" in said and "needs: a target that scores tokens" in said
    assert "cost:  1 forward pass per row" in said and "arXiv 2310.16789" in said.replace("\n       ", " ")
    assert json.loads(run("show", "min_k", "--format", "json"))["parameters"][0]["default"] == "0.2"


def test_of_one_name_for_two_systems_the_verb_decides():
    assert "Mitigation" in run("show", "goldfish") and "Experiment" in run("show", "goldfish", "--verb", "experiment")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(RemanenceError, match="No system is called 'mink': did you mean min_k"):
        run("show", "mink")


def test_verdicts_measured_here_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored = {"name": "goldfish", "system": "goldfish", "claim": "Goldfish loss lowers extraction."}
    verdict = {"holds": False, "seeds": [0, 1, 2], "sentence": "does not hold, 3 seeds of 3"}
    (tmp_path / "goldfish.json").write_text(json.dumps({**stored, "verdict": verdict}))
    monkeypatch.setattr(describe, "RESULTS", tmp_path)
    said = " ".join(describe.description(find("goldfish")).split())
    assert "Measured here: Goldfish loss lowers extraction. Does not hold, 3 seeds of 3." in said
    assert describe.verdicts(find("min_k")) == []


def listed(*arguments: str) -> list[str]:
    return [json.loads(line)["name"] for line in run("list", *arguments, "--format", "json").splitlines()]


def test_list_filters_by_verb_wing_ability_and_words():
    everything = listed()
    assert sorted(everything) == sorted(e.name for e in entries())
    assert listed("--verb", "attack") == ["prefix"] and listed("--wing", "measure/likelihood")[0] == "loss"
    assert {"verbatim", "rouge", "prefix"} <= set(listed("--needs", "generates"))
    entry = find("min_k")
    assert "min_k" in listed(*entry.caption.split()[:3], "--verb", "measure") and listed("Karlin") == ["verbatim"]
    assert "--wing" not in listed("--wing", "mitigate/training") and "cit" in listed("--wing", "mitigate/training/")


@pytest.mark.parametrize(
    ("arguments", "said"), [(("--verb", "verb"), "--verb is one of measure, attack"), (("zzz",), "No system fits")]
)
def test_filters_that_fit_nothing_are_told(arguments: tuple[str, ...], said: str):
    with pytest.raises(RemanenceError, match=said):
        run("list", *arguments)
