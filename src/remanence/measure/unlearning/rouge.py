"""ROUGE: overlap of the generated answer with the row's answer, for the row's question as prompt.

Paper: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", ACL, https://aclanthology.org/W04-1013; as
TOFU (arXiv 2401.06121) asks for memorized answers

Departures: words are runs of letters and digits of any script, case folded and not stemmed; the generated answer has
at most as many tokens as the true one, because recall would reward long answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.target import Answer, Generates, Prompt
from remanence.core.verbs import Findings, Measure
from remanence.measure.unlearning.asked import asked
from remanence.text.subsequence import longest_common_subsequence


class RougeL(NamedTuple):
    """ROUGE-L of the generated text against the true answer, each 0 to 1; higher = more memorized."""

    recall: float
    precision: float
    f1: float


@dataclass(frozen=True)
class Rouge(Measure):
    """Greedy answers to the questions of the rows; of a text, the first half is the question."""

    new_tokens: int = 200
    """Maximum number of generated tokens; a longer true answer is truncated."""

    cost = "1 generation per row"

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = recall; evidence: precision and F1."""
        found: dict[int, Finding] = {}
        prompts: dict[int, Prompt] = {}
        for place, record in enumerate(records):
            try:
                prompts[place] = self.prompt(target, record)
            except NotMeasured as why:
                found[place] = Finding(record.id, "rouge", None, reason=why.reason)
        for place, answer in _answers(target, prompts):
            rouge = rouge_l(words(answer.text), words(target.decode(prompts[place].expected)))
            evidence = {"precision": rouge.precision, "f1": rouge.f1}
            found[place] = Finding(records[place].id, "rouge", rouge.recall, evidence)
        return [found[place] for place in range(len(records))]

    def prompt(self, target: Generates, record: Record) -> Prompt:
        """The prompt and the true answer. Raises `NotMeasured` if the true answer has no words."""
        row = asked(target.render(record))
        expected = row.answer[: self.new_tokens]
        if not words(target.decode(expected)):
            raise NotMeasured("its answer has no words")
        rendered = row.rendered
        return Prompt(record.id, rendered.ids[: row.at], expected, rendered.source, row.at - rendered.start, expected)


def rouge_l(generated: Sequence[str], truth: Sequence[str]) -> RougeL:
    """R = LCS / |truth|, P = LCS / |said|, F1 = 2RP / (R + P); all 0 for an empty text. ValueError for an empty true
    answer."""
    if not truth:
        raise ValueError("ROUGE needs a truth with words in it")
    shared = longest_common_subsequence(generated, truth)
    if not shared:
        return RougeL(0.0, 0.0, 0.0)
    recall, precision = shared / len(truth), shared / len(generated)
    return RougeL(recall, precision, 2 * recall * precision / (recall + precision))


def words(text: str) -> list[str]:
    """Runs of letters and digits, case folded."""
    return re.findall(r"\w+", text.casefold())


def _answers(target: Generates, prompts: dict[int, Prompt]) -> Iterator[tuple[int, Answer]]:
    """Greedy answers, each truncated to the length of the true answer.

    Rows are batched as long as no sequence is longer than the longest row, which fits the model.
    """
    longest = max((p.ids.size + p.expected.size for p in prompts.values()), default=0)
    left = sorted(prompts, key=lambda place: (-prompts[place].expected.size, place))
    while left:
        size = prompts[left[0]].expected.size
        batch = [p for p in left if 2 * prompts[p].expected.size > size and prompts[p].ids.size + size <= longest]
        for place, answer in zip(batch, target.generate([prompts[p] for p in batch], size), strict=True):
            ids = answer.ids[: prompts[place].expected.size]
            yield place, Answer(ids, target.decode(ids), None, 0)
        taken = set(batch)
        left = [place for place in left if place not in taken]
