"""A target is a model, known by its abilities: it generates text, it scores tokens, it can be opened.

A system names the ability it needs in the type of its first argument; that is the whole requirement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import IntsT, Rendered, TokenRow

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Prompt:
    """What is put to a model: the token ids of a row up to a cut, and what the row says next."""

    record_id: str
    ids: IntsT
    """[P] token ids given (decoder side)."""
    expected: IntsT
    """[K] the row's own next tokens, for the judge; not shown to the model."""
    source: IntsT | None = None
    """[S] encoder input of an encoder-decoder."""
    prefix_tokens: int = 0
    """Number of tokens with loss in the prompt."""
    rest: IntsT | None = None
    """[R] the whole remaining row after the cut; starts with `expected`."""


@dataclass(frozen=True)
class Answer:
    """What a model said to a prompt."""

    ids: IntsT
    """[K] generated token ids, without the prompt, cut after the end-of-text token."""
    text: str
    scheme: SamplingScheme | None
    """None = greedy."""
    seed: int


@runtime_checkable
class Target(Protocol):
    """What all targets share."""

    name: str
    """A short name for tables, without any path."""
    fingerprint: str
    """Hash of the weights or of what stands for them."""


@runtime_checkable
class ReadsText(Target, Protocol):
    """A target of text: it turns records into token ids, and token ids into text."""

    def render(self, record: Record) -> Rendered:
        """The row exactly as in training; raises `NotMeasured` when it cannot be rendered."""
        ...

    def decode(self, ids: IntsT) -> str:
        """Text of token ids."""
        ...


@runtime_checkable
class Generates(ReadsText, Protocol):
    """A target that continues prompts."""

    def generate(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer]:
        """One answer per prompt, in order; greedy when `scheme` is None."""
        ...


@runtime_checkable
class Scores(ReadsText, Protocol):
    """A target that gives the token table of a row."""

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        ...

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """The token rows of the records, in order; a string in place of a row says why it was not measured."""
        ...


@runtime_checkable
class ScoresRendered(Scores, Protocol):
    """A target that scores token rows made by hand too, such as a row with another span in the place of its own."""

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """As `score`, for rows that are rendered already; a string stays what it is."""
        ...


@runtime_checkable
class Opens(Scores, Protocol):
    """A target whose module can be opened, for hooks and weights."""

    module: nn.Module


def rendered_rows(target: ReadsText, records: Sequence[Record]) -> list[Rendered | str]:
    """Rows as the target reads them, in order; a string in place of a row says why it cannot be measured."""
    rows: list[Rendered | str] = []
    for record in records:
        try:
            row = target.render(record)
            _ = row.start
            rows.append(row)
        except NotMeasured as why:
            rows.append(why.reason)
    return rows


def cut(rendered: Rendered, record_id: str, prefix_tokens: int, new_tokens: int) -> Prompt | None:
    """The prompt with the first `prefix_tokens` tokens with loss, split on the ids of the full row.

    What stands before the first such token (chat header, question, document) is always given. None when the row is
    too short for `new_tokens` further tokens, when some of those carry no loss, or when nothing at all would be given.
    """
    at = rendered.start + prefix_tokens
    expected = rendered.ids[at : at + new_tokens]
    if expected.size < new_tokens or not bool(np.all(rendered.scored[at : at + new_tokens])):
        return None
    return Prompt(record_id, rendered.ids[:at], expected, rendered.source, prefix_tokens, rendered.ids[at:])
