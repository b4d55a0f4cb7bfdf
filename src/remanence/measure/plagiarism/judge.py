"""The judge: turn evidence into labels, matches, and an attribution of each word to its source.

A chain or passage counts when held-out texts of the same length reach as many bits with probability alpha at most. A
text that could not reach the threshold even if all its words were copied is not measurable. The label is the strongest
kind with evidence: verbatim, else paraphrase, else idea.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.measure.plagiarism.evidence import Evidence
from remanence.measure.plagiarism.idea import Similarity, rank_p_value
from remanence.measure.plagiarism.index import AlignedPassage, CorpusIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration, e_value_threshold, masked_text
from remanence.measure.plagiarism.types import ORIGINS, GeneratedText, Judgement, Match, Whose
from remanence.text.background import e_value
from remanence.text.covered import covered_by_other
from remanence.text.run_index import MIN_WORDS
from remanence.text.words import words_of

Floats = NDArray[np.float64]

TIE = 1.0
"""Bits: a match is shared with another record whose score is lower by at most this."""


def judge_texts(
    index: CorpusIndex,
    texts: Sequence[GeneratedText],
    evidence: Evidence,
    calibration: NullCalibration | None,
    alpha: float,
    decoys: int,
    similarity: Similarity | None = None,
) -> list[Judgement]:
    """One judgement per text, in order; see `PlagiarismIndex.match`."""
    words = evidence.batch.words
    num_words = np.diff(words.offsets)
    threshold = _threshold("verbatim", index, calibration, alpha, num_words)
    masked = evidence.from_prompt | evidence.common
    unexplained = [masked_text(text.text, words, i, masked) for i, text in enumerate(texts)]
    passages = index.align(unexplained, also=evidence.batch.own)
    no_threshold = np.full(len(texts), np.inf)
    aligned_threshold = no_threshold if calibration is None else calibration.threshold("paraphrase", alpha, num_words)
    bits = evidence.best
    aligned = np.array([p[0].passage.bits if p else 0.0 for p in passages], np.float64)
    p_bits = None if calibration is None else calibration.p_values("verbatim", bits, num_words)
    p_aligned = None if calibration is None else calibration.p_values("paraphrase", aligned, num_words)
    judgements: list[Judgement] = []
    for i, text in enumerate(texts):
        most, lowest = float(evidence.most[i]), float(threshold[i])
        reason = None if most > lowest else _reason(int(num_words[i]), most, lowest)
        verbatim = [] if reason else _verbatim(index, evidence, i, lowest, calibration)
        paraphrase: list[Match] = []
        if not (reason or verbatim):
            limit = float(aligned_threshold[i])
            paraphrase = _paraphrase(index, text, passages[i], limit, calibration, num_words[i])
        idea_p = None if reason or verbatim or paraphrase else _idea(index, text, decoys, similarity)
        ideas: list[Match] = []
        is_idea = idea_p is not None and idea_p <= alpha
        if is_idea and text.own >= 0:
            ideas = [Match("idea", "own", text.own, 0, len(text.text), -1, -1, int(num_words[i]), None, None, idea_p)]
        matches = (*verbatim, *paraphrase, *ideas)
        judgements.append(
            Judgement(
                label=matches[0].kind if matches else "idea" if is_idea else None,
                num_words=int(num_words[i]),
                origins=_origins(evidence, i, matches),
                bits=float(bits[i]),
                most_bits=most,
                p_value=None if p_bits is None else float(p_bits[i]),
                paraphrase_bits=float(aligned[i]),
                paraphrase_p=None if p_aligned is None else float(p_aligned[i]),
                idea_p=idea_p,
                reason=reason,
                matches=matches,
            )
        )
    return judgements


def _threshold(
    kind: str, index: CorpusIndex, calibration: NullCalibration | None, alpha: float, num_words: Any
) -> Floats:
    if calibration is None:
        return e_value_threshold(alpha, num_words, index.runs.num_words)
    return calibration.threshold(kind, alpha, num_words)


def _reason(num_words: int, most: float, threshold: float) -> str:
    if not num_words:
        return "it has no words"
    if num_words < MIN_WORDS:
        return f"it has fewer than {MIN_WORDS} words, the shortest run that counts"
    if np.isinf(threshold):
        return "too few held-out texts set a threshold for texts of its length"
    return f"it carries {most:.0f} bits without prompt and common phrases; the threshold is {threshold:.0f} bits"


def _verbatim(
    index: CorpusIndex, evidence: Evidence, text: int, threshold: float, calibration: NullCalibration | None
) -> list[Match]:
    """The chains above the threshold, best first. Of overlapping chains one is kept, the prompted record's on a tie."""
    chains, words = evidence.chains, evidence.batch.words
    own = int(evidence.batch.own[text])
    own_record = index.runs.first_copy[own] if own >= 0 else -1
    here = np.flatnonzero((chains.texts == text) & (chains.scores > threshold))
    is_own = evidence.records[chains.records[here]] == own_record
    rank = np.lexsort((here, -chains.scores[here] - TIE * is_own))
    num_words = np.diff(words.offsets)[text : text + 1]
    kept: list[tuple[int, int, list[Any]]] = []
    for c in here[rank].tolist():
        low, high = int(chains.query_starts[c]), int(chains.query_ends[c])
        record = int(evidence.records[chains.records[c]])
        overlapping = [m for m in kept if min(high, m[1]) - max(low, m[0]) > (high - low) / 2]
        if overlapping:
            first = overlapping[0][2]
            if first[1] == "own" and record != own_record and chains.scores[c] >= first[8] - TIE:
                first[1] = "both"
            continue
        score = float(chains.scores[c])
        p = None if calibration is None else float(calibration.p_values("verbatim", np.array([score]), num_words)[0])
        expected = float(e_value(np.array([score]), int(num_words[0]), index.runs.num_words)[0])
        whose: Whose = "own" if record == own_record else "other"
        span = (int(words.starts[low]), int(words.ends[high - 1]))
        place = (
            int(evidence.corpus.starts[chains.corpus_starts[c]]),
            int(evidence.corpus.ends[chains.corpus_ends[c] - 1]),
        )
        kept.append((low, high, ["verbatim", whose, record, *span, *place, int(chains.matched[c]), score, expected, p]))
    return [Match(*values) for _, _, values in kept]


def _paraphrase(
    index: CorpusIndex,
    generated: GeneratedText,
    passages: list[AlignedPassage],
    threshold: float,
    calibration: NullCalibration | None,
    num_words: Any,
) -> list[Match]:
    """The best aligned passage above the threshold; the prompted record's on a tie."""
    above = [aligned for aligned in passages if aligned.passage.bits > threshold]
    if not above or calibration is None:
        return []
    first = index.runs.first_copy
    own = [aligned for aligned in above if generated.own >= 0 and first[aligned.record] == first[generated.own]]
    best = own[0] if own and own[0].passage.bits >= above[0].passage.bits - TIE else above[0]
    whose: Whose = "own" if best in own else "other"
    passage = best.passage
    span = generated.text[passage.susp_start : passage.susp_end]
    p = float(calibration.p_values("paraphrase", np.array([passage.bits]), np.array([num_words]))[0])
    places = (passage.susp_start, passage.susp_end, passage.src_start, passage.src_end)
    return [Match("paraphrase", whose, best.record, *places, int(words_of([span]).keys.size), passage.bits, None, p)]


def _idea(index: CorpusIndex, generated: GeneratedText, decoys: int, similarity: Similarity | None) -> float | None:
    if decoys < 1 or (generated.own < 0 and not generated.own_text):
        return None
    try:
        return rank_p_value(index, generated, decoys, similarity)[0]
    except NotMeasured:
        return None


def _origins(evidence: Evidence, text: int, matches: Sequence[Match]) -> dict[str, int]:
    """Number of words by source, the first that applies.

    The prompt; a long common phrase; the record of a verbatim match; a short common phrase; else new.
    """
    words = evidence.batch.words
    here = slice(int(words.offsets[text]), int(words.offsets[text + 1]))
    prompt, common = evidence.from_prompt[here], evidence.common[here]
    starts, ends = words.starts[here], words.ends[here]
    origin = np.where(prompt, "prompt", np.where(common, "common", "new")).astype("U6")
    for match in reversed([m for m in matches if m.kind == "verbatim"]):
        inside = (starts >= match.start) & (ends <= match.end) & (origin != "prompt") & (origin != "common")
        origin[inside & _equal_words(evidence, here, match)] = match.whose
    origin[(origin == "new") & evidence.phrase[here]] = "common"
    names, counts = np.unique(origin, return_counts=True)
    by_source = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {name: int(by_source.get(name, 0)) for name in ORIGINS}


def _equal_words(evidence: Evidence, here: slice, match: Match) -> NDArray[np.bool_]:
    """[W] the words in runs of two or more words that the text shares with the record; changed words are not."""
    words = evidence.batch.words
    piece = words._replace(
        keys=words.keys[here],
        starts=words.starts[here],
        ends=words.ends[here],
        offsets=np.array([0, here.stop - here.start], np.int64),
    )
    record = int(np.searchsorted(evidence.records, match.record))
    low, high = evidence.corpus.offsets[record], evidence.corpus.offsets[record + 1]
    source = evidence.corpus._replace(
        keys=evidence.corpus.keys[low:high],
        starts=evidence.corpus.starts[low:high],
        ends=evidence.corpus.ends[low:high],
        offsets=np.array([0, high - low], np.int64),
    )
    return covered_by_other(piece, source, np.zeros(1, np.int64), 2)
