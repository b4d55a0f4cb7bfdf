"""Any system by its name: figures worked by hand, resume, refusals, and a report that hides training text."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import validate

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.executor import Serial
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.jobs.run_schema import run_schema
from remanence.jobs.systems.build import assignments
from remanence.jobs.systems.summary import Scores, summary
from remanence.models.parrot import Parrot
from remanence.report.html import write_report

TRAIN = [Record(str(i), text=f"{name} called at noon about invoice {4471 + i} and paid.") for i, name in enumerate(
    ["Anna Berg", "Jonas Falk", "Clara Holm", "<script>alert(1)</script>"]
)]  # fmt: skip
HELDOUT = [Record(str(i), text=f"Nothing that {name} wrote has been seen by anyone, {i} times over.") for i, name in
           enumerate(["Eric", "Mia", "Otto", "Ida", "Lena", "Paul"])]  # fmt: skip
PARROT = Parrot((*TRAIN[:3], HELDOUT[0]))
"""It has three of four training rows by heart, and one of six held-out rows."""


def ran(out: Path, name: str = "loss", **more: Any) -> Any:
    given: dict[str, Any] = {"heldout": HELDOUT, "out": out, "show_progress": False, "settings": {"alpha": 0.5}}
    return remanence.run(name, PARROT, TRAIN, **{**given, **more})


def test_figures_worked_by_hand(tmp_path: Path):
    """Exact memorization is 1 for rows it knows and 0 for others, so there are many ties."""
    verdict = ran(tmp_path / "run", "exact_memorization").verdict
    auc, share = verdict["auc"]["tuned"], verdict["share"]
    # 3 known rows beat 5 held-out rows and tie with 1: 3 * 5.5; the other ties with 5: 2.5. (16.5 + 2.5) / 24.
    assert auc["value"] == pytest.approx(19 / 24) and auc["low"] < 19 / 24 < auc["high"]
    # at most 3 of 6 held-out rows may lie above: the threshold is 0, and 1 does.
    assert share["threshold"] == 0
    assert (share["train"]["hits"], share["train"]["n"]) == (3, 4)
    assert (share["heldout"]["hits"], share["heldout"]["n"]) == (1, 6)
    assert share["excess"]["value"] == pytest.approx(3 / 4 - 1 / 6)
    assert verdict["copies"]["reason"] == "all measured rows stand in the data equally often"
    lines = Run.open(tmp_path / "run").lines("ranking")
    assert [line["id"] for line in lines] == ["0", "1", "2", "3"] and [line["above"] for line in lines] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_threshold_needs_held_out_rows(tmp_path: Path):
    few = ran(tmp_path / "few", settings={"alpha": 0.05}).verdict
    assert few["share"]["reason"] == "a false-positive rate of 5 % needs at least 60 held-out rows, got 6"
    none = ran(tmp_path / "none", heldout=None).verdict
    assert none["share"]["reason"] == none["auc"]["tuned"]["reason"] == "no held-out rows were given"
    assert "no held-out rows were given" in none["sentences"][0]


def test_figures_of_four_rows_against_six():
    scores = Scores(np.array([3, 2, 1, 0.5]), np.array([0, 0.6, 0.7, 0.8, 1.5, 2.5]))
    base = Scores(np.array([3, 0.1, 0.2, np.nan]), np.array([0, 0.6, 0.7, 0.8, 1.5, 2.5]))
    found = summary({"tuned": scores, "base": base}, np.array([8, 4, 2, 1]), 0.5)
    assert found["auc"]["tuned"]["value"] == pytest.approx((6 + 5 + 4 + 1) / 24)
    assert found["share"]["threshold"] == 0.7 and found["share"]["excess"]["value"] == pytest.approx(3 / 4 - 3 / 6)
    # of the three rows that both models score, all are above for the tuned model, one for the base model
    assert (found["share"]["base"]["hits"], found["share"]["base"]["n"]) == (1, 3)
    assert found["share"]["excess_over_base"]["value"] == pytest.approx(1 - 1 / 3)
    assert found["copies"]["value"] == 1


def test_a_row_that_stands_twice_is_measured_once_and_copies_are_counted(tmp_path: Path):
    rows = [*TRAIN, Record("copy", text=TRAIN[0].text)]
    given: dict[str, Any] = {"heldout": [*HELDOUT, Record("leak", text=TRAIN[1].text)], "out": tmp_path / "run"}
    found = remanence.run("loss", PARROT, rows, settings={"alpha": 0.5}, show_progress=False, **given)
    lines = {line["id"]: line["copies"] for line in found.run.lines("ranking")}
    assert lines == {"0": 2, "1": 1, "2": 1, "3": 1}
    assert found.verdict["auc"]["tuned"]["heldout"] == 6, "a held-out row of the training data is no held-out row"
    assert len(found.verdict["notes"]) == 2


class Stopping(Serial):
    """Stops after some tasks, as a killed process does."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks

    def map(self, opens: Callable[[], Any], work: Callable[[Any, Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        for number, done in enumerate(super().map(opens, work, tasks)):
            if number == self.tasks:
                raise KeyboardInterrupt
            yield done


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["loss", "prefix", "verbatim"])
def test_a_stopped_run_resumes_to_the_same_bytes(tmp_path: Path, name: str):
    short = {"tokens": 4, "new_tokens": 6} if name == "prefix" else {}
    short |= {"attack.tokens": 4, "attack.new_tokens": 40} if name == "verbatim" else {}
    more: dict[str, Any] = {"settings": {"alpha": 0.5, "shard_rows": 2}, **short}
    whole = ran(tmp_path / "whole", name, **more)
    for tasks in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            ran(tmp_path / "stopped", name, executor=Stopping(tasks), **more)
        assert not (tmp_path / "stopped" / "verdict.json").exists()
        with pytest.raises(RemanenceError, match="already holds a run"):
            ran(tmp_path / "stopped", name, **more)
        with pytest.raises(RemanenceError, match="other settings"):
            ran(tmp_path / "stopped", name, resume=True, **{**more, "settings": {"alpha": 0.4, "shard_rows": 2}})
        _ = ran(tmp_path / "stopped", name, resume=True, **more)
        assert content(tmp_path / "stopped") == content(whole.run.folder)
        shutil.rmtree(tmp_path / "stopped")


class Elsewhere(Serial):
    """Sends work and tasks through pickle, as an executor of other processes does, and returns results out of order."""

    def map(self, opens: Callable[[], Any], work: Callable[[Any, Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        sent = pickle.loads(pickle.dumps(work))
        done = [(task, sent(opens(), pickle.loads(pickle.dumps(task)))) for task in tasks]
        yield from done[::-1]


@pytest.mark.parametrize("name", ["loss", "prefix"])
def test_the_folder_is_the_same_whoever_computes(tmp_path: Path, name: str):
    short: dict[str, Any] = {"tokens": 4, "new_tokens": 6} if name == "prefix" else {}
    short["settings"] = {"alpha": 0.5, "shard_rows": 2}
    for executor in (Serial(), Elsewhere()):
        _ = ran(tmp_path / type(executor).__name__, name, executor=executor, **short)
    assert content(tmp_path / "Serial") == content(tmp_path / "Elsewhere")


def test_the_size_of_a_shard_changes_no_finding(tmp_path: Path):
    for name, more in (("exposure", {"tokens": 4}), ("truth_ratio", {}), ("verbatim", {"attack.tokens": 4})):
        parts: list[Any] = []
        for size in (1, 100):
            out = tmp_path / f"{name}-{size}"
            settings = {"alpha": 0.5, "shard_rows": size}
            parts.append(ran(out, name, settings=settings, **more).run.lines("findings"))
        assert parts[0] == parts[1], name


def test_run_json_obeys_the_schema_and_holds_no_training_text(tmp_path: Path):
    for name, more in (("min_k", {"fraction": "0.3"}), ("verbatim", {"attack.tokens": "4"}), ("prefix", {})):
        run = ran(tmp_path / name, name, **more).run
        validate(run.spec, run_schema())
        assert "Anna" not in json.dumps(run.spec) and run.spec["system"]["name"] == name
    assert run.spec["settings"]["alpha"] == 0.5


def test_an_attack_is_judged_and_its_attempts_are_kept(tmp_path: Path):
    found = ran(tmp_path / "run", "prefix", tokens=4, new_tokens=12)
    lines = found.run.lines("findings")
    exact = {(line["group"], line["id"]): json.loads(line["evidence"])["exact"] for line in lines}
    assert [exact["train", str(i)] for i in range(4)] == [True, True, True, False]
    assert [exact["heldout", str(i)] for i in range(6)] == [True, *[False] * 5]
    attempts = [line for table in found.run.shards("attempts/tuned-train") for line in table.to_pylist()]
    assert [line["exact"] for line in attempts] == [True, True, True, False]
    assert attempts[0]["prompt"] == "Anna" and attempts[0]["kind"] == "Prompt"


def test_held_out_rows_with_the_ids_of_training_rows_are_not_taken_for_them(tmp_path: Path):
    found = ran(tmp_path / "run", "idea", **{"attack.tokens": 4, "attack.new_tokens": 40})
    held = [line for line in found.run.lines("findings") if line["group"] == "heldout"]
    assert [line["id"] for line in held] == [record.id for record in HELDOUT]
    assert not any("not known which record" in (line["reason"] or "") for line in held)


def test_parameters_may_be_values_or_text_and_settings_stand_beside_them(tmp_path: Path):
    one = ran(tmp_path / "one", "min_k", fraction=0.5)
    two = remanence.run(
        "min-k", PARROT, TRAIN, heldout=HELDOUT, out=tmp_path / "two", fraction="0.5", alpha=0.5, show_progress=False
    )
    assert one.run.spec == two.run.spec
    assert one.run.spec["system"]["parameters"] == {"fraction": 0.5}


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("mink", {}, "No system is called 'mink': did you mean min_k"),
        ("min_k", {"fractoin": 1}, "did you mean fraction"),
        ("min_k", {"fraction": "many"}, "fraction of MinK is a number, got 'many'"),
        ("loss", {"fraction": 1}, "Loss has no parameter 'fraction': it has none at all"),
        ("attention", {"statistic": "x"}, "one of entropy, participation, top, gini"),
        ("attention", {}, "Attention needs a target that is open: a model folder or Hub name; parrot only generates"),
        ("reference", {}, "Reference compares with the model before fine-tuning: add --base"),
        ("verbatim", {"attack": "suffix"}, "did you mean prefix"),
        ("goldfish", {"epochs": "2"}, "Goldfish has no parameter 'epochs': write training.epochs"),
        ("goldfish", {"training.epochs": "many"}, "epochs of Goldfish.training is a number, got 'many'"),
        ("verbatim", {"attack.size": 1}, "has no parameter 'size'"),
        ("loss", {"settings": {"beta": 1}}, "A run has no setting 'beta': it has add_eos, alpha"),
        ("loss", {"settings": {"alpha": 2}}, "alpha"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, name: str, more: dict[str, Any], said: str):
    with pytest.raises(RemanenceError, match=said) as error:
        ran(tmp_path / "run", name, **more)
    assert str(error.value).endswith((".", "?")) and "\n" not in str(error.value)


def test_assignments_of_the_command_line():
    assert assignments(["a=1", "attack.b=x=y"]) == {"a": "1", "attack.b": "x=y"}
    for bad in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(RemanenceError):
            assignments(bad)


def test_the_report_hides_training_text_unless_asked_and_escapes_it(tmp_path: Path):
    found = ran(tmp_path / "run", "prefix", tokens=4, new_tokens=6)
    page = (found.run.folder / "report.html").read_text(encoding="utf-8")
    assert "Training text is hidden" in page and "(text hidden: " in page
    assert "invoice 44" not in page and "alert(1)" not in page and "Berg" not in page
    shown = write_report(found.run, reveal=True).read_text(encoding="utf-8")
    assert "This file contains training text" in shown and "Anna Berg called" in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown and "<script>alert" not in shown
    for text in (page, shown):
        assert "http://" not in text.split("<script>")[0] and "https://" not in text.split("<script>")[0]


def test_the_report_of_an_unfinished_run_says_so(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path / "run", executor=Stopping(0))
    page = write_report(Run.open(tmp_path / "run")).read_text(encoding="utf-8")
    assert "This run has no verdict: it was not finished; add --resume." in page
