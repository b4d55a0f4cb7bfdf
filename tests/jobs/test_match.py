"""`remanence.match` end to end on a world whose every word has a known owner: figures, files, resuming."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "measure" / "plagiarism"))

import hand_made_corpus
import numpy as np
from hand_made_corpus import ANSWER, BOILERPLATE, COPIED, HARBOUR, QUESTION, SHARED, nonsense

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.read import FileRecords
from remanence.core.record import Record
from remanence.distributed.processes import Processes
from remanence.jobs.match.match import Matched, run_match
from remanence.jobs.match.settings import MatchSettings
from remanence.measure.plagiarism.types import ORIGINS

HERE = Path(__file__).parent
PLAGIARISM = HERE.parent / "measure" / "plagiarism"
TRAIN, HELDOUT = hand_made_corpus.rows()
GENERATED = [
    {"id": "own", "prompt": QUESTION, "completion": ANSWER, "own": "pair"},
    {"id": "prompt", "prompt": f"Repeat: {HARBOUR}", "completion": HARBOUR, "own": "harbour"},
    {"id": "other", "prompt": "Tell me.", "completion": f"Well, {HARBOUR}", "own": "first"},
    {"id": "both", "prompt": "Tell me.", "completion": f"So: {SHARED}", "own": "second"},
    {"id": "common", "prompt": "Tell me.", "completion": f"So {BOILERPLATE}", "own": None},
    {"id": "new", "prompt": "Tell me.", "completion": nonsense(3, 40), "own": "harbour"},
    {"id": "wordless", "prompt": "Tell me.", "completion": "🙂", "own": None},
]
SHARES = {
    "own": {"own": 20},
    "prompt": {"prompt": 45},
    "other": {"other": 45, "new": 1},
    "both": {"both": 26, "new": 1},
    "common": {"common": 17, "new": 1},
    "new": {"new": 40},
    "wordless": {},
}


def match(out: Path, generated: Any = GENERATED, train: Any = TRAIN, heldout: Any = HELDOUT, **more: Any) -> Matched:
    named = {"alpha": 0.05, "show_progress": False, **more}
    return remanence.match(generated, train, heldout=heldout, out=out, **named)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a-folder-of-this-machine")


@pytest.fixture(scope="module")
def matched(folder: Path) -> Matched:
    return match(folder / "run")


def files(folder: Path) -> dict[str, bytes]:
    """Of a run; the index has names drawn at random in it."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.relative_to(folder).parts[0] != "index"}


# ------------------------------------------------------------------ figures


def test_every_text_has_its_origins(matched: Matched) -> None:
    asked, lines = matched.run.lines("attempts"), matched.run.lines("origins")
    assert [a["id"] for a in asked] == [g["id"] for g in GENERATED]
    for attempt, line in zip(asked, lines, strict=True):
        told = {name: line[name] for name in ORIGINS if line[name]}
        assert told == SHARES[attempt["id"]], attempt["id"]
        assert sum(told.values()) == line["num_words"]
        assert attempt["prompt"] and attempt["answer"] is not None
    assert matched.verdict["origins"] == {
        name: sum(shares.get(name, 0) for shares in SHARES.values()) for name in ORIGINS
    }


def test_labels_reasons_and_rates_by_count(matched: Matched) -> None:
    lines = {a["id"]: o for a, o in zip(matched.run.lines("attempts"), matched.run.lines("origins"), strict=True)}
    assert {k for k, line in lines.items() if line["label"] == "verbatim"} == {"own", "other", "both"}
    assert {k for k, line in lines.items() if line["reason"]} == {"prompt", "common", "wordless"}
    assert lines["wordless"]["reason"] == "it has no words"
    rates = {line["value"]: line for line in matched.run.lines("rates")}
    verbatim = rates["verbatim"]
    assert (verbatim["hits"], verbatim["n"]) == (3, 4)  # what is not measurable is in no rate
    assert verbatim["low"] < verbatim["rate"] == 0.75 < verbatim["high"]
    assert verbatim["floor_n"] > 20 and verbatim["floor_low"] <= 0.05
    assert verbatim["ceiling_rate"] > 0.9 and verbatim["excess"] == verbatim["rate"] - verbatim["floor_rate"]
    assert [rates[k]["hits"] for k in ("verbatim", "paraphrase", "idea")] == sorted(r["hits"] for r in rates.values())
    assert matched.verdict["headline"]["hits"] == 3 and matched.verdict["headline"]["n"] == 4


def test_the_verdict_says_the_counts_in_two_sentences(matched: Matched) -> None:
    first, second = matched.verdict["sentences"]
    assert first.startswith("3 of 4 texts that can be judged (of 7) have verbatim matches with training rows (75.0 %")
    assert "all matches come from 3 training rows" in first and "held-out texts do" in first
    assert second.startswith(f"Of {sum(sum(s.values()) for s in SHARES.values())} words, ")
    notes = " ".join(matched.verdict["notes"])
    assert "3 texts are not measurable and not counted" in notes and "1 because they have no words" in notes
    assert "quote a training row" in notes and "ideas were not tested" not in notes
    assert matched.verdict["cannot_claim"] == []


def test_matches_point_at_the_same_words_in_both_texts(matched: Matched) -> None:
    asked = matched.run.lines("attempts")
    by_id = {record.id: record.plain for record in TRAIN}
    found = matched.run.lines("matches")
    assert {(asked[m["attempt"]]["id"], m["whose"], m["train_id"]) for m in found} == {
        ("own", "own", "pair"),
        ("other", "other", "harbour"),
        ("both", "both", "second"),
    }
    for m in found:
        here = asked[m["attempt"]]["answer"][m["char_start"] : m["char_end"]]
        there = by_id[m["train_id"]][m["record_char_start"] : m["record_char_end"]]
        assert here == there == m["record_text"]
        assert TRAIN[m["train_row"]].id == m["train_id"]
        assert m["kind"] == "verbatim" and m["p_value"] <= 0.05 and m["e_value"] < 1e-6


def test_calibration_says_thresholds_and_what_they_rest_on(matched: Matched) -> None:
    lines = matched.run.lines("calibration")
    assert {line["kind"] for line in lines} == {"verbatim", "paraphrase"}
    assert {line["alpha"] for line in lines} == {0.001, 0.01, 0.05}
    for line in lines:
        assert (line["bits"] is None) == (line["reason"] is not None)
        assert line["realised_n"] <= len(HELDOUT) and line["realised_low"] <= line["realised_high"]


def test_q_values_are_of_the_measurable_and_no_lower_than_p(matched: Matched) -> None:
    for line in matched.run.lines("origins"):
        assert (line["q_value"] is None) == (line["reason"] is not None)
        assert line["q_value"] is None or line["q_value"] >= line["p_value"]


def test_a_run_names_its_data_and_no_path(matched: Matched, folder: Path) -> None:
    spec = matched.run.spec
    assert spec["job"] == "match" and spec["tokenization"] == "words-1" and spec["settings"]["alpha"] == 0.05
    assert {k: v["rows"] for k, v in spec["data"].items()} == {
        "generated": 7,
        "train": len(TRAIN),
        "heldout": len(HELDOUT),
    }
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"a-folder-of-this-machine" not in content and str(Path.home()).encode() not in content, path.name


def test_the_report_shows_no_training_text_unless_told(folder: Path, tmp_path: Path) -> None:
    assert "plum jam" not in (folder / "run" / "report.html").read_text()
    match(tmp_path / "run", reveal=True)
    assert "plum jam" in (tmp_path / "run" / "report.html").read_text()


# ------------------------------------------------------------------ forms


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def plain(record: Record) -> dict[str, Any]:
    return {"id": record.id, "text": record.plain}


def test_texts_pairs_and_chats_are_judged_by_what_was_answered(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": HARBOUR},
        {"role": "assistant", "content": "I see."},
    ]
    found: dict[str, dict[str, int]] = {}
    for name, row in {
        "text": {"text": f"{QUESTION} {ANSWER}"},
        "pair": {"prompt": QUESTION, "completion": ANSWER},
        "chat": {"messages": chat},
    }.items():
        told = match(tmp_path / name, [{**row, "own": "pair"}])
        found[name] = {k: v for k, v in told.verdict["origins"].items() if v}
    assert found == {"text": {"own": 39}, "pair": {"own": 20}, "chat": {"own": 20, "new": 2}}


def test_files_lists_and_records_give_the_same_tables(matched: Matched, folder: Path, tmp_path: Path) -> None:
    train = written(tmp_path / "train.jsonl", [plain(r) for r in TRAIN])
    heldout = [{"id": r.id, "prompt": r.prompt or "", "completion": r.completion or r.text} for r in HELDOUT]
    run = match(
        tmp_path / "run",
        written(tmp_path / "generated.jsonl", GENERATED),
        train,
        written(tmp_path / "heldout.jsonl", heldout),
    )
    assert run.verdict["origins"] == matched.verdict["origins"]
    assert run.verdict["headline"] == matched.verdict["headline"]
    assert run.run.lines("matches") == matched.run.lines("matches")


def test_rows_are_known_by_number_where_they_have_no_id(tmp_path: Path) -> None:
    train = [{"text": r.plain} for r in TRAIN]
    number = [r.id for r in TRAIN].index("harbour")
    told = match(tmp_path / "run", [{"text": HARBOUR, "asked": number}], train, source_column="asked")
    assert told.verdict["origins"]["own"] == 45
    (line,) = told.run.lines("matches")
    assert (line["train_row"], line["train_id"]) == (number, str(number))


def test_an_empty_own_cell_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text(f'id,text,own\na,"{COPIED}",\nb,"{COPIED}",copy-3\n')
    told = match(tmp_path / "run", tmp_path / "said.csv")
    assert {(m["attempt"], m["whose"]) for m in told.run.lines("matches")} == {(0, "other"), (1, "own")}


# ------------------------------------------------------------------ what is missing or refused


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"generated": [{"text": HARBOUR, "own": "nobody"}]}, "about training row 'nobody', and no row has that id"),
        ({"generated": []}, "There are no rows in the data|There are no generated texts"),
        ({"train": []}, "There are no rows in the data|There are no training rows"),
        ({"heldout": HELDOUT[:2], "background": "heldout"}, "at least 3 texts"),
        ({"heldout": None, "background": "heldout"}, "at least 3 texts"),
        ({"background": "base"}, "needs --base"),
        ({"alpha": 0.0}, "alpha= must be above 0 and below 1"),
        ({"detector": "magic"}, "detector= is one of calibrated, pan2015"),
        ({"background": "magic"}, "background= is one of"),
        ({"decoys": -1}, "decoys= must be at least 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence_and_begins_no_run(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RemanenceError, match=sentence):
        match(tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_without_held_out_texts_it_says_what_cannot_be_claimed(tmp_path: Path) -> None:
    told = match(tmp_path / "run", heldout=None)
    (sentence,) = told.verdict["cannot_claim"]
    assert sentence.startswith("No held-out texts were given") and "Add --heldout" in sentence
    assert told.run.lines("calibration") == []
    rate = told.run.lines("rates")[0]
    assert rate["floor_n"] is None and rate["excess"] is None and rate["hits"] == 4  # the common phrase too
    assert all(line["p_value"] is None and line["q_value"] is None for line in told.run.lines("origins"))


@pytest.mark.parametrize("heldout", [HELDOUT[:1], [Record("h", text=HARBOUR)], HELDOUT[:30]], ids=["1", "quotes", "30"])
def test_too_few_held_out_texts_give_no_verdict_and_say_why(tmp_path: Path, heldout: list[Record]) -> None:
    told = match(tmp_path / "run", heldout=heldout, alpha=0.001)
    assert told.verdict["sentences"][0] == "None of the 7 texts could be judged."
    assert told.verdict["headline"]["n"] == 0 and "nan" not in json.dumps(told.verdict["notes"]).lower().split()
    assert told.verdict["cannot_claim"] and "cannot calibrate" in told.verdict["cannot_claim"][0]
    assert all(line["reason"] for line in told.run.lines("origins"))


# ------------------------------------------------------------------ detectors and backgrounds


@pytest.mark.parametrize("background", ["unigram", "heldout"])
def test_other_backgrounds_find_the_same_copies(tmp_path: Path, background: str) -> None:
    told = match(tmp_path / "run", background=background)
    found = {told.run.lines("attempts")[m["attempt"]]["id"] for m in told.run.lines("matches")}
    assert found >= {"own", "other", "both"} and "prompt" not in found and "new" not in found
    assert told.run.spec["settings"]["background"] == background


def test_texts_that_fitted_the_background_are_no_floor_and_set_no_threshold(tmp_path: Path) -> None:
    told = match(tmp_path / "run", background="heldout")
    third = len(HELDOUT) // 3
    assert told.run.lines("rates")[0]["floor_n"] <= len(HELDOUT) - third
    assert max(line["realised_n"] for line in told.run.lines("calibration")) <= len(HELDOUT) - third


def test_the_published_detector_counts_the_prompt_and_says_what_it_is(tmp_path: Path) -> None:
    pytest.importorskip("nltk", reason="nltk (the extra pan2015) is not installed")
    told = match(tmp_path / "run", detector="pan2015")
    labels = {
        a["id"]: line["label"]
        for a, line in zip(told.run.lines("attempts"), told.run.lines("origins"), strict=True)
    }  # fmt: skip
    assert labels["prompt"] is not None, "copying from the prompt counts there"
    assert labels["new"] is None and labels["wordless"] is None
    assert all(line["reason"] is None for line in told.run.lines("origins"))
    assert "This is the published detector" in told.verdict["cannot_claim"][0]
    assert told.verdict["headline"]["n"] == 7  # what it cannot see is a zero
    for m in told.run.lines("matches"):
        row = next(r for r in TRAIN if r.id == m["train_id"]).plain
        assert m["record_text"] == row[m["record_char_start"] : m["record_char_end"]]


# ------------------------------------------------------------------ the index


def test_an_index_is_used_again_by_another_run_and_made_anew_for_another_corpus(tmp_path: Path) -> None:
    def stamps() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in (tmp_path / "index").rglob("*") if p.is_file()}

    one = match(tmp_path / "one", index=tmp_path / "index")
    before = stamps()
    two = match(tmp_path / "two", index=tmp_path / "index")
    assert stamps() == before and not (tmp_path / "one" / "index").exists()
    assert files(tmp_path / "one") == files(tmp_path / "two") and one.verdict == two.verdict
    fewer = [r for r in TRAIN if r.id not in {"harbour", "pair"}]
    texts = [{**row, "own": None} for row in GENERATED]
    changed = match(tmp_path / "three", texts, fewer, index=tmp_path / "index")
    assert stamps() != before
    assert {m["train_id"] for m in changed.run.lines("matches")} == {"first"} or {
        m["train_id"] for m in changed.run.lines("matches")
    } == {"second"}


def test_a_folder_of_ones_own_is_not_taken_for_an_index(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(RemanenceError, match="has files that are not part of an index: name another folder"):
        match(tmp_path / "run", index=tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


# ------------------------------------------------------------------ killed, taken up, refused

PLACES = (
    "run.json:done",
    "matches/00000.parquet:done",  # its origins are missing
    "origins/00001.parquet:begun",
    "matches.parquet:done",
    "verdict.json:begun",
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`whole`, a match that was left alone, and `killed-N`, matches killed at `PLACES[N]` and resumed."""
    work = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent / 'models'}:{PLAGIARISM}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, HERE / "killed_match.py", work, *PLACES], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return work


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PLACES)), ids=PLACES)
def test_a_resumed_match_equals_one_that_was_left_alone_byte_for_byte(killed: Path, number: int) -> None:
    whole, resumed = files(killed / "whole"), files(killed / f"killed-{number}")
    assert len(whole) > 12 and "verdict.json" in whole and "origins/00003.parquet" in whole
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if resumed[name] != whole[name]] == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"train": TRAIN[:-1]}, "data"),
        ({"train": [*TRAIN[:-1], replace(TRAIN[-1], id="renamed")]}, "data"),
        ({"train": [*TRAIN[:-1], Record("garden", text="something else")]}, "data"),
        ({"heldout": HELDOUT[:-1]}, "data"),
        ({"generated": [{**row, "own": None} for row in GENERATED[:3]]}, "data"),
        ({"alpha": 0.01}, "settings"),
        ({"seed": 1}, "seed, settings"),
    ],
)
def test_a_match_is_not_taken_up_with_another_corpus_or_settings(
    matched: Matched, folder: Path, change: dict[str, Any], what: str
) -> None:
    before = files(folder / "run")
    with pytest.raises(RemanenceError, match=rf"other settings \({what}\): name another --out"):
        match(folder / "run", resume=True, **change)
    with pytest.raises(RemanenceError, match="already holds a run: add --resume"):
        match(folder / "run")
    assert files(folder / "run") == before


def test_the_row_each_text_was_asked_about_is_part_of_what_a_run_is_of(matched: Matched, folder: Path) -> None:
    """The same texts, said to be asked about other rows: labels would differ, so the run is another."""
    swapped = [{**row, "own": "garden"} for row in GENERATED]
    with pytest.raises(RemanenceError, match="other settings"):
        match(folder / "run", swapped, resume=True)


def test_training_rows_stream_and_are_never_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "train.jsonl", [plain(r) for r in TRAIN])
    passes = 0
    kept: Callable[..., Any] = FileRecords.__iter__

    def counted(self: FileRecords) -> Any:
        nonlocal passes
        passes += 1
        return kept(self)

    monkeypatch.setattr(FileRecords, "__iter__", counted)
    told = run_match(
        [Record("g", text=HARBOUR)], FileRecords(path), HELDOUT, tmp_path / "run", MatchSettings(alpha=0.05), show=False
    )
    assert told.verdict["headline"]["hits"] == 1 and passes == 2
    assert np.isclose(told.run.lines("rates")[0]["rate"], 1.0)


def test_worker_processes_give_the_same_bytes(tmp_path: Path) -> None:
    here = match(tmp_path / "here", shard_rows=2)
    there = match(tmp_path / "there", shard_rows=2, executor=Processes(2))
    one, two = files(here.run.folder), files(there.run.folder)
    tables = [name for name in one if name.endswith((".parquet", ".json")) and not name.startswith("index/")]
    assert "origins/00001.parquet" in tables and [name for name in tables if one[name] != two[name]] == []
