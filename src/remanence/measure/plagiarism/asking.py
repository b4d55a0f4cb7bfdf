"""What a target says when an attack asks it about records, ready for the detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Attack, Findings
from remanence.measure.plagiarism.index import PlagiarismIndex
from remanence.measure.plagiarism.said import Judged, Said


def ask(
    attack: Attack, target: Generates, records: Sequence[Record], index: PlagiarismIndex | None
) -> tuple[PlagiarismIndex, list[Said], list[int | None]]:
    """The index (built of the records when there is none), what was said, and which of it each record got.

    None where the attack could not ask. A record's own number is looked up by its id in the index.
    """
    if index is None:
        index = PlagiarismIndex.build(records)
    number = {name: i for i, name in enumerate(index.ids)}
    said: list[Said] = []
    place: dict[str, int] = {}
    for attempt in attack(target, records):
        given = attempt.prompt.ids if attempt.prompt.source is None else attempt.prompt.source
        place.setdefault(attempt.prompt.record_id, len(said))
        own = number.get(attempt.prompt.record_id, -1)
        said.append(Said(attempt.answer.text, target.decode(given), own))
    return index, said, [place.get(record.id) for record in records]


def findings_of(
    name: str,
    records: Sequence[Record],
    number: Sequence[int | None],
    judged: Sequence[Judged],
    told: Callable[[Judged], tuple[float, dict[str, object]]],
) -> Findings:
    """One finding per record: the score and evidence that `told` makes of its judgement, or why there is none."""
    found: list[Finding] = []
    for record, i in zip(records, number, strict=True):
        reason = "the attack could not ask about it" if i is None else judged[i].reason
        if i is None or reason:
            found.append(Finding(record.id, name, None, reason=reason))
            continue
        score, evidence = told(judged[i])
        found.append(Finding(record.id, name, score, evidence))
    return found
