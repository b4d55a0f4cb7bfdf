"""How fast every word run that a text shares with a corpus is found, beside its peers, and how that grows with rows.

`python benchmarks/spans.py all --data ../shared/data` rewrites docs/benchmarks-detector.{json,md}; takes ten minutes.
All times are CPU seconds of one thread: they hardly see what else the machine does.
"""

from __future__ import annotations

import os

os.environ.update({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})

import argparse
import gzip
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from page import fill, machine, taken_on

from remanence.text.run_index import RunIndex
from remanence.text.words import words_of

DOCS = Path(__file__).parent.parent / "docs"
FIELDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "sgd_dialogues": lambda row: "\n".join(turn["text"] for turn in row["turns"]),
    "medquad": lambda row: row["answer"],
    "dialogsum": lambda row: row["dialogue"],
    "medical_forum_qa": lambda row: row["answer"],
    "aeslc": lambda row: row["body"],
    "policyqa": lambda row: row["context"],
    "movie_reviews": lambda row: row["text"],
    "boolq": lambda row: row["passage"],
    "scitldr": lambda row: row["source"],
    "multi30k": lambda row: row["en"],
    "sst2": lambda row: row["text"],
}
"""The longest text of each row."""
ROWS, WORDS, QUERIES, TARGET = 10_000, 100, 3000, 5000
SIZES = (10_000, 100_000, 1_000_000, 4_000_000)
"""Growth is told from the first to a million; four million are six shards."""
PACKAGES = ("numba", "numpy")


def texts_of(data: Path, name: str, splits: Sequence[str]) -> list[str]:
    found: list[str] = []
    for split in splits:
        with gzip.open(data / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as handle:
            found += [FIELDS[name](json.loads(line)) for line in handle]
    return found


def cut(text: str) -> str:
    """The first `WORDS` words."""
    ends = words_of([text]).ends
    return text if ends.size <= WORDS else text[: ends[WORDS - 1]]


def cpu(run: Callable[[], object], times: int = 3) -> float:
    """Median CPU seconds."""
    taken: list[float] = []
    for _ in range(times):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


# ------------------------------------------------------------------ the sets


def sets(data: Path) -> dict[str, Any]:
    """Per set: build and query rates, cutting into words included."""
    warm_up()
    found: dict[str, Any] = {}
    for name in FIELDS:
        rows = texts_of(data, name, ["train"])[:ROWS]
        asked = [cut(text) for text in texts_of(data, name, ["validation", "test"])[:QUERIES]]
        index = RunIndex.build(rows)
        runs = index.runs(words_of(asked))
        found[name] = {
            "rows": len(rows),
            "distinct": index.num_distinct,
            "words": index.num_words,
            "asked": len(asked),
            "asked_words": words_of(asked).keys.size / len(asked),
            "build_seconds": cpu(lambda r=rows: RunIndex.build(r), 1),
            "bytes_per_word": index.num_bytes / index.num_words,
            "runs": runs.texts.size / len(asked),
            "longest": int(runs.lengths.max()),
            "runs_per_second": len(asked) / cpu(lambda i=index, a=asked: i.runs(words_of(a))),
            "with_counts_per_second": len(asked) / cpu(lambda i=index, a=asked: both(i, a)),
        }
    return found


def both(index: RunIndex, asked: list[str]) -> None:
    """All that a background model with leave-one-out needs."""
    words = words_of(asked)
    index.runs(words)
    index.counts(words)


def warm_up() -> None:
    """Compile."""
    own = np.zeros(1, np.int64)
    index, words = RunIndex.build(["a b c d e", "a b c d f", "a b c d e"]), words_of(["a b c d e"])
    index.places(words, index.runs(words, own=own))
    index.counts(words, own=own)


# ------------------------------------------------------------------ the peers


def peers(data: Path, name: str = "dialogsum", few: int = 1000, asked: int = 40) -> dict[str, Any]:
    """Each method on the same held-out texts, 20 words of a training row planted in the middle of each."""
    from datasketch import MinHash, MinHashLSH
    from rapidfuzz import fuzz

    warm_up()
    rows = [text for text in texts_of(data, name, ["train"])[:ROWS] if words_of([text]).keys.size >= 40]
    few_rows = rows[:few]
    rng = np.random.default_rng(0)
    sources = rng.choice(few, asked, replace=False)
    heldout = texts_of(data, name, ["validation", "test"])[:asked]
    queries = [planted(text, few_rows[source]) for text, source in zip(heldout, sources, strict=True)]
    pairs = few * asked
    found: dict[str, Any] = {"set": name, "rows": few, "asked": asked}

    index = RunIndex.build(few_rows)
    asked_words = words_of(queries)
    runs = index.runs(asked_words)
    longest = [int(runs.lengths[runs.texts == i].max()) for i in range(asked)]
    holders = index.places(asked_words, runs, None)
    hits = [
        bool((holders.records[np.isin(holders.runs, best_runs(runs, i, longest[i]))] == source).any())
        for i, source in enumerate(sources)
    ]
    again = queries * 50
    found["remanence"] = {"pairs": 50 * pairs / cpu(lambda: index.runs(words_of(again))), "named": sum(hits) / asked}

    keys = [words_of([text]).keys.tolist() for text in (*few_rows, *queries)]
    lengths = np.zeros((asked, few), np.int64)

    def by_difflib() -> None:
        for i in range(asked):
            matcher = SequenceMatcher(None, autojunk=False)
            matcher.set_seq2(keys[few + i])
            for j in range(few):
                matcher.set_seq1(keys[j])
                lengths[i, j] = matcher.find_longest_match().size

    found["difflib"] = {"pairs": pairs / cpu(by_difflib, 1)}
    assert lengths.max(1).tolist() == longest, "both sides must find the same longest run"
    found["difflib"]["named"] = float(np.mean(lengths.argmax(1) == sources))
    found["same"] = asked

    scores = np.zeros((asked, few))

    def by_rapidfuzz() -> None:
        for i, query in enumerate(queries):
            for j, row in enumerate(few_rows):
                scores[i, j] = fuzz.partial_ratio(query, row)

    found["rapidfuzz"] = {"pairs": pairs / cpu(by_rapidfuzz, 1), "named": 0.0}
    found["rapidfuzz"]["named"] = float(np.mean(scores.argmax(1) == sources))

    def sketch(words: list[int]) -> MinHash:
        print_ = MinHash(num_perm=128)
        print_.update_batch([str(words[k : k + 5]).encode() for k in range(len(words) - 4)])
        return print_

    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    for j in range(few):
        lsh.insert(j, sketch(keys[j]))
    near: list[list[int]] = []

    def by_minhash() -> None:
        near[:] = [lsh.query(sketch(keys[few + i])) for i in range(asked)]

    found["datasketch"] = {"pairs": pairs / cpu(by_minhash)}
    found["datasketch"]["named"] = float(np.mean([source in n for source, n in zip(sources, near, strict=True)]))
    for name in ("remanence", "difflib", "rapidfuzz", "datasketch"):
        found[name]["generations"] = found[name]["pairs"] / few
    return found | aligned(few_rows, queries, sources)


def aligned(rows: list[str], queries: list[str], sources: Any) -> dict[str, Any]:
    """The published detector's plain twin and our aligner, on the ten candidates that BM25 ranks first."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "measure" / "plagiarism"))
    from slow_pan2015 import slow_pan2015

    from remanence.measure.plagiarism.pan2015 import Pan2015
    from remanence.text.align import Aligner
    from remanence.text.candidates import Candidates
    from remanence.text.sentences import sentence_spans

    top = Candidates.build(rows).top(queries, 10).ids
    pairs = np.stack((np.repeat(np.arange(len(queries)), 10), top.ravel()), axis=1)
    aligner = Aligner.fit(rows, passage_chars=0)
    read = aligner.read(rows)
    aligner.align(aligner.read(queries[:1]), read, pairs[:1])  # compile
    settings = Pan2015.zeng2024()
    labels: list[str] = []

    def by_twin() -> None:
        labels[:] = [slow_pan2015(settings, queries[i], rows[j], sentence_spans)[0] for i, j in pairs]

    found = aligner.align(aligner.read(queries), read, pairs)
    seconds = {"aligner": cpu(lambda: aligner.align(aligner.read(queries), read, pairs)), "twin": cpu(by_twin, 1)}
    hit = {"aligner": np.diff(found.offsets) > 0, "twin": np.array([label != "none" for label in labels])}
    own = pairs[:, 1] == np.asarray(sources)[pairs[:, 0]]
    return {
        name: {
            "pairs": len(pairs) / took,
            "generations": len(queries) / took,
            "named": float((hit[name] & own).sum() / len(queries)),
        }
        for name, took in seconds.items()
    }


def planted(text: str, source: str) -> str:
    """A text of `WORDS` words whose words 40 to 59 are words 10 to 29 of the source."""
    words, copied = words_of([text]), words_of([source])
    end = min(WORDS - 20, words.keys.size)
    middle = min(40, end)
    begin = text[: words.ends[middle - 1]]
    rest = text[words.starts[middle] : words.ends[end - 1]] if end > middle else ""
    return f"{begin} {source[copied.starts[10] : copied.ends[29]]} {rest}"


def best_runs(runs: Any, text: int, length: int) -> np.ndarray:
    return np.flatnonzero((runs.texts == text) & (runs.lengths == length))


# ------------------------------------------------------------------ growth


def generated(rows: int, seed: int) -> Iterator[list[str]]:
    """Rows of 25 words, 50,000 different ones by Zipf's law, in portions of 10,000."""
    rng = np.random.default_rng(seed)
    odds = np.cumsum(1 / np.arange(1, 50_001) ** 1.05)
    words = np.array([f"w{i:x}" for i in range(50_000)])
    for start in range(0, rows, 10_000):
        picked = words[np.searchsorted(odds / odds[-1], rng.random((min(10_000, rows - start), 25)))]
        yield [" ".join(row) for row in picked.tolist()]


def grown(rows: int) -> dict[str, Any]:
    """In a process of its own: build on disk from a stream, then ask; memory beyond what Python has before."""
    warm_up()
    asked = words_of(next(generated(4000, 1)))
    making = 0.0

    def stream() -> Iterator[str]:
        nonlocal making
        portions = generated(rows, 0)
        while True:
            start = time.process_time()
            portion = next(portions, None)
            making += time.process_time() - start
            if portion is None:
                return
            yield from portion

    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        index = RunIndex.build(stream(), Path(folder) / "index")
        build = time.process_time() - start - making
        built_peak = peak()
        found = index.runs(asked)
        return {
            "rows": rows,
            "words": index.num_words,
            "shards": len(index.shards),
            "build_seconds": build,
            "peak_mb": built_peak - before,
            "bytes_per_word": index.num_bytes / index.num_words,
            "runs": int(found.texts.size),
            "runs_per_second": 4000 / cpu(lambda: index.runs(asked)),
            "counts_per_second": 4000 / cpu(lambda: index.counts(asked)),
        }


def peak() -> float:
    """Most memory of this process so far, MB, pages of mapped files included."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def growth(_: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for rows in SIZES:
        command = [sys.executable, __file__, "grown", "--rows", str(rows)]
        found[str(rows)] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    first, last = found[str(SIZES[0])], found["1000000"]
    ratio = math.log(last["rows"] / first["rows"])
    found["build_exponent"] = math.log(last["build_seconds"] / first["build_seconds"]) / ratio
    found["query_exponent"] = math.log(first["runs_per_second"] / last["runs_per_second"]) / ratio
    return found


# ------------------------------------------------------------------ the page


def sets_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        "| set | rows | distinct | words | asked: texts × words | runs per text | longest | build | bytes per word "
        "| texts per CPU-s | with counts |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rows = {name: f for name, f in found.items() if name in FIELDS}
    for name, f in rows.items():
        lines.append(
            f"| {name} | {f['rows']:,} | {f['distinct']:,} | {f['words']:,} "
            f"| {f['asked']:,} × {f['asked_words']:.0f} | {f['runs']:.1f} | {f['longest']} "
            f"| {f['build_seconds']:.2f} s | {f['bytes_per_word']:.1f} "
            f"| {f['runs_per_second']:,.0f} | {f['with_counts_per_second']:,.0f} |"
        )
    middle, least = (pick([f["runs_per_second"] for f in rows.values()]) for pick in (statistics.median, min))
    met = "met:" if middle >= TARGET else "**missed:**"
    return [*lines, "", f"Median {middle:,.0f}, least {least:,.0f} texts per CPU-second; {met} ≥ {TARGET:,} median."]


def peers_lines(found: dict[str, Any]) -> list[str]:
    what = {
        "remanence": "`RunIndex.runs`: all runs of 4 words or more, against all rows at once",
        "difflib": "`SequenceMatcher(autojunk=False).find_longest_match` on the same words, pair by pair",
        "rapidfuzz": "`fuzz.partial_ratio`, pair by pair: best window of characters, one score, no span",
        "datasketch": "`MinHashLSH`, 128 permutations of 5-word shingles, Jaccard 0.8: whole rows only",
        "aligner": "`Aligner`, 10 BM25 candidates per text: reworded passages too",
        "twin": "plain twin of the published 2015 detector, the same candidates (flags any passage)",
    }
    lines = [
        f"| {found['asked']} texts against {found['rows']:,} rows of {found['set']} | pairs per CPU-s "
        "| texts per CPU-s | source named |",
        "|---|--:|--:|--:|",
    ]
    for name, does in what.items():
        f = found[name]
        lines.append(f"| {name}: {does} | {f['pairs']:,.0f} | {f['generations']:,.2f} | {f['named']:.0%} |")
    return [*lines, "", f"Longest run equal to difflib's: {found['same']} of {found['asked']} texts."]


def growth_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        "| rows | words | shards | build | per row | memory while building | bytes per word | runs, texts per CPU-s "
        "| counts, texts per CPU-s |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {f['rows']:,} | {f['words']:,} | {f['shards']} | {f['build_seconds']:.2f} s | "
        f"{1e6 * f['build_seconds'] / f['rows']:.1f} µs | {f['peak_mb']:,.0f} MB | {f['bytes_per_word']:.1f} | "
        f"{f['runs_per_second']:,.0f} | {f['counts_per_second']:,.0f} |"
        for f in found.values()
        if isinstance(f, dict) and "rows" in f
    ]
    return [
        *lines,
        "",
        f"From 10,000 to a million rows time grows as rows^{found['build_exponent']:.2f} to build and "
        f"rows^{found['query_exponent']:.2f} to ask.",
    ]


PARTS = {"sets": (sets, sets_lines), "peers": (peers, peers_lines), "growth": (growth, growth_lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all", "page", "grown"], help="page = only rewrite the tables")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--rows", type=int, help="for grown, which prints one line of the growth")
    options = parser.parse_args()
    if options.part == "grown":
        print(json.dumps(grown(options.rows)))
        return
    place = DOCS / "benchmarks-detector.json"
    found = json.loads(place.read_text()) if place.exists() else {}
    for name, (run, _) in PARTS.items():
        if options.part in (name, "all"):
            where = machine(*PACKAGES, *(("rapidfuzz", "datasketch") if name == "peers" else ()))
            found[name] = {**run(options.data), "machine": where}
            place.write_text(json.dumps(found, indent=1) + "\n")
    sections = {
        name: [*lines(found[name]), "", taken_on(found[name])] for name, (_, lines) in PARTS.items() if name in found
    }
    fill(DOCS / "benchmarks-detector.md", sections)


if __name__ == "__main__":
    main()
