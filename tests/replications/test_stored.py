"""Every experiment keeps to the frame, and every stored verdict is what its rule says of its figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from remanence.replications.frame.experiment import Part, outcome
from remanence.replications.frame.figure import Figures, from_json
from remanence.replications.frame.run import experiment_names, find_experiment
from remanence.replications.frame.stored import RESULTS, every, sentence

STORED = sorted(RESULTS.glob("*.json"))


def test_results_belong_to_experiments():
    assert {path.stem for path in STORED} <= set(experiment_names())


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_verdict_is_judged_again(path: Path):
    stored = json.loads(path.read_text(encoding="utf-8"))
    experiment = find_experiment(path.stem).at(stored["size"])
    assert len(stored["seeds"]) >= 3
    assert (stored["claim"], stored["system"]) == (experiment.claim, experiment.system)
    settings = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    assert json.loads(json.dumps(settings)) == stored["settings"], "the experiment has changed: run it again"
    verdicts = [experiment.judge(from_json(stored["figures"], place)) for place in range(len(stored["seeds"]))]
    parts = [[dataclasses.asdict(part) for part in verdict.figures["parts"]] for verdict in verdicts]
    assert parts == stored["parts"]
    holds = [verdict.holds for verdict in verdicts]
    assert stored["verdict"] == {"holds": every(holds), "sentence": sentence(holds), "by_seed": holds}


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_no_stored_verdict_survives_a_failed_control(path: Path):
    for of_seed in json.loads(path.read_text(encoding="utf-8"))["parts"]:
        parts = [Part(**part) for part in of_seed]
        for control in (part for part in parts if part.role == "control"):
            failed = [dataclasses.replace(part, holds=False) if part is control else part for part in parts]
            assert outcome(failed) is None


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_keeps_to_the_frame(name: str):
    kind = find_experiment(name)
    assert kind.claim.endswith(".") and "quick" in kind.sizes
    assert len(kind.at("quick").arms()) >= 1 and kind.at("quick") != kind.at()


@pytest.mark.slow
@pytest.mark.parametrize("name", experiment_names())
def test_a_quick_run_gives_a_verdict(name: str, quick: Callable[[str], Figures]):
    """Trains only where the code has changed since the quick run was stored; then the figures are those of the code
    as it is. A second rule over the same figures says the same."""
    experiment, figures = find_experiment(name).at("quick"), quick(name)
    parts = experiment.rule(figures)
    assert any(part.role == "claim" for part in parts)
    assert len({part.statement for part in parts}) == len(parts)
    assert all(part.because and not part.because.endswith(".") for part in parts)
    assert experiment.judge(figures) == experiment.judge(figures)
    assert set(experiment.arms()) <= set(figures)
