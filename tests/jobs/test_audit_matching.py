"""The detector inside an audit, on a parrot: whose words the answers are made of, on every side of the comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.corpora.casebook.corpus import private_corpus
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.measure.plagiarism.types import ORIGINS
from remanence.models.parrot import Parrot

MADE = private_corpus(5, 260, (1, 2), 150)
LONG = [r for r in MADE.train if len(r.completion or "") > 170 and r.id != "train-00006"]
TOLD, UNTOLD = LONG[:10], LONG[10:16]  # none of them made of stock phrases alone
TRAIN = [*UNTOLD, *TOLD, replace(TOLD[0], id="again")]
HELD = [r for r in MADE.heldout if len(r.completion or "") > 60]
SETTINGS = AuditSettings(prefixes=(8,), new_tokens=150, generate="all", alpha=0.05, schemes=("T=1",))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def audit(out: Path, *, base: bool = True, resume: bool = False, **changed: Any) -> Audit:
    settings = replace(SETTINGS, **changed)
    told = Parrot((*TOLD, HELD[0]))
    below = Parrot(name="egg") if base else None
    return run_audit(told, TRAIN, HELD, below, out, settings, resume=resume, show=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return audit(tmp_path_factory.mktemp("audit") / "run").run


def sides(run: Run) -> dict[tuple[str, str, str], dict[str, dict[str, Any]]]:
    """Lines of origins by model, group and side, then by row."""
    asked, found = run.lines("attempts"), dict[tuple[str, str, str], dict[str, dict[str, Any]]]()
    for line in run.lines("origins"):
        attempt = asked[line["attempt"]]
        found.setdefault((attempt["target"], attempt["group"], line["side"]), {})[attempt["id"]] = line
    return found


def test_every_attempt_is_judged_and_the_ceiling_beside_it(run: Run) -> None:
    found = sides(run)
    assert {key: len(lines) for key, lines in found.items()} == {
        ("tuned", "train", "said"): 16,
        ("tuned", "train", "ceiling"): 16,
        ("tuned", "heldout", "said"): len(found["tuned", "heldout", "said"]),
        ("base", "train", "said"): 16,
        ("base", "heldout", "said"): len(found["tuned", "heldout", "said"]),
    }
    for lines in found.values():
        for line in lines.values():
            assert sum(line[name] for name in ORIGINS) == line["num_words"]


def test_told_rows_are_their_own_and_the_others_say_nothing(run: Run) -> None:
    said = sides(run)["tuned", "train", "said"]
    for record in TOLD:
        line = said[record.id]
        assert line["label"] == "verbatim" and line["own"] > 0 and line["other"] == 0, record.id
    for record in UNTOLD:  # question marks
        assert (said[record.id]["label"], said[record.id]["reason"]) == (None, "it has no words")
    ceiling = sides(run)["tuned", "train", "ceiling"]
    assert all(ceiling[r.id]["label"] == "verbatim" for r in [*TOLD, *UNTOLD])


def test_matches_are_named_beside_the_longest_spans(run: Run) -> None:
    asked = run.lines("attempts")
    texts = {r.id: r.plain for r in TRAIN}
    lines = run.lines("matches")
    flagged = [m for m in lines if m["length"] is None]
    assert len(flagged) >= len(TOLD) and any(m["length"] is not None for m in lines)
    assert [m["attempt"] for m in lines] == sorted(m["attempt"] for m in lines)
    for m in flagged:
        attempt = asked[m["attempt"]]
        here = attempt["answer"][m["char_start"] : m["char_end"]]
        there = texts[m["train_id"]][m["record_char_start"] : m["record_char_end"]]
        assert m["record_text"] == there
        if m["kind"] == "verbatim" and m["whose"] != "other":
            assert m["train_id"] == attempt["id"] and here in there


def test_rates_have_floor_base_and_ceiling(run: Run) -> None:
    lines = {line["value"]: line for line in run.lines("rates") if line["metric"] == "match"}
    assert set(lines) == {"verbatim", "paraphrase", "idea"}
    verbatim = lines["verbatim"]
    assert (verbatim["hits"], verbatim["n"]) == (10, 10)  # six rows got no words: not measurable, no zeros
    assert verbatim["ceiling_hits"] == verbatim["ceiling_n"] == 10 and verbatim["detail"] == "alpha=0.05"
    assert verbatim["base_n"] == 0 and verbatim["base_rate"] is None  # the egg says nothing that could be judged
    assert verbatim["floor_n"] <= 1
    hits = [lines[kind]["hits"] for kind in ("verbatim", "paraphrase", "idea")]
    assert hits == sorted(hits)


def test_what_the_detector_flags_is_told_by_task_too(run: Run, tmp_path: Path) -> None:
    found = audit(tmp_path / "run", by=("task",))
    match = [r for r in found.run.lines("rates") if r["metric"] == "match"]
    whole = {r["value"]: r for r in match if r["by"] == "kind"}
    assert list(whole.values()) == [r for r in run.lines("rates") if r["metric"] == "match"]
    for kind, line in whole.items():
        parts = [r for r in match if r["by"] == "column:task" and r["detail"] == f"{kind}, alpha=0.05"]
        assert len(parts) >= 2 and all(r["value"] in {t.meta["task"] for t in TRAIN} for r in parts)
        for count in ("hits", "n", "floor_hits", "floor_n", "base_n", "ceiling_hits", "ceiling_n"):
            assert sum(r[count] for r in parts) == line[count], count
    told = found.verdict["columns"][0]["detector"]
    assert told["sentence"].startswith("In the share of generated texts that match training rows,")


def test_calibration_is_that_of_the_held_out_rows(run: Run) -> None:
    lines = run.lines("calibration")
    assert {line["alpha"] for line in lines} == {0.001, 0.01, 0.05}
    assert all(0 < line["realised_n"] <= len(HELD) for line in lines)
    assert any(line["bits"] is not None for line in lines)


@pytest.mark.parametrize("generate", ["none", "auto"])
def test_where_not_every_row_was_asked_there_is_no_match_rate(tmp_path: Path, generate: str) -> None:
    found = audit(tmp_path / "run", generate=generate).run
    assert not [line for line in found.lines("rates") if line["metric"] == "match"]
    assert found.has("origins.parquet") == (generate == "auto")
    if generate == "auto":
        assert {line["label"] for line in found.lines("origins") if line["side"] == "said"} >= {"verbatim"}


def test_scoring_again_keeps_what_the_detector_found(tmp_path: Path) -> None:
    done = audit(tmp_path / "run").run
    before = files(done.folder)
    remanence.score(done.folder)
    after = files(done.folder)
    for name in ("origins.parquet", "calibration.parquet", "matches.parquet", "rates.parquet", "verdict.json"):
        assert after[name] == before[name], name


def test_without_held_out_rows_matches_have_e_values_and_no_p_values(tmp_path: Path) -> None:
    told = run_audit(Parrot(tuple(TOLD)), TRAIN, None, None, tmp_path / "run", SETTINGS, show=False).run
    assert told.lines("calibration") == []
    flagged = [m for m in told.lines("matches") if m["length"] is None and m["kind"] == "verbatim"]
    assert flagged and all(m["p_value"] is None and m["e_value"] <= 0.05 for m in flagged)
    line = next(line for line in told.lines("rates") if line["metric"] == "match")
    assert line["floor_n"] is None and line["hits"] == 10


def test_held_out_rows_that_all_stand_in_training_are_no_error(tmp_path: Path) -> None:
    held = [replace(r, id=f"h-{r.id}", group="heldout") for r in TOLD[:4]]
    told = run_audit(Parrot(tuple(TOLD)), TRAIN, held, None, tmp_path / "run", SETTINGS, show=False).run
    assert all(line["reason"] for line in told.lines("origins"))


def test_a_base_models_surprise_needs_a_base_model(tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="--background base needs --base"):
        audit(tmp_path / "run", base=False, background="base")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("place", ["found/00000.parquet", "matches.parquet", "origins.parquet"])
def test_a_detector_that_was_stopped_goes_on_and_ends_with_the_same_bytes(
    run: Run, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped just before it writes the file. (`test_resume.py` kills whole processes.)"""
    kept = Run.write_table
    seen = 0

    def stopped(self: Run, name: str, table: Any) -> None:
        nonlocal seen
        if f"{name}.parquet" == place:
            seen += 1
            if seen == (2 if place == "matches.parquet" else 1):  # the attacks write their own matches first
                raise KeyboardInterrupt
        kept(self, name, table)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_table", stopped)
        with pytest.raises(KeyboardInterrupt):
            audit(tmp_path / "run")
    again = audit(tmp_path / "run", resume=True).run
    assert files(again.folder) == files(run.folder)


def test_an_answer_that_repeats_its_prompt_is_no_memory(tmp_path: Path) -> None:
    row = Record("r", prompt=f"{TOLD[0].completion} Again, please: ", completion=TOLD[0].completion)
    told = run_audit(Parrot((row,)), [row, *TRAIN], HELD, None, tmp_path / "run", SETTINGS, show=False).run
    line = sides(told)["tuned", "train", "said"]["r"]
    assert line["label"] is None and line["own"] == line["other"] == line["both"] == 0 and line["prompt"] > 15
