"""A whole study: every table is there, a killed one goes on, it is scored again without a model, bad input is told."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_study import ARMS, SETTINGS, study

from remanence.core.errors import RemanenceError
from remanence.core.executor import Serial
from remanence.core.run import Run
from remanence.jobs.study.outcomes import read_outcomes
from remanence.jobs.study.study import Studied, rescore_study, run_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    return study(tmp_path_factory.mktemp("study") / "s")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_arm_has_its_tables_and_no_path_is_written(done: Studied) -> None:
    folder = done.run.folder
    for arm in ARMS:
        for name in ("curve", "probes", "tokens-train", "attempts", "outcomes", "attention-train", "maps"):
            assert (folder / "arms" / arm.slug / f"{name}.parquet").is_file(), name
        assert not (folder / "arms" / arm.slug / "model").exists()
    assert str(folder.parent).encode() not in (folder / "run.json").read_bytes()
    assert done.run.spec["data"]["dialogue"]["rows"] == 80


def test_the_greedy_outcomes_agree_with_what_the_model_says(done: Studied) -> None:
    """The table says that the first four tokens of an output come back just when the answer begins with them."""
    for arm in ARMS:
        cells = {
            (group, cell.metric, cell.side, cell.prefix, cell.budget): values
            for who, group, cell, values in read_outcomes(done.run, f"arms/{arm.slug}/outcomes")
            if who == "tuned"
        }
        for group in ("train", "heldout"):
            lines = [
                line
                for line in done.run.lines(f"arms/{arm.slug}/attempts")
                if (line["group"], line["side"]) == (group, "output")
            ]
            said = [line["answer_ids"][:4] == line["expected_ids"][:4] for line in lines]
            assert cells[group, "greedy", "output", "0", 4].tolist() == [float(s) for s in said]


def test_the_curve_has_every_epoch_and_the_loss_falls(done: Studied) -> None:
    for arm in ARMS:
        lines = [line for line in done.run.lines(f"arms/{arm.slug}/curve") if line["group"] == "train"]
        assert [line["epoch"] for line in lines] == [0, 1, 2]
        assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_prompt_is_at_most_half_of_the_input_and_the_answer_a_hundredth(done: Studied) -> None:
    decoder = ARMS[0]
    probes = {(p["group"], p["row"]): p for p in done.run.lines(f"arms/{decoder.slug}/probes")}
    for line in done.run.lines(f"arms/{decoder.slug}/attempts"):
        boundary = probes[line["group"], line["row"]]["boundary"]
        if line["side"] == "input":
            assert len(line["prompt_ids"]) == 1 + min(50, (boundary - 1) // 2)
        else:
            assert len(line["prompt_ids"]) == boundary
        assert len(line["answer_ids"]) <= 20


def test_it_is_scored_again_without_a_model_to_the_same_bytes(done: Studied, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "again"
    shutil.copytree(done.run.folder, folder)
    before = files(folder)
    for path in [*folder.rglob("outcomes.parquet"), folder / "effects.parquet", folder / "verdict.json"]:
        path.unlink()
    monkeypatch.setattr("remanence.jobs.study.unit.open_targets", None)  # whoever opens a model fails
    rescore_study(Run(folder))
    assert files(folder) == before


def test_a_stricter_detector_flags_no_more(done: Studied, tmp_path: Path) -> None:
    folder = tmp_path / "strict"
    shutil.copytree(done.run.folder, folder)
    rescore_study(Run(folder), alpha=0.5, detectors=["calibrated"])

    def flagged(run: Run) -> dict[tuple[Any, ...], int]:
        lines = [one for one in run.lines("effects") if (one["metric"], one["copies"]) == ("calibrated-any", "all")]
        return {(one["model"], one["side"], one["budget"]): one["hits"] for one in lines}

    strict, loose = flagged(done.run), flagged(Run(folder))
    assert strict and strict.keys() == loose.keys()
    assert all(strict[cell] <= loose[cell] for cell in strict)
    with pytest.raises(RemanenceError, match="cannot change without the models"):
        rescore_study(Run(folder), rows=20)


class Elsewhere(Serial):
    """An executor whose workers share nothing with this process: tasks and results are pickled on the way."""

    def map(self, opens: Any, work: Any, tasks: Any) -> Any:
        for task in tasks:
            sent = pickle.loads(pickle.dumps((opens, work, task)))
            yield task, pickle.loads(pickle.dumps(sent[1](sent[0](), sent[2])))


def test_an_executor_writes_the_same_bytes_without_a_shared_folder(done: Studied, tmp_path: Path) -> None:
    study(tmp_path / "elsewhere", executor=Elsewhere())
    assert files(tmp_path / "elsewhere") == files(done.run.folder)


def test_two_processes_write_the_same_bytes_as_one(done: Studied, tmp_path: Path) -> None:
    study(tmp_path / "two", workers=2)
    assert files(tmp_path / "two") == files(done.run.folder)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param("bases/*/texts.parquet", marks=pytest.mark.nightly),
        "arms/*/model/config.json",
        pytest.param("arms/*/attempts.parquet", marks=pytest.mark.nightly),
    ],
)
def test_a_killed_study_goes_on_and_ends_with_the_same_bytes(done: Studied, tmp_path: Path, seen: str) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, str(Path(__file__).parent / "small_study.py"), str(out)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 300
    while not any(out.glob(seen)) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any(out.glob(seen)) and not (out / "verdict.json").exists()
    subprocess.run([*command, "resume"], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert files(out) == files(done.run.folder)


def test_bad_input_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="no arm"):
        run_study({}, {}, [], tmp_path / "a", SETTINGS)
    with pytest.raises(RemanenceError, match="no task 'dialogue'"):
        run_study({}, {"decoder": "x"}, ARMS[:1], tmp_path / "a", SETTINGS)
    with pytest.raises(RemanenceError, match="no model 'decoder'"):
        run_study({"dialogue": list}, {}, ARMS[:1], tmp_path / "a", SETTINGS)


def test_nothing_is_measured_where_a_row_is_shorter_than_the_budget(done: Studied) -> None:
    for _, group, cell, values in read_outcomes(done.run, f"arms/{ARMS[0].slug}/outcomes"):
        if cell.metric == "calibrated-own" and cell.side == "output":
            lines = [line for line in done.run.lines(f"arms/{ARMS[0].slug}/attempts")
                     if (line["group"], line["side"]) == (group, "output")]  # fmt: skip
            short = np.array([len(line["expected_ids"]) < cell.budget for line in lines])
            assert np.isnan(values[short]).all()
