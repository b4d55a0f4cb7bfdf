"""Parrot: a test double that has memorized exactly the given records, and nothing else.

It speaks bytes. On a row it was told it is certain of every byte; on any other row it is certain of a wrong one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.run import fingerprint
from remanence.core.scheme import SamplingScheme
from remanence.core.table import IntsT, Rendered, TokenRow
from remanence.core.target import Answer, Prompt
from remanence.models.reduce import reduce_logits

START, END, VOCABULARY = 256, 257, 258
SURE = 30.0
"""Logit of the byte that Parrot is sure of; the others have 0."""


@dataclass(frozen=True)
class Parrot:
    """A target that repeats `told` word for word. Satisfies `Generates`, `Scores` and `ScoresRendered`."""

    told: tuple[Record, ...] = ()
    name: str = "parrot"
    vocabulary: int = VOCABULARY

    @property
    def fingerprint(self) -> str:
        """Hash of what it was told."""
        return fingerprint(*(r.plain.encode("utf-8", "surrogatepass") for r in self.told))

    def render(self, record: Record) -> Rendered:
        """START, the bytes, END; the prompt of a pair carries no loss."""
        shown = b"" if record.prompt is None else record.prompt.encode("utf-8", "surrogatepass")
        learned = (record.completion if record.prompt is not None else record.plain) or ""
        body = learned.encode("utf-8", "surrogatepass")
        if not body:
            raise NotMeasured("no token carries loss: the part to be learned is empty")
        ids = np.array([START, *shown, *body, END], np.int32)
        return Rendered(ids, np.arange(ids.size) > len(shown))

    def _told(self) -> Iterator[Rendered]:
        for record in self.told:
            with contextlib.suppress(NotMeasured):  # an empty record leaves nothing to repeat
                yield self.render(record)

    def decode(self, ids: IntsT) -> str:
        """Text of the bytes."""
        return bytes(int(i) for i in ids if i < 256).decode("utf-8", "replace")

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """Token rows from logits of `SURE` on the right byte (told) or on a wrong one (not told)."""
        rendered: list[Rendered | str] = []
        for record in records:
            try:
                rendered.append(self.render(record))
            except NotMeasured as why:
                rendered.append(why.reason)
        yield from self.score_rendered(rendered, columns)

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """As `score`, for rows that are rendered already; the beginning of a told row counts as told."""
        told = [row.ids for row in self._told()]
        for row in rendered:
            if isinstance(row, str):
                yield row
                continue
            known = any(np.array_equal(ids[: row.ids.size], row.ids) for ids in told)
            said = row.ids if known else (row.ids + 1) % VOCABULARY
            logits = torch.zeros(row.ids.size, VOCABULARY)
            logits[torch.arange(row.ids.size), torch.from_numpy(said.astype(np.int64))] = SURE
            found = reduce_logits(logits, torch.from_numpy(row.ids.astype(np.int64)), columns)
            for name, values in found.items():
                values[~row.scored] = -1 if name == "rank" else np.nan
            yield TokenRow(row, found, self.decode(row.ids[row.supervised]))

    def generate(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer]:
        """Goes on with the first told row that starts with the prompt; otherwise says question marks."""
        rows = [row.ids for row in self._told()]
        answers: list[Answer] = []
        for prompt in prompts:
            size = prompt.ids.size
            match = next((ids for ids in rows if ids.size > size and np.array_equal(ids[:size], prompt.ids)), None)
            said = np.full(new_tokens, ord("?"), np.int32) if match is None else match[size : size + new_tokens]
            answers.append(Answer(said, self.decode(said), scheme, seed))
        return answers
