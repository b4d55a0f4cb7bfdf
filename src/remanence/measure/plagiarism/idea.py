"""Idea: of many training records with similar prompts, is the answer most like the very one that was asked about?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714, and Lee et al. 2023,
"Do Language Models Plagiarize?", arXiv 2203.07618, name the kind; the rank among decoys is ours.

No absolute likeness tells a retold record from one of the same domain, so there is no threshold on it: the own record
is ranked among decoys, which are the records that BM25 finds for the same prompt, and the p-value is

    (1)  p = (1 + number of decoys at least as alike) / (1 + number of decoys).

Words that stand in the prompt say nothing here and are left out. A prompt alone may still point to its own record; how
often is seen on held-out rows and on the base model, asked the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Attack, Findings
from remanence.measure.plagiarism.said import Said
from remanence.text.background import near_groups
from remanence.text.prepared import Background
from remanence.text.run_records import record_words
from remanence.text.words import Words, words_of

if TYPE_CHECKING:
    from remanence.measure.plagiarism.index import PlagiarismIndex

Likeness = Callable[[str, Sequence[str]], NDArray[np.float64]]
"""From an answer (without the prompt's words) and texts [M] to how alike it is to each [M]; higher = more."""

SPARE = 30
"""Candidates beyond the decoys asked for, because twins of the own record are no decoys."""


@dataclass(frozen=True)
class Idea:
    """Asks the target about each record, and ranks the record among decoys by what it says."""

    attack: Attack
    """How the target is made to talk, such as `Prefix(tokens=32, new_tokens=100)`."""
    decoys: int = 99
    """Records the own one is ranked among; p can be no lower than 1 / (1 + decoys)."""
    likeness: Likeness | None = None
    """None = shared words weighed by their rarity; `remanence.text.embed.embedded` compares meanings instead."""
    index: PlagiarismIndex | None = field(default=None, repr=False)
    """The training corpus; None = the records that are asked about."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = 1 - p, in [0, 1)."""
        from remanence.measure.plagiarism.asking import ask

        index, said, number = ask(self.attack, target, records, self.index)
        found: dict[str, Finding] = {}
        for record, i in zip(records, number, strict=True):
            if i is None:
                found[record.id] = Finding(record.id, "idea", None, reason="the attack could not ask about it")
                continue
            try:
                p, num = rank_p_value(index, said[i], self.decoys, self.likeness)
            except NotMeasured as why:
                found[record.id] = Finding(record.id, "idea", None, reason=why.reason)
                continue
            found[record.id] = Finding(record.id, "idea", 1 - p, {"p_value": p, "decoys": num})
        return [found[record.id] for record in records]


def rank_p_value(
    index: PlagiarismIndex, said: Said, decoys: int = 99, likeness: Likeness | None = None
) -> tuple[float, int]:
    """(1), and how many decoys there were; low = the answer is most like its own record.

    Raises `NotMeasured` when it is not known which record was asked about, when the answer has no word that is not in
    the prompt, or when the corpus has no decoys.
    """
    if said.own < 0 and not said.own_text:
        raise NotMeasured("it is not known which record it was asked about")
    own_text = said.own_text or index.texts[said.own]
    words, given = words_of([said.text]), words_of([said.prompt])
    fresh = ~np.isin(words.keys, given.keys)
    if not fresh.any():
        raise NotMeasured("it says nothing that the prompt does not say")
    others = _decoys(index, said, own_text, decoys)
    if not others.size:
        raise NotMeasured("no other record has a word in common with it, so there is none to rank it among")
    if likeness is None:
        alike = _cosines(index, np.unique(words.keys[fresh]), _with(index, own_text, others))
    else:
        told = " ".join(said.text[s:e] for s, e in zip(words.starts[fresh], words.ends[fresh], strict=True))
        alike = likeness(told, [own_text, *(index.texts[int(r)] for r in others)])
    p = (1 + int((alike[1:] >= alike[0]).sum())) / (1 + others.size)
    return p, int(others.size)


def _decoys(index: PlagiarismIndex, said: Said, own_text: str, num: int) -> NDArray[np.int64]:
    """Up to `num` records that the prompt (and where those are few, the own record) calls up, but no twins of the own.

    Of exact copies only the one found first.
    """
    found = np.empty(0, np.int64)
    for query in (said.prompt, own_text):
        top = index.candidates.top([query], num + SPARE).ids[0]
        found = _apart(index, np.concatenate((found, top[top >= 0])), said.own, own_text)
        if found.size >= num:
            break
    return np.sort(found[:num])


def _apart(index: PlagiarismIndex, records: NDArray[np.int64], own: int, own_text: str) -> NDArray[np.int64]:
    """The records, in their order, that are neither exact copies of each other nor twins of the own one."""
    first = index.runs.first_copy[records]
    keep = np.sort(np.unique(first, return_index=True)[1])
    if own >= 0:
        keep = keep[first[keep] != index.runs.first_copy[own]]
    records = records[keep]
    groups = near_groups(_with(index, own_text, records))
    return records[groups[1:] != groups[0]]


def _with(index: PlagiarismIndex, own_text: str, records: NDArray[np.int64]) -> Words:
    """The words of the own row, and after them those of the records."""
    own, others = words_of([own_text]), record_words(index.runs, records)
    offsets = np.concatenate((own.offsets, own.keys.size + others.offsets[1:]))
    return Words(
        np.concatenate((own.keys, others.keys)),
        np.concatenate((own.starts, others.starts)),
        np.concatenate((own.ends, others.ends)),
        offsets,
    )


def _cosines(index: PlagiarismIndex, keys: NDArray[np.uint64], words: Words) -> NDArray[np.float64]:
    """[R] cosine of the different words of the answer and of each row, weighed by log(N / sentences with them)."""
    size = words.offsets.size - 1
    rarity = _rarity(index.aligner.background, words.keys)
    owner = np.repeat(np.arange(size), np.diff(words.offsets))
    pairs = np.unique(np.stack((owner.astype(np.uint64), words.keys), axis=1), axis=0, return_index=True)[1]
    squares = np.bincount(owner[pairs], rarity[pairs] ** 2, size)
    shared = np.isin(words.keys[pairs], keys)
    dots = np.bincount(owner[pairs][shared], rarity[pairs][shared] ** 2, size)
    return np.divide(dots, np.sqrt(squares), out=np.zeros(size), where=squares > 0)


def _rarity(background: Background, keys: NDArray[np.uint64]) -> Any:
    place = np.minimum(np.searchsorted(background.keys, keys), max(0, background.keys.size - 1))
    known = background.keys[place] == keys if background.keys.size else np.zeros(keys.size, bool)
    sentences = np.where(known, background.sentences[place], 0) if background.keys.size else 0
    return np.log((background.num_sentences + 2) / (sentences + 1))
