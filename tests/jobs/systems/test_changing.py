"""Mitigations by name: the changed model is saved and evaluated before and after; the given model stays as it is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import validate

import remanence
from remanence.core.catalogue import find
from remanence.core.errors import RemanenceError
from remanence.core.executor import Serial
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.jobs.run_schema import run_schema
from remanence.jobs.systems.measuring import run_spec
from remanence.jobs.systems.own_items import part_scores, run_experiment
from remanence.jobs.systems.settings import RunSettings
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model
from remanence.models.parrot import Parrot
from remanence.models.render import Renderer
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import share

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import tiny_models

WORDS = ("red", "kite", "over", "harbour", "seen", "by", "Ada", "on", "Monday", "while", "brown", "dogs", "slept")


def rows(start: int, num: int) -> list[Record]:
    rng = np.random.default_rng(start)
    return [Record(f"r{start + i}", text=" ".join(rng.choice(WORDS, 14))) for i in range(num)]


TRAIN, HELDOUT = rows(0, 24), rows(100, 12)


def target(name: str = "tiny", seed: int = 0) -> HuggingFace:
    torch.manual_seed(seed)
    tokenizer = tiny_models.make_tokenizer(appends_eos=False, chat_template=tiny_models.PLAIN_TEMPLATE)
    model = tiny_models.make_model("gpt2", tokenizer)
    return HuggingFace(model, tokenizer, Renderer(tokenizer, context=128), name, f"{seed:016x}", "causal")


def ran(out: Path, name: str, model: Any, **more: Any) -> Any:
    given = {"heldout": HELDOUT, "out": out, "show_progress": False, **more}
    return remanence.run(name, model, TRAIN, **given)


@pytest.mark.slow
def test_unlearning_by_name_saves_a_model_and_audits_before_and_after(tmp_path: Path):
    given = target()
    weights = {name: value.clone() for name, value in given.module.state_dict().items()}
    found = ran(tmp_path / "run", "gradient_ascent", given, forget=[r.id for r in TRAIN[:6]])
    assert all(torch.equal(value, weights[name]) for name, value in given.module.state_dict().items())
    run = found.run
    validate(run.spec, run_schema())
    assert run.spec["data"]["forget"]["rows"] == 6
    before, after = Run.open(run.folder / "before"), Run.open(run.folder / "after")
    assert before.spec["models"]["tuned"]["fingerprint"] != after.spec["models"]["tuned"]["fingerprint"]
    saved = load_model(run.folder / "model")
    assert saved.fingerprint == after.spec["models"]["tuned"]["fingerprint"], "what was saved is what was audited"
    assert "6 rows were named to be forgotten" in " ".join(found.verdict["sentences"])
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert 'href="before/report.html"' in page and (run.folder / "before" / "report.html").is_file()
    again = ran(tmp_path / "run", "gradient_ascent", given, forget=[r.id for r in TRAIN[:6]], resume=True)
    assert again.verdict == found.verdict


@pytest.mark.slow
def test_training_anew_by_name_starts_from_the_base_model(tmp_path: Path):
    base, tuned = target("base", 0), target("tuned", 1)
    found = ran(tmp_path / "run", "deduplicate", tuned, base=base)
    assert (found.run.folder / "model" / "model.safetensors").is_file()
    assert found.verdict["comparison"]["one"]["n"] == found.verdict["comparison"]["other"]["n"] > 0
    with pytest.raises(RemanenceError, match="trains the base model on the rows anew: add --base"):
        ran(tmp_path / "other", "deduplicate", tuned)


@pytest.mark.slow
def test_a_guard_of_decoding_is_evaluated_by_generation(tmp_path: Path):
    found = ran(tmp_path / "run", "memfree", target(), n=4)
    assert found.verdict["model"] is None and "Weights are unchanged" in found.verdict["notes"][0]
    assert not (found.run.folder / "model").exists()
    assert found.verdict["comparison"]["other"]["hits"] == 0


def test_unlearning_needs_rows_that_are_named(tmp_path: Path):
    with pytest.raises(RemanenceError, match="forgets rows that you name: add --forget"):
        ran(tmp_path / "run", "npo", target())


def test_a_target_without_weights_is_refused_before_anything_is_measured(tmp_path: Path):
    with pytest.raises(RemanenceError, match="NPO needs a target that is open"):
        ran(tmp_path / "run", "npo", Parrot(tuple(TRAIN)), forget=["r0"])
    assert not (tmp_path / "run" / "before").exists()


def test_a_theory_by_name_needs_no_model(tmp_path: Path):
    found = remanence.run("sparse_coding", out=tmp_path / "run", samples=500, show_progress=False)
    validate(found.run.spec, run_schema())
    lines = found.run.lines("findings")
    assert lines[0]["id"] == "needs 1 of 8" and len(lines) == 4
    assert len(found.verdict["sentences"]) == 5
    assert "needs 1 of 8" in (found.run.folder / "report.html").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Coins(Experiment):
    """The claim holds when more heads come up with the loaded coin."""

    claim = "A loaded coin shows more heads."
    loaded: float = 0.9

    def arms(self) -> dict[str, float]:
        return {"fair": 0.5, "loaded": self.loaded}

    def train(self, arm: float, shared: Any, seed: int) -> Any:
        return np.random.default_rng(seed).random(50) < arm

    def measure(self, trained: Any, shared: Any, seed: int) -> Any:
        return {"heads": share(trained)}

    def rule(self, figures: Any) -> list[Part]:
        fair, loaded = (figures[arm]["heads"].value for arm in ("fair", "loaded"))
        return [Part("More heads", loaded > fair, f"{loaded} against {fair}")]


def test_an_experiment_by_name_gives_the_verdict_of_replicate(tmp_path: Path):
    entry = find("attention_spread")
    for loaded, holds in ((0.9, True), (0.5, False)):
        run = Run.begin(tmp_path / f"{loaded}", run_spec(entry, Coins(loaded), None, {}, RunSettings()))
        verdict = run_experiment(run, entry, Coins(loaded), range(3), Serial()).verdict
        assert [one["holds"] for one in verdict["seeds"]] == [holds] * 3
        words = "holds" if holds else "does not hold"
        assert verdict["sentences"][0] == f"A loaded coin shows more heads. Over all seeds: {words}, 3 seeds of 3."


def test_scores_of_a_benchmark_by_part_with_chance():
    items = [Finding(str(i), "b", float(i < 6), {"part": "easy" if i < 4 else "hard"}) for i in range(8)]
    items += [Finding("x", "b", None, reason="too long")]
    found = part_scores(items, 0.25, 0)
    assert {part: (one["value"], one["n"], one["chance"]) for part, one in found.items()} == {
        "all items": (0.75, 8, 0.25), "easy": (1.0, 4, 0.25), "hard": (0.5, 4, 0.25),
    }  # fmt: skip
    assert (found["all items"]["low"], found["all items"]["high"]) == pytest.approx((0.3491, 0.9681), abs=1e-4)
    partial = part_scores([Finding(str(i), "b", i / 10, {"chance": i / 100}) for i in range(11)], None, 0)["all items"]
    assert partial["value"] == pytest.approx(0.5) and partial["chance"] == pytest.approx(0.05)
    assert partial["low"] < 0.5 < partial["high"]
