"""Run folders of version 1 are read, and scored again to the very figures that were written then.

The folders were made by commit e3c4907, see `tests/golden/make_run_v1.py`: one audit of 41 fictional rows in memory and
one of the same rows streamed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.jobs.audit.settings import AuditSettings
from remanence.report.html import write_report

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = ("run-v1", "run-v1-stream")
TABLES = ("rates", "ranking", "membership")
NEAR = 1e-12
"""How far a figure may be from the one that was written: rounding."""


@pytest.fixture(params=FOLDERS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A copy of a golden folder, to write in."""
    return Run.open(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


def figures(value: Any) -> Any:
    """A verdict without its sentences: numbers, names and lists of them."""
    if isinstance(value, dict):
        return {k: figures(v) for k, v in value.items() if k not in {"sentences", "sentence", "notes", "cannot_claim"}}
    return [figures(v) for v in value] if isinstance(value, list) else value


def assert_same(one: Any, other: Any, place: str = "") -> None:
    """Equal, numbers up to rounding."""
    if isinstance(one, dict):
        assert isinstance(other, dict) and one.keys() == other.keys(), place
        for key in one:
            assert_same(one[key], other[key], f"{place}/{key}")
    elif isinstance(one, list):
        assert isinstance(other, list) and len(one) == len(other), place
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{place}/{i}")
    elif isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, abs=NEAR, nan_ok=True), place
    else:
        assert one == other, place


def test_the_folders_have_something_to_tell():
    verdict = Run.open(GOLDEN / "run-v1").read_json("verdict.json")
    assert (verdict["headline"]["hits"], verdict["headline"]["n"]) == (9, 14)
    assert len(Run.open(GOLDEN / "run-v1").lines("rates")) > 30


def test_scoring_again_gives_the_figures_that_were_written(run: Run) -> None:
    before = {name: run.lines(name) for name in TABLES}
    verdict = figures(run.read_json("verdict.json"))
    again = remanence.score(run.folder)
    for name in TABLES:
        assert_same(again.run.lines(name), before[name], name)
    assert_same(figures(again.verdict), verdict)


def test_another_choice_of_measures_leaves_the_others_as_they_were(run: Run) -> None:
    before = [line for line in run.lines("membership") if line["measure"] in {"loss", "min_k", "bag of words"}]
    again = remanence.score(run.folder, ["loss", "min_k"])
    assert_same(again.run.lines("membership"), before)


def test_the_report_is_written(run: Run) -> None:
    page = write_report(run, reveal=True).read_text(encoding="utf-8")
    assert "64.3" in page and "train-00001" in page


def test_the_streamed_run_tells_what_the_other_does() -> None:
    whole, streamed = (Run.open(GOLDEN / name) for name in FOLDERS)
    assert_same(streamed.lines("rates"), whole.lines("rates"))
    assert_same(streamed.lines("membership"), whole.lines("membership"))
    assert_same(streamed.lines("ranking"), whole.lines("ranking")[:8])


def test_two_runs_of_the_same_rows_are_compared() -> None:
    change = remanence.compare(GOLDEN / "run-v1", GOLDEN / "run-v1-stream")
    assert (change.one.hits, change.one.n, change.other.hits, change.change) == (9, 14, 9, 0.0)


def test_a_setting_that_was_renamed_is_not_a_difference(run: Run, tmp_path: Path) -> None:
    old = run.spec
    new = Run(Path(shutil.copytree(run.folder, tmp_path / "new")))
    new.write_json("run.json", old | {"schema": 2, "settings": AuditSettings.of_spec(old["settings"]).spec()})
    assert "attempts" in old["settings"] and "generate_rows" in new.spec["settings"]
    assert remanence.compare(run.folder, new.folder).notes == ()
    new.write_json("run.json", new.spec | {"settings": new.spec["settings"] | {"generate_rows": 7, "seed": 5}})
    assert remanence.compare(run.folder, new.folder).notes == ("The settings differ in generate_rows, seed.",)


def test_a_run_of_version_1_is_not_resumed(run: Run) -> None:
    with pytest.raises(RemanenceError, match="another version of remanence"):
        Run.begin(run.folder, run.spec | {"schema": 2}, resume=True)
