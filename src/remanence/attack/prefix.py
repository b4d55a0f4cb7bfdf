"""Prefix: prompt the model with the start of a row and let it continue.

Paper: Carlini et al. 2023, "Quantifying Memorization Across Neural Language Models", arXiv 2202.07646
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from remanence.core.attempt import Attempt
from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.target import Generates, Prompt, cut
from remanence.core.verbs import Attack


@dataclass(frozen=True)
class Prefix(Attack):
    """Prompts with the first tokens of a row, split on the ids of the full row, and generates the next ones."""

    tokens: int = 32
    """Number of tokens with loss in the prompt; a question or chat header before them is always in the prompt."""
    new_tokens: int = 24
    """Number of tokens to generate."""
    scheme: SamplingScheme | None = None
    """Sampling scheme; None = greedy."""
    seed: int = 0
    """Seed of the sampling."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Iterator[Attempt]:
        """One attempt per record that is long enough, in order."""
        prompts = [p for record in records if (p := self.prompt(target, record)) is not None]
        answers = target.generate(prompts, self.new_tokens, self.scheme, self.seed)
        for prompt, answer in zip(prompts, answers, strict=True):
            yield Attempt(prompt.record_id, prompt, answer, prompt.expected)

    def prompt(self, target: Generates, record: Record) -> Prompt | None:
        """The prompt of a record; None if the record is too short."""
        try:
            return cut(target.render(record), record.id, self.tokens, self.new_tokens)
        except NotMeasured:
            return None
