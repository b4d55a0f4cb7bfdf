"""All shared runs: by hand, against brute force, in every script, and on disk through kills and changes."""

from __future__ import annotations

import mmap
import unicodedata
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text import run_build, run_store
from remanence.text.run_build import corpus_fingerprint
from remanence.text.run_index import RunIndex
from remanence.text.runs import Runs
from remanence.text.words import words_of

ROWS = [
    "The patient was given 40 mg of prednisone and sent home.",
    "A man rides a horse on the beach.",
    "the patient was given water, and sent home.",
    "",
    "A man rides a horse on the beach!",
]


def listed(runs: Runs) -> list[tuple[int, ...]]:
    return [tuple(int(v) for v in line) for line in zip(*runs, strict=True)]


def test_runs_by_hand():
    index = RunIndex.build(ROWS)
    words = words_of(["She said: the patient was given prednisone and sent home. A man rides."])
    runs = index.runs(words, min_words=3)
    # "the patient was given" is in two records, "prednisone and sent home" in record 0, "a man rides" in 1 and its copy
    assert listed(runs) == [
        (0, 2, 4, 2, int(runs.records[0]), 0),
        (0, 6, 4, 1, 0, 7),
        (0, 10, 3, 1, 1, 0),
    ]
    assert index.runs(words).lengths.tolist() == [4, 4]
    assert index.match_lengths(words).tolist() == [0, 0, 4, 3, 2, 1, 4, 3, 2, 1, 3, 2, 1]
    assert index.counts(words, 2)[:, 8:11].tolist() == [[2, 2, 1], [2, 0, 1]]
    assert index.copies.tolist() == [1, 2, 1, 1, 2] and index.first_copy.tolist() == [0, 1, 2, 3, 1]
    assert (index.num_records, index.num_distinct, index.num_words) == (5, 3, 27)
    begins, ends = index.spans(runs.records, runs.record_starts, runs.lengths)
    assert ROWS[0][begins[1] : ends[1]] == "prednisone and sent home"
    assert ROWS[1][begins[2] : ends[2]] == "A man rides"


def test_all_records_of_a_run():
    index = RunIndex.build(ROWS)
    words = words_of(["patient was given", "on the beach"])
    runs = index.runs(words, min_words=3)
    places = index.places(words, runs)
    assert [p.tolist() for p in places] == [[0, 0, 1], [0, 2, 1], [1, 1, 5]]
    assert index.places(words, runs, limit=1).runs.tolist() == [0, 1]
    assert index.place_in(words, runs, np.array([2, 4])).tolist() == [1, 5]  # a copy holds what its first one holds
    assert index.place_in(words, runs, np.array([1, -1])).tolist() == [-1, -1]


def test_the_own_record_and_its_copies_can_be_left_out():
    index = RunIndex.build(ROWS)
    words = words_of(ROWS)
    own = np.arange(5)
    assert index.runs(words).num_records.tolist() == [1, 1, 1, 1]
    assert listed(index.runs(words, own=own)) == [(0, 0, 4, 1, 2, 0), (2, 0, 4, 1, 0, 0)]
    assert index.counts(words, 1, own=own)[0, 11:19].tolist() == [0] * 6 + [2, 0]  # only "the" is elsewhere too
    with pytest.raises(ValueError, match=r"from 0 to 4 or -1 for none; got shape \(2,\)"):
        index.runs(words, own=np.array([0, 1]))
    with pytest.raises(ValueError, match="at least one word"):
        index.runs(words, min_words=0)


def brute(rows: list[list[str]], query: list[str], own: int) -> tuple[list[int], list[list[int]]]:
    """Match lengths, and the distinct rows that hold 1, 2, 3 words from each place, by trying everything."""
    others: list[list[str]] = []
    for row in rows:
        if row and row not in others and (own < 0 or row != rows[own]):
            others.append(row)
    lengths, counts = [0] * len(query), [[0] * len(query) for _ in range(3)]
    for i in range(len(query)):
        for row in others:
            best = 0
            for j in range(len(row)):
                k = 0
                while i + k < len(query) and j + k < len(row) and query[i + k] == row[j + k]:
                    k += 1
                best = max(best, k)
            lengths[i] = max(lengths[i], best)
            for n in range(min(3, best)):
                counts[n][i] += 1
    return lengths, counts


letters = st.lists(st.sampled_from("abc"), max_size=12)


@given(st.lists(letters, max_size=8), st.lists(letters, max_size=4), st.integers(1, 4), st.booleans(), st.data())
def test_index_equals_brute_force(rows, queries, min_words, many_shards, data):
    texts, words = [" ".join(row) for row in rows], words_of([" ".join(query) for query in queries])
    own = np.array([data.draw(st.integers(-1, len(rows) - 1)) for _ in queries], np.int64)
    with mock.patch.object(run_build, "CHARACTERS", 40 if many_shards else 1 << 20):
        index = RunIndex.build(texts, shard_words=1)
    for mine in (None, own):
        lengths, counts = index.match_lengths(words, mine), index.counts(words, 3, mine)
        runs = index.runs(words, min_words, mine)
        places = index.places(words, runs, None)
        few = index.places(words, runs, 9)  # there are at most 8, listed another way
        assert all((a == b).all() for a, b in zip(few, places, strict=True))
        expected: list[tuple[int, int, int, int]] = []
        for i, query in enumerate(queries):
            here = slice(int(words.offsets[i]), int(words.offsets[i + 1]))
            slow, slow_counts = brute(rows, query, int(own[i]) if mine is not None else -1)
            assert lengths[here].tolist() == slow and counts[:, here].tolist() == slow_counts
            for at, length in enumerate(slow):
                if length >= min_words and not (at and slow[at - 1] == length + 1):
                    run = query[at : at + length]
                    owner = rows[own[i]] if mine is not None and own[i] >= 0 else None
                    holders = {tuple(r) for r in rows if r != owner and holds(r, run)}
                    expected.append((i, at, length, len(holders)))
        assert [line[:4] for line in listed(runs)] == expected
        for k, (i, at, length, _, record, start) in enumerate(listed(runs)):
            run = queries[i][at : at + length]
            assert rows[record][start : start + length] == run
            assert mine is None or own[i] < 0 or rows[record] != rows[own[i]]
            found = places.records[places.runs == k].tolist()
            assert found == sorted({rows.index(r) for r in rows if holds(r, run)})
            for r, s in zip(found, places.starts[places.runs == k], strict=True):
                assert rows[r][s : s + length] == run
        wanted = np.array([(7 * k) % len(rows) for k in range(runs.texts.size)], np.int64)
        for k, first in enumerate(index.place_in(words, runs, wanted).tolist()):
            run = queries[runs.texts[k]][runs.starts[k] :][: runs.lengths[k]]
            row = rows[wanted[k]]
            assert first == next((s for s in range(len(row)) if row[s : s + len(run)] == run), -1)


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=20, max_size=60), min_size=1, max_size=4), st.data())
def test_long_copies_equal_brute_force(rows, data):
    query: list[str] = []
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.sampled_from(rows))
        begin = data.draw(st.integers(0, len(row) - 1))
        query += row[begin : data.draw(st.integers(begin, len(row)))]
    own = data.draw(st.integers(-1, len(rows) - 1))
    index = RunIndex.build([" ".join(row) for row in rows])
    lengths = index.match_lengths(words_of([" ".join(query)]), np.array([own]))
    assert lengths.tolist() == brute(rows, query, own)[0]


def holds(row: list[str], run: list[str]) -> bool:
    return any(row[s : s + len(run)] == run for s in range(len(row) - len(run) + 1))


def test_long_repeats_and_many_equal_rows():
    rows = ["x " * 300 + f"end{i}" for i in range(20)] + ["boiler plate that never changes"] * 50
    index = RunIndex.build(rows)
    words = words_of(["x " * 200, "y " + "x " * 299 + "end7", "boiler plate that never changes"])
    runs = index.runs(words)
    assert [line[:4] for line in listed(runs)] == [(0, 0, 200, 20), (1, 1, 300, 1), (2, 0, 5, 1)]
    assert runs.records[1:].tolist() == [7, 20] and index.copies[20] == 50


@pytest.mark.parametrize(
    "copied",
    [
        "再见了我的朋友",
        "ที่นี่มีน้ำ",
        "שלום לכולם כאן עכשיו",
        "جملة من أربع كلمات",
        "один два три четыре",
        "हिन्दी में चार शब्द",
        "한국어 문장 하나 여기",
        "so 🙂 happy 👩‍👩‍👧 to be",
        "Ça coûte très cher",
    ],
)
def test_every_script_and_form(copied):
    index = RunIndex.build([f"— {copied}! … nothing else", "another"])
    query = unicodedata.normalize("NFD", f"Well: {copied.upper()}?")
    words = words_of([query])
    runs = index.runs(words)
    assert runs.records.tolist() == [0]
    begins, ends = index.spans(runs.records, runs.record_starts, runs.lengths)
    assert f"— {copied}! … nothing else"[begins[0] : ends[0]] == copied
    first = runs.starts[0]
    found = query[words.starts[first] : words.ends[first + runs.lengths[0] - 1]]
    assert unicodedata.normalize("NFC", found.casefold()) == unicodedata.normalize("NFC", copied.casefold())


def test_nothing_to_find_and_nothing_to_find_it_in():
    words = words_of(["", "a", "a b c d e"])
    for rows in ([], [""], ["", "…"], ["z"]):
        index = RunIndex.build(rows)
        assert index.runs(words, 1).texts.size == 0 and not index.counts(words).any()
        assert index.places(words, index.runs(words, 1)).runs.size == 0
    index = RunIndex.build(["a"])
    assert [line[:4] for line in listed(index.runs(words, 1))] == [(1, 0, 1, 1), (2, 0, 1, 1)]
    nothing = words_of([])
    assert index.runs(nothing).texts.size == 0 and index.counts(nothing).shape == (5, 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


MANY = [f"row {i} says {i * i} and {i % 7} and goes on with word{i % 13} of its own" for i in range(60)]


@pytest.fixture
def small_portions():
    """Shards of about eight rows."""
    with mock.patch.object(run_build, "CHARACTERS", 500):
        yield


@pytest.mark.usefixtures("small_portions")
def test_on_disk_as_in_memory(tmp_path):
    memory, disk = RunIndex.build(MANY, shard_words=1), RunIndex.build(iter(MANY), tmp_path / "index", shard_words=1)
    assert len(disk.shards) > 3 and disk.fingerprint == memory.fingerprint == corpus_fingerprint(MANY)
    words = words_of([*MANY[5:9], "goes on with word3 of nothing"])
    assert listed(disk.runs(words)) == listed(memory.runs(words))
    np.testing.assert_array_equal(disk.counts(words), memory.counts(words))
    assert disk.num_bytes == memory.num_bytes
    for array in disk.shards[0]:  # mapped, not read
        base = array
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base, mmap.mmap) and not array.flags.writeable


@pytest.mark.usefixtures("small_portions")
def test_a_rebuilt_index_has_the_same_bytes_and_reuses_what_is_right(tmp_path):
    RunIndex.build(MANY, tmp_path / "one", shard_words=1)
    RunIndex.build(MANY, tmp_path / "two", shard_words=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    with mock.patch.object(run_store, "suffix_order", side_effect=AssertionError("built again")):
        RunIndex.build(MANY, tmp_path / "one", shard_words=1)
    changed = [*MANY[:-1], "this one is new"]
    RunIndex.build(changed, tmp_path / "one", shard_words=1)
    RunIndex.build(changed, tmp_path / "new", shard_words=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "new")  # nothing of the old corpus is left


def test_a_changed_corpus_is_noticed(tmp_path):
    RunIndex.build(ROWS, tmp_path)
    assert RunIndex.open(tmp_path, fingerprint=corpus_fingerprint(ROWS)).num_records == 5
    with pytest.raises(ValueError, match="the corpus has changed since"):
        RunIndex.open(tmp_path, fingerprint=corpus_fingerprint([*ROWS[1:], ROWS[0]]))
    assert corpus_fingerprint(["ab", "c"]) != corpus_fingerprint(["a", "bc"])


@pytest.mark.usefixtures("small_portions")
def test_a_killed_build_looks_unfinished_and_is_taken_up(tmp_path):
    RunIndex.build(MANY, tmp_path / "whole", shard_words=1)
    real, built = run_store.save_array, 0

    def killed(array, path):
        nonlocal built
        built += 1
        if built > 25:  # in the third shard
            raise KeyboardInterrupt
        real(array, path)

    with mock.patch.object(run_store, "save_array", killed), pytest.raises(KeyboardInterrupt):
        RunIndex.build(MANY, tmp_path / "index", shard_words=1)
    with pytest.raises(ValueError, match="no finished run index"):
        RunIndex.open(tmp_path / "index")
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "index").glob("shard-*") if p.suffix != ".part"}
    assert len(done) == 2
    RunIndex.build(MANY, tmp_path / "index", shard_words=1)
    assert contents(tmp_path / "index") == contents(tmp_path / "whole")
    assert all((tmp_path / "index" / name).stat().st_mtime_ns == time for name, time in done.items())


def test_an_index_that_cannot_be_trusted_is_refused(tmp_path):
    index = RunIndex.build(ROWS, tmp_path / "index")
    del index
    manifest = tmp_path / "index" / "index.json"
    manifest.write_text(manifest.read_text().replace('"words-1"', '"words-0"'))
    with pytest.raises(ValueError, match="made with tokenization words-0, this version has words-1"):
        RunIndex.open(tmp_path / "index")
    RunIndex.build(ROWS, tmp_path / "index")
    order = next((tmp_path / "index").rglob("order.npy"))
    order.write_bytes(order.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"order.npy of the run index in .* is damaged"):
        RunIndex.open(tmp_path / "index")
    assert RunIndex.build(ROWS, tmp_path / "index").runs(words_of(ROWS)).texts.size == 4
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds .*, which is no part of a run index"):
        RunIndex.build(ROWS, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_real_dialogues_against_a_dictionary_of_runs(shared_data):
    import gzip
    import json

    with gzip.open(shared_data / "sgd_dialogues" / "validation.jsonl.gz", "rt", encoding="utf-8") as handle:
        texts = ["\n".join(turn["text"] for turn in json.loads(line)["turns"]) for line in handle][:260]
    index, words = RunIndex.build(texts[:200]), words_of(texts[200:])
    corpus = words_of(texts[:200])
    held: list[dict[tuple[int, ...], set[int]]] = [{} for _ in range(5)]
    for i in range(200):
        row = corpus.keys[corpus.offsets[i] : corpus.offsets[i + 1]].tolist()
        for n in range(5):
            for at in range(len(row) - n):
                held[n].setdefault(tuple(row[at : at + n + 1]), set()).add(i)
    counts, lengths = index.counts(words), index.match_lengths(words)
    for i in range(60):
        begin, end = int(words.offsets[i]), int(words.offsets[i + 1])
        row = words.keys[begin:end].tolist()
        for n in range(5):
            expected = [len(held[n].get(tuple(row[at : at + n + 1]), ())) for at in range(len(row) - n)] + [0] * n
            assert counts[n, begin:end].tolist() == expected[: len(row)]
            assert ((lengths[begin:end] > n) == (counts[n, begin:end] > 0)).all()
