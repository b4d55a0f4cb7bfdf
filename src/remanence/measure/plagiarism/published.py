"""The published detector in the place of ours, so that anyone can reproduce published rates beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.pan2015 import Documents, Pan2015
from remanence.measure.plagiarism.types import ORIGINS, GeneratedText, Judgement, Match, Whose
from remanence.text.words import words_of

CANDIDATES = 10


def judged_as_published(
    index: PlagiarismIndex,
    texts: Sequence[GeneratedText],
    detector: Pan2015 | None = None,
    sources: Documents | None = None,
) -> list[Judgement]:
    """The first of 10 BM25 candidates with any detection decides; nothing is masked and nothing is calibrated.

    No text is "not measurable": what the detector cannot see counts as a zero, as in the papers. `sources` are all
    texts of the index as `detector` reads them, for who asks often; else the candidates are read each time.
    """
    detector = detector or Pan2015.zeng2024()
    if not texts:
        return []
    top = index.candidates.top([one.text for one in texts], CANDIDATES).ids
    numbers = np.full(top.shape, -1, np.int64)
    if sources is None:
        records, numbers[top >= 0] = np.unique(top[top >= 0], return_inverse=True)
        sources = detector.read([index.texts[int(r)] for r in records])
    else:
        numbers = top
    ranked: list[list[int]] = [row[row >= 0].tolist() for row in numbers]
    found = detector.walk(detector.read([one.text for one in texts]), sources, ranked)
    first = index.runs.first_copy
    lines: list[Judgement] = []
    for one, walked in zip(texts, found, strict=True):
        count = int(words_of([one.text]).keys.size)
        matches: list[Match] = []
        if walked.label != "none":
            record = int(top[len(lines), walked.candidate])
            own = one.own >= 0 and first[record] == first[one.own]
            whose: Whose = "own" if own else "other"
            matches = [
                Match(
                    kind=walked.label,
                    whose=whose,
                    record=record,
                    start=p.susp_start,
                    end=p.susp_end,
                    record_start=p.src_start,
                    record_end=p.src_end,
                    num_words=int(words_of([one.text[p.susp_start : p.susp_end]]).keys.size),
                    bits=None,
                    e_value=None,
                    p_value=None,
                )
                for p in walked.passages
            ]
        label = matches[0].kind if matches else None
        origins = dict.fromkeys(ORIGINS, 0) | {"new": count}
        lines.append(Judgement(label, count, origins, 0.0, 0.0, None, 0.0, None, None, None, tuple(matches)))
    return lines
