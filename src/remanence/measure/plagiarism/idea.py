"""Idea: is the generated text more similar to the prompted record than to other records with similar prompts?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714, and Lee et al. 2023,
"Do Language Models Plagiarize?", arXiv 2203.07618, name the kind; the rank among decoys is ours.

No absolute similarity separates a restated record from other records of the same domain, so there is no threshold on
it: the prompted record is ranked among decoys, which are the records that BM25 retrieves for the same prompt, and the
p-value is

    (1)  p = (1 + number of decoys at least as similar) / (1 + number of decoys).

Words of the prompt are left out. A prompt alone may still point to its own record; how often this happens is measured
on held-out rows and on the base model, prompted the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from remanence.core.attempt import NO_ATTEMPT
from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Attack, Findings, Measure
from remanence.measure.plagiarism.generate import generate_texts
from remanence.measure.plagiarism.index import CorpusIndex
from remanence.measure.plagiarism.types import GeneratedText
from remanence.text.background import near_groups
from remanence.text.prepared import Background
from remanence.text.run_records import record_words
from remanence.text.words import Words, words_of

Similarity = Callable[[str, Sequence[str]], NDArray[np.float64]]
"""From a generated text (without words of the prompt) and M texts to its similarity to each [M]; higher = closer."""

SPARE = 30
"""Candidates retrieved beyond the number of decoys, because near duplicates of the prompted record are no decoys."""


@dataclass(frozen=True)
class Idea(Measure):
    """Generate a text for each record, and rank the record among decoys by similarity to the text."""

    attack: Attack
    """Attack that makes the prompts, such as `Prefix(tokens=32, new_tokens=100)`."""
    decoys: int = 99
    """Records among which the prompted record is ranked; p is at least 1 / (1 + decoys)."""
    similarity: Similarity | None = None
    """None = cosine of shared words, weighted by rarity; `remanence.text.embed.embedded` compares embeddings."""
    index: CorpusIndex | None = field(default=None, repr=False)
    """The training corpus; None = the records that are measured."""

    cost = "1 generation per row, and the comparison with the training texts"

    @property
    def row_by_row(self) -> bool:
        """Only with an index: without one, decoys come from the rows that are measured."""
        return self.index is not None

    def with_corpus(self, train: Sequence[Record], heldout: Sequence[Record]) -> Idea:
        """The index of the training rows, where none was given."""
        return self if self.index is not None else replace(self, index=CorpusIndex.build(train))

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = 1 - p, in [0, 1); higher = more memorized."""
        index = self.index or CorpusIndex.build(records)
        texts, positions = generate_texts(self.attack, target, records, index)
        findings: dict[str, Finding] = {}
        for record, i in zip(records, positions, strict=True):
            if i is None:
                findings[record.id] = Finding(record.id, "idea", None, reason=NO_ATTEMPT)
                continue
            try:
                p, num_decoys = rank_p_value(index, texts[i], self.decoys, self.similarity)
            except NotMeasured as error:
                findings[record.id] = Finding(record.id, "idea", None, reason=error.reason)
                continue
            findings[record.id] = Finding(record.id, "idea", 1 - p, {"p_value": p, "decoys": num_decoys})
        return [findings[record.id] for record in records]


def rank_p_value(
    index: CorpusIndex, generated: GeneratedText, decoys: int = 99, similarity: Similarity | None = None
) -> tuple[float, int]:
    """Equation (1) and the number of decoys; a low p = the text is most similar to the prompted record.

    Raises `NotMeasured` when the prompted record is unknown, when every word of the text is also in the prompt, or when
    the corpus has no decoys.
    """
    if generated.own < 0 and not generated.own_text:
        raise NotMeasured("it is not known which record it was asked about")
    own_text = generated.own_text or index.texts[generated.own]
    words, prompt_words = words_of([generated.text]), words_of([generated.prompt])
    fresh = ~np.isin(words.keys, prompt_words.keys)
    if not fresh.any():
        raise NotMeasured("it says nothing that the prompt does not say")
    others = _decoys(index, generated, own_text, decoys)
    if not others.size:
        raise NotMeasured("no other record has a word in common with it, so there is none to rank it among")
    if similarity is None:
        scores = _cosines(index, np.unique(words.keys[fresh]), _with_own(index, own_text, others))
    else:
        spans = zip(words.starts[fresh], words.ends[fresh], strict=True)
        fresh_text = " ".join(generated.text[start:end] for start, end in spans)
        scores = similarity(fresh_text, [own_text, *(index.texts[int(r)] for r in others)])
    p = (1 + int((scores[1:] >= scores[0]).sum())) / (1 + others.size)
    return p, int(others.size)


def _decoys(index: CorpusIndex, generated: GeneratedText, own_text: str, num: int) -> NDArray[np.int64]:
    """Up to `num` records retrieved for the prompt, and for the prompted record if those are too few.

    Near duplicates of the prompted record are left out; of exact copies only the first is kept.
    """
    decoys = np.empty(0, np.int64)
    for query in (generated.prompt, own_text):
        top = index.candidates.top([query], num + SPARE).ids[0]
        decoys = _distinct(index, np.concatenate((decoys, top[top >= 0])), generated.own, own_text)
        if decoys.size >= num:
            break
    return np.sort(decoys[:num])


def _distinct(index: CorpusIndex, records: NDArray[np.int64], own: int, own_text: str) -> NDArray[np.int64]:
    """The records, in order, without exact copies of each other and near duplicates of the prompted record."""
    first = index.runs.first_copy[records]
    keep = np.sort(np.unique(first, return_index=True)[1])
    if own >= 0:
        keep = keep[first[keep] != index.runs.first_copy[own]]
    records = records[keep]
    groups = near_groups(_with_own(index, own_text, records))
    return records[groups[1:] != groups[0]]


def _with_own(index: CorpusIndex, own_text: str, records: NDArray[np.int64]) -> Words:
    """The words of the prompted row, followed by those of the records."""
    own, others = words_of([own_text]), record_words(index.runs, records)
    offsets = np.concatenate((own.offsets, own.keys.size + others.offsets[1:]))
    return Words(
        np.concatenate((own.keys, others.keys)),
        np.concatenate((own.starts, others.starts)),
        np.concatenate((own.ends, others.ends)),
        offsets,
    )


def _cosines(index: CorpusIndex, keys: NDArray[np.uint64], words: Words) -> NDArray[np.float64]:
    """[R] cosine of the distinct words of the text and of each record, weighted by log(N / sentences with the word)."""
    size = words.offsets.size - 1
    rarity = _rarity(index.aligner.background, words.keys)
    owner = np.repeat(np.arange(size), np.diff(words.offsets))
    pairs = np.unique(np.stack((owner.astype(np.uint64), words.keys), axis=1), axis=0, return_index=True)[1]
    squares = np.bincount(owner[pairs], rarity[pairs] ** 2, size)
    shared = np.isin(words.keys[pairs], keys)
    dots = np.bincount(owner[pairs][shared], rarity[pairs][shared] ** 2, size)
    return np.divide(dots, np.sqrt(squares), out=np.zeros(size), where=squares > 0)


def _rarity(background: Background, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    place = np.minimum(np.searchsorted(background.keys, keys), max(0, background.keys.size - 1))
    known = background.keys[place] == keys if background.keys.size else np.zeros(keys.size, bool)
    sentences = (
        np.where(known, background.sentences[place], 0) if background.keys.size else np.zeros(keys.size, np.int64)
    )
    return np.log((background.num_sentences + 2) / (sentences + 1))
