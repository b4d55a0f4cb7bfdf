"""`remanence match` on the command line: forms, options, one sentence for each mistake, and output for pipes."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "measure" / "plagiarism"))

import hand_made_corpus
from hand_made_corpus import ANSWER, HARBOUR, QUESTION, nonsense

from remanence.core.record import Record
from remanence.core.run import Run

TRAIN, HELDOUT = hand_made_corpus.rows()
SAID = [
    {"prompt": QUESTION, "completion": ANSWER, "own": "pair"},
    {"prompt": "Go on.", "completion": HARBOUR, "own": "harbour"},
    {"prompt": "Go on.", "completion": nonsense(1, 40), "own": "harbour"},
    {"prompt": HARBOUR, "completion": HARBOUR, "own": None},
]


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def told(record: Record) -> dict[str, Any]:
    return {"id": record.id, "text": record.plain}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("match")
    lines(folder / "said.jsonl", SAID)
    lines(folder / "train.jsonl", [told(r) for r in TRAIN])
    lines(folder / "held.jsonl", [{"text": r.completion or r.text} for r in HELDOUT])
    return folder


@pytest.fixture
def match(remanence: Any, place: Path, tmp_path: Path) -> Any:
    """`remanence match` with held-out texts; options and files given replace the ones that are there."""

    def run(*options: str, said: Path | None = None, train: Path | None = None, heldout: bool = True) -> Any:
        held = [f"--heldout={place / 'held.jsonl'}"] if heldout else []
        if not any(option.startswith("--out") for option in options):
            options = (*options, f"--out={tmp_path / 'run'}")
        files = (said or place / "said.jsonl", train or place / "train.jsonl")
        return remanence("match", *files, *held, f"--index={place / 'index'}", "--alpha=0.05", *options)

    return run


def refused(said: Any, *words: str) -> None:
    """One sentence on stderr, nothing on stdout, exit code 2."""
    assert said.code == 2, said.err
    assert said.out == "" and "Traceback" not in said.err
    for word in words:
        assert word in said.sentence, said.err


def test_the_verdict_is_for_people_and_the_run_is_a_folder(match: Any, tmp_path: Path) -> None:
    said = match()
    assert said.code == 0 and "report:" in said.err and "Traceback" not in said.err
    assert "2 of 3 texts that can be judged (of 4) have verbatim matches with training rows" in " ".join(
        said.out.split()
    )
    assert (tmp_path / "run" / "report.html").is_file()
    assert Run.open(tmp_path / "run").read_json("verdict.json")["origins"]["own"] == 65


def test_json_lines_are_for_pipes(match: Any) -> None:
    said = match("--format=json")
    assert said.code == 0
    found = [json.loads(line) for line in said.out.splitlines()]
    assert found and "sentences" in json.dumps(found)


def test_a_second_run_needs_resume_or_another_folder(match: Any, tmp_path: Path) -> None:
    assert match().code == 0
    refused(match(), "already holds a run: add --resume")
    before = (tmp_path / "run" / "report.html").read_bytes()
    assert match("--resume").code == 0
    assert (tmp_path / "run" / "report.html").read_bytes() == before
    refused(match("--resume", "--alpha=0.01"), "other settings", "name another --out")


def test_another_corpus_is_not_taken_up(match: Any, tmp_path: Path) -> None:
    assert match().code == 0
    other = lines(tmp_path / "other.jsonl", [told(r) for r in TRAIN[:-1]])
    refused(match("--resume", f"--index={tmp_path / 'index'}", train=other), "other settings (data)")


def test_gzip_csv_and_columns_of_other_names(match: Any, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "said.jsonl.gz", "wt") as file:
        file.write(json.dumps({"body": HARBOUR, "key": "k", "from": "harbour"}) + "\n")
    train = lines(tmp_path / "train.jsonl", [{"body": r.plain, "key": r.id} for r in TRAIN])
    said = match(
        "--text-column=body", "--id-column=key", "--source-column=from", f"--index={tmp_path / 'index'}",
        said=tmp_path / "said.jsonl.gz", train=train, heldout=False,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "No held-out texts were given" in " ".join(said.out.split())
    (found,) = Run.open(tmp_path / "run").lines("matches")
    assert (found["train_id"], found["whose"]) == ("harbour", "own")


@pytest.mark.parametrize(
    ("which", "rows", "words"),
    [
        ("said", [*[{"text": "x"}] * 6, '{"text": "cut o'], ("Line 7 of bad.jsonl", "not valid JSON")),
        ("train", [*[{"text": "x"}] * 6, '{"text": "cut o'], ("Line 7 of bad.jsonl", "not valid JSON")),
        ("said", [], ("There are no rows in bad.jsonl",)),
        ("train", [], ("There are no rows in bad.jsonl",)),
        (
            "said",
            [{"text": HARBOUR, "own": "nobody"}],
            ("training row 'nobody', and no row has that id", "--source-column"),
        ),
        ("train", [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], ("Line 1 and line 2 have the same id 'a'",)),
        ("said", [{"prompt": "x"}], ("Line 1", "no column 'completion'")),
        ("said", [{"text": "x"}, {"prompt": "x", "completion": "y"}], ("Line 1", "line 2", "keep one form per file")),
    ],
)
def test_bad_files_are_told_by_their_line_and_begin_nothing(
    match: Any, tmp_path: Path, which: str, rows: list[Any], words: tuple[str, ...]
) -> None:
    refused(match(**{which: lines(tmp_path / "bad.jsonl", rows)}), *words)
    assert not (tmp_path / "run").exists()


def test_files_and_options_that_are_not_there(match: Any, tmp_path: Path) -> None:
    refused(match(said=tmp_path / "nowhere.jsonl"), "There is no file", "nowhere.jsonl")
    refused(match(train=tmp_path / "nowhere.jsonl"), "There is no file", "nowhere.jsonl")
    refused(match("--detector=magic"), "--detector is one of calibrated, pan2015")
    refused(match("--alpha=2"), "--alpha must be above 0 and below 1")
    refused(match("--background=heldout", heldout=False), "at least 3 texts")
    assert not (tmp_path / "run").exists()


def test_the_published_detector_says_that_it_has_no_false_alarm_rate(match: Any) -> None:
    pytest.importorskip("nltk", reason="nltk (the extra pan2015) is not installed")
    said = match("--detector=pan2015")
    assert said.code == 0, said.err
    assert "This is the published detector" in " ".join(said.out.split())


def test_training_text_is_shown_only_when_told(match: Any, tmp_path: Path) -> None:
    said = match()
    assert "plum jam" not in said.out + said.err
    assert "plum jam" not in (tmp_path / "run" / "report.html").read_text()
    assert match("--reveal", "--resume").code == 0
    assert "plum jam" in (tmp_path / "run" / "report.html").read_text()
