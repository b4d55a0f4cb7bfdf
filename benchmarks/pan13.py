"""How well, and how fast, are reused passages found? Our aligner and the published detector on gold pairs.

    python benchmarks/pan13.py [FOLDER] [--data ../shared/data]

FOLDER holds documents.jsonl.gz (`id`, `text`) and pairs.jsonl.gz (`susp`, `src`, `category`, `cases`); its tables are
only printed. Without one it is the development pairs, and docs/detector-alignment.json and the tables of
docs/detector-alignment.md are written.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from page import fill, machine, taken_on
from sklearn.metrics import roc_auc_score

from remanence.measure.plagiarism.pan2015 import Pan2015
from remanence.stats.plagdet import Passages, plagdet
from remanence.text.align import Aligner
from remanence.text.candidates import Candidates

DOCS = Path(__file__).parent.parent / "docs"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CATEGORIES = ("", "no-obfuscation", "random-obfuscation", "translation-obfuscation", "summary-obfuscation")
REFERENCE = {
    "development pairs": (0.9020, 0.9837, 0.8722, 0.8757, 0.6742, 0.9144, 0.8917, 1.0013),
    "whole test corpus": (0.9014, 0.9856, 0.8851, 0.8754, 0.6330, 0.9123, 0.8967, 1.0047),
}
"""The 2015 detector's own program, from the project's sheet: plagdet by class; precision, recall, granularity."""
SETS = (("dialogsum", "dialogue"), ("medquad", "answer"), ("sgd_dialogues", "text"), ("movie_reviews", "text"))
"""Where generations are timed: data set and field, or the longest field where it has none of that name."""
WORDS, TRAINING, GENERATIONS, TOP = 100, 10_000, 500, 10

Found = list[list[Passages]]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        yield from map(json.loads, handle)


def scores(gold: list[dict[str, Any]], found: Found) -> dict[str, Any]:
    """Plagdet entire and by class, and the false alarms on pairs without a case."""
    cases = [[Passages(a, a + n, b, b + m) for a, n, b, m in pair["cases"]] for pair in gold]
    result: dict[str, Any] = {}
    for category in CATEGORIES:
        rows = [i for i, pair in enumerate(gold) if category in pair["category"]]
        result[category or "entire"] = plagdet([cases[i] for i in rows], [found[i] for i in rows])._asdict()
    innocent = [i for i, pair in enumerate(gold) if "no-plagiarism" in pair["category"]]
    same_topic = [i for i, pair in enumerate(gold) if "summary" in pair["category"] and not pair["cases"]]
    for name, rows in (("no-plagiarism", innocent), ("summary pairs without a case", same_topic)):
        result[f"alarms, {name}"] = [sum(bool(found[i]) for i in rows), len(rows)]
    return result


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the CPU seconds of this process."""
    begin = time.process_time()
    return run(), time.process_time() - begin


def pairs_of(folder: Path) -> dict[str, Any]:
    """Both detectors on every pair of the folder."""
    documents = {row["id"]: row["text"] for row in lines(folder / "documents.jsonl.gz")}
    gold = list(lines(folder / "pairs.jsonl.gz"))
    place = {name: i for i, name in enumerate(documents)}
    pairs = np.array([(place[p["susp"]], place[p["src"]]) for p in gold])
    texts = list(documents.values())
    found: dict[str, Any] = {}

    def note(name: str, passages: Found, read: float, compare: float) -> None:
        found[name] = scores(gold, passages)
        found[name]["pairs per CPU second, cached"] = len(gold) / compare
        found[name]["pairs per CPU second, not cached"] = len(gold) / (compare + read)
        print(f"{name:32s}", *(f"{found[name][c or 'entire']['plagdet']:.4f}" for c in CATEGORIES), flush=True)

    aligner, fit = timed(lambda: Aligner.fit(texts))
    read, seconds = timed(lambda: aligner.read(texts))
    aligner.align(read, read, pairs[:1])
    aligned, compare = timed(lambda: aligner.align(read, read, pairs))
    note("ours", [[Passages(*p[:4]) for p in aligned.passages(i)] for i in range(len(gold))], fit + seconds, compare)
    for splitter in ("punkt", "remanence"):
        detector = Pan2015(splitter=splitter)
        try:
            documents_, seconds = timed(lambda d=detector: d.read(texts))
        except ValueError as error:
            print(f"pan2015, {splitter}: left out. {error}", file=sys.stderr)
            continue
        detector.compare(documents_, documents_, pairs[:1])
        verdicts, compare = timed(lambda d=detector, r=documents_: d.compare(r, r, pairs))
        note(f"pan2015, {documents_.splitter}", [v.passages for v in verdicts], seconds, compare)
    return found


def text_of(row: dict[str, Any], name: str) -> str:
    """The first hundred words of the field, or of the row's longest text; of a dialogue, its turns."""
    values = [" ".join(map(str, _leaves(value))) for key, value in row.items() if key == name or name not in row]
    return " ".join(max(values, key=len).split(" ")[:WORDS])


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)


def speed(data: Path) -> dict[str, Any]:
    """Held-out texts as generations, against the ten that BM25 ranks first among 10,000 training texts."""
    result: dict[str, Any] = {}
    for name, key in SETS:
        training = [text_of(row, key) for row in lines(data / name / "train.jsonl.gz")][:TRAINING]
        texts = [text_of(row, key) for row in lines(data / name / "test.jsonl.gz")][:GENERATIONS]
        index, build = timed(lambda t=training: Candidates.build(t))
        index.top(texts[:2])
        top, search = timed(lambda i=index, t=texts: i.top(t, TOP))
        aligner = Aligner.fit(training, passage_chars=0)
        src = aligner.read(training)
        pairs = np.stack((np.repeat(np.arange(len(texts)), TOP), top.ids.ravel()), axis=1)
        pairs = pairs[pairs[:, 1] >= 0]
        aligner.align(aligner.read(texts[:2]), src, pairs[:2])
        _, align = timed(lambda a=aligner, t=texts, s=src, p=pairs: a.align(a.read(t), s, p))
        detector = Pan2015.zeng2024()
        some = pairs[pairs[:, 0] < 100]
        used, places = np.unique(some[:, 1], return_inverse=True)
        cached = detector.read([training[i] for i in used])
        detector.compare(detector.read(texts[:2]), cached, np.array([[0, 0]]))
        local = np.stack((some[:, 0], places), axis=1)
        _, published = timed(lambda d=detector, t=texts, c=cached, p=local: d.compare(d.read(t[:100]), c, p))
        result[name] = {
            "texts": len(training),
            "words": float(np.mean([len(t.split()) for t in texts])),
            "ours, generations per CPU second": len(texts) / align,
            "pan2015, generations per CPU second": 100 / published,
            "BM25, queries per CPU second": len(texts) / search,
            "BM25, texts indexed per CPU second": len(training) / build,
        }
        print(name, result[name], flush=True)
    return result


def clough(data: Path) -> dict[str, Any]:
    """Bits of copying of each answer from the source of its task, by degree; and the published labels."""
    rows = list(lines(data / "clough_stevenson_2009" / "test.jsonl.gz"))
    answers = [row for row in rows if row["category"] != "orig"]
    sources = {row["task"]: row["text"] for row in rows if row["category"] == "orig"}
    pairs = np.array([(i, list(sources).index(row["task"])) for i, row in enumerate(answers)])
    aligner = Aligner.fit([row["text"] for row in rows], passage_chars=0, passage_bits=0.0, verbatim_alone=False)
    texts = [row["text"] for row in answers]
    aligned = aligner.align(aligner.read(texts), aligner.read(list(sources.values())), pairs)
    bits = np.array([sum(p.bits for p in aligned.passages(i)) for i in range(len(answers))])
    detector = Pan2015.zeng2024()
    verdicts = detector.compare(detector.read(texts), detector.read(list(sources.values())), pairs)
    degree = np.array([row["category"] for row in answers])
    result: dict[str, Any] = {"AUC": float(roc_auc_score(degree != "non", bits))}
    for name, category in (("near copy", "cut"), ("light", "light"), ("heavy", "heavy"), ("none", "non")):
        rows_ = np.flatnonzero(degree == category)
        result[name] = {
            "answers": int(rows_.size),
            "mean bits": float(bits[rows_].mean()),
            "pan2015 flags": int(sum(verdicts[i].label != "none" for i in rows_)),
        }
    print(result, flush=True)
    return result


def pair_lines(found: dict[str, Any], reference: tuple[float, ...]) -> list[str]:
    table = [
        "| detector | entire | none | random | translation | summary | precision | recall | granularity |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        "| reference (2015 program) | " + " | ".join(f"{x:.4f}" for x in reference) + " |",
    ]
    for name, f in found.items():
        row = [f[c or "entire"]["plagdet"] for c in CATEGORIES]
        row += [f["entire"][k] for k in ("precision", "recall", "granularity")]
        table.append(f"| {name} | " + " | ".join(f"{x:.4f}" for x in row) + " |")
    alarms = [k for k in next(iter(found.values())) if k.startswith("alarms")]
    table += ["", "| detector | " + " | ".join(alarms) + " | pairs per CPU-second | documents read before |"]
    table.append("|---|" + "--:|" * (len(alarms) + 2))
    for name, f in found.items():
        cells = [f"{f[k][0]} of {f[k][1]}" for k in alarms]
        cells += [f"{f[f'pairs per CPU second, {k}']:,.0f}" for k in ("not cached", "cached")]
        table.append(f"| {name} | " + " | ".join(cells) + " |")
    return table


def speed_lines(found: dict[str, Any]) -> list[str]:
    names = [k for k in next(iter(found.values())) if "per CPU" in k]
    table = ["| data | training texts | words | " + " | ".join(names) + " |", "|---|" + "--:|" * (len(names) + 2)]
    for name, f in found.items():
        numbers = " | ".join(f"{f[k]:,.0f}" for k in names)
        table.append(f"| {name} | {f['texts']:,} | {f['words']:.0f} | {numbers} |")
    return table


def clough_lines(found: dict[str, Any]) -> list[str]:
    table = ["| degree of copying | answers | mean bits | pan2015 flags |", "|---|--:|--:|--:|"]
    for name, f in found.items():
        if name != "AUC":
            table.append(f"| {name} | {f['answers']} | {f['mean bits']:.1f} | {f['pan2015 flags']} |")
    return [*table, "", f"Copy (any degree) against none: AUC {found['AUC']:.3f} (must reach 0.95)."]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    if asked.folder is not None:
        found = pairs_of(asked.folder)
        print("\n".join(pair_lines(found, REFERENCE["whole test corpus"])))
        return
    result = {"machine": machine("numba", "numpy", "tantivy", "nltk")}
    result["pairs"] = pairs_of(asked.data / "pan13_text_alignment")
    result["clough"] = clough(asked.data)
    result["speed"] = speed(asked.data)
    (DOCS / "detector-alignment.json").write_text(json.dumps(result, indent=2) + "\n")
    sections = {
        "pairs": [*pair_lines(result["pairs"], REFERENCE["development pairs"]), "", taken_on(result)],
        "speed": speed_lines(result["speed"]),
        "clough": clough_lines(result["clough"]),
    }
    fill(DOCS / "detector-alignment.md", sections)
    for body in sections.values():
        print("\n".join(body))


if __name__ == "__main__":
    main()
