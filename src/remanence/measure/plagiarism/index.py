"""CorpusIndex: a training corpus prepared for matching: word runs, texts, word statistics and candidate retrieval.

Built once, in memory or in a folder that is memory-mapped and reused: all word runs (`run_index`), the texts
(`text_store`), how common words and phrases are (`background`, `align`), and BM25 (`candidates`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from remanence.core.record import Record
from remanence.text.align import Aligner, Passage
from remanence.text.background import NGrams, credited, e_value, near_groups, run_bits
from remanence.text.candidates import Candidates
from remanence.text.run_build import corpus_fingerprint
from remanence.text.run_index import MIN_WORDS, RunIndex
from remanence.text.text_store import TextStore
from remanence.text.words import words_of

SAMPLE = 20_000_000
"""Number of characters, from the beginning of the corpus, on which the background model is fitted."""
MANIFEST = "plagiarism-index.json"
FORMAT = "plagiarism-index-2"
NEW = "new"
"""Folder of texts that are not yet compared with those that were indexed before."""
PARTS = ("texts", "ids", "runs", "bm25", NEW)


class Span(NamedTuple):
    """A run of words that a text shares with a training record; spans count characters."""

    start: int
    end: int
    num_words: int
    record: int
    """One record that contains it; exact copies of a record count as one."""
    record_start: int
    record_end: int
    num_records: int
    bits: float
    """Surprisal of its words under a background model without the matched record; higher = more memorized."""
    e_value: float
    """Expected number of runs with at least as many bits by chance, over all positions of the text and the corpus."""


class AlignedPassage(NamedTuple):
    """A passage of a text that aligns with a passage of a record, reworded or not."""

    record: int
    passage: Passage


@dataclass(frozen=True)
class CorpusIndex:
    """An indexed training corpus. `CorpusIndex.build` creates one."""

    runs: RunIndex
    texts: TextStore
    ids: TextStore
    background: NGrams
    aligner: Aligner
    candidates: Candidates

    @classmethod
    def build(cls, records: Iterable[Record | str], folder: Path | str | None = None) -> Self:
        """Index all records (or plain texts), reading them once.

        With a folder the corpus may be larger than memory, and an existing index of exactly the same texts in it is
        reused; a changed corpus is detected and indexed again. ValueError for a folder with other content.
        """
        place = None if folder is None else Path(folder)
        if place is None:
            texts, ids = _stored(records, None)
            manifest = None
        else:
            if place.is_dir() and not {path.name for path in place.iterdir()} <= {*PARTS, MANIFEST, f"{MANIFEST}.part"}:
                raise ValueError(f"{place} has files that are not part of an index: name another folder")
            texts, ids = _stored(records, place / NEW)
            manifest = {"format": FORMAT, "fingerprint": corpus_fingerprint(texts), "ids": corpus_fingerprint(ids)}
            if _manifest(place) == manifest:
                shutil.rmtree(place / NEW)
                return cls.open(place)
            texts, ids = _replaced(place)
        runs = RunIndex.build(texts, None if place is None else place / "runs")
        candidates = _candidates(_without_copies(texts, runs), place)
        index = cls(runs, texts, ids, _background(texts), _aligner(texts), candidates)
        if place is not None:
            part = place / f"{MANIFEST}.part"
            part.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            part.replace(place / MANIFEST)
        return index

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Open a finished index from its folder. ValueError if there is none."""
        place = Path(folder)
        manifest = _manifest(place)
        if manifest.get("format") != FORMAT:
            raise ValueError(f"{place} has no finished index: {cls.__name__}.build(records, folder) creates one")
        texts, ids = TextStore.open(place / "texts"), TextStore.open(place / "ids")
        runs = RunIndex.open(place / "runs", fingerprint=manifest["fingerprint"])
        candidates = Candidates.open(place / "bm25")
        return cls(runs, texts, ids, _background(texts), _aligner(texts), candidates)

    @property
    def fingerprint(self) -> str:
        """Hash of all texts in order."""
        return self.runs.fingerprint

    def spans(self, texts: Sequence[str], min_words: int = MIN_WORDS) -> list[list[Span]]:
        """For each text every maximal run that it shares with the corpus, in order; not calibrated, nothing masked."""
        words = words_of(texts)
        bits = credited(self.background.left_out_bits(words))
        runs = self.runs.runs(words, min_words)
        first = words.offsets[runs.texts] + runs.starts
        surprisal = run_bits(bits, first, runs.lengths)
        expected = e_value(surprisal, 1, self.runs.num_words) * np.diff(words.offsets)[runs.texts]
        begins, ends = self.runs.spans(runs.records, runs.record_starts, runs.lengths)
        spans: list[list[Span]] = [[] for _ in texts]
        columns = (
            *(words.starts[first], words.ends[first + runs.lengths - 1], runs.lengths, runs.records, begins, ends),
            *(runs.num_records, surprisal, expected),
        )
        for text, *values in zip(runs.texts.tolist(), *(c.tolist() for c in columns), strict=True):
            spans[text].append(Span(*values))
        return spans

    def align(
        self, texts: Sequence[str], k: int = 10, also: NDArray[np.int64] | None = None
    ) -> list[list[AlignedPassage]]:
        """For each text the passages that align with its k BM25 candidates, best first.

        Exact copies of a record are one candidate. `also` [N] is one more record to compare each text with (-1 = none).
        """
        top = self.candidates.top(texts, k).ids
        if also is not None:
            also = np.array([-1 if record < 0 else self.runs.first_copy[record] for record in also.tolist()], np.int64)
            top = np.concatenate((top, np.where((top == also[:, None]).any(1), -1, also)[:, None]), axis=1)
        queries, ranks = np.nonzero(top >= 0)
        records, place = np.unique(top[queries, ranks], return_inverse=True)
        pairs = np.stack((queries, place), axis=1)
        sources = self.aligner.read([self.texts[int(r)] for r in records])
        alignment = self.aligner.align(self.aligner.read(texts), sources, pairs)
        aligned: list[list[AlignedPassage]] = [[] for _ in texts]
        for pair in np.flatnonzero(np.diff(alignment.offsets)):
            text, record = int(pairs[pair, 0]), int(records[pairs[pair, 1]])
            aligned[text] += [AlignedPassage(record, passage) for passage in alignment.passages(int(pair))]
        for passages in aligned:
            passages.sort(key=lambda aligned: (-aligned.passage.bits, aligned.record, aligned.passage))
        return aligned


def _manifest(place: Path) -> dict[str, Any]:
    """The manifest of the finished index in a folder; empty if there is none."""
    return json.loads((place / MANIFEST).read_text(encoding="utf-8")) if (place / MANIFEST).is_file() else {}


def _replaced(place: Path) -> tuple[TextStore, TextStore]:
    """Replace the old texts and ids by the new ones; the manifest is deleted first, so a killed run is unfinished."""
    (place / MANIFEST).unlink(missing_ok=True)
    for name in ("texts", "ids"):
        if (place / name).exists():
            shutil.rmtree(place / name)
        (place / NEW / name).replace(place / name)
    (place / NEW).rmdir()
    return TextStore.open(place / "texts"), TextStore.open(place / "ids")


def _stored(records: Iterable[Record | str], place: Path | None) -> tuple[TextStore, TextStore]:
    """Store the texts and the ids of all records, reading them once."""
    ids: list[str] = []

    def plain() -> Iterator[str]:
        for number, record in enumerate(records):
            ids.append(str(number) if isinstance(record, str) else record.id)
            yield record if isinstance(record, str) else record.plain

    texts = TextStore.build(plain(), None if place is None else place / "texts")
    return texts, TextStore.build(ids, None if place is None else place / "ids")


def _without_copies(texts: Iterable[str], runs: RunIndex) -> Iterator[str]:
    """All texts, with exact copies replaced by an empty text: 32 copies would leave no room for other candidates."""
    return (text if runs.first_copy[i] == i else "" for i, text in enumerate(texts))


def _candidates(texts: Iterable[str], place: Path | None) -> Candidates:
    if place is not None and (place / "bm25").exists():
        shutil.rmtree(place / "bm25")
    return Candidates.build(texts, None if place is None else place / "bm25")


def _sample(texts: Iterable[str]) -> list[str]:
    sample: list[str] = []
    size = 0
    for text in texts:
        if size >= SAMPLE:
            break
        sample.append(text)
        size += len(text)
    return sample


def _background(texts: Iterable[str]) -> NGrams:
    words = words_of(_sample(texts))
    return NGrams.fit(words, near_groups(words))


def _aligner(texts: Iterable[str]) -> Aligner:
    """An aligner that keeps passages of any length, because the bits decide; verbatim runs are found by `spans`."""
    settings: dict[str, Any] = {"passage_chars": 0, "passage_bits": 0.0, "verbatim_chars": 1 << 40}
    sample = _sample(texts)
    if not words_of(sample).keys.size:  # no text shares a word with such a corpus, so word frequencies do not matter
        sample = ["nothing"]
    return Aligner.fit(sample, **settings)
