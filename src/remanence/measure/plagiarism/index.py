"""PlagiarismIndex: everything about a training corpus that is needed to say whose words a text is made of.

Built once, in memory or in a folder that is mapped and used again: all word runs (`run_index`), the texts
(`text_store`), how common words and phrases are (`background`, `align`), and BM25 (`candidates`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.record import Record
from remanence.measure.plagiarism.chance import Chance
from remanence.measure.plagiarism.evidence import MIN_WORDS, Batch, Evidence, evidence_of
from remanence.measure.plagiarism.idea import Likeness
from remanence.measure.plagiarism.judge import judged
from remanence.measure.plagiarism.said import Judged, Said
from remanence.text.align import Aligner, Passage
from remanence.text.background import Background, NGrams, credited, e_value, near_groups, run_bits
from remanence.text.candidates import Candidates
from remanence.text.run_build import corpus_fingerprint
from remanence.text.run_index import RunIndex
from remanence.text.text_store import TextStore
from remanence.text.words import words_of

SAMPLE = 20_000_000
"""Characters of the corpus, from its beginning, from which the background model is counted."""
NOTE = "plagiarism-index.json"
FORMAT = "plagiarism-index-2"
NEW = "new"
"""Texts stand here until it is known whether they are those that were indexed before."""
PARTS = ("texts", "ids", "runs", "bm25", NEW)


class Span(NamedTuple):
    """A run of words that a text shares with a training record; spans count characters."""

    start: int
    end: int
    num_words: int
    record: int
    """One record that holds it; exact copies of a record count as one."""
    record_start: int
    record_end: int
    num_records: int
    bits: float
    """Surprisal of its words, the record that matches left out; higher = more memorized."""
    e_value: float
    """How many runs with so many bits chance brings, over all places of the text and the corpus."""


class Aligned(NamedTuple):
    """A passage that a text may have from a record, reworded or not."""

    record: int
    passage: Passage


@dataclass(frozen=True)
class PlagiarismIndex:
    """A training corpus, ready to be asked. `PlagiarismIndex.build` makes one."""

    runs: RunIndex
    texts: TextStore
    ids: TextStore
    background: NGrams
    aligner: Aligner
    candidates: Candidates

    @classmethod
    def build(cls, records: Iterable[Record | str], folder: Path | str | None = None) -> PlagiarismIndex:
        """Index all records (or plain texts), read once.

        With a folder the corpus may be larger than memory, and an index of the very same texts that stands there is
        used again; a changed corpus is noticed and indexed anew. ValueError for a folder that holds something else.
        """
        place = None if folder is None else Path(folder)
        if place is None:
            texts, ids = _stored(records, None)
            note = None
        else:
            if place.is_dir() and not {path.name for path in place.iterdir()} <= {*PARTS, NOTE, f"{NOTE}.part"}:
                raise ValueError(f"{place} holds something that is not an index: name another folder")
            texts, ids = _stored(records, place / NEW)
            note = {"format": FORMAT, "fingerprint": corpus_fingerprint(texts), "ids": corpus_fingerprint(ids)}
            if _note(place) == note:
                shutil.rmtree(place / NEW)
                return cls.open(place)
            texts, ids = _moved(place)
        runs = RunIndex.build(texts, None if place is None else place / "runs")
        candidates = _candidates(_once(texts, runs), place)
        index = cls(runs, texts, ids, _background(texts), _aligner(texts), candidates)
        if place is not None:
            part = place / f"{NOTE}.part"
            part.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
            part.replace(place / NOTE)
        return index

    @classmethod
    def open(cls, folder: Path | str) -> PlagiarismIndex:
        """A finished index from its folder. ValueError when there is none."""
        place = Path(folder)
        note = _note(place)
        if note.get("format") != FORMAT:
            raise ValueError(f"{place} holds no finished index: PlagiarismIndex.build(records, folder) makes one")
        texts, ids = TextStore.open(place / "texts"), TextStore.open(place / "ids")
        runs = RunIndex.open(place / "runs", fingerprint=note["fingerprint"])
        candidates = Candidates.open(place / "bm25")
        return cls(runs, texts, ids, _background(texts), _aligner(texts), candidates)

    @property
    def fingerprint(self) -> str:
        """Digest of all texts in order."""
        return self.runs.fingerprint

    def spans(self, texts: Sequence[str], min_words: int = MIN_WORDS) -> list[list[Span]]:
        """For each text every maximal run that it shares with the corpus, in order; no calibration, nothing masked."""
        words = words_of(texts)
        bits = credited(self.background.left_out_bits(words))
        runs = self.runs.runs(words, min_words)
        first = words.offsets[runs.texts] + runs.starts
        surprisal = run_bits(bits, first, runs.lengths)
        chance = e_value(surprisal, 1, self.runs.num_words) * np.diff(words.offsets)[runs.texts]
        begins, ends = self.runs.spans(runs.records, runs.record_starts, runs.lengths)
        found: list[list[Span]] = [[] for _ in texts]
        columns = (
            *(words.starts[first], words.ends[first + runs.lengths - 1], runs.lengths, runs.records, begins, ends),
            *(runs.num_records, surprisal, chance),
        )
        for text, *values in zip(runs.texts.tolist(), *(c.tolist() for c in columns), strict=True):
            found[text].append(Span(*values))
        return found

    def align(self, texts: Sequence[str], k: int = 10, also: NDArray[np.int64] | None = None) -> list[list[Aligned]]:
        """For each text the passages that it may have from its k BM25 candidates, best first.

        Exact copies of a record are one candidate. `also` [N] names one more record to compare each text with (-1 =
        none).
        """
        top = self.candidates.top(texts, k).ids
        if also is not None:
            also = np.array([-1 if one < 0 else self.runs.first_copy[one] for one in also.tolist()], np.int64)
            top = np.concatenate((top, np.where((top == also[:, None]).any(1), -1, also)[:, None]), axis=1)
        asked, which = np.nonzero(top >= 0)
        records, place = np.unique(top[asked, which], return_inverse=True)
        pairs = np.stack((asked, place), axis=1)
        sources = self.aligner.read([self.texts[int(r)] for r in records])
        found = self.aligner.align(self.aligner.read(texts), sources, pairs)
        aligned: list[list[Aligned]] = [[] for _ in texts]
        for pair in np.flatnonzero(np.diff(found.offsets)):
            text, record = int(pairs[pair, 0]), int(records[pairs[pair, 1]])
            aligned[text] += [Aligned(record, passage) for passage in found.passages(int(pair))]
        for passages in aligned:
            passages.sort(key=lambda one: (-one.passage.bits, one.record, one.passage))
        return aligned

    def evidence(
        self, said: Sequence[Said], chance: Chance | None = None, background: Background | None = None
    ) -> Evidence:
        """The verbatim evidence of texts, as `match` weighs it."""
        batch = batch_of(said)
        bits = None if background is None else background.left_out_bits(batch.words)
        return evidence_of(self, batch, None if chance is None else chance.common, bits)

    def match(
        self,
        attempts: Sequence[Said],
        chance: Chance | None = None,
        alpha: float = 0.01,
        background: Background | None = None,
        decoys: int = 99,
        likeness: Likeness | None = None,
    ) -> list[Judged]:
        """Whose words are these? Verbatim, paraphrase and idea, for each attempt, in order.

        `chance` is what `Chance.of(index, heldout)` found that held-out texts reach; a match is flagged when its
        p-value is at most `alpha`. Without it nothing is known of chance, and a match is flagged when its E-value is at
        most `alpha`, which trusts the background model; paraphrases are not flagged then. `background` replaces what
        the corpus says of common words: `GivenBits` of a base model (then the bits are what fine-tuning added), or an
        `NGrams` of other held-out text. Ideas are ranked among so many `decoys` (0 leaves them
        out) by shared words, or by another `likeness`, such as `remanence.text.embed.embedded`.
        """
        return judged(self, attempts, self.evidence(attempts, chance, background), chance, alpha, decoys, likeness)


def batch_of(said: Sequence[Said]) -> Batch:
    """Texts as `evidence_of` wants them."""
    prompts = np.array([i if one.prompt else -1 for i, one in enumerate(said)], np.int64)
    own = np.array([one.own for one in said], np.int64)
    heldout = np.array([one.heldout for one in said], np.int64)
    return Batch(words_of([s.text for s in said]), words_of([s.prompt for s in said]), prompts, own, heldout)


def _note(place: Path) -> dict[str, Any]:
    """What the finished index in a folder is of; nothing when there is none."""
    return json.loads((place / NOTE).read_text(encoding="utf-8")) if (place / NOTE).is_file() else {}


def _moved(place: Path) -> tuple[TextStore, TextStore]:
    """The new texts and ids in the place of the old ones; an index that a kill leaves here is not taken for whole."""
    (place / NOTE).unlink(missing_ok=True)
    for name in ("texts", "ids"):
        if (place / name).exists():
            shutil.rmtree(place / name)
        (place / NEW / name).replace(place / name)
    (place / NEW).rmdir()
    return TextStore.open(place / "texts"), TextStore.open(place / "ids")


def _stored(records: Iterable[Record | str], place: Path | None) -> tuple[TextStore, TextStore]:
    """The texts and the ids of all records, read once."""
    ids: list[str] = []

    def plain() -> Iterator[str]:
        for number, record in enumerate(records):
            ids.append(str(number) if isinstance(record, str) else record.id)
            yield record if isinstance(record, str) else record.plain

    texts = TextStore.build(plain(), None if place is None else place / "texts")
    return texts, TextStore.build(ids, None if place is None else place / "ids")


def _once(texts: Iterable[str], runs: RunIndex) -> Iterator[str]:
    """All texts, but nothing in the place of an exact copy: 32 copies would leave no room for other candidates."""
    return (text if runs.first_copy[i] == i else "" for i, text in enumerate(texts))


def _candidates(texts: Iterable[str], place: Path | None) -> Candidates:
    if place is not None and (place / "bm25").exists():
        shutil.rmtree(place / "bm25")
    return Candidates.build(texts, None if place is None else place / "bm25")


def _sample(texts: Iterable[str]) -> list[str]:
    found: list[str] = []
    size = 0
    for text in texts:
        if size >= SAMPLE:
            break
        found.append(text)
        size += len(text)
    return found


def _background(texts: Iterable[str]) -> NGrams:
    words = words_of(_sample(texts))
    return NGrams.fit(words, near_groups(words))


def _aligner(texts: Iterable[str]) -> Aligner:
    """Every passage counts, however short: its bits decide; runs are told by `spans`, so none is verbatim here."""
    settings: dict[str, Any] = {"passage_chars": 0, "passage_bits": 0.0, "verbatim_chars": 1 << 40}
    sample = _sample(texts)
    if not words_of(sample).keys.size:  # nobody shares a word with such a corpus, so it does not matter what is common
        sample = ["nothing"]
    return Aligner.fit(sample, **settings)
