"""Generate a text for each record with an attack, and turn the detector's judgements into findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remanence.core.attempt import NO_ATTEMPT, question_text
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Attack, Findings
from remanence.measure.plagiarism.index import CorpusIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import GeneratedText, Judgement, generated_text_of
from remanence.text.words import words_of


def generate_texts(
    attack: Attack,
    target: Generates,
    records: Sequence[Record],
    index: CorpusIndex,
    heldout: Sequence[Record] = (),
) -> tuple[list[GeneratedText], list[int | None]]:
    """The generated texts, and for each record the position of its text; None if the attack made no prompt for it.

    A record's number in the corpus is looked up by its id; one that is not in the corpus is known by its own text, and
    by its number among the `heldout` rows of the null calibration.
    """
    numbers = {record_id: i for i, record_id in enumerate(index.ids)}
    heldout_numbers = {record.id: i for i, record in enumerate(heldout)}
    plain = {record.id: record.plain for record in records}
    texts: list[GeneratedText] = []
    positions: dict[str, int] = {}
    for attempt in attack(target, records):
        if attempt.answer is None:
            continue
        positions.setdefault(attempt.record_id, len(texts))
        own, place = numbers.get(attempt.record_id, -1), heldout_numbers.get(attempt.record_id, -1)
        own_text = "" if own >= 0 else plain[attempt.record_id]
        prompt = question_text(attempt.question, target)
        texts.append(GeneratedText(attempt.answer.text, prompt, own, place, own_text))
    return texts, [positions.get(record.id) for record in records]


def calibration_of(index: CorpusIndex, heldout: Sequence[Record]) -> NullCalibration | None:
    """The null calibration of held-out rows; None when they have no words."""
    texts = [generated_text_of(record, heldout=i) for i, record in enumerate(heldout)]
    return NullCalibration.fit(index, texts) if words_of([text.text for text in texts]).keys.size else None


def findings_of(
    name: str,
    records: Sequence[Record],
    positions: Sequence[int | None],
    judgements: Sequence[Judgement],
    score_of: Callable[[Judgement], tuple[float, dict[str, object]]],
) -> Findings:
    """One finding per record: score and evidence that `score_of` takes from its judgement, or the reason for none."""
    findings: list[Finding] = []
    for record, i in zip(records, positions, strict=True):
        reason = NO_ATTEMPT if i is None else judgements[i].reason
        if i is None or reason:
            findings.append(Finding(record.id, name, None, reason=reason))
            continue
        score, evidence = score_of(judgements[i])
        findings.append(Finding(record.id, name, score, evidence))
    return findings
