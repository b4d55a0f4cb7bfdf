"""How often is an innocent text flagged, and how many copies are found? On real data, at stated false-alarm rates.

    python benchmarks/detector_floor.py ../shared/data [--sets sst2,aeslc] [--seed 0]

Of each set up to 10,000 different training texts are indexed. Held-out texts (validation and test) are cut to 100
words; those that quote a training record are counted and left out; one half of the rest, in pieces of 10, 20, 50 and
100 words, sets one threshold for each length, the other half is asked, then the other way round. Copies are n words in
a row of a training text, alone as a generation; in some, words are replaced by words drawn from the training texts.
Writes docs/detector-floor.json and the tables of docs/detector-floor.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from remanence.stats.calibration import ALPHAS, MIN_ABOVE, ByLength, halves
from remanence.stats.rates import Rate
from remanence.text.background import NGrams, credited, near_groups, run_bits
from remanence.text.chain import Seeds, best_scores, chains, seeds_of
from remanence.text.nulls import QUOTED, contained, first_words, pieces_of, windows
from remanence.text.run_index import RunIndex
from remanence.text.words import Words, words_of

DOCS = Path(__file__).parent.parent / "docs"
RECORDS, PIECES, COPIES = 10_000, 8_000, 500
LENGTHS = (10, 20, 50, 100)
REPLACED = (0.05, 0.1, 0.2)
MIN_WORDS, PLACES = 4, 16

SETS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "multi30k": ("multi30k", lambda r: r["en"]),
    "sst2": ("sst2", lambda r: r["text"]),
    "medical questions": ("medical_forum_qa", lambda r: r["question"]),
    "scitldr": ("scitldr", lambda r: r["source"]),
    "medical answers": ("medical_forum_qa", lambda r: r["answer"]),
    "movie_reviews": ("movie_reviews", lambda r: r["text"]),
    "boolq": ("boolq", lambda r: r["passage"]),
    "sgd_dialogues": ("sgd_dialogues", lambda r: "\n".join(turn["text"] for turn in r["turns"])),
    "dialogsum": ("dialogsum", lambda r: r["dialogue"]),
    "policyqa": ("policyqa", lambda r: r["context"]),
    "aeslc": ("aeslc", lambda r: r["body"]),
    "medquad": ("medquad", lambda r: r["answer"]),
}
BEFORE: dict[str, tuple[float, ...]] = {
    "multi30k": (40, 1.1, 78, 78, 78, 66, 54, 33),
    "sst2": (43, 0.8, 86, 86, 86, 80, 71, 56),
    "medical questions": (52, 0.9, 84, 84, 84, 73, 62, 45),
    "scitldr": (80, 1.6, 97, 100, 100, 100, 100, 95),
    "medical answers": (83, 1.8, 85, 92, 92, 84, 70, 43),
    "movie_reviews": (89, 0.5, 90, 100, 100, 100, 100, 97),
    "boolq": (112, 1.1, 26, 99, 99, 96, 86, 54),
    "sgd_dialogues": (151, 1.8, 0, 90, 100, 97, 81, 26),
    "dialogsum": (199, 2.4, 0, 11, 97, 76, 47, 7),
    "policyqa": (202, 0.0, 0, 3, 69, 40, 19, 2),
    "aeslc": (231, 0.7, 0, 8, 78, 52, 30, 4),
    "medquad": (397, 0.7, 0, 0, 74, 29, 7, 0),
}
"""What exact runs with unigram bits reached, at 1 %: threshold, false alarms, copies, replaced."""


def texts_of(data: Path, name: str, splits: tuple[str, ...]) -> list[str]:
    """The texts of a set that differ in more than capitals and white space, in order."""
    folder, text_of = SETS[name]
    found: dict[str, str] = {}
    for split in splits:
        with gzip.open(data / folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                text = text_of(json.loads(line))
                found.setdefault(" ".join(text.casefold().split()), text)
    return [text for key, text in found.items() if key]


class Detector:
    """The index of the training texts and the background model that they give."""

    def __init__(self, train: list[str]) -> None:
        self.corpus = words_of(train)
        self.index = RunIndex.build(train)
        groups = near_groups(self.corpus)
        self.num_groups = int(np.unique(groups).size)
        self.background = NGrams.fit(self.corpus, groups)

    def bits(self, words: Words) -> Any:
        return credited(self.background.left_out_bits(words))

    def seeds(self, words: Words) -> Seeds:
        runs = self.index.runs(words, MIN_WORDS)
        return seeds_of(words, self.corpus, runs, self.index.places(words, runs, PLACES))

    def score(self, words: Words) -> tuple[Any, Any]:
        """[N] bits of the best chain of each text, and of its best exact run."""
        bits, seeds = self.bits(words), self.seeds(words)
        num_texts = words.offsets.size - 1
        exact = np.zeros(num_texts)
        np.maximum.at(exact, seeds.texts, run_bits(bits, seeds.query_starts, seeds.lengths))
        return best_scores(chains(words, bits, self.corpus, seeds), num_texts), exact

    def most(self, words: Words) -> Any:
        """[N] bits of each text if all of it were one run."""
        return run_bits(self.bits(words), words.offsets[:-1], np.diff(words.offsets))


def whole_texts(texts: Any, words: Words) -> tuple[Any, Any, Any]:
    """Some texts of a batch as `pieces_of` wants them."""
    return texts, np.zeros(texts.size, np.int64), np.diff(words.offsets)[texts]


def copies(corpus: Words, length: int, rng: np.random.Generator) -> Words:
    """`COPIES` runs of so many words from as many training texts drawn at random; a shorter text is copied whole."""
    sizes = np.diff(corpus.offsets)
    texts = rng.choice(np.flatnonzero(sizes > 0), COPIES)
    lengths = np.minimum(sizes[texts], length)
    return pieces_of(corpus, texts, rng.integers(0, sizes[texts] - lengths + 1), lengths)


def with_replaced(words: Words, share: float, corpus: Words, rng: np.random.Generator) -> Words:
    """The same share of the words of each text (rounded, at random places) replaced by random words of the corpus."""
    keys = words.keys.copy()
    for low, high in zip(words.offsets[:-1], words.offsets[1:], strict=True):
        places = low + rng.choice(high - low, round(share * (high - low)), replace=False)
        keys[places] = rng.choice(corpus.keys, places.size)
    return words._replace(keys=keys)


def run_set(data: Path, name: str, seed: int) -> dict[str, Any]:
    """All figures of one set."""
    rng = np.random.default_rng(seed)
    train = texts_of(data, name, ("train",))
    random.Random(seed).shuffle(train)
    detector = Detector(train[:RECORDS])
    held = words_of(texts_of(data, name, ("validation", "test")))
    held = first_words(held, LENGTHS[-1])
    held = pieces_of(held, *whole_texts(np.flatnonzero(np.diff(held.offsets) > 0), held))
    num_words = np.diff(held.offsets)
    quoted = contained(held, detector.corpus, detector.seeds(held)) >= QUOTED
    first_half = halves(np.arange(quoted.size), seed)
    asked = {n: copies(detector.corpus, n, rng) for n in LENGTHS[:3]}
    changed = {share: with_replaced(asked[50], share, detector.corpus, rng) for share in REPLACED}
    began = time.process_time()
    held_scores = detector.score(held)
    seconds = time.process_time() - began
    nulls: dict[int, Any] = {}
    for n in LENGTHS:
        cut, of = windows(held, n)
        keep = np.flatnonzero(~quoted[of])
        keep = np.sort(rng.choice(keep, min(PIECES, keep.size), replace=False))
        nulls[n] = (*detector.score(pieces_of(cut, *whole_texts(keep, cut))), of[keep])
    found: dict[str, Any] = {
        "train": min(len(train), RECORDS),
        "groups": detector.num_groups,
        "heldout": int(quoted.size),
        "quoting": int(quoted.sum()),
        "generations_per_cpu_second": round(quoted.size / seconds),
        "alphas": {},
    }
    scores = {**{f"copy {n}": (detector.score(w), w) for n, w in asked.items()}}
    scores |= {f"replaced {share:g}": (detector.score(w), w) for share, w in changed.items()}
    whole = {what: detector.most(w) for what, (_, w) in scores.items()}
    for alpha in ALPHAS:
        out: dict[str, Any] = {}
        for kind, which in (("chain", 0), ("exact", 1)):
            hits = all_hits = num = 0
            sums: dict[str, list[float]] = {}
            limits: dict[int, list[float]] = {n: [] for n in LENGTHS}
            for half in (True, False):
                null = {n: s[which][first_half[s[2]] == half] for n, s in nulls.items()}
                limit = ByLength.fit(null, alpha, least=0)
                for n, one in zip(limit.lengths, limit.thresholds, strict=True):
                    limits[n].append(float(one.score or 0.0))
                flags = held_scores[which] > limit.of(num_words)
                others = first_half != half
                hits += int((flags & others & ~quoted).sum())
                num += int((others & ~quoted).sum())
                all_hits += int((flags & others).sum())
                for what, (score, w) in scores.items():
                    at = limit.of(np.diff(w.offsets))
                    sums.setdefault(what, []).append(float((score[which] > at).mean()))
                    sums.setdefault(f"not measurable {what}", []).append(float((whole[what] <= at).mean()))
                if half:
                    out.setdefault("nulls", {n: int(s.size) for n, s in null.items()})
            rate, everything = Rate.counted(hits, num), Rate.counted(all_hits, int(quoted.size))
            out[kind] = {
                "floor": [hits, num, rate.low, rate.high],
                "floor_with_quoting": [all_hits, int(quoted.size), everything.low, everything.high],
                "thresholds": {n: float(np.mean(v)) for n, v in limits.items()},
                **{what: float(np.mean(v)) for what, v in sums.items()},
            }
        few = out["nulls"][LENGTHS[-1]] * alpha < MIN_ABOVE
        found["alphas"][f"{alpha:g}"] = {**out, "few": bool(few)}
    found["bits_per_word"] = float(whole["copy 50"].sum() / asked[50].keys.size)
    return found


def of_all(found: dict[str, Any], alpha: str, keys: list[str], kind: str = "chain") -> str:
    """Shares in per cent, joined by bars."""
    return " / ".join(f"{100 * found['alphas'][alpha][kind][key]:.0f}" for key in keys)


def floor_of(found: dict[str, Any], alpha: str, key: str = "floor", kind: str = "chain") -> str:
    hits, num, low, high = found["alphas"][alpha][kind][key]
    few = "†" if found["alphas"][alpha]["few"] else ""
    return f"{100 * hits / num:.1f}{few} [{100 * low:.1f}, {100 * high:.1f}]"


def tables(everything: dict[str, Any]) -> list[str]:
    """What stands between the marks of the page."""
    copied = [f"copy {n}" for n in LENGTHS[:3]]
    replaced = [f"replaced {share:g}" for share in REPLACED]
    lines = [
        "At 1 %, in per cent; *before* are the figures of the prototype (exact runs, unigram bits, one threshold).",
        "",
        "| set | false alarms | before | copies of 10 / 20 / 50 words | before | 5 / 10 / 20 % replaced | before |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    names = [name for name in SETS if name in everything]
    for name in names:
        f, b = everything[name], BEFORE[name]
        before = [" / ".join(f"{v:g}" for v in part) for part in (b[1:2], b[2:5], b[5:8])]
        lines.append(
            f"| {name} | {floor_of(f, '0.01')} | {before[0]} | {of_all(f, '0.01', copied)} | {before[1]} | "
            f"{of_all(f, '0.01', replaced)} | {before[2]} |"
        )
    lines += [
        "",
        "What that rests on. *Quoting*: held-out texts left out because half of each stands in one training record; "
        "the false alarms with these counted in are in the next column. *Not measurable*: copies of 10 / 20 / 50 words "
        "that do not carry enough bits for the threshold of their length.",
        "",
        "| set | rows (distinct) | held-out | quoting | with these | threshold in bits at 10 / 20 / 50 / 100 words | "
        "bits per word | not measurable | texts per CPU-second |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in names:
        f = everything[name]
        limits = " / ".join(f"{v:.0f}" for v in f["alphas"]["0.01"]["chain"]["thresholds"].values())
        lines.append(
            f"| {name} | {f['train']:,} ({f['groups']:,}) | {f['heldout']:,} | {f['quoting']:,} | "
            f"{floor_of(f, '0.01', 'floor_with_quoting')} | {limits} | {f['bits_per_word']:.1f} | "
            f"{of_all(f, '0.01', ['not measurable ' + what for what in copied])} | "
            f"{f['generations_per_cpu_second']:,} |"
        )
    lines += [
        "",
        "At the other rates, and exact runs alone instead of chains (at 1 %).",
        "",
        "| set | false alarms at 0.1 % | copies at 0.1 % | false alarms at 5 % | copies at 5 % | "
        "exact runs: false alarms | copies | replaced |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in names:
        f = everything[name]
        lines.append(
            f"| {name} | {floor_of(f, '0.001')} | {of_all(f, '0.001', copied)} | {floor_of(f, '0.05')} | "
            f"{of_all(f, '0.05', copied)} | {floor_of(f, '0.01', kind='exact')} | "
            f"{of_all(f, '0.01', copied, 'exact')} | {of_all(f, '0.01', replaced, 'exact')} |"
        )
    lines += ["", "† fewer than 10 expected above the threshold: the tool refuses this rate for so few held-out texts."]
    return lines


def write_page(everything: dict[str, Any], page: Path) -> None:
    body = "\n".join(tables(everything))
    text = page.read_text(encoding="utf-8")
    text = re.sub(
        r"<!-- floor -->.*?<!-- end -->", lambda _: f"<!-- floor -->\n\n{body}\n\n<!-- end -->", text, flags=re.S
    )
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=",".join(SETS), help="names separated by commas; empty = only the page")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=DOCS / "detector-floor.json")
    parser.add_argument("--page", type=Path, default=DOCS / "detector-floor.md")
    options = parser.parse_args()
    everything = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in filter(None, options.sets.split(",")):
        found = everything[name] = run_set(options.data, name, options.seed)
        options.out.write_text(json.dumps(everything, indent=1) + "\n")
        floors = ", ".join(f"{100 * float(a):g} %: {floor_of(found, a)}" for a in found["alphas"])
        print(f"{name}: false alarms {floors}", flush=True)
        for what in (*(f"copy {n}" for n in LENGTHS[:3]), *(f"replaced {share:g}" for share in REPLACED)):
            print(f"  {what}: found {', '.join(of_all(found, a, [what]) + ' %' for a in found['alphas'])}", flush=True)
    write_page(everything, options.page)


if __name__ == "__main__":
    main()
