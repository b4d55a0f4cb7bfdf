"""PlagiarismIndex: in memory, in a folder and opened again it says the same; a changed or broken folder is noticed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hand_made_corpus import ANSWER, CHINESE, COPIED, HARBOUR, ROWS, SECOND, SHARED, World, nonsense

from remanence.core.record import Record
from remanence.measure.plagiarism import index as module
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.index import Span
from remanence.measure.plagiarism.types import GeneratedText
from remanence.text.background import NGrams
from remanence.text.candidates import Candidates
from remanence.text.run_index import RunIndex
from remanence.text.text_store import TextStore
from remanence.text.words import words_of

ASKED = [HARBOUR, SECOND, CHINESE, f"{COPIED} {nonsense(1, 5)}", "", "🙂", f"I heard {SHARED}", nonsense(2, 30)]
RECORDS = [*ROWS.values(), Record("twice", text=HARBOUR), Record("empty", text=""), Record("copied", text=COPIED)]


def answers(index: PlagiarismIndex) -> object:
    said = [GeneratedText(text, own=i % len(index.texts)) for i, text in enumerate(ASKED)]
    return index.spans(ASKED), index.align(ASKED), index.match(said), list(index.ids), list(index.texts)


def times(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*") if p.is_file()
    }


# ------------------------------------------------------------------ built, opened, used again


def test_in_memory_in_a_folder_and_opened_it_says_the_same(tmp_path: Path) -> None:
    memory = PlagiarismIndex.build(RECORDS)
    folder = PlagiarismIndex.build(RECORDS, tmp_path / "index")
    opened = PlagiarismIndex.open(tmp_path / "index")
    assert answers(memory) == answers(folder) == answers(opened)
    assert memory.fingerprint == folder.fingerprint == opened.fingerprint


def test_records_plain_texts_and_a_stream_are_the_same_corpus(tmp_path: Path) -> None:
    texts = [record.plain for record in RECORDS]
    plain, stream = PlagiarismIndex.build(texts), PlagiarismIndex.build((t for t in texts), tmp_path / "index")
    assert plain.spans(ASKED) == stream.spans(ASKED) == PlagiarismIndex.build(RECORDS).spans(ASKED)
    assert list(plain.ids) == [str(i) for i in range(len(texts))] == list(stream.ids)
    pair = PlagiarismIndex.build([Record("p", prompt="And who came?", completion=ANSWER)])
    assert pair.texts[0] == f"And who came?\n{ANSWER}"  # prompts are training text too


def test_the_same_corpus_leaves_every_file_as_it_is(tmp_path: Path) -> None:
    PlagiarismIndex.build(RECORDS, tmp_path / "index")
    before = times(tmp_path)
    again = PlagiarismIndex.build(iter(RECORDS), tmp_path / "index")
    assert times(tmp_path) == before and len(before) > 10
    assert answers(again) == answers(PlagiarismIndex.build(RECORDS))


@pytest.mark.parametrize(
    "changed",
    [
        [*RECORDS, Record("new", text=nonsense(2, 30))],
        RECORDS[1:],
        RECORDS[::-1],
        [replace(RECORDS[0], text=f"{HARBOUR}!"), *RECORDS[1:]],
        [replace(RECORDS[0], id="renamed"), *RECORDS[1:]],
        [Record("only", text=nonsense(2, 30))],
    ],
    ids=["grown", "shrunk", "reordered", "one character", "one id", "all"],
)
def test_a_changed_corpus_is_noticed_and_indexed_anew(tmp_path: Path, changed: list[Record]) -> None:
    PlagiarismIndex.build(RECORDS, tmp_path / "index")
    assert answers(PlagiarismIndex.build(changed, tmp_path / "index")) == answers(PlagiarismIndex.build(changed))
    assert answers(PlagiarismIndex.open(tmp_path / "index")) == answers(PlagiarismIndex.build(changed))
    back = PlagiarismIndex.build(RECORDS, tmp_path / "index")
    assert answers(back) == answers(PlagiarismIndex.build(RECORDS))


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "novel.txt").write_text("mine")
    (tmp_path / "notes.md").write_text("mine")
    before = times(tmp_path)
    with pytest.raises(ValueError, match="has files that are not part of an index: name another folder"):
        PlagiarismIndex.build(RECORDS, tmp_path)
    assert times(tmp_path) == before
    with pytest.raises(ValueError, match="has no finished index"):
        PlagiarismIndex.open(tmp_path)


def test_no_file_of_an_index_names_a_path_of_this_machine(tmp_path: Path) -> None:
    PlagiarismIndex.build(RECORDS, tmp_path / "a-folder-of-this-machine")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"a-folder-of-this-machine" not in path.read_bytes(), path.name


# ------------------------------------------------------------------ killed


def forked(job: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        job()
    except BaseException:
        os._exit(1)
    os._exit(0)


PLACES = (
    (TextStore, "open", 1),  # the new texts are there, the new ids not yet
    (module, "_replaced", 1),
    (RunIndex, "build", 1),
    (Candidates, "build", 1),
    (NGrams, "fit", 1),
    (json, "dumps", 3),  # about to write the note
)


@pytest.mark.parametrize(("owner", "name", "call"), PLACES, ids=lambda one: getattr(one, "__name__", str(one)))
@pytest.mark.parametrize("before", [[], RECORDS[1:]], ids=["first build", "over another"])
def test_an_index_that_a_kill_left_is_not_taken_for_finished(
    tmp_path: Path, owner: object, name: str, call: int, before: list[Record]
) -> None:
    """SIGKILL at several points; then the folder is refused by `open` or whole, and `build` makes it right."""
    folder = tmp_path / "index"
    if before:
        PlagiarismIndex.build(before, folder)

    def killed() -> None:
        kept, count = getattr(owner, name), 0

        def deadly(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return kept(*arguments, **named)

        setattr(owner, name, deadly)
        PlagiarismIndex.build(RECORDS, folder)

    status = forked(killed)
    if not os.WIFSIGNALED(status):
        assert name == "dumps" and os.WEXITSTATUS(status) == 0  # fewer notes are written here
    right = answers(PlagiarismIndex.build(RECORDS))
    old = answers(PlagiarismIndex.build(before)) if before else None
    try:
        assert answers(PlagiarismIndex.open(folder)) in (right, old)
    except ValueError as error:
        assert "has no finished index" in str(error)
    assert answers(PlagiarismIndex.build(RECORDS, folder)) == right
    assert answers(PlagiarismIndex.open(folder)) == right


# ------------------------------------------------------------------ spans


def slow_spans(text: str, rows: list[str], least: int) -> list[tuple[int, int, int, int]]:
    """Start, end, words and number of rows of each maximal shared run, by comparing all pairs of places."""
    mine = words_of([text])
    keys = mine.keys.tolist()
    told = [words_of([row]).keys.tolist() for row in rows]
    longest = [0] * len(keys)
    for i in range(len(keys)):
        for other in told:
            for j in range(len(other)):
                size = 0
                while i + size < len(keys) and j + size < len(other) and keys[i + size] == other[j + size]:
                    size += 1
                longest[i] = max(longest[i], size)
    found: list[tuple[int, int, int, int]] = []
    for i, size in enumerate(longest):
        if size >= least and (i == 0 or longest[i - 1] <= size):
            run = keys[i : i + size]
            holders = {tuple(other) for other in told if any(other[j : j + size] == run for j in range(len(other)))}
            found.append((int(mine.starts[i]), int(mine.ends[i + size - 1]), size, len(holders)))
    return found


@pytest.mark.parametrize("least", [1, 3, 4])
def test_spans_equal_a_search_over_all_pairs(least: int) -> None:
    rows = [HARBOUR, SECOND, ROWS["first"].plain, COPIED, COPIED.upper(), CHINESE, "", "the the the the the", ANSWER]
    asked = [*ASKED, "the the the and the newspaper of that winter claims seven frozen kettles", HARBOUR[::-1]]
    index = PlagiarismIndex.build(rows)
    for text, found in zip(asked, index.spans(asked, least), strict=True):
        assert [(s.start, s.end, s.num_words, s.num_records) for s in found] == slow_spans(text, rows, least)
        for span in found:
            here, there = text[span.start : span.end], rows[span.record][span.record_start : span.record_end]
            assert words_of([here]).keys.tolist() == words_of([there]).keys.tolist()
            assert words_of([there]).starts[0] == 0 and words_of([there]).ends[-1] == len(there)


def test_a_spans_e_value_by_hand() -> None:
    """Five words seen nowhere else have 9 bits each at most: E = 6 places * 10 places * 2^-bits."""
    index = PlagiarismIndex.build(["alpha beta gamma delta epsilon", "one two three four five"])
    (found,) = index.spans(["so one two three four five"])
    assert found == [Span(3, 26, 5, 1, 0, 23, 1, found[0].bits, found[0].e_value)]
    assert 0 < found[0].bits <= 45 and found[0].e_value == pytest.approx(60 * 2 ** -found[0].bits)


# ------------------------------------------------------------------ alignment


def test_align_finds_a_reworded_sentence_and_its_place(world: World) -> None:
    said = (
        f"{nonsense(1, 8)}. Eleven painted boats were counted by the master of the harbour, who wrote all of their "
        f"names in a ledger that was green and locked it in the bakery cupboard. {nonsense(2, 8)}."
    )
    best = world.index.align([said])[0][0]
    assert best.record == world.number["harbour"] and best.passage.bits > 40
    here = said[best.passage.susp_start : best.passage.susp_end]
    there = HARBOUR[best.passage.src_start : best.passage.src_end]
    assert "painted boats" in here and "locked it" in here and "painted boats" in there and "locked it" in there


def test_align_compares_with_one_more_record_when_told_and_with_each_once(world: World) -> None:
    import numpy as np

    text = "Eleven painted boats were counted by the master of the harbour, who wrote all names in a ledger."
    number = world.number["harbour"]
    assert world.index.align([text], k=0, also=np.array([-1])) == [[]]
    alone = world.index.align([text], k=0, also=np.array([number]))[0]
    assert [one.record for one in alone] == [number]
    assert world.index.align([text], k=10, also=np.array([number])) == world.index.align([text], k=10)


def test_copies_of_a_record_are_one_candidate(world: World) -> None:
    found = world.index.align([f"In short, {COPIED.replace('purple', 'violet')} again."])[0]
    assert [one.record for one in found].count(world.number["copy-0"]) == 1
    assert not {one.record for one in found} & {world.number[f"copy-{i}"] for i in range(1, 32)}
