"""Parrot: a test double that has memorized exactly the given records, and nothing else.

It speaks bytes. On a memorized row it is certain of every byte; on any other row it is certain of a wrong one.
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
"""Logit of the predicted byte; all others have 0."""


@dataclass(frozen=True)
class Parrot:
    """A target that has memorized `records` and repeats them: `Generates`, `Scores`, `ScoresRendered`."""

    records: tuple[Record, ...] = ()
    name: str = "parrot"
    vocabulary: int = VOCABULARY

    @property
    def fingerprint(self) -> str:
        """Hash of the memorized records."""
        return fingerprint(*(r.plain.encode("utf-8", "surrogatepass") for r in self.records))

    def render(self, record: Record) -> Rendered:
        """START, the bytes, END; the prompt of a pair has no loss."""
        shown = b"" if record.prompt is None else record.prompt.encode("utf-8", "surrogatepass")
        learned = (record.completion if record.prompt is not None else record.plain) or ""
        body = learned.encode("utf-8", "surrogatepass")
        if not body:
            raise NotMeasured("no token carries loss: the part to be learned is empty")
        ids = np.array([START, *shown, *body, END], np.int32)
        return Rendered(ids, np.arange(ids.size) > len(shown))

    def _memorized(self) -> Iterator[Rendered]:
        for record in self.records:
            with contextlib.suppress(NotMeasured):  # an empty record leaves nothing to repeat
                yield self.render(record)

    def decode(self, ids: IntsT) -> str:
        """Text of the bytes."""
        return bytes(int(i) for i in ids if i < 256).decode("utf-8", "replace")

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """Token rows from logits of `SURE` on the right byte (memorized) or on a wrong one."""
        rendered: list[Rendered | str] = []
        for record in records:
            try:
                rendered.append(self.render(record))
            except NotMeasured as why:
                rendered.append(why.reason)
        yield from self.score_rendered(rendered, columns)

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """As `score`, for rows that are rendered already; the beginning of a memorized row counts as memorized."""
        memorized = [row.ids for row in self._memorized()]
        for row in rendered:
            if isinstance(row, str):
                yield row
                continue
            known = any(np.array_equal(ids[: row.ids.size], row.ids) for ids in memorized)
            predicted = row.ids if known else (row.ids + 1) % VOCABULARY
            logits = torch.zeros(row.ids.size, VOCABULARY)
            logits[torch.arange(row.ids.size), torch.from_numpy(predicted.astype(np.int64))] = SURE
            found = reduce_logits(logits, torch.from_numpy(row.ids.astype(np.int64)), columns)
            for name, values in found.items():
                values[~row.scored] = -1 if name == "rank" else np.nan
            yield TokenRow(row, found, self.decode(row.ids[row.supervised]))

    def generate(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer]:
        """Continue the first memorized row that starts with the prompt; otherwise generate question marks."""
        rows = [row.ids for row in self._memorized()]
        answers: list[Answer] = []
        for prompt in prompts:
            size = prompt.ids.size
            match = next((ids for ids in rows if ids.size > size and np.array_equal(ids[:size], prompt.ids)), None)
            generated = np.full(new_tokens, ord("?"), np.int32) if match is None else match[size : size + new_tokens]
            answers.append(Answer(generated, self.decode(generated), scheme, seed))
        return answers
