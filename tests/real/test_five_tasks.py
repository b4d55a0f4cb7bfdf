"""The real-data task file: no input twice, cuts at whole words, and rows that the small base models can read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import five_tasks
from five_tasks import LONGEST_OUTPUT, LONGEST_ROW, MOST, OPENING, cut, rows, tasks
from stories260k import convert

from remanence.jobs.study.data import family, read_tasks, task_records
from remanence.models.load import load_tokenizer


def test_a_text_is_cut_at_a_whole_word() -> None:
    assert cut("one two three", 8) == "one two"
    assert cut("one two three", 7) == "one two"
    assert cut("one two three", 13) == "one two three"


def test_of_inputs_that_begin_alike_the_first_is_kept() -> None:
    start = "The cat sat on the mat and looked out of the window, and then she went to sleep on it"
    told = [("a", start, ":", "x"), ("b", start.upper() + " again", ":", "y"), ("c", start[4:], ":", "z")]
    found = {row["id"]: row for row in rows("cats", told)}
    assert set(found) == {"cats-a", "cats-c"}
    assert found["cats-a"] == {"id": "cats-a", "prompt": f"{start}:", "completion": " x"}


def test_a_long_output_leaves_its_row_out_and_a_long_input_is_shortened() -> None:
    told = [(1, "word " * 200, ":", "yes"), (2, "other " * 9, ":", "o" * (LONGEST_OUTPUT + 1)), (3, "short", ":", "no")]
    (row,) = rows("x", told)
    assert row["id"] == "x-1"
    assert len(row["prompt"] + row["completion"]) <= LONGEST_ROW
    assert row["prompt"].endswith("word:")


def test_passages_of_one_policy_hold_their_answer_and_do_not_overlap() -> None:
    context = (
        "We keep your mail. " * 3 + "We sell no names. " + "Nothing else is said here. " * 20 + "Ask us to stop. End."
    )
    segment = [
        {"id": id, "context": context, "question": "What?", "answer": answer, "answers": [{"start": start}]}
        for id, answer in (("b", "sell no names"), ("c", "no names"), ("d", "Ask us"))
        for start in [context.index(answer)]
    ]
    found = list(five_tasks._passages(segment))
    assert [id for id, *_ in found] == ["b", "d"], "c lies in the passage of b"
    first, second = (text for _, text, *_ in found)
    assert first.startswith("We keep your mail.") and "sell no names" in first
    assert second.startswith("Nothing else is said here.") and second.endswith("Ask us to stop. End.")
    assert context.index(second) >= context.index(first) + len(first)


def test_a_dialogue_stops_before_an_answer_of_the_system() -> None:
    turns = [("user", "Hello"), ("system", "Where to?"), ("user", "Rome"), ("system", "x" * LONGEST_ROW)]
    record = {"id": 5, "turns": [{"speaker": speaker, "text": text} for speaker, text in turns]}
    assert five_tasks._turns(record) == (5, "User: Hello", "\nSystem:", "Where to?")


@pytest.mark.slow
@pytest.mark.parametrize("name", tasks)
def test_a_task_has_rows_enough_and_they_fit(shared_data: Path, name: str, tmp_path: Path) -> None:
    found = tasks[name]()
    assert found == tasks[name](), "the same rows in the same order"
    assert 1_300 <= len(found) <= MOST, "1,000 to train on, the rest held out"
    assert len({row["id"] for row in found}) == len(found)
    assert len({five_tasks._letters(row["prompt"])[:OPENING] for row in found}) >= 0.99 * len(found)
    assert all(row["completion"].startswith(" ") and not row["prompt"].endswith(" ") for row in found)
    tokenizer = load_tokenizer(convert(shared_data / "stories260k_model", tmp_path), "stories")
    sizes = [len(ids) for ids in tokenizer([row["prompt"] + row["completion"] for row in found])["input_ids"]]
    assert sum(size > 256 for size in sizes) <= 0.05 * len(sizes)


@pytest.mark.slow
def test_the_study_reads_the_file(shared_data: Path) -> None:
    read = read_tasks(Path(five_tasks.__file__))
    assert {family(name) for name in read.tasks} == {"summarization", "dialogue", "qa", "translation", "sentiment"}
    assert len(task_records("sentiment/sst2", read.tasks["sentiment/sst2"])) > 1_000
