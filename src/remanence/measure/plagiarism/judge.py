"""The judge: from evidence to labels, matches, and whose words a text is made of.

A chain or passage counts when held-out texts of the same length reach as many bits with probability alpha at most. A
text that could not reach the threshold even if every word of it were copied is not measurable. Labels are nested by
strength: verbatim, else paraphrase, else idea.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.measure.plagiarism.chance import Chance, e_limit, remaining
from remanence.measure.plagiarism.evidence import MIN_WORDS, Evidence
from remanence.measure.plagiarism.idea import Likeness, rank_p_value
from remanence.measure.plagiarism.said import ORIGINS, Judged, Match, Said, Whose
from remanence.text.background import e_value
from remanence.text.covered import covered_by_other
from remanence.text.words import words_of

if TYPE_CHECKING:
    from remanence.measure.plagiarism.index import Aligned, PlagiarismIndex

Floats = NDArray[np.float64]

TIE = 1.0
"""Bits: another record that explains a passage this nearly as well shares it."""


def judged(
    index: PlagiarismIndex,
    said: Sequence[Said],
    found: Evidence,
    chance: Chance | None,
    alpha: float,
    decoys: int,
    likeness: Likeness | None = None,
) -> list[Judged]:
    """One judgement per text, in order; see `PlagiarismIndex.match`."""
    words = found.batch.words
    num_words = np.diff(words.offsets)
    limit = _limit("verbatim", index, chance, alpha, num_words)
    masked = found.from_prompt | found.common
    blank = [remaining(one.text, words, i, masked) for i, one in enumerate(said)]
    passages = index.align(blank, also=found.batch.own)
    looser = np.full(len(said), np.inf) if chance is None else chance.limit("paraphrase", alpha, num_words)
    bits = found.best
    aligned = np.array([p[0].passage.bits if p else 0.0 for p in passages], np.float64)
    p_bits = None if chance is None else chance.p_values("verbatim", bits, num_words)
    p_aligned = None if chance is None else chance.p_values("paraphrase", aligned, num_words)
    lines: list[Judged] = []
    for i, one in enumerate(said):
        reason = None if found.most[i] > limit[i] else _reason(int(num_words[i]), float(found.most[i]), float(limit[i]))
        copies = [] if reason else _verbatim(index, found, i, float(limit[i]), chance)
        retold = (
            [] if reason or copies else _paraphrase(index, one, passages[i], float(looser[i]), chance, num_words[i])
        )
        idea_p = None if reason or copies or retold else _idea(index, one, decoys, likeness)
        ideas: list[Match] = []
        retells = idea_p is not None and idea_p <= alpha
        if retells and one.own >= 0:
            ideas = [Match("idea", "own", one.own, 0, len(one.text), -1, -1, int(num_words[i]), None, None, idea_p)]
        matches = (*copies, *retold, *ideas)
        lines.append(
            Judged(
                label=matches[0].kind if matches else "idea" if retells else None,
                num_words=int(num_words[i]),
                origins=_origins(found, i, matches),
                bits=float(bits[i]),
                most_bits=float(found.most[i]),
                p_value=None if p_bits is None else float(p_bits[i]),
                paraphrase_bits=float(aligned[i]),
                paraphrase_p=None if p_aligned is None else float(p_aligned[i]),
                idea_p=idea_p,
                reason=reason,
                matches=matches,
            )
        )
    return lines


def _limit(kind: str, index: PlagiarismIndex, chance: Chance | None, alpha: float, num_words: Any) -> Floats:
    if chance is None:
        return e_limit(alpha, num_words, index.runs.num_words)
    return chance.limit(kind, alpha, num_words)


def _reason(num_words: int, most: float, limit: float) -> str:
    if not num_words:
        return "it has no words"
    if num_words < MIN_WORDS:
        return f"it has fewer than {MIN_WORDS} words, and shorter runs are nobody's"
    if np.isinf(limit):
        return "too few held-out texts set a threshold for texts of its length"
    return f"it carries {most:.0f} bits beyond prompt and common phrases, and chance alone reaches {limit:.0f}"


def _verbatim(index: PlagiarismIndex, found: Evidence, text: int, limit: float, chance: Chance | None) -> list[Match]:
    """The chains above the limit, best first; a passage is told once, of the own record if that explains it as well."""
    chains, words = found.chains, found.batch.words
    own = int(found.batch.own[text])
    mine = index.runs.first_copy[own] if own >= 0 else -1
    here = np.flatnonzero((chains.texts == text) & (chains.scores > limit))
    is_own = found.records[chains.records[here]] == mine
    rank = np.lexsort((here, -chains.scores[here] - TIE * is_own))
    num_words = np.diff(words.offsets)[text : text + 1]
    told: list[tuple[int, int, list[Any]]] = []
    for c in here[rank].tolist():
        low, high = int(chains.query_starts[c]), int(chains.query_ends[c])
        record = int(found.records[chains.records[c]])
        beside = [t for t in told if min(high, t[1]) - max(low, t[0]) > (high - low) / 2]
        if beside:
            first = beside[0][2]
            if first[1] == "own" and record != mine and chains.scores[c] >= first[8] - TIE:
                first[1] = "both"
            continue
        score = float(chains.scores[c])
        p = None if chance is None else float(chance.p_values("verbatim", np.array([score]), num_words)[0])
        chance_hits = float(e_value(np.array([score]), int(num_words[0]), index.runs.num_words)[0])
        whose: Whose = "own" if record == mine else "other"
        span = (int(words.starts[low]), int(words.ends[high - 1]))
        place = (
            int(found.corpus.starts[chains.corpus_starts[c]]),
            int(found.corpus.ends[chains.corpus_ends[c] - 1]),
        )
        told.append(
            (low, high, ["verbatim", whose, record, *span, *place, int(chains.matched[c]), score, chance_hits, p])
        )
    return [Match(*values) for _, _, values in told]


def _paraphrase(
    index: PlagiarismIndex, said: Said, passages: list[Aligned], limit: float, chance: Chance | None, num_words: Any
) -> list[Match]:
    """The best aligned passage above the limit, of the own record if that explains it as well."""
    above = [one for one in passages if one.passage.bits > limit]
    if not above or chance is None:
        return []
    first = index.runs.first_copy
    mine = [one for one in above if said.own >= 0 and first[one.record] == first[said.own]]
    best = mine[0] if mine and mine[0].passage.bits >= above[0].passage.bits - TIE else above[0]
    whose: Whose = "own" if best in mine else "other"
    passage = best.passage
    span = said.text[passage.susp_start : passage.susp_end]
    p = float(chance.p_values("paraphrase", np.array([passage.bits]), np.array([num_words]))[0])
    places = (passage.susp_start, passage.susp_end, passage.src_start, passage.src_end)
    return [Match("paraphrase", whose, best.record, *places, int(words_of([span]).keys.size), passage.bits, None, p)]


def _idea(index: PlagiarismIndex, said: Said, decoys: int, likeness: Likeness | None) -> float | None:
    if decoys < 1 or (said.own < 0 and not said.own_text):
        return None
    try:
        return rank_p_value(index, said, decoys, likeness)[0]
    except NotMeasured:
        return None


def _origins(found: Evidence, text: int, matches: Sequence[Match]) -> dict[str, int]:
    """Words by origin.

    From the prompt; else in a long common phrase; else of the record whose verbatim match holds it; else in a short
    common phrase; else new.
    """
    words = found.batch.words
    here = slice(int(words.offsets[text]), int(words.offsets[text + 1]))
    prompt, common = found.from_prompt[here], found.common[here]
    starts, ends = words.starts[here], words.ends[here]
    origin = np.where(prompt, "prompt", np.where(common, "common", "new")).astype("U6")
    for match in reversed([m for m in matches if m.kind == "verbatim"]):
        inside = (starts >= match.start) & (ends <= match.end) & (origin != "prompt") & (origin != "common")
        origin[inside & _equal(found, here, match)] = match.whose
    origin[(origin == "new") & found.phrase[here]] = "common"
    names, counts = np.unique(origin, return_counts=True)
    told = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {name: int(told.get(name, 0)) for name in ORIGINS}


def _equal(found: Evidence, here: slice, match: Match) -> NDArray[np.bool_]:
    """Which words of the text stand in runs of two or more words of the record: the changes in a match do not."""
    words = found.batch.words
    piece = words._replace(
        keys=words.keys[here],
        starts=words.starts[here],
        ends=words.ends[here],
        offsets=np.array([0, here.stop - here.start], np.int64),
    )
    record = int(np.searchsorted(found.records, match.record))
    low, high = found.corpus.offsets[record], found.corpus.offsets[record + 1]
    source = found.corpus._replace(
        keys=found.corpus.keys[low:high],
        starts=found.corpus.starts[low:high],
        ends=found.corpus.ends[low:high],
        offsets=np.array([0, high - low], np.int64),
    )
    return covered_by_other(piece, source, np.zeros(1, np.int64), 2)
